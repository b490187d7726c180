"""The stage cache as a whole: what lies in it, who uses it, and what may go.

| in `results/cache/` | what |
| --- | --- |
| `<stage>-<key>/` | an artifact: what a stage computed, with its `info.json` |
| `<stage>-<key>.part/` | what a stage that was stopped had done; the next run that needs it goes on from it |
| `.<stage>-<key>.lock` | held while a stage is computed |
| `counted/` | counted results (`harness/counting/cache.py`) |
"""

import os
import shutil
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from harness.errors import HarnessError
from harness.records import RunFolder
from harness.scratch import is_locked
from harness.training.keeping import INFO, DamagedError, check_whole

PART = ".part"


@dataclass(frozen=True)
class Entry:
    """An artifact, or what a stopped stage left."""

    path: Path
    stage: str
    size: int
    """Bytes."""
    used: float
    """When it was last used, in seconds since 1970."""
    runs: tuple[str, ...]
    """Runs and baselines that name it."""

    @property
    def unfinished(self) -> bool:
        """Whether its stage was stopped."""
        return self.path.suffix == PART

    def locked(self) -> bool:
        """Whether a process works on it now."""
        return is_locked(self.path.parent / f".{self.path.name.removesuffix(PART)}.lock")

    def damage(self) -> str:
        """Say how it differs from what was written; empty where it does not."""
        try:
            check_whole(self.path)
        except DamagedError as why:
            return str(why) or f"it has no {INFO}"
        finally:
            # to look is not to use
            with suppress(OSError):
                os.utime(self.path / INFO, (self.used, (self.path / INFO).stat().st_mtime))
        return ""

    def remove(self) -> None:
        """Remove it, with its lock.

        Raises:
            HarnessError: if it cannot be removed.
        """
        lock = self.path.parent / f".{self.path.name.removesuffix(PART)}.lock"
        try:
            with FileLock(lock, timeout=0):
                shutil.rmtree(self.path)
            lock.unlink(missing_ok=True)
        except Timeout:
            raise HarnessError(f"a process works on {self.path}.", "Wait for it.") from None
        except OSError as error:
            raise HarnessError(f"cannot remove {self.path}: {error.strerror}.", "Mend its rights.") from error


def entries(root: Path, runs: Iterable[RunFolder]) -> list[Entry]:
    """List what lies in the cache, by name.

    Args:
        root: the cache.
        runs: those whose artifacts are in use; records that cannot be read name none.
    """
    users: dict[str, list[str]] = {}
    for folder in runs:
        try:
            stages = folder.read_run().stages
        except HarnessError:
            continue
        for stage in stages:
            users.setdefault(f"{stage.stage}-{stage.key}", []).append(folder.name)
    found = []
    for path in sorted(root.iterdir()) if root.is_dir() else ():
        name = path.name.removesuffix(PART)
        # what a link leads to lies elsewhere, and is not the cache's to check or remove
        if path.is_symlink() or not path.is_dir() or "-" not in name:
            continue
        try:
            files = [file.stat() for file in path.rglob("*") if file.is_file()]
            newest = max((about.st_mtime for about in files), default=path.stat().st_mtime)
            used = max(newest, (path / INFO).stat().st_atime) if (path / INFO).exists() else newest
        except FileNotFoundError:
            # a stage writes there now
            continue
        size = sum(about.st_size for about in files)
        found.append(Entry(path, name.rpartition("-")[0], size, used, tuple(users.get(name, ()))))
    return found


def prunable(found: Sequence[Entry], now: float, days: float | None, gib: float | None, used_too: bool) -> list[Entry]:
    """Choose what goes: what was not used for so long, and of the rest the longest unused until so much is left.

    Args:
        found: what there is.
        now: in seconds since 1970.
        days: entries that were not used for as long; None for any age.
        gib: what may be left at most; None for no limit.
        used_too: whether those go, too, that a run still names.
    """
    free = sorted((e for e in found if used_too or not e.runs), key=lambda entry: entry.used)
    if gib is None:
        return [e for e in free if days is None or now - e.used >= 86_400 * days]
    chosen, left = [], sum(entry.size for entry in found)
    for entry in free:
        if left <= gib * 2**30 or (days is not None and now - entry.used < 86_400 * days):
            break
        chosen.append(entry)
        left -= entry.size
    return chosen
