"""The core install: verbs on finished runs work where nothing of the extras is there, and `run` names its extra."""

import importlib.metadata
import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from harness.extras import EXTRAS
from tests.toys import ROOT

BASELINES = ROOT / "results/baselines"
CAREVL, DISTILL = str(BASELINES / "carevl"), str(BASELINES / "distill")
SMALL = ["--tasks", "vlrewardbench", "--set", "world.items=4"]
SERVER = ["run", "--model", "openai", "--model-args", "base_url=http://127.0.0.1:9/v1,model=m,max_retries=0", *SMALL]

# a process in which some packages are not installed: neither their modules nor their metadata are found
WITHOUT = """
import importlib.abc, importlib.metadata, json, os, sys

modules, packages = map(set, json.loads(os.environ["NOT_INSTALLED"]))
known = importlib.metadata.Distribution.from_name

class NotInstalled(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in modules:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

def from_name(name):
    if name.replace("_", "-").lower() in packages:
        raise importlib.metadata.PackageNotFoundError(name)
    return known(name)

sys.meta_path.insert(0, NotInstalled())
importlib.metadata.Distribution.from_name = from_name
from harness.cli import main
sys.exit(main(sys.argv[1:]))
"""


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def pins(lock: str) -> dict[str, str]:
    return dict(re.findall(r"^([\w.-]+)==(\S+)", (ROOT / lock).read_text(), flags=re.MULTILINE))


def installed_without(absent: set[str]) -> str:
    """List modules and packages as `WITHOUT` takes them; a module that another package has too stays."""
    modules = [
        module
        for module, packages in importlib.metadata.packages_distributions().items()
        if {normal(package) for package in packages} <= absent
    ]
    return json.dumps([modules, sorted(absent)])


@pytest.fixture(scope="module")
def core() -> str:
    """An environment of the core's lock and nothing else."""
    everything = {normal(d.metadata["Name"]) for d in importlib.metadata.distributions()}
    assert set(EXTRAS["train"]) | set(EXTRAS["server"]) <= everything
    return installed_without(everything - set(pins("requirements-core.txt")) - {"vlrm-harness"})


def harness(folder: Path, absent: str, *arguments: str) -> tuple[int, str]:
    environment = {
        **os.environ,
        "NOT_INSTALLED": absent,
        "HARNESS_RESULTS": str(folder / "results"),
        "PYTHONPATH": str(ROOT),
    }
    command = [sys.executable, "-c", WITHOUT, *arguments]
    done = subprocess.run(command, env=environment, cwd=folder, capture_output=True, text=True, check=False)
    said = done.stdout + done.stderr
    assert "Traceback" not in said, said
    assert "Warning" not in said, said
    return done.returncode, said


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["compare", DISTILL, CAREVL], "macro"),
        (["power", DISTILL, CAREVL], "items"),
        (["gate", "distill", "carevl", "--junit", "g.xml", "--markdown", "g.md", "--json", "g.json"], "PASS"),
        (["leaderboard", CAREVL, DISTILL], "carevl"),
        (["leaderboard", CAREVL, "--task", "vlrewardbench", "--published", "--format", "html"], "Gemini-1.5-Pro"),
        (["report", DISTILL, CAREVL], "Written: report.html"),
        (["audit", "63.84", "85.71", "64.78", "--overall", "71.92", "--macro", "71.44"], "left out"),
        (["baseline", "accept", CAREVL, "--reason", "again"], "Accepted"),
        (["ls", "tasks"], "vlrewardbench"),
        (["ls", "recipes"], "carevl"),
        (["ls", "profiles"], "embedded"),
        (["ls", "sweeps"], "ablation"),
        (["ls", "runs"], "no run in"),
        (["ls", "baselines"], "baselines in"),
    ],
    ids=lambda value: " ".join(value[:1]) if isinstance(value, list) else "",
)
def test_a_verb_on_finished_runs_needs_the_core_alone(
    arguments: list[str], says: str, core: str, tmp_path: Path
) -> None:
    if arguments[0] == "gate":
        # a baseline as a candidate is believed where baselines are kept, and nowhere else
        shutil.copytree(ROOT / "results/baselines", tmp_path / "results/baselines")
    code, said = harness(tmp_path, core, *arguments)
    assert code == 0, said
    assert says in said


