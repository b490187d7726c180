"""Plain distillation with as many optimiser updates as CAREVL makes in all."""

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
    # CAREVL as in its own recipe: how many updates it makes depends on what its stages keep
    captioned = run(caption, pairs, base, config.judge.untrained(), config.captions)
    scores = run(expert_scores, captioned, config.experts)
    split = run(split_by_confidence, captioned, scores, config.confidence)
    tuned = run(sft, base, captioned, split, config.judge, config.sft, seed=seed)
    samples = run(sample_judgments, tuned, captioned, split, config.judge, config.sampling, seed=seed)
    scored = run(
        score_judgments, samples, tuned, captioned, scores, split, config.judge, config.experts, config.scoring
    )
    contrasts = run(sample_negatives, scored, config.negatives, seed=seed)
    carevl = run(dpo, tuned, captioned, contrasts, config.judge, config.dpo, seed=seed)

    updates = tuned.info["updates"] + carevl.info["updates"]
    return run(sft, base, pairs, None, config.judge, config.sft, updates, seed=seed)
