"""The gate as CI meets it: real commands on real runs, their exit codes and files; and the files of CI itself."""

import base64
import io
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from xml.etree import ElementTree as Xml

import pytest
import yaml

from harness.cli import main
from harness.embedded.data import preference_rows
from harness.records import Judgment, RunFolder, shown_hash
from harness.records.acceptance import changed, history
from harness.settings import WorldSettings
from tests.test_main_job import sets
from tests.toys import ROOT, SMALL, make_items, make_judgments, write

BASELINES = ROOT / "results/baselines"
DISTILL = ["--recipe", "distill", "--baseline", "none", "--tasks", "vlrewardbench"]


def harness(*arguments: object, results: Path | None = None) -> tuple[int, str]:
    """Run the command in this process; return its exit code and all that it said."""
    said = io.StringIO()
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(said), redirect_stderr(said):
        patch.chdir(ROOT)
        if results:
            patch.setenv("HARNESS_RESULTS", str(results))
        code = main(list(map(str, arguments)))
    assert "Traceback" not in said.getvalue()
    return code, said.getvalue()


def trained(results: Path, *arguments: object) -> None:
    environment = {**os.environ, "HARNESS_RESULTS": str(results)}
    command = [sys.executable, "-m", "harness", "run", *map(str, arguments)]
    done = subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def gated(*arguments: object, results: Path | None = None) -> tuple[int, str]:
    return harness("gate", *arguments, results=results)


def copied(source: Path, out: Path, seeds: list[int]) -> Path:
    """Make a run of some seeds of another."""
    whole, part = RunFolder(source), RunFolder(out)
    run = whole.read_run()
    names = set(map(str, seeds))
    kept = {seed: print_ for seed, print_ in run.checkpoints.items() if seed in names}
    tasks = [
        task.model_copy(update={"prompts": {s: words for s, words in task.prompts.items() if s in names}})
        for task in run.tasks
    ]
    config = run.config | {"seeds": seeds}
    part.write_run(run.model_copy(update={"name": out.name, "checkpoints": kept, "tasks": tasks, "config": config}))
    part.write_items("vlrewardbench", whole.read_items("vlrewardbench"))
    part.write_presentations("vlrewardbench", whole.read_presentations("vlrewardbench"))
    shown = {item.item_id: (item.question, item.responses) for item in whole.read_items("vlrewardbench")}

    def fresh(judgment: Judgment) -> Judgment:
        question, responses = shown[judgment.item_id]
        return judgment.model_copy(update={"shown": shown_hash(question, [responses[p] for p in judgment.order])})

    given = (fresh(j) for j in whole.read_judgments("vlrewardbench") if j.seed in seeds)
    part.append_judgments("vlrewardbench", given)
    return out


@pytest.fixture(scope="module")
def toys(tmp_path_factory) -> Path:
    """Toy runs: a base, one a little worse on the same items, and one unfinished."""
    folder = tmp_path_factory.mktemp("toys")
    items = make_items(400)
    right = make_judgments(items, 1.0)
    slip = {item.item_id for item in items[::20]}
    slipped = [
        j.model_copy(update={"reading": "second" if j.reading == "first" else "first"}) if j.item_id in slip else j
        for j in right
    ]
    write(folder / "base", items, right)
    write(folder / "slipped", items, slipped)
    write(folder / "unfinished", items, right[:100], status="unfinished")
    return folder


@pytest.fixture(scope="module")
def flipped(tmp_path_factory) -> Path:
    """A judge that was really trained, on labels turned round."""
    folder = tmp_path_factory.mktemp("flipped")
    with (folder / "flipped.jsonl").open("w") as file:
        for row in preference_rows(WorldSettings(pairs=96)):
            image = "data:image/png;base64," + base64.b64encode(row["image"]).decode()
            turned = {"chosen": row["rejected"], "rejected": row["chosen"], "rationale": None, "image": image}
            file.write(json.dumps({key: value for key, value in (row | turned).items() if value is not None}) + "\n")
    data = ["--preferences", folder / "flipped.jsonl", "--limit", 150]
    trained(folder, *DISTILL, *data, "--out", folder / "runs/flipped")
    return folder / "runs/flipped"


@pytest.mark.parametrize("baseline", ["carevl", "distill"])
def test_a_judge_trained_on_flipped_labels_is_a_regression(flipped: Path, baseline: str) -> None:
    code, said = gated(BASELINES / baseline, flipped)
    assert code == 1, said
    assert said.startswith("REGRESSION: ")


