"""CAREVL whose sampled judgments score higher the shorter their reasons are."""

from harness.registry import sibling
from harness.settings import ScoringSettings
from harness.training.scoring import dimension

carevl = sibling(__file__, "carevl")
SECTIONS, BASELINE = carevl.SECTIONS - {"scoring"}, "carevl"


@dimension("brevity")
def brevity(judgment, context):
    return 1 / (1 + len(judgment.rationale.split()))


def train(run, config, seed):
    weights = {"expert_verdict": 2.0, "brevity": 1.0}
    return carevl.train(run, config.model_copy(update={"scoring": ScoringSettings(weights=weights)}), seed)
