"""Comparisons and plans for programs: JSON of named fields, which docs/json.md describes.

A share is a number from 0 to 1, a difference of shares is one too, and what cannot be told is null: never NaN.
"""

import json
import math
from collections.abc import Sequence
from typing import Any

from harness.comparing.comparison import Comparison, Difference, bootstrap_interval
from harness.comparing.findings import remarks
from harness.comparing.power import design, needs, plan, seeds_of, what_if
from harness.counting.results import TaskResult, label
from harness.stats.power import POWER, chance_to_show

COMPARE, POWER_PLAN = "harness-compare/1", "harness-power/1"
"""The schemas; another number where a field changes its meaning or goes."""


def strict(record: dict[str, Any]) -> str:
    """Write JSON that every parser reads: what is no number is null."""
    return json.dumps(_known(record), indent=1, allow_nan=False) + "\n"


def _known(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _known(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_known(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def comparisons(found: Sequence[Comparison], correction: str, bootstrap: bool = False) -> str:
    """Write several candidates against one baseline.

    Args:
        found: a comparison a candidate.
        correction: over the candidates, `holm` or `bh`.
        bootstrap: whether the BCa bootstrap's interval is reckoned too.
    """
    first = found[0]
    return strict(
        {
            "schema": COMPARE,
            "task": task_fields(first.candidate),
            "level": first.level,
            "correction": correction if len(found) > 1 else None,
            "baseline": side(first.baseline, first.names[0]),
            "comparisons": [_comparison(one, bootstrap) for one in found],
        }
    )


def _comparison(one: Comparison, bootstrap: bool) -> dict[str, Any]:
    ledger, only = one.ledger, one.mcnemar
    return {
        "candidate": side(one.candidate, one.names[1]),
        "verdict": one.headline[0].verdict,
        "sentence": one.sentence(),
        "items": one.items,
        "unmatched": one.unmatched,
        "same_run": one.same_run,
        "one_seed": one.one_seed,
        "other_words": one.other_words,
        "metrics": [*_metrics(one, bootstrap)],
        "per_seed": [
            {"seed": seed, "baseline": base, "candidate": cand, "difference": cand - base}
            for seed, base, cand in one.per_seed
        ],
        "unparsed": {"baseline": ledger.baseline_unparsed, "candidate": ledger.candidate_unparsed},
        "left_out": {"baseline": ledger.baseline_left_out, "candidate": ledger.candidate_left_out},
        "mcnemar": {"baseline_only": only[0], "candidate_only": only[1], "p": only[2]} if only else None,
        "correlation": one.correlation,
        "bounds": dict(zip(("low", "high"), one.bounds, strict=True)) if one.bounds else None,
        "settings": [{"setting": key, "baseline": a, "candidate": b} for key, (a, b) in one.settings.items()],
        "remarks": remarks(one),
    }


def _metrics(one: Comparison, bootstrap: bool) -> list[dict[str, Any]]:
    found = []
    for difference in one.differences:
        ends = bootstrap_interval(one, difference.metric) if bootstrap else None
        beside = {"bootstrap": dict(zip(("low", "high"), ends, strict=True)) if ends else None}
        found.append(metric_fields(one, difference) | beside)
    return found


def plan_fields(comparison: Comparison, difference: Difference, effect: float) -> str:
    """Write the plan of how to tell a true difference of `effect` from none.

    Raises:
        HarnessError: as `plan` does.
    """
    _, told = plan(comparison, difference, effect)
    known = design(comparison, difference)
    found, asked, seeds = needs(comparison, difference, known, effect), comparison.items, seeds_of(comparison)
    repeats = comparison.candidate.protocol.repeats
    middle, low, high = found.items if found else (1.0, 1.0, 1.0)
    both = found.both if found else 1.0
    more_repeats = _needed(repeats, found.repeats if found else 1.0)
    if not comparison.candidate.protocol.varies:
        more_repeats["state"] = "the same answers again"
    task = comparison.candidate.task
    return strict(
        {
            "schema": POWER_PLAN,
            "task": task_fields(comparison.candidate),
            "baseline": side(comparison.baseline, comparison.names[0]),
            "candidate": side(comparison.candidate, comparison.names[1]),
            "metric": metric_fields(comparison, difference),
            "effect": effect,
            "power": POWER,
            "chance": chance_to_show(effect, known, difference.level),
            "enough": found is None,
            "items": {
                "asked": asked, "in_data": task.data_items,
                **_needed(asked, middle), "low": _whole(asked * low), "high": _whole(asked * high),
            },
            "repeats": {"asked": repeats, **more_repeats},
            "seeds": {"asked": seeds, **_needed(seeds, found.seeds if found else 1.0)},
            "items_and_seeds": {
                **_state(both), "items": _whole(asked * both), "seeds": _whole(seeds * both),
            },
            "what_if": [
                {"items": items, "seeds": number, "detectable": figure}
                for items, figures in what_if(comparison, difference, known)
                for number, figure in figures.items()
            ],
            "sentences": told,
        }
    )  # fmt: skip


def _state(times: float) -> dict[str, str]:
    """Say in a word why a number is needed, or why there is none."""
    if math.isnan(times):
        return {"state": "not known"}
    return {"state": "no number is enough" if math.isinf(times) else "enough" if times <= 1 else "more"}


def _needed(there: int, times: float) -> dict[str, Any]:
    return _state(times) | {"needed": _whole(there * times)}


def _whole(number: float) -> float:
    return math.ceil(number) if math.isfinite(number) else number


def task_fields(result: TaskResult) -> dict[str, Any]:
    """Say what was asked."""
    task = result.task
    names = ("protocol", "protocol_version", "reader", "data", "data_fingerprint", "data_items", "synthetic")
    return {"name": task.task, **{name: getattr(task, name) for name in names}}


def side(result: TaskResult, name: str) -> dict[str, Any]:
    """Say which run a side of a comparison is."""
    run = result.run
    return {
        "name": name,
        "run": run.name,
        "path": str(result.folder.path),
        "recipe": label(run),
        "seeds": list(result.tallies),
        "revision": run.revision,
        "checkpoints": run.checkpoints,
    }


def metric_fields(comparison: Comparison, difference: Difference) -> dict[str, Any]:
    """Give a difference with what it rests on."""
    metric, got = difference.metric, difference.estimate
    shared = {item.item_id for item in comparison.baseline.items}
    items = [item for item in comparison.candidate.items if item.item_id in shared]
    return {
        "name": metric.name,
        "kind": "headline" if metric.slice is None else "slice",
        "unit": "share" if metric.percent else metric.unit,
        "lower_is_better": metric.lower_is_better,
        "baseline": difference.baseline,
        "candidate": difference.candidate,
        "difference": got.value,
        "error": got.error,
        "low": got.low,
        "high": got.high,
        "level": difference.level,
        "p": got.p,
        "adjusted_p": difference.adjusted_p,
        "verdict": difference.verdict,
        "detectable": difference.detectable,
        "items": sum(metric.slice in (None, item.slice) for item in items),
        "clusters": difference.clusters,
    }
