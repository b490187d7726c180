"""Time and memory of what a newcomer runs, in a fresh clone: writes benchmarks/embedded.md.

    .venv/bin/python benchmarks/embedded.py            # three quarters of an hour; --quick: the main job alone
    ONEDNN_MAX_CPU_ISA=AVX2 ATEN_CPU_CAPABILITY=avx2 .venv/bin/python benchmarks/embedded.py

The second form holds torch to AVX2, which most processors have; the page says so.
"""

import argparse
import os
import subprocess
import tempfile
import time
from pathlib import Path

from tabulate import tabulate

from harness.precision import CAPPING
from harness.provenance import hardware, packages, revision
from harness.records import Run, RunFolder

ROOT = Path(__file__).parent.parent
QUICK = {
    "`make install`": ("make install", None),
    "`make run`": ("make run", 480),
    "`make run`, once more": ("make run", 60),
}
WHOLE = QUICK | {"`make test`": ("make test", 1200), "`.ci/run`, `make test` included": ("bash .ci/run", 1800)}
"""What is run in the clone, and its limit in seconds."""


def timed(command: str, clone: Path) -> float:
    """Run a command in the clone and return its wall seconds; a failure ends the benchmark."""
    started = time.perf_counter()
    subprocess.run(command.split(), cwd=clone, check=True)
    return time.perf_counter() - started


def runs_of(clone: Path) -> list[Run]:
    """Read the main job's two runs, the first made first."""
    folders = (path.parent for path in clone.glob("results/runs/*/run.json") if path.parent.name != "ci")
    return sorted((RunFolder(path).read_run() for path in folders), key=lambda run: run.started)


def stage_rows(runs: list[Run]) -> list[list[str]]:
    """One row a stage that took at least half a second."""
    rows, seen = [], set()
    for run in runs:
        for stage in run.stages:
            if stage.key not in seen and stage.seconds >= 0.5:
                rows.append([run.config["recipe"], stage.stage, f"{stage.seconds:.1f}", f"{stage.peak_mb:.0f}"])
            seen.add(stage.key)
    return rows


def report(walls: dict[str, float], commands: dict[str, tuple[str, int | None]], runs: list[Run]) -> str:
    """Write the page."""
    limits = {name: limit for name, (_, limit) in commands.items()}
    whole = [[name, f"{wall:.0f}", limits[name] or "–"] for name, wall in walls.items()]
    machine = ", ".join(f"{key.replace('_', ' ')} {value}" for key, value in hardware().items())
    arithmetic = ", ".join(f"{key} {value}" for key, value in runs[0].arithmetic.items())
    capped = any(name in os.environ for name in CAPPING)
    versions = ", ".join(f"{name} {version}" for name, version in packages().items())
    accuracy = ", ".join(
        f"{run.config['recipe']} {100 * stage.info['accuracy']:.1f}"
        for run in runs
        for stage in run.stages
        if stage.stage.startswith("judge")
    )
    tables = [
        tabulate(whole, ["in a fresh clone", "seconds", "limit"], tablefmt="github", disable_numparse=True),
        tabulate(
            stage_rows(runs), ["run", "stage", "seconds", "peak MiB so far"], tablefmt="github", disable_numparse=True
        ),
    ]
    return f"""# What a newcomer runs, measured

Made by `.venv/bin/python benchmarks/embedded.py` at {(revision() or "")[:12]}, on {machine}; {versions}.
Arithmetic: {arithmetic}.{" Torch was held to these vector features on purpose: most processors have no more." * capped}

{tables[0]}

The main job is `make run`: {accuracy} % right over both orders of 1,250 synthetic items, seed 0. Its stages:

{tables[1]}

Stages under half a second are left out. Imports and drawing the tables make up the rest.
{"" if "accelerator" in hardware() else "No GPU was at hand: its times and accuracies are still to be measured."}
"""


def main() -> None:
    """Clone, run, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="the main job alone, and do not write the page")
    options = parser.parse_args()
    commands = QUICK if options.quick else WHOLE
    with tempfile.TemporaryDirectory() as folder:
        clone = Path(folder) / "harness"
        subprocess.run(["git", "clone", "--quiet", str(ROOT), str(clone)], check=True)
        walls: dict[str, float] = {}
        runs: list[Run] = []
        for name, (command, _) in commands.items():
            walls[name] = timed(command, clone)
            runs = runs or runs_of(clone)
            print(name, f"{walls[name]:.0f} s", flush=True)
        text = report(walls, commands, runs)
    print(text)
    if not options.quick:
        (Path(__file__).parent / "embedded.md").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
