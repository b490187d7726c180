"""The scripts in `benchmarks/` are run by hand: what they make must still be what the harness takes."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from benchmarks import compare, leaderboard
from harness.counting.results import load_result
from harness.records import Item, RunFolder
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


SCRIPTS = sorted(path.name for path in (ROOT / "benchmarks").glob("*.py") if "ArgumentParser" in path.read_text())


@pytest.mark.parametrize("script", SCRIPTS)
def test_a_script_starts_as_its_first_lines_say(script: str) -> None:
    command = [sys.executable, f"benchmarks/{script}", "--help"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert f"benchmarks/{script}" in done.stdout
