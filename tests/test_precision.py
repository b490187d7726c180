"""What computes decides: on a CPU every step of the embedded world is float32, and a slow request is said aloud."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from harness import precision
from harness.cli import main
from harness.config import validated
from harness.errors import HarnessError
from harness.records import RunFolder
from harness.registry import content_roots, list_runs, load_recipe
from harness.resolve import resolve_config
from harness.settings import JudgeSettings, SftSettings, TrainingSettings
from harness.training.jobs import Job
from harness.training.stages import Artifact
from harness.training.trainers import common_arguments, starting_model
from tests.toys import SMALL

REDUCED = {torch.bfloat16, torch.float16}
MOVES = (
    "_to_copy",
    "copy_",
    "clone",
    "detach",
    "empty",
    "view",
    "slice",
    "select",
    "as_strided",
    "set_",
    "alias",
    "t.",
)
"""Operations that move numbers without computing any: the experts' files hold float16, which is read as float32."""


class Watch(TorchDispatchMode):
    """Counts what is computed, and notes every operation that takes or gives a reduced precision."""

    def __init__(self) -> None:
        super().__init__()
        self.products, self.reduced = 0, set()

    def __torch_dispatch__(self, operation, types, arguments=(), named=None):
        out = operation(*arguments, **(named or {}))
        tensors = [value for value in (*arguments, out) if isinstance(value, torch.Tensor)]
        name = str(operation).removeprefix("aten.")
        self.products += name.startswith(("mm", "addmm", "bmm", "linear"))
        if any(tensor.dtype in REDUCED for tensor in tensors) and not name.startswith(MOVES):
            self.reduced.add(name)
        return out


def run(results: Path, monkeypatch, *assignments: str) -> Watch:
    monkeypatch.setenv("HARNESS_RESULTS", str(results))
    sets = [part for text in (*SMALL, *assignments) for part in ("--set", text)]
    with Watch() as watch:
        assert main(["run", "--recipe", "carevl", "--baseline", "none", "--tasks", "vlrewardbench", *sets]) == 0
    return watch


@pytest.mark.skipif(torch.cuda.is_available(), reason="an accelerator computes bfloat16 natively")
def test_no_step_of_carevl_is_in_reduced_precision_on_a_cpu(tmp_path: Path, monkeypatch) -> None:
    watch = run(tmp_path, monkeypatch)
    assert watch.products > 1000
    assert watch.reduced == set()
    (folder,) = list_runs()
    record = RunFolder(folder).read_run()
    computing = {name for name, section in record.config.items() if "precision" in (section or ())}
    assert computing == {"captions", "experts", "sft", "sampling", "dpo", "judging"}
    assert {record.config[name]["precision"] for name in computing} == {"float32"}
    assert record.arithmetic["threads"] == torch.get_num_threads()
    assert record.arithmetic["float32_matmul_precision"] == "highest"
    assert record.arithmetic["cpu_capability"]


@pytest.mark.parametrize("section", ["experts", "sft", "sampling", "dpo", "judging"])
@pytest.mark.skipif(torch.cuda.is_available(), reason="see above")
def test_the_watch_sees_each_section_that_is_told_otherwise(tmp_path: Path, monkeypatch, section: str) -> None:
    # a CPU without bfloat16 takes a minute here; smaller still would leave DPO without rows
    assert run(tmp_path, monkeypatch, f"{section}.precision=bfloat16", "world.pairs=48").reduced


def test_the_models_are_rebuilt_in_float32(tmp_path: Path) -> None:
    from harness.building.expert_training import ExpertPlan, train_expert
    from harness.building.model import build_judge, build_processor
    from harness.building.pretraining import Plan, Writer, examination, examine
    from harness.judge.checkpoints import EMBEDDED

    with Watch() as watch:
        train_expert(EMBEDDED / "judge", ExpertPlan(seed=0, pairs=64), tmp_path)
        processor = build_processor()
        examine(build_judge(processor.tokenizer, 0), examination(Writer(processor, Plan(seed=0)), 2))
    assert watch.products > 100
    assert watch.reduced == set()


