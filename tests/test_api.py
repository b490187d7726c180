"""The Python surface: the same as the commands, and without torch. `tests/test_readme.py` runs its documentation."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import harness
from harness import api
from harness.cli import main
from tests.toys import ROOT, make_items, make_judgments, write


def test_the_package_offers_what_the_surface_lists() -> None:
    assert sorted(harness.__all__) == sorted(api.__all__) == sorted(dir(harness))
    assert harness.load_run is api.load_run
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        _ = harness.nonsense  # type: ignore[attr-defined]


def test_importing_it_loads_neither_numpy_nor_torch() -> None:
    code = "import harness, sys; print([m for m in ('numpy', 'torch') if m in sys.modules]); harness.load_run"
    code += "; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "[]\nFalse\n"


def test_tables_are_the_records(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    items = make_items(40)
    for place, (name, accuracy) in enumerate((("base", 0.6), ("cand", 0.8))):
        write(tmp_path / name, items, make_judgments(items, accuracy, draw=place), prompts={"0": "words"})
    run = harness.load_run(tmp_path / "cand")
    answers = run.judgments()
    assert answers.num_rows == 80
    assert np.mean(answers["right"].to_pylist()) == pytest.approx(run.figures()["accuracy"].value)
    assert {str(field.type) for field in answers.schema if field.name in ("error", "shown")} == {"string"}
    assert run.items()["label"].to_pylist() == [item.label for item in items]
    found = harness.compare(tmp_path / "base", run)
    assert main(["compare", str(tmp_path / "base"), str(tmp_path / "cand")]) == 0
    assert " ".join(found.sentence().split()) in " ".join(capsys.readouterr().out.split())
    rows = harness.table(found).to_pylist()
    assert rows[0]["difference"] == found.headline[0].estimate.value
    assert [row["metric"] for row in rows] == [each.metric.name for each in found.differences]
    ruling = harness.gate(tmp_path / "base", run, improvement=True)
    assert main(["gate", str(tmp_path / "base"), str(tmp_path / "cand"), "--require", "improvement"]) == ruling.code
    assert capsys.readouterr().out.splitlines() == list(ruling.lines)
    assert [row["recipe"] for row in harness.leaderboard(tmp_path / "base", run).to_pylist()] == ["cand", "base"]


def test_what_cannot_be_compared_is_an_error_with_a_fix(tmp_path: Path) -> None:
    items = make_items(20)
    write(tmp_path / "one", items, make_judgments(items, 0.6))
    write(tmp_path / "other", make_items(10), make_judgments(make_items(10), 0.6))
    for call in (harness.leaderboard, harness.compare):
        with pytest.raises(harness.HarnessError):
            call(tmp_path / "one", tmp_path / "other")
