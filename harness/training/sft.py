"""Supervised fine-tuning of the judge on labelled pairs, through TRL's SFTTrainer."""

import json
from pathlib import Path
from typing import Any

from harness.data.preferences import stream_pairs
from harness.judge.format import JudgeFormat
from harness.settings import JudgeSettings, SftSettings, TrainingSettings
from harness.training.jobs import Job, train
from harness.training.lengths import fitting
from harness.training.rows import present, rationale, training_rows
from harness.training.sources import PAIRS, judge_settings
from harness.training.stages import Artifact, Progress
from harness.training.updates import updates_for


class SftJob(Job):
    """A supervised training."""

    settings: SftSettings
    split: Artifact | None
    updates: int | None


def sft(
    out: Path,
    start: Artifact,
    pairs: Artifact,
    split: Artifact | None,
    judge: JudgeSettings,
    settings: SftSettings,
    updates: int | None = None,
    *,
    training: TrainingSettings,
    seed: int,
    progress: Progress,
) -> dict[str, Any]:
    """Teach the judge to write the label's rationale and verdict, on each pair in both orders.

    Args:
        out: becomes a checkpoint with processor and format.
        start: the judge to start from.
        pairs: labelled pairs.
        split: trains on its high side only; None trains on all pairs.
        judge: how the model is loaded and adapted.
        settings: of the optimisation.
        updates: optimiser updates instead of `settings.epochs`, for matched comparisons.
        training: on how many processes, and how.
        seed: of the shuffling.
        progress: told of every update.
    """
    start_from = judge_settings(judge, start)
    job = SftJob(
        name="sft", out=out, judge=start_from, pairs=pairs, split=split, settings=settings, updates=updates,
        training=training, seed=seed,
    )  # fmt: skip
    return train(tune, job, progress)


def tune(job: SftJob, progress: Progress) -> dict[str, Any]:
    """Carry out the training on this process; return what there is to report."""
    from trl import SFTConfig, SFTTrainer

    from harness.judge.loading import load_processor, verdict_tokens
    from harness.training.held_out import JudgeHeldOut
    from harness.training.ranks import first_alone
    from harness.training.saving import last_whole_checkpoint
    from harness.training.trainers import (
        CheckedCollator,
        ReportProgress,
        configured,
        starting_model,
        thinned,
        train_and_save,
    )

    format_, processor = job.format(), load_processor(job.judge)
    kept, held_out = _sides(job)
    with first_alone():
        rows, too_long = fitting(processor, _rows(job, format_, kept), job.settings.max_tokens, ("completion",))
    steps = job.updates or updates_for(len(rows), job.settings)
    arguments = configured(SFTConfig, job, steps)
    halfway = last_whole_checkpoint(job.out)
    model, adapter = starting_model(job, halfway)
    trainer = SFTTrainer(
        model=model,
        args=arguments,
        train_dataset=rows,
        processing_class=processor,
        peft_config=adapter,
        callbacks=[ReportProgress(progress)],
    )
    trainer.data_collator = CheckedCollator(
        trainer.data_collator, processor, verdict_tokens(processor.tokenizer, format_)
    )
    judged = JudgeHeldOut(trainer, job, job.settings, format_, held_out) if held_out else None
    log = train_and_save(trainer, job, format_, halfway)
    accuracy = judged.found if judged else {}
    curve = [
        {"step": e["step"], "loss": e["loss"]} | ({"accuracy": accuracy[e["step"]]} if e["step"] in accuracy else {})
        for e in log
    ]
    (job.out / "log.json").write_text(json.dumps(curve))
    return {
        "rows": len(rows),
        "too_long": too_long,
        "updates": steps,
        "loss": round(curve[-1]["loss"], 4),
        "curve": thinned(curve, ("step", "loss")) | (judged.curve() if judged else {}),
        **({"held_out": len(held_out)} if held_out else {}),
    }


def _sides(job: SftJob) -> tuple[set[str] | None, set[str]]:
    """Return the ids of the pairs to train on, None for all, and of those to judge on the way."""
    from harness.training.held_out import set_aside

    only = None if job.split is None else set(json.loads((job.split.path / "split.json").read_text())["high"])
    if job.settings.judge_every is None:
        return only, set()
    rows = stream_pairs(job.pairs.path / PAIRS, ["id"])
    ids = {row["id"] for row in rows if only is None or row["id"] in only}
    held_out = set_aside(ids, job.settings.held_out)
    return ids - held_out, held_out


def _rows(job: SftJob, format_: JudgeFormat, only: set[str] | None) -> Any:
    shown = present(job.pairs, format_, only)
    words = job.settings.rationale_words
    answers = {"completion": lambda _, p: format_.judgment(rationale(p.pair, words), int(p.chosen_second))}
    return training_rows(job.pairs, shown, answers)
