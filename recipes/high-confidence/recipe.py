"""CAREVL without DPO: SFT on the pairs whose label the experts confirm."""

from harness.registry import sibling
from harness.training import sft

carevl = sibling(__file__, "carevl")
SECTIONS = {"world", "captions", "experts", "confidence", "sft"}


def train(run, config, seed):
    base, pairs, _, split = carevl.confident_pairs(run, config)
    return sft.fine_tune(run, config, base, pairs, split, seed=seed)
