"""What DPO could gain at most: CAREVL whose judgments are scored by the truth, which only the embedded world knows."""

from harness.registry import sibling
from harness.settings import ScoringSettings
from harness.training import truth

carevl = sibling(__file__, "carevl")
SECTIONS, EMBEDDED_ONLY, BASELINE = carevl.SECTIONS - {"scoring"}, True, "high-confidence"
TRUTH_ALONE = ScoringSettings(weights={"truth": 1.0})


def train(run, config, seed):
    told = run(truth.embedded_truth, config.world.of_pairs())
    return carevl.train(run, config.model_copy(update={"scoring": TRUTH_ALONE}), seed, told)
