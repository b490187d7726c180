"""A scalar reward head on the same judge: Bradley and Terry's loss on every label of the teacher."""

from harness.training import reward, sources

SECTIONS, SCORES = {"world", "reward"}, True


def train(run, config, seed):
    base, pairs = sources.open_judge(run, config), sources.open_pairs(run, config)
    return run(reward.reward, base, pairs, config.judge, config.reward, seed=seed)
