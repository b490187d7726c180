"""In thin captions DPO has something to win, and one that is upside down is seen to lose it."""

from pathlib import Path

from tests.test_main_job import harness, sets
from tests.toys import ROOT

THIN = sets(
    "world.regime=thin-captions", "world.split=dev", "world.pairs=600", "world.items=300", "sampling.share=1.0",
    "dpo.epochs=2",
)  # fmt: skip


def test_a_useless_dpo_is_a_regression_and_one_told_the_truth_an_improvement(tmp_path: Path) -> None:
    for recipe in ("high-confidence", "headroom", "exchanged"):
        content = ["--include-path", str(ROOT / "tests/content"), "--out", str(tmp_path / "runs" / recipe)]
        settings = THIN if recipe != "high-confidence" else THIN[:8]
        harness(
            tmp_path, "run", "--recipe", recipe, "--tasks", "vlrewardbench", "--baseline", "none", *content, *settings
        )
    harness(tmp_path, "gate", "headroom", "exchanged", "--margin", "0", code=1)
    harness(tmp_path, "gate", "high-confidence", "headroom", "--require", "improvement")