def test_the_weights_that_are_trained_stay_float32(tmp_path: Path) -> None:
    def job(precision: str, lora: dict | None = None) -> Job:
        return Job(
            name="sft",
            out=tmp_path,
            judge=JudgeSettings.model_validate({"lora": lora}),
            pairs=Artifact("pairs", "", tmp_path),
            settings=SftSettings(precision=precision),
            training=TrainingSettings(),
            seed=0,
        )

    assert common_arguments(job("bfloat16"), 10)["bf16"]
    assert not common_arguments(job("float32"), 10)["bf16"]
    whole, adapter = starting_model(job("bfloat16"))
    assert adapter is None
    assert {weight.dtype for weight in whole.parameters()} == {torch.float32}
    adapted, adapter = starting_model(job("bfloat16", {"rank": 4, "alpha": 8}))
    assert adapter.r == 4
    assert {weight.dtype for weight in adapted.parameters()} == {torch.bfloat16}


def config(*assignments: str, **given):
    roots = content_roots()
    recipe = load_recipe("distill", roots) if "model" not in given else None
    settings = {"recipe": recipe.name} if recipe else {}
    return resolve_config({**settings, "tasks": ["vlrewardbench"], **given}, assignments, roots, recipe)


def test_auto_is_what_the_machine_computes_natively(monkeypatch) -> None:
    monkeypatch.setattr(precision, "accelerator", lambda: None)
    assert config().sft.precision == "float32"
    monkeypatch.setattr(precision, "accelerator", lambda: "a GPU")
    monkeypatch.setattr(precision, "_accelerator_has_bfloat16", lambda: True)
    assert config().sft.precision == config().judging.precision == "bfloat16"
    assert config("sft.precision=float32").sft.precision == "float32"
    monkeypatch.setattr(precision, "_accelerator_has_bfloat16", lambda: False)
    assert config().sft.precision == "float32"


def test_a_model_that_chooses_its_own_precision_is_not_told_one() -> None:
    served = {"model": "openai", "model_args": {"base_url": "http://127.0.0.1:1/v1", "model": "x"}}
    assert config(**served).judging.precision == "auto"
    with pytest.raises(HarnessError, match="chooses its own"):
        config("judging.precision=bfloat16", **served)


def test_slow_or_inexact_arithmetic_is_one_line(monkeypatch) -> None:
    asked = validated({"tasks": ["x"], "sft": {"precision": "bfloat16"}, "judging": {"precision": "float32"}})
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(precision, "bfloat16_slowdown", lambda: 58.7)
    (line,) = precision.slow_or_inexact(asked)
    assert "sft.precision" in line
    assert "59 times slower" in line
    monkeypatch.setattr(precision, "bfloat16_slowdown", lambda: 0.6)
    assert precision.slow_or_inexact(asked) == []
    monkeypatch.setenv("ONEDNN_DEFAULT_FPMATH_MODE", "BF16")
    assert "fewer bits" in precision.slow_or_inexact(asked)[0]
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "an old GPU")
    monkeypatch.setattr(precision, "_accelerator_has_bfloat16", lambda: False)
    with pytest.raises(HarnessError, match="an old GPU does not compute it"):
        precision.slow_or_inexact(asked)


def test_the_slowdown_is_measured_where_bfloat16_is_emulated() -> None:
    code = "from harness.precision import bfloat16_slowdown; print(bfloat16_slowdown())"
    capped = {**os.environ, "ONEDNN_MAX_CPU_ISA": "AVX2", "ATEN_CPU_CAPABILITY": "avx2"}
    done = subprocess.run([sys.executable, "-c", code], env=capped, capture_output=True, text=True, check=True)
    assert float(done.stdout) > 5
