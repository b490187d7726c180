"""Best of four in the embedded world: what does a judge pick, beside a random pick and one that knows the truth?

    .venv/bin/python benchmarks/best_of.py run:CAREVL-RUN run:DISTILL-RUN        (benchmarks/best-of.md; minutes)

Each question about a test scene has four different responses, of which each is right with the same chance, in a manner
of speaking that says nothing of it. `harness judge` asks about every two in both orders. Where it finds no single best,
the pick counts as the mean over those that share the best score. The first judge is also killed on the way and
resumed: its verdicts have to be the bytes of the unbroken call.
"""

import argparse
import json
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import scipy.stats
from tabulate import tabulate

from harness.data.canonical import write_rows
from harness.embedded import world
from harness.embedded.data import png

RESPONSES, RIGHT = 4, 0.4
COLUMNS = {"id": "text", "image": "image", "question": "text", "responses": "texts"}


class Question(NamedTuple):
    """A row that is judged, with the truth about each response and what kind of question it is."""

    row: dict[str, Any]
    right: list[bool]
    kind: str


def questions(count: int, seed: int) -> Iterator[Question]:
    """Draw questions about test scenes, one a scene."""
    rng, noise = random.Random(f"best of {seed}"), np.random.default_rng([seed, 6])
    source, seen = world.scenes(rng, "test"), set[world.Scene]()
    while len(seen) < count:
        scene = next(source)
        question = world.ask(scene, rng.choice(world.KINDS), rng)
        if scene in seen or question is None:
            continue
        right = [rng.random() < RIGHT for _ in range(RESPONSES)]
        claims = [question.right if true else rng.choice(question.wrong) for true in right]
        responses = [world.say(claim, rng.choice(world.STYLES)) for claim in claims]
        if len(set(responses)) < RESPONSES:
            continue
        seen.add(scene)
        row = {"id": f"{len(seen):04d}", "image": png(scene, noise), "question": question.text, "responses": responses}
        yield Question(row, right, question.kind)


def judge(name: str, rows: Path, output: Path, *more: str) -> subprocess.Popen[bytes]:
    """Begin `harness judge`."""
    command = [sys.executable, "-m", "harness", "judge", name, str(rows), "-o", str(output), *more]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL)


def broken(name: str, rows: Path, output: Path) -> int:
    """Kill a call when a third of its verdicts are written, and resume it; return how many there were."""
    running = judge(name, rows, output)
    while running.poll() is None and (not output.exists() or output.read_bytes().count(b"\n") < 100):
        time.sleep(0.05)
    running.kill()
    running.wait()
    written = output.read_bytes().count(b"\n")
    if judge(name, rows, output, "--resume").wait():
        sys.exit("--resume failed")
    return written


def picked(verdict: dict[str, Any], right: list[bool]) -> float:
    """Return whether the pick is right; the mean over the picks where several share the best score."""
    best = max(verdict["scores"])
    return float(np.mean([true for score, true in zip(verdict["scores"], right, strict=True) if score == best]))


def interval(values: np.ndarray) -> str:
    """Write a mean of independent questions with its bootstrap interval (BCa, 95 %), in percent."""
    if np.ptp(values) == 0:
        return f"{100 * values.mean():.1f}"
    found = scipy.stats.bootstrap((values,), np.mean, rng=np.random.default_rng(0)).confidence_interval
    return f"{100 * values.mean():.1f} [{100 * found.low:.1f}, {100 * found.high:.1f}]"


def main() -> None:
    """Ask, and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("judges", nargs="+", metavar="JUDGE", help="named as `harness judge` names them")
    parser.add_argument("--questions", type=int, default=500)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    asked = list(questions(options.questions, options.seed))
    right = np.array([question.right for question in asked], float)
    chance, oracle = right.mean(axis=1), right.max(axis=1)
    lines = [["random", interval(chance), "", "", ""], ["oracle", interval(oracle), "", "", ""]]
    with tempfile.TemporaryDirectory() as scratch:
        rows = Path(scratch, "rows.parquet")
        write_rows(rows, (question.row for question in asked), COLUMNS)
        for number, name in enumerate(options.judges):
            output = Path(scratch, f"{number}.jsonl")
            start = time.monotonic()
            if judge(name, rows, output).wait():
                sys.exit(f"{name}: failed")
            seconds = time.monotonic() - start
            heard = [json.loads(line) for line in output.read_text().splitlines()]
            verdicts = {line["id"]: line for line in heard if "scores" in line}
            found = np.array([picked(verdicts[question.row["id"]], question.right) for question in asked])
            alone = np.mean([verdict["best"] is not None for verdict in verdicts.values()])
            gain = interval(found - chance)
            lines.append([name, interval(found), gain, f"{100 * alone:.1f}", f"{seconds:.0f}"])
            if number == 0:
                again = Path(scratch, "broken.jsonl")
                written = broken(name, rows, again)
                same = "the same bytes" if again.read_bytes() == output.read_bytes() else "OTHER BYTES"
    header = ["pick", "right (%)", "above random (points)", "single best (%)", "seconds"]
    print(f"{len(asked)} questions, {RESPONSES} responses each, {100 * right.mean():.1f} % of them right.\n")
    print(tabulate(lines, header, tablefmt="github", disable_numparse=True))
    print(f"\nKilled after {written} lines and resumed: {same}.")


if __name__ == "__main__":
    main()
