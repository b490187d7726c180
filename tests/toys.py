"""Toy items, judgments and runs, and the settings of small real runs."""

import random
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from harness.protocols.reading import EQUAL
from harness.records import Item, Judgment, Run, RunFolder, item_id, shown_hash
from harness.records.inventory import Inventory
from harness.records.run import StageRecord, TaskRecord

ROOT = Path(__file__).parent.parent

SMALL = [
    "world.pairs=96",
    "world.items=24",
    "sft.epochs=0.5",
    "sampling.samples=3",
    "sampling.max_pairs=12",
    "judging.chunk_size=16",
    "judging.batch_size=16",
]
"""Settings under which every stage of CAREVL still runs, in seconds."""


def make_items(count: int, per_cluster: int = 2) -> list[Item]:
    """Make items in three slices, `per_cluster` to an image."""
    slices = ("general", "hallucination", "reasoning")
    return [
        Item(
            item_id=item_id(f"toy/{i}", f"q{i}", ("a", "b")),
            source_id=str(i),
            question=f"q{i}",
            responses=("a", "b"),
            label=i % 2,
            slice=slices[i % 3],
            cluster_id=f"image {i // per_cluster}",
            image_hash=f"image {i // per_cluster}",
        )
        for i in range(count)
    ]


def changed(item: Item, **changes: Any) -> Item:
    """Change an item, and its name with what it asks."""
    new = item.model_copy(update=changes)
    return new.model_copy(update={"item_id": item_id(f"toy/{new.source_id}", new.question, new.responses)})


def make_judgments(items: list[Item], accuracy: float, seed: int = 0, draw: int = 0) -> list[Judgment]:
    """Draw a judge's answers in both orders, right with probability `accuracy`."""
    rng = random.Random(f"{draw} {seed}")
    judgments = []
    for item in items:
        for order in ((0, 1), (1, 0)):
            assert isinstance(item.label, int)
            chosen = item.label if rng.random() < accuracy else 1 - item.label
            shown_first = chosen == order[0]
            judgments.append(
                Judgment(
                    item_id=item.item_id,
                    seed=seed,
                    order=order,
                    shown=shown_hash(item.question, [item.responses[place] for place in order]),
                    text="",
                    reading="first" if shown_first else "second",
                    seconds=0,
                )
            )
    return judgments


def worded(judgment: Judgment) -> Judgment:
    """Give a toy judgment without words the text that its reading is read in."""
    known: dict[Any, str] = {
        "first": "Overall Judgment: Answer 1 is better.",
        "second": "Overall Judgment: Answer 2 is better.",
        "tie": EQUAL,
    }
    read = judgment.reading
    if isinstance(read, tuple):
        text = ", ".join(f"[[{'ABCDEFGH'[place]}]]" for place in read)
    elif isinstance(read, str):
        text = known.get(read, "")
    else:
        text = f"[[{read}]]"
    return judgment if judgment.text else judgment.model_copy(update={"text": text})


def write(
    folder: Path,
    items: Sequence[Item],
    judgments: Iterable[Judgment],
    stages: Sequence[StageRecord] = (),
    config: dict[str, Any] | None = None,
    status: str = "complete",
    **task: Any,
) -> RunFolder:
    """Write a toy run, whose files agree but for what `config` and `task` say otherwise."""
    run, judgments, inventory = RunFolder(folder), list(map(worded, judgments)), Inventory(items)
    seeds = sorted({j.seed for j in judgments})
    about: dict[str, Any] = {
        "task": "toy",
        "kind": "pair",
        "protocol": "both-orders",
        "protocol_version": 1,
        "reader": "strict",
        "data": "toy",
        "data_fingerprint": inventory.fingerprint,
        "data_items": len(items),
        "data_slices": inventory.counts,
        "items": len(items),
        "slices": list(dict.fromkeys(item.slice for item in items)),
        "synthetic": True,
        "prompts": {str(seed): "words" for seed in seeds},
    } | task
    limit = {"limit": len(items)} if about["data_items"] > len(items) else {}
    record = TaskRecord(**about)
    run.write_run(
        Run(
            name=folder.name,
            status=status,
            config={"recipe": folder.name, "seeds": seeds, **limit} | ({"sft": {}} if config is None else config),
            tasks=[record],
            checkpoints={str(seed): f"print {seed}" for seed in seeds},
            stages=list(stages),
            packages={"numpy": "2"},
            revision="abc",
            hardware={"cores": 2},
            started="2026-01-01",
        )
    )
    run.write_items(record.task, items)
    run.write_presentations(record.task, {j.presentation for j in judgments})
    run.append_judgments(record.task, judgments)
    return run
