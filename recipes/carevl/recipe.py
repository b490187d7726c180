"""CAREVL: SFT where textual experts confirm the label, then DPO on scored judgments of the rest."""

from harness.training import captions, confidence, dpo, experts, negatives, sampling, scoring, sft, sources

SECTIONS = {"world", "captions", "experts", "confidence", "sft", "sampling", "scoring", "negatives", "dpo"}


def confident_pairs(run, config):
    base, pairs = sources.open_judge(run, config), sources.open_pairs(run, config)
    pairs = run(captions.caption, pairs, base, config.judge.untrained(), config.captions)
    scores = run(experts.expert_scores, pairs, config.experts)
    return base, pairs, scores, run(confidence.split_by_confidence, pairs, scores, config.confidence)


def train(run, config, seed):
    judge = config.judge
    base, pairs, scores, split = confident_pairs(run, config)
    tuned = run(sft.sft, base, pairs, split, judge, config.sft, seed=seed)
    samples = run(sampling.sample_judgments, tuned, pairs, split, judge, config.sampling, seed=seed)
    scored = run(scoring.score_judgments, samples, tuned, pairs, scores, split, judge, config.experts, config.scoring)
    contrasts = run(negatives.sample_negatives, scored, config.negatives, seed=seed)
    return run(dpo.dpo, tuned, pairs, contrasts, judge, config.dpo, seed=seed)
