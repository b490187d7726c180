from pathlib import Path
from typing import Any

import pytest

from harness.config import DpoSettings, NegativeSettings
from harness.training import stages as module
from harness.training.stages import Artifact, Silent, Stages, code_hash

CALLS: list[str] = []


class Watch:
    def __init__(self) -> None:
        self.records = []

    def begin(self, stage: str, seed: int | None) -> Silent:
        return Silent()

    def end(self, record) -> None:
        self.records.append(record)


def count_up(out: Path, start: Any, settings: Any, *, progress: Silent) -> dict[str, Any]:
    CALLS.append("count_up")
    (out / "value").write_text("1")
    return {"value": 1}


def draw(out: Path, start: Artifact, *, seed: int, progress: Silent) -> dict[str, Any]:
    CALLS.append(f"draw {seed}")
    return {}


@pytest.fixture
def run(tmp_path: Path) -> Stages:
    CALLS.clear()
    return Stages(tmp_path, Watch())


def test_the_same_inputs_are_computed_once(run: Stages) -> None:
    first = run(count_up, None, NegativeSettings())
    again = run(count_up, None, NegativeSettings())
    assert first == again
    assert CALLS == ["count_up"]
    assert [record.cached for record in run.records] == [False, True]
    assert (first.path / "value").read_text() == "1"


def test_settings_inputs_and_seed_are_part_of_the_key(run: Stages) -> None:
    base = run(count_up, None, NegativeSettings())
    run(count_up, None, NegativeSettings(min_gap=0.5))
    run(count_up, base, NegativeSettings())
    run(draw, base, seed=0)
    run(draw, base, seed=1)
    assert CALLS == ["count_up"] * 3 + ["draw 0", "draw 1"]


def test_a_failed_stage_leaves_no_artifact(run: Stages) -> None:
    def fails(out: Path, *, progress: Silent) -> dict[str, Any]:
        (out / "half").write_text("half")
        raise RuntimeError("broken")

    with pytest.raises(RuntimeError):
        run(fails)
    assert not [path for path in run.root.iterdir() if path.is_dir() and not path.name.endswith(".part")]


def test_code_that_a_stage_imports_is_part_of_its_key(tmp_path: Path) -> None:
    package = Path(module.__file__).parent.parent
    sft = package / "training" / "sft.py"
    text = sft.read_text()
    assert "harness.training.rows" in text
    copy = tmp_path / "sft.py"
    copy.write_text(text)
    before = code_hash(copy)
    other = tmp_path / "other.py"
    other.write_text(text.replace("rationale(p.pair", "rationale( p.pair"))
    assert code_hash(other) != before


def test_what_has_no_identity_is_refused(run: Stages) -> None:
    with pytest.raises(TypeError, match="cannot be part"):
        run(count_up, object(), DpoSettings())
