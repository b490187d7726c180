"""The size control: SFT on as many pairs, drawn at random, as CAREVL finds high-confidence."""

from harness.registry import sibling
from harness.training import sft, sources

carevl = sibling(__file__, "carevl")
SECTIONS = {"world", "captions", "experts", "confidence", "sft"}


def train(run, config, seed):
    base, pairs, _, split = carevl.confident_pairs(run, config)
    drawn = run(sources.random_subset, pairs, split, seed=seed)
    return sft.fine_tune(run, config, base, pairs, drawn, seed=seed)
