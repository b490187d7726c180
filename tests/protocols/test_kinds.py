"""Ties, grades, orders and probabilities: counted by hand, and as closed forms say."""

import numpy as np
import pytest
from scipy import stats

from harness.counting.metrics import METRICS, estimate, of_slice
from harness.protocols import find_protocol
from harness.protocols.counting import random_distance
from harness.protocols.reading import read_grade, read_letters, read_order
from harness.records import Item, Judgment, Label, Reading


def item(number: int, label: Label, responses: int = 2, slice_: str = "COCO") -> Item:
    return Item(
        item_id=str(number),
        source_id=str(number),
        question="?",
        responses=tuple("abcde"[:responses]),
        label=label,
        slice=slice_,
        cluster_id=str(number),
        image_hash=str(number),
    )


def answer(number: int, reading: Reading, order: tuple[int, ...] = (0, 1), repeat: int = 0, **more: float) -> Judgment:
    return Judgment(
        item_id=str(number), seed=0, order=order, repeat=repeat, text="", reading=reading, seconds=0, **more
    )


def test_ties_are_counted_under_every_published_reading() -> None:
    # people say: first, tie, second, first; the judge: first, first, tie, unparsed
    items = [item(0, 0), item(1, "tie"), item(2, 1), item(3, 0)]
    answers = [answer(0, "first"), answer(1, "first"), answer(2, "tie"), answer(3, "unparsed")]
    tally = find_protocol("published:1", "pair-ties").tally(items, answers)
    figures = {name: estimate(metric, tally) for name, metric in METRICS["pair-ties"].items()}
    assert figures["accuracy"] == 1 / 4
    assert figures["untied"] == 1 / 3
    assert figures["untied-both"] == 1 / 2
    assert figures["dropped-macro"] == 1 / 3
    assert figures["as-tie-macro"] == 1 / 4
    assert figures["coverage"] == 3 / 4


def test_a_tie_that_people_see_too_is_right() -> None:
    tally = find_protocol("both-orders", "pair-ties").tally(
        [item(0, "tie")], [answer(0, "tie"), answer(0, "second", (1, 0))]
    )
    assert tally["score"][0] == 0.5
    assert tally["consistent"][0] == 0


def graded(grades: list[list[int | None]], labels: list[int], slices: list[str] | None = None):
    slices = slices or ["COCO"] * len(labels)
    items = [item(i, label, 1, slice_) for i, (label, slice_) in enumerate(zip(labels, slices, strict=True))]
    answers = [
        answer(i, "unparsed" if grade is None else grade, (0,), repeat)
        for i, row in enumerate(grades)
        for repeat, grade in enumerate(row)
    ]
    repeats = len(grades[0])
    return find_protocol(f"published:{repeats}", "score").tally(items, answers)


def test_correlations_are_scipys_averaged_over_repeats_and_unparsed_is_dropped_or_kept() -> None:
    labels = [1, 2, 3, 4, 5, 3]
    grades = [[1, 2], [2, 2], [4, 3], [4, 5], [None, 5], [2, 3]]
    tally = graded(grades, labels)
    left = [i for i in range(6) if i != 4]
    first = stats.pearsonr([grades[i][0] for i in left], [labels[i] for i in left])[0]
    second = stats.pearsonr([row[1] for row in grades], labels)[0]
    assert estimate(METRICS["score"]["pearson"], tally) == pytest.approx((first + second) / 2)
    kept = stats.pearsonr([-1 if row[0] is None else row[0] for row in grades], labels)[0]
    assert estimate(METRICS["score"]["kept-macro"], tally) == pytest.approx((kept + second) / 2)
    assert estimate(METRICS["score"]["coverage"], tally) == pytest.approx(11 / 12)


def test_the_average_is_over_the_sources_that_have_a_correlation() -> None:
    slices = ["COCO"] * 4 + ["WIT"] * 4 + ["Aes"] * 4
    labels = [1, 2, 3, 4, 4, 3, 2, 1, 3, 3, 3, 3]
    tally = graded([[g] for g in (1, 2, 4, 3, 1, 2, 3, 5, 1, 2, 3, 4)], labels, slices)
    coco, wit = (estimate(of_slice("score", name), tally) for name in ("COCO", "WIT"))
    assert np.isnan(estimate(of_slice("score", "Aes"), tally))
    assert estimate(METRICS["score"]["macro"], tally) == pytest.approx((coco + wit) / 2)


