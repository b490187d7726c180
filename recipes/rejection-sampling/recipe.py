"""CAREVL with SFT on the best-scored judgments in DPO's place (rejection sampling, as in RAFT and RFT)."""

from harness.registry import sibling
from harness.training import negatives, sft

carevl = sibling(__file__, "carevl")
SECTIONS = carevl.SECTIONS


def train(run, config, seed):
    base, pairs, scores, split = carevl.confident_pairs(run, config)
    tuned = sft.fine_tune(run, config, base, pairs, split, seed=seed)
    scored = carevl.scored_judgments(run, config, seed, base, tuned, pairs, scores, split)
    best = run(negatives.best_judgments, scored, config.negatives)
    return run(sft.imitate, tuned, pairs, best, config.judge, config.sft.like(config.dpo), seed=seed)
