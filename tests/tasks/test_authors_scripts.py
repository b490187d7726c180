"""What the authors' scripts print and what is printed here, of the same answers: each of their known errors.

Their figures are worked out by a few lines that follow their arithmetic; none of their code is here.
"""

import json
import math
import random
from collections.abc import Sequence
from pathlib import Path

import pytest

from harness.counting.metrics import METRICS, estimate
from harness.data.benchmark import NO_RELEASE
from harness.protocols import find_protocol
from harness.protocols.reading import read_letters, read_official_letters
from harness.protocols.stating import by_rewards
from harness.records import Item, Judgment, Kind, Label
from tests.tasks.loading import answer, draw, hooks_of, load

BOTH = ((0, 1), (1, 0))


def item(number: int, label: Label = 0, cluster: str = "", responses: Sequence[str] = ("a", "b"), slice_: str = "s"):
    return Item(item_id=f"t/{number}#0", source_id=f"{number}", question="q", responses=tuple(responses), label=label,
                slice=slice_, cluster_id=f"group/{cluster or number}", image_hash=None)  # fmt: skip


def figure(
    metric: str, protocol: str, items: Sequence[Item], judgments: Sequence[Judgment], kind: Kind = "pair"
) -> float:
    return estimate(METRICS[kind][metric], find_protocol(protocol, kind).tally(items, judgments))


def verdict(letter: str | None) -> str:
    return json.dumps({"better_response": letter})


# MMRB2


def directions(a_better: int, right: int, dropped: int, total: int = 1000) -> tuple[list[Item], list[Judgment]]:
    """Answer forward only where a direction is not dropped; the first `right` of the others are right."""
    items = [item(number, int(number >= a_better)) for number in range(total)]
    judgments = []
    for place, (one, order) in enumerate((one, order) for one in items for order in BOTH):
        letter = "AB"[order.index(one.label if place < right else 1 - int(one.label))]
        judgments.append(answer(one, order, "I cannot." if place >= 2 * total - dropped else verdict(letter), "json"))
    return items, judgments


def test_mmrb2_s_sample_files_pool_to_4274_of_8000_as_they_prefer_response_a() -> None:
    shares, right = [], 0
    for a_better in (532, 555, 575, 475):
        items = [item(number, int(number >= a_better)) for number in range(1000)]
        judgments = [answer(one, order, verdict("AB"[order.index(0)]), "json") for one in items for order in BOTH]
        shares.append(figure("accuracy", "directions", items, judgments))
        right += sum(j.chosen == one.label for one, j in zip([i for i in items for _ in BOTH], judgments, strict=True))
    assert shares == [0.532, 0.555, 0.575, 0.475]
    assert (right, sum(shares) / 4) == (4274, 4274 / 8000)


def test_mmrb2_s_script_pools_what_was_read_and_its_paper_means_four_tasks() -> None:
    """Their overall figures agree only where nothing is missing; and what is missing helps both."""
    easy, hard = directions(500, right=1800, dropped=0), directions(500, right=100, dropped=1800)
    theirs = [1800 / 2000, 100 / 200]
    assert [figure("accuracy", "directions", *task) for task in (easy, hard)] == theirs
    assert (sum(theirs) / 2, (1800 + 100) / (2000 + 200)) == pytest.approx((0.7, 0.8636), abs=1e-4)
    # here a direction without a verdict is wrong, so that the two ways to put tasks together agree
    ours = [figure("accuracy", "both-orders", *task) for task in (easy, hard)]
    assert ours == [0.9, 0.05]
    assert sum(ours) / 2 == pytest.approx((1800 + 100) / 4000)


def test_mmrb2_equal_rewards_are_a_tie_and_wrong_in_both_directions() -> None:
    """Their script wants a verdict of a reward model too; written as "A" in both fields, a tie would be half right."""
    one = item(0)
    equal = [answer(one, order, by_rewards([2.5, 2.5]), "json") for order in BOTH]
    always = [answer(one, order, verdict("A"), "json") for order in BOTH]
    assert figure("accuracy", "directions", [one], equal) == 0
    assert figure("accuracy", "directions", [one], always) == 0.5


# VLRMBench, multi_solution

vlrm = hooks_of("vlrmbench_multi_solution")


def test_vlrmbench_s_prompt_would_show_one_response_as_a_list(tmp_path: Path) -> None:
    """A judge that looks for brackets is always right under `str.format`, and knows nothing of joined steps."""
    draw(tmp_path, "a.png")
    texts = {"question": "?", "step_list": ["One.", "Two."], "reasoning_error": "One. Three."}
    row = {"id": 1, "image": ["a.png"], "category": "math"} | texts
    theirs = ["{}".format(row[name]) for name in ("step_list", "reasoning_error")]  # noqa: UP032
    (one,), _ = load(tmp_path, vlrm["BENCHMARK"], row)
    assert [shown.startswith("[") for shown in theirs] == [True, False]
    assert [shown.startswith("[") for shown in one.responses] == [False, False]


