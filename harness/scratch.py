"""Temporary folders that are swept after a process that was killed: whose lock is free is nobody's any more."""

import glob
import hashlib
import os
import re
import shutil
import socket
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

PREFIX = "harness-"
LOCK = ".lock"
GRACE = 3600
"""Seconds for which a folder without a lock is left alone: it may just be getting one."""


_OURS = set[Path]()
"""Folders that this process holds: lmms-eval has a process take a lock that it has already."""


class Scratch:
    """A temporary folder, held until it is closed; it goes with it."""

    def __init__(self, purpose: str = "") -> None:
        self.path = Path(tempfile.mkdtemp(prefix=f"{PREFIX}{purpose}"))
        self._lock = FileLock(self.path / LOCK, timeout=0)
        self._lock.acquire()
        _OURS.add(self.path)

    def close(self) -> None:
        """Remove the folder."""
        _OURS.discard(self.path)
        shutil.rmtree(self.path, ignore_errors=True)
        self._lock.release()


@contextmanager
def scratch() -> Iterator[Path]:
    """Hold a temporary folder."""
    held = Scratch()
    try:
        yield held.path
    finally:
        held.close()


def sweep_temporary() -> None:
    """Remove the temporary folders that killed processes of ours left."""
    sweep(Path(tempfile.gettempdir()).glob(f"{PREFIX}*"))


def sweep(folders: Iterable[Path]) -> None:
    """Remove those folders that nobody holds."""
    for folder in folders:
        with suppress(OSError):
            if folder.is_symlink() or not folder.is_dir() or _held(folder):
                continue
            shutil.rmtree(folder)


def part_of(path: Path) -> Path:
    """Name the file that this process writes before it takes the place of `path`; its name says whose it is."""
    return path.with_name(f"{path.name}.{os.getpid()}-{_host()}.part")


def sweep_parts(*paths: Path) -> None:
    """Remove what killed processes left of files that they were writing."""
    for path in paths:
        for left in filter(abandoned, path.parent.glob(f"{glob.escape(path.name)}.*.part")):
            left.unlink(missing_ok=True)


def _host() -> str:
    return hashlib.sha256(socket.gethostname().encode()).hexdigest()[:8]


def abandoned(path: Path) -> bool:
    """Tell whether what a process was writing is nobody's: of one on this machine that is gone, or long untouched."""
    owner = re.search(r"\.(\d+)-([0-9a-f]{8})\.part$", path.name)
    if owner and owner[2] == _host():
        try:
            os.kill(int(owner[1]), 0)
        except ProcessLookupError:
            return True
        except (PermissionError, OverflowError):
            pass
    try:
        return time.time() - path.stat().st_mtime > GRACE
    except FileNotFoundError:
        # its process has just put it in its place
        return False


def _held(folder: Path) -> bool:
    """Tell whether a process holds a folder, or may be about to."""
    if folder in _OURS:
        return True
    if not (folder / LOCK).exists():
        return not abandoned(folder)
    return is_locked(folder / LOCK)


def is_locked(path: Path) -> bool:
    """Tell whether a process holds the lock that this file stands for."""
    lock = FileLock(path, timeout=0)
    try:
        lock.acquire()
    except Timeout:
        return True
    lock.release()
    return False
