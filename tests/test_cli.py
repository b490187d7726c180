import base64
import codecs
import importlib.metadata
import io
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from harness.cli import main
from tests.toys import ROOT

BASELINES = [str(ROOT / "results/baselines" / name) for name in ("distill", "carevl")]
HEAVY = ("torch", "transformers", "trl", "datasets", "lmms_eval", "accelerate", "peft")


@pytest.mark.parametrize(
    "arguments",
    [["--help"], ["run", "--help"], ["ls", "tasks"], ["ls", "recipes"], ["ls", "profiles"], ["compare", "--help"],
     ["score", "--help"], ["leaderboard", "--help"], ["leaderboard", "--task", "vlrewardbench", "--published"],
     ["export", "--help"], ["serve", "--help"],
     ["gate", "--help"], ["baseline", "accept", "--help"], ["ls", "baselines"],
     ["report", "--help"], ["view", "--help"], ["validate", "--help"], ["ls", "sweeps"], ["sweep", "--help"],
     ["sweep", "samples", "--dry-run"],
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
    light = (
        "comparing.comparison",
        "decide.baselines",
        "decide.gate_report",
        "records",
        "sharing.export",
        "sharing.serve",
        "show.leaderboard",
        "show.tables",
    )
    modules = ", ".join(f"harness.{name}" for name in (*light, "show.report.page", "stats.intervals", "verbs"))
    code = f"import sys, {modules}\nprint([m for m in {HEAVY!r} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["run", "--recipe", "carvl", "--tasks", "vlrewardbench"], "Did you mean 'carevl'?"),
        (["run", "--recipe", "carevl"], "--tasks is missing"),
        (["run", "--tasks", "vlrewardbench"], "--recipe R or --model NAME"),
        (["run", "--recipe", "carevl", "--model", "m", "--tasks", "vlrewardbench"], "both given"),
        (["run", "--recipe", "carevl", "--tasks", "vlrewardbench", "--seeds", "a"], "no list of numbers"),
        (["run", "--recipe", "carevl", "--tasks", "vlrewardbench", "--data", "no.parquet"], "does not exist"),
        (["run", "--recipe", "carevl", "--tasks", "vlrewardbench", "--include-path", "nowhere"], "is no folder"),
        (["run", "--config", "nowhere.yaml"], "does not exist"),
        (["run", "--recipe", "carevl", "--tasks", "vlrewardbench", "--out", "/dev/null/x"], "cannot write"),
        (["run", "--recipe", "carevl", "--tasks", "vlrewardbench", "--out", "/dev/null"], "is a file"),
        (["run", "--recipe", "carevl", "--tasks", "vlrewardbench", "--out", "tests"], "holds no run"),
        (["run", "--recipe", "carevl", "--tasks", "vlrewardbench", "--seeds", "-1"], "seeds.0 = -1"),
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


RUN = ["run", "--recipe", "zero-shot", "--tasks", "vlrewardbench", "--set", "world.items=4"]


def test_a_full_disk_is_one_line_and_nothing_is_lost(results) -> None:
    # no file may grow beyond 1 MB, so the first checkpoint cannot be written
    arguments = ["run", "--recipe", "distill", "--baseline", "none", "--tasks", "vlrewardbench"]
    small = ["--set", "world.pairs=32", "--set", "world.items=4", "--set", "sft.epochs=0.5"]
    code = (
        "import resource, signal, sys\nsignal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (10**6, 10**6))\n"
        f"from harness.cli import main\nsys.exit(main({[*arguments, *small]!r}))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 2, done.stdout + done.stderr
    assert "no space left on the disk" in done.stderr
    assert "--resume" in done.stderr
    assert "Traceback" not in done.stdout + done.stderr
    assert main([*arguments, *small, "--resume"]) == 0


@pytest.mark.parametrize("encoding", ["cp1252", "ascii"])
def test_no_encoding_stops_the_output(encoding: str) -> None:
    command = [sys.executable, "-m", "harness", "compare", *BASELINES]
    environment = {**os.environ, "PYTHONIOENCODING": encoding}
    done = subprocess.run(command, env=environment, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "carevl - distill, paired over 1250" in done.stdout.decode(encoding)


def test_what_an_encoding_lacks_is_spelt_and_never_a_question_mark() -> None:
    from harness.cli import _plainly

    codecs.register_error("plainly", _plainly)
    assert "−1.5 … 2–3 ≥ é".encode("ascii", "plainly") == rb"-1.5 ... 2-3 >= \xe9"


def dry(*arguments: str) -> int:
    return main(["run", "--recipe", "carevl", "--tasks", "vlrewardbench", "--dry-run", *arguments])


def test_a_dry_run_checks_local_data_and_says_that_the_hub_was_not_looked_at(tmp_path: Path, capsys, results) -> None:
    image = "data:image/png;base64," + base64.b64encode(png()).decode()
    pair = {"id": "a", "image": image, "question": "q", "chosen": "c", "rejected": "r"}
    item = {"id": "mmmu_1", "image": image, "query": "q", "response": ["a", "b"], "human_ranking": [0, 1]}
    pairs, bench, strange = (tmp_path / f"{name}.jsonl" for name in ("pairs", "bench", "strange"))
    pairs.write_text(json.dumps(pair) + "\n")
    bench.write_text("".join(json.dumps({**item, "id": f"mmmu_{i}"}) + "\n" for i in range(20)))
    strange.write_text(json.dumps({**item, "id": "nobody_1"}) + "\n")
    assert dry("--preferences", str(pairs), "--data", str(bench)) == 0
    out = capsys.readouterr().out
    assert f"preferences: the first 1 rows of {pairs} are well formed" in out
    assert out.count(f"vlrewardbench: the first 16 rows of {bench} are well formed") == 1
    for arguments, says in (
        (["--preferences", str(bench)], "bench.jsonl, row 1: no field 'question'"),
        (["--data", str(pairs)], "pairs.jsonl, row 1: no field 'query'"),
        (["--data", str(strange)], "no slice is known for nobody_1"),
    ):
        assert dry(*arguments) == 2
        assert says in capsys.readouterr().err
    other = tmp_path / "other.jsonl"
    told = {"id": "a", "picture": image, "text": json.dumps({"q": "what?"}), "good": "c", "rejected": "r"}
    other.write_text(json.dumps(told) + "\n")
    names = "image=picture,question=text.q,chosen="
    assert dry("--preferences", str(other), "--map", names + "good") == 0
    assert f"preferences: the first 1 rows of {other} are well formed" in capsys.readouterr().out
    for arguments, says in (
        (
            ["--preferences", str(other), "--map", names + "best"],
            "other.jsonl, row 1: no column 'best' for 'chosen'. Its columns: good, id, picture, rejected, text.",
        ),
        (["--preferences", str(other), "--map", "chose=good"], "Did you mean 'chosen'?"),
        (["--preferences", "rlaif-v", "--map", "chosen=good"], "--preferences rlaif-v brings its own columns."),
        (["--preferences", "rlaifv"], "Did you mean 'rlaif-v'?"),
        (["--preferences", f"rlaif-v={tmp_path}"], f"{tmp_path} holds no RLAIF-V-Dataset_*.parquet"),
    ):
        assert dry(*arguments) == 2
        assert says in capsys.readouterr().err
    assert dry("--preferences", "rlaif-v") == 0
    out = capsys.readouterr().out
    assert "rlaif-v shares questions with vlrewardbench: its pairs that are items there" in out
    assert "preferences: rlaif-v is not looked at by --dry-run." in out
    # the baseline's data count too
    assert dry("--recipe", "zero-shot", "--baseline", "distill", "--preferences", str(bench)) == 2
    assert dry("--data", "hub") == 0
    assert "vlrewardbench: hub is not looked at by --dry-run." in capsys.readouterr().out


def png() -> bytes:
    from PIL import Image

    file = io.BytesIO()
    Image.new("RGB", (2, 2)).save(file, "PNG")
    return file.getvalue()


@pytest.mark.parametrize(
    "arguments",
    [["compare", *BASELINES, "-o"], ["leaderboard", *BASELINES, "-o"], ["report", BASELINES[0], "-o"]],
)
def test_where_nothing_can_be_written_the_reason_and_the_right_option_are_said(arguments, tmp_path, capsys) -> None:
    (tmp_path / "file").touch()
    for folder in (tmp_path / "nowhere", tmp_path / "file"):
        assert main([*arguments, str(folder / "x.md")]) == 2
        error = capsys.readouterr().err
        assert f"there is no folder {folder}. Choose another -o." in error
        assert len(error.strip().splitlines()) == 1


def test_a_reader_that_leaves_early_is_no_regression(results) -> None:
    command = f"{sys.executable} -m harness ls recipes | true; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False)
    assert done.returncode == 0
    assert "Traceback" not in done.stderr


def test_a_mistake_of_ours_leaves_its_traceback_in_the_log(results) -> None:
    # in a process of its own: the redirection works on file descriptors, which pytest holds too
    arguments = [*RUN, "--out", str(results / "broken")]
    code = (
        "import sys, harness.run\nfrom harness.cli import main\n"
        "def broken(*arguments): raise ZeroDivisionError('boom')\n"
        f"harness.run.execute = broken\nsys.exit(main({arguments!r}))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 70
    assert "internal error: ZeroDivisionError" in done.stdout
    assert "Traceback" not in done.stdout + done.stderr
    assert "Traceback" in (results / "broken/log.txt").read_text()


def test_a_model_that_cannot_be_had_offline_says_how_to_get_it(capfd, results) -> None:
    assert main([*RUN, "--set", "judge.model=nobody/nothing"]) == 2
    assert "hf download nobody/nothing" in capfd.readouterr().err


@pytest.mark.parametrize(("arguments", "one"), [([], "run"), (["ls"], "recipes"), (["baseline"], "accept")])
def test_a_choice_that_was_left_out_is_listed(arguments: list[str], one: str, capsys) -> None:
    assert main(arguments) == 2
    said = capsys.readouterr().err
    assert f"{' '.join(['harness', *arguments])} needs one of: " in said
    assert one in said
    assert said.count("\n") == 1


def test_the_version_says_what_a_bug_report_needs(capsys) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--version"])
    assert ended.value.code == 0
    first, *more = capsys.readouterr().out.splitlines()
    assert first == f"harness {importlib.metadata.version('vlrm-harness')}"
    told = dict(line.split(": ", 1) for line in more)
    assert {"revision", "python", "machine", "processor", "cores", "packages"} <= set(told)
    assert f"scipy {importlib.metadata.version('scipy')}" in told["packages"]