def test_vlrmbench_decimals_scales_ties_and_lost_lines() -> None:
    def theirs(front: str, back: str) -> bool:
        numbers = [[int(found) for found in "".join(c if c.isdigit() else " " for c in text).split()][-2:]
                   for text in (front, back)]  # fmt: skip
        (one, other), (third, fourth) = numbers
        return one + fourth > other + third

    # a better mark of 7.5 is read as 7 and 5; "out of 10" is a mark; equal marks are wrong
    for front, back, here, there in (
        ("[7.5, 5]", "[5, 7.5]", 1.0, False),
        ("[8, 2] on a scale of 0 to 10", "[1, 8]", 1.0, False),
        ("[7, 7]", "[7, 7]", 0.0, False),
        ("[9, 1]", "[6, 1]", 0.5, True),
    ):
        one = item(0)
        marks, summed = (
            [answer(one, order, text, reader) for order, text in zip(BOTH, (front, back), strict=True)]
            for reader in ("scores", "two-numbers")
        )
        assert figure("accuracy", "both-orders", [one], marks) == here
        assert figure("accuracy", "summed-scores", [one], summed) == there == theirs(front, back)


def test_vlrmbench_a_request_that_failed_leaves_no_line_there_and_is_wrong_here() -> None:
    items = [item(number) for number in range(4)]
    said = {0: "[7, 5]", 1: "[5, 7]"}
    answers = [answer(one, order, said[order[0]], "two-numbers") for one in items[:2] for order in BOTH]
    failed = [answer(one, order, "", "two-numbers").model_copy(update={"reading": "error", "error": "lost"})
              for one in items[2:] for order in BOTH]  # fmt: skip
    assert figure("accuracy", "summed-scores", items[:2], answers) == 1
    assert figure("accuracy", "summed-scores", items, [*answers, *failed]) == 0.5


# RewardBench 2


def rated(one: Item, ratings: Sequence[float]) -> list[Judgment]:
    return [answer(one, (place,), f"{rating}", "official-pick") for place, rating in enumerate(ratings)]


def test_rewardbench2_a_wrong_response_without_a_rating_helps_in_ties_as_minus_one() -> None:
    """`-1` for what cannot be read stays in as a score; here `best_low` says what it would be without."""
    ref, tied = item(0, (0,), "Ties:1", slice_="Ties"), item(1, (0, 1), "Ties:1", ("a", "b", "c"), "Ties")
    told = [*rated(ref, [8, 3]), *rated(tied, [8, 7, 7])]
    silent = [*told[:-1], answer(tied, (2,), "7.", "official-pick")]
    protocol = find_protocol("ratings", "best")
    # of a set, one row has the figure
    best, least = (
        [protocol.tally([ref, tied], judgments)[column][1] for judgments in (told, silent)]
        for column in ("best", "best_low")
    )
    assert best == pytest.approx([0.3 + 0.01 * math.tanh(-1), 1.01], abs=1e-4)
    assert least == [best[0], -0.01]


def test_rewardbench2_one_unseeded_draw_moves_a_judge_that_prefers_a_place_and_every_place_once_does_not() -> None:
    items = [item(number, (0,), responses="abcd") for number in range(160)]
    figures = set()
    for seed in range(5):
        # the right one at a drawn place, a judge that always says A
        draws = random.Random(seed)
        figures.add(sum(draws.randrange(4) == 0 for _ in items) / len(items))
    assert len(figures) > 2
    shown = find_protocol("each-place", "best").presentations(items, 0)
    by_id = {one.item_id: one for one in items}
    always = [answer(by_id[p.item_id], p.order, "[[A]]", "pick") for p in shown]
    assert figure("pooled", "each-place", items, always, "best") == 0.25


# MM-RLHF-RewardBench

mm = hooks_of("mm_rlhf_rewardbench")


def test_mm_rlhf_s_release_is_known_by_its_counts_and_its_46_sets(tmp_path: Path) -> None:
    counts, ids = {"mcq": 42, "long": 37, "short": 34, "safety": 32, "video": 25}, (10, 10, 10, 6, 10)
    rows = []
    for (name, pairs), sets in zip(counts.items(), ids, strict=True):
        draw(tmp_path, f"{name}/a.png")
        where = {"video": name, "image": ""} if name == "video" else {"image": f"{name}/a.png"}
        rows += [{"id": f"{name}{n % sets}", "prompt": "?", "chosen": f"good {n}", "rejected": "bad", **where}
                 for n in range(pairs)]  # fmt: skip
    items, info = load(tmp_path, mm["BENCHMARK"], *rows)
    assert (info["slices"], info["release"]) == (counts, "released")
    assert len({one.cluster_id for one in items}) == 46
    _, fewer = load(tmp_path, mm["BENCHMARK"], *rows[1:])
    assert fewer["release"] == NO_RELEASE


