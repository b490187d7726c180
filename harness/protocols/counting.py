"""How judgments are counted: each function makes the columns of a `Tally` out of one seed's judgments.

| column | of | what |
| --- | --- | --- |
| `score` | pairs | 1 right, 0 wrong, or the mean over orders and repeats; NaN where the protocol leaves the item out |
| `weight` | pairs | answers that `score` is the mean of, where a protocol leaves some out; else there is none |
| `low`, `high` | pairs | the score if every answer without a verdict were wrong, and if it were right |
| `consistent` | pairs | 1 if both orders prefer the same response, else 0 |
| `first` | pairs | share of the verdicts that name the response shown first |
| `read` | all | share of the answers in which something was read |
| `all_right` | sets | 1 if every pair of the set is right in every answer; NaN on all but the first pair of a set |
| `untied` | ties | `score` over items on which people do not tie |
| `untied_both` | ties | the same over answers that do not tie either |
| `dropped`, `as_tie` | ties | `score` with unparsed answers left out, or taken for a tie |
| `human`, `grade` | grades | the label, shape [items]; the grades, shape [items, repeats], NaN where unparsed |
| `kept` | grades | `grade` with -1 where unparsed |
| `distance`, `raw` | orders | edit distance to the people's order, over its length and in edits; lower is better |
| `random` | orders | what a random order is expected to get |
| `best` | best | 1 if the right response is liked best, its share if others are liked as much; of ties, `ties_score` |
| `best_low` | best | the same if silence gained nothing: what an answer without a reading is about is wrong |
"""

import math
from collections import defaultdict
from collections.abc import Callable, Sequence
from functools import cache
from itertools import permutations, product
from math import factorial, prod
from typing import Any

import numpy as np
from rapidfuzz.distance import Levenshtein

from harness.protocols.asking import TIES
from harness.protocols.protocol import Tally
from harness.protocols.reading import two_numbers
from harness.records import Item, Judgment

NAN = float("nan")


def _by_item(items: Sequence[Item], judgments: Sequence[Judgment]) -> list[list[Judgment]]:
    grouped: dict[str, list[Judgment]] = defaultdict(list)
    for judgment in judgments:
        grouped[judgment.item_id].append(judgment)
    return [sorted(grouped[item.item_id], key=lambda j: (j.repeat, j.order)) for item in items]


def _mean(values: Sequence[float]) -> float:
    return float(sum(values) / len(values)) if len(values) else NAN


def _tally(items: Sequence[Item], answers: list[list[Judgment]], rows: "list[Row]") -> Tally:
    """Turn a row an item into columns, and add what every kind has."""
    columns = {name: np.array([row[name] for row in rows], dtype=float) for name in (rows[0] if rows else ())}
    columns["read"] = np.array([_mean([j.read for j in group]) if group else 0.0 for group in answers])
    first = [[j.reading == "first" for j in group if j.reading in ("first", "second")] for group in answers]
    columns["first"] = np.array([_mean(group) for group in first])
    return Tally(
        [item.item_id for item in items], [item.slice for item in items], [item.cluster_id for item in items], columns
    )


Row = dict[str, float | list[float]]
"""One item's entries, by column."""


def _pair_row(score: float, low: float, high: float, consistent: float) -> Row:
    return {"score": score, "low": low, "high": high, "consistent": consistent}


def _agree(group: list[Judgment]) -> float:
    """Tell whether all answers prefer one response; NaN unless both orders were asked."""
    if len({j.order for j in group}) < 2:
        return NAN
    chosen = {("tie" if j.reading == "tie" else j.chosen) for j in group}
    return float(None not in chosen and len(chosen) == 1)


def mean_of_answers(items: Sequence[Item], judgments: Sequence[Judgment], repeats: int) -> Tally:
    """Score an item by the mean over its answers; one without a verdict is wrong, so the denominator never moves."""
    answers, rows = _by_item(items, judgments), []
    for item, group in zip(items, answers, strict=True):
        right = _mean([j.chosen == item.label for j in group])
        rows.append(_pair_row(right, right, right + _mean([not j.read for j in group]), _agree(group)))
    return _tally(items, answers, rows)


def directions(items: Sequence[Item], judgments: Sequence[Judgment], repeats: int) -> Tally:
    """Count every answer for itself, and leave those out in which nothing can be read, as MMRB2's scripts do.

    `low` takes an answer that was left out for a wrong one, and `high` for a right one.
    """
    answers, rows = _by_item(items, judgments), []
    for item, group in zip(items, answers, strict=True):
        right, unread = [j.chosen == item.label for j in group], [not j.read for j in group]
        counted = [good for good, lost in zip(right, unread, strict=True) if not lost]
        row = _pair_row(_mean(counted), _mean(right), _mean(right) + _mean(unread), _agree(group))
        rows.append({**row, "weight": float(len(counted))})
    return _tally(items, answers, rows)


