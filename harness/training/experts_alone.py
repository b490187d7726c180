"""Experts as the judge, with nothing trained: who captions, and who reads the caption."""

import json
from pathlib import Path
from typing import Any

from harness.errors import HarnessError
from harness.settings import CaptionSettings, ExpertSettings, JudgeSettings
from harness.training.experts import fingerprints
from harness.training.sources import judge_settings
from harness.training.stages import Artifact, Progress

FILE = "experts_judge.json"
"""File by which such a judge is told from a checkpoint."""


def experts_judge(
    out: Path,
    base: Artifact,
    judge: JudgeSettings,
    captions: CaptionSettings,
    experts: ExpertSettings,
    *,
    progress: Progress,
) -> dict[str, Any]:
    """Name the base judge that captions each image of a benchmark, and the experts that read the caption.

    Raises:
        HarnessError: if nobody is to caption: benchmarks bring no captions.
    """
    if captions.missing == "leave":
        raise HarnessError(
            "setting captions.missing = 'leave': experts that judge alone read nothing then.", "Set it to describe."
        )
    (out / FILE).write_text(json.dumps(judge_settings(judge, base).model_dump()))
    return {"captions": base.info["fingerprint"], "experts": fingerprints(experts)}
