"""Training on two processes of a CPU, really launched: one process's curves and judges, crashes, and guards."""

import gc
import json
import os
import signal
import subprocess
import sys
import time
import weakref
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from harness.config import DpoSettings, JudgeSettings, LoraSettings, SftSettings, TrainingSettings, WorldSettings
from harness.data.preferences import read_pairs, write_preferences
from harness.embedded.data import preference_rows
from harness.errors import HarnessError, RunIncompleteError
from harness.judge.checkpoints import base_of
from harness.judge.format import PLAIN
from harness.judge.loading import save_merged
from harness.judge.model import Decoding, Judge, Question
from harness.training import dpo, jobs, sft
from harness.training.launch import FOLDER, accumulation, check_launch, launched, refuse_launcher
from harness.training.rows import present
from harness.training.stages import Artifact, Silent
from tests.toy_qwen import save_tiny_qwen
from tests.training.worker import Jobs, one_after_the_other

LORA = LoraSettings(rank=4, alpha=8)
SIZES = {"batch_size": 8, "micro_batch_size": 2, "precision": "float32", "learning_rate": 1e-3, "save_steps": 2}
KINDS = [("sft", None), ("sft", LORA), ("dpo", None), ("dpo", LORA)]
"""What is trained: how, and with an adapter or whole."""


class House:
    """A tiny judge, sixteen pairs with contrasts, and the trainings on them."""

    def __init__(self, root: Path) -> None:
        self.root = root
        save_tiny_qwen(root / "qwen")
        (root / "pairs").mkdir()
        write_preferences(root / "pairs/pairs.parquet", preference_rows(WorldSettings(pairs=16)), "embedded", Path())
        (root / "contrasts").mkdir()
        lines = [
            {
                "id": pair["id"],
                "chosen_second": second,
                "chosen": PLAIN.judgment("it is so.", int(second)),
                "rejected": PLAIN.judgment("it is not so.", int(not second)),
            }
            for pair in read_pairs(root / "pairs/pairs.parquet")
            for second in (False, True)
        ]
        (root / "contrasts/contrasts.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))

    def artifact(self, name: str) -> Artifact:
        return Artifact(name, name, self.root / name)

    def job(self, kind: str, lora: LoraSettings | None, out: str, training: TrainingSettings, **more: Any) -> jobs.Job:
        common = {
            "name": kind,
            "out": self.root / out / f"{kind}-{'lora' if lora else 'full'}",
            "judge": JudgeSettings(model=str(more.pop("start", self.root / "qwen")), lora=lora),
            "pairs": self.artifact("pairs"),
            "training": training,
            "seed": 0,
        }
        common["out"].mkdir(parents=True, exist_ok=True)
        if kind == "sft":
            return sft.SftJob(**common, settings=SftSettings(**SIZES | {"epochs": 1} | more), split=None, updates=None)
        return dpo.DpoJob(**common, settings=DpoSettings(**SIZES | more), contrasts=self.artifact("contrasts"))

    def jobs(self, out: str, training: TrainingSettings) -> Jobs:
        made = [self.job(kind, lora, out, training) for kind, lora in KINDS]
        return Jobs(sft=made[:2], dpo=made[2:])

    def questions(self) -> list[Question]:
        return [
            Question(Image.new("RGB", (56, 56), (40 * place, 90, 200)), shown.prompt)
            for place, shown in enumerate(present(self.artifact("pairs"), PLAIN)[:6])
        ]


def curve(folder: Path) -> list[float]:
    return [entry["loss"] for entry in json.loads((folder / "log.json").read_text())]


def answers(house: House, checkpoint: Path) -> list[str]:
    judge = Judge(JudgeSettings(model=str(checkpoint)), "float32")
    return [drawn[0].text for drawn in judge.answer(house.questions(), Decoding(12), batch_size=6)]


@pytest.fixture(scope="module")
def house(tmp_path_factory) -> House:
    return House(tmp_path_factory.mktemp("house"))


@pytest.fixture(scope="module")
def alone(house: House) -> Path:
    """What one process makes of all four trainings."""
    one_after_the_other(house.jobs("alone", TrainingSettings()), Silent())
    return house.root / "alone"


@pytest.fixture(autouse=True)
def our_worker(monkeypatch) -> None:
    monkeypatch.setenv("HARNESS_WORKER", "tests.training.worker")


@pytest.mark.parametrize("strategy", ["ddp", "fsdp2"])
def test_two_processes_train_what_one_trains(house: House, alone: Path, strategy: str) -> None:
    training = TrainingSettings(strategy=strategy, processes=2)
    launched(one_after_the_other, house.jobs(strategy, training), house.root / strategy, training, Silent())
    for kind, lora in KINDS:
        name = f"{kind}-{'lora' if lora else 'full'}"
        one, two = alone / name, house.root / strategy / name
        assert curve(two) == pytest.approx(curve(one), rel=1e-4 if lora else 1e-3)
        assert {path.name for path in two.iterdir()} == {path.name for path in one.iterdir()}
        assert answers(house, two) == answers(house, one)
    assert not (house.root / strategy / FOLDER).exists()


class Killer(Silent):
    """Kills one process when so many updates are done."""

    def __init__(self, out: Path, after: int) -> None:
        self.pid, self.left = out / FOLDER / "pid-1", after

    def advance(self, steps: int = 1) -> None:
        self.left -= steps
        if self.left == 0:
            os.kill(int(self.pid.read_text()), signal.SIGKILL)


@pytest.mark.parametrize(("kind", "lora", "strategy"), [("sft", None, "fsdp2"), ("dpo", LORA, "ddp")])
def test_a_killed_process_ends_all_and_the_training_goes_on_to_the_same_curve(
    house: House, alone: Path, kind: str, lora: LoraSettings | None, strategy: str
) -> None:
    training = TrainingSettings(strategy=strategy, processes=2)
    job = house.job(kind, lora, f"killed-{strategy}", training)
    work = sft.tune if kind == "sft" else dpo.tune
    with pytest.raises(RunIncompleteError, match=r"training on 2 processes ended .*--resume"):
        launched(work, job, job.out, training, Killer(job.out, 3))
    assert [path.name for path in job.out.glob("checkpoints/*")] == ["checkpoint-2"]
    for rank in (0, 1):
        pid = int((job.out / FOLDER / f"pid-{rank}").read_text())
        assert not Path(f"/proc/{pid}").exists() or "zombie" in Path(f"/proc/{pid}/status").read_text()
    launched(work, job, job.out, training, Silent())
    unbroken = alone / job.out.name
    assert curve(job.out) == pytest.approx(curve(unbroken), rel=1e-4 if lora else 1e-3)
    assert answers(house, job.out) == answers(house, unbroken)
