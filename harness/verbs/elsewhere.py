"""The verbs about figures and judgments made elsewhere: audit, score."""

from argparse import Namespace
from pathlib import Path
from typing import TYPE_CHECKING

from harness.errors import ExitCode, HarnessError, unknown
from harness.registry import content_roots, results_root

if TYPE_CHECKING:
    pass
from harness.verbs.showing import show_task


def audit(options: Namespace) -> ExitCode:
    """Find the whole numbers behind published rows."""
    from harness.comparing.audit import CATEGORIES, RANDOM_ROWS, chance, explanations, row_of, verdict
    from harness.sheets.formats import rich_table
    from harness.sheets.sheet import Column, Sheet, count, text
    from harness.show.console import Screen

    if options.task != "vlrewardbench":
        raise unknown("task to audit", options.task, ["vlrewardbench"])
    if options.file:
        return _audit_file(options.file, options.write)
    if len(options.categories) != 3 or not options.overall:
        raise HarnessError(
            "an audit needs three categories and --overall.", "harness audit 63.84 85.71 64.78 --overall 71.92"
        )
    row = row_of(dict(zip(CATEGORIES, options.categories, strict=True)), options.overall, options.macro)
    found = explanations(row)
    console = Screen()
    if found:
        columns = (
            Column("split"),
            *(Column(name, "number", spare=1) for name in (*CATEGORIES, "overall")),
            Column("left out", "count"),
            Column("categories are", spare=2),
        )
        rows = []
        for e in found:
            pairs = [*zip(e.right, e.counted, strict=True), (sum(e.right), sum(e.counted))]
            rows.append((text(e.name), *(text(f"{r}/{n}") for r, n in pairs), count(e.left_out), text(e.reading)))
        console.print(rich_table(Sheet("splits that explain the row", columns, (tuple(rows),)), console.width))
    console.print(verdict(row, found), style="bold")
    if found:
        often = chance(row, found[0].left_out)
        console.print(
            f"Of {RANDOM_ROWS} random rows like it, {100 * often:.0f} % are explained by some split with no more items "
            "left out: the fewer, the more this tells."
        )
    console.print("Splits of the first release (1,250 items); those of the corrected one (1,247) are not published.")
    return ExitCode.OK


def _audit_file(path: Path, write: bool) -> ExitCode:
    from harness.comparing.audit import audited
    from harness.records.published import read_published
    from harness.records.store import write_atomically
    from harness.sheets.formats import rich_table
    from harness.sheets.sheet import Column, Sheet, text
    from harness.show.console import Screen

    rows = [audited(row) for row in read_published(path)]
    columns = (Column("model"), Column("source", spare=1), Column("audit"))
    cells = tuple((text(row.model), text(row.source), text(row.audit or "")) for row in rows)
    console = Screen()
    console.print(rich_table(Sheet(str(path), columns, (cells,)), console.width))
    if write:
        write_atomically(path, "".join(row.model_dump_json(exclude_none=True) + "\n" for row in rows), "--file")
    return ExitCode.OK


def score(options: Namespace) -> ExitCode:
    """Read judgments made elsewhere into a run, and print what it says."""
    from harness.counting.results import load_result
    from harness.evaluate.hooks import load_hooks
    from harness.importing.score import score as score_file
    from harness.registry import load_task
    from harness.show.console import Screen

    task = load_task(options.task, content_roots(options.include_path))
    folder = score_file(
        options.file,
        load_hooks(task.name, task.hooks),
        options.out,
        results_root() / "runs",
        options.data,
        options.protocol,
        options.format,
        options.name,
    )
    console, result = Screen(), load_result(folder)
    info = result.run.stages[0].info
    console.say(
        f"{options.file.name}: {info['format']} format, {info['answers']} answers to {result.task.items} items, "
        f"counted by {result.protocol.spec}, read by the {result.task.reader} reader."
    )
    show_task(console, [("", result)])
    console.print(f"\nWritten: {folder.path}", soft_wrap=True)
    return ExitCode.OK
