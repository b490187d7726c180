import csv
import io
import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from harness.cli import main
from harness.counting import cache as counted
from harness.counting.cache import Cache
from harness.counting.results import load_result, rank_results
from harness.records import RunFolder
from harness.sheets.sheet import Cell, Sheet
from harness.show.leaderboard import collect, leaderboard, published, published_sheet
from tests.comparing.test_comparison import varied
from tests.toys import ROOT, make_items, make_judgments, write

SOURCES = [
    "COCO",
    "C.C.",
    "Diff.",
    "Graphics",
    "Math",
    "Text",
    "WIT",
    "Chart",
    "VisIT",
    "CC-3M",
    "M2W",
    "SciQA",
    "Aes",
    "MM-Vet",
]


@pytest.fixture
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HARNESS_RESULTS", str(tmp_path))
    monkeypatch.setenv("COLUMNS", "250")
    return tmp_path / "runs"


def drawn(*folders: RunFolder, cache: Path) -> list[Sheet]:
    kept = Cache(cache)
    found, _ = collect(folders, [], True, kept)
    return leaderboard(found, kept)


def column(sheet: Sheet, heading: str) -> list[str]:
    place = [one.heading for one in sheet.columns].index(heading)
    return [row[place].shown for row in sheet.rows]


def marked(sheet: Sheet, heading: str) -> list[bool]:
    place = [one.heading for one in sheet.columns].index(heading)
    return [row[place].mark == "best" for row in sheet.rows]


def test_runs_are_ordered_by_figure_and_ranked_only_as_far_as_the_data_tell(tmp_path: Path) -> None:
    items = make_items(400)
    folders = [
        write(tmp_path / name, items, make_judgments(items, accuracy, draw=i))
        for i, (name, accuracy) in enumerate([("low", 0.5), ("one", 0.8), ("high", 0.95), ("other", 0.8)])
    ]
    (sheet,) = drawn(*folders, cache=tmp_path / "cache")
    assert column(sheet, "recipe")[0] == "high"
    assert column(sheet, "recipe")[-1] == "low"
    assert column(sheet, "rank") == ["1", "2–3", "2–3", "4"]
    assert column(sheet, "ties") == ["a", "b", "b", "c"]
    assert marked(sheet, "accuracy") == [True, False, False, False]
    assert not any(marked(sheet, "coverage")), "a column in which all are alike has no best"
    assert not any(marked(sheet, "shown first"))
    assert "synthetic" in sheet.title
    place = [one.heading for one in sheet.columns].index("accuracy")
    first = sheet.rows[0][place]
    assert first.low is not None
    assert first.low < first.value < first.high  # type: ignore[operator]
    assert first.shown.startswith(f"{100 * first.value:.1f} [{100 * first.low:.1f}, ")  # type: ignore[operator]


def test_equal_bests_are_all_marked(tmp_path: Path) -> None:
    items = make_items(60)
    same, worse = make_judgments(items, 0.9, draw=1), make_judgments(items, 0.5, draw=2)
    folders = [write(tmp_path / name, items, j) for name, j in (("one", same), ("two", same), ("three", worse))]
    (sheet,) = drawn(*folders, cache=tmp_path / "cache")
    assert marked(sheet, "accuracy") == [True, True, False]


def test_what_is_not_shown_worse_than_the_best_is_marked_with_it(tmp_path: Path) -> None:
    items = make_items(300)
    drawn_runs = (("one", 0.8, 1), ("two", 0.8, 2), ("low", 0.4, 3))
    folders = [
        write(tmp_path / name, items, make_judgments(items, accuracy, draw=k)) for name, accuracy, k in drawn_runs
    ]
    (sheet,) = drawn(*folders, cache=tmp_path / "cache")
    assert marked(sheet, "accuracy") == [True, True, False]
    assert marked(sheet, "macro") == [True, True, False]


def test_runs_on_other_footing_are_in_tables_of_their_own(tmp_path: Path) -> None:
    items = make_items(60)
    judged = make_judgments(items, 0.7)
    limited = [j for j in judged if j.item_id in {item.item_id for item in items[:20]}]
    probable = [j.model_copy(update={"p_first": float(j.reading == "first")}) for j in judged]
    folders = [
        write(tmp_path / "plain", items, judged),
        write(tmp_path / "like", items, make_judgments(items, 0.8)),
        write(tmp_path / "data", [items[0].model_copy(update={"label": 1}), *items[1:]], judged),
        write(tmp_path / "protocol", items, probable, protocol="logprob"),
        write(tmp_path / "limited", items[:20], limited, data_items=60),
    ]
    sheets = drawn(*folders, cache=tmp_path / "cache")
    assert [sorted(column(sheet, "recipe")) for sheet in sheets] == [
        ["like", "plain"], ["data"], ["protocol"], ["limited"],
    ]  # fmt: skip
    assert "20 of 60 items" in sheets[-1].title
    assert not any(cell.mark for sheet in sheets[1:] for row in sheet.rows for cell in row), "alone is not best"


