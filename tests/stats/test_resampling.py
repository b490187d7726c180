import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from harness.counting.metrics import METRICS, sums
from harness.protocols import Tally
from harness.stats.intervals import leave_one_out
from harness.stats.resampling import bca, bootstrap, permutation_p
from harness.stats.sums import Clusters
from tests.stats.test_intervals import MACRO, added, alone, graded


def test_few_clusters_give_the_exact_p_of_all_swaps() -> None:
    draw = np.random.default_rng(0)
    b, c = draw.random(11), draw.random(11) + 0.3
    (one, groups), (other, _) = added(b, alone(11)), added(c, alone(11))
    test = stats.permutation_test((c - b,), np.mean, permutation_type="samples", n_resamples=np.inf)
    assert permutation_p([(one, other)], groups)[0] == pytest.approx(test.pvalue, abs=1e-9)


def test_many_clusters_give_it_up_to_the_draw() -> None:
    draw = np.random.default_rng(1)
    b, c = draw.random(200), draw.random(200) + 0.05
    (one, groups), (other, _) = added(b, alone(200)), added(c, alone(200))
    test = stats.permutation_test((c - b,), np.mean, permutation_type="samples", n_resamples=20_000, rng=2)
    assert permutation_p([(one, other)], groups, 20_000)[0] == pytest.approx(test.pvalue, abs=0.012)


def test_a_seed_fixes_the_p_and_the_sides_may_change_places() -> None:
    draw = np.random.default_rng(2)
    slices = [f"s{i % 3}" for i in range(90)]
    names = [str(i // 2) for i in range(90)]
    (one, groups), (other, _) = (added(draw.integers(0, 3, 90) / 2, names, slices, MACRO) for _ in range(2))
    first = permutation_p([(one, other)], groups, 999, seed=5)
    assert permutation_p([(one, other)], groups, 999, seed=5) == first
    assert permutation_p([(other, one)], groups, 999, seed=5) == pytest.approx(first)
    assert permutation_p([(one, one)], groups, 999) == [1.0]


@settings(max_examples=20)
@given(st.integers(0, 10_000), st.integers(2, 25))
def test_a_p_is_never_zero_nor_above_one(seed: int, count: int) -> None:
    draw = np.random.default_rng(seed)
    (one, groups), (other, _) = added(draw.integers(0, 2, count), alone(count)), added(np.ones(count), alone(count))
    assert 0 < permutation_p([(one, other)], groups, 99)[0] <= 1


def test_correlations_are_swapped_too() -> None:
    (one, groups), (other, _) = graded(1), graded(1)
    assert permutation_p([(one, other)], groups, 199) == [1.0]
    draw = np.random.default_rng(3)
    human = draw.normal(size=120)
    grades = [(r * human + draw.normal(size=120))[:, None] for r in (0.2, 4.0)]
    tallies = [Tally(alone(120), ["all"] * 120, alone(120), {"human": human, "grade": grade}) for grade in grades]
    groups = Clusters.of(tallies[0].clusters, tallies[0].slices)
    pair = tuple(sums(METRICS["score"]["pearson"], [tally], groups) for tally in tallies)
    assert permutation_p([pair], groups, 999)[0] == pytest.approx(0.001, abs=1e-9)


def test_the_bootstrap_is_scipys_up_to_the_draw() -> None:
    values = np.random.default_rng(4).exponential(size=80)
    one, groups = added(values, alone(80))
    low, high = bca(float(values.mean()), bootstrap([one], groups, 20_000)[:, 0], leave_one_out(one)[:, 0])
    other = stats.bootstrap((values,), np.mean, n_resamples=20_000, method="BCa", rng=5).confidence_interval
    assert (low, high) == pytest.approx(tuple(other), abs=0.02)


def test_the_bootstrap_keeps_strata_as_large_as_they_are() -> None:
    scores = np.array([0.0] * 10 + [1.0] * 30)
    one, groups = added(scores, alone(40), ["a"] * 10 + ["b"] * 30)
    assert np.ptp(bootstrap([one], groups, 200)) == 0


def test_a_bca_interval_that_cannot_be_told_is_not() -> None:
    assert np.isnan(bca(1.0, np.ones(50), np.ones(10))).all()
