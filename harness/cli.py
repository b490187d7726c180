"""The `harness` command: how it begins and how it ends. Heavy imports wait inside the verb that needs them."""

import codecs
import io
import os
import signal
import sys
import threading
from collections.abc import Sequence

from harness.arguments import build_parser
from harness.errors import DISK_FAILS, ExitCode, HarnessError, disk_fails
from harness.texts import harmless, visible

PLAIN = str.maketrans(
    {"−": "-", "–": "-", "—": "-", "·": "-", "×": "x", "≥": ">=", "≤": "<=", "…": "...", "’": "'", "‘": "'"}
    # they keep a text that runs right to left from moving its neighbours, and are not seen
    | {"\N{FIRST STRONG ISOLATE}": "", "\N{POP DIRECTIONAL ISOLATE}": ""}
)


def _plainly(error: UnicodeError) -> tuple[str, int]:
    """Write what an encoding lacks in ASCII: a minus stays one, and what has no likeness is escaped."""
    assert isinstance(error, UnicodeEncodeError)
    text = error.object[error.start : error.end].translate(PLAIN)
    return text.encode("ascii", "backslashreplace").decode("ascii"), error.end


def _write_in_any_encoding() -> None:
    """Have no character stop the output: a redirect on Windows, for one, cannot hold them all."""
    codecs.register_error("plainly", _plainly)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper) and stream.errors in ("strict", "backslashreplace"):
            stream.reconfigure(errors="plainly")


def _stop_when_told() -> None:
    """Have SIGTERM, as batch systems send it, and SIGHUP end a run as Ctrl-C does."""

    def stop(number: int, _: object) -> None:
        raise KeyboardInterrupt(signal.Signals(number).name)

    if threading.current_thread() is not threading.main_thread():
        return
    for name in ("SIGTERM", "SIGHUP"):
        number = getattr(signal, name, None)
        # nohup has one ignored on purpose
        if number is not None and signal.getsignal(number) is signal.SIG_DFL:
            signal.signal(number, stop)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code. Only a mistake of ours leaves a traceback, in a log."""
    _write_in_any_encoding()
    try:
        _stop_when_told()
        options = build_parser().parse_args(arguments)
        options.typed = list(sys.argv[1:] if arguments is None else arguments)
        if options.verb != "run":
            # statistics multiply small matrices, and threads would only wait for each other; before numpy is loaded
            os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
        from harness import verbs

        return int(getattr(verbs, options.verb)(options))
    except HarnessError as error:
        print(f"harness: {harmless(str(error))}", file=sys.stderr)
        return error.exit_code
    except ModuleNotFoundError as error:
        from harness.extras import explained

        if (told := explained(error)) is None:
            return _internal(error)
        print(f"harness: {harmless(str(told))}", file=sys.stderr)
        return told.exit_code
    except KeyboardInterrupt as stop:
        # Ctrl-C says nothing, a signal its name
        by = f" by {stop}" if str(stop) else ""
        print(f"harness: stopped{by}{_going_on(sys.argv[1:] if arguments is None else arguments)}", file=sys.stderr)
        return ExitCode.INCOMPLETE
    except BrokenPipeError:
        # whoever read the output has left; a run that stopped for it is not done
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115, PTH123
        return ExitCode.INCOMPLETE if "run" in (arguments or sys.argv[1:2]) else ExitCode.OK
    except OSError as error:
        if error.errno not in DISK_FAILS:
            return _internal(error)
        print(f"harness: {harmless(str(disk_fails(error)))}", file=sys.stderr)
        return ExitCode.USAGE
    except Exception as error:  # noqa: BLE001
        # the last line of defence: an exception of ours must never look like a verdict
        return _internal(error)


def _going_on(typed: Sequence[str]) -> str:
    """Say how a command that was stopped goes on, where it keeps what it did."""
    from harness.verbs.limiting import going_on

    if typed and typed[0] in ("run", "judge"):
        return f"; what is done is kept. Go on: {harmless(going_on(typed))}"
    return "; what is done is kept."


def _internal(error: Exception) -> int:
    import traceback

    print(visible("".join(traceback.format_exception(error)), "\n"), end="", file=sys.stderr)
    told = harmless(f"{type(error).__name__}: {error}")
    print(f"harness: internal error: {told}. Please report it.", file=sys.stderr)
    return ExitCode.INTERNAL


if __name__ == "__main__":
    sys.exit(main())
