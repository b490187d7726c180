import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from statsmodels.regression.linear_model import OLS
from statsmodels.stats.proportion import proportion_confint

from harness.counting.metrics import METRICS, of_slice, sums
from harness.protocols import Tally
from harness.stats.intervals import _wilson, paired, single
from harness.stats.mixture import Part, reach, satterthwaite, tail
from harness.stats.sums import Clusters, Sums, figure, gradient

ACCURACY, MACRO = METRICS["pair"]["accuracy"], METRICS["pair"]["macro"]
PEARSON = METRICS["score"]["macro"]


def tallied(scores: np.ndarray, clusters: list[str], slices: list[str] | None = None) -> Tally:
    names = [str(i) for i in range(len(scores))]
    return Tally(names, slices or ["all"] * len(scores), list(clusters), {"score": scores.astype(float)})


def added(
    scores: np.ndarray, clusters: list[str], slices: list[str] | None = None, metric=ACCURACY
) -> tuple[Sums, Clusters]:
    tally = tallied(scores, clusters, slices)
    groups = Clusters.of(tally.clusters, tally.slices)
    return sums(metric, [tally], groups), groups


def alone(count: int) -> list[str]:
    return [str(i) for i in range(count)]


def test_without_clusters_a_difference_is_the_paired_t_test() -> None:
    draw = np.random.default_rng(0)
    b, c = draw.random(40), draw.random(40)
    (one, groups), (other, _) = added(b, alone(40)), added(c, alone(40))
    got, test = paired(one, other, groups), stats.ttest_rel(c, b)
    assert got.p == pytest.approx(test.pvalue, abs=1e-9)
    assert (got.low, got.high) == pytest.approx(tuple(test.confidence_interval()), abs=1e-9)


