"""The base judge as it is, without any training."""

from harness.config import RunConfig
from harness.training.sources import open_judge
from harness.training.stages import Artifact, Stages

BASELINE = None
SEEDED = False


def train(run: Stages, config: RunConfig, seed: int) -> Artifact:
    return open_judge(run, config)
