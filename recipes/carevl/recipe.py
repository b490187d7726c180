"""CAREVL: SFT where textual experts confirm the label, then DPO on scored judgments of the rest."""

from harness.config import RunConfig
from harness.training.captions import caption
from harness.training.confidence import split_by_confidence
from harness.training.dpo import dpo
from harness.training.experts import expert_scores
from harness.training.negatives import sample_negatives
from harness.training.sampling import sample_judgments
from harness.training.scoring import score_judgments
from harness.training.sft import sft
from harness.training.sources import open_judge, open_pairs
from harness.training.stages import Artifact, Stages

SECTIONS = {"world", "captions", "experts", "confidence", "sft", "sampling", "scoring", "negatives", "dpo"}


def train(run: Stages, config: RunConfig, seed: int) -> Artifact:
    base, pairs = open_judge(run, config), open_pairs(run, config)
    pairs = run(caption, pairs, base, config.judge.untrained(), config.captions)
    scores = run(expert_scores, pairs, config.experts)
    split = run(split_by_confidence, pairs, scores, config.confidence)
    tuned = run(sft, base, pairs, split, config.judge, config.sft, seed=seed)
    samples = run(sample_judgments, tuned, pairs, split, config.judge, config.sampling, seed=seed)
    scored = run(score_judgments, samples, tuned, pairs, scores, split, config.judge, config.experts, config.scoring)
    contrasts = run(sample_negatives, scored, config.negatives, seed=seed)
    return run(dpo, tuned, pairs, contrasts, config.judge, config.dpo, seed=seed)
