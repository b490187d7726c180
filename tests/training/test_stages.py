import importlib
import shutil
from pathlib import Path
from typing import Any

import pytest

from harness.judge.checkpoints import EMBEDDED
from harness.settings import DpoSettings, ExpertSettings, NegativeSettings, ScoringSettings, TrainingSettings
from harness.training import experts, scoring
from harness.training import stages as module
from harness.training.sft import sft
from harness.training.stages import Artifact, Silent, Stages, code_hash

CALLS: list[str] = []


class Watch:
    def __init__(self) -> None:
        self.records = []

    def remark(self, line: str) -> None:
        pass

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


def test_code_that_a_stage_imports_is_part_of_its_key(tmp_path: Path, monkeypatch) -> None:
    package = tmp_path / "harness"
    (package / "deep").mkdir(parents=True)
    stage, helper, config = (package / name for name in ("stage.py", "deep/helper.py", "config.py"))
    stage.write_text("def work():\n    from harness.deep.helper import run\n    from harness.config import Section")
    config.write_text("Section = 1")
    hashes = []
    monkeypatch.setattr(module, "PACKAGE", package)
    for text in ("run = 1", "run = 2", "from harness.deep import other\nrun = 2"):
        helper.write_text(text)
        code_hash.cache_clear()
        hashes.append(code_hash(stage))
    (package / "deep/other.py").write_text("a = 1")
    code_hash.cache_clear()
    hashes.append(code_hash(stage))
    assert len(set(hashes)) == 4
    config.write_text("Section = 2")
    code_hash.cache_clear()
    assert code_hash(stage) == hashes[-1]


def test_a_helper_of_a_users_module_is_part_of_the_key(tmp_path: Path, monkeypatch) -> None:
    stage, beside, elsewhere = tmp_path / "a/stage.py", tmp_path / "a/beside.py", tmp_path / "b/far_helper.py"
    for file in (stage, elsewhere):
        file.parent.mkdir()
    stage.write_text("import beside\nimport numpy\nfrom far_helper import run")
    beside.write_text("")
    elsewhere.write_text("run = 1")
    monkeypatch.syspath_prepend(elsewhere.parent)
    hashes = []
    for file in (stage, beside, elsewhere):
        file.write_text(file.read_text() + "\nchanged = True")
        code_hash.cache_clear()
        hashes.append(code_hash(stage))
    assert len(set(hashes)) == 3


def test_a_dimension_and_an_expert_changed_in_place_are_computed_again(
    run: Stages, tmp_path: Path, monkeypatch
) -> None:
    module_file, helper = tmp_path / "brevity.py", tmp_path / "brevity_helper.py"
    helper.write_text("LONGEST = 20")
    module_file.write_text(
        "from harness.training.scoring import dimension\nfrom brevity_helper import LONGEST\n"
        "@dimension('brevity')\ndef brevity(judgment, context):\n    return float(len(judgment.rationale) < LONGEST)\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(scoring, "DIMENSIONS", dict(scoring.DIMENSIONS))
    importlib.import_module("brevity")
    shutil.copytree(EMBEDDED / "expert-0", tmp_path / "expert")
    experts_, settings = ExpertSettings(models=[str(tmp_path / "expert")]), ScoringSettings(weights={"brevity": 1})
    pairs = Artifact("pairs", "key", tmp_path)

    def keys() -> tuple[str, str]:
        code_hash.cache_clear()
        scored = run._key(scoring.score_judgments, (pairs, experts_, settings), None)
        return scored, run._key(experts.expert_scores, (pairs, experts_), None)

    first = keys()
    helper.write_text("LONGEST = 30")
    second = keys()
    assert (first[0] != second[0], first[1] == second[1]) == (True, True)
    (tmp_path / "expert/config.json").write_text("{}")
    third = keys()
    assert (second[0] != third[0], second[1] != third[1]) == (True, True)


def test_how_a_training_is_launched_is_part_of_its_key_and_of_no_others(tmp_path: Path) -> None:
    def keys(**training: Any) -> tuple[str, str]:
        run = Stages(tmp_path, Watch(), TrainingSettings(**training))
        return run._key(count_up, (None,), None), run._key(sft, (None,), 0)

    plain = keys()
    assert keys(report_to="tensorboard", address="10.0.0.1", port=1234) == plain
    for change in ({"strategy": "ddp", "processes": 2}, {"liger": True}, {"attention": "eager"}):
        assert keys(**change)[0] == plain[0]
        assert keys(**change)[1] != plain[1]


def test_a_file_is_known_by_its_content_and_the_images_it_names(run: Stages, tmp_path: Path) -> None:
    keys = set()
    for place, pixels in (("a", b"one"), ("b", b"one"), ("c", b"two")):
        (tmp_path / place).mkdir()
        (tmp_path / place / "x.png").write_bytes(pixels)
        (tmp_path / place / "rows.jsonl").write_text('{"image": "x.png"}\n')
        keys.add(run(count_up, tmp_path / place / "rows.jsonl", NegativeSettings()).key)
    assert len(keys) == 2


def test_what_has_no_identity_is_refused(run: Stages) -> None:
    with pytest.raises(TypeError, match="cannot be part"):
        run(count_up, object(), DpoSettings())
