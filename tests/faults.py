"""Faults at the k-th file operation of a command: a kill, a full disk, an input/output error.

As a program it reads a JSON list of cases from its input, and carries out each in a fork of its own, so that what is
imported, with `--training` all that trains, is imported once; it prints a JSON list of what became of them.
"""

import contextlib
import errno
import importlib
import io
import json
import os
import signal
import sys
import tempfile
import traceback
from dataclasses import asdict, dataclass, field
from typing import Any

COUNTED = ("open", "os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.truncate")
"""Audit events that touch the disk; of `open` only those that write."""

WARM = ("harness.training.dpo", "harness.training.experts", "harness.evaluate.engine_model", "lmms_eval.evaluator")
"""What takes longest to import of all that trains and judges."""


@dataclass
class Case:
    """One command, and what goes wrong in it."""

    arguments: list[str]
    root: str
    """Operations below this folder are counted."""
    place: int = 0
    """Which of them fails; 0 for none."""
    fault: str = ""
    """`kill`, or the name of an errno; ENOSPC lasts, as a full disk does."""
    environment: dict[str, str] = field(default_factory=dict)


@dataclass
class Outcome:
    """What became of a case."""

    code: int
    said: str
    operations: int = 0


def arm(root: str, place: int, fault: str) -> list[int]:
    """Have the `place`-th operation below `root` fail; return the count, which goes on."""
    count = [0]

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        if event not in COUNTED or not str(arguments[0]).startswith(root):
            return
        if event == "open" and not (int(arguments[2] or 0) & (os.O_WRONLY | os.O_RDWR)):
            return
        if str(arguments[0]).endswith(".lock"):
            return
        count[0] += 1
        lasts = fault == "ENOSPC" and event in ("open", "os.mkdir") and count[0] >= place > 0
        if count[0] != place and not lasts:
            return
        if fault == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        number = getattr(errno, fault)
        raise OSError(number, os.strerror(number), str(arguments[0]))

    sys.addaudithook(hook)
    return count


def carried_out(case: Case) -> Outcome:
    """Carry out one case in a fork."""
    read, write = os.pipe()
    if not (child := os.fork()):
        os.close(read)
        said, count = io.StringIO(), [0]
        code = 99
        try:
            os.environ.update(case.environment)
            tempfile.tempdir = None
            with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
                from harness.cli import main

                count = arm(case.root, case.place, case.fault)
                code = int(main(case.arguments))
        except BaseException:  # noqa: BLE001  (the outcome is told, whatever it is)
            said.write(traceback.format_exc())
        with os.fdopen(write, "w") as pipe:
            json.dump([code, said.getvalue(), count[0]], pipe)
        os._exit(0)
    os.close(write)
    with os.fdopen(read) as pipe:
        told = pipe.read()
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        return Outcome(-os.WTERMSIG(status), "")
    return Outcome(*json.loads(told))


if __name__ == "__main__":
    import harness.counting.cache
    import harness.importing.score  # noqa: F401

    if "--training" in sys.argv:
        for name in WARM:
            importlib.import_module(name)
    print(json.dumps([asdict(carried_out(Case(**case))) for case in json.load(sys.stdin)]))
