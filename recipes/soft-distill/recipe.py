"""Soft-label distillation: SFT towards the teacher's probabilities (`p_chosen`) instead of its verdicts."""

from harness.training import sft, sources

SECTIONS = {"world", "sft"}


def train(run, config, seed):
    base, pairs = sources.open_judge(run, config), sources.open_pairs(run, config)
    return sft.fine_tune(run, config, base, pairs, soft=True, seed=seed)
