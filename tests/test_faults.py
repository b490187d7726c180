"""A command that is killed, or whose disk fails, at every one of its file operations: nothing is lost, and it goes on.

    HARNESS_KILLS=200 HARNESS_FAULTS_SEED=1 .venv/bin/pytest -s tests/test_faults.py

has a whole training fail that often in each way, and not twice, and tries every operation of the other commands.
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

from harness.records import RunFolder
from tests.faults import Case, Outcome
from tests.test_main_job import sets
from tests.toys import ROOT, SMALL

KILLS = int(os.environ.get("HARNESS_KILLS", "2"))
FIRST = int(os.environ.get("HARNESS_FAULTS_SEED", "0"))
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


def carried_out(cases: list[Case], *options: str) -> list[Outcome]:
    told = json.dumps([asdict(case) for case in cases])
    command, environment = [sys.executable, "-m", "tests.faults", *options], os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, input=told, capture_output=True, text=True, cwd=ROOT, env=environment, check=False)
    assert done.returncode == 0, done.stderr
    # libraries may have written before
    return [Outcome(**outcome) for outcome in json.loads(done.stdout.splitlines()[-1])]


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


FAULTS_IN_A_ROW = 4


def training(results: Path, place: int = 0, fault: str = "") -> Case:
    """A whole run into a folder, to fail at one of its operations, or at none if that is 0."""
    command = ["run", "--recipe", "carevl", "--baseline", "none", "--tasks", "vlrewardbench", "--resume", *sets(*SMALL)]
    (results / "tmp").mkdir(parents=True, exist_ok=True)
    environment = {"HARNESS_RESULTS": str(results), "TMPDIR": str(results / "tmp")}
    return Case(command, str(results), place, fault if place else "", environment)


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory: pytest.TempPathFactory) -> tuple[Outcome, tuple[object, ...]]:
    """A training that nothing befell: how it ended, and what it came to."""
    results = tmp_path_factory.mktemp("unbroken")
    (whole,) = carried_out([training(results)], "--training")
    assert whole.code == 0, whole.said
    return whole, finished(results)


@pytest.mark.parametrize("fault", ["kill", "ENOSPC", "EIO"])
def test_a_training_that_fails_again_and_again_ends_as_one_that_never_did(
    unbroken: tuple[Outcome, tuple[object, ...]], tmp_path: Path, fault: str
) -> None:
    whole, expected = unbroken
    rng, tried, chain = random.Random(f"{FIRST} {fault}"), 0, 0
    while tried < KILLS:
        results, chain = tmp_path / f"{chain}", chain + 1
        places = [
            rng.randint(1, whole.operations // (1 + before)) for before in range(min(FAULTS_IN_A_ROW, KILLS - tried))
        ]
        *broken, last = carried_out([training(results, place, fault) for place in (*places, 0)], "--training")
        told = f"HARNESS_FAULTS_SEED={FIRST}, folder {chain - 1}, operations {places}"
        for one in broken:
            if fault == "kill":
                assert one.code in (-9, 0), f"{told}\n{one.said}"
            else:
                assert one.code in (0, 2, 4), f"{told}\n{one.said}"
                assert "Traceback" not in one.said, f"{told}\n{one.said}"
            tried += one.code != 0
        assert last.code == 0, f"{told}\n{last.said}"
        assert finished(results) == expected, told
        assert left_over(results / "runs") == left_over(results / "cache") == [], told
        assert list((results / "tmp").glob("harness-*")) == [], told
        shutil.rmtree(results)
    print(f"{tried} in {chain} trainings of {whole.operations} operations")
