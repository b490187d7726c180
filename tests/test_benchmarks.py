"""The scripts in `benchmarks/` are run by hand: what they make must still be what the harness takes."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from benchmarks import compare, contamination, leaderboard
from harness.counting.results import load_result
from harness.embedded.data import benchmark_rows, preference_rows
from harness.records import Item, RunFolder
from harness.settings import WorldSettings
from tests.toys import ROOT

RUNS: dict[str, tuple[Callable[[], list[Item]], Callable[[Path, list[Item]], None]]] = {
    "compare": (compare.make_items, lambda path, items: compare.write_run(path, items, 0.6)),
    "leaderboard": (leaderboard.make_items, lambda path, items: leaderboard.make_run(path, items, 1)),
}


@pytest.mark.parametrize("name", RUNS)
def test_the_runs_that_a_script_makes_pass_the_checks_of_a_run(tmp_path: Path, name: str) -> None:
    make_items, write_run = RUNS[name]
    items = make_items()
    write_run(tmp_path / "run", items)
    assert load_result(RunFolder(tmp_path / "run")).items == items


def test_the_script_for_a_gpu_runs_in_small_on_this_machine(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from benchmarks import gpu

    monkeypatch.setattr(sys, "argv", ["benchmarks/gpu.py", "--tiny", "--only", "sft"])
    gpu.main()
    said = capsys.readouterr().out
    assert "SFT with an adapter" in said
    assert "not a measurement" in said


def test_the_script_on_contamination_hands_the_check_what_it_reads(tmp_path: Path) -> None:
    items = list(benchmark_rows(WorldSettings(items=3)))
    pairs = [{"id": row["id"], "image": row["image"], "question": row["query"]} for row in items[:2]]
    found = contamination.stage(tmp_path, iter([*pairs, *preference_rows(WorldSettings(pairs=4))]), items)
    assert (found["pairs"], found["both"]) == (6, 2)


SCRIPTS = sorted(path.name for path in (ROOT / "benchmarks").glob("*.py") if "ArgumentParser" in path.read_text())


@pytest.mark.parametrize("script", SCRIPTS)
def test_a_script_starts_as_its_first_lines_say(script: str) -> None:
    command = [sys.executable, f"benchmarks/{script}", "--help"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert f"benchmarks/{script}" in done.stdout
