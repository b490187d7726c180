"""DPO on every label: SFT as plain distillation, then judgments of all pairs, those with the label's verdict chosen."""

from harness.registry import sibling
from harness.settings import ScoringSettings
from harness.training import sft, sources

carevl = sibling(__file__, "carevl")
SECTIONS = {"world", "sft", "sampling", "negatives", "dpo"}
LABEL_ALONE = ScoringSettings(weights={"label_verdict": 1.0})


def train(run, config, seed):
    base, pairs = sources.open_judge(run, config), sources.open_pairs(run, config)
    tuned = sft.fine_tune(run, config, base, pairs, seed=seed)
    split = run(sources.every_pair, pairs)
    sampling = config.sampling.model_copy(update={"share": 1.0, "max_pairs": None})
    config = config.model_copy(update={"sampling": sampling, "scoring": LABEL_ALONE})
    return carevl.prefer(run, config, seed, base, tuned, pairs, None, split)