@pytest.mark.parametrize("seed", [0, 1, 2, 3, 4])
def test_the_same_recipe_under_another_seed_passes_at_the_size_of_ci(tmp_path: Path, seed: int) -> None:
    others = copied(BASELINES / "carevl", tmp_path / "others", [s for s in range(5) if s != seed])
    one = copied(BASELINES / "carevl", tmp_path / "one", [seed])
    code, said = gated(others, one, "--margin", "0.035")
    assert code == 0, said


def test_worse_but_within_the_margin_passes_and_is_said_aloud(toys: Path) -> None:
    code, said = gated(toys / "base", toys / "slipped", "--margin", "0.1")
    assert code == 0, said
    assert said.startswith("PASS, worse but within the margin: ")
    assert "Worse: the upper end of the interval" in said
    assert gated(toys / "base", toys / "slipped", "--margin", "0.01")[0] == 1


def test_two_runs_of_one_recipe_are_called_what_was_typed(tmp_path: Path, toys: Path) -> None:
    for name, place in (("base", "runs/kept"), ("slipped", "runs/toy-5e6f7a8b")):
        shutil.copytree(toys / name, tmp_path / place)
        kept = RunFolder(tmp_path / place)
        # a folder need not have the name of the run that it was made as
        run = kept.read_run()
        kept.write_run(
            run.model_copy(update={"name": f"toy-{name}-1a2b3c4d", "config": {**run.config, "recipe": "carevl"}})
        )
    code, said = gated("kept", "toy-5e6f7a8b", "--margin", "0.1", results=tmp_path)
    assert code == 0, said
    assert said.startswith("PASS, worse but within the margin: toy-5e6f7a8b against kept, accuracy")


def test_a_killed_run_is_incomplete_and_leaves_no_older_verdict(tmp_path: Path, toys: Path) -> None:
    out, report = tmp_path / "runs/killed", tmp_path / "gate.xml"
    assert gated(toys / "base", toys / "slipped", "--margin", "0.1", "--junit", report)[0] == 0
    command = [sys.executable, "-m", "harness", "run", *DISTILL, *sets(*SMALL), "--out", str(out)]
    environment = {**os.environ, "HARNESS_RESULTS": str(tmp_path)}
    process = subprocess.Popen(command, env=environment, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while process.poll() is None and not (out / "run.json").exists():
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    code, said = gated(BASELINES / "distill", out, "--junit", report)
    assert code == 4, said
    assert "is unfinished. Finish it: harness run" in said
    assert 'errors="1"' in report.read_text()
    assert Xml.parse(report).find(".//error") is not None


def test_a_run_against_itself_is_no_ruling(toys: Path, tmp_path: Path) -> None:
    report = tmp_path / "gate.json"
    code, said = gated(toys / "base", toys / "base", "--json", report)
    assert (code, len(said.strip().splitlines())) == (2, 1)
    assert "are the same run" in said
    assert json.loads(report.read_text())["verdict"] == "none"
    shutil.copytree(toys / "base", tmp_path / "copy")
    assert gated(toys / "base", tmp_path / "copy")[0] == 2
    # one that answers alike is another run, as the same recipe trained again is; that is for the user to say
    items = make_items(400)
    again = [j.model_copy(update={"seconds": 1.0}) for j in make_judgments(items, 1.0)]
    write(tmp_path / "base", items, again)
    code, said = gated(toys / "base", tmp_path / "base")
    assert code == 2
    assert "the answer of base under seed 0, word for word. If that is meant" in said
    assert gated(toys / "base", tmp_path / "base", "--same")[0] == 0


def test_a_typo_in_a_runs_name_is_usage_with_the_nearest_name(toys: Path, tmp_path: Path) -> None:
    shutil.copytree(toys, tmp_path / "baselines")
    code, said = gated("base", "sliped", results=tmp_path)
    assert code == 2
    assert "no run is called 'sliped'. Did you mean 'slipped'?" in said
    assert len(said.strip().splitlines()) == 1


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--metric", "acuracy"], "Did you mean 'accuracy'?"),
        (["--margin", "2"], "lets everything through"),
        (["--margin", "-1"], "is no margin"),
        (["--margin", "nan"], "is no margin"),
        (["--alpha", "95"], "is not between 0 and 1"),
        (["--require", "better"], "invalid choice"),
        (["--task", "other"], "has no task 'other'"),
        (["--json", "nowhere/gate.json"], "there is no folder nowhere"),
        (["--json", "tests"], "is no plain file"),
        (["--json", os.devnull], "is no plain file"),
    ],
)
def test_a_mistake_is_one_line_and_never_a_verdict(toys: Path, arguments: list[str], says: str) -> None:
    code, said = gated(toys / "base", toys / "slipped", *arguments)
    assert code == 2
    assert says in said


