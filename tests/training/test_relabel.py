"""The experts' majority as the label, and what becomes of the rationale."""

from pathlib import Path

import numpy as np

from harness.data.canonical import write_rows
from harness.data.preferences import stream_pairs, write_preferences
from harness.embedded.data import preference_rows
from harness.settings import SftSettings, WorldSettings
from harness.training.rationales import response
from harness.training.relabel import majority_preferences, prefer_rejected
from harness.training.stages import Artifact, Silent


def test_the_majority_decides_and_the_mean_margin_where_votes_are_even() -> None:
    margins = np.array([[1, 1, -9], [-1, -1, 9], [0, 0, 0], [2, -1, 0], [1, -2, 0]], float)
    assert prefer_rejected(margins).tolist() == [False, True, False, False, True]


def test_an_exchanged_pair_speaks_for_the_response_that_is_preferred_now(tmp_path: Path) -> None:
    for name in ("pairs", "scores", "out"):
        (tmp_path / name).mkdir()
    write_preferences(tmp_path / "pairs/pairs.parquet", preference_rows(WorldSettings(pairs=2)), "embedded", Path())
    before = list(stream_pairs(tmp_path / "pairs/pairs.parquet"))
    scores = [
        {"id": before[0]["id"], "chosen": [2.0, 1.0], "rejected": [0.0, 0.0]},
        {"id": before[1]["id"], "chosen": [0.0, 0.0], "rejected": [3.0, 1.0]},
    ]
    write_rows(tmp_path / "scores/scores.parquet", scores, {"id": "text", "chosen": "floats", "rejected": "floats"})
    pairs, scored = (Artifact(name, name, tmp_path / name) for name in ("pairs", "scores"))
    assert majority_preferences(tmp_path / "out", pairs, scored, progress=Silent()) == {"pairs": 2, "relabelled": 1}
    kept, exchanged = stream_pairs(tmp_path / "out/pairs.parquet")
    assert kept == before[0]
    assert (exchanged["chosen"], exchanged["rejected"]) == (before[1]["rejected"], before[1]["chosen"])
    assert exchanged["p_chosen"] == 1 - before[1]["p_chosen"]
    assert response(exchanged, SftSettings()) == before[1]["rejected"]
