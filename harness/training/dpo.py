"""Direct preference optimisation over pairs of judgments, through TRL's DPOTrainer."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from harness.judge.format import JudgeFormat
from harness.settings import DpoSettings, JudgeSettings, TrainingSettings
from harness.training.jobs import Job, as_it_is, train
from harness.training.lengths import fitting
from harness.training.negatives import read_contrasts
from harness.training.rows import Presented, present_as, training_rows
from harness.training.sources import judge_settings
from harness.training.stages import Artifact, Progress
from harness.training.updates import updates_for


class DpoJob(Job):
    """A training on contrasts."""

    settings: DpoSettings
    contrasts: Artifact


def dpo(
    out: Path,
    tuned: Artifact,
    pairs: Artifact,
    contrasts: Artifact,
    judge: JudgeSettings,
    settings: DpoSettings,
    *,
    training: TrainingSettings,
    seed: int,
    progress: Progress,
) -> dict[str, Any]:
    """Teach the tuned judge to prefer chosen judgments over rejected ones.

    The reference is the tuned judge itself, so the implied reward is 0 at the first update; that is
    asserted, as a wrong reference trains without complaint.

    Args:
        out: becomes a checkpoint with processor and format.
        tuned: the judge after supervised fine-tuning.
        pairs: where prompts and images come from.
        contrasts: pairs of judgments; none leaves the judge as it is.
        judge: how the model is loaded and adapted.
        settings: of the optimisation.
        training: on how many processes, and how.
        seed: of the shuffling.
        progress: told of every update.

    Raises:
        AssertionError: if the reference is not the policy at the first update.
    """
    if not read_contrasts(contrasts):
        return as_it_is(tuned, out)
    start_from = judge_settings(judge, tuned)
    job = DpoJob(
        name="dpo", out=out, judge=start_from, pairs=pairs, contrasts=contrasts, settings=settings,
        training=training, seed=seed,
    )  # fmt: skip
    return train(tune, job, progress)


def tune(job: DpoJob, progress: Progress) -> dict[str, Any]:
    """Carry out the training on this process; return what there is to report."""
    from trl import DPOConfig, DPOTrainer

    from harness.judge.loading import load_model, load_processor, verdict_tokens
    from harness.training.ranks import first_alone
    from harness.training.saving import last_whole_checkpoint
    from harness.training.trainers import (
        CheckedCollator,
        CheckReference,
        ReportProgress,
        configured,
        starting_model,
        thinned,
        train_and_save,
    )

    settings, format_, processor = job.settings, job.format(), load_processor(job.judge)
    with first_alone():
        rows, too_long = fitting(processor, _rows(job, format_), settings.max_tokens, ("chosen", "rejected"))
    steps = updates_for(len(rows), settings)
    losses: dict[str, Any] = {"loss_type": [settings.loss, "sft"], "loss_weights": [1.0, settings.sft_weight]}
    losses = losses if settings.sft_weight else {"loss_type": [settings.loss]}
    losses["label_smoothing"] = settings.label_smoothing
    arguments = configured(DPOConfig, job, steps, beta=settings.beta, **losses)
    halfway = last_whole_checkpoint(job.out)
    model, adapter = starting_model(job, halfway)
    trainer = DPOTrainer(
        model=model,
        # with an adapter the reference is the model without it, or with what it started from; else a second copy
        ref_model=None if job.judge.lora else load_model(job.judge, "float32", attention=job.training.attention),
        args=arguments,
        train_dataset=rows,
        processing_class=processor,
        peft_config=adapter,
        callbacks=[ReportProgress(progress), CheckReference()],
    )
    tokens = verdict_tokens(processor.tokenizer, format_)
    trainer.data_collator = CheckedCollator(trainer.data_collator, processor, tokens)
    log = train_and_save(trainer, job, format_, halfway)
    names = ("step", "loss", "rewards/margins", "rewards/accuracies")
    curve = [{key: entry[key] for key in names} for entry in log]
    (job.out / "log.json").write_text(json.dumps(curve))
    return {
        "rows": len(rows),
        "too_long": too_long,
        "updates": steps,
        "tokens": trainer.state.num_input_tokens_seen,
        "first_reward": log[0]["rewards/chosen"],
        "loss": round(curve[-1]["loss"], 4),
        "margin": round(curve[-1]["rewards/margins"], 4),
        "curve": thinned(curve, names),
    }


def _rows(job: DpoJob, format_: JudgeFormat) -> Any:
    contrasts = read_contrasts(job.contrasts)
    shown = present_as(job.pairs, format_, [(c["id"], c["chosen_second"]) for c in contrasts])
    return training_rows(job.pairs, shown, {side: _side_of(contrasts, side) for side in ("chosen", "rejected")})


def _side_of(contrasts: list[dict[str, Any]], side: str) -> Callable[[int, Presented], str]:
    return lambda number, _: str(contrasts[number][side])
