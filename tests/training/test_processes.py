"""Training on two processes of a CPU, really launched: one process's curves and judges, crashes, and guards."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
import weakref
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from harness.data.preferences import stream_pairs, write_preferences
from harness.embedded.data import preference_rows
from harness.engines.engine import Decoding, Question
from harness.engines.reward_engine import Response, RewardEngine
from harness.engines.transformers_engine import TransformersEngine
from harness.errors import HarnessError, RunIncompleteError
from harness.judge.checkpoints import base_of
from harness.judge.format import PLAIN
from harness.judge.loading import save_merged
from harness.settings import (
    DpoSettings,
    JudgeSettings,
    LoraSettings,
    RewardSettings,
    SftSettings,
    TrainingSettings,
    WorldSettings,
)
from harness.training import dpo, jobs, reward, sft, trainers
from harness.training.launch import FOLDER, check_launch, launched, refuse_launcher
from harness.training.rows import present
from harness.training.stages import Artifact, Silent
from harness.training.updates import accumulation
from tests.toy_qwen import save_tiny_qwen
from tests.training.worker import Jobs, one_after_the_other

LORA = LoraSettings(rank=4, alpha=8)
SIZES = {"batch_size": 8, "micro_batch_size": 2, "precision": "float32", "learning_rate": 1e-3, "save_steps": 2}
KINDS = [("sft", None), ("sft", LORA), ("dpo", None), ("dpo", LORA), ("reward", None), ("reward", LORA)]
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
            for pair in stream_pairs(root / "pairs/pairs.parquet")
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
            return sft.SftJob(**common, settings=SftSettings(**SIZES | {"epochs": 1} | more), split=None)
        if kind == "reward":
            return reward.RewardJob(**common, settings=RewardSettings(**SIZES | {"epochs": 2} | more))
        return dpo.DpoJob(**common, settings=DpoSettings(**SIZES | more), contrasts=self.artifact("contrasts"))

    def jobs(self, out: str, training: TrainingSettings) -> Jobs:
        made = [self.job(kind, lora, out, training, **self.more(kind, lora)) for kind, lora in KINDS]
        return Jobs(training=training, sft=made[:2], dpo=made[2:4], reward=made[4:])

    @staticmethod
    def more(kind: str, lora: LoraSettings | None) -> dict[str, Any]:
        return {"judge_every": 2, "held_out": 0.2} if kind == "sft" and lora else {}

    def questions(self) -> list[Question]:
        return [
            Question((Image.new("RGB", (56, 56), (40 * place, 90, 200)), shown.prompt))
            for place, shown in enumerate(present(self.artifact("pairs"), PLAIN)[:6])
        ]


def curve(folder: Path) -> list[float]:
    return [entry["loss"] for entry in json.loads((folder / "log.json").read_text())]


def judged(folder: Path) -> dict[int, float]:
    """After which updates held-out pairs were judged, and how many answers were right."""
    log = json.loads((folder / "log.json").read_text())
    return {entry["step"]: entry["accuracy"] for entry in log if "accuracy" in entry}


def answers(house: House, checkpoint: Path) -> list[str]:
    judge = TransformersEngine(JudgeSettings(model=str(checkpoint)), "float32", 6)
    return [drawn[0].text for drawn in judge.answer(house.questions(), Decoding(12))]


def rewards(house: House, checkpoint: Path) -> list[float]:
    judge = RewardEngine(JudgeSettings(model=str(checkpoint)), "float32", 6)
    return judge.rewards(
        [Response((question.images[0], judge.format.ask(question.text)), "it is so.") for question in house.questions()]
    )


@pytest.fixture(scope="module")
def house(tmp_path_factory) -> House:
    return House(tmp_path_factory.mktemp("house"))


@pytest.fixture(scope="module")
def alone(house: House) -> Path:
    """What one process makes of all six trainings."""
    one_after_the_other(house.jobs("alone", TrainingSettings()), Silent())
    return house.root / "alone"


@pytest.fixture(autouse=True)
def our_worker(monkeypatch) -> None:
    monkeypatch.setenv("HARNESS_WORKER", "tests.training.worker")


@pytest.mark.parametrize(("strategy", "machines"), [("ddp", 2), ("fsdp2", 1)])
def test_two_processes_train_what_one_trains(house: House, alone: Path, strategy: str, machines: int) -> None:
    training = TrainingSettings(strategy=strategy, machines=machines, processes=2 // machines, port=free_port())
    out = house.root / "cache" / f"{strategy}.part"
    with machine_that_joins(house.root) if machines == 2 else nullcontext():
        launched(one_after_the_other, house.jobs(str(out), training), out, training, Silent())
    for kind, lora in KINDS:
        name = f"{kind}-{'lora' if lora else 'full'}"
        one, two = alone / name, out / name
        assert curve(two) == pytest.approx(curve(one), rel=1e-4 if lora else 1e-3)
        assert judged(two) == judged(one)
        assert bool(judged(one)) == bool(house.more(kind, lora))
        assert {path.name for path in two.iterdir()} == {path.name for path in one.iterdir()}
        for file in ("tokenizer.json", "tokenizer_config.json", "processor_config.json"):
            assert (two / file).read_bytes() == (one / file).read_bytes()
        if kind == "reward":
            assert rewards(house, two) == pytest.approx(rewards(house, one), abs=1e-4)
        else:
            assert answers(house, two) == answers(house, one)
    assert not (out / FOLDER).exists()


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


@contextmanager
def machine_that_joins(results: Path) -> Iterator[None]:
    """A second machine, here the same one, that waits in the results folder for what the first one trains."""
    command = [sys.executable, "-m", "harness.training.join", "--machine", "1"]
    environment = os.environ | {"HARNESS_RESULTS": str(results)}
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as other:
        try:
            yield
        finally:
            # SIGINT would be ignored where these tests run in the background
            other.terminate()
            said, _ = other.communicate()
    assert "ddp: 1 processes of 2" in said


class Killer(Silent):
    """Kills one process when so many updates are done."""

    def __init__(self, out: Path, after: int) -> None:
        self.pid, self.left = out / FOLDER / "pid-1", after

    def advance(self, steps: int = 1) -> None:
        self.left -= steps
        if self.left == 0:
            os.kill(int(self.pid.read_text()), signal.SIGKILL)


def test_a_killed_process_ends_all_and_what_is_done_stays_done(house: House, alone: Path) -> None:
    training = TrainingSettings(strategy="fsdp2", processes=2)
    out = house.root / "killed"
    whole, adapted = (house.job(kind, lora, "killed", training) for kind, lora in (KINDS[0], KINDS[3]))
    with pytest.raises(RunIncompleteError, match=r"training on 2 processes ended .*--resume"):
        launched(one_after_the_other, Jobs(sft=[whole]), out, training, Killer(out, 3))
    assert [path.name for path in whole.out.glob("checkpoints/checkpoint-*")] == ["checkpoint-2"]
    for rank in (0, 1):
        status = Path(f"/proc/{(out / FOLDER / f'pid-{rank}').read_text()}/status")
        assert not status.exists() or "zombie" in status.read_text()
    # it goes on from update 2 of 4, and the other training is killed after 3
    with pytest.raises(RunIncompleteError):
        launched(one_after_the_other, Jobs(sft=[whole], dpo=[adapted]), out, training, Killer(out, 4 + 3))
    launched(one_after_the_other, Jobs(dpo=[adapted]), out, training, Silent())
    for job, close in ((whole, 1e-3), (adapted, 1e-4)):
        unbroken = alone / job.out.name
        assert curve(job.out) == pytest.approx(curve(unbroken), rel=close)
        assert answers(house, job.out) == answers(house, unbroken)


def test_processes_that_cannot_shard_or_do_not_see_each_other_stop_before_the_first_update(
    house: House, monkeypatch
) -> None:
    monkeypatch.delenv("HARNESS_WORKER")
    training = TrainingSettings(strategy="fsdp2", processes=2)
    job = house.job("sft", None, "unsharded", training)
    with pytest.raises(HarnessError, match="fsdp2 was asked, and accelerate made MULTI_CPU of it") as refused:
        launched(sft.tune, job, job.out, training, Silent())
    assert "ddp" in refused.value.fix


def test_a_launch_that_cannot_be_is_one_line_before_anything_is_computed(monkeypatch) -> None:
    assert accumulation("sft", SftSettings(batch_size=32, micro_batch_size=4), 2) == 4
    with pytest.raises(HarnessError, match=r"32 is no multiple of micro_batch_size 32 x 2.*sft.micro_batch_size=16"):
        accumulation("sft", SftSettings(), 2)
    with pytest.raises(HarnessError, match=r"no multiple of micro_batch_size 16 x 3.*batch_size to a multiple of 3"):
        accumulation("dpo", DpoSettings(), 3)
    with pytest.raises(HarnessError, match="trains in one process, and 4 are asked"):
        check_launch(TrainingSettings(processes=4))
    with pytest.raises(HarnessError, match="strategy=zero3 needs"):
        check_launch(TrainingSettings(processes=2, strategy="zero3"))
    with pytest.raises(HarnessError, match="report_to=elsewhere needs the package"):
        check_launch(TrainingSettings(report_to="elsewhere"))
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(HarnessError, match="started 2 times by a launcher"):
        refuse_launcher()


def test_children_end_with_the_driver(house: House) -> None:
    training = TrainingSettings(strategy="ddp", processes=2)
    job = house.job("sft", None, "orphans", training)
    told = house.root / "job.json"
    told.write_text(job.model_dump_json())
    code = (
        "import sys; from pathlib import Path; from harness.training.sft import SftJob, tune, train;"
        "from harness.training.stages import Silent;"
        "train(tune, SftJob.model_validate_json(Path(sys.argv[1]).read_text()), Silent())"
    )
    driver = subprocess.Popen([sys.executable, "-c", code, str(told)])
    files = [job.out / FOLDER / f"pid-{rank}" for rank in (0, 1)]
    _wait_until(lambda: all(file.exists() and file.read_text() for file in files), 120)
    driver.kill()
    driver.wait()
    _wait_until(lambda: not any(Path(f"/proc/{file.read_text()}").exists() for file in files), 60)


def _wait_until(true: Any, seconds: float) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end
        time.sleep(0.2)


def test_an_adapter_keeps_a_change_of_the_size_that_dpo_makes(house: House, tmp_path: Path) -> None:
    """SFT's adapter is trained on at 5e-6: what that changed must be what is judged, to the digit that is stored."""
    start = house.job("sft", LORA, "sft", TrainingSettings())
    sft.tune(start, Silent())
    job = house.job("dpo", LORA, "small", TrainingSettings(), start=start.out, learning_rate=5e-6)
    dpo.tune(job, Silent())
    before, after = (load_file(folder / "adapter_model.safetensors") for folder in (start.out, job.out))
    changed = [(after[name] != before[name]).float().mean().item() for name in after]
    assert {tensor.dtype for tensor in after.values()} == {torch.float32}
    assert min(changed) > 0.9
    assert base_of(str(job.out)).location == str(house.root / "qwen")
    save_merged(JudgeSettings(model=str(job.out)), tmp_path / "merged", "float32")
    base, merged = load_file(house.root / "qwen/model.safetensors"), load_file(tmp_path / "merged/model.safetensors")
    name = "model.language_model.layers.0.mlp.down_proj"
    low, high = (after[f"base_model.model.{name}.lora_{side}.weight"] for side in "AB")
    delta = LORA.alpha / LORA.rank * high @ low
    weight = next(key for key in base if key.endswith("layers.0.mlp.down_proj.weight") and "visual" not in key)
    torch.testing.assert_close(merged[weight] - base[weight], delta, rtol=0, atol=1e-8)
    assert answers(house, tmp_path / "merged") == answers(house, job.out)
    judge = TransformersEngine(JudgeSettings(model=str(job.out)), "bfloat16", 6)
    kept = {name: part for name, part in judge.model.named_parameters() if "lora_" in name}
    assert {part.dtype for part in kept.values()} == {torch.float32}
    assert all(
        (kept[key.replace(".weight", ".default.weight").removeprefix("base_model.model.")] == value).all()
        for key, value in after.items()
    )


