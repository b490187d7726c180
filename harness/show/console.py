"""What the user sees while a run goes: one line a stage, with what came from the cache.

A stage under way has a bar; where there is no terminal, as in the log of a CI system, a line every `EVERY` seconds.
"""

import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    Task,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.segment import Segment
from rich.text import Text

from harness.errors import HarnessError
from harness.records.run import StageRecord
from harness.sheets.folding import folded
from harness.texts import OURS, visible


def seconds(value: float) -> str:
    """Write a duration for people."""
    if value < 1:
        return f"{value:.2f} s"
    minutes, rest = divmod(round(value), 60)
    return f"{value:.1f} s" if not minutes else f"{minutes} min {rest:02d} s"


EVERY = 30.0
"""Seconds between two lines about a stage under way, where there is no terminal; a shorter stage has none."""

QUIET = ("filter-accuracy", "scorer-accuracy")
"""Stages that only look at what others did, for the report."""


class Screen(Console):
    """The user's terminal: it shows what texts hold and obeys none of them; brackets in them are brackets.

    A reader that leaves early ends the output, not the command's meaning.
    """

    def __init__(self, **settings: Any) -> None:
        super().__init__(highlight=False, markup=False, emoji=False, **settings)

    def render(self, renderable: Any, options: Any = None) -> Iterator[Segment]:
        """Spell out what a terminal would obey, wherever a text comes from."""
        for segment in super().render(renderable, options):
            yield segment if segment.control else Segment(visible(segment.text, "\n" + OURS), segment.style)

    def say(self, sentence: str, style: str | None = None) -> None:
        """Print a sentence: folded between words in a terminal, in one line elsewhere, where programs look for it."""
        told = folded(sentence, self.width) if self.is_terminal else sentence
        self.print(told, style=style, soft_wrap=True)

    def on_broken_pipe(self) -> None:
        """Raise instead of rich's exit code 1, which here would say "regression"."""
        raise BrokenPipeError


class StageProgress:
    """The bar of one stage."""

    def __init__(self, bars: Progress, task: TaskID) -> None:
        self.bars, self.task = bars, task

    def total(self, steps: int, unit: str = "") -> None:
        """Set how many steps there will be, none of them done."""
        self.bars.reset(self.task, total=steps, unit=unit)

    def advance(self, steps: int = 1) -> None:
        """Count steps."""
        self.bars.advance(self.task, steps)


class RunConsole:
    """Shows the stages of one run; finished stages stay as plain lines, also where there is no terminal.

    Args:
        console: where.
        title: stands above them; empty for none.
        clock: tells seconds.
    """

    def __init__(self, console: Console, title: str = "", clock: Callable[[], float] = time.monotonic) -> None:
        self.console, self.title, self.clock = console, title, clock
        self.bars = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[unit]}", markup=False),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            console=console,
            transient=True,
            # what libraries print is for the log, and rich would carry it to the terminal
            redirect_stdout=False,
            redirect_stderr=False,
            get_time=clock,
            speed_estimate_period=4 * EVERY,
        )
        self.current: TaskID | None = None
        self.said = clock()
        """When something was last said of the stage under way."""
        self.closed = threading.Event()

    def __enter__(self) -> "RunConsole":
        if self.title:
            self.console.print(f"\n{self.title}", style="bold")
        self.bars.start()
        if not self.console.is_terminal:
            threading.Thread(target=self._tell_now_and_then, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.closed.set()
        self._drop()
        self.bars.stop()

    def begin(self, stage: str, seed: int | None) -> StageProgress:
        """Open a bar for a stage that has to be computed."""
        self._drop()
        self.said = self.clock()
        self.current = self.bars.add_task(self._name(stage, seed), total=None, unit="")
        return StageProgress(self.bars, self.current)

    def end(self, record: StageRecord) -> None:
        """Turn the bar into a line."""
        self._drop()
        if record.stage in QUIET or (record.stage == "contamination" and not record.info["both"]):
            # a check that found nothing is no news
            return
        took = Text("from the cache", "dim") if record.cached else Text(seconds(record.seconds))
        # what came out is padded as far as what it took still fits the line
        room = max(0, min(46, self.console.width - 46))
        told = f"  {self._name(record.stage, record.seed):<28} {summary(record.info):<{room}} "
        self.console.print(Text(told).append_text(took))

    def remark(self, line: str) -> None:
        """Say something between the stages."""
        self.console.print(f"  {line}")

    def _tell_now_and_then(self) -> None:
        while not self.closed.wait(1):
            self.tell()

    def tell(self) -> None:
        """Print how far the stage under way is, if nothing was said of it for `EVERY` seconds."""
        under_way, now = self._under_way(), self.clock()
        if under_way is None or now - self.said < EVERY:
            return
        self.said = now
        left = under_way.time_remaining
        told = f", about {seconds(left)} left" if left else f", {seconds(under_way.elapsed or 0)} so far"
        self.console.print(f"  {how_far(under_way)}{told}", soft_wrap=True)

    def where(self) -> str:
        """Say how far the stage under way is; empty between two."""
        under_way = self._under_way()
        return how_far(under_way) if under_way else ""

    def _under_way(self) -> Task | None:
        return next((task for task in self.bars.tasks if task.id == self.current), None)

    def _drop(self) -> None:
        if self.current is not None:
            self.bars.remove_task(self.current)
            self.current = None

    @staticmethod
    def _name(stage: str, seed: int | None) -> str:
        return stage if seed is None else f"{stage}  seed {seed}"


def how_far(task: Task) -> str:
    """Say of a stage how many of its steps are done."""
    name = " ".join(task.description.split())
    if task.total is None:
        return f"{name}: begun"
    return f"{name}: {task.completed:,.0f} of {task.total:,.0f} {task.fields['unit'] or 'steps'}"


def summary(info: dict[str, object]) -> str:
    """Write the plain figures of a stage's report in one line."""
    parts = [
        f"{value} {key.replace('_', ' ')}" for key, value in info.items() if isinstance(value, int | float) and value
    ]
    line = ", ".join(parts) or str(info.get("model", ""))
    return line if len(line) <= 60 else line[:57] + "..."


@contextmanager
def libraries_to(log: Path) -> Iterator[Console]:
    """Send everything libraries print to `log`; yield a console that still reaches the user.

    It is done at the level of file descriptors, so that native code and subprocesses are caught too.
    """
    try:
        log.parent.mkdir(parents=True, exist_ok=True)
        log.open("ab").close()
    except OSError as error:
        raise HarnessError(f"cannot write in {log.parent}: {error.strerror}.", "Choose another --out.") from error
    sys.stdout.flush()
    sys.stderr.flush()
    screen = os.dup(1)
    errors = os.dup(2)
    encoding, errors_in = sys.stdout.encoding or "utf-8", sys.stdout.errors
    with log.open("ab") as file, os.fdopen(os.dup(screen), "w", encoding=encoding, errors=errors_in) as terminal:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
        try:
            yield Screen(file=terminal, width=None if os.isatty(screen) else 120)
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os.dup2(screen, 1)
            os.dup2(errors, 2)
            os.close(screen)
            os.close(errors)
