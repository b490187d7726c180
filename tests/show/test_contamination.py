"""What a record says of training pairs that are items: in notes, and in the leaderboard where there is something."""

from pathlib import Path
from typing import Any

import pytest

from harness.counting.cache import Cache
from harness.counting.results import load_result
from harness.records import RunFolder
from harness.records.run import StageRecord
from harness.show.contamination import contamination_of
from harness.show.leaderboard import collect, leaderboard
from harness.show.tables import notes
from tests.show.report.runs import answers
from tests.toys import make_items, write


def stage(name: str, **info: Any) -> StageRecord:
    return StageRecord(stage=name, seed=None, key=name, cached=False, seconds=1, peak_mb=1, info=info)


def checked(both: int, **more: int) -> StageRecord:
    return stage("contamination", pairs=50, both=both, by_task={"toy": {"both": both, "image_only": 2, **more}})


DROPPED = stage("without-contaminated", pairs=47, dropped=3)
TRAINED = {"sft": {"epochs": 1}, "preferences": "mine.parquet"}


def made(folder: Path, stages: list[StageRecord], config: dict[str, Any], synthetic: bool = False) -> RunFolder:
    items = make_items(12)
    return write(folder, items, answers(items, [True, False, True] * 4), stages, config, synthetic=synthetic)


@pytest.mark.parametrize(
    ("stages", "config", "short", "says"),
    [
        (
            [checked(3), DROPPED],
            TRAINED,
            "3 dropped",
            "3 training pairs are items of toy, by image and question, and were",
        ),
        ([checked(3)], TRAINED, "3 trained on", "these figures flatter"),
        (
            [checked(3, texts=1), DROPPED],
            TRAINED,
            "3 dropped",
            "by image and question or by question and both responses",
        ),
        ([checked(3, texts=3), DROPPED], TRAINED, "3 dropped", "of toy, by question and both responses, and"),
        ([checked(0)], TRAINED, "none", ""),
        ([], TRAINED, "not checked", "was not checked"),
        ([], {"model": "qwen2_5_vl"}, "–", ""),
    ],
)
def test_a_record_says_what_was_done(tmp_path: Path, stages, config, short: str, says: str) -> None:
    folder = made(tmp_path / "run", stages, config)
    run = folder.read_run()
    told = contamination_of(run, run.tasks[0])
    assert told.short == short
    assert says in told.sentence
    assert bool(told.sentence) == bool(says)
    assert [note for note in notes(load_result(folder)) if note == told.sentence] == [told.sentence] * bool(says)


def test_the_embedded_worlds_own_splits_need_no_check(tmp_path: Path) -> None:
    run = made(tmp_path / "run", [], TRAINED | {"preferences": "embedded"}, synthetic=True).read_run()
    assert contamination_of(run, run.tasks[0]).short == "none"


def test_the_leaderboard_has_the_column_only_where_there_is_something_to_say(tmp_path: Path) -> None:
    clean = made(tmp_path / "clean", [checked(0)], TRAINED)
    dirty = made(tmp_path / "dirty", [checked(3), DROPPED], TRAINED)
    zero = made(tmp_path / "zero", [], {"model": "m"})

    def column(*folders: RunFolder) -> dict[str, str]:
        cache = Cache(tmp_path / "cache")
        (sheet,) = leaderboard(collect(folders, [], True, cache)[0], cache)
        headings = [one.heading for one in sheet.columns]
        if "contamination" not in headings:
            return {}
        place, run = headings.index("contamination"), headings.index("run")
        return {row[run].shown: row[place].shown for row in sheet.rows}

    assert column(clean, zero) == {}
    assert column(clean, dirty, zero) == {"clean": "none", "dirty": "3 dropped", "zero": "–"}
