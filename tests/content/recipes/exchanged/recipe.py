"""The headroom of DPO turned upside down: what the truth chooses is rejected, and what it rejects is chosen."""

import json

from harness.registry import sibling
from harness.settings import ScoringSettings
from harness.training import dpo, negatives, sft, truth

carevl = sibling(__file__, "carevl")
SECTIONS, EMBEDDED_ONLY, BASELINE = carevl.SECTIONS - {"scoring"}, True, "high-confidence"


def exchange(out, contrasts, *, progress):
    pairs = negatives.read_contrasts(contrasts)
    lines = [json.dumps(pair | {"chosen": pair["rejected"], "rejected": pair["chosen"]}) + "\n" for pair in pairs]
    (out / "contrasts.jsonl").write_text("".join(lines))
    return {"pairs": len(pairs)}


def train(run, config, seed):
    told = run(truth.embedded_truth, config.world.of_pairs())
    config = config.model_copy(update={"scoring": ScoringSettings(weights={"truth": 1.0})})
    base, pairs, scores, split = carevl.confident_pairs(run, config)
    tuned = sft.fine_tune(run, config, base, pairs, split, seed=seed)
    scored = carevl.scored_judgments(run, config, seed, base, tuned, pairs, scores, split, told)
    contrasts = run(exchange, run(negatives.sample_negatives, scored, config.negatives, seed=seed))
    return run(dpo.dpo, tuned, pairs, contrasts, config.judge, config.dpo, seed=seed)
