"""Each class that a profile names is trained by SFT and DPO with the profile's kind of adapter, and then answers."""

import json
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from harness.config import RunConfig
from harness.engines.engine import Decoding, Question, open_engine
from harness.planning.architecture import build, trained
from harness.registry import content_roots, load_profile
from harness.settings import JudgeSettings, SamplingSettings, WorldSettings
from harness.training import dpo, sft, sources
from harness.training.sources import judge_settings
from harness.training.stages import Artifact, Silent, Stages
from tests.toy_judges import JUDGES, save_toy_judge
from tests.training.test_stages import Watch


def contrasts_of(out: Path, pairs: Artifact, *, progress: Silent) -> dict[str, Any]:
    """Set a judgment for the label against one for the other answer, on every pair."""
    from harness.data.preferences import stream_pairs
    from harness.judge.format import PLAIN

    texts = {"chosen": PLAIN.judgment("the circle is red.", 0), "rejected": PLAIN.judgment("it is blue.", 1)}
    rows = [{"id": row["id"], "chosen_second": False, **texts} for row in stream_pairs(pairs.path / sources.PAIRS)]
    (out / "contrasts.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return {"pairs": len(rows)}


@pytest.mark.parametrize("profile", sorted(JUDGES))
def test_a_profiles_class_is_trained_and_answers(profile: str, tmp_path: Path) -> None:
    save_toy_judge(profile, tmp_path / "judge")
    named = load_profile(profile, content_roots())
    judge = JudgeSettings.model_validate(named["judge"] | {"model": str(tmp_path / "judge")})
    small = {"batch_size": 4, "micro_batch_size": 2, "epochs": 0.5, "precision": "float32"}
    config = RunConfig.model_validate(
        {"tasks": ["vlrewardbench"], "judge": judge, "world": WorldSettings(pairs=4)}
        | {"sft": named["sft"] | small, "dpo": named["dpo"] | small}
    )
    run = Stages(tmp_path / "cache", Watch())
    base, pairs = sources.open_judge(run, config), sources.open_pairs(run, config)
    tuned = run(sft.sft, base, pairs, None, judge, config.sft, seed=0)
    preferred = run(dpo.dpo, tuned, pairs, run(contrasts_of, pairs), judge, config.dpo, seed=0)
    assert (tuned.info["rows"], preferred.info["rows"]) == (8, 4)
    assert preferred.info["first_reward"] == pytest.approx(0, abs=1e-3)
    assert trained(build(judge.model), judge).modules == 14
    asking = SamplingSettings(precision="float32", batch_size=1)
    with closing(open_engine(judge_settings(judge, preferred), asking, tmp_path)) as engine:
        ((answer,),) = engine.answer([Question((Image.new("RGB", (48, 48)),), "what?")], Decoding(3))
    assert 0 < answer.tokens <= 3
