from pathlib import Path

import pytest

from harness.counting.checks import fits
from harness.counting.metrics import METRICS, estimate
from harness.errors import DataError
from harness.protocols import find_protocol
from harness.protocols.counting import liked_best, ties_score
from harness.protocols.reading import read_official_pick, read_pick
from harness.records import Item
from harness.settings import WorldSettings
from tests.tasks.loading import answer, hooks_of, load

hooks = hooks_of("rewardbench2")
ROW = {"id": "7", "prompt": "What is red?", "chosen": ["blood"], "rejected": ["snow", "grass", "sky"], "subset": "Math"}
REF = {"id": "ref:3", "prompt": "What is blue?", "chosen": ["sky"], "rejected": ["snow"], "subset": "Ties"}
TIED = {"id": "tied:3", "prompt": "Name a colour.", "chosen": ["red", "blue"], "rejected": ["nine"], "subset": "Ties"}


def test_rows_are_items_without_images_and_a_set_of_ties_is_one_cluster(tmp_path: Path) -> None:
    items, info = load(tmp_path, hooks["BENCHMARK"], ROW, REF, TIED)
    one, ref, tied = items
    assert (one.label, one.responses[0], one.image_hash, one.images) == ((0,), "blood", None, ())
    assert (ref.cluster_id, tied.cluster_id, tied.label) == ("group/Ties:3", "group/Ties:3", (0, 1))
    assert info["slices"] == {"Math": 1, "Ties": 2}
    assert all(fits(item, "best") for item in items)
    assert not fits(one.model_copy(update={"label": (0, 1, 2, 3)}), "best")


@pytest.mark.parametrize(
    ("row", "said"),
    [
        (ROW | {"subset": "Maths"}, "no slice is known for Maths"),
        (ROW | {"chosen": []}, "field 'chosen'"),
        (ROW | {"chosen": "blood"}, "field 'chosen'"),
        (ROW | {"rejected": ["blood"]}, "a response stands there twice"),
        (TIED | {"id": "3"}, "neither ref:K nor tied:K"),
    ],
)
def test_a_wrong_row_is_one_line(tmp_path: Path, row: dict, said: str) -> None:
    with pytest.raises(DataError) as wrong:
        load(tmp_path, hooks["BENCHMARK"], row)
    assert said in str(wrong.value)
    assert "\n" not in str(wrong.value)


@pytest.mark.parametrize(
    ("lone", "tied", "score"),
    [
        (([3], [1]), ([3, 2.5], [1, 0.5]), 1.00964),
        (([9], [9]), ([9, 9, 8], [8, 2]), -0.00762),
        (([8], [3]), ([8, 8], [8, 2]), 0.30000),
        (([8], [3]), ([8, 8], [4, 2]), 1.01),
    ],
)
def test_a_set_of_ties_scores_as_the_authors_script_has_it(lone, tied, score: float) -> None:
    assert ties_score(lone, tied) == pytest.approx(score, abs=5e-6)


def test_equal_scores_share_and_no_score_at_all_is_chance() -> None:
    assert liked_best([7, 7, 3, 1], (0,)) == 0.5
    assert liked_best([7, 8, 3, 1], (0,)) == 0
    assert liked_best([-1, -1, -1, -1], (0,)) == 0.25


def question(number: int = 0) -> Item:
    return Item(item_id=f"t/{number}#0", source_id=f"{number}", question="q", responses=("a", "b", "c", "d"),
                label=(0,), slice="Math", cluster_id=f"group/{number}", image_hash=None)  # fmt: skip


def figure(protocol: str, items: list[Item], judgments: list) -> float:
    return estimate(METRICS["best"]["pooled"], find_protocol(protocol, "best").tally(items, judgments))


def test_each_response_stands_at_every_place_once_and_one_letter_always_is_chance() -> None:
    items = [question(i) for i in range(5)]
    protocol = find_protocol("each-place", "best")
    shown = protocol.presentations(items, 0)
    for place in range(4):
        assert sorted(p.order[place] for p in shown if p.item_id == items[0].item_id) == [0, 1, 2, 3]
    by_id = {item.item_id: item for item in items}
    for letter in "ABCD":
        judgments = [answer(by_id[p.item_id], p.order, f"So [[{letter}]].", "pick") for p in shown]
        assert figure("each-place", items, judgments) == 0.25
    blind = [answer(by_id[p.item_id], p.order, "None.", "pick") for p in shown]
    assert figure("each-place", items, blind) == 0


