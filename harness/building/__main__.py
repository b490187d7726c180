"""Rebuilds the embedded models from scratch: `python -m harness.building judge|experts|check`.

`judge` takes about 30 minutes on two cores, `experts` about 8; `check` measures them on dev scenes.
With the same seed, library versions and kind of processor the result is the same; the committed files
are the reference either way.
"""

import argparse
import os
import shutil
import tempfile
from pathlib import Path

from harness.extras import require

ASSETS = Path(__file__).parent.parent / "embedded" / "assets"


def build_judge(out: Path, seed: int) -> None:
    """Pretrain the base judge and save it with processor and format."""
    # one thread a worker; set before torch is loaded, here and in the workers
    os.environ["OMP_NUM_THREADS"] = "1"
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    import torch.multiprocessing as mp

    from harness.building.pretraining import WORKERS, Plan, work
    from harness.judge.format import EMBEDDED

    with tempfile.TemporaryDirectory() as scratch:
        mp.spawn(work, args=(Plan(seed=seed), out, f"{scratch}/rendezvous"), nprocs=WORKERS)
    EMBEDDED.save(out)


def build_experts(judge: Path, out: Path, seed: int) -> None:
    """Train the three experts from the judge's decoder."""
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    from harness.building.expert_training import ExpertPlan, train_expert

    for number in range(3):
        folder = out / f"expert-{number}"
        train_expert(judge, ExpertPlan(seed=seed + number), folder)
        shutil.rmtree(folder / "checkpoints", ignore_errors=True)
        print(f"expert {number} saved in {folder}", flush=True)


def main() -> None:
    """Parse the command line and build."""
    parser = argparse.ArgumentParser(prog="python -m harness.building", description=__doc__)
    parser.add_argument("what", choices=("judge", "experts", "check"))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=ASSETS, help="where judge/ or expert-N/ are written")
    parser.add_argument("--judge", type=Path, default=ASSETS / "judge", help="the judge the experts start from")
    options = parser.parse_args()
    require("rebuilding the embedded models", "train")
    if options.what == "judge":
        build_judge(options.out / "judge", options.seed)
    elif options.what == "check":
        from harness.building.check import check

        for name, value in check().items():
            print(f"{name:<20} {value}")
    else:
        build_experts(options.judge, options.out, options.seed)


if __name__ == "__main__":
    main()