def test_what_was_counted_once_is_the_same_when_found_again(tmp_path: Path, monkeypatch) -> None:
    items = make_items(60)
    judgments = [j for seed in (0, 1) for j in make_judgments(items, 0.7, seed)]
    folders = [write(tmp_path / name, items, judgments) for name in ("one", "two")]
    fresh = drawn(*folders, cache=tmp_path / "cache")
    monkeypatch.setattr(counted, "load_result", None)
    monkeypatch.setattr(counted, "rank_results", None)
    assert drawn(*folders, cache=tmp_path / "cache") == fresh
    again = Cache(tmp_path / "cache").count(folders[0], folders[0].read_run(), "toy").result
    first = load_result(folders[0])
    assert again.items == first.items
    assert again.tallies.keys() == first.tallies.keys()
    for seed, tally in first.tallies.items():
        assert tally.columns.keys() == again.tallies[seed].columns.keys()
        for name, values in tally.columns.items():
            np.testing.assert_array_equal(values, again.tallies[seed][name])
    assert rank_results([again, again], counted.METRICS["pair"]["accuracy"])[0].group == "a"


@pytest.mark.parametrize("what", ["record", "code"])
def test_a_changed_byte_is_counted_anew(tmp_path: Path, monkeypatch, what: str) -> None:
    items = make_items(60)
    folder = write(tmp_path / "run", items, make_judgments(items, 1.0))
    (before,) = drawn(folder, cache=tmp_path / "cache")
    assert column(before, "accuracy")[0].startswith("100.0")
    again = []
    monkeypatch.setattr(counted, "load_result", lambda *given: again.append(given) or load_result(*given))
    drawn(folder, cache=tmp_path / "cache")
    assert not again
    if what == "code":
        monkeypatch.setattr(counted, "code", lambda: "other")
    else:
        path = folder.path / "run.json"
        path.write_text(path.read_text().replace('"recipe": "run"', '"recipe": "ran"'))
    (after,) = drawn(folder, cache=tmp_path / "cache")
    assert len(again) == 1
    assert column(after, "accuracy")[0].startswith("100.0")
    assert column(after, "recipe") == ["ran" if what == "record" else "run"]


def test_the_code_is_that_which_counts() -> None:
    package = Path(counted.__file__).parent.parent
    named = {path.name for pattern in counted.COUNTING for path in package.glob(pattern)}
    assert {"metrics.py", "results.py", "counting.py", "ranking.py", "store.py", "intervals.py"} <= named
    assert all(list(package.glob(pattern)) for pattern in counted.COUNTING)


@pytest.mark.parametrize("damage", [b"", b"PK\x03\x04", b"[[1, 2]]", None])
def test_a_damaged_entry_is_no_entry(tmp_path: Path, damage: bytes | None) -> None:
    items = make_items(60)
    folders = [write(tmp_path / name, items, make_judgments(items, 0.7)) for name in ("one", "two")]
    fresh = drawn(*folders, cache=tmp_path / "cache")
    for path in (tmp_path / "cache").iterdir():
        path.write_bytes(path.read_bytes()[:-40] if damage is None else damage)
    assert drawn(*folders, cache=tmp_path / "cache") == fresh
    assert drawn(*folders, cache=Path("/dev/null/cache")) == fresh, "where nothing can be kept, all is counted"


def spoil(runs: Path) -> None:
    """Write a good run and one of every kind that cannot be shown."""
    items, others = make_items(60), make_items(90)
    judged = make_judgments(items, 0.7)
    write(runs / "good", items, judged)
    write(runs / "unfinished", items, judged, status="unfinished")
    write(runs / "lost", items, judged[:-1]).write_presentations("toy", {j.presentation for j in judged})
    write(runs / "torn", items, judged).path.joinpath("run.json").write_text('{"version": 1,')
    write(runs / "mixed", items, judged).write_items("toy", others[30:])
    write(runs / "damaged", items, judged).path.joinpath("presentations-toy.jsonl").write_text("{}\n")
    write(runs / "unable", items, judged, not_applicable="it only compares")


