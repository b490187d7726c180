"""`official` against what the authors' cal.py is described to do, written down again with dicts and loops."""

import random
import re

import pytest

from benchmarks.protocols import README, synthetic_items, tables
from harness.counting.metrics import METRICS, estimate, of_slice
from harness.protocols import find_protocol
from harness.protocols.reading import read_official
from harness.records import Item, Judgment

SHARES = {"general": 300, "hallucination": 1200, "reasoning": 500}
VOTES = 10
PATTERN = r"(?:Overall Judgment|Therefore)\s*.*\s*-*\s*Answer\s*(\d+)\s*is\s*(?:the\s*)?(?:slightly\s*)?better"


def drawn_rows(items: list[Item]) -> list[dict]:
    """Draw rows as inference_hf.py writes them, ten to an item, with every kind of outcome."""
    rng, rows = random.Random(7), []
    for item in items:
        ranking = [0, 1] if item.label == 0 else [1, 0]
        # each item has its own mood, so that whole majorities are unparsed, split, or name no answer
        weights = [rng.random() ** 3 for _ in range(5)]
        for _ in range(VOTES):
            number = rng.choices(("1", "2", None, "12", "late"), weights)[0]
            text = {
                None: "Answer 1 is better.",
                "late": "**Overall\n Judgment**: close.\nTherefore - **Answer 2** is the\n slightly better one.",
            }.get(number, f"1. Accuracy: Answer 2 is better.\n\n**Overall Judgment:** Answer {number} is better.")
            rows.append({"item": item, "ranking": ranking, "random_number": rng.randrange(2), "text": text})
    return rows


def straight(rows: list[dict], k: int) -> dict[str, float]:
    """Count as cal.py does: first k votes an item, classes by more than half, category accuracies."""
    counts: dict[str, dict] = {}
    for row in rows:
        rejected_rank = 1 if row["random_number"] == 0 else 0
        rejected_number = row["ranking"].index(rejected_rank) + 1
        match = re.search(PATTERN, row["text"].replace("\n", "").replace("*", ""), re.IGNORECASE)
        if match is None:
            status = "doesntMatch"
        elif int(match.group(1)) == rejected_number:
            status = "reject"
        else:
            status = "agree"
        name = row["item"].item_id
        if name not in counts:
            counts[name] = {"agree": 0, "reject": 0, "doesntMatch": 0, "group": row["item"].slice}
        if counts[name]["agree"] + counts[name]["reject"] + counts[name]["doesntMatch"] < k:
            counts[name][status] += 1
    right: dict[str, int] = {}
    total: dict[str, int] = {}
    for item in counts.values():
        half = (item["agree"] + item["reject"] + item["doesntMatch"]) / 2
        group = item["group"]
        right.setdefault(group, 0)
        total.setdefault(group, 0)
        if item["agree"] > half:
            right[group] += 1
            total[group] += 1
        elif item["reject"] > half:
            total[group] += 1
    figures = {group: right[group] / total[group] for group in right}
    figures["macro"] = sum(right[group] / total[group] for group in right) / 3
    figures["accuracy"] = sum(right.values()) / sum(total.values())
    figures["counted"] = sum(total.values())
    return figures


@pytest.fixture(scope="module")
def case() -> tuple[list[Item], list[dict], list[Judgment]]:
    items = synthetic_items(SHARES)
    rows = drawn_rows(items)
    judgments = [
        Judgment(
            item_id=row["item"].item_id,
            seed=0,
            order=(1, 0) if row["random_number"] else (0, 1),
            repeat=place % VOTES,
            text=row["text"],
            reading=read_official(row["text"]),
        )
        for place, row in enumerate(rows)
    ]
    return items, rows, judgments


@pytest.mark.parametrize("k", [1, 3, 5, 7, 9, 10])
def test_official_counts_as_a_straight_rewriting_of_the_authors_script(case, k: int) -> None:
    items, rows, judgments = case
    expected = straight(rows, k)
    # the votes asked for, and the first k of all ten, are the same figure
    for protocol, repeats in ((find_protocol(f"official:{k}"), None), (find_protocol("official:10"), k)):
        tally = protocol.tally(items, judgments, repeats)
        for name in ("accuracy", "macro"):
            assert estimate(METRICS["pair"][name], tally) == pytest.approx(expected[name], abs=1e-12)
        for name in SHARES:
            assert estimate(of_slice("pair", name), tally) == pytest.approx(expected[name], abs=1e-12)
        assert sum(tally["score"] >= 0) == expected["counted"]


def test_the_case_holds_every_kind_of_outcome(case) -> None:
    items, _, judgments = case
    assert {judgment.reading for judgment in judgments} == {"first", "second", "unparsed", 12}
    tally = find_protocol("official:9").tally(items, judgments)
    score, read = tally["score"], tally["read"]
    assert (score == 1).sum() > 100
    assert (score == 0).sum() > 100
    # left out: majorities without a verdict, and splits in which most votes have one
    assert ((score != score) & (read < 0.5)).sum() > 100
    assert ((score != score) & (read > 0.5)).sum() > 100


def test_the_tables_in_the_tasks_readme_are_those_that_the_command_makes() -> None:
    assert tables() in README.read_text(encoding="utf-8")