def test_files_are_whole_whatever_the_exit_code_and_a_closed_pipe_is_no_pass(toys: Path, tmp_path: Path) -> None:
    names = {name: tmp_path / f"gate.{name}" for name in ("junit", "markdown", "json")}
    files = [f"--{name}={path}" for name, path in names.items()]
    for margin, code in (("0.1", 0), ("0.01", 1), ("0.05", 3)):
        arguments = " ".join([str(toys / "base"), str(toys / "slipped"), f"--margin={margin}", *files])
        command = f"{sys.executable} -m harness gate {arguments} | true; exit ${{PIPESTATUS[0]}}"
        done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False, cwd=ROOT)
        assert done.returncode == code, done.stderr
        record = json.loads(names["json"].read_text())
        assert record["exit_code"] == code
        suite = Xml.parse(names["junit"]).getroot()[0]
        assert (suite.get("failures"), suite.get("errors")) == (str(int(code == 1)), str(int(code == 3)))
        assert record["verdict"].upper() in names["markdown"].read_text()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["gate.json", "gate.junit", "gate.markdown"]


def test_the_help_teaches_and_is_quick() -> None:
    taken = []
    for _ in range(5):
        started = time.perf_counter()
        done = subprocess.run(
            [sys.executable, "-m", "harness", "gate", "--help"], capture_output=True, text=True, check=True, cwd=ROOT
        )
        taken.append(time.perf_counter() - started)
    for word in ("L > -m", "inconclusive", "--require improvement", "--junit", "70  an internal error"):
        assert word in done.stdout
    # 0.1 s on an idle machine; the bound is for a busy one
    assert min(taken) < 0.4


def test_a_baseline_is_accepted_for_a_reason_and_its_history_grows(toys: Path, tmp_path: Path) -> None:
    def accept(run: str, *arguments: str) -> tuple[int, str]:
        return harness("baseline", "accept", toys / run, *arguments, results=tmp_path)

    assert "--reason is empty" in accept("base", "--reason", " ")[1]
    assert accept("unfinished", "--reason", "none")[0] == 4
    assert not (tmp_path / "baselines").exists()
    assert accept("base", "--reason", "first", "--name", "main")[0] == 0
    assert accept("slipped", "--reason", "[red]second\nline", "--name", "main")[0] == 0
    first, second = json.loads((tmp_path / "baselines/main/accepted.json").read_text())
    assert (first["reason"], second["reason"]) == ("first", "[red]second line")
    assert first["replaced"] is None
    assert second["replaced"] == first["fingerprint"] != second["fingerprint"]
    assert first["figures"]["toy"]["accuracy"] == 1
    assert "are the same run" in gated("main", toys / "slipped", results=tmp_path)[1], "a copy of it"
    assert gated("main", toys / "base", results=tmp_path)[0] == 0
    listed = harness("ls", "baselines", results=tmp_path)[1]
    assert "[red]second" in listed
    assert "by hand" not in listed
    judgments = tmp_path / "baselines/main/judgments-toy.jsonl"
    judgments.write_text(judgments.read_text().replace('"first"', '"second"', 1))
    assert "by hand" in " ".join(harness("ls", "baselines", results=tmp_path)[1].split())


def test_other_data_do_not_become_the_baseline_unnoticed(toys: Path, tmp_path: Path) -> None:
    items = make_items(20)
    write(tmp_path / "runs/other", items, make_judgments(items, 0.6))
    command = ["baseline", "accept", "other", "--reason", "new release", "--name", "main"]
    harness("baseline", "accept", toys / "base", "--reason", "first", "--name", "main", results=tmp_path)
    code, said = harness(*command, results=tmp_path)
    assert code == 2
    assert "differ in tasks, data or protocol: toy" in said
    assert harness(*command, "--replace-data", results=tmp_path)[0] == 0