def test_with_clusters_of_one_size_the_error_is_the_usual_clustered_one() -> None:
    draw = np.random.default_rng(1)
    names = [str(i // 4) for i in range(120)]
    scores = np.repeat(draw.random(30), 4) + draw.random(120)
    one, groups = added(scores, names)
    robust = OLS(scores, np.ones(120)).fit(
        cov_type="cluster", cov_kwds={"groups": np.array(names, int), "use_correction": False}
    )
    got = single(one, groups, "plain")
    assert got.error == pytest.approx(robust.bse[0] * np.sqrt(30 / 29), abs=1e-12)
    assert got.df == pytest.approx(29)


@given(st.integers(0, 50), st.integers(1, 50))
def test_wilson_is_the_textbooks(right: int, wrong: int) -> None:
    count = right + wrong
    low, high = proportion_confint(right, count, method="wilson")
    assert _wilson(right / count, count, stats.norm.ppf(0.975)) == pytest.approx((low, high), abs=1e-9)


def test_one_part_is_students_t_and_two_parts_are_its_convolution() -> None:
    assert tail(1.0, [Part(0.25, 7)]) == pytest.approx(2 * stats.t.sf(2, 7), abs=1e-12)
    assert reach(0.95, [Part(4.0, 7)]) == pytest.approx(2 * stats.t.ppf(0.975, 7), abs=1e-12)
    parts = [Part(0.6, 300), Part(0.4, 2)]
    draw = np.random.default_rng(2)
    sample = sum(np.sqrt(part.variance) * draw.standard_t(part.df, 2_000_000) for part in parts)
    half = reach(0.95, parts)
    assert tail(half, parts) == pytest.approx(0.05, abs=1e-9)
    assert (abs(sample) > half).mean() == pytest.approx(0.05, abs=6e-4)
    assert satterthwaite(parts) == pytest.approx(1 / (0.36 / 300 + 0.16 / 2))


@settings(max_examples=30)
@given(st.integers(0, 10_000), st.sampled_from([ACCURACY, MACRO, of_slice("pair", "s1")]))
def test_a_gradient_predicts_what_a_small_change_does(seed: int, metric) -> None:
    draw = np.random.default_rng(seed)
    one, _ = added(draw.random(60), [str(i // 2) for i in range(60)], [f"s{i % 3}" for i in range(60)], metric)
    nudge = 1e-6 * draw.normal(size=one.total.shape) * one.total
    change = figure(one.total + nudge) - figure(one.total)
    assert (gradient(one.total) * nudge).sum(axis=(1, 2, 3)) == pytest.approx(change, rel=1e-3, abs=1e-11)
    influence = (gradient(one.total)[None] * one.table).sum(axis=(1, 2, 3, 4))
    assert influence.sum() == pytest.approx(0, abs=1e-12)


def graded(seed: int, copies: int = 1, count: int = 90) -> tuple[Sums, Clusters]:
    draw = np.random.default_rng(seed)
    human = draw.integers(1, 6, count).astype(float)
    grade = np.clip(human + draw.integers(-1, 2, count), 1, 5)[:, None]
    places = np.repeat(np.arange(count), copies)
    tally = Tally(
        alone(count * copies),
        [f"s{i % 3}" for i in places],
        [str(i // 2) for i in places],
        {"human": human[places], "grade": grade[places].astype(float)},
    )
    groups = Clusters.of(tally.clusters, tally.slices)
    return sums(PEARSON, [tally], groups), groups


def test_a_correlation_and_its_gradient() -> None:
    one, _ = graded(3)
    draw = np.random.default_rng(3)
    human = draw.integers(1, 6, 90).astype(float)
    grade = np.clip(human + draw.integers(-1, 2, 90), 1, 5)
    expected = np.mean([stats.pearsonr(human[k::3], grade[k::3]).statistic for k in range(3)])
    assert one.per_seed[0] == pytest.approx(expected, abs=1e-12)
    nudge = 1e-6 * draw.normal(size=one.total.shape) * abs(one.total)
    change = figure(one.total + nudge) - figure(one.total)
    assert (gradient(one.total) * nudge).sum(axis=(1, 2, 3)) == pytest.approx(change, rel=1e-3, abs=1e-11)


def test_fishers_interval_of_a_correlation_is_near_scipys_on_normal_data() -> None:
    draw = np.random.default_rng(4)
    x = draw.normal(size=4000)
    y = 0.6 * x + 0.8 * draw.normal(size=4000)
    tally = Tally(alone(4000), ["all"] * 4000, alone(4000), {"human": x, "grade": y[:, None]})
    groups = Clusters.of(tally.clusters, tally.slices)
    got = single(sums(METRICS["score"]["pearson"], [tally], groups), groups, "correlation")
    low, high = stats.pearsonr(x, y).confidence_interval()
    assert got.low == pytest.approx(low, abs=0.003)
    assert got.high == pytest.approx(high, abs=0.003)


@settings(max_examples=25)
@given(st.integers(0, 10_000), st.integers(2, 5))
def test_copying_every_item_within_its_cluster_changes_no_interval(seed: int, copies: int) -> None:
    draw = np.random.default_rng(seed)
    scores, names = draw.integers(0, 3, 48) / 2, [str(i // 3) for i in range(48)]
    slices = [f"s{i // 16}" for i in range(48)]
    again = [x for x in range(48) for _ in range(copies)]
    for metric in (ACCURACY, MACRO):
        one, groups = added(scores, names, slices, metric)
        many, more = added(scores[again], [names[i] for i in again], [slices[i] for i in again], metric)
        assert single(many, more, "share")[:6] == pytest.approx(single(one, groups, "share")[:6], nan_ok=True)
    (one, groups), (many, more) = graded(seed), graded(seed, copies)
    assert single(many, more, "correlation")[:6] == pytest.approx(single(one, groups, "correlation")[:6], nan_ok=True)


@settings(max_examples=25)
@given(st.integers(0, 10_000))
def test_permuting_items_changes_nothing_and_swapping_the_sides_turns_the_sign(seed: int) -> None:
    draw = np.random.default_rng(seed)
    b, c = (draw.integers(0, 3, 45) / 2 for _ in range(2))
    names, slices = [str(i // 2) for i in range(45)], [f"s{i % 3}" for i in range(45)]
    order = draw.permutation(45)
    for metric in (ACCURACY, MACRO):
        (one, groups), (other, _) = added(b, names, slices, metric), added(c, names, slices, metric)
        forth, back = paired(one, other, groups), paired(other, one, groups)
        assert (back.value, back.low, back.high, back.p) == pytest.approx(
            (-forth.value, -forth.high, -forth.low, forth.p)
        )
        mixed = [added(x[order], [names[i] for i in order], [slices[i] for i in order], metric) for x in (b, c)]
        again = paired(mixed[0][0], mixed[1][0], mixed[0][1])
        assert again[:6] == pytest.approx(forth[:6])


def test_seeds_widen_an_interval_by_their_own_spread_only() -> None:
    draw = np.random.default_rng(5)
    scores = (draw.random((3, 400)) < 0.7).astype(float)
    names = alone(400)
    groups = Clusters.of(names, ["all"] * 400)
    apart = sums(ACCURACY, [tallied(s, names) for s in scores], groups)
    # three judges that differ by chance alone: their spread is in the items' part already
    assert single(apart, groups, "plain").error < 1.15 * np.sqrt(scores.mean(axis=0).var() / 400)
    moved = sums(
        ACCURACY,
        [tallied(np.clip(s + shift, 0, 1), names) for s, shift in zip(scores, (-0.3, 0, 0.3), strict=True)],
        groups,
    )
    assert single(moved, groups, "plain").error > 3 * single(apart, groups, "plain").error


def test_all_right_is_an_interval_below_one_and_a_constant_grade_is_not_estimable() -> None:
    got = single(*added(np.ones(30), alone(30)), "share")
    assert got.high == 1
    assert 0.8 < got.low < 0.95
    tally = Tally(alone(30), ["all"] * 30, alone(30), {"human": np.arange(30.0), "grade": np.ones((30, 1))})
    groups = Clusters.of(tally.clusters, tally.slices)
    assert np.isnan(single(sums(PEARSON, [tally], groups), groups, "correlation").value)


def test_too_little_data_has_a_value_and_no_interval() -> None:
    one, groups = added(np.array([0.0, 1.0]), ["a", "a"])
    got = single(one, groups, "share")
    assert got.value == 0.5
    assert np.isnan([got.low, got.high, got.error]).all()
    half, groups = added(np.zeros(6), alone(6))
    full, _ = added(np.ones(6), alone(6))
    assert np.isnan(paired(half, full, groups).p), "six items alike are no certainty"


@pytest.mark.parametrize(("clusters", "half"), [(2, 0.776), (20, 0.139), (1250, 0.0024)])
def test_the_same_answers_leave_as_much_open_as_so_few_can(clusters: int, half: float) -> None:
    one, groups = added(np.random.default_rng(6).random(clusters), alone(clusters))
    same = paired(one, one, groups, scale="share")
    assert (same.value, same.p) == (0, 1)
    assert (same.low, same.high) == pytest.approx((-half, half), abs=1e-3)
    assert same.parts == ()
    assert np.isnan(paired(one, one, groups).low), "of another scale nothing can be said"


def test_clusters_alone_in_their_stratum_share_one() -> None:
    groups = Clusters.of(["a", "b", "c", "d"], ["x", "x", "y", "z"])
    assert groups.strata[2] == groups.strata[3] != groups.strata[0] == groups.strata[1]
    groups = Clusters.of(["a", "b", "c"], ["x", "x", "y"])
    assert len(set(groups.strata)) == 1
    with pytest.raises(ValueError, match="no cluster id"):
        Clusters.of(["a", None], ["x", "x"])
