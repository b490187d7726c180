"""The ceiling: SFT on every pair with its label set right, which only the embedded world can do."""

from harness.training import sft, sources, truth

SECTIONS, EMBEDDED_ONLY = {"world", "sft"}, True


def train(run, config, seed):
    base, pairs = sources.open_judge(run, config), sources.open_pairs(run, config)
    right = run(truth.true_preferences, pairs, config.world.of_pairs())
    return sft.fine_tune(run, config, base, right, seed=seed)