def test_without_a_name_what_cannot_be_shown_is_left_out_and_said(runs: Path, capsys) -> None:
    spoil(runs)
    assert main(["leaderboard", "--format", "json"]) == 0
    found = json.loads(capsys.readouterr().out)
    (table,) = found["tables"]
    assert len(table["rows"]) == 1
    told = " ".join(found["left_out"])
    for name in ("unfinished", "lost", "torn", "mixed", "damaged", "unable"):
        assert name in told
    assert "good" not in told


@pytest.mark.parametrize(
    ("name", "code", "says"),
    [
        ("unfinished", 4, "run unfinished is unfinished"),
        ("lost", 4, "1 of 120 judgments are missing"),
        ("torn", 2, "run.json: field"),
        ("mixed", 2, "its items are not those that were asked"),
        ("damaged", 2, "presentations-toy.jsonl is damaged"),
        ("unable", 2, "it only compares"),
        ("godo", 2, "Did you mean 'good'?"),
    ],
)
def test_a_named_run_that_cannot_be_shown_is_an_error(runs: Path, capsys, name: str, code: int, says: str) -> None:
    spoil(runs)
    assert main(["leaderboard", name]) == code
    error = capsys.readouterr().err
    assert says in error
    assert len(error.strip().splitlines()) == 1


def test_mistakes_are_one_line(runs: Path, capsys, tmp_path: Path) -> None:
    assert main(["leaderboard"]) == 2
    assert "there is no finished run in " in capsys.readouterr().err
    items = make_items(20)
    write(runs / "run", items, make_judgments(items, 0.7))
    for arguments, says in [
        (["--task", "vlrewardbenhc"], "Did you mean 'vlrewardbench'?"),
        (["--task", "vlrewardbench"], "there is no finished run of the task vlrewardbench in "),
        (["run", "--task", "vlrewardbench"], "run run has no task vlrewardbench. It has toy."),
        (["--format", "xls"], "invalid choice"),
        (["-o", str(tmp_path / "no/such/folder/t.md")], "cannot write"),
    ]:
        assert main(["leaderboard", *arguments]) == 2
        error = capsys.readouterr().err
        assert says in error
        assert len(error.strip().splitlines()) == 1
    assert main(["leaderboard", "run", str(runs / "run"), "--format", "json"]) == 0
    (table,) = json.loads(capsys.readouterr().out)["tables"]
    assert len(table["rows"]) == 1, "named twice, shown once"


def test_published_rows_stand_apart_with_source_and_audit_and_are_not_ranked(runs: Path, capsys) -> None:
    shutil.copytree(Path(__file__).parent.parent.parent / "results/published", runs.parent / "published")
    items = make_items(40)
    write(runs / "run", items, make_judgments(items, 0.7), task="vlrewardbench")
    printed = published(runs.parent / "published", "vlrewardbench")
    theirs = published_sheet("vlrewardbench", printed, synthetic=True)
    headings = [one.heading for one in theirs.columns]
    assert headings[:8] == ["model", "general", "hallucination", "reasoning", "overall", "macro", "source", "audit"]
    assert "rank" not in headings
    assert not any(cell.mark for row in theirs.rows for cell in row)
    first = dict(zip(headings, theirs.rows[0], strict=True))
    assert first["general"] == Cell(0.478, "47.8")
    assert first["audit"].value == "'correct' explains this row, with 1 item left out."
    assert first["source"].value.startswith("arXiv 2411.17451")
    assert any("synthetic" in note for note in theirs.notes)
    # `published_sheet` says it of every row, and no row's record may say otherwise
    assert "None was read in the printed original" in theirs.notes[1]
    assert main(["leaderboard", "--task", "vlrewardbench", "--published", "--format", "md"]) == 0
    out = capsys.readouterr().out
    assert out.index("both-orders") < out.index("published figures, not counted here and not ranked")
    assert main(["leaderboard", "--task", "mllm_judge", "--published", "--format", "csv"]) == 0
    header, *lines = csv.reader(io.StringIO(capsys.readouterr().out))
    assert header[:17] == ["table", "model", *SOURCES, "Ave."]
    assert {line[header.index("audit")] for line in lines} == {"not audited"}
    assert {line[0].split(" ")[0] for line in lines} == {"mllm_judge_score", "mllm_judge_pair", "mllm_judge_batch"}


