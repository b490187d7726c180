"""The control for captions: CAREVL whose experts read question and answers alone."""

from harness.registry import sibling
from harness.training import captions, confidence, experts, sft, sources

carevl = sibling(__file__, "carevl")
SECTIONS = carevl.SECTIONS - {"captions"}


def train(run, config, seed):
    base, pairs = sources.open_judge(run, config), sources.open_pairs(run, config)
    pairs = run(captions.without_captions, pairs)
    scores = run(experts.expert_scores, pairs, config.experts)
    split = run(confidence.split_by_confidence, pairs, scores, config.confidence)
    tuned = sft.fine_tune(run, config, base, pairs, split, seed=seed)
    return carevl.prefer(run, config, seed, base, tuned, pairs, scores, split)