def test_a_round_robin_orders_by_wins_and_averages_over_ties() -> None:
    protocol = find_protocol("round-robin", "batch")
    one = item(0, (2, 0, 1), 3)
    shown = protocol.presentations([one], 0)
    assert {p.order for p in shown} == {(0, 1), (1, 0), (0, 2), (2, 0), (1, 2), (2, 1)}
    rank = {2: 0, 0: 1, 1: 2}
    best = [answer(0, "first" if rank[p.order[0]] < rank[p.order[1]] else "second", p.order) for p in shown]
    assert protocol.tally([one], best)["distance"][0] == 0
    # whoever stands first wins: everyone is tied, and the distance is what a random order is expected to get
    biased = [answer(0, "first", p.order) for p in shown]
    assert protocol.tally([one], biased)["distance"][0] == pytest.approx(random_distance(3))
    silent = [answer(0, "unparsed", p.order) for p in shown]
    assert np.isnan(protocol.tally([one], silent)["distance"][0])


def test_a_random_order_is_as_far_as_enumeration_says() -> None:
    assert [round(random_distance(n), 3) for n in (3, 4, 5)] == [0.556, 0.656, 0.693]


def test_probabilities_of_both_orders_are_averaged() -> None:
    protocol = find_protocol("logprob")
    # shown first: 0.9 for the right one; shown second, 0.3 for the wrong one before it
    right = [answer(0, "first", (0, 1), p_first=0.9), answer(0, "second", (1, 0), p_first=0.3)]
    # position bias: 0.6 for whoever is first, a little more for the wrong one
    biased = [answer(1, "first", (0, 1), p_first=0.6), answer(1, "first", (1, 0), p_first=0.61)]
    even = [answer(2, "first", (0, 1), p_first=0.6), answer(2, "first", (1, 0), p_first=0.6)]
    tally = protocol.tally([item(0, 0), item(1, 0), item(2, 1)], [*right, *biased, *even])
    assert list(tally["score"]) == [1, 0, 0.5]
    assert list(tally["consistent"]) == [1, 0, 0]


@pytest.mark.parametrize("name", ["logprob", "reasoned"])
def test_leaving_a_probability_out_never_raises_a_figure(name: str) -> None:
    protocol = find_protocol(name)
    sure = [answer(0, "first", (0, 1), p_first=0.9), answer(0, "first", (1, 0), p_first=0.2)]
    assert protocol.tally([item(0, 0)], sure)["score"] == [1]
    silent = [sure[0].model_copy(update={"p_first": None, "reading": "unparsed"}), sure[1]]
    for given in (silent, [each.model_copy(update={"p_first": None, "reading": "unparsed"}) for each in sure]):
        tally = protocol.tally([item(0, 0)], given)
        assert [tally[column][0] for column in ("score", "low", "high")] == [0, 0, 1]


def test_after_words_only_a_verdict_that_was_read_has_a_probability() -> None:
    protocol = find_protocol("reasoned")
    unread = [answer(0, "unparsed", order, p_first=p) for order, p in (((0, 1), 0.9), ((1, 0), 0.1))]
    assert protocol.tally([item(0, 0)], unread)["score"] == [0]
    assert find_protocol("logprob").tally([item(0, 0)], unread)["score"] == [1]


def test_upstreams_coin_is_its_expectation_and_the_order_follows_the_lengths() -> None:
    protocol = find_protocol("lmms-eval")
    one = item(0, 0).model_copy(update={"responses": ("ab", "c")})
    assert [p.order for p in protocol.presentations([one, item(1, 0)], 0)] == [(1, 0), (0, 1)]
    tally = protocol.tally([one, item(1, 0), item(2, 0)], [answer(0, "unparsed"), answer(1, "first"), answer(2, 12)])
    assert list(tally["score"]) == [0.5, 1, 0]
    assert list(tally["high"]) == [1, 1, 0]


@pytest.mark.parametrize(
    ("text", "reading"),
    [
        ("Judgement: [[A]]", "first"),
        ("at first [[A]], but on reflection [[B]]", "second"),
        ("both are fine [[C]]", "tie"),
        ("Overall Judgment: Answer 2 is better.", "second"),
        ("A is better", "unparsed"),
        ("[[D]]", "unparsed"),
    ],
)
def test_letters(text: str, reading: Reading) -> None:
    assert read_letters(text) == reading


@pytest.mark.parametrize(
    ("text", "reading"),
    [("Judgement: [[4]]", 4), ("[[2]] or rather [[3]]", 3), ("[[6]]", "unparsed"), ("4", "unparsed")],
)
def test_grades(text: str, reading: Reading) -> None:
    assert read_grade(text) == reading


@pytest.mark.parametrize(
    ("text", "shown", "reading"),
    [
        ("[[C]], [[A]], [[B]]", 3, (2, 0, 1)),
        ("Answer [A] is short. Judgement: [[D], [A], [C], [B]]", 4, (3, 0, 2, 1)),
        ("Judgement: [[A]], [[B]]", 3, "unparsed"),
        ("Judgement: [[A]], [[A]], [[B]]", 3, "unparsed"),
        ("Judgement: [[E]], [[A]], [[B]]", 3, "unparsed"),
        ("C, A, B", 3, "unparsed"),
    ],
)
def test_orders(text: str, shown: int, reading: Reading) -> None:
    assert read_order(text, shown) == reading
