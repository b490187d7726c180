"""The ceiling: SFT on every pair with its label set right, which only the embedded world can do."""

from harness.config import RunConfig
from harness.training.sft import sft
from harness.training.sources import open_judge, open_pairs, true_preferences
from harness.training.stages import Artifact, Stages

SECTIONS = {"world", "sft"}
EMBEDDED_ONLY = True


def train(run: Stages, config: RunConfig, seed: int) -> Artifact:
    base, pairs = open_judge(run, config), open_pairs(run, config)
    right = run(true_preferences, pairs, config.world)
    return run(sft, base, right, None, config.judge, config.sft, seed=seed)
