import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.counting.metrics import METRICS, estimate, of_slice, sums
from harness.protocols import Tally, find_protocol
from harness.stats.intervals import leave_one_out
from harness.stats.sums import Clusters
from tests.toys import make_items, make_judgments


def tally(accuracy: float = 0.7, count: int = 60):
    items = make_items(count)
    return find_protocol("both-orders").tally(items, make_judgments(items, accuracy))


def test_macro_is_the_mean_of_the_slices() -> None:
    counted = tally()
    slices = [estimate(of_slice("pair", name), counted) for name in ("general", "hallucination", "reasoning")]
    assert estimate(METRICS["pair"]["macro"], counted) == pytest.approx(np.mean(slices))


def test_a_perfect_judge_is_perfect_in_every_figure() -> None:
    counted = tally(1.0)
    for name in ("accuracy", "macro", "consistency", "coverage"):
        assert estimate(METRICS["pair"][name], counted) == 1
    assert estimate(METRICS["pair"]["first"], counted) == 0.5


@given(st.floats(0.05, 0.95), st.sampled_from(list(METRICS["pair"])))
def test_leaving_out_a_cluster_is_the_metric_of_the_others(accuracy: float, name: str) -> None:
    counted, metric = tally(accuracy, 90), METRICS["pair"][name]
    clusters = Clusters.of(counted.clusters, counted.slices)
    left_out = leave_one_out(sums(metric, [counted], clusters))[7, 0]
    others = [i for i in range(90) if clusters.index[i] != 7]
    assert left_out == pytest.approx(estimate(metric, _kept(counted, others)), abs=1e-12)


def _kept(counted, kept: list[int]):
    lists = ([column[i] for i in kept] for column in (counted.item_ids, counted.slices, counted.clusters))
    return Tally(*lists, {name: values[kept] for name, values in counted.columns.items()})


def test_what_nobody_counts_is_not_a_number() -> None:
    assert np.isnan(estimate(of_slice("pair", "absent"), tally()))
