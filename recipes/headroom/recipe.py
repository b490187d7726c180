"""What DPO could gain at most: CAREVL whose judgments are scored by the truth, which only the embedded world knows."""

from harness.registry import sibling
from harness.training import truth

carevl = sibling(__file__, "carevl")
SECTIONS, EMBEDDED_ONLY, BASELINE = carevl.SECTIONS, True, "high-confidence"


def train(run, config, seed):
    told = run(truth.embedded_truth, config.world.of_pairs())
    scoring = config.scoring.model_copy(update={"weights": {"truth": 1.0}})
    return carevl.train(run, config.model_copy(update={"scoring": scoring}), seed, told)
