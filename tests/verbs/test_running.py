"""What ends a run: a disk that fails is one line, also where a library wrapped the system's error in its own."""

import errno
import os
from pathlib import Path

import pytest
from fsspec.implementations.local import LocalFileOpener

from harness.data.canonical import write_rows
from harness.errors import HarnessError
from harness.show.console import Screen
from harness.verbs.running import _explained


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO])
def test_a_failing_disk_under_a_library_is_told_as_the_disks(number: int, tmp_path: Path, monkeypatch) -> None:
    import datasets

    def fail(opener: LocalFileOpener) -> None:
        raise OSError(number, os.strerror(number), opener.path)

    write_rows(tmp_path / "t.parquet", [{"id": "1"}], {"id": "text"})
    monkeypatch.setattr(LocalFileOpener, "_open", fail)
    with pytest.raises(HarnessError) as told, _explained(Screen(stderr=True), tmp_path / "log.txt"):
        datasets.Dataset.from_parquet(str(tmp_path / "t.parquet"), cache_dir=str(tmp_path / "cache"))
    assert "\n" not in str(told.value)
    assert ("no space left" if number == errno.ENOSPC else os.strerror(number)) in str(told.value)


def test_a_mistake_that_is_not_the_disks_is_no_line_of_the_disks(tmp_path: Path) -> None:
    with pytest.raises(SystemExit), _explained(Screen(stderr=True), tmp_path / "log.txt"):
        raise ValueError("of ours")