def with_sets(count: Callable[[Sequence[Item], Sequence[Judgment], int], Tally]) -> Any:
    """Count pairs as `count` does, and their sets whole: a set is right if all of its pairs are (Acc+ of MM-RLHF)."""

    def counted(items: Sequence[Item], judgments: Sequence[Judgment], repeats: int) -> Tally:
        tally = count(items, judgments, repeats)
        sets: dict[str, list[int]] = defaultdict(list)
        for place, name in enumerate(tally.clusters):
            # a pair of which no set is known is one by itself
            sets[name or f"{place}"].append(place)
        whole = np.full(len(tally.item_ids), NAN)
        for places in sets.values():
            whole[places[0]] = float((tally["score"][places] == 1).all())
        tally.columns["all_right"] = whole
        return tally

    return counted


def summed_scores(items: Sequence[Item], judgments: Sequence[Judgment], repeats: int) -> Tally:
    """Add up each response's scores over both orders; the right one needs more than the other (VLRMBench).

    Equal sums are wrong, and an answer without scores counts as none for both.
    """
    answers, rows = _by_item(items, judgments), []
    for item, group in zip(items, answers, strict=True):
        sums = [0, 0]
        for judgment in group:
            for place, score in zip(judgment.order, two_numbers(judgment.text), strict=True):
                sums[place] += score
        assert isinstance(item.label, int), "a pair's label is the better response"
        right = float(sums[item.label] > sums[1 - item.label])
        unread = _mean([not j.read for j in group])
        rows.append(_pair_row(right, right if not unread else 0.0, right if not unread else 1.0, _agree(group)))
    return _tally(items, answers, rows)


def majority(items: Sequence[Item], judgments: Sequence[Judgment], repeats: int) -> Tally:
    """Take the majority of the first `repeats` votes; one that is unparsed or split is left out.

    As the authors' cal.py classifies: right if right votes exceed half of K, wrong if wrong votes
    do, else in neither numerator nor denominator. A vote for an answer that is neither 1 nor 2 is
    right there, whatever the label: only the rejected answer's number is looked for. `low` counts neither such votes
    nor items that are left out.
    """
    answers, rows = [group[:repeats] for group in _by_item(items, judgments)], []
    for item, group in zip(items, answers, strict=True):
        right = sum(j.chosen == item.label or j.number is not None for j in group)
        wrong = sum(j.chosen is not None and j.chosen != item.label for j in group)
        half = len(group) / 2
        score = 1.0 if right > half else 0.0 if wrong > half else NAN
        low = float(sum(j.chosen == item.label for j in group) > half)
        rows.append(_pair_row(score, low, 1.0 if np.isnan(score) else score, NAN))
    return _tally(items, answers, rows)


def coin(items: Sequence[Item], judgments: Sequence[Judgment], repeats: int) -> Tally:
    """Count one answer an item, and one without a verdict as the expectation of a coin, one half."""
    answers, rows = _by_item(items, judgments), []
    for item, group in zip(items, answers, strict=True):
        right, open_ = _mean([j.chosen == item.label for j in group]), _mean([not j.read for j in group])
        rows.append(_pair_row(right + open_ / 2, right, right + open_, NAN))
    return _tally(items, answers, rows)


def probability(items: Sequence[Item], judgments: Sequence[Judgment], repeats: int) -> Tally:
    """Prefer the response with the larger P(better), averaged over both orders; equal ones are half right.

    An answer without a probability counts as one that is sure of the wrong response, lest leaving some out raise a
    figure; `low` and `high` say what it could have been.
    """
    answers, rows = _by_item(items, judgments), []
    for item, group in zip(items, answers, strict=True):
        known = [j.p_first if j.order[0] == item.label else 1 - j.p_first for j in group if j.p_first is not None]
        sums = [sum(known) + missing for missing in (0, len(group) - len(known))]
        low, high = (
            NAN if not group else 0.5 if mean == 0.5 else float(mean > 0.5)
            for mean in (s / max(1, len(group)) for s in sums)
        )
        rows.append(_pair_row(low, low, high, _agree(group)))
    return _tally(items, answers, rows)


def probability_after_words(items: Sequence[Item], judgments: Sequence[Judgment], repeats: int) -> Tally:
    """Do the same with the probabilities that stood behind written verdicts; one of an unread answer is none."""
    written = [j if j.read else j.model_copy(update={"p_first": None}) for j in judgments]
    return probability(items, written, repeats)


