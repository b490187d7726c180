"""Plain distillation: SFT on every label of the teacher."""

from harness.training import sft, sources

SECTIONS, BASELINE = {"world", "sft"}, "zero-shot"


def train(run, config, seed):
    base, pairs = sources.open_judge(run, config), sources.open_pairs(run, config)
    return sft.fine_tune(run, config, base, pairs, seed=seed)
