"""Every format is read back by another program's parser; whatever the names are, the table is the same."""

import base64
import csv
import hashlib
import io
import json
import math
import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from rich.console import Console

from harness.sheets.formats import TEXTS, fitting, rich_table, to_csv, to_html, to_json, to_latex, to_md
from harness.sheets.sheet import Cell, Column, Sheet, text
from harness.texts import harmless

HOSTILE = [
    "<script>alert(1)</script>", "</td></tr></table><b>", "a|b", "a\\|b\\", "R&D_50%#{}~^$", "=cmd()|' /C calc'!A0",
    "+1", "-1+2", "@SUM(A1)", "\t=1+1", "＝1", "a;=1+1", 'a",=1+1', "two\r\nlines\n\n| more |",
    "\x1b[31mred\x1b]0;t\x07", "[red]markup[/red]", "שלום 123 עולם", "مرحبا", "exe\u202egnp.\u2066x\u200f", "# head",
    "- item", "1. item", "> quote", "**b** _i_ `c` ![x](//y) [x](javascript:y)", "&lt;",
    "\\input{x}", "*[2pt]", "漢字 😀 é ß Ł ę \ud800 \u2028", "--- ,,", "''", "",
]  # fmt: skip
PIECES = [
    *"<>|&_%\\=+-@\t\n\r\x1b[]{}$#~^*`'\";,:!()./ \u202e\u2066\u200bא\ud800\0a1é漢",
    "]]>",
    "&amp;",
    "\\\\",
    "www.",
    "://",
]
names = st.one_of(st.sampled_from(HOSTILE), st.lists(st.sampled_from(PIECES), max_size=12).map("".join), st.text())
figures = st.one_of(st.none(), st.floats(), st.integers(-(10**9), 10**9))


@st.composite
def sheets(draw: st.DrawFn) -> Sheet:
    def row() -> tuple[Cell, ...]:
        name = draw(names)
        value = draw(figures)
        marked = draw(st.sampled_from(["", "best", "dim"]))
        return (text(name), Cell(value, str(value), -1.5, 1.5, marked), text(draw(names), mark=marked))

    groups = tuple(tuple(row() for _ in range(draw(st.integers(0, 3)))) for _ in range(draw(st.integers(0, 2))))
    columns = (Column(draw(names)), Column(draw(names), "number"), Column(draw(names)))
    return Sheet(draw(names), columns, groups, tuple(draw(st.lists(names, max_size=2))))


def every(sheet: Sheet) -> list[str]:
    return [c.heading for c in sheet.columns] + [cell.shown for row in sheet.rows for cell in row]


@given(sheets())
def test_csv_has_the_same_rows_and_no_formula_whatever_the_separator(sheet: Sheet) -> None:
    written = to_csv([sheet])
    header, *rows = csv.reader(io.StringIO(written))
    assert len(rows) == len(sheet.rows)
    assert {len(row) for row in rows} <= {len(header)}
    for row, cells in zip(rows, sheet.rows, strict=True):
        assert row[1].replace("'", "") == harmless(cells[0].shown).replace("'", "")
        value = cells[1].value
        assert row[2] == "" if value is None or not math.isfinite(value) else float(row[2]) == value
    for separator in ",;\t":
        for row in csv.reader(io.StringIO(written), delimiter=separator):
            for field in row:
                # a number may be negative; nothing else begins as a formula does
                assert not re.match(r"\s*[=+\-@＝＋－＠]", field) or re.fullmatch(r"[\d.e+\-,\"]+", field), field


@given(sheets())
def test_json_says_what_the_table_holds(sheet: Sheet) -> None:
    written = to_json([sheet])
    assert written.isascii()
    read = json.loads(written)
    assert read["schema"] == "harness.table/1"
    (table,) = read["tables"]
    assert table["title"] == sheet.title
    assert table["notes"] == list(sheet.notes)
    assert [c["heading"] for c in table["columns"]] == [c.heading for c in sheet.columns]
    for group, cells in zip(table["groups"], sheet.groups, strict=True):
        for row, expected in zip(group, cells, strict=True):
            assert row[0]["value"] == expected[0].value
            value = expected[1].value
            assert row[1]["value"] == (value if value is not None and math.isfinite(value) else None)
            assert row[1]["low"], row[1]["high"] == (-1.5, 1.5)
            assert row[1].get("mark", "") == expected[1].mark


