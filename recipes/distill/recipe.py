"""Plain distillation: SFT on every label of the teacher."""

from harness.config import RunConfig
from harness.training.sft import sft
from harness.training.sources import open_judge, open_pairs
from harness.training.stages import Artifact, Stages

SECTIONS = {"world", "sft"}
BASELINE = "zero-shot"


def train(run: Stages, config: RunConfig, seed: int) -> Artifact:
    base, pairs = open_judge(run, config), open_pairs(run, config)
    return run(sft, base, pairs, None, config.judge, config.sft, seed=seed)
