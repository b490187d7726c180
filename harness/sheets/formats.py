"""Six formats of a table: rich, md, latex, csv, json, html. Names and texts may be hostile; none does harm in any.

JSON follows the schema `harness.table/1`, pure ASCII, every text as it was before any escaping:

    {"schema": "harness.table/1",
     "tables": [{"title": str,
                 "columns": [{"heading": str, "kind": "text" | "count" | "share" | "number"}, ...],
                 "groups": [[row, ...], ...],     a row is a list of cells, one to a column
                 "notes": [str, ...]}, ...]}

    cell: {"value": str | number | null,          unrounded; a share lies between 0 and 1; no figure is null
           "shown": str,                          as people read it
           "low": number, "high": number,         ends of the interval, only where there is one
           "mark": "best" | "over" | "dim"}       only where there is one

A later version only adds keys, or has another number. CSV has one header: `table` (the title), then every
heading; a column with intervals is followed by its `low` and `high`; figures are unrounded, notes are left out.
"""

import csv
import io
import json
import re
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from harness.sheets.folding import Words, folded
from harness.sheets.page import to_html
from harness.sheets.sheet import Cell, Column, Sheet, figure_of
from harness.texts import harmless

if TYPE_CHECKING:
    from rich.console import Group

SCHEMA = "harness.table/1"
LATEX_WIDTH = 120
"""Characters that a LaTeX table may be wide before its spare columns are left out."""
LATEX_ROWS = 30
"""Rows that a LaTeX table may have before it goes on in another: a float is never broken over pages."""


def isolated(text: str, escape: Callable[[str], str] = str) -> str:
    """Make text harmless for plain text; what runs right to left is kept from moving its neighbours."""
    text = harmless(text)
    runs_left = any(unicodedata.bidirectional(c) in ("R", "AL", "AN") for c in text)
    return f"\N{FIRST STRONG ISOLATE}{escape(text)}\N{POP DIRECTIONAL ISOLATE}" if runs_left else escape(text)


def fitting(sheet: Sheet, width: int) -> tuple[Sheet, list[str]]:
    """Abbreviate headings, then leave out spare columns, until the table is at most `width` characters wide.

    Returns:
        The narrower table, which may still be too wide, and the headings that were left out.
    """
    short = _abbreviated(sheet, lambda column: column.numeric)
    kept = list(range(len(sheet.columns)))
    forms = [(form, _needed(form).least) for form in (sheet, short)]
    while True:
        fits = [form for form, needed in forms if sum(needed[i] + 3 for i in kept) + 1 <= width]
        first = max(kept, key=lambda i: (sheet.columns[i].spare, i))
        if fits or not sheet.columns[first].spare:
            break
        kept.remove(first)
    columns = (fits or [short])[0].columns
    if not fits:
        # headings of texts, such as the names of runs, are folded at their joints as long as no word is torn
        joints, least, _ = _needed(short)
        if sum((least if sheet.columns[i].numeric else joints)[i] + 3 for i in kept) + 1 > width:
            columns = _abbreviated(sheet, lambda _: True).columns
    left_out = [column.heading for i, column in enumerate(sheet.columns) if i not in kept]
    groups = tuple(tuple(tuple(row[i] for i in kept) for row in group) for group in sheet.groups)
    return Sheet(sheet.title, tuple(columns[i] for i in kept), groups, sheet.notes), left_out


def _abbreviated(sheet: Sheet, which: Callable[[Column], bool]) -> Sheet:
    """Abbreviate the headings of some columns, as far as they have a shorter one."""
    return replace(
        sheet, columns=tuple(replace(c, heading=c.short) if c.short and which(c) else c for c in sheet.columns)
    )


def _shown(sheet: Sheet) -> list[list[str]]:
    """List what each column shows, its heading first."""
    return [[column.heading, *(row[i].shown for row in sheet.rows)] for i, column in enumerate(sheet.columns)]


class _Needed(NamedTuple):
    """What each column needs."""

    joints: list[int]
    """Its longest part between two joints of names: no narrower, and words are torn."""
    least: list[int]
    """Without a broken word or figure, but for names as long as a run's."""
    widest: list[int]
    """With nothing broken."""


