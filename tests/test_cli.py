import json
import subprocess
import sys

import pytest

from harness.cli import main

HEAVY = ("torch", "transformers", "trl", "datasets", "lmms_eval", "accelerate", "peft")


@pytest.mark.parametrize(
    "arguments",
    [["--help"], ["run", "--help"], ["ls", "tasks"], ["ls", "recipes"], ["ls", "profiles"], ["compare", "--help"],
     ["run", "--recipe", "carevl", "--tasks", "vlrewardbench", "--dry-run"]],
)  # fmt: skip
def test_light_commands_stay_light(arguments: list[str], results) -> None:
    code = (
        "import sys, json\nfrom harness.cli import main\n"
        f"try:\n    code = main({arguments!r})\nexcept SystemExit as stop:\n    code = stop.code\n"
        f"print('\\n' + json.dumps([code, [m for m in {HEAVY!r} if m in sys.modules]]))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout.splitlines()[-1]) == [0, []]


def test_consumers_import_nothing_heavy() -> None:
    modules = "harness.compare, harness.tables, harness.verbs, harness.records, harness.stats.clustered"
    code = f"import sys, {modules}\nprint([m for m in {HEAVY!r} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["run", "--recipe", "carvl", "--tasks", "vlrewardbench"], "Did you mean 'carevl'?"),
        (["run", "--recipe", "carevl"], "--tasks is missing"),
        (["run", "--tasks", "vlrewardbench"], "--recipe R or --model NAME"),
        (["run", "--recipe", "carevl", "--tasks", "vlrewardbench", "--seeds", "a"], "no list of numbers"),
        (["run", "--recipe", "carevl", "--tasks", "vlrewardbench", "--data", "no.parquet"], "does not exist"),
        (["run", "--recipe", "carevl", "--tasks", "vlrewardbench", "--include-path", "nowhere"], "is no folder"),
        (["run", "--config", "nowhere.yaml"], "does not exist"),
        (["compare", "a", "b"], "no run is called 'a'"),
        (["ls", "runes"], "invalid choice"),
        (["rnu"], "invalid choice"),
    ],
)
def test_a_users_mistake_is_one_line_and_exit_2(arguments: list[str], says: str, capsys, results) -> None:
    assert main(arguments) == 2
    error = capsys.readouterr().err
    assert says in error
    assert "Traceback" not in error
    assert len(error.strip().splitlines()) == 1


def test_an_internal_error_is_70_and_never_a_verdict(monkeypatch, capsys) -> None:
    from harness import verbs

    def broken(options):
        raise ZeroDivisionError("boom")

    monkeypatch.setattr(verbs, "ls", broken)
    assert main(["ls", "tasks"]) == 70
    assert "internal error" in capsys.readouterr().err
