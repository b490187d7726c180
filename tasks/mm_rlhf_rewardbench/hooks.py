"""MM-RLHF-RewardBench: pairs in sets, one set a question; a picture, or frames of a video."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from harness.data.benchmark import Benchmark, Entry, StrayError
from harness.data.images import some_images
from harness.data.tables import Field, Row, files_of, identifier, speech
from harness.embedded.data import benchmark_rows
from harness.evaluate.hooks import fill, task_hooks
from harness.records.content import mark
from harness.settings import WorldSettings

HERE = Path(__file__).parent
CATEGORIES = ("mcq", "long", "short", "safety", "video")
"""Told from the path of the picture or video, the first that stands in it."""
FRAMES = 32
"""Frames that are shown of a video, evenly spaced."""
PICTURES = (".png", ".jpg", ".jpeg", ".webp")


def prepare(row: Row, folder: Path) -> Row:
    """Say what the row shows: its picture, or frames of its video's folder; and its category.

    People's reasons (`chosen_reason`, `rejected_reason`) are never read.
    """
    path, image = row.get("video") or row.get("image"), row.get("image")
    named = path.get("path") if isinstance(path, dict) else path
    told = row.get("category") or (named if isinstance(named, str) else "")
    category = next((name for name in CATEGORIES if name in str(told).lower()), str(told))
    frames = row.get("frames")
    if not frames and isinstance(row.get("video"), str):
        frames = _spaced([name for name in files_of(row["video"], folder) if name.lower().endswith(PICTURES)])
    return {**row, "frames": frames or [image], "category": category}


def _spaced(names: list[str]) -> list[str]:
    if len(names) <= FRAMES:
        return names
    return [names[round(place * (len(names) - 1) / (FRAMES - 1))] for place in range(FRAMES)]


def entry(row: dict[str, Any]) -> Entry:
    """Read a row in MM-RLHF-RewardBench's fields; the pairs of one id are a set."""
    category = row["category"]
    if category not in CATEGORIES and not category.startswith("embedded/"):
        raise StrayError(category)
    frames = tuple(row["frames"])
    question = "".join(f"{mark(place)}\n" for place in range(len(frames))) + row["prompt"]
    if row["chosen"] == row["rejected"]:
        raise ValueError("chosen and rejected are the same")
    return Entry(row["id"], question, (row["chosen"], row["rejected"]), 0, category, frames, row["id"])


def prompt(question: str, shown: Sequence[str], compares: bool) -> str:
    """Ask which of two is better, in our words."""
    return fill((HERE / "judge.txt").read_text(encoding="utf-8"), question, shown)


def embedded(world: WorldSettings) -> Iterator[dict[str, Any]]:
    """Yield the embedded benchmark of VL-RewardBench in these fields; the pairs of one picture are a set."""
    sets: dict[bytes, int] = {}
    for row in benchmark_rows(world):
        better, worse = (row["response"][row["human_ranking"].index(rank)] for rank in (0, 1))
        yield {
            "id": f"embedded-{sets.setdefault(row['image'], len(sets)):05d}",
            "image": row["image"],
            "category": f"embedded/{row['category']}",
            "prompt": row["query"],
            "chosen": better,
            "rejected": worse,
        }


BENCHMARK = Benchmark(
    "mm_rlhf_rewardbench",
    "yifanzhang114/MM-RLHF-RewardBench",
    {
        "id": Field(identifier, "a non-empty id"),
        "frames": Field(some_images, "a readable image, or a folder of frames"),
        "prompt": Field(speech, "a non-empty string"),
        "chosen": Field(speech, "a non-empty string"),
        "rejected": Field(speech, "a non-empty string"),
        "category": Field(speech, f"a path with {', '.join(CATEGORIES)} in it"),
    },
    entry,
    keys=("id", "prompt", "chosen", "rejected"),
    image=None,
    image_lists=("frames",),
    slices=CATEGORIES,
    releases={"released": {"mcq": 42, "long": 37, "short": 34, "safety": 32, "video": 25}},
    stray_fix=f"One of {', '.join(CATEGORIES)} stands in the path of every image and video, or in `category`.",
    prepare=prepare,
    file="mm_reward_bench.jsonl",
)
TASKS = {"mm_rlhf_rewardbench": task_hooks(BENCHMARK, HERE / "mm_rlhf_rewardbench.yaml", prompt, embedded)}
globals().update(TASKS["mm_rlhf_rewardbench"].functions)