def test_the_authors_reader_prefers_a_and_counts_silence_as_chance() -> None:
    """Ours reads the last tag, and counts silence as wrong."""
    text = "At first [[A]], but no: [[C]]"
    assert (read_official_pick(text, 4), read_pick(text, 4)) == ((0,), (2,))
    item = question()
    assert figure("official", [item], [answer(item, (2, 1, 0, 3), "No idea.", "official-pick")]) == 0.25
    assert figure("official", [item], [answer(item, (2, 1, 0, 3), "[[C]]", "official-pick")]) == 1
    # what their rating pattern makes of usual ways to write one
    assert [read_official_pick(text, 1) for text in ("8/10", "0.9", "**7**", "7.", "Rating: 7 ")] == [
        10, 9, "unparsed", "unparsed", 7,
    ]  # fmt: skip
    assert [read_pick(text, 1) for text in ("[[8]]", "[[11]]", "[[3]] no, [[4]]", "7")] == [
        8, "unparsed", 4, "unparsed",
    ]  # fmt: skip


def test_the_right_one_is_drawn_into_every_place_alike_and_by_no_file_order() -> None:
    items, protocol = [question(i) for i in range(400)], find_protocol("official", "best")
    places = [p.order.index(0) for p in protocol.presentations(items, 0)]
    assert all(60 < places.count(place) < 140 for place in range(4))
    assert protocol.presentations(items[::-1], 0) == protocol.presentations(items, 0)[::-1]


def test_most_wins_is_liked_best() -> None:
    item, protocol = question(), find_protocol("round-robin", "best")
    orders = [p.order for p in protocol.presentations([item], 0)]
    assert len(orders) == 12
    best = [answer(item, o, f"[[{'AB'[o.index(0)] if 0 in o else 'A'}]]", "letters") for o in orders]
    assert figure("round-robin", [item], best) == 1
    first = [answer(item, o, "[[A]]", "letters") for o in orders]
    # a judge that takes whatever comes first likes none best
    assert figure("round-robin", [item], first) == 0.25


def test_ties_are_counted_a_set_at_a_time_and_a_row_alone_is_left_out(tmp_path: Path) -> None:
    items, _ = load(tmp_path, hooks["BENCHMARK"], ROW, REF, TIED)
    one, ref, tied = items
    ratings = {one: (9, 1, 1, 1), ref: (8, 3), tied: (8, 8, 4)}
    judgments = [
        answer(item, (place,), f"{rating}", "official-pick")
        for item, given in ratings.items()
        for place, rating in enumerate(given)
    ]
    tally = find_protocol("ratings", "best").tally(items, judgments)
    assert tally["best"].tolist() == pytest.approx([1.0, float("nan"), 1.01], nan_ok=True)
    assert estimate(METRICS["best"]["macro"], tally) == pytest.approx((1 + 1.01) / 2)
    alone = find_protocol("ratings", "best").tally([one, tied], judgments)
    assert estimate(METRICS["best"]["macro"], alone) == 1


def test_embedded_items_have_sets_of_ties_and_four_responses(tmp_path: Path) -> None:
    rows = list(hooks["TASKS"]["rewardbench2"].embedded(WorldSettings(items=60)))
    assert len(rows) == 60
    assert sum(row["subset"] == "Ties" for row in rows) == 12
    items, _ = load(tmp_path, hooks["BENCHMARK"], *rows)
    assert all(len(item.responses) == 4 for item in items if item.slice != "Ties")
    assert all(fits(item, "best") for item in items)


@pytest.mark.parametrize("protocol", ["official", "ratings", "round-robin"])
def test_silence_is_chance_to_the_authors_and_gains_nothing_before_the_gate(protocol: str) -> None:
    item = question()
    orders = [p.order for p in find_protocol(protocol, "best").presentations([item], 0)]
    reader = "letters" if protocol == "round-robin" else "official-pick"
    tally = find_protocol(protocol, "best").tally([item], [answer(item, o, "No idea.", reader) for o in orders])
    assert (tally["best"][0], tally["best_low"][0]) == (0.25, 0.0)
