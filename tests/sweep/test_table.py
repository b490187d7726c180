"""A sweep's table and plot say what `compare` says of its cells, count each stage once, and name what is missing."""

import json
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

from harness.cli import main
from harness.comparing.comparison import compare_many
from harness.counting.results import load_result
from harness.records import Item, RunFolder
from harness.records.run import StageRecord
from harness.sweep.file import read_sweep
from harness.sweep.folder import SweepFolder
from harness.sweep.table import costs
from tests.test_cli import HEAVY
from tests.toys import changed, make_items, make_judgments, write

ITEMS = make_items(120)
HOSTILE = "<script>alert(1)</script> & \u202ex"


def stage(name: str, key: str, took: float, seed: int = 0, **info: float) -> StageRecord:
    return StageRecord(stage=name, seed=seed, key=key, cached=False, seconds=took, peak_mb=1, info=info)


def finish(sweep: Path, accuracies: dict[str, float], items: list[Item] = ITEMS) -> dict[str, RunFolder]:
    """Make finished runs of some cells, and have the sweep's folder know them."""
    asked = read_sweep(sweep)
    folder = SweepFolder(asked.name)
    folder.remember({cell.label: f"run-{i}" for i, cell in enumerate(asked.cells)}, asked.cells)
    made = {}
    for i, cell in enumerate(asked.cells):
        if (accuracy := accuracies.get(cell.label)) is None:
            continue
        judgments = [j for seed in asked.file.seeds for j in make_judgments(items, accuracy, seed, draw=i)]
        stages = [stage("sft", "shared", 100, updates=7), stage("dpo", f"own {i}", 10), stage("judge toy", "k", 1)]
        made[cell.label] = write(folder.path.parents[1] / f"runs/run-{i}", items, judgments, stages)
    return made


