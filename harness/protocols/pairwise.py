"""The protocols of the pairwise task: ask, read and count, each named and versioned."""

import random
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from harness.errors import HarnessError, unknown
from harness.protocols.reading import read_official, read_strict
from harness.records import Item, Judgment, Reading

FloatArray = NDArray[np.float64]


class Presentation(NamedTuple):
    """One showing of one item: in which order, and which repeat."""

    item_id: str
    swapped: bool
    repeat: int


@dataclass(frozen=True)
class Tally:
    """What a protocol counts, one entry per item; NaN marks an item left out of a metric."""

    item_ids: list[str]
    slices: list[str]
    clusters: list[str]
    score: FloatArray
    """1 right, 0 wrong, 0.5 right in one of two orders; NaN where the protocol leaves it out."""
    low: FloatArray
    """The score if every unparsed answer were wrong."""
    high: FloatArray
    """The score if every unparsed answer were right."""
    consistent: FloatArray
    """1 if both orders prefer the same response, 0 if not; NaN where orders are not both asked."""
    parsed: FloatArray
    """Share of the item's answers with a verdict."""
    first: FloatArray
    """Share of the item's verdicts for the response shown first; NaN without a verdict."""


@dataclass(frozen=True)
class PairProtocol:
    """A way to ask, read and count a pairwise benchmark."""

    name: str
    version: int
    summary: str
    present: Callable[[Sequence[Item], int, int], list[Presentation]]
    """(items, order seed, repeats) to every presentation, in the order they are asked."""
    read: Callable[[str], Reading]
    count: Callable[[Sequence[Item], Sequence[Judgment], int], Tally]
    """(items, judgments of one seed, repeats used) to the tally."""
    repeats: int = 1
    generation: dict[str, Any] = field(default_factory=dict)
    """Sampling settings that the protocol fixes; an empty dict is greedy decoding."""

    @property
    def spec(self) -> str:
        """The name with its parameter, as `--protocol` takes it."""
        return f"{self.name}:{self.repeats}" if self.name == "official" else self.name

    def presentations(self, items: Sequence[Item], seed: int) -> list[Presentation]:
        """List what is asked, drawn from `seed` before the first question."""
        return self.present(items, seed, self.repeats)

    def tally(self, items: Sequence[Item], judgments: Sequence[Judgment], repeats: int | None = None) -> Tally:
        """Count one seed's judgments; `repeats` uses only the first so many votes."""
        return self.count(items, judgments, repeats or self.repeats)


def _both_orders(items: Sequence[Item], seed: int, repeats: int) -> list[Presentation]:
    return [Presentation(i.item_id, swapped, r) for i in items for r in range(repeats) for swapped in (False, True)]


def _drawn_orders(items: Sequence[Item], seed: int, repeats: int) -> list[Presentation]:
    # one generator per item, so that --limit and the order of the file change no item's orders
    draws = ((item, random.Random(f"order {seed} {item.item_id}")) for item in items)
    return [Presentation(i.item_id, draw.random() < 0.5, r) for i, draw in draws for r in range(repeats)]


def _by_item(items: Sequence[Item], judgments: Sequence[Judgment]) -> list[list[Judgment]]:
    grouped: dict[str, list[Judgment]] = defaultdict(list)
    for judgment in judgments:
        grouped[judgment.item_id].append(judgment)
    return [sorted(grouped[item.item_id], key=lambda j: (j.repeat, j.swapped)) for item in items]


def _tally(items: Sequence[Item], answers: list[list[Judgment]], columns: dict[str, list[float]]) -> Tally:
    parsed, first = [], []
    for group in answers:
        read = [j.reading for j in group if j.reading in ("first", "second", "tie")]
        parsed.append(len(read) / len(group) if group else 0.0)
        first.append(read.count("first") / len(read) if read else np.nan)
    return Tally(
        [item.item_id for item in items],
        [item.slice for item in items],
        [item.cluster_id for item in items],
        parsed=np.array(parsed),
        first=np.array(first),
        **{name: np.array(values, dtype=float) for name, values in columns.items()},
    )


def _count_both_orders(items: Sequence[Item], judgments: Sequence[Judgment], repeats: int) -> Tally:
    """Mean over orders; unparsed counts as wrong, so the denominator never moves."""
    answers = _by_item(items, judgments)
    columns: dict[str, list[float]] = {name: [] for name in ("score", "low", "high", "consistent")}
    for item, group in zip(items, answers, strict=True):
        right = [float(j.chosen == item.label) for j in group]
        open_ = [float(j.chosen is None and j.reading != "tie") for j in group]
        columns["score"].append(float(np.mean(right)) if right else np.nan)
        columns["low"].append(columns["score"][-1])
        columns["high"].append(float(np.mean(right) + np.mean(open_)) if right else np.nan)
        chosen = [j.chosen for j in group]
        columns["consistent"].append(float(None not in chosen and len(set(chosen)) == 1) if group else np.nan)
    return _tally(items, answers, columns)


def _count_votes(items: Sequence[Item], judgments: Sequence[Judgment], repeats: int) -> Tally:
    """Majority of the first `repeats` votes; a majority that is unparsed or split is left out.

    As the authors' cal.py classifies: right if right votes exceed half of K, wrong if wrong votes
    do, else neither numerator nor denominator.
    """
    answers = [group[:repeats] for group in _by_item(items, judgments)]
    columns: dict[str, list[float]] = {name: [] for name in ("score", "low", "high", "consistent")}
    for item, group in zip(items, answers, strict=True):
        right = sum(j.chosen == item.label for j in group)
        wrong = sum(j.chosen is not None and j.chosen != item.label for j in group)
        half = len(group) / 2
        score = 1.0 if right > half else 0.0 if wrong > half else np.nan
        columns["score"].append(score if group else np.nan)
        columns["low"].append(0.0 if np.isnan(score) else score)
        columns["high"].append(1.0 if np.isnan(score) else score)
        columns["consistent"].append(np.nan)
    return _tally(items, answers, columns)


PROTOCOLS: dict[str, PairProtocol] = {
    protocol.name: protocol
    for protocol in (
        PairProtocol(
            "both-orders",
            1,
            "each item once in each order, greedy; an item's score is the mean over its orders; "
            "unparsed counts as wrong",
            _both_orders,
            read_strict,
            _count_both_orders,
        ),
        PairProtocol(
            "official",
            1,
            "the authors': K repeats (official:K, default 5) in drawn orders, temperature 0.2, top-p 0.2, "
            "majority; split and unparsed majorities left out",
            _drawn_orders,
            read_official,
            _count_votes,
            repeats=5,
            generation={"do_sample": True, "temperature": 0.2, "top_p": 0.2, "max_new_tokens": 2048},
        ),
    )
}


def find_protocol(spec: str) -> PairProtocol:
    """Look up `name` or `name:repeats`."""
    name, _, repeats = spec.partition(":")
    if name not in PROTOCOLS:
        raise unknown("protocol", name, PROTOCOLS)
    protocol = PROTOCOLS[name]
    if not repeats:
        return protocol
    if name != "official" or not repeats.isdigit() or int(repeats) < 1:
        raise HarnessError(f"protocol {spec!r} is not understood.", "Only official takes a number: official:9.")
    return replace(protocol, repeats=int(repeats))
