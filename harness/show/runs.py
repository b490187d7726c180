"""The runs that there are, newest first: a line of each, or JSON whose fields docs/json.md describes."""

from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

from harness.comparing.fields import strict
from harness.counting.cache import Cache, Figure
from harness.counting.metrics import Metric, primary
from harness.errors import HarnessError
from harness.records import Run, RunFolder
from harness.sheets.figures import points

SCHEMA = "harness-runs/1"


class Listed(NamedTuple):
    """A run as it is listed; `problem` says why it cannot be read, or why a finished one has no figure."""

    name: str
    run: Run | None = None
    first: tuple[Metric, Figure] | None = None
    """The first metric of the first task, of a finished run."""
    problem: str = ""

    @property
    def status(self) -> str:
        """Say whether it is finished."""
        return self.run.status if self.run else "unreadable"


def listed(paths: Iterable[Path], words: Sequence[str], cache: Cache) -> Iterator[Listed]:
    """Read runs, and count the first task of each that is finished.

    Args:
        paths: folders of runs.
        words: only runs in whose name or status each of them occurs.
        cache: counts and remembers.
    """
    for path in paths:
        folder = RunFolder(path)
        try:
            found = Listed(path.name, folder.read_run())
        except HarnessError as error:
            found = Listed(path.name, problem=error.problem)
        if not all(word in found.name or word in found.status for word in words):
            continue
        if found.run and found.run.tasks and found.status == "complete":
            task = found.run.tasks[0]
            try:
                metric = primary(task.kind)
                found = found._replace(first=(metric, cache.count(folder, found.run, task.task).figures[metric]))
            except HarnessError as error:
                found = found._replace(problem=error.problem)
        yield found


GIVES_WAY = (4, 5, 2, 3, 1)
"""Columns that a narrow terminal leaves out, in this order; names are kept whole, so that they can be copied."""


def lines(found: Sequence[Listed], width: int | None = None) -> list[str]:
    """Write a line of each run under a header; a column that says nothing is left out.

    Args:
        found: the runs.
        width: of the terminal, where there is one; what it has no room for is named in a last line.
    """
    header = ("run", "status", "seeds x items", "first metric", "tokens", "age")
    rows = [_row(one, one.run) for one in found if one.run]
    widths = [max(map(len, column)) for column in zip(header, *rows, strict=True)]
    told = [place for place in range(len(header)) if place < 3 or any(row[place] for row in rows)]
    left_out = []
    for place in filter(told.__contains__, GIVES_WAY):
        if width is None or sum(widths[i] + 2 for i in told) - 2 <= width:
            break
        told.remove(place)
        left_out.append(header[place])
    head, *body = ["  ".join(row[i].ljust(widths[i]) for i in told).rstrip() for row in (header, *rows)]
    readable = iter(body)
    shown = [head, *(next(readable) if one.run else f"{one.name}  unreadable: {one.problem}" for one in found)]
    return [*shown, f"No room here for: {', '.join(left_out)}."] if left_out else shown


def _row(one: Listed, run: Run) -> tuple[str, ...]:
    asked = f"{len(_seeds(run))} x {sum(task.items for task in run.tasks)}"
    figure = f"{one.first[0].name} {points(one.first[1].value, one.first[0])}" if one.first else ""
    return one.name, one.status, asked, figure, _shortened(_tokens(run)), _age(run.started)


def fields(found: Sequence[Listed]) -> str:
    """Write the runs for programs."""
    return strict({"schema": SCHEMA, "runs": [_fields(one) for one in found]})


def _fields(one: Listed) -> dict[str, Any]:
    told: dict[str, Any] = {"run": one.name, "status": one.status, "problem": one.problem or None}
    if one.run is None:
        return told
    config = one.run.config
    told |= {name: config.get(name) for name in ("recipe", "model", "profile")}
    told |= {"seeds": _seeds(one.run), "tasks": [{"task": task.task, "items": task.items} for task in one.run.tasks]}
    told |= {"tokens": _tokens(one.run), "started": one.run.started, "finished": one.run.finished}
    told["figure"] = {"metric": one.first[0].name, **one.first[1]._asdict()} if one.first else None
    return told


def _seeds(run: Run) -> list[Any]:
    return list(run.config.get("seeds") or run.checkpoints)


def _tokens(run: Run) -> int | None:
    """Add up the tokens that judging read and wrote; None where one of the counts is not known."""
    took = [stage.info.get("usage") for stage in run.stages if stage.stage.startswith("judge ")]
    counts = [use.get(name) for use in took if isinstance(use, dict) for name in ("prompt_tokens", "completion_tokens")]
    # a record of others may hold any number, and no run reads so many
    known = [count for count in counts if isinstance(count, int) and abs(count) < 10**15]
    return sum(known) if known and len(known) == len(counts) else None


def _shortened(total: int | None) -> str:
    """Write a count in thousands or millions."""
    if total is None:
        return ""
    return f"{total / 1e6:.1f} M" if total >= 1e6 else f"{total / 1e3:.0f} k" if total >= 1e4 else f"{total:,}"


def _age(started: str) -> str:
    """Say how long ago something was, roughly; nothing of a time that cannot be read."""
    try:
        seconds = (datetime.now(UTC) - datetime.fromisoformat(started)).total_seconds()
    except (ValueError, TypeError):
        return ""
    for unit, length in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.0f} {unit}"
    return "now"
