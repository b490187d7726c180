"""What `run:NAME` names where no checkpoint was trained."""

from pathlib import Path

import pytest

from harness.errors import HarnessError
from harness.judge.checkpoints import checkpoint_of, resolve
from tests.toys import make_items, make_judgments, write


def judged(folder: Path, fingerprint: str, config: dict) -> str:
    items = make_items(4)
    run = write(folder, items, make_judgments(items, 0.7), config=config)
    run.write_run(run.read_run().model_copy(update={"checkpoints": {"0": fingerprint}}))
    return f"run:{folder}"


def test_a_run_that_trained_nothing_names_the_base_judge_or_says_what_was_asked(tmp_path: Path) -> None:
    base = {"judge": {"model": "embedded:judge"}}
    as_it_is = judged(tmp_path / "zero-shot", resolve("embedded:judge").fingerprint, base)
    assert checkpoint_of(as_it_is) == "embedded:judge"
    for name, fingerprint, config, says in (
        ("experts-alone", "experts:1", base, "nobody was trained: its experts judge.*Name a run whose recipe trains"),
        ("named", "named:1", {"model": "openai", "model_args": {}}, "asked openai as it is. Name that model: openai"),
        ("gone", "0123", {**base, "sft": {}}, "is not in the cache. Train it again"),
    ):
        with pytest.raises(HarnessError, match=says):
            checkpoint_of(judged(tmp_path / name, fingerprint, config))
