"""The main job, really trained, in small: what the user sees, the cache, crashes, and repetition."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from harness.records import Judgment, Run
from tests.toys import ROOT, SMALL

CAREVL = ["run", "--recipe", "carevl", "--tasks", "vlrewardbench"]


def sets(*assignments: str) -> list[str]:
    return [part for text in assignments for part in ("--set", text)]


def harness(results: Path, *arguments: str, code: int = 0) -> str:
    environment = {**os.environ, "HARNESS_RESULTS": str(results)}
    command = [sys.executable, "-m", "harness", *arguments]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout + done.stderr


def runs(results: Path) -> dict[str, Path]:
    """The first run of each recipe; later ones may be under other protocols or of other tasks."""
    begun = sorted(results.glob("runs/*/config.yaml"), key=lambda path: path.stat().st_mtime_ns, reverse=True)
    return {json.loads((p.parent / "run.json").read_text())["config"]["recipe"]: p.parent for p in begun}


def judgments(folder: Path) -> list[dict[str, object]]:
    lines = (folder / "judgments-vlrewardbench.jsonl").read_text().splitlines()
    return [Judgment.model_validate_json(line).model_dump(exclude={"seconds"}) for line in lines]


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> tuple[Path, str]:
    results = tmp_path_factory.mktemp("main")
    return results, harness(results, *CAREVL, *sets(*SMALL))


def test_the_user_sees_world_table_difference_verdict_and_paths(finished) -> None:
    results, screen = finished
    assert "Embedded synthetic world, not the published benchmark" in screen.splitlines()[0]
    assert "--profile" in screen
    for word in ("carevl", "distill", "accuracy", "consistency", "carevl − distill", "95 %"):
        assert word in screen
    assert "carevl against distill:" in screen
    assert "One seed: this speaks of these checkpoints, not of the recipe." in screen
    assert str(runs(results)["carevl"]) in screen.replace("\n", "")
    assert "Warning" not in screen
    assert "it/s" not in screen


def test_the_record_holds_what_a_reader_needs(finished) -> None:
    results, _ = finished
    run = Run.model_validate_json((runs(results)["carevl"] / "run.json").read_text())
    assert run.status == "complete"
    stages = {stage.stage: stage.info for stage in run.stages}
    assert {"expert-scores", "split-by-confidence", "sft", "sample-judgments", "score-judgments", "dpo"} <= set(stages)
    assert 0 < stages["split-by-confidence"]["share"] < 1
    assert stages["dpo"]["first_reward"] == pytest.approx(0, abs=1e-3)
    assert run.tasks[0].synthetic
    assert run.packages["trl"]
    assert len(judgments(runs(results)["carevl"])) == 48
    assert (runs(results)["carevl"] / "log.txt").stat().st_size > 0


def test_once_done_nothing_is_computed_again(finished) -> None:
    results, _ = finished
    before = {p: p.stat().st_mtime_ns for p in results.glob("cache/*/info.json")}
    screen = harness(results, *CAREVL, *sets(*SMALL))
    assert screen.count("complete;") == 2
    assert {p: p.stat().st_mtime_ns for p in results.glob("cache/*/info.json")} == before


def test_the_record_alone_reproduces_the_run(finished, tmp_path: Path) -> None:
    results, _ = finished
    folder = runs(results)["carevl"]
    harness(tmp_path, "run", "--config", str(folder / "config.yaml"), "--baseline", "none")
    again = runs(tmp_path)["carevl"]
    assert again.name == folder.name
    assert judgments(again) == judgments(folder)


def test_finished_runs_are_compared_and_listed(finished) -> None:
    results, _ = finished
    names = {recipe: path.name for recipe, path in runs(results).items()}
    screen = harness(results, "compare", names["distill"], names["carevl"])
    assert "carevl − distill" in screen
    assert "They differ in: recipe (distill | carevl)." in screen
    assert names["carevl"][:20] in harness(results, "ls", "runs")
    typo = harness(results, "compare", names["distill"][:-1], names["carevl"], code=2)
    assert f"Did you mean '{names['distill']}'" in typo


def test_another_configuration_in_the_same_folder_is_refused_by_its_keys(finished) -> None:
    results, _ = finished
    folder = runs(results)["carevl"]
    arguments = [*CAREVL, "--baseline", "none", "--out", str(folder)]
    error = harness(results, *arguments, *sets(*SMALL, "dpo.beta=0.5"), code=2)
    assert "dpo.beta differs" in error


RECIPES = [
    "random-subset", "high-confidence", "zero-shot", "oracle", "soft-distill", "majority-relabel", "no-captions",
    "dpo-labels",
]  # fmt: skip


@pytest.mark.parametrize("recipe", RECIPES)
def test_every_recipe_runs(finished, recipe: str) -> None:
    results, _ = finished
    harness(results, "run", "--recipe", recipe, "--baseline", "none", "--tasks", "vlrewardbench", *sets(*SMALL))
    found = {name: Run.model_validate_json((p / "run.json").read_text()) for name, p in runs(results).items()}
    stages = {stage.stage: stage.info for stage in found[recipe].stages}
    updates = {name: [s.info["updates"] for s in run.stages if "updates" in s.info] for name, run in found.items()}
    if recipe == "high-confidence":
        assert updates["high-confidence"] == updates["carevl"][:1]
    if recipe == "no-captions":
        controls = stages["expert-scores"]["controls"]
        assert controls["own_caption"] == controls["no_caption"]
        assert controls["of_other_caption"] == 0
    if recipe == "dpo-labels":
        assert stages["sample-judgments"]["pairs"] == 96
        assert stages["score-judgments"]["mean"].keys() == {"label_verdict"}
        assert stages["dpo"]["rows"] > 0


@pytest.mark.parametrize("by", ["updates", "tokens"])
def test_one_setting_trains_as_long_as_another_recipe(finished, by: str) -> None:
    results, _ = finished
    matching = ["sft.match=carevl", f"sft.match_by={by}"]
    screen = harness(results, *CAREVL, *sets(*SMALL, *matching))
    assert str(runs(results)["carevl"]) in screen.replace("\n", ""), "carevl's own run is the same without a match"
    folder = max(results.glob("runs/distill-*/run.json"), key=lambda p: p.stat().st_mtime_ns)
    run = Run.model_validate_json(folder.read_text())
    made = [stage.info[by] for stage in run.stages if by in stage.info]
    assert len(made) == 3
    assert made[-1] == (sum(made[:-1]) if by == "updates" else pytest.approx(sum(made[:-1]), rel=0.2))
    assert run.config["sft"]["match"] == "carevl"
    assert {"confidence", "dpo"} < set(run.config)


def test_protocols_alternatives_and_limits_can_be_chosen(finished) -> None:
    results, _ = finished
    chosen = ["confidence.rule=majority", "negatives.rule=adjacent", "scoring.weights.caption_support=0"]
    arguments = ["--baseline", "none", "--protocol", "official:9", "--limit", "10"]
    screen = harness(results, *CAREVL, *arguments, *sets(*SMALL, *chosen))
    assert "10 items" in screen
    assert "votes: accuracy by K" in screen
    folder = max(results.glob("runs/*/run.json"), key=lambda p: p.stat().st_mtime).parent
    assert len(judgments(folder)) == 90


def test_benchmarks_of_every_kind_are_asked_of_a_judge_that_only_compares(finished) -> None:
    results, _ = finished
    tasks = "vlrewardbench,mllm_judge,mmrb2_reasoning,rewardbench2"
    screen = harness(results, "run", "--recipe", "carevl", "--tasks", tasks, *sets(*SMALL))
    plain = " ".join(screen.split())
    assert "mllm_judge_score: not applicable" in plain
    assert "the judge's format only compares two responses" in plain
    assert "mllm_judge_pair · both-orders · 10 items" in plain
    assert "mllm_judge_batch · round-robin · 5 items" in plain
    assert "mmrb2_reasoning · both-orders · 24 items" in plain
    assert "rewardbench2 · round-robin · 24 items" in plain
    assert plain.count("carevl against distill:") == 5
    assert plain.count("These items hold no images:") == 1
    written = re.search(r"harness compare (\S+) (\S+)", plain)
    assert written is not None
    for task in ("vlrewardbench", "mllm_judge_pair", "mllm_judge_batch", "mmrb2_reasoning", "rewardbench2"):
        # two dozen items settle nothing finer
        told = harness(results, "gate", *written.groups(), "--task", task, "--margin", "0.9")
        assert told.startswith("PASS: carevl against distill")


@pytest.mark.parametrize("protocol", ["logprob", "reasoned"])
def test_probabilities_are_asked_for_with_and_without_an_answer(finished, protocol: str) -> None:
    results, _ = finished
    arguments = ["--recipe", "carevl", "--baseline", "none", "--protocol", protocol, "--tasks", "vlrewardbench"]
    screen = harness(results, "run", *arguments, *sets(*SMALL))
    assert ("--protocol reasoned counts P(verdict) after the rationale" in screen) == (protocol == "logprob")
    folder = max(results.glob("runs/*/run.json"), key=lambda p: p.stat().st_mtime).parent
    given = judgments(folder)
    assert all(0 < judgment["p_first"] < 1 for judgment in given)
    assert all((judgment["p_first"] >= 0.5) == (judgment["reading"] == "first") for judgment in given)


BROKEN = [
    "world.pairs=256",
    "world.items=60",
    "sft.epochs=1",
    "sft.save_steps=1",
    "sampling.samples=2",
    "sampling.share=1.0",
    "dpo.save_steps=1",
    "dpo.batch_size=8",
    "dpo.micro_batch_size=8",
    "judging.chunk_size=8",
    "judging.batch_size=8",
]


def part_of(results: Path, stage: str, pattern: str) -> Callable[[], bool]:
    """Tell whether an unfinished stage has left something behind."""
    return lambda: any(p.stat().st_size for p in results.glob(f"cache/{stage}-*.part/{pattern}"))


def kill_when(results: Path, arguments: list[str], ready: Callable[[], bool]) -> None:
    environment = {**os.environ, "HARNESS_RESULTS": str(results)}
    command = [sys.executable, "-m", "harness", *arguments]
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while process.poll() is None and not ready():
        time.sleep(0.002)
    assert process.poll() is None, "the run ended before it could be killed"
    process.send_signal(signal.SIGKILL)
    process.wait()


def test_a_run_killed_in_every_stage_ends_as_an_unbroken_one(tmp_path: Path) -> None:
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    arguments = [*CAREVL, "--baseline", "none", *sets(*BROKEN)]
    harness(whole, *arguments)
    resume = [*arguments, "--resume"]
    kill_when(broken, arguments, part_of(broken, "sft", "checkpoints/checkpoint-*/trainer_state.json"))
    unfinished = harness(broken, *arguments, code=2)
    assert "Add --resume" in unfinished
    kill_when(broken, resume, part_of(broken, "sample-judgments", "tuned/free.jsonl"))
    kill_when(broken, resume, part_of(broken, "dpo", "checkpoints/checkpoint-*/trainer_state.json"))
    answers = runs(broken)["carevl"] / "judgments-vlrewardbench.jsonl"
    kill_when(broken, resume, lambda: answers.exists() and answers.stat().st_size > 0)
    partial = len(answers.read_text().splitlines())
    assert 0 < partial < 120
    harness(broken, *resume)
    left, right = judgments(runs(whole)["carevl"]), judgments(runs(broken)["carevl"])
    assert len(right) == 120
    assert left == right


def test_a_judge_answers_alike_in_any_batch_and_with_any_number_of_threads(finished, tmp_path: Path) -> None:
    results, _ = finished
    checkpoint = next(results.glob("cache/dpo-*"))
    code = f"""
