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
from harness.registry import published_root
from harness.sheets.formats import fitting, rich_table
from harness.sheets.sheet import Sheet
from harness.show.leaderboard import collect, leaderboard, published, published_sheet
from harness.show.tables import results_sheets
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
