"""The table of items: every question with its image, both runs' answers, and where they differ first."""

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from string import ascii_uppercase
from typing import Any

import numpy as np

from harness.records import Item, Judgment, Kind, Label
from harness.records.item import PAIRWISE
from harness.show.report.asked import words_of
from harness.show.report.model import Answer, Apart, Items, Row, Side
from harness.show.report.pictures import thumbnails

BUDGET = 24_000_000
"""Characters of text in the table of items; beyond it, texts of further seeds are left out and long ones cut."""


class _Texts:
    """Texts kept once, each by its place."""

    def __init__(self, limit: int | None) -> None:
        self.limit, self.places = limit, dict[str, int]()

    def place(self, text: str) -> int:
        """Return the place of a text, keeping its ends where it is too long."""
        if self.limit is not None and len(text) > self.limit:
            half = self.limit // 2
            text = f"{text[:half]} [… {len(text) - 2 * half:,} characters left out …] {text[-half:]}"
        return self.places.setdefault(text, len(self.places))


def items_table(sides: Sequence[Side], roots: Sequence[Path]) -> Items:
    """Make the table of items, with images drawn again where that can be done."""
    result, *others = (side.result for side in sides)
    figures = [_figures(side) for side in sides]
    lower = result.kind in ("score", "batch")
    gains = {item.item_id: _gain([found.get(item.item_id) for found in figures], lower) for item in result.items}
    # where the two differ most comes first; alone, where the run is furthest from people
    order = sorted(range(len(result.items)), key=lambda i: (-_weight(gains[result.items[i].item_id], bool(others)), i))
    items = [result.items[i] for i in order]
    shown = list(dict.fromkeys(name for item in items for name in _images(item)))
    pictures, no_image = thumbnails(result, shown, roots)
    images = {name: place for place, name in enumerate(name for name in shown if name in pictures)}
    texts, first_only, left_out = _room([t for item in items for t in (item.question, *item.responses)], sides)
    answers = [_answers(side, texts, first_only) for side in sides]
    slices = {name: place for place, name in enumerate(result.slices)}
    rows = [
        Row(
            item.item_id,
            item.source_id,
            slices[item.slice],
            texts.place(item.question),
            [texts.place(response) for response in item.responses],
            _label(item.label, result.kind),
            [images.get(name, -1) for name in _images(item)],
            gains[item.item_id],
            [_number(found.get(item.item_id)) for found in figures],
            [given[item.item_id] for given in answers],
            bool(item.images),
        )
        for item in items
    ]
    heads = [
        {"role": side.role, "name": side.name, "run": side.result.run.name, "seeds": side.seeds} | words_of(side, roots)
        for side in sides
    ]
    return Items(
        result.kind,
        result.task.task,
        heads,
        list(slices),
        list(texts.places),
        [pictures[name] for name in images],
        no_image,
        left_out,
        rows,
    )


def _images(item: Item) -> list[str]:
    """List an item's images, the one before the question first."""
    return [*([item.image_hash] if item.image_hash else []), *item.images]


def apart(items: Items) -> list[Apart]:
    """Count over all items, and by slice, which of two judges is right; empty for a run alone."""
    if len(items.sides) < 2:
        return []
    counted: dict[str, list[int]] = {name: [0, 0, 0, 0] for name in ("", *items.slices)}
    for row in items.rows:
        if row.gain is not None:
            for name in ("", items.slices[row.slice]):
                counted[name][_standing(row, items.kind in PAIRWISE)] += 1
    return [Apart(name or "all items", name, *counts) for name, counts in counted.items() if sum(counts)]


def _standing(row: Row, pairwise: bool) -> int:
    """Tell whether only the candidate (0), only the baseline (1), both (2) or neither (3) is right."""
    if not pairwise:
        return 0 if (row.gain or 0) > 0 else 1 if (row.gain or 0) < 0 else 2
    candidate, baseline = ((figure or 0) > 0.5 for figure in row.figures)
    return 2 if candidate and baseline else 0 if candidate else 1 if baseline else 3


