"""Intervals are drawn where a column shows them, on one scale, and differences with a line at zero."""

from harness.sheets.drawn import EDGE, WIDTH, drawn
from harness.sheets.page import Head, to_html
from harness.sheets.sheet import Cell, Column, Sheet, text

COLUMNS = (Column("run"), Column("rank", "count"), Column("slice", "share"), Column("accuracy", "share"))


def row(name: str, value: float, low: float, high: float, shown: str) -> tuple[Cell, ...]:
    return text(name), Cell(1, "1–2", 1, 2), Cell(0.5, "50.0", 0.4, 0.6), Cell(value, shown, low, high)


def test_the_first_column_that_shows_intervals_is_drawn() -> None:
    sheet = Sheet(
        "t", COLUMNS, ((row("a", 0.6, 0.5, 0.7, "60.0 [50.0, 70.0]"), row("b", 0.4, 0.3, 0.5, "40.0 [30, 50]")),)
    )
    found = drawn(sheet)
    assert found is not None
    assert (found.column, found.zero) == (3, None)
    ((first, second),) = found.rows
    assert (second.low, first.high) == (EDGE, WIDTH - EDGE)
    assert first.low == second.high == first.value - (first.high - first.value)


def test_differences_have_their_zero_and_what_has_no_interval_a_point_alone() -> None:
    rows = (row("a", 0.2, 0.1, 0.3, "+20.0 [+10.0, +30.0]"), (*row("b", 0, 0, 0, "")[:3], Cell(0.3, "not estimable")))
    found = drawn(Sheet("t", COLUMNS, (rows,)))
    assert found is not None
    assert found.zero == EDGE
    assert found.rows[0][1] == (WIDTH - EDGE, None, None)


def test_no_interval_is_no_drawing() -> None:
    assert drawn(Sheet("t", COLUMNS, ())) is None
    assert drawn(Sheet("t", (Column("a"),), (((text("[x]"),),),))) is None


def test_a_head_is_text_and_stands_above_the_tables() -> None:
    page = to_html([], head=Head("<b>runs</b>", ("better & more",), synthetic=True))
    assert "<h1><bdi>&lt;b&gt;runs&lt;/b&gt;</bdi></h1>" in page
    assert "better &amp; more" in page
    assert "not the published benchmark" in page
