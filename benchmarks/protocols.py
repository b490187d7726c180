"""The same votes under `official:1` and `lmms-eval`: `.venv/bin/python benchmarks/protocols.py [--write]`.

The votes are synthetic: random answers to 1,250 items with the shares of slices that VL-RewardBench
has, one an item. `--write` puts the tables into `tasks/vlrewardbench/README.md`.
"""

import random
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from harness.counting.metrics import METRICS, estimate, of_slice
from harness.protocols import Protocol, Tally, find_protocol
from harness.protocols.reading import read_official
from harness.records import Item, Judgment, item_id

SHARES = {"general": 183, "hallucination": 749, "reasoning": 318}
SKILL = {"general": 0.45, "hallucination": 0.6, "reasoning": 0.7}
"""How often the synthetic judge is right, by slice."""
UNPARSED = {"general": 0.2, "hallucination": 0.1, "reasoning": 0.3}
"""How often its answer has no verdict."""
TWELVE = 0.02
"""How often it names an answer that is not there."""


def synthetic_items(shares: dict[str, int], seed: int = 0) -> list[Item]:
    """Make items whose responses' lengths, and so their order under lmms-eval, are random."""
    rng, items = random.Random(f"items {seed}"), []
    for slice_, count in shares.items():
        for number in range(count):
            responses = ("a" * rng.randrange(1, 9), "b" * rng.randrange(1, 9))
            name = f"synthetic/{slice_}-{number}"
            items.append(
                Item(
                    item_id=item_id(name, "", responses),
                    source_id=name,
                    question="",
                    responses=responses,
                    label=rng.randrange(2),
                    slice=slice_,
                    cluster_id=name,
                    image_hash=None,
                )
            )
    return items


def synthetic_votes(items: Sequence[Item], protocol: Protocol, seed: int = 0) -> list[Judgment]:
    """Draw an answer to every presentation: right, wrong, without a verdict, or naming answer 12."""
    rng, votes = random.Random(f"votes {seed}"), []
    by_id = {item.item_id: item for item in items}
    for shown in protocol.presentations(items, seed):
        item, chance = by_id[shown.item_id], rng.random()
        chosen = item.label if rng.random() < SKILL[item.slice] else 1 - int(str(item.label))
        text = f"Overall Judgment: Answer {1 + shown.order.index(int(str(chosen)))} is better."
        if chance < UNPARSED[item.slice]:
            text = "Both have their merits."
        elif chance < UNPARSED[item.slice] + TWELVE:
            text = "Overall Judgment: Answer 12 is better."
        votes.append(Judgment(**shown._asdict(), seed=0, text=text, reading=read_official(text)))
    return votes


def _figures(tally: Tally) -> dict[str, float]:
    metrics = {name: METRICS["pair"][name] for name in ("accuracy", "macro")}
    metrics |= {name: of_slice("pair", name) for name in SHARES}
    return {name: 100 * estimate(metric, tally) for name, metric in metrics.items()}


def _accuracy(tally: Tally, kept: Sequence[bool]) -> float:
    return float(100 * np.nanmean(tally["score"][np.array(kept)]))


def tables() -> str:
    """Return both protocols' figures on the same votes, and what each difference comes from."""
    items = synthetic_items(SHARES)
    parity, official = find_protocol("lmms-eval"), find_protocol("official:1")
    votes = synthetic_votes(items, parity)
    said = {vote.item_id: vote.reading for vote in votes}
    unparsed = [said[item.item_id] == "unparsed" for item in items]
    twelve = [isinstance(said[item.item_id], int) for item in items]
    named = [not (a or b) for a, b in zip(unparsed, twelve, strict=True)]
    left, right = official.tally(items, votes), parity.tally(items, votes)
    ours, upstream = _figures(left), _figures(right)
    lines = ["| synthetic votes | `official:1` | `lmms-eval` | difference |", "| --- | --- | --- | --- |"]
    lines += [
        f"| {name} | {ours[name]:.2f} | {upstream[name]:.2f} | {upstream[name] - ours[name]:+.2f} |" for name in ours
    ]
    lines += [f"| items that count | {sum(~np.isnan(left['score']))} | {len(items)} | +{sum(unparsed)} |", ""]
    lines += ["| an answer that names | items | `official:1` | `lmms-eval` | moves accuracy by |"]
    lines += ["| --- | --- | --- | --- | --- |"]
    same = f"{_accuracy(left, named):.2f} % right | {_accuracy(right, named):.2f} % right"
    lines += [f"| answer 1 or 2 | {sum(named)} | {same} | 0 |"]
    # one rule changed after the other, from official:1 to lmms-eval
    score, moved = left["score"].copy(), [float(np.nanmean(left["score"]))]
    for group in (twelve, unparsed):
        score[np.array(group)] = right["score"][np.array(group)]
        moved.append(float(np.nanmean(score)))
    lines += [f"| answer 12 | {sum(twelve)} | right | wrong | {100 * (moved[1] - moved[0]):+.2f} |"]
    lines += [f"| none | {sum(unparsed)} | left out | half right | {100 * (moved[2] - moved[1]):+.2f} |", ""]
    lines += [
        f"lmms-eval itself prints only the macro average: {upstream['macro']:.2f}, beside an overall accuracy of",
        f"{ours['accuracy']:.2f} that the authors' rules give to the very same answers.",
    ]
    return "\n".join(lines)


README = Path(__file__).parent.parent / "tasks/vlrewardbench/README.md"
MARKS = ("<!-- begin: benchmarks/protocols.py --write -->\n", "\n<!-- end -->")


def main(write: bool) -> None:
    """Print the tables, or put them into the README between its marks."""
    if not write:
        print(tables())
        return
    text = README.read_text(encoding="utf-8")
    before, after = text.split(MARKS[0])[0], text.split(MARKS[1])[1]
    README.write_text(before + MARKS[0] + tables() + MARKS[1] + after, encoding="utf-8")


if __name__ == "__main__":
    main("--write" in sys.argv)
