"""Supervised fine-tuning of the judge on labelled pairs, through TRL's SFTTrainer."""

import json
from pathlib import Path
from typing import Any

from harness.config import RunConfig
from harness.data.preferences import stream_pairs
from harness.judge.format import JudgeFormat
from harness.settings import JudgeSettings, SftSettings, TrainingSettings
from harness.training.confidence import high_side
from harness.training.jobs import Job, as_it_is, train
from harness.training.lengths import fitting
from harness.training.negatives import read_judgments
from harness.training.rationales import explain, rationale_of
from harness.training.rows import present, present_as, training_rows
from harness.training.sources import PAIRS, judge_settings, open_judge
from harness.training.stages import Artifact, Progress, Stages
from harness.training.updates import updates_for


class SftJob(Job):
    """A supervised training."""

    settings: SftSettings
    split: Artifact | None
    updates: int | None
    said: Artifact | None
    """What is to be said: whole judgments, or rationales of pairs."""


def fine_tune(
    run: Stages,
    config: RunConfig,
    start: Artifact,
    pairs: Artifact,
    split: Artifact | None = None,
    updates: int | None = None,
    *,
    seed: int,
) -> Artifact:
    """Run the stages of supervised fine-tuning: where the judge is to say its base's words, those come first."""
    assert config.judge is not None
    assert config.sft is not None
    said = None
    if config.sft.rationale == "model":
        said = run(explain, pairs, open_judge(run, config), split, config.judge.untrained(), config.captions)
    return run(sft, start, pairs, split, config.judge, config.sft, updates, said, seed=seed)


def sft(
    out: Path,
    start: Artifact,
    pairs: Artifact,
    split: Artifact | None,
    judge: JudgeSettings,
    settings: SftSettings,
    updates: int | None = None,
    rationales: Artifact | None = None,
    *,
    training: TrainingSettings,
    seed: int,
    progress: Progress,
) -> dict[str, Any]:
    """Teach the judge to write a rationale and the label's verdict, on each pair in both orders.

    Args:
        out: becomes a checkpoint with processor and format.
        start: the judge to start from.
        pairs: labelled pairs.
        split: trains on its high side only; None trains on all pairs.
        judge: how the model is loaded and adapted.
        settings: of the optimisation.
        updates: optimiser updates instead of `settings.epochs`, for matched comparisons.
        rationales: what `rationales.explain` kept, where `sft.rationale` is `model`.
        training: on how many processes, and how.
        seed: of the shuffling.
        progress: told of every update.
    """
    start_from = judge_settings(judge, start)
    job = SftJob(
        name="sft", out=out, judge=start_from, pairs=pairs, split=split, settings=settings, updates=updates,
        said=rationales, training=training, seed=seed,
    )  # fmt: skip
    return train(tune, job, progress)


def imitate(
    out: Path,
    start: Artifact,
    pairs: Artifact,
    judgments: Artifact,
    judge: JudgeSettings,
    settings: SftSettings,
    *,
    training: TrainingSettings,
    seed: int,
    progress: Progress,
) -> dict[str, Any]:
    """Teach the judge to write judgments that were sampled and kept; none leaves it as it is.

    Args:
        out: becomes a checkpoint with processor and format.
        start: the judge that wrote them.
        pairs: where prompts and images come from.
        judgments: one for each presentation to train on (`negatives.best_judgments`).
        judge: how the model is loaded and adapted.
        settings: of the optimisation.
        training: on how many processes, and how.
        seed: of the shuffling.
        progress: told of every update.
    """
    if not read_judgments(judgments):
        return as_it_is(start, out)
    settings = settings.model_copy(update={"judge_every": None})
    job = SftJob(
        name="sft", out=out, judge=judge_settings(judge, start), pairs=pairs, split=None, settings=settings,
        updates=None, said=judgments, training=training, seed=seed,
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
    judged = JudgeHeldOut(trainer, job, format_, held_out, rationale_of(job.settings, job.said)) if held_out else None
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

    only = high_side(job.split)
    if job.settings.judge_every is None:
        return only, set()
    rows = stream_pairs(job.pairs.path / PAIRS, ["id"])
    ids = {row["id"] for row in rows if only is None or row["id"] in only}
    held_out = set_aside(ids, job.settings.held_out)
    return ids - held_out, held_out


def _rows(job: SftJob, format_: JudgeFormat, only: set[str] | None) -> Any:
    if job.said and (judgments := read_judgments(job.said)):
        shown = present_as(job.pairs, format_, [(j["id"], j["chosen_second"]) for j in judgments])
        return training_rows(job.pairs, shown, {"completion": lambda number, _: str(judgments[number]["text"])})
    shown, says = present(job.pairs, format_, only), rationale_of(job.settings, job.said)
    return training_rows(job.pairs, shown, {"completion": lambda _, p: format_.judgment(says(p), int(p.chosen_second))})