@pytest.fixture
def sweep(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HARNESS_RESULTS", str(tmp_path / "results"))
    path = tmp_path / "mine.yaml"
    cells = {"default": {}, "good": {"dpo.beta": 0.5}, HOSTILE: {"dpo.beta": 1}, "weak": {"dpo.beta": 2}}
    common = "# Which?\nrecipe: carevl\ntasks: [vlrewardbench]\nseeds: [0, 1, 2]\nshow: [sft.updates]\n"
    path.write_text(f"{common}cells: {json.dumps(cells)}\n")
    return path


def shown(capsys: pytest.CaptureFixture[str]) -> str:
    return " ".join(capsys.readouterr().out.split())


def test_the_figures_are_those_of_compare_corrected_over_the_cells(sweep: Path, capsys) -> None:
    runs = finish(sweep, {"default": 0.7, "good": 0.8, HOSTILE: 0.7, "weak": 0.6})
    assert main(["sweep", str(sweep), "--show"]) == 0
    base, *others = (load_result(run) for run in runs.values())
    expected = [comparison.headline[0] for comparison in compare_many(base, others, other_prompts=True)]
    (table,) = json.loads(SweepFolder("mine").path.joinpath("table.json").read_text())["tables"]
    headings = [column["heading"] for column in table["columns"]]
    rows = [dict(zip(headings, row, strict=True)) for group in table["groups"] for row in group]
    assert [row["cell"]["value"] for row in rows] == ["default", "good", HOSTILE, "weak"]
    assert rows[0]["difference, 95 %"]["shown"] == "reference"
    for row, difference in zip(rows[1:], expected, strict=True):
        cell = row["difference, 95 %"]
        found = difference.estimate
        assert (cell["value"], cell["low"], cell["high"]) == pytest.approx((found.value, found.low, found.high))
        assert row["p"]["value"] == pytest.approx(found.p)
        assert row["p (Holm)"]["value"] == pytest.approx(difference.adjusted_p)
    assert [row["sft.updates"]["value"] for row in rows] == [7.0] * 4
    assert "synthetic" in table["title"]


def test_a_stage_that_cells_share_is_counted_once(sweep: Path) -> None:
    found, together = costs(finish(sweep, {"default": 0.7, "good": 0.8}))
    assert [(cost.whole, cost.own) for cost in found.values()] == [(111, 11), (111, 11)]
    assert together == 122


def test_a_sweep_that_is_partly_finished_is_shown_and_says_what_is_missing(sweep: Path, capsys) -> None:
    finish(sweep, {"default": 0.7, "good": 0.8})
    assert main(["sweep", str(sweep), "--show"]) == 0
    out = shown(capsys)
    assert "Missing: <script>alert(1)</script> & \\u202ex; weak." in out
    assert "embedded synthetic world" in out
    assert "over 1 comparison." in out


def test_without_its_reference_a_cell_has_its_own_figure(sweep: Path, capsys) -> None:
    finish(sweep, {"good": 0.8})
    assert main(["sweep", str(sweep), "--show"]) == 0
    assert "Missing: default;" in shown(capsys)
    assert not (SweepFolder("mine").path / "plot.svg").exists()


def test_a_cell_that_was_changed_since_is_another(sweep: Path, capsys) -> None:
    finish(sweep, {"default": 0.7, "good": 0.8})
    sweep.write_text(sweep.read_text().replace('"dpo.beta": 0.5', '"dpo.beta": 0.6'))
    assert main(["sweep", str(sweep), "--show"]) == 0
    assert "Missing: good;" in shown(capsys)


def test_nothing_finished_is_incomplete_and_says_what_to_do(sweep: Path, capsys) -> None:
    assert main(["sweep", str(sweep), "--show"]) == 4
    assert "no cell of" in (error := capsys.readouterr().err)
    assert "--dry-run" in error


def test_other_data_are_not_compared_and_it_is_said(sweep: Path, capsys) -> None:
    finish(sweep, {"default": 0.7, "good": 0.8})
    finish(sweep, {"weak": 0.8}, [changed(ITEMS[0], question="another?"), *ITEMS[1:]])
    assert main(["sweep", str(sweep), "--show"]) == 0
    assert "weak is not compared: run-0 and run-3 differ in data" in shown(capsys)


def test_plot_and_page_are_whole_and_harmless(sweep: Path) -> None:
    finish(sweep, {"default": 0.7, "good": 0.8, HOSTILE: 0.75})
    assert main(["sweep", str(sweep), "--show"]) == 0
    folder = SweepFolder("mine").path
    svg = ElementTree.fromstring((folder / "plot.svg").read_text())
    told = ["".join(text.itertext()) for text in svg.iter("{http://www.w3.org/2000/svg}text")]
    assert "mine · toy, 120 synthetic items" in told
    assert "accuracy minus that of “default”, with 95 % intervals." in told
    assert "good" in told
    assert not [tag for tag in svg.iter() if "script" in tag.tag]
    assert "var(" not in (folder / "plot.svg").read_text(), "other viewers than browsers would draw it black"
    page = (folder / "page.html").read_text()
    assert "120 synthetic items" in page
    assert "<script>alert" not in page
    assert page.count("<figure><svg") == 1
    # the table draws its intervals as well, a row each
    assert page.count('td class="drawn"') == page.count("<svg") - 1 > 0


def test_a_curve_is_drawn_for_each_other_value(tmp_path: Path, sweep: Path) -> None:
    grid = "grid: {recipe: [carevl, distill], world.caption_noise: [0.0, 0.3, 0.6]}\nplot: {x: world.caption_noise}"
    sweep.write_text(f"# How?\ntasks: [toy]\nseeds: [0, 1]\n{grid}\nbaseline: {{world.caption_noise: 0.0}}\n")
    labels = [cell.label for cell in read_sweep(sweep).cells]
    finish(sweep, dict(zip(labels, (0.8, 0.7, 0.6, 0.6, 0.6, 0.6), strict=True)))
    assert main(["sweep", str(sweep), "--show"]) == 0
    svg = ElementTree.fromstring((SweepFolder("mine").path / "plot.svg").read_text())
    lines = list(svg.iter("{http://www.w3.org/2000/svg}polyline"))
    assert [len(line.attrib["points"].split()) for line in lines] == [3, 3]
    assert len(list(svg.iter("{http://www.w3.org/2000/svg}polygon"))) == 2
    told = ["".join(text.itertext()) for text in svg.iter("{http://www.w3.org/2000/svg}text")]
    assert {"carevl", "distill", "world.caption_noise"} <= set(told)
    (table,) = json.loads(SweepFolder("mine").path.joinpath("table.json").read_text())["tables"]
    assert [len(group) for group in table["groups"]] == [3, 3]
    assert "over 4 comparisons" in " ".join(table["notes"])


def test_a_table_for_a_program_is_alone_on_the_output(sweep: Path, capsys) -> None:
    finish(sweep, {"default": 0.7, "good": 0.8})
    assert main(["sweep", str(sweep), "--show", "--format", "json"]) == 0
    assert json.loads(capsys.readouterr().out)["tables"]


def test_finished_cells_are_shown_without_what_trains(sweep: Path) -> None:
    finish(sweep, {"default": 0.7, "good": 0.8})
    code = (
        f"import sys\nfrom harness.cli import main\ncode = main(['sweep', {str(sweep)!r}, '--show'])\n"
        f"print([code, *(m for m in {(*HEAVY, 'ray')!r} if m in sys.modules)])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[0]"
