"""A reward head on the judge: its loss, what it learns, its checkpoint, crashes, and the rewards it gives."""

import json
import math
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from harness.data.canonical import open_images
from harness.data.images import opened
from harness.data.preferences import stream_pairs, write_preferences
from harness.embedded.data import preference_rows
from harness.engines.reward_engine import Response, RewardEngine
from harness.engines.transformers_engine import TransformersEngine
from harness.errors import HarnessError
from harness.judge.checkpoints import base_of
from harness.judge.format import RewardFormat, load_reward_format
from harness.settings import JudgeSettings, LoraSettings, RewardSettings, TrainingSettings, WorldSettings
from harness.training import reward
from harness.training.bradley_terry import bradley_terry
from harness.training.sources import PAIRS
from harness.training.stages import Artifact, Silent
from tests.toy_qwen import save_tiny_qwen

LORA = LoraSettings(rank=4, alpha=8)
SIZES: dict[str, Any] = {"batch_size": 8, "micro_batch_size": 4, "precision": "float32", "save_steps": 3, "epochs": 16}


class House:
    """A tiny judge that knows nothing, sixteen pairs, and trainings of a head on them."""

    def __init__(self, root: Path) -> None:
        self.root = root
        save_tiny_qwen(root / "qwen")
        (root / "pairs").mkdir()
        write_preferences(root / "pairs" / PAIRS, preference_rows(WorldSettings(pairs=16)), "embedded", Path())
        self.pairs = Artifact("pairs", "pairs", root / "pairs")

    def job(self, out: str, lora: LoraSettings | None = None) -> reward.RewardJob:
        (self.root / out).mkdir(parents=True, exist_ok=True)
        return reward.RewardJob(
            name="reward", out=self.root / out, judge=JudgeSettings(model=str(self.root / "qwen"), lora=lora),
            pairs=self.pairs, settings=RewardSettings(**SIZES, learning_rate=2e-2 if lora else 5e-3),
            training=TrainingSettings(), seed=0,
        )  # fmt: skip

    def responses(self) -> list[Response]:
        image = open_images(self.pairs.path / PAIRS)
        return [
            Response((opened(image(place)), RewardFormat().ask(row["question"])), row[side])
            for place, row in enumerate(stream_pairs(self.pairs.path / PAIRS))
            for side in ("chosen", "rejected")
        ]


def rewards(folder: Path, responses: list[Response], batch_size: int = 8) -> list[float]:
    with closing(RewardEngine(JudgeSettings(model=str(folder)), "float32", batch_size)) as engine:
        return engine.rewards(responses)


def losses(folder: Path) -> list[float]:
    return [entry["loss"] for entry in json.loads((folder / "log.json").read_text())]


@pytest.fixture(scope="module")
def house(tmp_path_factory) -> House:
    return House(tmp_path_factory.mktemp("house"))


@pytest.fixture(scope="module", params=[None, LORA], ids=["whole", "adapter"])
def trained(request, house: House) -> tuple[reward.RewardJob, dict[str, Any]]:
    job = house.job("adapter" if request.param else "whole", request.param)
    return job, reward.tune(job, Silent())


def test_the_loss_is_bradley_and_terrys() -> None:
    chosen, rejected = torch.tensor([1.0, 0.0]), torch.tensor([0.0, 2.0])
    plain = (math.log1p(math.exp(-1)) + math.log1p(math.exp(2))) / 2
    turned = (math.log1p(math.exp(1)) + math.log1p(math.exp(-2))) / 2
    assert bradley_terry(chosen, rejected, 0, 0).item() == pytest.approx(plain)
    assert bradley_terry(chosen, rejected, 0, 0.2).item() == pytest.approx(0.8 * plain + 0.2 * turned)
    further = (math.log1p(math.exp(-0.5)) + math.log1p(math.exp(2.5))) / 2
    assert bradley_terry(chosen, rejected, 0.5, 0).item() == pytest.approx(further)


