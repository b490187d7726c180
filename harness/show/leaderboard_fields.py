"""A leaderboard for programs: JSON of named fields, which docs/json.md describes."""

from collections.abc import Mapping, Sequence
from typing import Any

from harness.comparing.fields import strict, task_fields
from harness.counting.cache import Cache, Counted
from harness.counting.metrics import primary
from harness.counting.results import label
from harness.records.published import PublishedRow
from harness.show.contamination import contamination_of
from harness.show.leaderboard import base_model, best_of, metrics_of, ranked, sections
from harness.stats.ranking import Rank

SCHEMA = "harness-leaderboard/1"


def fields(
    found: Mapping[str, Sequence[Counted]],
    published: Mapping[str, Sequence[PublishedRow]],
    left_out: Sequence[str],
    cache: Cache,
) -> str:
    """Write the tables of a leaderboard.

    Args:
        found: counted runs by task.
        published: what others printed, by task; in no order of merit.
        left_out: why runs were left out.
        cache: ranks and remembers.
    """
    return strict(
        {
            "schema": SCHEMA,
            "tables": [_table(runs, cache) for runs in sections(found)],
            "published": [
                # what was printed stays text, with its decimals
                {**row.model_dump(mode="json"), "figures": [{"name": n, "printed": f} for n, f in row.figures.items()]}
                for rows in published.values()
                for row in rows
            ],
            "left_out": list(left_out),
        }
    )


def _table(runs: Sequence[Counted], cache: Cache) -> dict[str, Any]:
    runs, ranks = ranked(runs, cache)
    best = {metric: best_of(metric, runs, cache) for metric in metrics_of(runs)}
    return {
        "task": task_fields(runs[0].result),
        "items": len(runs[0].result.items),
        "metric": primary(runs[0].result.kind).name,
        "lower_is_better": primary(runs[0].result.kind).lower_is_better,
        "rows": [_row(i, runs[i], ranks[i] if ranks else None, best) for i in range(len(runs))],
    }


def _row(place: int, counted: Counted, rank: Rank | None, best: Mapping[Any, set[int]]) -> dict[str, Any]:
    result = counted.result
    run = result.run
    return {
        "run": run.name,
        "path": str(result.folder.path),
        "recipe": label(run),
        "profile": run.config.get("profile"),
        "base_model": base_model(run),
        "seeds": list(result.tallies),
        "best_rank": rank.low if rank else None,
        "worst_rank": rank.high if rank else None,
        "ties": rank.group if rank else None,
        "contamination": contamination_of(run, result.task).sentence or None,
        "figures": [
            {
                "name": metric.name,
                "kind": "headline" if metric.slice is None else "slice",
                "unit": "share" if metric.percent else metric.unit,
                "value": counted.figures[metric].value,
                "low": counted.figures[metric].low,
                "high": counted.figures[metric].high,
                "among_the_best": place in best[metric],
            }
            for metric in best
            if metric in counted.figures
        ],
    }