@given(sheets())
def test_in_markdown_one_row_stays_one_row_and_texts_are_texts(sheet: Sheet) -> None:
    tokens = MarkdownIt("commonmark").enable("table").enable("strikethrough").parse(to_md([sheet]))
    kinds = {token.type for token in tokens}
    assert not kinds & {"html_block", "code_block", "fence", "bullet_list_open", "ordered_list_open", "blockquote_open"}
    inline = [token for token in tokens if token.type == "inline"]
    assert {part.type for token in inline for part in token.children or []} <= {
        "text",
        "text_special",
        "strong_open",
        "strong_close",
    }
    bodies = [i for i, token in enumerate(tokens) if token.type in ("th_open", "td_open")]
    read = ["".join(part.content for part in tokens[i + 1].children or []) for i in bodies]
    assert [re.sub("[\u2068\u2069]", "", cell) for cell in read] == [harmless(shown) for shown in every(sheet)]


def test_markdown_can_be_pasted_where_nothing_is_rendered() -> None:
    cells = (text("a_name-1.2 (x)"), Cell(0.1, "+15.3 [+12.1, +18.6]"), Cell(0.001, "< 0.001", mark="best"))
    columns = (Column("run"), Column("difference, 95 %", "number"), Column("p (Holm)", "number"))
    notes = ("better, +15.3 [+12.1, +18.6], p < 0.001 & no more (a | b).", "12. of March")
    written = to_md([Sheet("carevl − distill · 4.5", columns, ((cells,),), notes)])
    heading, *table, first, second = filter(None, written.splitlines())
    assert heading == "### carevl − distill · 4.5"
    assert [cell.strip() for cell in table[-1].strip("|").split("|")] == [
        "a_name-1.2 (x)", "+15.3 [+12.1, +18.6]", "**< 0.001**"
    ]  # fmt: skip
    # within a line as it stands, but for what would end a cell; at its beginning no list
    assert (first, second) == (notes[0].replace("|", "&#124;"), "12\\. of March")


