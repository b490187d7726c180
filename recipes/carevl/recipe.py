"""CAREVL: SFT where textual experts confirm the label, then DPO on scored judgments of the rest."""

from harness.training import captions, confidence, dpo, experts, negatives, sampling, scoring, sft, sources
from harness.training.filter_accuracy import filter_accuracy
from harness.training.scorer_accuracy import scorer_accuracy
from harness.training.truth import report

SECTIONS = {"world", "captions", "experts", "confidence", "sft", "sampling", "scoring", "negatives", "dpo"}


def captioned_pairs(run, config):
    base, pairs = sources.open_judge(run, config), sources.open_pairs(run, config)
    return base, run(captions.caption, pairs, base, config.judge.untrained(), config.captions)


def confident_pairs(run, config):
    base, pairs = captioned_pairs(run, config)
    scores = run(experts.expert_scores, pairs, config.experts)
    split = run(confidence.split_by_confidence, pairs, scores, config.confidence)
    report(run, config, filter_accuracy, pairs, split)
    return base, pairs, scores, split


def scored_judgments(run, config, seed, base, tuned, pairs, scores, split, told=None):
    judge = config.judge
    samples = run(sampling.sample_judgments, tuned, base, pairs, split, judge, config.sampling, seed=seed)
    return run(
        scoring.score_judgments, samples, tuned, pairs, scores, split, judge, config.experts, config.scoring, told
    )


def train(run, config, seed, told=None):
    base, pairs, scores, split = confident_pairs(run, config)
    tuned = sft.fine_tune(run, config, base, pairs, split, seed=seed)
    return prefer(run, config, seed, base, tuned, pairs, scores, split, told)


def prefer(run, config, seed, base, tuned, pairs, scores, split, told=None):
    for _ in range(config.dpo.rounds):
        scored = scored_judgments(run, config, seed, base, tuned, pairs, scores, split, told)
        contrasts = run(negatives.sample_negatives, scored, config.negatives, seed=seed)
        report(run, config, scorer_accuracy, scored, contrasts)
        tuned = run(dpo.dpo, tuned, pairs, contrasts, config.judge, config.dpo.once(), seed=seed)
    return tuned
