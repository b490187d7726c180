"""Verbs about the folders of runs: what sets them apart, and how they go."""

import subprocess
import sys
from pathlib import Path

import pytest

from harness.cli import main
from tests.toys import make_items, make_judgments, write


@pytest.fixture
def results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HARNESS_RESULTS", str(tmp_path))
    items = make_items(4)
    for name, beta in (("one", 0.1), ("other", 0.5)):
        config = {"dpo": {"beta": beta}, "sft": {}}
        write(tmp_path / "runs" / name, items, make_judgments(items, 0.5), config=config)
    return tmp_path


def test_settings_that_differ_are_shown_with_their_values(results: Path, capsys) -> None:
    assert main(["diff", "one", "other", "--format", "csv"]) == 0
    assert '"dpo.beta","0.1","0.5"' in capsys.readouterr().out
    assert main(["diff", "one", "one"]) == 0
    assert "They have the same settings." in capsys.readouterr().out


def test_a_run_goes_when_somebody_says_so(results: Path, capsys, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    monkeypatch.setattr("builtins.input", lambda asked: "n")
    assert main(["rm", "one"]) == 2
    assert "nothing was removed" in capsys.readouterr().err
    assert (results / "runs/one/run.json").exists()
    monkeypatch.setattr("builtins.input", lambda asked: "y")
    assert main(["rm", "one"]) == 0
    assert sorted(path.name for path in (results / "runs").iterdir()) == ["other"]
    assert main(["rm", "other", "--yes"]) == 0
    assert list((results / "runs").iterdir()) == []


def test_without_a_terminal_nothing_goes_unless_it_is_said(results: Path, capsys) -> None:
    assert main(["rm", "one"]) == 2
    assert (results / "runs/one/run.json").exists()


@pytest.mark.parametrize("name", ["nobody", "..", "../baselines/main", "/"])
def test_only_runs_of_the_results_folder_are_removed(results: Path, capsys, name: str) -> None:
    assert main(["baseline", "accept", "one", "--reason", "x", "--name", "main"]) == 0
    assert main(["rm", name, "--yes"]) == 2
    assert "Only runs in" in capsys.readouterr().err
    assert (results / "baselines/main/run.json").exists()


def test_of_a_run_that_is_a_link_nothing_is_removed(results: Path, tmp_path: Path, capsys) -> None:
    (results / "runs/one").rename(tmp_path / "elsewhere")
    (results / "runs/one").symlink_to(tmp_path / "elsewhere")
    before = sorted(path.name for path in (tmp_path / "elsewhere").iterdir())
    assert main(["rm", "one", "--yes"]) == 2
    said = capsys.readouterr().err
    assert "is a link to" in said
    assert said.count("\n") == 1
    assert sorted(path.name for path in (tmp_path / "elsewhere").iterdir()) == before


def test_a_lock_that_is_a_link_is_one_line(results: Path, tmp_path: Path, capsys) -> None:
    (tmp_path / "precious").write_text("kept")
    (results / "runs/one/.lock").symlink_to(tmp_path / "precious")
    assert main(["rm", "one", "--yes"]) == 2
    assert capsys.readouterr().err.count("\n") == 1
    assert (tmp_path / "precious").read_text() == "kept"
    assert (results / "runs/one/run.json").exists()


def test_a_run_that_is_worked_on_stays(results: Path, capsys) -> None:
    # by another process: lmms-eval, once it is loaded, lets one process take its own locks again
    code = "import sys; from filelock import FileLock; lock = FileLock(sys.argv[1]); lock.acquire(); print(); input()"
    command = [sys.executable, "-c", code, str(results / "runs/one/.lock")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        holder.stdout.readline()
        assert main(["rm", "one", "--yes"]) == 2
        holder.communicate("\n")
    assert "another process is working on" in capsys.readouterr().err
    assert (results / "runs/one/run.json").exists()
