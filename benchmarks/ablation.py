"""What each choice of CAREVL is worth: one setting changed at a time, on dev scenes.

    .venv/bin/python benchmarks/ablation.py --seeds 0,1,2

CAREVL's public text leaves thresholds, dimensions and sampling open; ours are defaults, and this says
what they are worth. Prints Markdown. It reports, and chose nothing after the defaults were fixed.
"""

import argparse
import sys
from pathlib import Path

from tabulate import tabulate

sys.path.insert(0, str(Path(__file__).parent.parent))

from benchmarks.recipes import difference, percent, run
from harness.compare.comparison import compare
from harness.counting.metrics import METRICS

VARIANTS = {
    "agreement: majority": ["confidence.rule=majority"],
    "agreement: margin:0.5": ["confidence.rule=margin:0.5"],
    "scoring without expert verdict": ["scoring.weights.expert_verdict=0"],
    "scoring without self-consistency": ["scoring.weights.self_consistency=0"],
    "scoring without order consistency": ["scoring.weights.order_consistency=0"],
    "scoring without caption support": ["scoring.weights.caption_support=0"],
    "negatives: best-worst": ["negatives.rule=best-worst"],
    "negatives: adjacent": ["negatives.rule=adjacent"],
    "negatives: random": ["negatives.rule=random"],
    "DPO without the SFT term": ["dpo.sft_weight=0"],
}


def main() -> None:
    """Run the default and every variant, and print the differences."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", default="0,1,2")
    options = parser.parse_args()
    dev = ["world.split=dev"]
    default = run("carevl", options.seeds, dev)
    rows = []
    for name, changed in VARIANTS.items():
        variant = run("carevl", options.seeds, [*dev, *changed])
        contrasts = [s.info["pairs"] for s in variant.run.stages if s.stage == "sample-negatives"]
        accuracy = percent(variant.estimate(METRICS["pair"]["accuracy"]).value)
        rows.append([name, accuracy, *difference(compare(default, variant)), round(sum(contrasts) / len(contrasts))])
    print(
        f"Dev scenes of world seed 0, {len(default.items)} items, seeds {options.seeds}; the default reaches ", end=""
    )
    print(f"{percent(default.estimate(METRICS['pair']['accuracy']).value)}.\n")
    header = ["changed", "accuracy", "against the default", "95 % interval", "p", "DPO pairs a seed"]
    print(tabulate(rows, header, tablefmt="github", disable_numparse=True))


if __name__ == "__main__":
    main()
