"""How long a leaderboard of many runs takes: `.venv/bin/python benchmarks/leaderboard.py [--write]`.

Makes 200 synthetic run folders of 1,250 items, both orders, one seed, and draws their leaderboard in whole
processes: the first counts every run, the second finds them counted, the third has one run more. `--write` puts
the table into `benchmarks/leaderboard.md`.
"""

import os
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tabulate import tabulate

# before another package's `tests`
sys.path.insert(0, str(Path(__file__).parent.parent))

from harness import provenance
from harness.records import Item, Judgment, item_id
from tests.toys import write

RUNS, SLICES = 200, {"general": 183, "hallucination": 749, "reasoning": 318}
NAMES = [name for name, count in SLICES.items() for _ in range(count)]
LIMIT = 5.0


def make_items() -> list[Item]:
    """Make items with questions and responses as long as a benchmark's; two in three share their image."""
    words = "What is shown in this picture, and which of its parts bear on the answer? "
    items = []
    for i, name in enumerate(NAMES):
        question, responses = f"{words}{i}", (f"It shows {i}. " * 12, f"It shows {i + 1}. " * 12)
        items.append(
            Item(
                item_id=item_id(f"made/{i}", question, responses),
                source_id=str(i),
                question=question,
                responses=responses,
                label=i % 2,
                slice=name,
                cluster_id=f"image {i // 3 * 2 + (i % 3 == 2)}",
                image_hash=None,
            )
        )
    return items


def make_run(path: Path, items: list[Item], number: int) -> None:
    """Write a finished run whose judge is right more often the higher its number."""
    draw, accuracy = random.Random(number), 0.5 + 0.4 * number / RUNS
    judgments = []
    for item in items:
        assert isinstance(item.label, int)
        for order in ((0, 1), (1, 0)):
            chosen = item.label if draw.random() < accuracy else 1 - item.label
            reading = "first" if chosen == order[0] else "second"
            text = f"It fits the picture better. Overall Judgment: Answer {1 if reading == 'first' else 2} is better."
            judgments.append(
                Judgment(item_id=item.item_id, seed=0, order=order, text=text, reading=reading, seconds=0.1)
            )
    write(path, items, judgments, task="vlrewardbench")


def draw_up(folder: str) -> float:
    """Time the command as a process of its own."""
    command = [sys.executable, "-m", "harness", "leaderboard", "--task", "vlrewardbench", "--format", "json"]
    started = time.perf_counter()
    subprocess.run(command, env={**os.environ, "HARNESS_RESULTS": folder}, capture_output=True, check=True)
    return time.perf_counter() - started


def main(write: bool) -> None:
    """Make the runs, time the calls, print or write the table."""
    items = make_items()
    with tempfile.TemporaryDirectory() as folder:
        for number in range(RUNS):
            make_run(Path(folder) / "runs" / f"made-{number:03}", items, number)
        first = draw_up(folder)
        again = [draw_up(folder) for _ in range(5)]
        make_run(Path(folder) / "runs" / f"made-{RUNS}", items, RUNS)
        one_more = draw_up(folder)
        size = sum(path.stat().st_size for path in Path(folder).glob("cache/counted/*")) / 2**20
    rows = [
        ["first, nothing counted yet", f"{first:.1f}", ""],
        ["again, median of 5", f"{sorted(again)[2]:.1f}", f"{LIMIT:.0f}"],
        ["with one run more: it is counted, and all are ranked anew", f"{one_more:.1f}", f"{LIMIT:.0f}"],
    ]
    machine = ", ".join(f"{key.replace('_', ' ')} {value}" for key, value in provenance.hardware().items())
    table = tabulate(rows, ["call", "seconds", "limit"], tablefmt="github", disable_numparse=True)
    text = f"""# A leaderboard of {RUNS} runs

Made by `.venv/bin/python benchmarks/leaderboard.py --write`: {RUNS} synthetic runs of {len(items)} items in both
orders, one seed; whole processes, on {machine}.

{table}

What is kept of them takes {size:.1f} MiB. The table waits for every file of every run to be read and hashed: that
is what makes a stale figure impossible.
"""
    if write:
        (Path(__file__).parent / "leaderboard.md").write_text(text, encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main("--write" in sys.argv)
