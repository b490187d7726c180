import io
import re
from collections.abc import Iterator

import pytest
from rich.console import Console

from harness.comparing.comparison import compare_many
from harness.comparing.findings import candidates, differences
from harness.counting.cache import Cache
from harness.counting.results import load_result
from harness.records import RunFolder
from harness.registry import content_roots, published_root
from harness.sheets.formats import fitting, rich_table
from harness.sheets.sheet import Column, Sheet, sheet_of
from harness.show.leaderboard import collect, leaderboard, published, published_sheet
from harness.show.tables import results_sheets
from harness.verbs import listing
from tests.toys import ROOT


@pytest.fixture(scope="module")
def sheets(tmp_path_factory: pytest.TempPathFactory) -> list[Sheet]:
    folders = [RunFolder(ROOT / "results/baselines" / name) for name in ("distill", "carevl")]
    distill, carevl = map(load_result, folders)
    cache = Cache(tmp_path_factory.mktemp("counted"))
    many = compare_many(distill, [carevl, carevl])
    return [
        *results_sheets([("candidate", carevl), ("baseline", distill)]),
        differences(many[0], every_slice=True, bootstrap=True),
        candidates(many, "holm"),
        *leaderboard(collect(folders, [], True, cache)[0], cache),
        published_sheet("vlrewardbench", published(published_root(), "vlrewardbench"), True),
    ]


def cells(drawn: str, column: int) -> Iterator[str]:
    """Yield what stands in a column, line by line, headings too."""
    for line in drawn.splitlines():
        if parts := re.split("[│┃]", line)[1:-1]:
            yield parts[column].strip()


@pytest.mark.parametrize("width", range(50, 101))
def test_in_any_terminal_every_row_keeps_its_name_and_no_word_is_broken(sheets: list[Sheet], width: int) -> None:
    for sheet in sheets:
        console = Console(file=io.StringIO(), width=width, color_system=None)
        console.print(rich_table(sheet, width))
        drawn = console.file.getvalue()  # type: ignore[attr-defined]
        assert "…" not in drawn
        assert max(map(len, drawn.splitlines())) <= width
        names = " ".join(cells(drawn, 0)).split()
        expected = [sheet.columns[0].heading, *(row[0].shown for row in sheet.rows)]
        # a name as long as a run's is broken behind a hyphen, and nowhere else
        assert "".join(names) == "".join("".join(expected).split()), drawn
        words = {word for name in expected for word in name.split() if len(word) <= 24}
        assert words <= set(names), drawn
        kept, left_out = fitting(sheet, width)
        assert all(cell.shown in drawn for row in kept.rows for cell in row[1:2])
        assert ("No room here for: " in drawn) == bool(left_out)


LISTED = ("tasks", "recipes", "profiles", "sweeps", "preferences")
RUN = "high-confidence-embedded-vlrewardbench-775104fd"


@pytest.mark.parametrize("width", [60, 70, 80, 100, 160])
def test_tables_of_words_break_them_at_joints_alone(width: int) -> None:
    columns = (Column("setting"), Column(RUN), Column("carevl-embedded-vlrewardbench-df096494"))
    by_source = sheet_of("by source", [Column("source"), Column(f"{RUN} candidate", "number")], [("describe", "43.4")])
    settings = sheet_of(
        "settings", columns, [("scoring.weights.caption_support", "1.0", "Qwen/Qwen2.5-VL-7B-Instruct")]
    )
    for sheet in [*(getattr(listing, f"_list_{name}")(content_roots()) for name in LISTED), settings, by_source]:
        console = Console(file=io.StringIO(), width=width, color_system=None)
        console.print(rich_table(sheet, width))
        drawn = console.file.getvalue()  # type: ignore[attr-defined]
        assert max(map(len, drawn.splitlines())) <= width
        for place, column in enumerate(sheet.columns):
            expected = " ".join([column.heading, *(row[place].shown for row in sheet.rows)]).split()
            parts = iter(" ".join(cells(drawn, place)).split())
            for word in expected:
                told = next(parts)
                while told != word:
                    assert word.startswith(told), drawn
                    assert told[-1] in "-/_@=,:.", drawn
                    told += next(parts)
        # the names of rows, where they are shorter than a run's, are whole
        assert all(row[0].shown in drawn for row in sheet.rows if len(row[0].shown) <= 24), drawn


def test_headings_that_hold_a_comma_are_told_apart_where_they_have_no_room() -> None:
    columns = [Column("run"), *(Column(name, "number", spare=1) for name in ("Ave., ties out", "pooled"))]
    console = Console(file=io.StringIO(), width=20, color_system=None)
    console.print(rich_table(sheet_of("", columns, [("a" * 12, "1", "2")]), 20))
    told = " ".join(console.file.getvalue().split())  # type: ignore[attr-defined]
    assert "No room here for: Ave., ties out; pooled." in told