def with_ties(items: Sequence[Item], judgments: Sequence[Judgment], repeats: int) -> Tally:
    """Score an item by the mean over its answers, ties included, under every published reading.

    The published readings differ in what becomes of ties and of unparsed answers: the authors'
    notebook leaves out records where people or the judge tie, Flex-Judge only where people do; the
    notebook leaves unparsed answers out, Flex-Judge counts them as ties.
    """
    answers, rows = _by_item(items, judgments), []
    for item, group in zip(items, answers, strict=True):
        said = ["tie" if j.reading == "tie" else j.chosen if j.read else "unparsed" for j in group]
        right = _mean([what == item.label for what in said])
        row = _pair_row(right, right, right + _mean([what == "unparsed" for what in said]), _agree(group))
        tied = item.label == "tie"
        row["untied"] = NAN if tied else right
        row["untied_both"] = NAN if tied else _mean([what == item.label for what in said if what != "tie"])
        row["dropped"] = _mean([what == item.label for what in said if what != "unparsed"])
        row["as_tie"] = _mean([("tie" if what == "unparsed" else what) == item.label for what in said])
        rows.append(row)
    return _tally(items, answers, rows)


def grades(items: Sequence[Item], judgments: Sequence[Judgment], repeats: int) -> Tally:
    """Keep each repeat's grade beside the label; their correlation is taken over items."""
    answers, rows = _by_item(items, judgments), list[Row]()
    for item, group in zip(items, answers, strict=True):
        given: list[float] = [NAN if j.number is None else j.number for j in group[:repeats]]
        given += [NAN] * (repeats - len(given))
        assert isinstance(item.label, int), "a graded item's label is a grade"
        rows.append({"human": float(item.label), "grade": given, "kept": [-1.0 if np.isnan(g) else g for g in given]})
    return _tally(items, answers, rows)


def edits(one: Sequence[int], other: Sequence[int]) -> int:
    """Return the Levenshtein distance of two orders: insertions, deletions and substitutions, each 1."""
    return int(Levenshtein.distance(one, other))


@cache
def random_distance(length: int) -> float:
    """Return the normalised distance that a random order of `length` responses is expected to have."""
    return _mean([edits(order, range(length)) for order in _orders_of([range(length)])]) / length


MOST_ORDERS = 5040
"""Orders that are looked at one by one: all of seven responses."""


def _orders_of(levels: Sequence[Sequence[int]]) -> list[tuple[int, ...]]:
    """List every order of responses that are tied within levels, best level first; of very many, as many drawn ones."""
    if prod(factorial(len(level)) for level in levels) <= MOST_ORDERS:
        return [sum(parts, ()) for parts in product(*(permutations(level) for level in levels))]
    draw = np.random.default_rng(len(levels))
    return [tuple(int(p) for level in levels for p in draw.permutation(level)) for _ in range(MOST_ORDERS)]


def _ranking_row(label: tuple[int, ...], raw: float) -> Row:
    return {"distance": raw / len(label), "raw": raw, "random": random_distance(len(label))}


def orders(items: Sequence[Item], judgments: Sequence[Judgment], repeats: int) -> Tally:
    """Compare each order that was read with the people's; unparsed ones are left out, as the authors' notebook does."""
    answers, rows = _by_item(items, judgments), []
    for item, group in zip(items, answers, strict=True):
        assert isinstance(item.label, tuple), "a ranked item's label is an order"
        label = item.label
        rows.append(_ranking_row(label, _mean([edits(j.ranking, label) for j in group if j.ranking is not None])))
    return _tally(items, answers, rows)


def wins(items: Sequence[Item], judgments: Sequence[Judgment], repeats: int) -> Tally:
    """Order responses by their wins over the others; a comparison without a winner is half a win for each.

    Responses with equal wins are tied, and the distance is the mean over every order of the tied
    ones: neither a draw nor the order of the file decides. An item of which nothing was read is left out.
    """
    answers, rows = _by_item(items, judgments), []
    for item, group in zip(items, answers, strict=True):
        assert isinstance(item.label, tuple), "a ranked item's label is an order"
        label, points = item.label, _wins(item, group)
        tied = [[p for p, own in enumerate(points) if own == level] for level in sorted(set(points), reverse=True)]
        raw = _mean([edits(order, label) for order in _orders_of(tied)]) if any(j.read for j in group) else NAN
        rows.append(_ranking_row(label, raw))
    return _tally(items, answers, rows)


UNRATED = -1.0
"""What a response counts whose rating cannot be read: less than any rating, as RewardBench 2's script has it."""

Chosen = Callable[[Sequence[int], list[Judgment]], float]
"""(places that are right, answers) to an item's figure."""
Sides = tuple[list[float], list[float]]
"""The scores of the right responses of an item, and of the wrong ones."""
LEAST = -0.01
"""The least score of a set of ties."""


