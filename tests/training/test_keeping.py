"""Artifacts that were damaged on the disk are noticed and computed again, whatever became of them."""

import io
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from harness.data.tables import fingerprint as real
from harness.errors import HarnessError
from harness.show.console import RunConsole, Screen
from harness.training import keeping
from harness.training.keeping import INFO
from harness.training.stages import Artifact, Silent, Stages

CALLS: list[str] = []


class Watch:
    def __init__(self) -> None:
        self.said: list[str] = []

    def remark(self, line: str) -> None:
        self.said.append(line)

    def begin(self, stage: str, seed: int | None) -> Silent:
        return Silent()

    def end(self, record: Any) -> None:
        pass


def weights(out: Path, *, progress: Silent) -> dict[str, Any]:
    CALLS.append("weights")
    (out / "model").mkdir(exist_ok=True)
    (out / "model/w.bin").write_bytes(bytes(range(256)))
    (out / "note.txt").write_text("note")
    return {"value": 1}


def answers(out: Path, judge: list[Artifact], *, progress: Silent) -> dict[str, Any]:
    CALLS.append("answers")
    (out / "said").write_bytes((judge[0].path / "model/w.bin").read_bytes())
    return {}


def flipped(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[7] ^= 1
    path.write_bytes(data)


DAMAGE: dict[str, Callable[[Path], Any]] = {
    "a flipped bit": lambda folder: flipped(folder / "model/w.bin"),
    "a cut file": lambda folder: os.truncate(folder / "model/w.bin", 100),
    "an empty file": lambda folder: os.truncate(folder / "note.txt", 0),
    "a file gone": lambda folder: (folder / "note.txt").unlink(),
    "no info": lambda folder: (folder / INFO).unlink(),
    "a cut info": lambda folder: os.truncate(folder / INFO, 20),
    "an empty info": lambda folder: os.truncate(folder / INFO, 0),
    "an info that says nothing": lambda folder: (folder / INFO).write_text("[]"),
    "an older info": lambda folder: (folder / INFO).write_text(json.dumps({"seconds": 1, "peak_mb": 1, "info": {}})),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_artifact_is_computed_again_before_anything_is_computed_from_it(tmp_path: Path, damage: str) -> None:
    CALLS.clear()
    whole = Stages(tmp_path, Watch())(weights)
    DAMAGE[damage](whole.path)
    watch = Watch()
    run = Stages(tmp_path, watch)
    judge = run(weights)
    told = run(answers, [judge])
    assert CALLS == ["weights", "weights", "answers"]
    assert (told.path / "said").read_bytes() == bytes(range(256))
    assert len(watch.said) == (damage != "no info")
    assert all("computed again" in line for line in watch.said)
    again = Stages(tmp_path, watch)
    again.opened(again(weights))
    assert CALLS == ["weights", "weights", "answers"]


def test_what_is_whole_is_neither_computed_nor_hashed_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    CALLS.clear()
    Stages(tmp_path, Watch())(weights)
    hashed: list[Path] = []
    monkeypatch.setattr(keeping, "fingerprint", lambda path: hashed.append(path) or real(path))
    run = Stages(tmp_path, Watch())
    judge = run(weights)
    assert hashed == [], "a hit alone compares sizes"
    run.opened(judge)
    run.opened(judge)
    assert len(hashed) == 2
    assert CALLS == ["weights"]


def test_whoever_may_enter_the_folder_may_read_its_files(tmp_path: Path) -> None:
    def closed(out: Path, *, progress: Silent) -> dict[str, Any]:
        (out / "w.bin").write_bytes(b"w")
        (out / "w.bin").chmod(0o600)
        return {}

    made = Stages(tmp_path, Watch())(closed)
    assert (made.path / "w.bin").stat().st_mode & 0o777 == made.path.stat().st_mode & 0o666


def test_an_artifact_that_nobody_can_compute_is_refused(tmp_path: Path) -> None:
    judge = Stages(tmp_path, Watch())(weights)
    flipped(judge.path / "model/w.bin")
    with pytest.raises(HarnessError, match="not what was written"):
        Stages(tmp_path, Watch()).opened(judge)


def test_what_a_killed_process_left_half_written_is_no_part_of_an_artifact(tmp_path: Path) -> None:
    place = Stages(tmp_path, Watch()).place(weights, (), None)[2]
    for name in ("info.json.4194304-00000000.part", "model/rows.json.4194304-00000000.part"):
        left = place.with_name(f"{place.name}.part") / name
        left.parent.mkdir(parents=True, exist_ok=True)
        left.write_text("{")
    made = Stages(tmp_path, Watch())(weights)
    assert sorted(path.name for path in made.path.rglob("*") if path.is_file()) == ["info.json", "note.txt", "w.bin"]


def test_a_file_that_was_added_is_damage_and_a_copy_for_reading_is_not(tmp_path: Path) -> None:
    def table(out: Path, *, progress: Silent) -> dict[str, Any]:
        (out / "pairs.parquet").write_bytes(b"rows")
        return weights(out, progress=progress)

    made = Stages(tmp_path, Watch())(table)
    for copy in ("pairs.arrow", "pairs.ends.npy", "pairs.images"):
        (made.path / copy).write_bytes(b"copied to be read at any place")
    keeping.check_whole(made.path)
    (made.path / "model/adapter.safetensors").write_bytes(b"of somebody else")
    with pytest.raises(keeping.DamagedError, match=r"adapter\.safetensors was not written by its stage"):
        keeping.check_whole(made.path)


@pytest.mark.parametrize(
    "files", ['{"w.bin": [Infinity, "x"]}', '{"w\\u0000.bin": [1, "x"]}', '{"w.bin": [1e400, "x"]}']
)
def test_an_inventory_of_nonsense_is_damage(tmp_path: Path, files: str) -> None:
    (tmp_path / INFO).write_text(f'{{"seconds": 1, "peak_mb": 1, "info": {{}}, "files": {files}}}')
    with pytest.raises(keeping.DamagedError):
        keeping.check_whole(tmp_path)


def test_what_is_computed_again_has_its_bar_before_that_of_the_stage_that_needs_it(tmp_path: Path) -> None:
    def counted(out: Path, judge: Artifact, *, progress: Any) -> dict[str, Any]:
        progress.total(2, "rows")
        progress.advance()
        return {}

    made = Stages(tmp_path, Watch())(weights)
    flipped(made.path / "model/w.bin")
    with RunConsole(Screen(file=io.StringIO()), "a run") as screen:
        run = Stages(tmp_path, screen)
        run(counted, run(weights))