def test_a_base_that_changed_and_an_adapter_of_another_shape_are_refused(house: House, tmp_path: Path) -> None:
    save_tiny_qwen(tmp_path / "base")
    job = house.job("sft", LORA, "shape", TrainingSettings(), start=tmp_path / "base", batch_size=32, epochs=0.1)
    sft.tune(job, Silent())
    other = house.job("dpo", LoraSettings(rank=2, alpha=8), "shape", TrainingSettings(), start=job.out)
    with pytest.raises(HarnessError, match=r"rank is 2, and the adapter .* has 4"):
        dpo.tune(other, Silent())
    (tmp_path / "base/generation_config.json").write_text("{}")
    with pytest.raises(HarnessError, match="which has changed since"):
        TransformersEngine(JudgeSettings(model=str(job.out)), "float32", 6)


def test_pairs_are_held_out_and_judged_on_the_way_and_the_model_is_freed(house: House, monkeypatch) -> None:
    job = house.job("sft", None, "held-out", TrainingSettings(), judge_every=2, held_out=0.2)
    loaded, load = [], trainers.load_model

    def noted(*arguments: Any) -> Any:
        model = load(*arguments)
        loaded.append(weakref.ref(model))
        return model

    monkeypatch.setattr(trainers, "load_model", noted)
    info = jobs.train(sft.tune, job, Silent())
    assert [model() for model in loaded] == [None]
    assert 0 < info["held_out"] < 8
    assert info["rows"] == 2 * (16 - info["held_out"])
    assert info["curve"]["judged_step"] == [2.0, float(info["updates"])]
    assert all(0 <= share <= 1 for share in info["curve"]["accuracy"])


class Interrupter(Silent):
    """Fails like a crash when so many updates are done."""

    def __init__(self, after: int) -> None:
        self.left = after

    def advance(self, steps: int = 1) -> None:
        self.left -= steps
        if self.left == 0:
            raise KeyboardInterrupt


def test_an_adapter_trained_on_has_the_same_reference_after_a_crash(house: House) -> None:
    start = house.job("sft", LORA, "first", TrainingSettings())
    sft.tune(start, Silent())
    unbroken, broken = (house.job("dpo", LORA, out, TrainingSettings(), start=start.out) for out in ("whole", "crash"))
    info = dpo.tune(unbroken, Silent())
    assert info["first_reward"] == 0
    with pytest.raises(KeyboardInterrupt):
        dpo.tune(broken, Interrupter(3))
    assert dpo.tune(broken, Silent())["tokens"] == info["tokens"]
    assert curve(broken.out) == curve(unbroken.out)
    files = sorted(path.name for path in unbroken.out.iterdir())
    assert [(broken.out / name).read_bytes() for name in files] == [
        (unbroken.out / name).read_bytes() for name in files
    ]
