import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.errors import HarnessError
from harness.settings import NegativeSettings
from harness.training.negatives import RULES, find_rule

rankings = st.lists(st.floats(0, 1), min_size=1, max_size=12).map(
    lambda scores: [
        {"text": str(i), "score": s, "for_chosen": True} for i, s in enumerate(sorted(scores, reverse=True))
    ]
)


@given(rankings, st.sampled_from(sorted(RULES)), st.floats(0, 0.5), st.integers(1, 4))
def test_every_rule_keeps_gap_and_number(ranked, name: str, gap: float, most: int) -> None:
    settings = NegativeSettings(rule=name, min_gap=gap, max_per_item=most)
    pairs = RULES[name](ranked, settings, random.Random(0))
    assert len(pairs) <= most
    assert all(chosen["score"] - rejected["score"] >= gap for chosen, rejected in pairs)
    assert len({(c["text"], r["text"]) for c, r in pairs}) == len(pairs)


def ladder(*scores: float):
    return [{"text": str(s), "score": s, "for_chosen": True} for s in scores]


def test_best_to_worse_walks_from_the_next_best_to_the_worst() -> None:
    ranked = ladder(1.0, 0.95, 0.8, 0.6, 0.4, 0.2)
    pairs = RULES["best-to-worse"](ranked, NegativeSettings(min_gap=0.1, max_per_item=3), random.Random(0))
    assert [c["score"] for c, _ in pairs] == [1.0] * 3
    rejected = [r["score"] for _, r in pairs]
    assert rejected[0] == 0.8
    assert rejected[-1] == 0.2
    assert rejected == sorted(rejected, reverse=True)


def test_the_alternatives_do_what_they_say() -> None:
    ranked = ladder(1.0, 0.8, 0.5, 0.2)
    settings = NegativeSettings(min_gap=0.25, max_per_item=5)
    draw = random.Random(0)
    assert [(c["score"], r["score"]) for c, r in RULES["best-worst"](ranked, settings, draw)] == [(1.0, 0.2)]
    assert [(c["score"], r["score"]) for c, r in RULES["adjacent"](ranked, settings, draw)] == [(0.8, 0.5), (0.5, 0.2)]


def test_an_unknown_rule_gets_did_you_mean() -> None:
    with pytest.raises(HarnessError, match="Did you mean 'best-worst'"):
        find_rule("best-wrst")