def test_mllm_as_a_judge_has_the_papers_columns_and_lower_is_better_where_it_is(tmp_path: Path) -> None:
    items = [
        item.model_copy(update={"slice": SOURCES[i % 14], "label": (0, 1)}) for i, item in enumerate(make_items(84))
    ]
    about = {"kind": "batch", "protocol": "published:1", "reader": "order", "slices": SOURCES}
    folders = []
    for name, wrong in (("near", 5), ("far", 2)):
        judged = [j for j in make_judgments(items_labelled(items), 1.0) if j.order == (0, 1)]
        read = [
            j.model_copy(update={"reading": (1, 0) if i % wrong == 0 else (0, 1), "text": ""})
            for i, j in enumerate(judged)
        ]
        folders.append(write(tmp_path / name, items, read, **about))
    (sheet,) = drawn(*folders, cache=tmp_path / "cache")
    headings = [one.heading for one in sheet.columns]
    # the metric that ranks stands first, where the paper has its average last
    assert headings[:18] == ["recipe", "rank", "ties", "Ave. distance", *SOURCES]
    assert column(sheet, "recipe") == ["near", "far"]
    assert marked(sheet, "Ave. distance") == [True, False]
    assert not any(marked(sheet, "random order"))


def items_labelled(items):
    return [item.model_copy(update={"label": 0}) for item in items]


def test_without_image_ids_there_are_figures_and_no_ranks(tmp_path: Path) -> None:
    items = [item.model_copy(update={"cluster_id": None, "image_hash": None}) for item in make_items(40)]
    (sheet,) = drawn(write(tmp_path / "run", items, make_judgments(items, 0.7)), cache=tmp_path / "cache")
    assert "rank" not in [one.heading for one in sheet.columns]
    assert "[" not in column(sheet, "accuracy")[0]
    assert "no image ids" in sheet.notes[0]


def test_every_format_is_written_says_synthetic_and_bears_a_hostile_recipe(runs: Path, capsys, tmp_path: Path) -> None:
    items, name = make_items(40), "<script>alert(1)</script>|=cmd()\n\x1b[31m\u202e[red]"
    folder = write(runs / "run", items, make_judgments(items, 0.7))
    run = folder.read_run()
    folder.write_run(run.model_copy(update={"config": {"recipe": name, "judge": {"model": "=1+1"}}}))
    for suffix in ("md", "tex", "csv", "json", "html"):
        out = tmp_path / f"table.{suffix}"
        assert main(["leaderboard", "-o", str(out)]) == 0
        written = out.read_text(encoding="utf-8")
        assert "synthetic" in written
        assert not {"\x1b", "\u202e"} & set(written)
        assert "<script>alert" not in written or suffix in ("csv", "json")
    captured = capsys.readouterr()
    assert not captured.out
    assert "clustered by image" in captured.err, "notes have no place in CSV"
    header, row = csv.reader(io.StringIO((tmp_path / "table.csv").read_text()))
    assert row[header.index("base model")] == "'=1+1"
    assert float(row[header.index("accuracy")]) < 1


def test_old_records_of_synthetic_data_name_no_release(runs: Path, capsys) -> None:
    baselines = [str(ROOT / "results/baselines" / name) for name in ("distill", "carevl")]
    assert '"release": "first release (1,250)"' in (Path(baselines[0]) / "run.json").read_text()
    for form in ("md", "csv"):
        assert main(["leaderboard", *baselines, "--format", form]) == 0
        out = capsys.readouterr().out
        assert out.count("embedded synthetic") >= 2
        assert "first release" not in out
    assert RunFolder(Path(baselines[0])).read_run().tasks[0].release == ""


def test_runs_of_one_recipe_go_by_their_own_names(tmp_path: Path) -> None:
    folders = [
        varied(tmp_path / name, "carevl", beta, i) for i, (name, beta) in enumerate([("one", 0.1), ("two", 0.2)])
    ]
    folders.append(varied(tmp_path / "three", "distill", None, 3))
    (sheet,) = drawn(*folders, cache=tmp_path / "cache")
    assert sorted(column(sheet, "recipe")) == ["distill", "one", "two"]
    values = " | ".join(
        {"one": "0.1", "two": "0.2"}.get(name, "") for name in column(sheet, "recipe") if name != "distill"
    )
    assert f"The 2 runs of carevl, from the top, differ in: dpo.beta ({values}), judge.lora.rank" in sheet.notes[-1]