@pytest.mark.parametrize("what", ["judgments-toy.jsonl", "items-toy.jsonl", "run.json", "accepted.json"])
def test_a_baseline_that_was_edited_is_used_by_no_verb(toys: Path, tmp_path: Path, monkeypatch, what: str) -> None:
    assert harness("baseline", "accept", toys / "base", "--reason", "x", "--name", "main", results=tmp_path)[0] == 0
    assert gated("main", toys / "slipped", "--margin", "0.1", results=tmp_path)[0] == 0
    path = tmp_path / "baselines/main" / what
    old, new = {
        "run.json": ("2026-01-01", "2026-01-02"),
        "accepted.json": ('"fingerprint": "', '"fingerprint": "0'),
    }.get(what, ('"toy/0#', '"toy/1#'))
    path.write_text(path.read_text().replace(old, new))
    board = ["leaderboard", tmp_path / "baselines/main"]
    for command in (["gate", "main", toys / "slipped"], ["compare", "main", toys / "slipped"], board):
        code, said = harness(*command, results=tmp_path)
        assert code == 2, said
        assert "changed after the baseline was accepted" in said
    monkeypatch.setenv("COLUMNS", "200")
    assert "changed since, by hand" in harness("ls", "baselines", results=tmp_path)[1]
    path.unlink()
    assert gated("main", toys / "slipped", "--margin", "0.1", results=tmp_path)[0] == 2


def test_a_baseline_that_changed_without_a_reason_fails_the_check(toys: Path, tmp_path: Path) -> None:
    def check() -> tuple[int, str]:
        return harness("baseline", "check", "--since", tmp_path / "before", results=tmp_path)

    def accept(run: str) -> None:
        given = ["--reason", f"for {run}", "--name", "main"]
        assert harness("baseline", "accept", toys / run, *given, results=tmp_path)[0] == 0

    main, kept = tmp_path / "baselines/main", tmp_path / "before/main"
    accept("base")
    shutil.copytree(main, kept)
    assert check()[0] == 0
    accept("slipped")
    code, said = check()
    assert code == 0
    assert "main was accepted anew on" in said
    assert "for slipped" in said
    whole = (main / "accepted.json").read_text()
    # the history as if nobody had accepted anything: its last hash is not that of the files
    (main / "accepted.json").write_text(json.dumps([json.loads(whole)[0]]))
    assert "changed after the baseline was accepted" in check()[1]
    (main / "accepted.json").write_text(json.dumps(json.loads(whole)[1:]))
    assert "earlier acceptances were changed" in check()[1]
    shutil.rmtree(main)
    code, said = check()
    assert (code, said.count("\n")) == (2, 1)
    assert "the baseline main is in" in said


def test_the_committed_baselines_are_what_was_accepted() -> None:
    for name in ("carevl", "distill"):
        assert history(BASELINES / name)
        assert changed(BASELINES / name) is None
        assert RunFolder(BASELINES / name).read_run().tasks[0].synthetic


ACTION = yaml.safe_load((ROOT / ".github/actions/gate/action.yml").read_text())
WORKFLOW, RELEASE = (yaml.safe_load((ROOT / f".github/workflows/{name}.yml").read_text()) for name in ("ci", "release"))
STEPS = {step["name"]: step for step in ACTION["runs"]["steps"]}
JOBS = [job for workflow in (WORKFLOW, RELEASE) for job in workflow["jobs"].values()]
EVERY = [*STEPS.values(), *(step for job in JOBS for step in job["steps"])]


def test_ci_pins_what_it_uses_may_only_read_and_puts_nothing_into_the_shell() -> None:
    assert WORKFLOW["permissions"] == RELEASE["permissions"] == {"contents": "read"}
    # the job that may publish runs no code of ours
    allowed = {name: job.get("permissions") for name, job in RELEASE["jobs"].items()}
    assert allowed == {"build": None, "publish": {"id-token": "write", "actions": "read"}}
    assert not any("checkout" in step.get("uses", "") for step in RELEASE["jobs"]["publish"]["steps"])
    for step in EVERY:
        assert "${{" not in step.get("run", "")
        if "uses" in step and not step["uses"].startswith("./"):
            assert re.fullmatch(r"[\w./-]+@[0-9a-f]{40}", step["uses"])
        for name in step.get("with", {}) if step.get("uses") == "./.github/actions/gate" else ():
            assert name in ACTION["inputs"]
    used = set(re.findall(r"inputs\.([\w-]+)", (ROOT / ".github/actions/gate/action.yml").read_text()))
    assert used == set(ACTION["inputs"])


