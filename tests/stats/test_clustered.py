import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from harness.stats.clustered import clustered_variance, crossed_estimate, holm


def centred(values: np.ndarray) -> np.ndarray:
    return (values - values.mean()) / len(values)


def test_one_item_a_cluster_is_the_t_interval_of_a_mean() -> None:
    values = np.random.default_rng(0).normal(size=40)
    got = crossed_estimate([values.mean()], centred(values), [str(i) for i in range(40)])
    low, high = stats.t.interval(0.95, 39, values.mean(), stats.sem(values))
    assert got.low == pytest.approx(low)
    assert got.high == pytest.approx(high)
    assert got.p == pytest.approx(stats.ttest_1samp(values, 0).pvalue)


@given(st.integers(2, 6))
def test_copying_every_item_within_its_cluster_changes_nothing(copies: int) -> None:
    values = np.random.default_rng(1).normal(size=30)
    clusters = [str(i // 2) for i in range(30)]
    once = crossed_estimate([values.mean()], centred(values), clusters)
    many = np.repeat(values, copies)
    again = crossed_estimate([many.mean()], centred(many), list(np.repeat(clusters, copies)))
    assert again.error == pytest.approx(once.error)


def test_seeds_widen_the_interval_and_lower_its_degrees_of_freedom() -> None:
    values = np.random.default_rng(2).normal(0.1, 1, size=200)
    clusters = [str(i) for i in range(200)]
    mean = values.mean()
    one = crossed_estimate([mean], centred(values), clusters)
    three = crossed_estimate([mean - 0.2, mean, mean + 0.2], centred(values), clusters)
    assert three.value == pytest.approx(one.value)
    assert three.error > one.error
    assert 2 < three.df < one.df


def test_no_difference_at_all_is_zero_with_p_one() -> None:
    got = crossed_estimate([0.0, 0.0], np.zeros(10), [str(i) for i in range(10)])
    assert (got.value, got.low, got.high, got.p) == (0, 0, 0, 1)


def test_one_cluster_is_not_estimable() -> None:
    got = crossed_estimate([0.5], centred(np.array([0.0, 1.0])), ["a", "a"])
    assert np.isnan(got.error)
    assert np.isnan(got.p)


def test_an_item_without_a_cluster_is_refused() -> None:
    with pytest.raises(ValueError, match="no cluster id"):
        clustered_variance(np.array([0.1, -0.1]), ["a", ""])


@settings(deadline=None)
@given(st.lists(st.floats(0, 1), min_size=1, max_size=8))
def test_holm_agrees_with_its_definition(p_values: list[float]) -> None:
    adjusted = holm(p_values)
    order = np.argsort(p_values, kind="stable")
    expected = np.maximum.accumulate([min(1, (len(p_values) - r) * p_values[i]) for r, i in enumerate(order)])
    np.testing.assert_allclose(np.array(adjusted)[order], expected)


def test_coverage_of_the_clustered_interval() -> None:
    rng = np.random.default_rng(3)
    hits = 0
    for _ in range(400):
        effect = rng.normal(0, 1, 60)
        clusters = np.repeat(np.arange(60), 3)
        values = effect[clusters] + rng.normal(0, 0.5, 180)
        got = crossed_estimate([values.mean()], centred(values), [str(c) for c in clusters])
        hits += got.low <= 0 <= got.high
    assert 0.92 <= hits / 400 <= 0.98
