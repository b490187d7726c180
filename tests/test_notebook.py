"""The example notebook: its cells run from top to bottom, as one program, and what they leave is what they promise."""

import json
import os
import xml.etree.ElementTree as ET
from contextlib import chdir
from unittest.mock import patch

import pytest

import harness
from tests.toys import ROOT

NOTEBOOK = json.loads((ROOT / "docs/examples/two-runs.ipynb").read_text())
CODE = ["".join(cell["source"]) for cell in NOTEBOOK["cells"] if cell["cell_type"] == "code"]


def test_the_notebook_runs_from_top_to_bottom() -> None:
    names: dict[str, object] = {}
    # it looks for the clone from where it lies
    with chdir(ROOT / "docs/examples"), patch.dict(os.environ):
        os.environ.pop("HARNESS_RESULTS", None)
        for code in CODE:
            exec(code, names)
    table, plot, differences = (names[name] for name in ("by_seed", "plot", "differences"))
    run = harness.load_run(ROOT / "results/baselines/carevl")
    assert list(table.index) == run.seeds
    assert table.mean()["general"] == pytest.approx(run.figures()["general"].value)
    assert len(ET.fromstring(plot._repr_svg_()).findall("{http://www.w3.org/2000/svg}circle")) == 8
    assert differences.loc["accuracy", "low"] > 0
    assert int(names["ruling"].code) == 0
    assert len(names["verdicts"]) == 10


def test_the_notebook_is_kept_without_outputs() -> None:
    assert NOTEBOOK["nbformat"] == 4
    for cell in NOTEBOOK["cells"]:
        assert not cell.get("outputs")
        assert cell.get("execution_count") is None
