"""What can go wrong, in the user's words, and the exit code that says so.

| code | meaning |
| --- | --- |
| 0 | the command did its work |
| 1 | a regression (`gate`), or something found (`contamination --fail`) |
| 2 | a usage or configuration error: one line that names the fix |
| 3 | inconclusive (`gate` only) |
| 4 | the run is incomplete: `--resume` asks what is owed |
| 70 | an internal error, which must never look like a verdict |
"""

import difflib
import errno
import re
from collections.abc import Iterable
from enum import IntEnum
from pathlib import Path


class ExitCode(IntEnum):
    """The exit codes of the `harness` command."""

    OK = 0
    REGRESSION = 1
    FOUND = 1
    USAGE = 2
    INCONCLUSIVE = 3
    INCOMPLETE = 4
    INTERNAL = 70


class HarnessError(Exception):
    """A mistake that the user can mend: `problem` says what is wrong, `fix` what to do."""

    exit_code = ExitCode.USAGE

    def __init__(self, problem: str, fix: str = "") -> None:
        super().__init__(problem)
        self.problem, self.fix = problem, fix

    def __str__(self) -> str:
        return f"{self.problem} {self.fix}".strip()


class DataError(HarnessError):
    """A file that does not hold what it should: names file, row, field, value and fix."""


class NotApplicableError(HarnessError):
    """A task that a judge cannot be asked."""


class RunIncompleteError(HarnessError):
    """A run in which something is still owed."""

    exit_code = ExitCode.INCOMPLETE


class LimitReachedError(RunIncompleteError):
    """A limit of `--max-minutes`, `--max-requests` or `--max-cost`; what was done is kept."""


DISK_FAILS = (
    errno.ENOSPC,
    errno.EDQUOT,
    errno.EFBIG,
    errno.EROFS,
    errno.EACCES,
    errno.EPERM,
    errno.EIO,
    errno.ENAMETOOLONG,
    errno.ENOTDIR,
    errno.EISDIR,
    errno.ELOOP,
)
"""The errors of a disk, or of its rights, that are the user's to mend."""


def disk_fails(error: OSError) -> HarnessError:
    """Say in one line what a disk does not do."""
    what = f"{error.filename}: {error.strerror}" if error.filename else str(error.strerror)
    return HarnessError(
        f"{what}.", "Mend the disk or its rights, and run again; what is done is kept, --resume goes on."
    )


def unknown(kind: str, name: str, known: Iterable[str], hint: str = "") -> HarnessError:
    """Build the error for a name that is not known, with the nearest one that is."""
    known = list(known)
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    fix = f"Did you mean {near[0]!r}?" if near else f"Known: {', '.join(sorted(known)) or 'none'}."
    return HarnessError(f"no {kind} is called {name!r}.", f"{fix} {hint}".strip())


_CAUSE = re.compile(r"(?:^|\]:? +)((?:\w+\.)*\w*(?:Error|Exception): .+)")
"""How a Python error ends its traceback, behind what a log puts before each line."""


def last_words(log: Path) -> str:
    """Return the first error that the log of processes names, or else its last line; at most 300 characters.

    The first error is the cause; those after it say that another process has failed.
    """
    lines = [line.strip() for line in log.read_text(encoding="utf-8", errors="replace").splitlines() if line.strip()]
    causes = [found[1] for line in lines if (found := _CAUSE.search(line))]
    return " ".join((causes or lines[-1:] or ["it said nothing"])[0].split())[:300]
