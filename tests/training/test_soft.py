"""Soft labels: exactly TRL's loss where a label is certain, and the cross-entropy against both verdicts elsewhere."""

import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from trl import SFTConfig, SFTTrainer

from harness.data.preferences import write_preferences
from harness.embedded.data import preference_rows
from harness.errors import HarnessError
from harness.judge.format import EMBEDDED, JudgeFormat
from harness.judge.loading import VerdictTokens, load_model, load_processor, verdict_tokens
from harness.settings import JudgeSettings, SftSettings, TrainingSettings, WorldSettings
from harness.training import sft
from harness.training.launch import launched
from harness.training.lengths import mean_tokens
from harness.training.soft import SoftCollator, SoftTrainer, check_last, soft_loss
from harness.training.stages import Artifact, Silent
from harness.training.trainers import CheckedCollator
from tests.toy_judges import JUDGES, save_toy_judge
from tests.training.worker import Jobs, one_after_the_other

SIZES = {"batch_size": 8, "micro_batch_size": 2, "epochs": 1, "precision": "float32"}


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("soft")


def pairs_with(root: Path, p_chosen: float | None) -> Artifact:
    """Sixteen pairs, all of the same probability."""
    folder = root / f"pairs-{p_chosen}"
    if not folder.exists():
        folder.mkdir()
        rows = ({**row, "p_chosen": p_chosen} for row in preference_rows(WorldSettings(pairs=16)))
        write_preferences(folder / "pairs.parquet", rows, "embedded", Path())
    return Artifact("pairs", folder.name, folder)


def job(
    root: Path,
    name: str,
    p_chosen: float | None = None,
    processes: int = 1,
    judge: str = "embedded:judge",
    **settings: Any,
) -> sft.SftJob:
    (root / name).mkdir()
    training = {"strategy": "ddp", "processes": processes} if processes > 1 else {}
    return sft.SftJob(
        name="sft", out=root / name, judge=JudgeSettings(model=judge), pairs=pairs_with(root, p_chosen), split=None,
        settings=SftSettings(**SIZES | settings), soft=p_chosen is not None, seed=0,
        training=TrainingSettings(**training),
    )  # fmt: skip


def curve(done: sft.SftJob) -> list[float]:
    return [entry["loss"] for entry in json.loads((done.out / "log.json").read_text())]


def batch_and_trainer(done: sft.SftJob) -> tuple[Any, Any]:
    """Make the trainer of a job and its first batch of nine rows, of unequal lengths."""
    processor, format_ = load_processor(done.judge), done.format()
    verdicts = verdict_tokens(processor.tokenizer, format_)
    rows, kind = sft._rows(done, format_, None), SFTTrainer if done.certain else SoftTrainer
    arguments = SFTConfig(output_dir=str(done.out), max_length=None, report_to="none", use_cpu=True, bf16=False)
    trainer = kind(
        model=load_model(done.judge, "float32"), args=arguments, train_dataset=rows, processing_class=processor
    )
    trainer.verdicts = verdicts
    collate = CheckedCollator(trainer.data_collator, processor, verdicts)
    return (collate if done.certain else SoftCollator(collate, verdicts))([rows[i] for i in range(9)]), trainer


@pytest.mark.parametrize("judge", ["embedded:judge", *sorted(JUDGES)])
def test_the_loss_is_trls_own_where_labels_are_certain(root: Path, judge: str) -> None:
    model = judge if judge.startswith("embedded") else str(root / judge)
    if judge in JUDGES:
        save_toy_judge(judge, root / judge)
    plain, trainer = batch_and_trainer(job(root, f"plain {judge}", judge=model))
    sure, soft_trainer = batch_and_trainer(job(root, f"sure {judge}", 1.0, judge=model))
    assert sure["p_second"].tolist() == [0, 1] * 4 + [0]
    with torch.no_grad():
        for count in (None, torch.tensor(517)):
            theirs = trainer.compute_loss(trainer.model, dict(plain), num_items_in_batch=count)
            ours = soft_trainer.compute_loss(soft_trainer.model, dict(sure), num_items_in_batch=count)
            assert ours.item() == pytest.approx(theirs.item(), abs=1e-6)