def test_judgments_made_elsewhere_are_scored_by_the_core_alone(core: str, tmp_path: Path) -> None:
    item = {"id": "mmmu-5", "query": "what?", "response": ["good", "bad"], "human_ranking": [0, 1], "image": "1.jpg"}
    text = "Overall Judgment: Answer 1 is better."
    answers = [{"id": "mmmu-5", "text": text, "order": order} for order in ([0, 1], [1, 0])]
    (tmp_path / "bench.jsonl").write_text(json.dumps(item) + "\n")
    (tmp_path / "answers.jsonl").write_text("".join(json.dumps(answer) + "\n" for answer in answers))
    score = ["score", "answers.jsonl", "--task", "vlrewardbench", "--out", "scored"]
    code, said = harness(tmp_path, core, *score, "--data", "bench.jsonl")
    assert code == 0, said
    # data on the hub are another matter, and are found out late
    code, said = harness(tmp_path, core, *score[:-1], "hub", "--data", "hub:MMInstruction/VL-RewardBench")
    assert code == 2
    assert "needs datasets, which is not installed. Fix: " in said
    assert len(said.splitlines()) == 1
    assert not (tmp_path / "hub").exists()


@pytest.mark.parametrize(
    ("arguments", "extra"),
    [
        (["run", "--recipe", "carevl", "--tasks", "vlrewardbench"], "train"),
        (["run", "--recipe", "carevl", "--tasks", "vlrewardbench", "--dry-run"], "train"),
        (["run", "--config", f"{CAREVL}/config.yaml"], "train"),
        (["sweep", "ablation"], "train"),
        (["validate", "qwen2.5-vl-7b"], "train"),
        (["run", "--model", "qwen2_5_vl", "--tasks", "vlrewardbench"], "train"),
        (SERVER, "server"),
    ],
)
def test_a_run_names_its_extra_in_one_line_and_leaves_nothing(
    arguments: list[str], extra: str, core: str, tmp_path: Path
) -> None:
    code, said = harness(tmp_path, core, *arguments)
    assert code == 2
    assert len(said.splitlines()) == 1
    assert f"not installed. Fix: make install, or pip install 'vlrm-harness[{extra}]'" in said
    assert list(tmp_path.iterdir()) == []


def test_a_name_that_is_not_known_is_told_before_what_is_missing(core: str, tmp_path: Path) -> None:
    code, said = harness(tmp_path, core, "run", "--recipe", "carvl", "--tasks", "vlrewardbench")
    assert code == 2
    assert "Did you mean 'carevl'?" in said


def test_a_server_is_asked_without_trl(tmp_path: Path) -> None:
    code, said = harness(tmp_path, installed_without({"trl"}), *SERVER)
    assert code == 2
    assert "no server answers at" in said
    code, said = harness(tmp_path, installed_without({"openai"}), *SERVER)
    assert "--model openai needs openai, which is not installed." in said


def test_extras_and_locks_are_what_the_metadata_say() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    names = {
        extra: {re.match(r"[\w-]+", line)[0].lower() for line in lines}
        for extra, lines in (project["optional-dependencies"] | {"core": project["dependencies"]}).items()
    }
    assert names["train"] == set(EXTRAS["train"])
    assert names["server"] <= set(EXTRAS["server"])
    light, whole = pins("requirements-core.txt"), pins("requirements.txt")
    assert names["core"] <= set(light)
    assert not set(light) & (names["train"] | names["server"])
    assert light.items() <= whole.items()
    for lock in ("requirements.txt", "requirements-core.txt"):
        assert "://" not in (ROOT / lock).read_text()