def _room(asked: list[str], sides: Sequence[Side]) -> tuple[_Texts, bool, str]:
    """Decide what texts there is room for: all, or those of the first seed, cut to fit."""
    every = {*asked, *(j.text for side in sides for j in side.judgments)}
    if sum(map(len, every)) <= BUDGET:
        return _Texts(None), False, ""
    first = {*asked, *(j.text for side in sides for j in side.judgments if j.seed == side.seeds[0])}
    limit = max(400, BUDGET // len(first)) if sum(map(len, first)) > BUDGET else None
    said = "To keep this page usable, " + (
        "only the first seed's raw answers are in it" if len(every) > len(first) else "raw answers are in it"
    )
    said += f", and texts longer than {limit:,} characters are cut in the middle" if limit else ""
    return _Texts(limit), True, f"{said}; the whole texts are in the runs' judgments files."


def _figures(side: Side) -> dict[str, float]:
    """Return each item's figure, averaged over seeds: its score, or how far it is from people's."""
    result = side.result
    columns = []
    for tally in result.tallies.values():
        if result.kind == "score":
            columns.append(_mean_over_repeats(np.abs(tally["grade"] - tally["human"][:, None])))
        else:
            columns.append(tally[{"batch": "distance", "best": "best"}.get(result.kind, "score")])
    ids = next(iter(result.tallies.values())).item_ids
    return dict(zip(ids, _mean_over_repeats(np.array(columns).T), strict=True))


def _mean_over_repeats(values: Any) -> Any:
    """Average along the last axis what is there; NaN where nothing is."""
    there = ~np.isnan(values)
    with np.errstate(invalid="ignore"):
        return np.where(there, values, 0).sum(-1) / there.sum(-1)


def _gain(figures: list[float | None], lower: bool) -> float | None:
    """Return candidate minus baseline, or, for a run alone, its figure; higher is better for the candidate."""
    known = [float(figure) for figure in figures if figure is not None and not math.isnan(figure)]
    if not known or len(known) < len(figures):
        return None
    return (-1 if lower else 1) * round(known[0] - (known[1] if len(known) > 1 else 0), 6)


def _weight(gain: float | None, compared: bool) -> float:
    if gain is None:
        return -math.inf
    return abs(gain) if compared else -gain


def _number(value: float | None) -> float | None:
    return None if value is None or math.isnan(value) else round(float(value), 4)


def _answers(side: Side, texts: _Texts, first_only: bool) -> Mapping[str, list[Answer]]:
    found: dict[str, list[Answer]] = defaultdict(list)
    labels = {item.item_id: item.label for item in side.result.items}
    for j in side.judgments:
        kept = not first_only or j.seed == side.seeds[0]
        found[j.item_id].append(
            Answer(
                j.seed,
                "".join(_letter(place) for place in j.order),
                j.repeat,
                _said(j),
                _right(j, labels[j.item_id]),
                None if j.p_first is None else round(j.p_first, 4),
                texts.place(j.text) if kept else -1,
            )
        )
    for answers in found.values():
        answers.sort(key=lambda answer: (answer.seed, answer.repeat, answer.order))
    return found


def _letter(place: int) -> str:
    return ascii_uppercase[place] if place < len(ascii_uppercase) else f"({place + 1})"


def _label(value: Label, kind: Kind) -> str:
    """Write a label as the page speaks: a letter, `tie`, a grade or an order."""
    if isinstance(value, tuple):
        return (", " if kind == "best" else " > ").join(map(_letter, value))
    return _letter(value) if isinstance(value, int) and kind in PAIRWISE else str(value)


def _said(judgment: Judgment) -> str:
    if judgment.chosen is not None:
        return _letter(judgment.chosen)
    if judgment.ranking is not None:
        return " > ".join(map(_letter, judgment.ranking))
    return str(judgment.reading)


def _right(judgment: Judgment, label: Any) -> bool | None:
    if judgment.reading == "tie":
        return bool(label == "tie")
    if isinstance(label, tuple) and judgment.ranking and len(judgment.ranking) == 1:
        return judgment.ranking[0] in label
    return None if judgment.chosen is None or isinstance(label, tuple) else bool(judgment.chosen == label)
