"""What tells runs apart: names, settings, and whether two are one and the same."""

import hashlib
from collections.abc import Container, Sequence
from itertools import combinations
from typing import Any

import numpy as np

from harness.config import differing
from harness.counting.results import TaskResult, label
from harness.protocols import Tally
from harness.records import Run
from harness.settings import SECTIONS


def names_of(results: Sequence[TaskResult]) -> list[str]:
    """Name runs by recipe or model; those that are alike as one types them: by the folder's name, or its path."""
    names = [label(result.run) for result in results]
    for longer in ([result.folder.name for result in results], [str(result.folder.path) for result in results]):
        names = [long if names.count(name) > 1 else name for name, long in zip(names, longer, strict=True)]
    return names


CODE = "the harness's code"


def settings_apart(*runs: Run) -> dict[str, tuple[Any, ...]]:
    """Map the settings that differ between runs to the value of each; None where it has none.

    A section that a recipe does not use sets nothing apart. The hash of the code holds the recipe's own file, so
    between recipes the revision says whether the code is another.
    """
    found = {
        key: values
        for key, values in differing(*(run.config for run in runs)).items()
        if None not in values or not (key in SECTIONS or key.startswith("fingerprints"))
    }
    code = found.pop("fingerprints.code", None)
    if len({run.config.get("recipe") for run in runs}) > 1:
        revisions = tuple(run.revision for run in runs)
        code = revisions if len(set(revisions)) > 1 else None
    return found | ({CODE: code} if code else {})


def same_run(one: TaskResult, other: TaskResult) -> bool:
    """Tell whether two results are of one run: of one folder, or of a copy, such as the baseline it became.

    Two runs that only answered alike are two: their answers took other times, or they have other names.
    """
    paths = [result.folder.path for result in (one, other)]
    if paths[0].resolve() == paths[1].resolve():
        return True
    made = [(result.run.name, result.run.checkpoints) for result in (one, other)]
    given = (result.folder.judgments_path(result.task.task).read_bytes() for result in (one, other))
    return made[0] == made[1] and next(given) == next(given)


def same_answers(one: TaskResult, other: TaskResult) -> tuple[int, int] | None:
    """Find a seed of each under which every question got the same answer, word for word; None if there is none.

    Two trainings that differ in anything rarely end so: it is what copied judgments look like. A judge that says the
    same whatever it is shown does too.
    """
    shared = {item.item_id for item in one.items} & {item.item_id for item in other.items}
    tallies, theirs = one.restricted(shared).tallies, other.restricted(shared).tallies
    seeds = [(a, b) for a, mine in tallies.items() for b, their in theirs.items() if _alike(mine, their)]
    if not seeds:
        return None
    said, said_there = answers(one, shared), answers(other, shared)
    return next(((a, b) for a, b in seeds if said[a] == said_there[b]), None)


def doubled_answers(result: TaskResult) -> tuple[int, int] | None:
    """Find two seeds of a run under which every question got the same answer; None if there are none."""
    pairs = combinations(result.tallies.items(), 2)
    seeds = [(a, b) for (a, one), (b, other) in pairs if _alike(one, other)]
    if not seeds:
        return None
    said = answers(result)
    return next(((a, b) for a, b in seeds if said[a] == said[b]), None)


def _alike(one: Tally, other: Tally) -> bool:
    """Tell whether two tallies of the same items in one order are equal: few are, and only their answers are read."""
    return all(np.allclose(one[name], other[name], equal_nan=True) for name in one.columns)


def answers(result: TaskResult, among: Container[str] | None = None) -> dict[int, str]:
    """Hash the answers that each seed gave: what was shown and the text; P(first) where it is all that was asked for.

    Args:
        result: whose.
        among: ids of the items that count; None are all.
    """
    found = {}
    for seed, judgments in result.judgments().items():
        said = sorted(
            (j.presentation, j.text, str(j.p_first) if result.protocol.weighs else "")
            for j in judgments
            if among is None or j.item_id in among
        )
        found[seed] = hashlib.sha256(repr(said).encode("utf-8", "surrogatepass")).hexdigest()
    return found
