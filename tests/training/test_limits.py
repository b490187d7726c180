"""A training that meets a limit of its call saves, stops, and ends as one that met none."""

import json
from pathlib import Path

import pytest

from harness.engines.meter import Limits, metering
from harness.errors import LimitReachedError
from harness.training import sft
from harness.training.stages import Silent
from tests.training.test_soft import curve, job


class Ticking(Silent):
    """Progress that takes a minute a step."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def advance(self, steps: int = 1) -> None:
        self.seconds += 60 * steps


def test_a_training_that_is_stopped_by_time_goes_on_where_it_was(tmp_path: Path) -> None:
    whole = job(tmp_path, "whole")
    done = sft.tune(whole, Silent())
    assert done["updates"] == 4
    part, time = job(tmp_path, "part"), Ticking()
    with metering(Limits(minutes=3), lambda: time.seconds), pytest.raises(LimitReachedError, match="--max-minutes 3"):
        sft.tune(part, time)
    # a checkpoint is written for the limit: by itself the first comes after a hundred updates
    (kept,) = part.out.glob("checkpoints/checkpoint-*")
    assert json.loads((kept / "trainer_state.json").read_text())["global_step"] == 3
    sft.tune(part, Silent())
    assert curve(part) == pytest.approx(curve(whole), rel=1e-6)
