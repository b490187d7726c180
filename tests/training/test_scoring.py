from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.errors import HarnessError
from harness.settings import ScoringSettings
from harness.training.scoring import DIMENSIONS, Context, Sampled, combined, dimension, find_dimensions

verdicts = st.sampled_from([True, False, None])
samples = st.builds(lambda v, r: Sampled(f"{r} {v}", r, v), verdicts, st.sampled_from(["", "red.", "blue."]))
contexts = st.builds(
    lambda margin, same, other, support: Context({}, margin, same, other, {"red.": support}),
    st.floats(-50, 50),
    st.lists(samples, max_size=5),
    st.lists(samples, max_size=5),
    st.floats(-50, 50),
)


@given(samples, contexts)
def test_every_dimension_is_between_0_and_1(sample: Sampled, context: Context) -> None:
    for name, function in DIMENSIONS.items():
        told = replace(context, label_right=True)
        assert 0 <= function(sample, told) <= 1, name


@given(contexts)
def test_an_answer_without_verdict_scores_nothing_for_its_verdict(context: Context) -> None:
    mute = Sampled("red.", "red.", None)
    for name in ("valid_format", "expert_verdict", "self_consistency", "order_consistency"):
        assert DIMENSIONS[name](mute, context) == 0


@given(st.floats(0.01, 20))
def test_experts_back_the_verdict_they_lean_to(margin: float) -> None:
    context = Context({}, margin, [], [], {})
    score = DIMENSIONS["expert_verdict"]
    assert score(Sampled("", "", True), context) > 0.5 > score(Sampled("", "", False), context)


def test_consistency_is_the_share_of_the_same_verdict() -> None:
    group = [Sampled("", "", True)] * 3 + [Sampled("", "", False)]
    context = Context({}, 0, group, group[2:], {})
    assert DIMENSIONS["self_consistency"](group[0], context) == 0.75
    assert DIMENSIONS["order_consistency"](group[0], context) == 0.5


def test_a_dimension_of_ones_own_can_be_registered_and_weighed() -> None:
    @dimension("brevity")
    def brevity(judgment: Sampled, context: Context) -> float:
        return float(len(judgment.rationale) < 10)

    try:
        names = [name for name, _, _ in find_dimensions({"brevity": 2.0, "valid_format": 0.0})]
        assert names == ["brevity"]
    finally:
        DIMENSIONS.pop("brevity")


def test_a_weight_for_an_unknown_dimension_gets_did_you_mean() -> None:
    with pytest.raises(HarnessError, match="valid_format"):
        find_dimensions({"valid_fromat": 1.0})
    assert set(ScoringSettings().weights) < set(DIMENSIONS)


def test_the_truth_is_told_to_nobody_who_competes() -> None:
    sample, context = Sampled("", "", True), Context({}, 0, [], [], {})
    with pytest.raises(AssertionError, match="nobody told"):
        DIMENSIONS["truth"](sample, context)
    assert DIMENSIONS["truth"](sample, replace(context, label_right=True)) == 1
    assert DIMENSIONS["truth"](sample, replace(context, label_right=False)) == 0


def test_experts_that_are_silent_leave_the_word_to_the_majority() -> None:
    yes, no = Sampled("", "", True), Sampled("", "", False)
    score = DIMENSIONS["expert_or_majority"]
    silent = Context({}, 0.1, [no, no, yes], [no], {})
    assert score(yes, silent) == 0.25
    assert score(yes, replace(silent, margin=2.0)) == DIMENSIONS["expert_verdict"](yes, replace(silent, margin=2.0))


values = st.lists(st.floats(0, 1), min_size=1, max_size=5)


@given(values, st.floats(0.1, 3))
def test_a_combined_score_is_between_0_and_1_and_grows_with_each_voice(voices, weight: float) -> None:
    weights = [weight] * len(voices)
    for how in ("mean", "log-odds"):
        score = combined(voices, weights, how)
        assert 0 <= score <= 1
        assert combined([min(1.0, v + 0.2) for v in voices], weights, how) >= score - 1e-12


def test_in_log_odds_a_voice_that_does_not_know_says_nothing() -> None:
    assert combined([0.9, 0.5], [1, 5], "log-odds") == pytest.approx(0.9)
    assert combined([0.9, 0.5], [1, 5], "mean") == pytest.approx(3.4 / 6)
    assert combined([0.8, 0.8], [1, 1], "log-odds") == pytest.approx(16 / 17)
