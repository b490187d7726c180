"""Experts that judge alone: captions by image, kept over a crash, and scores that no order changes."""

from pathlib import Path

import pytest

from harness.data.benchmark import read_items
from harness.errors import HarnessError
from harness.evaluate import tasks
from harness.protocols import find_protocol
from harness.records import Judgment, RunFolder
from harness.settings import CaptionSettings, ExpertSettings, JudgeSettings
from harness.training.experts_alone import FILE
from harness.training.stages import Artifact, Silent
from tests.toy_task import CONTENT, HOOKS, small_benchmark

lmms_eval = pytest.importorskip("lmms_eval")

from harness.config import RunConfig  # noqa: E402
from harness.evaluate import experts_model  # noqa: E402
from harness.evaluate.judged import Judged, trained  # noqa: E402


class Told(Silent):
    """What a stage says of its progress: by unit, the steps that there are and those that are done."""

    def __init__(self) -> None:
        self.steps: dict[str, list[int]] = {}

    def total(self, steps: int, unit: str = "") -> None:
        self.steps[unit] = self.now = [steps, 0]

    def advance(self, steps: int = 1) -> None:
        self.now[1] += steps


def judge(folder: Path, benchmark: Artifact, work: Path, progress: Silent | None = None) -> list[Judgment]:
    items = read_items(benchmark.path / tasks.TABLE)
    config = RunConfig(recipe="toy", tasks=["vlrewardbench"], data={"vlrewardbench": "embedded"})
    model = experts_model.ExpertsModel(
        JudgeSettings(), CaptionSettings(prompt="caption", precision="float32"),
        ExpertSettings(models=["embedded:expert-0", "embedded:expert-1"], precision="float32"), work,
    )  # fmt: skip
    task = tasks.PreparedTask(CONTENT, HOOKS, benchmark, items, find_protocol("both-orders"), None)
    folder.mkdir()
    tasks.ask(RunFolder(folder), task, Judged("toy", "caption", True, lambda: model), config, 0, progress or Silent())
    return [j.model_copy(update={"seconds": 0}) for j in RunFolder(folder).read_judgments("vlrewardbench")]


def test_captions_are_asked_for_once_an_image_and_kept_over_a_crash(tmp_path: Path, monkeypatch) -> None:
    benchmark = small_benchmark(tmp_path, 12)
    work = tmp_path / "work"
    told = Told()
    first = judge(tmp_path / "first", benchmark, work, told)
    images = {item.image_hash for item in read_items(benchmark.path / tasks.TABLE)}
    (written,) = work.glob("captions-*.jsonl")
    assert len(written.read_text().splitlines()) == len(images) < 12
    # both responses of twelve pairs, by two experts
    assert told.steps == {"captions": [len(images)] * 2, "scores": [48, 48], "answers": [24, 24]}
    # a crash tore the last line: one image is owed
    written.write_bytes(written.read_bytes()[:-20])
    assert judge(tmp_path / "second", benchmark, work) == first
    (owed,) = set(work.glob("captions-*.jsonl")) - {written}
    assert len(owed.read_text().splitlines()) == 1

    def nobody(*arguments: object) -> None:
        raise AssertionError("all images have captions")

    monkeypatch.setattr(experts_model, "open_engine", nobody)
    assert judge(tmp_path / "third", benchmark, work) == first


def test_a_majority_is_no_probability_of_the_verdict(tmp_path: Path) -> None:
    """P(first) is the mean over the experts, and may be on the minority's side."""
    benchmark, named = small_benchmark(tmp_path, 4), tmp_path / "named"
    named.mkdir()
    (named / FILE).write_text(JudgeSettings().model_dump_json())
    config = RunConfig(
        recipe="experts-alone", tasks=["vlrewardbench"], data={"vlrewardbench": "embedded"},
        judge=JudgeSettings(), captions=CaptionSettings(), experts=ExpertSettings(),
    )  # fmt: skip
    judged = trained(config, Artifact("experts-judge", "x", named), tmp_path / "work")
    items = read_items(benchmark.path / tasks.TABLE)
    for protocol in ("logprob", "reasoned"):
        task = tasks.PreparedTask(CONTENT, HOOKS, benchmark, items, find_protocol(protocol), None)
        with pytest.raises(HarnessError, match=r"needs P\(verdict\)"):
            task.refusal(judged)


def test_two_experts_who_differ_are_settled_by_how_sure_they_are(tmp_path: Path) -> None:
    for one in judge(tmp_path / "run", small_benchmark(tmp_path, 40), tmp_path / "work"):
        sides = [line.partition(": ")[2].split(", ") for line in one.text.splitlines() if line.startswith("Scores")]
        margins = [float(first) - float(second) for first, second in zip(*sides, strict=True)]
        votes = [margin > 0 for margin in margins]
        wanted = all(votes) if len(set(votes)) == 1 else one.p_first > 0.5
        assert one.reading == ("first" if wanted else "second")