import io, json, sys, torch
from PIL import Image
from harness.settings import JudgeSettings, WorldSettings
from harness.embedded.data import benchmark_rows
from harness.engines.engine import Decoding, Question
from harness.engines.transformers_engine import TransformersEngine
torch.set_num_threads(int(sys.argv[2]))
judge = TransformersEngine(JudgeSettings(model={str(checkpoint)!r}), "float32", int(sys.argv[1]))
asked = [Question((Image.open(io.BytesIO(r["image"])), judge.format.ask(r["query"], *order)))
         for r in benchmark_rows(WorldSettings(items=100, split="dev"))
         for order in (r["response"], r["response"][::-1])]
answers = judge.answer(asked, Decoding(48))
print(json.dumps([[a[0].text, a[0].p_first] for a in answers]))
"""
    told = []
    for batch, threads in (("64", "2"), ("7", "1")):
        done = subprocess.run([sys.executable, "-c", code, batch, threads], capture_output=True, text=True, check=True)
        told.append(json.loads(done.stdout.splitlines()[-1]))
    assert [text for text, _ in told[0]] == [text for text, _ in told[1]]
    for (_, one), (_, other) in zip(*told, strict=True):
        assert (one is None) == (other is None)
        assert one is None or one == pytest.approx(other, abs=1e-4)


NLVR = ROOT.parent / "shared/data/nlvr"


@pytest.mark.skipif(not NLVR.is_dir(), reason="the NLVR sample is not beside this clone")
def test_real_images_and_human_sentences_run_to_a_verdict(tmp_path: Path) -> None:
    data = ["--preferences", str(NLVR / "preferences.parquet"), "--data", str(NLVR / "benchmark.parquet")]
    small = ["sft.epochs=0.02", "sampling.samples=2", "sampling.max_pairs=8", "judging.batch_size=16"]
    screen = harness(tmp_path, *CAREVL, *data, "--limit", "12", *sets(*small))
    assert "Embedded" not in screen
    assert "benchmark.parquet, 400 items" in screen
    assert "carevl against distill:" in screen


def test_plain_lmms_eval_gives_our_figure(finished, tmp_path: Path) -> None:
    results, _ = finished
    folder = runs(results)["carevl"]
    run = Run.model_validate_json((folder / "run.json").read_text())
    checkpoint = results / "cache" / f"dpo-{next(s.key for s in run.stages if s.stage == 'dpo')}"
    ours = next(s.info["accuracy"] for s in run.stages if s.stage.startswith("judge"))
    from harness.embedded.data import benchmark_rows
    from harness.settings import WorldSettings

    data = tmp_path / "bench.jsonl"
    import base64

    with data.open("w") as file:
        for row in benchmark_rows(WorldSettings(items=24)):
            row["image"] = "data:image/png;base64," + base64.b64encode(row["image"]).decode()
            file.write(json.dumps(row) + "\n")
    command = [
        sys.executable, "-m", "lmms_eval", "--tasks", "vlrewardbench", "--include_path", str(ROOT / "tasks"),
        "--model", "harness_judge", "--model_args", f"pretrained={checkpoint}", "--batch_size", "16",
        "--output_path", str(tmp_path / "out"),
    ]  # fmt: skip
    environment = {**os.environ, "HARNESS_DATA": str(data)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.returncode == 0, done.stderr[-2000:]
    written = next((tmp_path / "out").rglob("*results.json"))
    theirs = json.loads(written.read_text())["results"]["vlrewardbench"]["accuracy,none"]
    assert theirs == pytest.approx(ours, abs=1e-4)
