import errno
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.errors import DataError, HarnessError
from harness.records import Judgment, RunFolder, item_id
from harness.records.run import TaskRecord
from harness.records.store import write_atomically
from harness.scratch import abandoned, part_of
from tests.toys import make_items, make_judgments, write


def test_judgments_come_back_as_written(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    judgments = make_judgments(make_items(5), 0.5)
    folder.append_judgments("toy", judgments[:4])
    folder.append_judgments("toy", judgments[4:])
    assert folder.read_judgments("toy") == judgments


def test_an_answer_takes_the_place_of_the_error_it_was_asked_again_for(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    first, second = make_judgments(make_items(1), 1)
    failed = first.model_copy(update={"reading": "error", "error": "500 ill"})
    folder.append_judgments("toy", [failed, second])
    assert folder.read_judgments("toy") == [failed, second]
    folder.append_judgments("toy", [failed])
    assert folder.read_judgments("toy") == [second, failed]
    folder.append_judgments("toy", [first])
    assert folder.read_judgments("toy") == [second, first]
    # an answer given twice, or lost to a later error, is damage, and stays to be seen
    folder.append_judgments("toy", [first, failed])
    assert folder.read_judgments("toy") == [second, first, first, failed]


@given(st.integers(1, 400))
def test_a_torn_last_line_is_dropped_and_appending_goes_on(cut: int) -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as path:
        folder = RunFolder(Path(path))
        judgments = make_judgments(make_items(3), 0.5)
        folder.append_judgments("toy", judgments[:5])
        whole = folder.judgments_path("toy").read_bytes()
        folder.judgments_path("toy").write_bytes(whole[: max(0, len(whole) - cut)])
        kept = folder.read_judgments("toy")
        folder.mend_judgments("toy")
        folder.append_judgments("toy", judgments[len(kept) :])
        assert folder.read_judgments("toy") == judgments


def test_a_damaged_line_is_named(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    folder.append_judgments("toy", make_judgments(make_items(1), 1))
    path = folder.judgments_path("toy")
    path.write_text(path.read_text().replace('"second"', '"perhaps"').replace('"first"', '"perhaps"'))
    with pytest.raises(DataError, match=r"judgments-toy.jsonl, line 1, field 'reading'.*perhaps"):
        folder.read_judgments("toy")


def test_a_second_process_is_turned_away(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from harness.records import RunFolder\n"
        f"folder = RunFolder(Path({str(tmp_path)!r}))\n"
        "with folder.locked():\n    print('in', flush=True); sys.stdin.read()"
    )
    other = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        assert other.stdout.readline() == "in\n"
        with pytest.raises(HarnessError, match="another process"), RunFolder(tmp_path).locked():
            pass
    finally:
        other.communicate("")
    with RunFolder(tmp_path).locked():
        pass


def test_item_ids_follow_what_is_asked_and_nothing_else() -> None:
    one = item_id("bench/1", "what?", ("a", "b"))
    assert one == item_id("bench/1", "what?", ("a", "b"))
    assert len({one, item_id("bench/2", "what?", ("a", "b")), item_id("bench/1", "what?", ("b", "a"))}) == 3


@pytest.mark.parametrize(
    ("reading", "order", "chosen"),
    [("first", (0, 1), 0), ("first", (1, 0), 1), ("second", (0, 1), 1), ("second", (1, 0), 0), ("tie", (0, 1), None),
     ("unparsed", (1, 0), None), ("error", (0, 1), None), ("second", (3, 1), 1)],
)  # fmt: skip
def test_what_was_chosen_is_told_in_the_files_order(reading: str, order: tuple[int, int], chosen: int | None) -> None:
    judgment = Judgment(item_id="x", seed=0, order=order, text="", reading=reading, seconds=0)
    assert judgment.chosen == chosen


@pytest.mark.parametrize(
    ("number", "says"),
    [
        (errno.EACCES, "Permission denied. Choose another -o."),
        (errno.EROFS, "Read-only file system. Choose another -o."),
        (errno.ENOSPC, "No space left on device. Free some space."),
    ],
)
def test_a_file_that_cannot_be_written_says_why_and_what_to_do(tmp_path: Path, monkeypatch, number, says) -> None:
    def refuse(*_, **__):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(HarnessError) as error:
        write_atomically(tmp_path / "x.md", "", "-o")
    assert str(error.value) == f"cannot write {tmp_path}/x.md: {says}"


def test_a_record_of_synthetic_data_names_no_release() -> None:
    assert load_record(synthetic=False).release == "first release"
    assert load_record(synthetic=True).release == ""


def load_record(synthetic: bool) -> TaskRecord:
    return TaskRecord(
        task="toy", kind="pair", protocol="both-orders", protocol_version=1, reader="strict", data="embedded",
        release="first release", data_fingerprint="f", data_items=1, data_slices={}, items=1, slices=[],
        synthetic=synthetic,
    )  # fmt: skip


@pytest.mark.parametrize(
    "config", [{"seeds": False}, {"tasks": "x"}, {"judge": "x"}, {"experts": {"models": 5}}, {"world": [1]}]
)
def test_a_configuration_of_another_shape_is_refused_where_it_is_read(tmp_path: Path, config) -> None:
    folder = RunFolder(tmp_path)
    write(tmp_path, make_items(3), [])
    record = json.loads((tmp_path / "run.json").read_text())
    (tmp_path / "run.json").write_text(json.dumps(record | {"config": config}))
    with pytest.raises(DataError, match=r"is not a (list|mapping)"):
        folder.read_run()


@pytest.mark.parametrize("what", ["link", "fifo", "loop", "folder"])
@pytest.mark.parametrize("name", ["run.json", "items-toy.jsonl", "judgments-toy.jsonl", "presentations-toy.jsonl"])
def test_a_runs_file_is_a_plain_file(tmp_path: Path, what: str, name: str) -> None:
    run, secret = tmp_path / "run", tmp_path / "secret"
    secret.write_text("password hunter2\n")
    folder = write(run, make_items(3), make_judgments(make_items(3), 1.0))
    (run / name).unlink()
    if what == "fifo":
        os.mkfifo(run / name)
    elif what == "folder":
        (run / name).mkdir()
    else:
        (run / name).symlink_to(secret if what == "link" else run / name)
    read = {
        "run.json": folder.read_run,
        "items-toy.jsonl": lambda: folder.read_items("toy"),
        "judgments-toy.jsonl": lambda: folder.read_judgments("toy"),
        "presentations-toy.jsonl": lambda: folder.read_presentations("toy"),
    }[name]
    with pytest.raises(DataError, match="is no plain file") as refused:
        read()
    assert "hunter2" not in str(refused.value)


def test_a_part_says_whose_it_is_and_only_ones_of_this_machine_are_judged_by_their_process(tmp_path: Path) -> None:
    mine = part_of(tmp_path / "x")
    mine.touch()
    assert not abandoned(mine)
    gone = mine.with_name(mine.name.replace(f".{os.getpid()}-", ".4194304-"))
    gone.touch()
    assert abandoned(gone)
    elsewhere = gone.with_name(gone.name[: -len("00000000.part")] + "0000beef.part")
    elsewhere.touch()
    assert not abandoned(elsewhere), "another machine may be writing it"
    os.utime(elsewhere, (0, 0))
    assert abandoned(elsewhere)
    assert not abandoned(tmp_path / "x.1-00000000.part"), "what is not there is nobody's to remove"
