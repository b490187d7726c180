"""Without torch and its kind everything works on finished runs, and the rest says which extra it needs."""

import json
import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

from harness.extras import EXTRAS
from tests.toys import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
DISTILL, CAREVL = (str(ROOT / "results/baselines" / name) for name in ("distill", "carevl"))

LIGHT = f"""
import importlib.metadata, sys
from importlib.abc import MetaPathFinder

class Absent(MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {sorted({*EXTRAS["train"], *EXTRAS["server"], "huggingface_hub"})!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

sys.meta_path.insert(0, Absent())
import importlib.util
found = importlib.util.find_spec
def find_spec(name, package=None):
    try:
        return found(name, package)
    except ModuleNotFoundError:
        return None
importlib.util.find_spec = find_spec
from harness.cli import main
sys.exit(main(sys.argv[1:]))
"""
"""A Python in which the extras cannot be found, as in an environment that has only the core."""


def light(results: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "HARNESS_RESULTS": str(results)}
    command = [sys.executable, "-c", LIGHT, *arguments]
    return subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    "arguments",
    [
        ["compare", DISTILL, CAREVL],
        ["gate", DISTILL, CAREVL, "--json", "OUT.json", "--junit", "OUT.xml"],
        ["leaderboard", DISTILL, CAREVL, "--published", "-o", "OUT.html"],
        ["report", CAREVL, DISTILL, "-o", "OUT.html"],
        ["power", DISTILL, CAREVL, "--effect", "0.02"],
        ["audit", "63.84", "85.71", "64.78", "--overall", "71.92"],
        ["ls", "baselines"],
        ["ls", "recipes"],
    ],
    ids=lambda arguments: " ".join(arguments[:1]),
)
def test_what_works_on_finished_runs_needs_no_extra(tmp_path: Path, arguments: list[str]) -> None:
    done = light(tmp_path, *(text.replace("OUT", str(tmp_path / "out")) for text in arguments))
    assert done.returncode == 0, done.stdout + done.stderr


def answered(folder: Path) -> Path:
    """One item's answers in both orders, as another tool would have written them."""
    path = folder / "answers.jsonl"
    said = ["Overall Judgment: Answer 1 is better.", "Overall Judgment: Answer 2 is better."]
    lines = [{"id": "one", "text": text, "order": order} for text, order in zip(said, ([0, 1], [1, 0]), strict=True)]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def test_judgments_made_elsewhere_are_scored_without_an_extra(tmp_path: Path) -> None:
    bench = tmp_path / "bench.jsonl"
    item = {"id": "one", "category": "general", "query": "Which?", "response": ["a", "b"], "human_ranking": [0, 1]}
    bench.write_text(json.dumps(item) + "\n")
    arguments = ["--task", "vlrewardbench", "--data", str(bench), "--protocol", "both-orders"]
    done = light(tmp_path, "score", str(answered(tmp_path)), *arguments)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "100.0" in done.stdout


def test_data_on_the_hub_need_the_extra_and_it_is_said(tmp_path: Path) -> None:
    done = light(tmp_path, "score", str(answered(tmp_path)), "--task", "vlrewardbench", "--data", "hub")
    assert done.returncode == 2
    (line,) = done.stderr.strip().splitlines()
    assert "from the hub needs" in line
    assert "vlrm-harness[train]" in line


@pytest.mark.parametrize(
    "arguments",
    [
        ["--recipe", "carevl", "--tasks", "vlrewardbench"],
        ["--recipe", "carevl", "--tasks", "vlrewardbench", "--dry-run"],
        ["--model", "openai", "--tasks", "vlrewardbench"],
    ],
)
def test_run_names_the_extra_that_it_needs_in_one_line(tmp_path: Path, arguments: list[str]) -> None:
    done = light(tmp_path, "run", *arguments)
    assert done.returncode == 2, done.stdout + done.stderr
    (line,) = done.stderr.strip().splitlines()
    assert line.startswith("harness: harness run needs torch")
    assert "pip install 'vlrm-harness[train]'" in line
    assert not list(tmp_path.glob("runs/*"))


def test_the_extras_are_those_of_the_package() -> None:
    for extra, modules in EXTRAS.items():
        listed = {entry.split(">")[0].strip() for entry in PROJECT["optional-dependencies"][extra]}
        assert listed == {module.replace("_", "-") for module in modules}
    assert not [entry for entry in PROJECT["dependencies"] if "==" in entry]


def test_the_action_installs_the_core_where_it_trains_nothing() -> None:
    action = yaml.safe_load((ROOT / ".github/actions/gate/action.yml").read_text())
    install = next(step for step in action["runs"]["steps"] if step["name"] == "Install the harness")["run"]
    assert 'if [ -z "$RECIPE" ]; then lock=requirements-core.txt; fi' in install
    core = {line.split("==")[0] for line in (ROOT / "requirements-core.txt").read_text().splitlines() if "==" in line}
    assert {"numpy", "scipy", "rich"} <= core
    assert not core & {module.replace("_", "-") for modules in EXTRAS.values() for module in modules}
