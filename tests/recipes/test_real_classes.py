"""The parts of the real profile that the embedded default leaves out, on tiny models."""

import base64
import json
from pathlib import Path

import pytest

from harness.embedded.data import preference_rows
from harness.records import Run
from harness.settings import WorldSettings
from tests.test_main_job import CAREVL, harness, runs, sets
from tests.toy_qwen import save_tiny_qwen
from tests.toys import SMALL


def stages(results: Path) -> dict[str, dict[str, object]]:
    run = Run.model_validate_json((runs(results)["carevl"] / "run.json").read_text())
    return {stage.stage: stage.info for stage in run.stages}


def test_qwen_classes_and_pairs_without_captions(tmp_path: Path) -> None:
    save_tiny_qwen(tmp_path / "qwen")
    pairs = tmp_path / "pairs.jsonl"
    with pairs.open("w") as file:
        for row in preference_rows(WorldSettings(pairs=24)):
            image = "data:image/png;base64," + base64.b64encode(row["image"]).decode()
            kept = {key: row[key] for key in ("id", "question", "chosen", "rejected")}
            file.write(json.dumps({**kept, "image": image}) + "\n")
    short = ["captions.max_new_tokens=4", "sampling.max_new_tokens=8", "judging.max_new_tokens=8"]
    chosen = [f"judge.model={tmp_path / 'qwen'}", "sft.max_tokens=1500", "confidence.rule=majority", "world.items=6"]
    arguments = [*CAREVL, "--baseline", "none", "--preferences", str(pairs)]
    harness(tmp_path, *arguments, *sets(*SMALL, *short, *chosen))
    seen = stages(tmp_path)
    assert seen["caption"]["captioned"] == 24
    assert seen["sft"]["rows"] == 2 * seen["split-by-confidence"]["kept"]
    judge = next(info for name, info in seen.items() if name.startswith("judge"))
    # a model of random weights says nothing readable, and nothing is guessed for it
    assert (judge["answers"], judge["unparsed"], judge["accuracy"]) == (12, 12, 0)


def test_an_adapter_is_kept_beside_its_base_and_trained_on_with_a_copy_of_itself_as_reference(tmp_path: Path) -> None:
    lora = ["judge.lora.rank=4", "judge.lora.alpha=8", "judge.freeze_vision=true", "sampling.temperature=1.5"]
    harness(tmp_path, *CAREVL, "--baseline", "none", *sets(*SMALL, *lora))
    seen = stages(tmp_path)
    assert seen["dpo"]["rows"] > 0
    assert seen["dpo"]["first_reward"] == pytest.approx(0, abs=1e-3)
    for stage in ("sft", "dpo"):
        checkpoint = next(tmp_path.glob(f"cache/{stage}-*"))
        assert json.loads((checkpoint / "adapter_base.json").read_text())["model"] == "embedded:judge"
        assert not (checkpoint / "model.safetensors").exists()
