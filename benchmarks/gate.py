"""Chooses margin and size of the gate in `.ci/run`, by simulation from the committed CAREVL run.

    .venv/bin/python benchmarks/gate.py            # prints; --write keeps it in benchmarks/gate.md

Method. The unchanged recipe is one of the committed seeds, held out as the candidate, against the others:
it answers as the recipe does under a seed that the baseline has not seen. Each trial draws the held-out
seed, and images (clusters) with replacement until there are so many items. Five seeds tell little of
how far seeds spread, so that the trial is repeated with every seed's answers shifted by a normal draw that
brings the spread over seeds to a given size. A loss is a shift of the candidate's answers. What is counted is
the verdict of the very code of the gate (`harness.decide.gate.rule`).
"""

import argparse
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
from tabulate import tabulate

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

from harness.comparing.comparison import compare  # noqa: E402
from harness.counting.metrics import METRICS, estimate  # noqa: E402
from harness.counting.results import TaskResult, load_result  # noqa: E402
from harness.decide.gate import Terms, Verdict, rule  # noqa: E402
from harness.protocols import Tally  # noqa: E402
from harness.records import Item, RunFolder  # noqa: E402

MARGIN, ITEMS = 0.035, 1250
"""What `.ci/run` asks."""
MARGINS = (0.02, 0.03, 0.035, 0.04)
SIZES = (400, 800, 1250)
LOSSES = (0.0, 0.02, 0.03, 0.04, 0.05, 0.08)
METRIC = METRICS["pair"]["accuracy"]


def spread(result: TaskResult) -> float:
    """Return the standard deviation of accuracy over seeds."""
    return float(np.std([estimate(METRIC, tally) for tally in result.tallies.values()], ddof=1))


def drawn(result: TaskResult, size: int, rng: np.random.Generator) -> TaskResult:
    """Draw images with replacement until there are `size` items; a repeated image is another image."""
    clusters: dict[str | None, list[int]] = {}
    for place, item in enumerate(result.items):
        clusters.setdefault(item.cluster_id, []).append(place)
    groups = list(clusters.values())
    places: list[int] = []
    names: list[str] = []
    while len(places) < size:
        group = groups[rng.integers(len(groups))]
        names += [f"image {len(places)}"] * len(group)
        places += group
    items = [
        result.items[place].model_copy(update={"item_id": f"{i:06}", "cluster_id": name})
        for i, (place, name) in enumerate(zip(places, names, strict=True))
    ]
    return replace(result, items=items, tallies={seed: _rows(t, places, items) for seed, t in result.tallies.items()})


def _rows(tally: Tally, places: list[int], items: list[Item]) -> Tally:
    return Tally(
        [item.item_id for item in items],
        [item.slice for item in items],
        [item.cluster_id for item in items],
        {name: values[places] for name, values in tally.columns.items()},
    )


def shifted(tally: Tally, by: float) -> Tally:
    """Make a judge's score on every item greater by `by`."""
    return replace(tally, columns=tally.columns | {"score": tally["score"] + by})


def trials(
    result: TaskResult, size: int, sd: float | None, loss: float, count: int, rng: np.random.Generator
) -> list[tuple[float, float]]:
    """Return the interval of each trial, with the seeds as they are or spread to `sd`."""
    extra = 0.0 if sd is None else max(0.0, sd**2 - spread(result) ** 2) ** 0.5
    found = []
    for _ in range(count):
        here = drawn(result, size, rng)
        held_out = int(rng.choice(list(here.tallies)))
        shift = {seed: rng.normal(0, extra) - loss * (seed == held_out) for seed in here.tallies}
        tallies = {seed: shifted(tally, shift[seed]) for seed, tally in here.tallies.items()}
        candidate = replace(here, tallies={held_out: tallies.pop(held_out)})
        got = compare(replace(here, tallies=tallies), candidate).headline[0].estimate
        found.append((got.low, got.high))
    return found


def verdicts(intervals: list[tuple[float, float]], margin: float) -> Counter[Verdict]:
    """Count the verdicts on intervals."""
    return Counter(rule(low, high, Terms(margin)) for low, high in intervals)


def percent(part: int, whole: int) -> str:
    """Write a share of trials in percent."""
    return f"{100 * part / whole:.1f}"


def report(result: TaskResult, count: int, seed: int) -> str:
    """Simulate, and write the tables."""
    rng = np.random.default_rng(seed)
    own = spread(result)
    spreads = {f"{100 * own:.2f}, as measured": None, "0.80": 0.008, "1.00": 0.01}
    seeds = len(result.tallies)
    passing, losing = [], []
    for size in SIZES:
        for name, sd in spreads.items():
            got = trials(result, size, sd, 0.0, count, rng)
            shares = [percent(verdicts(got, margin)[Verdict.PASS], count) for margin in MARGINS]
            passing.append([size, name, *shares])
    for loss in LOSSES:
        told = verdicts(trials(result, ITEMS, 0.008, loss, count, rng), MARGIN)
        kinds = (Verdict.PASS, Verdict.REGRESSION, Verdict.INCONCLUSIVE)
        losing.append([f"{100 * loss:.0f}", *(percent(told[kind], count) for kind in kinds)])
    head = ["items", "spread over seeds, points", *(f"margin {100 * margin:g}" for margin in MARGINS)]
    described = " ".join((__doc__ or "").partition("Method. ")[2].split())
    each = ", ".join(f"{100 * estimate(METRIC, tally):.1f}" for tally in result.tallies.values())
    return "\n".join(
        [
            "# Margin and size of the gate in CI",
            "",
            f"Made by `.venv/bin/python benchmarks/gate.py --write`: {count} trials a row, seed {seed}, from the "
            f"committed run {result.run.name} (embedded synthetic world, {len(result.items)} items, {seeds} seeds: "
            f"{each}).",
            "",
            f"{described}",
            "",
            "## How often an unchanged recipe passes, in percent",
            "",
            tabulate(passing, head, tablefmt="github", disable_numparse=True),
            "",
            f"`.ci/run` asks {ITEMS} items, one seed against {seeds}, with a margin of {100 * MARGIN:g} points. "
            "0.8 points is more than any world has shown in float32 "
            "(0.7, `recipes/carevl/README.md`); the trials are harder than CI, whose images stay the same and "
            "whose baseline has one seed more. Chance moves a share near 95 by about one point.",
            "",
            f"## What that gate says of a recipe that is worse (margin {100 * MARGIN:g}, {ITEMS} items, spread 0.80)",
            "",
            tabulate(
                losing,
                ["worse by, points", "0 pass", "1 regression", "3 inconclusive"],
                tablefmt="github",
                disable_numparse=True,
            ),
            "",
            "Both 1 and 3 stop CI.",
            "",
        ]
    )


def main() -> None:
    """Simulate and print, or keep in the file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", type=Path, default=ROOT / "results/baselines/carevl")
    parser.add_argument("--trials", type=int, default=500)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--write", action="store_true", help="keep the tables in benchmarks/gate.md")
    options = parser.parse_args()
    text = report(load_result(RunFolder(options.run)), options.trials, options.seed)
    print(text)
    if options.write:
        Path(__file__).with_suffix(".md").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
