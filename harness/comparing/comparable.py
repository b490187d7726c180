"""Which two runs may be compared, and on which items; what forbids it is one line."""

import numpy as np

from harness.counting.metrics import Metric
from harness.counting.results import TaskResult
from harness.errors import HarnessError
from harness.protocols.forms import OWN
from harness.records import Item
from harness.records.inventory import limited

OTHER_PROMPTS = "A judge may bring words of its own: --other-prompts compares them all the same."


def other_words(baseline: TaskResult, candidate: TaskResult) -> bool:
    """Tell whether two runs are known to have been asked in different words."""
    asked = [set(side.task.prompts.values()) for side in (baseline, candidate)]
    return all(asked) and asked[0] != asked[1]


def check_comparable(baseline: TaskResult, candidate: TaskResult, other_prompts: bool) -> None:
    """Refuse runs that were not asked the same in the same way."""
    for what, field_name in (
        ("task", "task"),
        ("kind of task", "kind"),
        ("data", "data_fingerprint"),
        ("protocol", "protocol"),
        ("protocol version", "protocol_version"),
        ("reader", "reader"),
        ("whether the data are synthetic", "synthetic"),
    ):
        one, other = getattr(baseline.task, field_name), getattr(candidate.task, field_name)
        # the form in which a judge writes its verdict belongs to its words
        of_its_own = field_name == "reader" and OWN in (one, other)
        if one != other and not (of_its_own and other_prompts):
            raise HarnessError(
                f"{baseline.folder.name} and {candidate.folder.name} differ in {what}: {one} and {other}.",
                OTHER_PROMPTS if of_its_own else "Runs are compared on the same data under the same protocol.",
            )
    if not other_prompts and other_words(baseline, candidate):
        one, other = ("+".join(sorted(set(side.task.prompts.values()))) for side in (baseline, candidate))
        raise HarnessError(
            f"{baseline.folder.name} and {candidate.folder.name} differ in prompt: {one} and {other}.",
            OTHER_PROMPTS,
        )


def check_countable(metric: Metric, *sides: TaskResult) -> None:
    """Refuse a side of which the protocol counts nothing, under some seed."""
    for side in sides:
        if np.isnan(side.sums(metric).per_seed).any():
            raise HarnessError(
                f"{side.folder.name} has no {metric.unit}: {side.protocol.spec} leaves out every item, as where "
                "nothing could be read in the answers.",
                "`harness report` shows the answers; a protocol that counts unparsed ones as wrong tells more.",
            )


def check_drawn(baseline: TaskResult, candidate: TaskResult, shared: set[str]) -> None:
    """Refuse items that no limit leaves: where one run asked fewer, they are the other's, drawn by their hash."""
    fewer, more = sorted((baseline, candidate), key=lambda side: len(side.items))
    if {item.item_id for item in limited(more.items, len(fewer.items))} != {item.item_id for item in fewer.items}:
        raise HarnessError(
            f"{baseline.folder.name} and {candidate.folder.name} hold other items: {len(shared)} are in both, "
            f"{len(baseline.items) - len(shared)} only in the first and {len(candidate.items) - len(shared)} only in "
            f"the second, and no --limit leaves those of {fewer.folder.name}.",
            "Run both on the same items.",
        )


def check_items(base: TaskResult, cand: TaskResult) -> None:
    """Refuse items that have one name and are not the same; one side alone may not know its images."""
    for one, other in zip(base.items, cand.items, strict=True):
        if None in (one.cluster_id, other.cluster_id):
            one, other = (item.model_copy(update={"cluster_id": None}) for item in (one, other))
        if one != other:
            apart = [name for name in Item.model_fields if getattr(one, name) != getattr(other, name)]
            values = " and ".join(repr(getattr(item, apart[0])) for item in (one, other))
            runs = f"{base.folder.name} and {cand.folder.name}"
            raise HarnessError(
                f"{runs} differ in the {apart[0]} of item {one.item_id!r}: {values}.",
                "One of the two was edited: restore it, or run again on the same data.",
            )