def test_only_the_verdict_is_softened_and_by_its_probability(root: Path) -> None:
    batch, trainer = batch_and_trainer(job(root, "soft", 0.7))
    with torch.no_grad():
        got = trainer.compute_loss(trainer.model, dict(batch)).item()
        asked = {name: batch[name] for name in ("input_ids", "attention_mask", "pixel_values")}
        told = trainer.model(**asked).logits.log_softmax(-1)
    wanted = []
    for row, (labels, p_second) in enumerate(zip(batch["labels"], batch["p_second"].tolist(), strict=True)):
        assert p_second == pytest.approx(0.7 if row % 2 else 0.3)
        trained = [place for place, token in enumerate(labels.tolist()) if token != -100]
        verdict = max(place for place in trained if labels[place] in trainer.verdicts)
        for place in trained:
            if place == verdict:
                first, second = (told[row, place - 1, token].item() for token in trainer.verdicts)
                wanted.append(-(1 - p_second) * first - p_second * second)
            else:
                wanted.append(-told[row, place - 1, labels[place]].item())
    assert got == pytest.approx(sum(wanted) / len(wanted), abs=1e-6)


def test_the_loss_at_a_verdict_is_a_cross_entropy() -> None:
    logits = torch.tensor([[[0.0, math.log(3), 0.0]]])
    verdicts = VerdictTokens(first=0, second=1)
    loss = soft_loss(logits, torch.tensor([[1]]), torch.tensor([0]), torch.tensor([0.75]), verdicts)
    assert loss.item() == pytest.approx(-0.25 * math.log(1 / 5) - 0.75 * math.log(3 / 5))


def test_processes_accumulation_and_smoothing_leave_the_course_as_it_is(root: Path, monkeypatch) -> None:
    monkeypatch.setenv("HARNESS_WORKER", "tests.training.worker")
    small = {"updates": 2}
    alone = [job(root, "a", **small), job(root, "b", 1.0, **small), job(root, "c", 0.9, **small)]
    alone.append(job(root, "d", label_smoothing=0.1, **small))
    one_after_the_other(Jobs(sft=alone), Silent())
    shared = [job(root, "e", processes=2, **small), job(root, "f", 1.0, processes=2, **small)]
    launched(one_after_the_other, Jobs(sft=shared), root, shared[0].training, Silent())
    hard, sure, soft, smooth, hard_of_two, sure_of_two = map(curve, alone + shared)
    assert len(hard) == 2
    assert sure == pytest.approx(hard, abs=1e-6)
    assert smooth == pytest.approx(soft, abs=1e-6)
    assert sure_of_two == pytest.approx(hard_of_two, abs=1e-6)
    assert hard_of_two == pytest.approx(hard, rel=1e-3)
    assert max(abs(a - b) for a, b in zip(soft, hard, strict=True)) > 1e-3


def test_tokens_are_counted_without_padding_and_may_say_how_long_to_train(root: Path) -> None:
    whole = job(root, "whole")
    info = sft.tune(whole, Silent())
    processor, rows = load_processor(whole.judge), sft._rows(whole, EMBEDDED, None)
    assert (info["updates"], info["tokens"]) == (4, round(32 * mean_tokens(processor, rows)))
    part = sft.tune(job(root, "part", tokens=info["tokens"] // 2), Silent())
    assert part["updates"] == 2
    assert part["tokens"] == pytest.approx(info["tokens"] / 2, rel=0.1)


def test_a_pair_without_a_probability_is_refused_with_a_fix(root: Path) -> None:
    with pytest.raises(HarnessError, match=r"pair 'pair-00000' has no p_chosen") as refused:
        sft.sft(
            root, Artifact("base", "base", root), pairs_with(root, None), None, JudgeSettings(), SftSettings(), True,
            training=TrainingSettings(), seed=0, progress=Silent(),
        )  # fmt: skip
    assert "--map p_chosen=COLUMN" in refused.value.fix


def test_a_verdict_that_names_a_response_again_is_refused() -> None:
    tokenizer = load_processor(JudgeSettings()).tokenizer
    twice = JudgeFormat(EMBEDDED.prompt, "answer {number} is better than answer 1.", " ")
    verdicts = verdict_tokens(tokenizer, twice)
    check_last(verdicts, tokenizer, EMBEDDED)
    with pytest.raises(HarnessError, match="names a response again after its number"):
        check_last(verdicts, tokenizer, twice)
