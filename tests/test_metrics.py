import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.metrics import METRICS, estimate, influence, of_slice
from harness.protocols import find_protocol
from tests.toys import make_items, make_judgments


def tally(accuracy: float = 0.7, count: int = 60):
    items = make_items(count)
    return find_protocol("both-orders").tally(items, make_judgments(items, accuracy))


def test_macro_is_the_mean_of_the_slices() -> None:
    counted = tally()
    slices = [estimate(of_slice(name), counted) for name in ("general", "hallucination", "reasoning")]
    assert estimate(METRICS["macro"], counted) == pytest.approx(np.mean(slices))


def test_a_perfect_judge_is_perfect_in_every_figure() -> None:
    counted = tally(1.0)
    for name in ("accuracy", "macro", "consistency", "coverage"):
        assert estimate(METRICS[name], counted) == 1
    assert estimate(METRICS["first"], counted) == 0.5


@given(st.floats(0.05, 0.95), st.sampled_from(list(METRICS)))
def test_influences_sum_to_zero_and_predict_the_jackknife(accuracy: float, name: str) -> None:
    counted = tally(accuracy, 90)
    metric = METRICS[name]
    shares = influence(metric, counted)
    assert np.nansum(shares) == pytest.approx(0, abs=1e-9)
    full = estimate(metric, counted)
    without = _without(counted, 5)
    count = 30 if metric.macro else 90
    assert estimate(metric, without) - full == pytest.approx(-shares[5] * count / (count - 1), abs=1e-9)


def _without(counted, place: int):
    columns = {}
    for key, values in vars(counted).items():
        columns[key] = (
            np.delete(values, place) if isinstance(values, np.ndarray) else values[:place] + values[place + 1 :]
        )
    return type(counted)(**columns)


def test_what_nobody_counts_is_not_a_number() -> None:
    assert np.isnan(estimate(of_slice("absent"), tally()))
