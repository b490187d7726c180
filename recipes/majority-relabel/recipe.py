"""SFT on the experts' labels: every pair, its sides exchanged where their majority prefers the other response."""

from harness.registry import sibling
from harness.training import experts, relabel, sft

carevl = sibling(__file__, "carevl")
SECTIONS = {"world", "captions", "experts", "sft"}


def train(run, config, seed):
    base, pairs = carevl.captioned_pairs(run, config)
    scores = run(experts.expert_scores, pairs, config.experts)
    relabelled = run(relabel.majority_preferences, pairs, scores)
    return sft.fine_tune(run, config, base, relabelled, seed=seed)