class Page(HTMLParser):
    """The cells, the tags and the content policy of a page."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: set[str] = set()
        self.cells: list[str] = []
        self.texts: dict[str, str] = {}
        self.last = self.policy = ""
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes |= {name for name, _ in attrs}
        if tag in ("td", "th"):
            self.cells.append("")
        if dict(attrs).get("http-equiv") == "Content-Security-Policy":
            self.policy = str(dict(attrs)["content"])

    def handle_endtag(self, tag: str) -> None:
        self.texts.setdefault(tag, self.last)

    def handle_data(self, data: str) -> None:
        self.last = data
        if self.tags and self.tags[-1] == "bdi" and len(self.cells) and "table" in self.tags:
            self.cells[-1] += data.removesuffix("\n")


@given(sheets())
def test_in_html_names_are_text_and_nothing_else(sheet: Sheet) -> None:
    page = Page(to_html([sheet]))
    rows = len(sheet.rows)
    assert page.tags.count("script") == page.tags.count("style") == 1
    assert page.tags.count("tr") == rows + 1
    assert page.tags.count("td") == 3 * rows
    assert not {"b", "a", "img"} & set(page.tags)
    assert not any(name.startswith("on") or name in ("style", "src") for name in page.attributes)
    noted = "".join(harmless(note) for note in sheet.notes)
    assert "".join("".join(page.cells).split()) == "".join("".join([*map(harmless, every(sheet)), noted]).split())


def test_the_page_allows_its_own_script_alone_and_fetches_nothing() -> None:
    written = to_html([Sheet("t", (Column("a"),), ())])
    page = Page(written)
    for tag in ("script", "style"):
        digest = base64.b64encode(hashlib.sha256(page.texts[tag].encode()).digest()).decode()
        assert f"{tag}-src 'sha256-{digest}'" in page.policy
    assert page.policy.startswith("default-src 'none'")
    assert "unsafe" not in page.policy
    assert "http:" not in written
    assert "https:" not in written


def unescaped(latex: str) -> str:
    """Drop what is escaped or ours; any special character that is left is a mistake."""
    ours = r"\\(par|smallskip|footnotesize|textbf|begin|end|caption|centering|toprule|midrule|bottomrule)\b|\\\\(?=\n)"
    known = r"\\text\w+\{\}|\\ldots\{\}|\$\\(pm|times|geq|leq|cdot)\$|\$-\$|\\[&%$#_{}]"
    return re.sub(f"{known}|{ours}", "", latex)


@given(sheets())
def test_latex_is_balanced_and_nothing_special_is_left(sheet: Sheet) -> None:
    written = to_latex([sheet])
    body = unescaped(written.split("\\toprule\n")[1].split("\\end{tabular}")[0])
    assert not re.search(r"[\\%$#_~^<>|\"`]", body)
    assert not re.search(r"^\s*[\[*]", body, re.MULTILINE)
    whole = re.sub(r"\\[{}]", "", written)
    assert whole.count("{") == whole.count("}")
    lines = [line for line in body.splitlines() if line.strip()]
    assert len(lines) == len(sheet.rows) + 1
    assert {line.count("&") for line in lines} == {2}
    # pdfLaTeX's fonts have these and no others
    assert re.fullmatch(r"[\n -~À-ſ]*", written)


def test_a_hostile_table_compiles(tmp_path: Path) -> None:
    if shutil.which("pdflatex") is None:
        pytest.skip("no pdflatex here: the Debian package texlive-latex-recommended has it")
    letters = "".join(map(chr, range(0xC0, 0x180)))
    rows = tuple((text(name), Cell(0.5, "50.0 ±1.2", 0.4, 0.6, "best"), text(name)) for name in [*HOSTILE, letters])
    sheet = Sheet(HOSTILE[0], (Column("name"), Column("accuracy", "share"), Column("long")), (rows,), tuple(HOSTILE))
    preamble = "\\documentclass{article}\n\\usepackage{booktabs,graphicx}\n\\usepackage[T1]{fontenc}\n"
    source = tmp_path / "table.tex"
    source.write_text(f"{preamble}\\begin{{document}}\n{to_latex([sheet])}\\end{{document}}\n", encoding="utf-8")
    done = subprocess.run(
        ["pdflatex", "-halt-on-error", "-interaction=nonstopmode", source.name],
        cwd=tmp_path, capture_output=True, text=True, errors="replace", check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-2000:]
    assert (tmp_path / "table.pdf").exists()


@given(sheets())
def test_a_terminal_gets_no_control_and_no_markup(sheet: Sheet) -> None:
    console = Console(file=io.StringIO(), width=400, force_terminal=False, color_system=None)
    console.print(rich_table(sheet, 400))
    shown = console.file.getvalue()  # type: ignore[attr-defined]
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066\u2067\u200e\u200f]", shown)
    flat = "".join(re.sub("[\u2068\u2069\u2500-\u257f]", "", shown).split())
    for said in every(sheet):
        assert "".join(re.sub("[\u2500-\u257f]", "", harmless(said)).split())[:20] in flat


def test_all_formats_take_several_tables_and_none_at_all() -> None:
    one = Sheet("one", (Column("name"), Column("r", "number")), (((text("a"), Cell(-0.5, "-0.500")),),))
    other = Sheet(
        "other",
        (Column("name"), Column("name"), Column("r", "number")),
        (((text("b"), text("c"), Cell(0.25, "0.250")),),),
    )
    for write in TEXTS.values():
        assert write([])
        assert all(name in write([one, other]) for name in ("one", "other"))
    header, first, second = csv.reader(io.StringIO(to_csv([one, other])))
    assert header == ["table", "name", "r", "name"]
    assert (first, second) == (["one", "a", "-0.5", ""], ["other", "b", "0.25", "c"])
    assert fitting(one, 1)[0] == one


def test_a_long_latex_table_goes_on_in_another_and_loses_no_row() -> None:
    groups = tuple(tuple((text(f"run{g}x{i}"),) for i in range(40)) for g in range(2))
    written = to_latex([Sheet("long", (Column("name"),), groups, ("the note",))])
    assert re.findall(r"caption\{(.*)\}", written) == ["long", "long (continued)", "long (continued)"]
    assert re.findall(r"run\dx\d+", written) == [row[0].shown for group in groups for row in group]
    assert written.count("the note") == 1
    assert written.count("midrule") == 4, "one below each heading, one between the groups"


def test_a_page_keeps_rarely_needed_columns_back_and_names_them() -> None:
    columns = (Column("run"), Column("rank", "count", spare=1), Column("data", spare=10), Column("<b>", spare=11))
    written = to_html([Sheet("t", columns, (((text("a"), text("1"), text("toy"), text("x")),),))])
    assert "Also show: <bdi>data; &lt;b&gt;</bdi>" in written
    # they are there all the same, for a search
    assert written.count('class="text spare"') == 4
    assert "Also show" not in to_html([Sheet("t", columns[:2], (((text("a"), text("1")),),))])
