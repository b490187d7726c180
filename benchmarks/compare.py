"""How long `harness compare` takes on two runs of 1,250 items x 10 votes, beside a plain Python loop.

    .venv/bin/python benchmarks/compare.py --write          (benchmarks/compare.md)

The whole process: start, reading 25,000 judgments, all metrics with intervals, 10,000 swaps of whole clusters for each.
The loop does the swaps of one metric only, as one would write them down. Answers are drawn, not a judge's.
"""

import argparse
import os
import platform
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

# before another package's `tests`
sys.path.insert(0, str(Path(__file__).parent.parent))

from harness.protocols import find_protocol
from harness.records import Item, Judgment, Presentation, RunFolder, item_id
from harness.records.judgment import Reading
from tests.toys import write

ITEMS, VOTES, RESAMPLES, ROUNDS = 1250, 10, 10_000, 5
SLICES = {"general": 183, "hallucination": 749, "reasoning": 318}


def make_items() -> list[Item]:
    """Make items in VL-RewardBench's slices, one to six on an image."""
    draw, slices, items = random.Random(0), [name for name, count in SLICES.items() for _ in range(count)], list[Item]()
    image, left = 0, 0
    for i, name in enumerate(slices):
        if left == 0:
            image, left = image + 1, draw.randint(1, 6)
        left -= 1
        items.append(
            Item(
                item_id=item_id(f"drawn/{i}", "q", ("a", "b")),
                source_id=str(i),
                question="q",
                responses=("a", "b"),
                label=draw.randint(0, 1),
                slice=name,
                cluster_id=f"image {image}",
                image_hash=f"image {image}",
            )
        )
    return items


def write_run(folder: Path, items: Sequence[Item], accuracy: float) -> None:
    """Write a run whose votes are drawn."""
    draw, protocol = random.Random(folder.name), find_protocol(f"official:{VOTES}")
    label = {item.item_id: int(str(item.label)) for item in items}
    chance = {item.item_id: min(0.98, max(0.02, draw.gauss(accuracy, 0.25))) for item in items}

    def answer(shown: Presentation) -> Judgment:
        chosen = label[shown.item_id] if draw.random() < chance[shown.item_id] else 1 - label[shown.item_id]
        reading: Reading = "unparsed" if draw.random() < 0.01 else "first" if shown.order[0] == chosen else "second"
        return Judgment(**shown._asdict(), seed=0, text="", reading=reading)

    judgments = map(answer, protocol.presentations(items, 0))
    write(folder, items, judgments, task="vlrewardbench", protocol=protocol.spec, reader="official")


def timed(command: Sequence[str]) -> tuple[float, float, str]:
    """Run a process; return wall seconds, peak MiB and what it said."""
    started = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=dict(os.environ, COLUMNS="120"))
    assert process.stdout is not None
    said = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0, said
    return time.perf_counter() - started, usage.ru_maxrss / 1024, said


def plain_loop(folder: Path) -> float:
    """Swap whole clusters in plain Python, for the difference in accuracy alone; return the p."""
    from harness.counting.results import load_result

    base, cand = (load_result(RunFolder(folder / name)).tallies[0] for name in ("base", "cand"))
    differences: defaultdict[str | None, float] = defaultdict(float)
    for cluster, b, c in zip(base.clusters, base["score"], cand["score"], strict=True):
        differences[cluster] += (c if c == c else 0.0) - (b if b == b else 0.0)
    values = list(differences.values())
    observed, draw, extreme = abs(sum(values)), random.Random(0), 0
    for _ in range(RESAMPLES):
        extreme += abs(sum(value if draw.random() < 0.5 else -value for value in values)) >= observed
    return (extreme + 1) / (RESAMPLES + 1)


def main() -> None:
    """Time both and print or write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", action="store_true", help="write benchmarks/compare.md")
    parser.add_argument("--loop", metavar="DIR", type=Path, help="(one timing of the loop)")
    options = parser.parse_args()
    if options.loop:
        print(plain_loop(options.loop))
        return
    with tempfile.TemporaryDirectory() as folder:
        for name, accuracy in (("base", 0.60), ("cand", 0.63)):
            write_run(Path(folder) / name, make_items(), accuracy)
        runs = [f"{folder}/base", f"{folder}/cand"]
        commands = {
            "harness compare, every metric": [sys.executable, "-m", "harness", "compare", *runs],
            "a plain Python loop, one metric": [sys.executable, __file__, "--loop", folder],
        }
        rows = ["| process | median s | min | max | peak MiB |", "| --- | ---: | ---: | ---: | ---: |"]
        for name, command in commands.items():
            measured = [timed(command) for _ in range(ROUNDS)]
            seconds = [second for second, _, _ in measured]
            peak = max(mib for _, mib, _ in measured)
            figures = (statistics.median(seconds), min(seconds), max(seconds))
            rows.append(f"| {name} | {' | '.join(f'{x:.2f}' for x in figures)} | {peak:.0f} |")
            print(measured[-1][2])
        torch = subprocess.run(
            [sys.executable, "-X", "importtime", *commands["harness compare, every metric"][1:]],
            capture_output=True, text=True, check=True,
        ).stderr  # fmt: skip
        assert " torch\n" not in torch, "torch was imported"
    table = "\n".join(rows)
    print(table)
    if options.write:
        told = (
            f"# Time of `harness compare`\n\n`benchmarks/compare.py --write`: two drawn runs of {ITEMS} items x "
            f"{VOTES} votes, {RESAMPLES} swaps of whole clusters, {ROUNDS} whole processes each, on {os.cpu_count()} "
            f"cores ({platform.machine()}), Python {platform.python_version()}. torch is not imported.\n\n"
        )
        Path(__file__).with_suffix(".md").write_text(told + table + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
