"""CAREVL without DPO: SFT on the pairs whose label the experts confirm."""

from harness.config import RunConfig
from harness.training.captions import caption
from harness.training.confidence import split_by_confidence
from harness.training.experts import expert_scores
from harness.training.sft import sft
from harness.training.sources import open_judge, open_pairs
from harness.training.stages import Artifact, Stages

SECTIONS = {"world", "captions", "experts", "confidence", "sft"}


def train(run: Stages, config: RunConfig, seed: int) -> Artifact:
    base, pairs = open_judge(run, config), open_pairs(run, config)
    pairs = run(caption, pairs, base, config.judge.untrained(), config.captions)
    scores = run(expert_scores, pairs, config.experts)
    split = run(split_by_confidence, pairs, scores, config.confidence)
    return run(sft, base, pairs, split, config.judge, config.sft, seed=seed)
