"""The base judge as it is, without any training."""

from harness.training.sources import open_judge

BASELINE, SEEDED = None, False


def train(run, config, seed):
    return open_judge(run, config)