def _needed(sheet: Sheet) -> _Needed:
    from rich.cells import cell_len

    needed = _Needed([], [], [])
    for i, (column, shown) in enumerate(zip(sheet.columns, _shown(sheet), strict=True)):
        told = [isolated(part) for part in shown]
        needed.widest.append(max(map(cell_len, told)))
        words = [word for part in told for word in part.split()]
        pieces = [piece for word in words for piece in Words.wordsep_re.split(word) if piece]
        needed.joints.append(max(map(cell_len, pieces), default=0))
        least = max(needed.joints[i], min(24, max(map(cell_len, words), default=0)))
        if column.numeric:
            # figures are whole; a heading may be the name of a run
            least = max(least, *map(cell_len, told[1:]), 0)
        elif i:
            # sentences need some words a line; the first column names the rows, and holds none
            least = max(least, min(16, needed.widest[i]))
        needed.least.append(least)
    return needed


def _widths(sheet: Sheet, width: int) -> list[int]:
    """Share out the width of a terminal: the narrowest column grows first, the longest words are broken first."""
    joints, found, widest = _needed(sheet)
    texts = [i for i, column in enumerate(sheet.columns) if not column.numeric]
    room = width - 1 - sum(least + 3 for least in found)
    # names are broken at their joints, those of rows last; where that is not enough, anywhere
    torn = [0] * len(found)
    for giving, floors in ((texts[1:], joints), (texts, joints), (texts[1:], torn), (texts, torn)):
        while room < 0 and (long := [i for i in giving if found[i] > max(8, floors[i])]):
            found[max(long, key=found.__getitem__)] -= 1
            room += 1
    while room > 0 and (broken := [i for i, least in enumerate(found) if least < widest[i]]):
        found[min(broken, key=found.__getitem__)] += 1
        room -= 1
    return found


def rich_table(sheet: Sheet, width: int = 120) -> "Group":
    """Draw a table for a terminal, its title above and its notes below.

    A narrow terminal gets fewer columns, and is told which are missing.
    """
    from rich.cells import cell_len
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    sheet, left_out = fitting(sheet, width)
    widths = _widths(sheet, width)

    def told_in(column: int, shown: str, style: str = "") -> Text:
        shown, room = isolated(shown), max(1, widths[column])
        if cell_len(shown) > room:
            long = max(map(cell_len, shown.split())) > room
            shown = "\n".join(Words(room, break_on_hyphens=long).wrap(shown))
        return Text(shown, style=style)

    # a heading may hold a comma
    between = "; " if any("," in heading for heading in left_out) else ", "
    told = [*sheet.notes, *([f"No room here for: {between.join(left_out)}."] if left_out else [])]
    # of a narrow table, the title and the notes would be folded to its width
    title = [Text(folded(isolated(sheet.title), width), style="italic")] if sheet.title else []
    table = Table()
    for i, column in enumerate(sheet.columns):
        side: Literal["left", "right"] = "right" if column.numeric else "left"
        table.add_column(told_in(i, column.heading), justify=side, overflow="fold", width=widths[i])
    for group in sheet.groups:
        for row in group:
            table.add_row(*(told_in(i, cell.shown, _STYLES[cell.mark]) for i, cell in enumerate(row)))
        table.add_section()
    return Group(*title, table, *(Text(folded(isolated(note), width), style="dim") for note in told))


_STYLES = {"best": "bold", "over": "bold red", "dim": "dim", "": ""}


def to_md(sheets: Sequence[Sheet]) -> str:
    """Write GitHub-flavoured Markdown."""
    from tabulate import tabulate

    parts = []
    for sheet in sheets:
        rows = [[_md_cell(cell) for cell in row] for row in sheet.rows]
        table = tabulate(
            rows,
            headers=[isolated(column.heading, _md_escaped) for column in sheet.columns],
            tablefmt="pipe",
            colalign=["right" if column.numeric else "left" for column in sheet.columns] if rows else None,
            disable_numparse=True,
        )
        parts.append(
            "\n\n".join([f"### {isolated(sheet.title, _md_escaped)}", table, *(md_text(note) for note in sheet.notes)])
        )
    return "\n\n".join(parts) + "\n"


