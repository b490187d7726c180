"""DPO's choices on the embedded judge: losses by TRL's names, SFT on chosen judgments, and nothing to learn from."""

import json
from pathlib import Path

import pytest

from harness.judge.format import EMBEDDED
from harness.settings import DpoSettings, JudgeSettings, SftSettings, TrainingSettings, WorldSettings
from harness.training.dpo import dpo
from harness.training.sft import imitate
from harness.training.sources import embedded_preferences
from harness.training.stages import Artifact, Silent

JUDGE = JudgeSettings()
COMMON = {"training": TrainingSettings(), "seed": 0, "progress": Silent()}


@pytest.fixture(scope="module")
def given(tmp_path_factory) -> dict[str, Artifact]:
    """The base judge, eight pairs, and for each order of each the right judgment beside the wrong one."""
    root = tmp_path_factory.mktemp("given")
    for name in ("judge", "pairs", "contrasts", "judgments", "none"):
        (root / name).mkdir()
    (root / "judge/model.json").write_text(json.dumps({"model": "embedded:judge", "revision": None}))
    embedded_preferences(root / "pairs", WorldSettings(pairs=8), progress=Silent())
    for i in range(8):
        for second in (False, True):
            where = {"id": f"pair-{i:05d}", "chosen_second": second}
            texts = [EMBEDDED.judgment("it is red.", int(second == right)) for right in (True, False)]
            for name, line in (
                ("contrasts", {"chosen": texts[0], "rejected": texts[1]}),
                ("judgments", {"text": texts[0]}),
            ):
                with (root / name / f"{name}.jsonl").open("a") as file:
                    file.write(json.dumps(where | line) + "\n")
    (root / "none/contrasts.jsonl").write_text("")
    return {path.name: Artifact(path.name, path.name, path) for path in root.iterdir()}


@pytest.mark.parametrize("loss", ["sigmoid", "ipo", "robust", "sigmoid_norm", "apo_zero"])
def test_a_loss_of_trls_widens_the_margin(given: dict[str, Artifact], tmp_path: Path, loss: str) -> None:
    settings = DpoSettings(
        loss=loss, label_smoothing=0.1 if loss == "robust" else 0.0, precision="float32", epochs=4, warmup=0
    )
    info = dpo(tmp_path, given["judge"], given["pairs"], given["contrasts"], JUDGE, settings, **COMMON)
    margins = info["curve"]["rewards/margins"]
    assert (info["rows"], info["updates"], margins[0]) == (16, 4, 0)
    assert margins[-1] > margins[1] > 0


def test_a_judge_imitates_the_judgments_that_were_kept(given: dict[str, Artifact], tmp_path: Path) -> None:
    settings = SftSettings().like(DpoSettings(precision="float32", epochs=3))
    assert (settings.learning_rate, settings.batch_size, settings.epochs) == (1e-4, 16, 3)
    info = imitate(tmp_path, given["judge"], given["pairs"], given["judgments"], JUDGE, settings, **COMMON)
    assert (info["rows"], info["updates"]) == (16, 3)
    assert info["curve"]["loss"][-1] < info["curve"]["loss"][0]


def test_without_contrasts_the_judge_stays_as_it_is(given: dict[str, Artifact], tmp_path: Path) -> None:
    info = dpo(tmp_path, given["judge"], given["pairs"], given["none"], JUDGE, DpoSettings(), **COMMON)
    assert info == {"rows": 0, "updates": 0, "tokens": 0}
    assert (tmp_path / "model.json").read_text() == (given["judge"].path / "model.json").read_text()
