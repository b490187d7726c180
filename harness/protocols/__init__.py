"""How a benchmark asks (orders, repeats, sampling), reads (verdicts, grades, orders) and counts: by name."""

from dataclasses import replace
from typing import get_args

from harness.errors import HarnessError, unknown
from harness.protocols import asking, counting
from harness.protocols.protocol import Protocol, Tally
from harness.records import Kind
from harness.stats.sums import FloatArray

__all__ = ["PROTOCOLS", "FloatArray", "Protocol", "Tally", "find_protocol"]

_AS_PUBLISHED = {"do_sample": True, "temperature": 0.4, "top_p": 0.2, "max_new_tokens": 2048}
"""MLLM-as-a-Judge's README; its scripts have other values, see tasks/mllm_judge/README.md."""

_ALL = (
    Protocol(
        "both-orders",
        "pair",
        1,
        "each item once in each order, greedy; an item's score is the mean over its orders; unparsed counts as wrong",
        asking.both_orders,
        counting.mean_of_answers,
        compares=True,
    ),
    Protocol(
        "official",
        "pair",
        1,
        "VL-RewardBench's authors': K repeats (official:K, default 5) in drawn orders, temperature 0.2, top-p 0.2, "
        "their pattern, majority; split and unparsed majorities left out",
        asking.drawn_orders,
        counting.majority,
        reader="official",
        repeats=5,
        varies=True,
        generation={"do_sample": True, "temperature": 0.2, "top_p": 0.2, "max_new_tokens": 2048},
        compares=True,
        drawn=True,
    ),
    Protocol(
        "directions",
        "pair",
        1,
        "MMRB2's authors': each item once in each order, and each order counts for itself; an answer in which nothing "
        "can be read is left out",
        asking.both_orders,
        counting.directions,
        reader="json",
        compares=True,
    ),
    Protocol(
        "logprob",
        "pair",
        1,
        "both orders, P(verdict) from one forward pass in place of a written answer; the mean over orders decides",
        asking.both_orders,
        counting.probability,
        compares=True,
        weighs=True,
        counts_p=True,
    ),
    Protocol(
        "reasoned",
        "pair",
        1,
        "both orders, greedy, P(verdict) where the written answer names it; the mean over orders decides; an item "
        "without a verdict counts as wrong",
        asking.both_orders,
        counting.probability_after_words,
        compares=True,
        counts_p=True,
    ),
    Protocol(
        "lmms-eval",
        "pair",
        1,
        "upstream lmms-eval's: one answer, the order by the parity of the responses' length, temperature 1, the "
        "official pattern; unparsed counts as half right, the expectation of upstream's coin",
        asking.parity_order,
        counting.coin,
        reader="official",
        generation={"do_sample": True, "temperature": 1.0, "top_p": 1.0, "max_new_tokens": 1024},
        compares=True,
        drawn=True,
    ),
    Protocol(
        "file-order",
        "pair",
        1,
        "one answer, greedy, in the file's order, as Multimodal RewardBench's authors ask; unparsed counts as wrong",
        asking.file_order,
        counting.mean_of_answers,
        compares=True,
    ),
    Protocol(
        "summed-scores",
        "pair",
        1,
        "VLRMBench's authors': two scores in each order, the last two numbers, added up; equal sums are wrong",
        asking.both_orders,
        counting.summed_scores,
        reader="two-numbers",
        compares=True,
        scores=True,
    ),
    Protocol(
        "both-orders",
        "pair-ties",
        1,
        "each item once in each order, greedy; unparsed counts as wrong, the published readings stand beside it",
        asking.both_orders,
        counting.with_ties,
        compares=True,
    ),
    Protocol(
        "official",
        "pair-ties",
        1,
        "Omni-RewardBench's authors': one answer, greedy, in the file's order, their tags wherever they stand; "
        "unparsed counts as wrong",
        asking.file_order,
        counting.with_ties,
        reader="official-letters",
        compares=True,
    ),
    Protocol(
        "published",
        "pair-ties",
        1,
        "as published: three answers in the file's order, temperature 0.4, top-p 0.2, averaged",
        asking.file_order,
        counting.with_ties,
        repeats=3,
        varies=True,
        generation=_AS_PUBLISHED,
        compares=True,
    ),
    Protocol(
        "published",
        "score",
        1,
        "as published: three grades, temperature 0.4, top-p 0.2; the correlation of each repeat, averaged",
        asking.file_order,
        counting.grades,
        repeats=3,
        varies=True,
        generation=_AS_PUBLISHED,
    ),
    Protocol(
        "rewards",
        "score",
        1,
        "one reward a response, on the judge's own scale, where the judge gives one; its correlation with the grades",
        asking.file_order,
        counting.grades,
        reader="reward",
    ),
    Protocol(
        "published",
        "batch",
        1,
        "as published: three orders, all responses shown at once, temperature 0.4, top-p 0.2, averaged",
        asking.file_order,
        counting.orders,
        repeats=3,
        varies=True,
        generation=_AS_PUBLISHED,
    ),
    Protocol(
        "round-robin",
        "batch",
        1,
        "every two responses against each other in both orders, greedy; ordered by wins, ties averaged over",
        asking.round_robin,
        counting.wins,
        compares=True,
    ),
    Protocol(
        "round-robin",
        "best",
        1,
        "every two responses against each other in both orders, greedy; most wins is liked best, equal ones share",
        asking.round_robin,
        counting.most_wins,
        compares=True,
    ),
    Protocol(
        "each-place",
        "best",
        1,
        "all responses at once, each at every place once, greedy; unparsed counts as wrong; ties rated one by one",
        asking.each_place,
        counting.picked,
        reader="pick",
    ),
    Protocol(
        "official",
        "best",
        1,
        "RewardBench 2's rankings: all at once, the right one at a drawn place, their pattern, unparsed as chance; "
        "ties rated one by one",
        asking.drawn_place,
        counting.picked_or_chance,
        reader="official-pick",
    ),
    Protocol(
        "ratings",
        "best",
        1,
        "RewardBench 2's ratings: each response alone from 1 to 10, greedy, their pattern; equal ratings share",
        asking.each_alone,
        counting.rated,
        reader="official-pick",
    ),
    Protocol(
        "rewards",
        "best",
        1,
        "one reward a response, where the judge gives one; equal rewards share",
        asking.each_alone,
        counting.rated,
        reader="reward",
    ),
)

