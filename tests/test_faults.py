"""A command that is killed, or whose disk fails, at every one of its file operations: nothing is lost, and it goes on.

    HARNESS_KILLS=40 .venv/bin/pytest tests/test_faults.py

kills a whole training that often, and not twice; and tries every operation of the others, not every second.
"""

import json
import os
import random
import shutil
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

import pytest

from harness.cli import main
from harness.records import RunFolder
from tests.faults import Case, Outcome
from tests.test_main_job import sets
from tests.toys import ROOT, SMALL

KILLS = int(os.environ.get("HARNESS_KILLS", "2"))
ITEMS = [
    {
        "id": f"{k}",
        "query": f"what {k}?",
        "response": ["yes", "no"],
        "human_ranking": [0, 1],
        "image": f"{k}.png",
        "category": "general",
    }
    for k in range(12)
]
ROWS = [
    {"id": f"{k}", "order": order, "text": f"Overall Judgment: Answer {1 + order[0]} is better."}
    for k in range(12)
    for order in ([0, 1], [1, 0])
]


def carried_out(cases: list[Case]) -> list[Outcome]:
    told = json.dumps([asdict(case) for case in cases])
    done = subprocess.run(
        [sys.executable, "-m", "tests.faults"], input=told, capture_output=True, text=True, cwd=ROOT, check=False
    )
    assert done.returncode == 0, done.stderr
    return [Outcome(**outcome) for outcome in json.loads(done.stdout)]


def left_over(results: Path) -> list[str]:
    return [str(path) for path in results.rglob("*") if path.name.endswith(".part")]


@pytest.fixture(scope="module")
def scoring(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[list[str]]]:
    """A file of judgments, and commands that write: score it, accept it, and set it in a leaderboard."""
    folder = tmp_path_factory.mktemp("faults")
    for name, rows in (("f", ROWS), ("data", ITEMS)):
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder, [
        [
            "score",
            str(folder / "f.jsonl"),
            "--task",
            "vlrewardbench",
            "--data",
            str(folder / "data.jsonl"),
            "--name",
            "mine",
        ],
        ["baseline", "accept", "mine", "--reason", "first", "--name", "main"],
        ["leaderboard", "-o", "BOARD"],
    ]


@pytest.mark.parametrize("fault", ["kill", "ENOSPC", "EIO"])
def test_a_fault_at_any_operation_loses_nothing_and_the_command_goes_on(scoring, tmp_path: Path, fault: str) -> None:
    _, commands = scoring
    tried = 0
    for number, command in enumerate(commands):

        def case(results: Path, arguments: list[str], place: int = 0) -> Case:
            named = [argument.replace("BOARD", str(results / "board.md")) for argument in arguments]
            return Case(named, str(results), place, fault if place else "", {"HARNESS_RESULTS": str(results)})

        before, whole = tmp_path / f"{number}", tmp_path / f"{number} whole"
        before.mkdir()
        assert all(done.code == 0 for done in carried_out([case(before, each) for each in commands[:number]]))
        shutil.copytree(before, whole)
        (done,) = carried_out([case(whole, command)])
        assert done.code == 0, done.said
        cases = []
        places = range(1, done.operations + 1, 1 if KILLS > 2 else 2)
        for place in places:
            results = tmp_path / f"{number} {place}"
            shutil.copytree(before, results)
            cases += [case(results, command, place), case(results, command)]
        outcomes = iter(carried_out(cases))
        for place, (broken, again) in zip(places, zip(outcomes, outcomes, strict=True), strict=True):
            if fault == "kill":
                assert broken.code == -9
            else:
                # what is only kept for later may be left undone
                assert broken.code in (0, 2, 4), broken.said
                assert "Traceback" not in broken.said
                assert broken.code == 0 or broken.said.count("\n") == 1, broken.said
            assert again.code == 0, again.said
            assert "Traceback" not in again.said
            assert left_over(tmp_path / f"{number} {place}") == [], f"operation {place} of {command}"
            tried += 1
    assert tried > 10
    print(f"{tried} places")


def finished(results: Path) -> tuple[object, ...]:
    """Return what a run came to: its judgments, without their times, and what it judged."""
    (folder,) = (RunFolder(path.parent) for path in (results / "runs").glob("*/run.json"))
    run = folder.read_run()
    judgments = [j.model_copy(update={"seconds": None}) for j in folder.read_judgments("vlrewardbench")]
    return run.status, run.checkpoints, judgments


def test_a_training_that_is_killed_again_and_again_ends_as_one_that_never_was(tmp_path: Path) -> None:
    code = (
        "import sys; from tests.faults import arm; count = arm(sys.argv[1], int(sys.argv[2]), 'kill'); "
        "from harness.cli import main; code = main(sys.argv[3:]); print(f'operations {count[0]}'); sys.exit(code)"
    )
    command = ["run", "--recipe", "carevl", "--baseline", "none", "--tasks", "vlrewardbench", "--resume", *sets(*SMALL)]

    def run(results: Path, place: int) -> subprocess.CompletedProcess[str]:
        environment = os.environ | {
            "HARNESS_RESULTS": str(results),
            "OMP_NUM_THREADS": "1",
            "TMPDIR": str(results / "tmp"),
        }
        (results / "tmp").mkdir(parents=True, exist_ok=True)
        arguments = [sys.executable, "-c", code, str(results), str(place), *command]
        return subprocess.run(arguments, env=environment, cwd=ROOT, capture_output=True, text=True, check=False)

    whole = run(tmp_path / "whole", 0)
    assert whole.returncode == 0, whole.stderr
    operations = int(whole.stdout.split("operations ")[-1])
    rng, killed, broken = random.Random(KILLS), 0, tmp_path / "broken"
    while killed < KILLS:
        done = run(broken, rng.randrange(1, operations // 2))
        if done.returncode == 0:
            # it came through: begin anew
            assert finished(broken) == finished(tmp_path / "whole")
            broken = tmp_path / f"broken {killed}"
            continue
        assert done.returncode == -9, done.stdout + done.stderr
        killed += 1
    assert run(broken, 0).returncode == 0
    assert finished(broken) == finished(tmp_path / "whole")
    assert left_over(broken / "runs") == left_over(broken / "cache") == []
    assert list((broken / "tmp").glob("harness-*")) == []
    assert main(["cache", "ls"]) == 0
