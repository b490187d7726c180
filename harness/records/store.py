"""The folder of a run: written so that a crash at any moment loses nothing that was finished.

| file | what |
| --- | --- |
| `config.yaml` | the resolved configuration; `harness run --config` takes it back |
| `run.json` | the `Run` record, replaced atomically |
| `items-<task>.jsonl` | the items asked, one a line |
| `presentations-<task>.jsonl` | what is asked: item, order, repeat; written before the first question |
| `judgments-<task>.jsonl` | the judgments, appended chunk by chunk while the run goes |
| `log.txt` | what libraries had to say |
"""

import errno
import glob
import json
import os
import stat
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import ConfigDict, TypeAdapter, ValidationError

from harness.errors import DataError, HarnessError
from harness.records.item import Item
from harness.records.judgment import Judgment, Presentation
from harness.records.run import Run
from harness.scratch import abandoned, part_of

R = TypeVar("R", Item, Judgment)


DISK_IS_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
"""The errors of a disk, a quota or a limit that leaves no room."""


def write_atomically(path: Path, text: str, option: str = "--out") -> None:
    """Replace `path` by `text` in one step, so that a reader never sees half a file.

    Args:
        path: the file.
        text: its content.
        option: the option that names another place.

    Raises:
        HarnessError: saying why it cannot be written, and what to do.
    """
    part = part_of(path)
    try:
        for left in filter(abandoned, path.parent.glob(f"{glob.escape(path.name)}.*.part")):
            left.unlink(missing_ok=True)
        with part.open("w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
        flush(path.parent)
    except OSError as error:
        with suppress(OSError):
            part.unlink()
        raise unwritable(path, error, option) from error


def flush(path: Path) -> None:
    """See a file or a folder on the disk.

    Raises:
        OSError: if it cannot be written.
    """
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


LARGEST = 2**32
"""Bytes that a file of a run may have."""


def content(path: Path) -> bytes:
    """Read a file of a run, if it is one: a device would never end, and a link may lead to what is none of the run's.

    Raises:
        FileNotFoundError: if it is not there.
        DataError: if it is no plain file, too large, or cannot be read.
    """
    try:
        about = path.lstat()
        if not stat.S_ISREG(about.st_mode):
            raise DataError(f"{path} is no plain file.", "A run's files stand in its folder themselves: copy it there.")
        if about.st_size > LARGEST:
            raise DataError(f"{path} has {about.st_size / 2**30:.0f} GiB.", "No run of the harness has such a file.")
        return path.read_bytes()
    except FileNotFoundError:
        raise
    except (OSError, ValueError) as error:
        raise DataError(f"{str(path)!r} cannot be read: {error}.", "Mend the file's rights or its name.") from None


def cut_torn_line(path: Path) -> None:
    """Cut off a last line that a crash left without its end, so that appending goes on cleanly; no file is no line."""
    data = path.read_bytes() if path.exists() else b""
    if data and not data.endswith(b"\n"):
        with path.open("r+b") as file:
            file.truncate(data.rfind(b"\n") + 1)


def unwritable(path: Path, error: OSError, option: str) -> HarnessError:
    """Say why `path` cannot be written, and what to do: free some space, or name another by `option`."""
    astray = error.errno in (errno.ENOENT, errno.ENOTDIR) and not path.parent.is_dir()
    reason = f"there is no folder {path.parent}" if astray else error.strerror
    fix = "Free some space." if error.errno in DISK_IS_FULL else f"Choose another {option}."
    return HarnessError(f"cannot write {path}: {reason}.", fix)


_SHOWN = TypeAdapter(Presentation, config=ConfigDict(strict=True))


class RunFolder:
    """Reads and writes one run's folder."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.log = path / "log.txt"

    def __repr__(self) -> str:
        return f"RunFolder({str(self.path)!r})"

    @property
    def name(self) -> str:
        """The run's name: its folder's."""
        return self.path.name

    def exists(self) -> bool:
        """Whether a run was begun here."""
        return (self.path / "run.json").exists()

    def sweep(self) -> None:
        """Remove what killed processes left half written; only while the run is held."""
        for part in self.path.glob("*.part"):
            with suppress(OSError):
                part.unlink()

    def refuse_foreign(self) -> None:
        """Refuse a folder in which something lies that is no part of a run."""
        if self.path.exists() and not self.path.is_dir():
            raise HarnessError(f"{self.path} is a file.", "Choose another --out.")
        ours = (".lock", "log.txt", "config.yaml")
        if self.path.is_dir() and any(p.name not in ours and p.suffix != ".part" for p in self.path.iterdir()):
            raise HarnessError(f"{self.path} is not empty and holds no run.", "Choose another --out.")

    def read_run(self) -> Run:
        """Read the run's record."""
        path = self.path / "run.json"
        try:
            return Run.model_validate_json(content(path))
        except FileNotFoundError:
            raise HarnessError(f"{self.path} holds no run.", "`harness ls runs` lists what there is.") from None
        except ValidationError as error:
            first = error.errors()[0]
            field = ".".join(map(str, first["loc"]))
            raise DataError(f"{path}: field {field!r}: {first['msg']}.", "The record was edited or torn.") from error

    def write_run(self, run: Run) -> None:
        """Replace the run's record."""
        self.path.mkdir(parents=True, exist_ok=True)
        write_atomically(self.path / "run.json", run.model_dump_json(indent=1))

    def write_config(self, config: dict[str, Any]) -> None:
        """Write the configuration in the form that `--config` reads."""
        self.path.mkdir(parents=True, exist_ok=True)
        write_atomically(self.path / "config.yaml", yaml.safe_dump(config, sort_keys=False, allow_unicode=True))

    def items_path(self, task: str) -> Path:
        """Where the items of `task` are kept."""
        return self.path / f"items-{task}.jsonl"

    def judgments_path(self, task: str) -> Path:
        """Where the judgments of `task` are kept."""
        return self.path / f"judgments-{task}.jsonl"

    def write_items(self, task: str, items: Iterable[Item]) -> None:
        """Write the items asked by `task`."""
        write_atomically(
            self.items_path(task), "".join(item.model_dump_json(exclude_defaults=True) + "\n" for item in items)
        )

    def read_items(self, task: str) -> list[Item]:
        """Read the items asked by `task`."""
        return list(_records(self.items_path(task), Item))

    def write_presentations(self, task: str, shown: Iterable[Presentation]) -> None:
        """Write every presentation of `task`, before the first is asked."""
        lines = (json.dumps(presentation._asdict()) for presentation in shown)
        write_atomically(self.path / f"presentations-{task}.jsonl", "".join(line + "\n" for line in lines))

    def read_presentations(self, task: str) -> set[Presentation]:
        """Read what `task` asks."""
        path = self.path / f"presentations-{task}.jsonl"
        try:
            return {_SHOWN.validate_json(line) for line in content(path).splitlines()}
        except FileNotFoundError:
            raise HarnessError(f"{path} is missing.", "The run is unfinished: resume it.") from None
        except ValidationError as error:
            told = error.errors()[0]["msg"]
            raise DataError(f"{path} is damaged: {told}.", "Restore the file or run again.") from None

    def read_judgments(self, task: str) -> list[Judgment]:
        """Read every judgment of `task` that was wholly written.

        An error that was asked again later is left out: the file is only ever appended to.
        """
        path = self.judgments_path(task)
        written = list(_records(path, Judgment)) if os.path.lexists(path) else []
        kept, later = list[Judgment](), set()
        for judgment in reversed(written):
            if judgment.reading != "error" or judgment.key not in later:
                kept.append(judgment)
            later.add(judgment.key)
        return kept[::-1]

    def mend_judgments(self, task: str) -> None:
        """Cut off a last line that a crash left unfinished, so that appending goes on cleanly."""
        cut_torn_line(self.judgments_path(task))

    def append_judgments(self, task: str, judgments: Iterable[Judgment]) -> None:
        """Append `judgments` and see them on the disk before returning."""
        lines = "".join(judgment.model_dump_json() + "\n" for judgment in judgments)
        try:
            with self.judgments_path(task).open("a", encoding="utf-8") as file:
                file.write(lines)
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise HarnessError(
                f"cannot write {self.judgments_path(task)}: {error.strerror}.",
                "Free some space, then --resume: what was written is kept.",
            ) from error

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the run for this process; a second one gets an error that says so."""
        from filelock import FileLock, Timeout

        self.path.mkdir(parents=True, exist_ok=True)
        lock = FileLock(self.path / ".lock", timeout=0)
        try:
            lock.acquire()
        except Timeout:
            raise HarnessError(
                f"another process is working on {self.path}.", "Wait for it, or choose another --out."
            ) from None
        try:
            yield
        finally:
            lock.release()


def _records(path: Path, kind: type[R]) -> Iterator[R]:
    """Read JSON lines; a last line without its end is a crash's and is left out."""
    try:
        lines = content(path).split(b"\n")
    except FileNotFoundError:
        raise HarnessError(f"{path} is missing.", "The run is unfinished: resume it.") from None
    for number, line in enumerate(lines[:-1], 1):
        try:
            yield kind.model_validate_json(line)
        except ValidationError as error:
            first = error.errors()[0]
            field = str(first["loc"][0]) if first["loc"] else "line"
            value = json.dumps(first["input"], default=str)[:60]
            raise DataError(
                f"{path}, line {number}, field {field!r}: {first['msg']} (got {value}).",
                "Restore the file or run again.",
            ) from error
