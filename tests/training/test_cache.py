"""`harness cache`: what lies there, what is damaged, and what may go."""

import os
import time
from pathlib import Path
from typing import Any

import pytest

from harness.cli import main
from harness.training.cache import Entry, prunable
from harness.training.keeping import INFO, seal
from tests.toys import make_items, make_judgments, write

DAY = 86_400


@pytest.fixture
def results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Three artifacts, of which a run names one; and what a stopped stage left."""
    monkeypatch.setenv("HARNESS_RESULTS", str(tmp_path))
    monkeypatch.setenv("COLUMNS", "150")
    cache = tmp_path / "cache"
    for name, size in (("sft-aa", 3000), ("sft-bb", 2000), ("base-judge-cc", 1000)):
        part = cache / f"{name}.part"
        part.mkdir(parents=True)
        (part / "weights").write_bytes(b"x" * size)
        seal(part, cache / name, {"seconds": 1, "peak_mb": 1, "info": {}})
    (cache / "dpo-dd.part").mkdir()
    (cache / "dpo-dd.part/half").write_text("half")
    items = make_items(10)
    run = write(tmp_path / "runs/mine", items, make_judgments(items, 0.7))
    record = run.read_run()
    stage: Any = {"stage": "sft", "seed": 0, "key": "aa", "cached": False, "seconds": 1, "peak_mb": 1, "info": {}}
    run.write_run(record.model_validate(record.model_dump() | {"stages": [stage]}))
    return tmp_path


def said(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str]:
    code = main(["cache", *arguments])
    told = capsys.readouterr()
    return code, told.out + told.err


def test_what_lies_there_is_listed_with_who_uses_it(results: Path, capsys) -> None:
    code, told = said(capsys, "ls", "--every")
    assert code == 0
    rows = {line.split("│")[1].strip(): line for line in told.splitlines() if "│" in line}
    assert "mine" in rows["sft-aa"]
    assert "none" in rows["sft-bb"]
    assert "dpo-dd.part (stopped)" in rows
    (stage,) = (line for line in said(capsys, "ls")[1].splitlines() if "│ sft" in line)
    assert stage.split("│")[2].strip() == "2"


def test_a_damaged_artifact_is_named(results: Path, capsys) -> None:
    assert said(capsys, "check") == (0, "All 3 artifacts are what was written (0.0 MiB).\n")
    (results / "cache/sft-bb/weights").write_bytes(b"y" * 2000)
    code, told = said(capsys, "check")
    assert code == 4
    assert "sft-bb: its weights is not what was written." in told


def test_only_what_no_run_names_goes_unless_it_is_said(results: Path, capsys) -> None:
    code, told = said(capsys, "prune")
    assert (code, told.count("\n")) == (2, 1)
    assert said(capsys, "prune", "--unused", "--older-than", "1")[0] == 0
    assert len(list((results / "cache").glob("[!.]*-*"))) == 4
    assert "would go" in said(capsys, "prune", "--unused", "--dry-run")[1]
    assert len(list((results / "cache").glob("[!.]*-*"))) == 4
    assert said(capsys, "prune", "--unused")[0] == 0
    assert [path.name for path in (results / "cache").glob("[!.]*-*")] == ["sft-aa"]
    assert said(capsys, "prune", "--down-to", "0.0000001", "--used-too")[0] == 0
    assert not list((results / "cache").glob("[!.]*-*"))


def test_what_a_link_leads_to_is_none_of_the_cache(results: Path, tmp_path: Path, capsys) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere/weights").write_text("kept")
    (results / "cache/dpo-ee").symlink_to(tmp_path / "elsewhere")
    assert said(capsys, "check") == (0, "All 3 artifacts are what was written (0.0 MiB).\n")
    assert said(capsys, "prune", "--unused")[0] == 0
    assert (tmp_path / "elsewhere/weights").read_text() == "kept"
    assert sorted(path.name for path in (results / "cache").glob("[!.]*-*")) == ["dpo-ee", "sft-aa"]


def test_what_a_process_works_on_stays(results: Path, capsys) -> None:
    import fcntl

    with (results / "cache/.sft-bb.lock").open("w") as lock:
        # as another process holds it: after lmms-eval's patch one of our own would be taken again
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert "Left alone, as a process works on them: sft-bb." in said(capsys, "prune", "--unused")[1]
    assert (results / "cache/sft-bb" / INFO).exists()


def test_the_longest_unused_goes_first_until_so_much_is_left() -> None:
    now = time.time()
    found = [Entry(Path(f"sft-{k}"), "sft", 2**30, now - k * DAY, ()) for k in range(5)]
    named = [Entry(Path("sft-n"), "sft", 2**30, now - 9 * DAY, ("run",))]

    def names(*terms: Any) -> list[str]:
        return [entry.path.name for entry in prunable([*found, *named], now, *terms)]

    assert names(None, 3.0, False) == ["sft-4", "sft-3", "sft-2"]
    assert names(3.5, 1.0, False) == ["sft-4"]
    assert names(2.5, None, False) == ["sft-4", "sft-3"]
    assert names(None, 5.0, True) == ["sft-n"]


def test_leftovers_of_killed_processes_go_and_those_of_living_ones_stay(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import tempfile

    from harness.scratch import LOCK, Scratch, sweep_temporary

    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    held = Scratch()
    (tmp_path / "harness-dead").mkdir()
    (tmp_path / "harness-dead" / LOCK).touch()
    (tmp_path / "harness-new").mkdir()
    (tmp_path / "harness-old").mkdir()
    os.utime(tmp_path / "harness-old", (1, 1))
    (tmp_path / "others").mkdir()
    sweep_temporary()
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([held.path.name, "harness-new", "others"])
    held.close()
    assert not held.path.exists()