def _best(
    items: Sequence[Item], answers: list[list[Judgment]], scores: list[list[float]], chosen: Chosen | None = None
) -> Tally:
    """Count best-of items: by their responses' scores, or by what was chosen of them where that is given.

    Items of `TIES` are always counted by scores, a set at a time: its figure is on the row with several right
    responses, and the other row has none.
    """
    rows, sets = list[Row](), defaultdict[str | None, dict[bool, tuple[Row, Sides, bool]]](dict)
    for item, group, given in zip(items, answers, scores, strict=True):
        right, silent = _right(item), not all(j.read for j in group)
        row: Row = {"best": NAN, "best_low": NAN}
        if item.slice == TIES:
            sides = [given[p] for p in right], [given[p] for p in range(len(given)) if p not in right]
            sets[item.cluster_id][len(right) > 1] = row, sides, silent
        elif chosen:
            row["best"], row["best_low"] = chosen(right, group), _picked_right(right, group)
        else:
            row["best"] = liked_best(given, right)
            row["best_low"] = 0.0 if silent else row["best"]
        rows.append(row)
    for both in sets.values():
        if len(both) == 2:
            (_, lone, one), (row, tied, other) = both[False], both[True]
            row["best"] = ties_score(lone, tied)
            row["best_low"] = LEAST if one or other else row["best"]
    return _tally(items, answers, rows)


def _picked_right(right: Sequence[int], group: list[Judgment]) -> float:
    """Return the share of the answers that pick a right response; one without a pick is wrong."""
    return _mean([j.ranking is not None and j.ranking[0] in right for j in group])


def _right(item: Item) -> tuple[int, ...]:
    assert isinstance(item.label, tuple), "a best-of item's label is the places that are right"
    return item.label


def liked_best(scores: Sequence[float], right: Sequence[int]) -> float:
    """Return the share of the right responses among those with the highest score (RewardBench 2).

    Where no score could be read, a pick is as good as chance.
    """
    most = max(scores)
    liked = [place for place, score in enumerate(scores) if score == most]
    return sum(place in right for place in liked) / len(liked)


def ties_score(lone: Sides, tied: Sides) -> float:
    """Score a set of RewardBench 2's ties: an item with one right response, and one with several.

    The margin of an item is how far its worst right response is above its best wrong one, and the spread how far the
    right responses of the second lie apart. Of the score, 0.3 each is for a margin above zero, 0.2 each for the second
    margin, and for both, above the spread, and 0.01 for how far: from -0.01 to 1.01.
    """
    margins = [min(right) - max(wrong) for right, wrong in (lone, tied)]
    spread, least = max(tied[0]) - min(tied[0]), min(margins)
    # Python has no quotient by zero; the script's is 0 where both are zero, and endless elsewhere
    far = math.tanh(least / spread - 1) if spread else float(np.sign(least))
    told = 0.3 * (margins[0] > 0) + 0.3 * (margins[1] > 0) + 0.2 * (margins[1] > spread) + 0.2 * (least > spread)
    return told + 0.01 * far


def _given(item: Item, group: list[Judgment]) -> list[float]:
    """Return the numbers that were read of an item's responses, shown one by one."""
    read = {j.order[0]: float(j.number) for j in group if len(j.order) == 1 and j.number is not None}
    return [read.get(place, UNRATED) for place in range(len(item.responses))]


def rated(items: Sequence[Item], judgments: Sequence[Judgment], repeats: int) -> Tally:
    """Like the response best whose rating or reward is the highest; equal ones share."""
    answers = _by_item(items, judgments)
    return _best(items, answers, [_given(*each) for each in zip(items, answers, strict=True)])


def picked(items: Sequence[Item], judgments: Sequence[Judgment], repeats: int) -> Tally:
    """Score an item by the mean over its answers, each a pick among all responses; one without a pick is wrong."""
    return _picked(items, judgments, _picked_right)


def picked_or_chance(items: Sequence[Item], judgments: Sequence[Judgment], repeats: int) -> Tally:
    """Do the same, and count an answer without a pick as one in as many as there are responses (RewardBench 2)."""

    def chosen(right: Sequence[int], group: list[Judgment]) -> float:
        return _mean([j.ranking[0] in right if j.ranking else 1 / len(j.order) for j in group])

    return _picked(items, judgments, chosen)


def _picked(items: Sequence[Item], judgments: Sequence[Judgment], chosen: Chosen) -> Tally:
    answers = _by_item(items, judgments)
    return _best(items, answers, [_given(*each) for each in zip(items, answers, strict=True)], chosen)


def most_wins(items: Sequence[Item], judgments: Sequence[Judgment], repeats: int) -> Tally:
    """Like the response best that wins most; a comparison without a winner is half a win for each."""
    answers = _by_item(items, judgments)
    return _best(items, answers, [_wins(*each) for each in zip(items, answers, strict=True)])


def _wins(item: Item, group: list[Judgment]) -> list[float]:
    points = [0.0] * len(item.responses)
    for judgment in group:
        for place in judgment.order:
            points[place] += 0.5 if judgment.chosen is None else float(place == judgment.chosen)
    return points