_MD_INLINE = re.compile(
    # emphasis, code, strikethrough, formulas; an underscore within a word is one
    r"[`*~$]|(?<![A-Za-z0-9])_|_(?![A-Za-z0-9])"
    # what ends the text of a link; a reference to an issue; a web address
    r"|\](?=[(\[:\]])|\#(?=\d)|:(?=//)|(?<=www)\.",
    re.IGNORECASE,
)
_MD_LINE = re.compile(r"^(\d{1,9}(?=[.)])|)([-+=#>\[.)])")
"""What begins a list, a heading, a quotation, or the definition of a link: only at the beginning of a line."""
_MD_ENTITIES = {"&": "&amp;", "<": "&lt;", "|": "&#124;", "\\": "&#92;"}
# a tag, an entity, and what ends a cell; parsers do not agree on "\|", and an entity is never a cell's end
_MD_BY_ENTITY = re.compile(r"<(?=[A-Za-z/!?])|&(?=#?\w)|\||\\")


def md_text(text: str) -> str:
    """Write a text of anybody, which may begin a line, as plain text in Markdown."""
    return isolated(text, lambda text: _MD_LINE.sub(r"\1\\\2", _md_escaped(text)))


def _md_cell(cell: Cell) -> str:
    shown = isolated(cell.shown, _md_escaped)
    return f"**{shown}**" if shown and cell.mark == "best" else shown


def _md_escaped(text: str) -> str:
    """Escape what Markdown would obey within a line, and no more: it is also pasted where nothing is rendered."""
    pieces, end = [], 0
    for found in _MD_BY_ENTITY.finditer(text):
        pieces += [_MD_INLINE.sub(r"\\\g<0>", text[end : found.start()]), _MD_ENTITIES[found[0]]]
        end = found.end()
    return "".join([*pieces, _MD_INLINE.sub(r"\\\g<0>", text[end:])])


def to_latex(sheets: Sequence[Sheet]) -> str:
    """Write LaTeX tables for the packages booktabs and graphicx, with fontenc's T1."""
    head = "% \\usepackage{booktabs,graphicx} \\usepackage[T1]{fontenc}\n"
    return head + "\n".join(_latex_table(page) for sheet in sheets for page in _pages(sheet))


def _pages(sheet: Sheet) -> list[Sheet]:
    """Cut a long table into several; the notes stand below the last."""
    pages: list[list[list[tuple[Cell, ...]]]] = [[]]
    for group in sheet.groups:
        pages[-1].append([])
        for row in group:
            if sum(map(len, pages[-1])) == LATEX_ROWS:
                pages.append([[]])
            pages[-1][-1].append(row)
    return [
        Sheet(
            f"{sheet.title} (continued)" if i else sheet.title,
            sheet.columns,
            tuple(tuple(group) for group in page),
            sheet.notes if i == len(pages) - 1 else (),
        )
        for i, page in enumerate(pages)
    ]


def _latex_table(sheet: Sheet) -> str:
    sheet, _ = fitting(sheet, LATEX_WIDTH)
    long = [max(map(len, shown)) > 40 for shown in _shown(sheet)]
    form = "".join(
        "r" if c.numeric else "p{7cm}" if broken else "l" for c, broken in zip(sheet.columns, long, strict=True)
    )
    groups = ["".join(_latex_row(row) for row in group) for group in sheet.groups]
    notes = "".join(f"\\par\\smallskip\n{{\\footnotesize {_latex(note)}\\par}}\n" for note in sheet.notes)
    return (
        f"\\begin{{table}}\n\\caption{{{_latex(sheet.title)}}}\n\\smallskip\n\\centering\n"
        # as wide as the page at most
        "\\resizebox{\\ifdim\\width>\\linewidth\\linewidth\\else\\width\\fi}{!}{%\n"
        f"\\begin{{tabular}}{{{form}}}\n\\toprule\n"
        f"{' & '.join(_latex(column.heading) for column in sheet.columns)} \\\\\n\\midrule\n"
        f"{(chr(92) + 'midrule' + chr(10)).join(groups)}\\bottomrule\n\\end{{tabular}}}}\n{notes}\\end{{table}}\n"
    )


def _latex_row(row: Sequence[Cell]) -> str:
    cells = (f"\\textbf{{{_latex(c.shown)}}}" if c.mark == "best" else _latex(c.shown) for c in row)
    return f"{' & '.join(cells)} \\\\\n"


_LATEX = {
    **{c: f"\\{c}" for c in "&%$#_{}"},
    # at the beginning of a row these two would be read as part of the line's end
    "[": "{[}",
    "*": "{*}",
    "\\": "\\textbackslash{}",
    "~": "\\textasciitilde{}",
    "^": "\\textasciicircum{}",
    "<": "\\textless{}",
    ">": "\\textgreater{}",
    "|": "\\textbar{}",
    "`": "\\textasciigrave{}",
    '"': "\\textquotedbl{}",
    "±": "$\\pm$",
    "×": "$\\times$",
    "−": "$-$",
    "≥": "$\\geq$",
    "≤": "$\\leq$",
    "·": "$\\cdot$",
    "–": "--",
    "—": "---",
    "…": "\\ldots{}",
    "’": "\\textquoteright{}",
    "‘": "\\textquoteleft{}",
}