IN_SETS = ("both-orders", "logprob", "reasoned", "file-order")
"""Protocols of pairs that are also those of pairs in sets."""

PROTOCOLS: dict[Kind, dict[str, Protocol]] = {
    kind: {p.name: p for p in _ALL if p.kind == kind} for kind in get_args(Kind)
}
PROTOCOLS["pair-sets"] = {
    name: replace(p, kind="pair-sets", count=counting.with_sets(p.count))
    for name, p in PROTOCOLS["pair"].items()
    if name in IN_SETS
}


MOST = 10_000
"""Repeats of a presentation."""


def find_protocol(spec: str, kind: Kind = "pair") -> Protocol:
    """Look up `name` or `name:repeats` among the protocols of a kind of task."""
    name, _, repeats = spec.partition(":")
    known = PROTOCOLS[kind]
    if name not in known:
        raise unknown("protocol", name, known)
    protocol = known[name]
    if not repeats:
        return protocol
    if not protocol.varies or not repeats.isascii() or not repeats.isdigit() or not 1 <= int(repeats[:9]) <= MOST:
        several = next((f"{p.name}:{p.repeats}" for p in known.values() if p.varies), None)
        fix = f"A number of repeats, at most {MOST}, goes with {several}." if several else "It takes no number."
        raise HarnessError(f"protocol {spec!r} is not understood.", fix)
    return replace(protocol, repeats=int(repeats))