def test_it_begins_at_chance_and_learns_the_labels(trained, house: House) -> None:
    job, info = trained
    assert losses(job.out)[0] == pytest.approx(math.log(2))
    assert info["loss"] < 0.6
    assert (info["rows"], info["updates"], info["too_long"]) == (16, 32, 0)
    found = rewards(job.out, house.responses())
    right = [chosen > rejected for chosen, rejected in zip(found[::2], found[1::2], strict=True)]
    assert sum(right) >= 12
    assert info["curve"]["right"][-1] > 0.7


def test_a_checkpoint_says_what_it_is_and_writes_nothing(trained, house: House) -> None:
    job, _ = trained
    assert load_reward_format(job.out).ask("a {question}?") == "a {question}?"
    weights = load_file(job.out / ("adapter_model.safetensors" if job.judge.lora else "model.safetensors"))
    (head,) = [tensor for name, tensor in weights.items() if name.endswith("reward_head.weight")]
    assert (head.shape, head.dtype) == ((1, 32), torch.float32)
    assert (base_of(str(job.out)) is not None) == (job.judge.lora is not None)
    assert not list(job.out.glob("checkpoints*"))
    with pytest.raises(HarnessError, match="ends in a reward head, and writes nothing"):
        TransformersEngine(JudgeSettings(model=str(job.out)), "float32", 4)


def test_a_reward_hangs_on_image_question_and_response_alone(trained, house: House) -> None:
    job, _ = trained
    responses = house.responses()[:6]
    together, alone = rewards(job.out, responses), [rewards(job.out, [one])[0] for one in responses[:2]]
    assert alone == pytest.approx(together[:2], abs=1e-5)
    assert rewards(job.out, responses[::-1], 1) == pytest.approx(together[::-1], abs=1e-5)
    other = responses[0]._replace(asked=(Image.new("RGB", (48, 48), (200, 0, 0)), responses[0].asked[1]))
    assert rewards(job.out, [other])[0] != pytest.approx(together[0], abs=1e-5)


def test_an_adapter_gives_the_same_rewards_beside_a_rounded_base(house: House, trained) -> None:
    job, _ = trained
    with closing(RewardEngine(JudgeSettings(model=str(job.out)), "bfloat16", 8)) as engine:
        assert engine.model.reward_head.weight.dtype == torch.float32
        rounded = engine.rewards(house.responses())
    exact = rewards(job.out, house.responses())
    # bfloat16 has eight bits, and CPUs differ in where they round to them
    assert np.corrcoef(rounded, exact)[0, 1] > 0.99
    assert rounded == pytest.approx(exact, abs=0.1 * float(np.ptp(exact)))


class Interrupter(Silent):
    """Fails like a crash when so many updates are done."""

    def __init__(self, after: int) -> None:
        self.left = after

    def advance(self, steps: int = 1) -> None:
        self.left -= steps
        if self.left == 0:
            raise KeyboardInterrupt


def test_it_goes_on_after_a_crash_as_if_there_had_been_none(trained, house: House) -> None:
    whole, _ = trained
    broken = house.job(f"{whole.out.name}-broken", whole.judge.lora)
    with pytest.raises(KeyboardInterrupt):
        reward.tune(broken, Interrupter(4))
    reward.tune(broken, Silent())
    assert losses(broken.out) == losses(whole.out)
    names = sorted(path.name for path in whole.out.iterdir())
    assert sorted(path.name for path in broken.out.iterdir()) == names
    assert [name for name in names if (broken.out / name).read_bytes() != (whole.out / name).read_bytes()] == []


def test_a_head_is_put_onto_no_adapter(house: House, tmp_path: Path) -> None:
    adapter = house.job("base-adapter", LORA)
    reward.tune(adapter, Silent())
    with pytest.raises(HarnessError, match="a reward head is put onto no adapter"):
        reward.reward(
            tmp_path, Artifact("start", "start", adapter.out), house.pairs, JudgeSettings(), RewardSettings(),
            training=TrainingSettings(), seed=0, progress=Silent(),
        )  # fmt: skip
