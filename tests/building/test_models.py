"""The committed judge and experts are what their cards say."""

from pathlib import Path

import pytest

from harness.building.check import answers_right, expert_accuracy, untrained_judging
from harness.embedded import world
from harness.engines.transformers_engine import TransformersEngine
from harness.judge.checkpoints import EMBEDDED as ASSETS
from harness.settings import JudgeSettings


@pytest.fixture(scope="module")
def judge() -> TransformersEngine:
    return TransformersEngine(JudgeSettings(), "float32", 256)


@pytest.mark.parametrize("kind", world.KINDS)
def test_the_base_sees_and_answers(judge: TransformersEngine, kind: str) -> None:
    assert answers_right(judge, kind, 150) >= 0.85


def test_the_base_writes_judgments_but_cannot_judge_yet(judge: TransformersEngine) -> None:
    found = untrained_judging(judge, 250)
    assert found["coverage"] >= 0.9
    assert 0.45 <= found["forced"] <= 0.68


@pytest.mark.parametrize("number", range(3))
def test_experts_are_good_but_not_infallible(number: int) -> None:
    assert 0.6 <= expert_accuracy(f"embedded:expert-{number}", 300) <= 0.97


def test_the_weights_are_small_and_safe() -> None:
    files = [path for path in ASSETS.rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) <= 12 * 2**20
    assert {path.suffix for path in files} <= {".safetensors", ".json", ".jinja", ".md"}
    assert Path(ASSETS / "judge" / "README.md").exists()