def _latex(text: str) -> str:
    return "".join(_latex_character(c) for c in harmless(text).replace("--", "-\0-")).replace("\0", "{}")


def _latex_character(c: str) -> str:
    if c in _LATEX:
        return _LATEX[c]
    # pdfLaTeX stops at a character that its fonts lack, so that those beyond Latin are named
    latin = c.isalpha() and c < "\u0180" and unicodedata.normalize("NFD", c)[0] < "\x80"
    return c if c < "\x80" or latin or c in "ßæøåÆØÅ" else f"{{[}}U+{ord(c):04X}]"


def to_csv(sheets: Sequence[Sheet]) -> str:
    """Write comma-separated values; no text is a formula in a spreadsheet (OWASP, CSV injection)."""
    header: list[tuple[str, int]] = []
    lines: list[dict[tuple[str, int], str | float | None]] = []
    for sheet in sheets:
        names = _csv_names(sheet)
        header += [name for name in names if name not in header]
        for row in sheet.rows:
            values = [
                part for cell, spread in zip(row, _spread(sheet), strict=True) for part in _csv_cell(cell, spread)
            ]
            lines.append(dict(zip(names, [_no_formula(sheet.title), *values], strict=True)))
    file = io.StringIO()
    # every text is quoted, so that a spreadsheet with another separator finds none of its cells within
    writer = csv.writer(file, quoting=csv.QUOTE_NONNUMERIC, lineterminator="\n")
    writer.writerow([_no_formula(heading) for heading, _ in header])
    writer.writerows([line.get(name) for name in header] for line in lines)
    return file.getvalue()


def _csv_names(sheet: Sheet) -> list[tuple[str, int]]:
    """Name the columns; a heading that comes twice in a table is two columns."""
    headings = ["table"]
    for column, spread in zip(sheet.columns, _spread(sheet), strict=True):
        headings += [column.heading, *([f"{column.heading} low", f"{column.heading} high"] if spread else [])]
    return [(heading, headings[:i].count(heading)) for i, heading in enumerate(headings)]


def _spread(sheet: Sheet) -> list[bool]:
    """Say of each column whether it has intervals."""
    return [any(figure_of(row[i].low) is not None for row in sheet.rows) for i in range(len(sheet.columns))]


def _csv_cell(cell: Cell, spread: bool) -> list[str | float | None]:
    value = _no_formula(cell.value) if isinstance(cell.value, str) else figure_of(cell.value)
    return [value, *([figure_of(cell.low), figure_of(cell.high)] if spread else [])]


def _no_formula(text: str) -> str:
    """Put an apostrophe before what a spreadsheet would compute, also behind another locale's separator."""
    return re.sub(r"(^|[;,\"])(\s*)(?=[=+\-@＝＋－＠])", r"\1\2'", harmless(text))


def to_json(sheets: Sequence[Sheet]) -> str:
    """Write JSON by the schema above."""
    tables = [
        {
            "title": sheet.title,
            "columns": [{"heading": column.heading, "kind": column.kind} for column in sheet.columns],
            "groups": [[[_json_cell(cell) for cell in row] for row in group] for group in sheet.groups],
            "notes": list(sheet.notes),
        }
        for sheet in sheets
    ]
    return json.dumps({"schema": SCHEMA, "tables": tables}, indent=1, allow_nan=False) + "\n"


def _json_cell(cell: Cell) -> dict[str, Any]:
    value = cell.value if isinstance(cell.value, str) else figure_of(cell.value)
    ends = {"low": figure_of(cell.low), "high": figure_of(cell.high)}
    return {
        "value": value,
        "shown": cell.shown,
        **{name: end for name, end in ends.items() if end is not None},
        **({"mark": cell.mark} if cell.mark else {}),
    }


TEXTS: dict[str, Callable[[Sequence[Sheet]], str]] = {
    "md": to_md,
    "latex": to_latex,
    "csv": to_csv,
    "json": to_json,
    "html": to_html,
}
"""The formats that are files; `rich` is drawn on a console."""
