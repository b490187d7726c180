"""How a benchmark asks (orders, repeats, sampling), reads (verdicts) and counts (votes)."""

from harness.protocols.pairwise import PROTOCOLS, PairProtocol, Presentation, Tally, find_protocol

__all__ = ["PROTOCOLS", "PairProtocol", "Presentation", "Tally", "find_protocol"]