def test_r1_reward_s_scripts_show_the_better_response_first_which_pays_a_judge_that_says_first() -> None:
    items = [item(number, 0, f"set{number // 2}") for number in range(10)]
    first = [answer(one, order, "[[A]]", "letters") for one in items for order in BOTH]
    theirs = [j for j in first if j.order == (0, 1)]
    for metric, there, here in (("accuracy", 1.0, 0.5), ("all-right", 1.0, 0.0)):
        assert figure(metric, "file-order", items, theirs, "pair-sets") == there
        assert figure(metric, "both-orders", items, first, "pair-sets") == here


def test_mm_rlhf_equal_rewards_are_wrong_and_so_is_their_set() -> None:
    items = [item(number, 0, "set") for number in range(2)]
    rewards = ([2.0, 1.0], [1.5, 1.5])
    given = [answer(one, order, by_rewards([pair[place] for place in order]), "letters")
             for one, pair in zip(items, rewards, strict=True) for order in BOTH]  # fmt: skip
    assert figure("accuracy", "both-orders", items, given, "pair-sets") == 0.5
    assert figure("all-right", "both-orders", items, given, "pair-sets") == 0


def test_r1_reward_s_vl_rewardbench_script_takes_rlhf_v_and_rlaif_v_for_general() -> None:
    """It looks for small letters in ids written in capitals: 484/448/318 of the release's 183/749/318."""
    slice_of = hooks_of("vlrewardbench")["slice_of"]
    released = {"hallucination_pair-1": 448, "RLAIF-V-1": 233, "RLHF-V-1": 68, "WildVision-1": 183, "mathverse_1": 318}

    def theirs(name: str) -> str:
        if "mmmu" in name or "mathverse" in name:
            return "reasoning"
        return "hallucination" if any(known in name for known in ("hallucination", "rlhf", "rlaif")) else "general"

    def counts(rule) -> list[int]:
        names = ("general", "hallucination", "reasoning")
        return [sum(count for name, count in released.items() if rule(name) == slice_) for slice_ in names]

    assert (counts(theirs), counts(slice_of)) == ([484, 448, 318], [183, 749, 318])


# Omni-RewardBench


@pytest.mark.parametrize(
    ("text", "theirs", "ours"),
    [
        ("At first [[A]], but they are equal: [[C]]", "first", "tie"),
        ("Not [[A]] but [[B]]", "unparsed", "second"),
        (r"[[B]], that is \boxed{A}", "second", "second"),
        (r"So \boxed{B}.", "second", "unparsed"),
        ("[[C]]", "tie", "tie"),
        ("None.", "unparsed", "unparsed"),
    ],
)
def test_omni_takes_a_tag_wherever_it_stands_and_a_or_b_before_a_tie(text: str, theirs: str, ours: str) -> None:
    assert (read_official_letters(text), read_letters(text)) == (theirs, ours)


def choices(labels: Sequence[Label], texts: Sequence[str]) -> tuple[list[Item], list[Judgment]]:
    items = [item(number, label) for number, label in enumerate(labels)]
    return items, [answer(one, (0, 1), text, "official-letters") for one, text in zip(items, texts, strict=True)]


def test_omni_one_order_pays_a_judge_that_says_first_where_the_first_is_better_more_often() -> None:
    labels = [0, 0, 0, 1, "tie"]
    items, judgments = choices(labels, ["[[A]]"] * 5)
    assert figure("accuracy", "official", items, judgments, "pair-ties") == 3 / 5
    assert figure("untied", "official", items, judgments, "pair-ties") == 3 / 4
    both = [answer(one, order, "[[A]]", "letters") for one in items for order in BOTH]
    assert figure("untied", "both-orders", items, both, "pair-ties") == 0.5


def test_omni_scalar_models_choose_their_threshold_on_the_test_items_and_tie_one_at_least() -> None:
    def theirs(labels: Sequence[int], differences: Sequence[float]) -> float:
        """Take the smallest differences for ties, one more at a time, and keep the best of these figures."""
        pairs = sorted(zip(labels, differences, strict=True), key=lambda pair: abs(pair[1]))
        tied = [sum(label == 0 for label, _ in pairs[:k]) for k in range(1, len(pairs) + 1)]
        told = [sum(label * far > 0 for label, far in pairs[k:]) for k in range(1, len(pairs) + 1)]
        return max(a + b for a, b in zip(tied, told, strict=True)) / len(pairs)

    def ours(labels: Sequence[int], rewards: Sequence[tuple[float, float]]) -> float:
        names: dict[int, Label] = {1: 0, -1: 1, 0: "tie"}
        made = choices([names[label] for label in labels], [by_rewards(pair) for pair in rewards])
        return figure("accuracy", "official", *made, "pair-ties")

    labels = [1, -1, 0, 0]
    rewards = [(2.0, 0.0), (0.0, 3.0), (0.5, 0.25), (0.0, 0.75)]
    # any difference below 2 is a tie, which nobody knew before the labels were seen
    assert theirs(labels, [a - b for a, b in rewards]) == 1
    assert ours(labels, rewards) == 0.5
    # and without a tie among people or rewards, the surest of all judges ties once
    assert theirs([1, -1], [2.0, -3.0]) == 0.5
    assert ours([1, -1], rewards[:2]) == 1
