"""A sweep, really run in small: a cell that is killed and resumed, one that cannot work, one process stopped."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from harness.records import RunFolder
from tests.test_main_job import harness, part_of

SWEEP = """\
# Does it matter how long distillation takes?
recipe: distill
tasks: [vlrewardbench]
seeds: [0, 1]
set: {world.pairs: 64, world.items: 24, sft.save_steps: 1, judging.batch_size: 16}
show: [sft.updates]
cells:
  short: {sft.epochs: 0.5}
  long: {sft.epochs: 2}
"""
BROKEN = """\
\"\"\"A recipe that cannot work.\"\"\"

SECTIONS = {"world", "sft"}


def train(run, config, seed):
    raise ZeroDivisionError("nothing to divide")
"""


def start(results: Path, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "harness", "sweep", *arguments],
        env={**os.environ, "HARNESS_RESULTS": str(results), "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def children(process: subprocess.Popen[str]) -> list[int]:
    found = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    return [int(child) for child in found]


def wait_for(condition, process: subprocess.Popen[str]) -> None:
    end = time.monotonic() + 900
    while not condition():
        assert time.monotonic() < end
        assert process.poll() is None, process.communicate()[0]
        time.sleep(0.02)


def test_a_cell_that_fails_is_one_line_and_one_that_was_killed_goes_on(tmp_path: Path) -> None:
    results, file = tmp_path / "results", tmp_path / "short-or-long.yaml"
    recipe = tmp_path / "own/recipes/broken/recipe.py"
    recipe.parent.mkdir(parents=True)
    recipe.write_text(BROKEN)
    file.write_text(SWEEP.replace("cells:\n", "cells:\n  broken: {recipe: broken}\n") + "baseline: short\n")
    swept = [str(file), "--include-path", str(tmp_path / "own")]

    # the last cell is killed, once a checkpoint of its training is written
    sweep = start(results, *swept)
    written = part_of(results, "sft", "checkpoints/checkpoint-*/trainer_state.json")
    wait_for(lambda: len(list((results / "runs").glob("distill-*/run.json"))) == 2 and written(), sweep)
    (child,) = children(sweep)
    os.kill(child, signal.SIGKILL)
    said, _ = sweep.communicate(timeout=900)
    plain = " ".join(said.split())
    assert sweep.returncode == 4, said
    assert "3 cells, 3 to run, 1 at a time" in plain
    assert "broken failed: internal error: ZeroDivisionError: nothing to divide." in plain
    assert "long failed: killed by signal 9." in plain
    assert "2 of 3 cells failed; the same command goes on with them." in plain
    assert "Missing: broken; long." in plain
    assert "Traceback" not in said

    # without the one that cannot work, the other is resumed and nothing is done twice
    file.write_text(SWEEP)
    plan = " ".join(harness(results, "sweep", str(file), "--dry-run").split())
    assert "short │ complete │ 0 │" in plan
    assert "long │ unfinished │" in plan
    before = {path: path.stat().st_mtime_ns for path in results.glob("cache/*/info.json")}
    plain = " ".join(harness(results, "sweep", str(file)).split())
    assert "2 cells, 1 to run" in plain
    assert "Each against short, paired item by item" in plain
    assert "Missing" not in plain
    assert before.items() <= {path: path.stat().st_mtime_ns for path in results.glob("cache/*/info.json")}.items()
    assert len(list(results.glob("cache/sft-*/info.json"))) == 4

    # and every cell is an ordinary run
    runs = json.loads((results / "sweeps/short-or-long/runs.json").read_text())
    short, long = (next(run for cell, run in runs.items() if f"epochs={n}" in cell) for n in ("0.5", "2"))
    (compared,) = json.loads(harness(results, "compare", short, long, "--format", "json"))["comparisons"]
    assert {"setting": "sft.epochs", "baseline": 0.5, "candidate": 2.0} in compared["settings"]
    stages = RunFolder(results / "runs" / short).read_run().stages
    assert {stage.seed for stage in stages if stage.stage == "sft"} == {0, 1}


def test_a_sweep_that_is_stopped_stops_its_cells(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text(SWEEP)
    sweep = start(tmp_path / "results", str(file), "--workers", "2")
    # once each has said its first words, it is past its birth
    logs = tmp_path / "results/sweeps/mine/logs"
    wait_for(lambda: sum(log.stat().st_size > 0 for log in logs.glob("*.txt")) == 2, sweep)
    cells = children(sweep)
    assert len(cells) == 2
    sweep.send_signal(signal.SIGTERM)
    said, _ = sweep.communicate(timeout=120)
    assert sweep.returncode == 4
    assert said.splitlines()[-1] == "harness: stopped; what is done is kept. The same command goes on."
    for cell in cells:
        with pytest.raises(ProcessLookupError):
            os.kill(cell, 0)
