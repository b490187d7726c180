import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from statsmodels.stats.inter_rater import cohens_kappa

from harness.config import RunConfig
from harness.data.preferences import write_preferences
from harness.embedded.data import preference_rows, preference_truth
from harness.settings import WorldSettings
from harness.training.agreement import SHARES, calibration, left_out_curve, precision_curve, together, told_in_full
from harness.training.filter_accuracy import filter_accuracy
from harness.training.sources import PAIRS
from harness.training.stages import Artifact, Stages
from harness.training.truth import report
from tests.training.test_stages import Watch

margins_ = arrays(float, (40, 3), elements=st.integers(-50, 50).map(lambda tenths: tenths / 10))


@given(margins_)
def test_everything_is_told_of_any_margins_and_nothing_is_no_number(margins) -> None:
    told = told_in_full(margins, margins.mean(axis=1) > 0, [None] * len(margins))
    json.dumps(told, allow_nan=False)
    read = int((margins != 0).any(axis=1).sum())
    assert sum(row["pairs"] for row in told["calibration"]) == read
    assert all(0 <= point["agreement"] <= 1 for point in told["left_out_curve"])


@given(arrays(bool, (60, 2)))
def test_kappa_and_phi_are_those_of_other_libraries(right) -> None:
    told = together(right)["0-1"]
    if right.std(axis=0).min() == 0:
        assert told["phi"] is None
        return
    assert told["phi"] == pytest.approx(np.corrcoef(right.T)[0, 1], abs=1e-4)
    table = [[int((right[:, 0] == a).astype(int) @ (right[:, 1] == b)) for b in (0, 1)] for a in (0, 1)]
    assert told["kappa"] == pytest.approx(cohens_kappa(np.array(table), return_results=False), abs=1e-4)
    assert told["both_err"] == pytest.approx((~right).all(axis=1).mean(), abs=1e-4)


def drawn(pairs: int, spread: float, shared: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Margins of three experts whose mistakes are partly one, and whether each label is right."""
    rng = np.random.default_rng(seed)
    right = rng.random(pairs) < 0.75
    mistakes = shared * rng.normal(size=(pairs, 1)) + (1 - shared**2) ** 0.5 * rng.normal(size=(pairs, 3))
    return np.where(right, 1, -1)[:, None] + spread * mistakes, right


def test_a_margin_that_means_something_is_seen_to_and_noise_is_not() -> None:
    margins, right = drawn(4000, 1.0, 0.0)
    rows = calibration(margins, right)
    assert [row["pairs"] for row in rows] == [400] * 10
    assert rows[0]["right"] < 0.8
    assert rows[-1]["right"] > 0.99
    assert rows[-1]["confirmed"] == pytest.approx(0.75, abs=0.06)
    noise = np.random.default_rng(1).normal(size=(4000, 3))
    assert all(abs(row["right"] - 0.5) < 0.09 for row in calibration(noise, right))


def test_precision_falls_with_what_is_kept_and_ends_at_that_of_all_labels() -> None:
    margins, right = drawn(4000, 1.0, 0.0)
    curve = precision_curve(margins, right)
    assert [point["share"] for point in curve] == list(SHARES)
    assert curve[0]["precision"] > 0.99
    assert curve[-1]["precision"] == pytest.approx(right.mean(), abs=1e-4)
    assert [point["threshold"] for point in curve] == sorted((p["threshold"] for p in curve), reverse=True)


def test_a_left_out_expert_is_too_kind_where_experts_err_together() -> None:
    """What the page says of the stand-in is so."""
    half = SHARES.index(0.5)
    apart, right_apart = drawn(4000, 2.0, 0.0)
    alike, right_alike = drawn(4000, 2.0, 0.95)
    assert left_out_curve(apart)[half]["agreement"] < precision_curve(apart, right_apart)[half]["precision"]
    assert left_out_curve(alike)[half]["agreement"] > precision_curve(alike, right_alike)[half]["precision"] + 0.05
    assert left_out_curve(apart[:, :1]) == []


def split_of(folder: Path, high: list[str], margins: dict[str, list[float]]) -> Artifact:
    (folder / "split.json").write_text(json.dumps({"high": high, "low": [], "margins": margins}))
    return Artifact("split", "split", folder)


def test_the_truth_is_told_of_the_embedded_world_alone(tmp_path: Path) -> None:
    world = WorldSettings(pairs=200)
    write_preferences(tmp_path / PAIRS, preference_rows(world), "embedded", Path())
    truth = preference_truth(world)
    knows = {name: [1.0 if told.label_right else -1.0, 1.0] for name, told in truth.items()}
    high = [name for name, margins in knows.items() if margins[0] > 0]
    pairs, split = Artifact("pairs", "pairs", tmp_path), split_of(tmp_path, high, knows)
    run = Stages(tmp_path / "cache", Watch())
    report(run, RunConfig(tasks=["t"], preferences="pairs.jsonl", world=world), filter_accuracy, pairs, split)
    assert run.records == []
    report(run, RunConfig(tasks=["t"], world=world), filter_accuracy, pairs, split)
    told = run.records[0].info
    labels = np.mean([one.label_right for one in truth.values()])
    assert (told["precision"], told["recall"], told["pairs"]) == (1, 1, 200)
    assert told["labels_right"] == pytest.approx(labels, abs=1e-4)
    assert told["experts_right"] == [1, told["labels_right"]]
    assert sum(one["pairs"] for one in told["by_slice"].values()) == 200
    assert told["precision_curve"][-1]["precision"] == told["labels_right"]
    assert told["experts_together"]["0-1"]["phi"] is None
