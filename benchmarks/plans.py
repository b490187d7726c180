"""Whether plans hold: what `harness power` says an effect takes, and how often runs of that size then show it.

    .venv/bin/python benchmarks/plans.py --write          (benchmarks/plans.md; a minute or two)

The simulated judges are those of `benchmarks/calibration.py`.
"""

import argparse
import math
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

from benchmarks.calibration import Setting, layout, simulate
from harness.counting.metrics import METRICS, sums
from harness.protocols import Tally
from harness.stats.intervals import jackknife, leave_one_out, paired
from harness.stats.power import design_of, left_open
from harness.stats.sums import Clusters, Sums

PLANS = [Setting(items, gap=0.04, largest=largest) for items in (300, 600) for largest in (6, 40)]


class Planned(NamedTuple):
    """What small runs said an effect takes, and how often runs of that size then showed it."""

    setting: Setting
    """Of the small runs; its gap is the effect."""
    items: float
    """The number in the middle of what the small runs said."""
    quartiles: tuple[float, float]
    shown: float
    """Share of simulated runs of `items` items whose interval told the effect from 0; 80 % was promised."""
    held: float
    """Share of the small runs between whose ends the number lay that their own mean variance asks; 80 % meant."""
    sims: int


def planned(setting: Setting, sims: int, seed: int = 0) -> Planned:
    """Plan from each of `sims` small runs, as `harness power` does, and simulate what was planned."""
    draw = np.random.default_rng([seed, 1000])
    metric = METRICS["pair"]["accuracy"]

    def once(setting: Setting, clusters: Clusters, frame: Tally) -> tuple[Sums, Sums]:
        base, cand = simulate(setting, frame, draw)
        return sums(metric, base, clusters), sums(metric, cand, clusters)

    clusters, frame = layout(setting)
    said, found = [], []
    for _ in range(sims):
        b, c = once(setting, clusters, frame)
        known = design_of(paired(b, c, clusters))
        assert known is not None, "simulated judges differ somewhere"
        of_clusters = [jackknife(leave_one_out(side), clusters).mean(axis=1) for side in (b, c)]
        forms = [known.varied(times) for times in left_open((of_clusters[1] - of_clusters[0]) ** 2)]
        said.append([setting.items * form.needed(setting.gap, "items") for form in forms])
        found.append(known)
    middle = float(np.median([one[0] for one in said]))
    typical = replace(
        found[0], items=found[0].items._replace(variance=float(np.mean([k.items.variance for k in found])))
    )
    asked = setting.items * typical.needed(setting.gap, "items")
    larger = replace(setting, items=round(middle))
    clusters, frame = layout(larger)
    shown = [paired(*once(larger, clusters, frame), clusters).low > 0 for _ in range(sims)]
    low, high = np.percentile([one[0] for one in said], [25, 75])
    held = float(np.mean([low <= asked <= high for _, low, high in said]))
    return Planned(setting, middle, (float(low), float(high)), float(np.mean(shown)), held, sims)


def report_plans(rows: list[Planned]) -> str:
    """Write the table of plans."""
    text = ["`harness power` on small runs with a gap: the items that it says show the gap in 80 % of"]
    text += ["runs (its middle and quartiles over small runs), how often runs of the middle size showed it, and how"]
    text += ["often its range, meant for 80 %, held the number that the mean variance asks.", ""]
    text += ["| small runs | clusters | items said | shown then | in the range |"]
    text += ["| --- | ---: | ---: | ---: | ---: |"]
    for row in rows:
        error = 100 * math.sqrt(row.shown * (1 - row.shown) / row.sims)
        cells = [row.setting.name, len(layout(row.setting)[0])]
        cells += [f"{row.items:,.0f} ({row.quartiles[0]:,.0f} to {row.quartiles[1]:,.0f})"]
        cells += [f"{100 * row.shown:.1f} ± {error:.1f}", f"{100 * row.held:.0f}"]
        text.append(f"| {' | '.join(map(str, cells))} |")
    return "\n".join(text) + "\n"


def main() -> None:
    """Plan and simulate; print or write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sims", type=int, default=1000, help="small runs, and runs of the planned size")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--write", action="store_true", help="write benchmarks/plans.md")
    options = parser.parse_args()
    table = report_plans([planned(setting, options.sims, options.seed) for setting in PLANS])
    print(table)
    if options.write:
        made = f"`benchmarks/plans.py --sims {options.sims} --seed {options.seed} --write`"
        Path(__file__).with_suffix(".md").write_text(f"# Whether plans hold, on simulated runs\n\n{made}\n\n{table}")


if __name__ == "__main__":
    main()
