"""All recipes over several seeds, with paired differences: the tables of recipes/carevl/README.md.

    .venv/bin/python benchmarks/recipes.py --world 0 --seeds 0,1,2,3,4
    .venv/bin/python benchmarks/recipes.py --world 0 --split dev --seeds 0,1 --set dpo.beta=0.2

Runs what is not in the cache (about ten minutes a seed on two cores) and prints Markdown. Seeds are
crossed with items: intervals speak of the recipes, on this world.
"""

import argparse
import json
import subprocess
import sys
from itertools import product
from pathlib import Path

import numpy as np
from tabulate import tabulate

from harness.comparing.comparison import Comparison, compare, format_p
from harness.counting.metrics import METRICS, estimate, of_slice
from harness.counting.results import TaskResult, load_result
from harness.embedded.data import preference_truth
from harness.records import RunFolder
from harness.registry import content_roots, find_recipes, load_recipe, results_root
from harness.resolve import resolve_config
from harness.settings import WorldSettings
from harness.stats.multiplicity import holm

VARIANTS = {
    "smooth-distill": ("distill", ["sft.label_smoothing=0.1"]),
    "distill-matched": ("distill", ["sft.match=carevl"]),
}
"""By the name of a row, a recipe under settings of its own."""
BASELINES = (
    "zero-shot",
    "experts-alone",
    "random-subset",
    "distill",
    "smooth-distill",
    "soft-distill",
    "distill-matched",
    "majority-relabel",
    "dpo-labels",
    "scalar-head",
    "no-captions",
    "high-confidence",
    "rejection-sampling",
    "carevl",
    "oracle",
)
RECIPES = [name for name in BASELINES if name in VARIANTS or name in find_recipes(content_roots())]
REFERENCES = ("distill", "distill-matched", "zero-shot")
QUESTIONS = {
    "what DPO adds beyond the filter": ("carevl", "high-confidence"),
    "filter against a random subset": ("high-confidence", "random-subset"),
    "CAREVL against zero-shot": ("carevl", "zero-shot"),
    "filter against distillation": ("high-confidence", "distill"),
    "what captions add": ("carevl", "no-captions"),
    "filter against the experts' labels": ("high-confidence", "majority-relabel"),
    "teacher's probabilities against its verdicts": ("soft-distill", "distill"),
    "CAREVL short of the oracle": ("carevl", "oracle"),
}


def run(name: str, seeds: str, assignments: list[str]) -> TaskResult:
    """Run a recipe or a variant of one through the command, unless it is done, and count it."""
    recipe, its_own = VARIANTS.get(name, (name, []))
    assignments = [*assignments, *its_own]
    sets = [part for text in assignments for part in ("--set", text)]
    command = [
        "run",
        "--recipe",
        recipe,
        "--baseline",
        "none",
        "--tasks",
        "vlrewardbench",
        "--seeds",
        seeds,
        "--resume",
    ]
    subprocess.run([sys.executable, "-m", "harness", *command, *sets], check=True, stdout=sys.stderr)
    roots = content_roots()
    settings = {"recipe": recipe, "tasks": ["vlrewardbench"], "seeds": [int(s) for s in seeds.split(",")]}
    config = resolve_config(settings, assignments, roots, load_recipe(recipe, roots))
    return load_result(RunFolder(results_root() / "runs" / config.run_name()))


def percent(value: float) -> str:
    """Write a share in percent."""
    return "–" if np.isnan(value) else f"{100 * value:.1f}"


def results_rows(results: dict[str, TaskResult]) -> list[list[str]]:
    """One row a recipe: mean accuracy and its spread over seeds, macro, slices, consistency."""
    rows = []
    for name, result in results.items():
        tallies = list(result.tallies.values())
        seeds = [estimate(METRICS["pair"]["accuracy"], tally) for tally in tallies]
        spread = percent(float(np.std(seeds, ddof=1))) if len(seeds) > 1 else "–"
        metrics = [
            METRICS["pair"]["macro"],
            *(of_slice("pair", s) for s in result.slices),
            METRICS["pair"]["consistency"],
            METRICS["pair"]["coverage"],
        ]
        means = [percent(float(np.mean([estimate(m, t) for t in tallies]))) for m in metrics]
        rows.append([name, percent(float(np.mean(seeds))), spread, *means, " ".join(percent(s) for s in seeds)])
    return rows


def difference(comparison: Comparison) -> list[str]:
    """Write one paired difference of accuracy."""
    got = comparison.headline[0].estimate
    interval = f"[{100 * got.low:+.1f}, {100 * got.high:+.1f}]"
    return [f"{100 * got.value:+.1f}", interval, format_p(got.p)]


def filter_report(result: TaskResult) -> str:
    """Tell what the expert filter kept, against the truth that no stage reads."""
    stage = next(s for s in result.run.stages if s.stage == "split-by-confidence")
    folder = results_root() / "cache" / f"split-by-confidence-{stage.key}"
    high = set(json.loads((folder / "split.json").read_text())["high"])
    truth = preference_truth(WorldSettings.model_validate(result.run.config["world"]))
    right = {name for name, t in truth.items() if t.label_right}
    precision, recall = len(high & right) / len(high), len(high & right) / len(right)
    agreement = ", ".join(percent(a) for a in stage.info["agreement"].values())
    correlation = ", ".join(f"{pair}: {told['phi']:.2f}" for pair, told in stage.info["experts_together"].items())
    return (
        f"The teacher's labels are right on {percent(len(right) / len(truth))} %. The filter keeps "
        f"{percent(len(high) / len(truth))} % of the pairs with precision {percent(precision)} % and recall "
        f"{percent(recall)} %. The experts agree with the label on {agreement} %; their disagreements correlate "
        f"({correlation})."
    )


def main() -> None:
    """Run everything and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--world", type=int, default=0)
    parser.add_argument("--split", default="test")
    parser.add_argument("--seeds", default="0,1,2,3,4")
    parser.add_argument("--recipes", default=",".join(RECIPES))
    parser.add_argument("--set", action="append", default=[])
    options = parser.parse_args()
    assignments = [f"world.seed={options.world}", f"world.split={options.split}", *options.set]
    results = {name: run(name, options.seeds, assignments) for name in options.recipes.split(",")}
    first = next(iter(results.values()))
    header = ["recipe", "accuracy", "sd over seeds", "macro", *first.slices, "consistency", "coverage", "each seed"]
    print(f"World seed {options.world}, {options.split} scenes, {len(first.items)} items, seeds {options.seeds}.\n")
    print(tabulate(results_rows(results), header, tablefmt="github", disable_numparse=True), "\n")
    asked = {pair: text for text, pair in QUESTIONS.items() if set(pair) <= set(results)}
    pairs = list(asked) + [(c, b) for b, c in product(REFERENCES, results) if b in results and c != b]
    family = [pair for i, pair in enumerate(pairs) if pair not in pairs[:i] and pair[::-1] not in pairs[:i]]
    compared = {pair: compare(results[pair[1]], results[pair[0]]) for pair in family}
    adjusted = holm([c.headline[0].estimate.p for c in compared.values()])
    rows = [
        [asked.get((c, b), ""), f"{c} − {b}", *difference(compared[c, b]), format_p(p)]
        for (c, b), p in zip(family, adjusted, strict=True)
    ]
    header = ["question", "difference", "points", "95 % interval", "p", "p (Holm, all rows)"]
    print(tabulate(rows, header, tablefmt="github", disable_numparse=True), "\n")
    if "carevl" in results:
        print(filter_report(results["carevl"]))


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parent.parent))
    main()
