"""`harness validate` through the command itself; what stops a run before its first step."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from harness.cli import main
from harness.errors import HarnessError
from harness.planning import plan as planning
from harness.planning import room
from harness.planning.assumptions import assumptions, recognised
from harness.planning.load import Launch
from harness.planning.machine import Machine, needed, wished
from harness.planning.plan import make_plan, remarks, stages_of
from harness.registry import content_roots, find_profiles, load_profile, load_recipe
from harness.resolve import resolve_config
from harness.settings import SECTIONS
from tests.toy_qwen import save_tiny_qwen

TOLD = Path(__file__).with_name("qwen2.5-vl-7b.txt")
PROFILES = sorted(set(find_profiles(content_roots())) - {"embedded"})


def test_a_profile_is_validated_in_full(tmp_path: Path) -> None:
    environment = {**os.environ, "HARNESS_RESULTS": str(tmp_path), "COLUMNS": "80", "HF_HUB_CACHE": str(tmp_path)}
    command = [sys.executable, "-m", "harness", "validate", "qwen2.5-vl-7b"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    told, kept = ([line.rstrip() for line in text.splitlines()] for text in (done.stdout, TOLD.read_text()))
    assert told == kept, f"If this is meant: COLUMNS=80 harness validate qwen2.5-vl-7b > {TOLD.name}"
    assert list(tmp_path.iterdir()) == []


def test_too_little_memory_names_stages_and_settings(capsys, results) -> None:
    small = ["validate", "qwen2.5-vl-7b", "--memory", "24", "--recipe", "distill"]
    assert main(small) == 0
    told = capsys.readouterr().out
    assert "sft does not fit the 24 GiB of h100-80gb: it needs about 28" in told
    assert "It would with sft.micro_batch_size=2." in told
    assert main([*small, "--set", "sft.micro_batch_size=2"]) == 0
    assert "Everything fits 24 GiB" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["qwen"], "no profile is called 'qwen'"),
        (["qwen2.5-vl-7b", "--gpu", "h100"], "Did you mean 'h100-80gb'?"),
        (["qwen2.5-vl-7b", "--memory", "none"], "no amount of memory"),
        (["qwen2.5-vl-7b", "--set", "judge.lora.target_modules=q_proj"], "matches no linear layer of Qwen/Qwen2.5-VL"),
        (["qwen2.5-vl-7b", "--set", "judge.model=some/body"], "hf download some/body config.json"),
        (["qwen2.5-vl-7b", "--recipe", "carevil"], "Did you mean 'carevl'?"),
    ],
)
def test_a_mistake_is_one_line(arguments: list[str], says: str, capsys, results) -> None:
    assert main(["validate", *arguments]) == 2
    error = capsys.readouterr().err
    assert says in error
    assert len(error.strip().splitlines()) == 1


def plan_of(profile: str, *changes: str, gib: float | None = None) -> planning.Plan:
    roots = content_roots()
    recipe, settings = load_recipe("carevl", roots), load_profile(profile, roots)
    needs = needed(settings, profile)
    assert needs is not None
    native = [f"{name}.precision=bfloat16" for name in ("captions", "experts", "sft", "sampling", "dpo", "judging")]
    given = {"recipe": "carevl", "tasks": ["vlrewardbench"], "profile": profile}
    config = resolve_config(given, [*native, *changes], roots, recipe, here=False)
    steps = stages_of(config, recipe, roots, Path("nowhere"), Path("nowhere"))
    return make_plan(config, steps, wished(needs.gpu, needs.gpus, gib))


@pytest.mark.parametrize("profile", PROFILES)
def test_a_profile_fits_the_gpu_it_names_and_costs_what_its_first_lines_say(profile: str, monkeypatch) -> None:
    if profile.endswith("-full") and "training" not in SECTIONS:
        monkeypatch.setattr(planning, "launch_of", lambda config: Launch(8, "fsdp2"))
    plan = plan_of(profile)
    assert list(planning.too_large(plan)) == []
    assert not any("leaves out most rows" in line for line in remarks(plan))
    opening = " ".join(find_profiles(content_roots())[profile].read_text().partition("description:")[0].split())
    for word in ("# Reproduces:", "# Needs:", "# Should cost:"):
        assert word in opening
    said = int(re.search(r"about (\d+) GPU hours", opening)[1])
    assert plan.gpu_hours == pytest.approx(said, rel=0.05)


def test_an_engine_that_is_not_here_is_planned_for_and_a_servers_work_is_not_ours() -> None:
    by_hand, by_vllm = plan_of("qwen2.5-vl-7b"), plan_of("qwen2.5-vl-7b", "engine=vllm")
    sampling = [next(n for n in plan.needs if n.step.stage == "sample-judgments") for plan in (by_hand, by_vllm)]
    assert sampling[0].hours > 5 * sampling[1].hours
    assert sampling[0].memory.weights == sampling[1].memory.weights
    halved = plan_of("qwen2.5-vl-7b", "sampling.engine={name: vllm, tensor_parallel: 2}")
    (need,) = [need for need in halved.needs if need.step.stage == "sample-judgments"]
    assert need.memory.weights == sampling[0].memory.weights // 2
    served = plan_of("qwen2.5-vl-7b", "experts.engine={name: server, base_url: 'http://127.0.0.1:1/v1'}")
    assert not any(need.load.work == "score" for need in served.needs)
    idle = "Of 8 GPUs some are idle in caption, expert-scores"
    full = [list(remarks(plan_of("qwen2.5-vl-7b-full", *change))) for change in ([], ["engine=vllm"])]
    assert [any(line.startswith(idle) for line in lines) for lines in full] == [True, False]


def test_a_limit_below_an_average_row_is_said() -> None:
    (line,) = [line for line in remarks(plan_of("llava-onevision-7b", "sft.max_tokens=4096")) if "leaves out" in line]
    assert "sft leaves out most rows: one has about 5,285 tokens, more than sft.max_tokens = 4,096" in line


def test_hours_say_what_they_rest_on(monkeypatch) -> None:
    measured = assumptions().model_copy(update={"measured": "steps on one card; the rest is assumed"})
    monkeypatch.setattr(planning, "assumptions", lambda: measured)
    rests_on = "Hours are an estimate. Measured were steps on one card; the rest is assumed."
    assert rests_on in list(remarks(plan_of("qwen2.5-vl-3b")))


def test_cards_are_recognised_by_the_drivers_name() -> None:
    assert recognised("NVIDIA H100 80GB HBM3") == "h100-80gb"
    assert recognised("NVIDIA GeForce RTX 4090") == "rtx4090-24gb"
    assert recognised("Radeon") is None
    with pytest.raises(HarnessError, match=r"profile mine: needs\.gpus"):
        needed({"needs": {"gpu": "h100-80gb", "gpus": 0}}, "mine")


def toy_run(folder: Path, *changes: str) -> list[str]:
    """Look for room for a run of a small Qwen2.5-VL."""
    roots = content_roots()
    recipe = load_recipe("distill", roots)
    given = {"recipe": "distill", "tasks": ["vlrewardbench"]}
    config = resolve_config(given, ["world.items=4", *changes], roots, recipe)
    return list(room.check(config, recipe, roots, folder / "run"))


def test_too_little_memory_is_said_before_the_first_step(tmp_path: Path, monkeypatch) -> None:
    save_tiny_qwen(tmp_path / "qwen")
    judge = f"judge.model={tmp_path / 'qwen'}"
    assert toy_run(tmp_path) == []
    assert toy_run(tmp_path, judge) == []
    small = Machine("a GPU", 1.5, 1)
    monkeypatch.setattr(room, "this_machine", lambda: small)
    # the reserve alone is more: an estimate, so it is said and not refused
    lines = toy_run(tmp_path, judge)
    assert lines[0].startswith("sft does not fit the 2 GiB of a GPU")
    monkeypatch.setattr(room, "this_machine", lambda: Machine("a GPU", 1e-4, 1))
    with pytest.raises(HarnessError, match=r"sft cannot run on a GPU.*weights, gradients and moments of .*qwen alone"):
        toy_run(tmp_path, judge)


def test_a_model_that_is_not_here_while_the_hub_is_off_stops_a_run_before_its_first_step(
    tmp_path: Path, monkeypatch, capsys
) -> None:
    monkeypatch.setenv("HARNESS_RESULTS", str(tmp_path))
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    arguments = ["run", "--recipe", "distill", "--tasks", "vlrewardbench", "--baseline", "none"]
    assert main([*arguments, "--profile", "qwen2.5-vl-3b"]) == 2
    error = capsys.readouterr().err
    assert "sft needs 'Qwen/Qwen2.5-VL-3B-Instruct', which is not on this machine, and the hub is off" in error
    assert "`hf download Qwen/Qwen2.5-VL-3B-Instruct`" in error
    assert len(error.strip().splitlines()) == 1
    assert not (tmp_path / "cache").exists()
