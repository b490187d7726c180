"""How verbs show and write what they found."""

from argparse import Namespace
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from harness.errors import unknown
from harness.registry import find_run

if TYPE_CHECKING:
    from harness.counting.results import TaskResult
    from harness.sheets.page import Head
    from harness.sheets.sheet import Sheet


def write_sheets(
    sheets: Sequence["Sheet"], options: Namespace, verdicts: bool = True, head: "Head | None" = None
) -> None:
    """Print tables, or write them to -o FILE in one step.

    Args:
        sheets: the tables.
        options: with `format` and `output`.
        verdicts: whether the first note of a table is a verdict, which stands out.
        head: what stands above the tables of a page.
    """
    from harness.sheets import formats
    from harness.sheets.page import to_html

    name = format_of(options)
    if name == "rich":
        from harness.show.console import Screen

        console = Screen()
        for place, sheet in enumerate(sheets):
            if place:
                console.print()
            show_sheet(console, replace(sheet, notes=()))
            if sheet.notes and verdicts:
                say_verdict(console, sheet.notes[0], sheet.notes[1:])
            else:
                say_remarks(console, sheet.notes)
        return
    write_text(to_html(sheets, head=head) if name == "html" else formats.TEXTS[name](sheets), options)


def show_sheet(console: Any, sheet: "Sheet") -> None:
    """Print one table with its notes."""
    from harness.sheets.formats import rich_table

    console.print(rich_table(sheet, console.width))


def write_text(told: str, options: Namespace) -> None:
    """Print a text, or write it to -o FILE in one step."""
    from harness.records.store import write_atomically

    if options.output is None:
        print(told, end="")
        return
    write_atomically(options.output, told, "-o")
    from harness.show.console import Screen

    Screen(stderr=True).print(f"Written: {options.output}", soft_wrap=True)


def format_of(options: Namespace) -> str:
    """Choose the format that was named, or that the file's name tells."""
    from harness.sheets.formats import TEXTS

    name = str(options.format)
    if options.output is None or name != "rich":
        return name
    suffix = str(options.output.suffix).lower().lstrip(".")
    name = {"tex": "latex", "htm": "html"}.get(suffix, suffix)
    if name not in TEXTS:
        raise unknown("format", name, TEXTS, "Say --format.")
    return name


def read_results(options: Namespace, *names: str) -> list["TaskResult"]:
    """Read runs by name or folder."""
    from harness.counting.results import load_result
    from harness.records import RunFolder

    return [load_result(RunFolder(find_run(name)), options.task) for name in names]


def show_task(console: Any, rows: list[tuple[str, "TaskResult"]]) -> None:
    """Print the figures of a run's task, beside other runs', and what there is to know about them."""
    from harness.show.tables import notes, results_sheets, vote_curve

    _, result = rows[0]
    for sheet in results_sheets(rows):
        show_sheet(console, sheet)
    say_remarks(console, notes(result))
    if (curve := vote_curve(result)) is not None:
        show_sheet(console, curve)


def say_verdict(console: Any, sentence: str, remarks: Sequence[str]) -> None:
    """Print the verdict, and below it what it rests on."""
    from harness.sheets.folding import folded
    from harness.sheets.formats import isolated

    console.print(f"\n{folded(isolated(sentence), console.width)}", style="bold")
    say_remarks(console, remarks)


def say_remarks(console: Any, remarks: Sequence[str]) -> None:
    """Print sentences, in which names may be hostile."""
    from harness.sheets.folding import folded
    from harness.sheets.formats import isolated

    for remark in remarks:
        console.print(folded(isolated(remark), console.width))
