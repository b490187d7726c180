"""Finished runs to report on: of the embedded world with its images, hostile ones, and other kinds of task."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from harness.data.benchmark import entries, make_item
from harness.data.images import image_hash
from harness.embedded.data import benchmark_rows
from harness.evaluate.hooks import load_hooks
from harness.records import Item, Judgment, RunFolder
from harness.records.run import StageRecord
from harness.registry import content_roots, load_task
from harness.settings import WorldSettings
from tests.toys import write

HOSTILE = (
    "<script>alert(1)</script>",
    "</script><script>alert(2)</script>",
    "<!--<script>",
    "]]>&lt;b&gt; &amp;",
    "line\u2028separator \u202eesrever\u202c \u0007bell",
    "\" onmouseover='alert(3)' {{ 7*7 }} ${alert(4)}",
    "<img src=x onerror=alert(5)><svg onload=alert(6)>",
)


def embedded_items(count: int) -> list[Item]:
    """Make the items of the embedded benchmark, with the hashes of their images."""
    task = load_task("vlrewardbench", content_roots())
    benchmark = load_hooks(task.name, task.hooks).benchmark
    rows = entries(benchmark_rows(WorldSettings(items=count)), "embedded", Path(), benchmark)
    return [make_item(entry, benchmark, image_hash(row[benchmark.image])) for row, entry in rows]


def answers(
    items: Sequence[Item], right: Sequence[bool], seeds: Sequence[int] = (0,), text: str = ""
) -> list[Judgment]:
    """Answer every item in both orders, right or wrong as told, and say so with P."""
    judgments = []
    for seed in seeds:
        for place, (item, well) in enumerate(zip(items, right, strict=True)):
            for order in ((0, 1), (1, 0)):
                assert isinstance(item.label, int)
                first = (order[0] == item.label) == well
                said = text or f"seed {seed} on {item.source_id}"
                said += f"\nOverall Judgment: Answer {1 if first else 2} is better."
                judgments.append(
                    Judgment(
                        item_id=item.item_id,
                        seed=seed,
                        order=order,
                        text=said,
                        reading="first" if first else "second",
                        p_first=0.55 + 0.04 * (place % 10) if first else 0.45 - 0.04 * (place % 10),
                    )
                )
    return judgments


def trained() -> list[StageRecord]:
    """Say what the stages of CAREVL record."""
    curve = {"step": [1, 2, 3], "loss": [1.0, 0.1, 0.01]}
    infos: list[tuple[str, int | None, dict[str, Any]]] = [
        (
            "expert-scores",
            None,
            {
                "pairs": 10,
                "texts": 52,
                "captions_cut": [3, 0],
                "still_too_long": [1, 0],
                "controls": {
                    "pairs": 3,
                    "of_other_caption": 0,
                    "own_caption": [0.667, 1.0],
                    "no_caption": [0.333, 0.123],
                    "other_caption": [None, None],
                },
            },
        ),
        (
            "split-by-confidence",
            None,
            {
                "kept": 6,
                "share": 0.6,
                "agreement": {"expert 0": 0.7, "expert 1": 0.8},
                "by_slice": {"general": {"pairs": 10, "kept": 0.6, "agreement": [0.7, 0.8]}},
                "disagreement_correlation": {"0-1": 0.25},
                "experts_together": {"0-1": {"phi": 0.25, "kappa": None, "both_err": 0.1, "both_err_apart": 0.06}},
                "calibration": [{"pairs": 5, "margin": m, "confirmed": m} for m in (0.5, 1.0)],
                "left_out_curve": [{"share": s, "threshold": 1 - s, "agreement": 1 - s / 2} for s in (0.5, 1.0)],
            },
        ),
        (
            "filter-accuracy",
            None,
            {
                **(standing := {"pairs": 10, "labels_right": 0.9, "precision": 1.0, "recall": 0.667}),
                "experts_right": [0.6, 0.7],
                "by_slice": {"general": {**standing, "precision": None, "experts_right": [0.6, 0.7]}},
                "experts_together": {"0-1": {"phi": 0.5, "kappa": 0.4, "both_err": 0.2, "both_err_apart": 0.12}},
                "calibration": [{"pairs": 5, "margin": m, "confirmed": m, "right": m} for m in (0.5, 1.0)],
                "precision_curve": [{"share": s, "threshold": 1 - s, "precision": 1 - s / 10} for s in (0.5, 1.0)],
            },
        ),
        ("sft", 0, {"rows": 12, "updates": 3, "loss": 0.01, "curve": curve}),
        (
            "score-judgments",
            None,
            {"judgments": 5, "mean": {"valid_format": 1.0}, "scores": {"for the label": [0, 2], "against it": [3, 0]}},
        ),
        ("scorer-accuracy", None, {"label": 0.25, "samples": 0.875, "best": 0.9, "chosen": None, "differing": 0}),
        (
            "dpo",
            0,
            {
                "rows": 4,
                "updates": 3,
                "loss": 0.6,
                "curve": curve | {"rewards/margins": [0, 0.1, 0.2], "rewards/accuracies": [0, 0.5, 1]},
            },
        ),
    ]
    return [
        StageRecord(stage=name, seed=seed, key=name, cached=False, seconds=1.5, peak_mb=100, info=info)
        for name, seed, info in infos
    ]


def embedded_pair(folder: Path, count: int = 60) -> tuple[RunFolder, RunFolder]:
    """Make two runs of three seeds on embedded items; the candidate's first item answers with hostile texts."""
    items = embedded_items(count)
    config = {"data": {"vlrewardbench": "embedded"}, "world": {"items": count}}
    about = {"task": "vlrewardbench", "data": "embedded"}
    good, weak = ([place % k != 1 for place in range(count)] for k in (10, 3))
    judgments = answers(items, good, (0, 1, 2))
    # the item that is shown first, so that its answers are seen
    first = next(item for item, g, w in zip(items, good, weak, strict=True) if g and not w)
    hostile = iter(HOSTILE)
    judgments = [
        j.model_copy(update={"text": f"{next(hostile, '')}\n{j.text.splitlines()[-1]}"})
        if j.item_id == first.item_id
        else j
        for j in judgments
    ]
    return (
        write(folder / "candidate", items, judgments, trained(), config, **about),
        write(folder / "baseline", items, answers(items, weak, (0, 1, 2)), (), config, **about),
    )
