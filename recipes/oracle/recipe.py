"""The ceiling: SFT on every pair with its label set right, which only the embedded world can do."""

from harness.training import sft, sources

SECTIONS, EMBEDDED_ONLY = {"world", "sft"}, True


def train(run, config, seed):
    base, pairs = sources.open_judge(run, config), sources.open_pairs(run, config)
    right = run(sources.true_preferences, pairs, config.world)
    return run(sft.sft, base, right, None, config.judge, config.sft, seed=seed)
