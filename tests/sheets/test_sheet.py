import pytest

from harness.sheets.formats import fitting
from harness.sheets.sheet import Cell, Column, Sheet, count, text


def test_a_row_has_a_cell_for_every_column() -> None:
    with pytest.raises(ValueError, match="a row of 1 cells under 2 columns"):
        Sheet("t", (Column("a"), Column("b")), (((text("x"),),),))


def test_narrow_places_lose_the_most_spare_columns_first_and_say_so() -> None:
    columns = (
        Column("name"),
        Column("accuracy", "share"),
        Column("profile", spare=2),
        Column("items", "count", spare=1),
    )
    sheet = Sheet("t", columns, (((text("carevl"), Cell(0.7, "70.0"), text("embedded"), count(1250)),),))
    kept = {width: fitting(sheet, width) for width in (80, 35, 20, 5)}
    assert [c.heading for c in kept[80][0].columns] == ["name", "accuracy", "profile", "items"]
    assert kept[35][1] == ["profile"]
    assert kept[20][1] == kept[5][1] == ["profile", "items"]
    assert kept[5][0].rows == ((text("carevl"), Cell(0.7, "70.0")),)


def test_a_missing_count_is_no_zero() -> None:
    assert count(None).value is None
    assert count(None).shown == "–"
    assert count(0).value == 0