SHELLCHECK = shutil.which("shellcheck", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")


@pytest.mark.skipif(SHELLCHECK is None, reason="shellcheck is not installed")
@pytest.mark.parametrize("script", [s["run"] for s in EVERY if "run" in s] + [(ROOT / ".ci/run").read_text()])
def test_shell_scripts_have_no_finding(script: str) -> None:
    done = subprocess.run([SHELLCHECK, "-s", "bash", "-"], input=script, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def step(name: str, folder: Path, **inputs: str) -> tuple[int, str, str]:
    """Run a step of the action as a runner does: bash, inputs in the environment, files for its outputs."""
    output, summary = folder / "output", folder / "summary"
    for file in (output, summary):
        file.write_text("")
    command = folder / "installed-harness"
    command.write_text(f'#!/bin/sh\nexec {sys.executable} -m harness "$@"\n')
    command.chmod(0o755)
    values = {key: str(spec.get("default", "")) for key, spec in ACTION["inputs"].items()}
    values |= {"harness": str(command)} | inputs
    filled = {
        key: re.sub(r"\$\{\{ inputs\.([\w-]+) \}\}", lambda m: values[m[1]], text)
        for key, text in STEPS[name]["env"].items()
    }
    environment = {
        **os.environ,
        **filled,
        "RUNNER_TEMP": str(folder),
        "GITHUB_OUTPUT": str(output),
        "GITHUB_STEP_SUMMARY": str(summary),
        "HARNESS_RESULTS": str(folder),
        "PYTHONPATH": str(ROOT),
    }
    done = subprocess.run(
        ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", STEPS[name]["run"]],
        env=environment, cwd=folder, capture_output=True, text=True, check=False,
    )  # fmt: skip
    return done.returncode, output.read_text(), summary.read_text()


@pytest.mark.parametrize(("recipe", "lock"), [("", "requirements-core.txt"), ("carevl", "requirements.txt")])
def test_the_action_installs_the_core_unless_it_trains(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, recipe: str, lock: str
) -> None:
    # a Python that writes down what it is asked, and makes an environment with itself in it
    python, asked = tmp_path / "python", tmp_path / "asked"
    copied = 'mkdir -p "$3/bin"; cp "$0" "$3/bin/python"'
    python.write_text(f'#!/bin/sh\necho "$@" >>"{asked}"\n[ "$2" != venv ] || {{ {copied}; }}\n')
    python.chmod(0o755)
    monkeypatch.setenv("GITHUB_ACTION_PATH", str(ROOT / ".github/actions/gate"))
    assert step("Install the harness", tmp_path, python=str(python), recipe=recipe)[0] == 0
    _, *dependencies, itself = asked.read_text().splitlines()
    assert all("--require-hashes" in line for line in dependencies)
    installed = [Path(line.split(" -r ")[1]) for line in dependencies]
    assert [file.name for file in installed] == ["build.txt", lock]
    assert all(file.is_file() for file in installed)
    assert "--no-deps --no-build-isolation" in itself


def test_the_action_passes_on_the_exit_code_and_writes_the_summary(toys: Path, tmp_path: Path) -> None:
    base, slipped = str(toys / "base"), str(toys / "slipped")
    for margin, code in (("0.1", 0), ("0.01", 1), ("0.05", 3)):
        got, output, summary = step("Gate", tmp_path, baseline=base, candidate=slipped, margin=margin)
        assert got == code
        assert f"exit-code={code}\n" in output
        assert summary.startswith("### ")
        folder = Path(re.search(r"folder=(.*)", output)[1])
        assert {path.name for path in folder.iterdir()} == {"gate.xml", "gate.md", "gate.json"}
    got, output, summary = step("Gate", tmp_path, baseline=base, candidate=str(toys / "unfinished"))
    assert (got, "exit-code=4\n" in output, "NO RULING" in summary) == (4, True, True)


@pytest.mark.parametrize("name", ["$(touch pwned)", "'; touch pwned; '\"; touch pwned; \"", "--help"])
def test_an_input_is_a_name_and_never_a_command(toys: Path, tmp_path: Path, name: str) -> None:
    for field in ("candidate", "baseline", "metric", "task", "margin"):
        inputs = {"baseline": str(toys / "base"), "candidate": str(toys / "base"), field: name}
        got, output, _ = step("Gate", tmp_path, **inputs)
        assert got == 2
        assert "exit-code=2\n" in output
        assert not (tmp_path / "pwned").exists()
    got, _, _ = step("Train and judge", tmp_path, recipe=name, candidate="x", **{"run-arguments": f"--set={name}"})
    assert got == 2
    assert not (tmp_path / "pwned").exists()


def test_forty_items_asked_and_gated_by_the_action_are_inconclusive(flipped: Path, tmp_path: Path) -> None:
    arguments = {"run-arguments": "--limit=40\n\n--seeds=0\n"}
    got, _, _ = step("Train and judge", tmp_path, recipe="zero-shot", candidate="forty", **arguments)
    assert got == 0
    got, _, summary = step("Gate", tmp_path, baseline=str(flipped), candidate="forty")
    assert got == 3, summary
    assert re.search(r"To settle it: (all 1250 items|--limit \d+) in place of 40", summary)
