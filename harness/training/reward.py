"""A scalar reward head on the judge, by Bradley and Terry's model of preferences.

TRL's RewardTrainer reads text only (1.16), so the loss is ours, on TRL's collator for pairs with images.
"""

import json
from pathlib import Path
from typing import Any, ClassVar

from harness.errors import HarnessError
from harness.judge.checkpoints import base_of
from harness.judge.format import RewardFormat
from harness.settings import JudgeSettings, RewardSettings, TrainingSettings
from harness.training.jobs import Job, train
from harness.training.lengths import fitting
from harness.training.rows import present_once, training_rows
from harness.training.sources import judge_settings
from harness.training.stages import Artifact, Progress
from harness.training.updates import updates_for


class RewardJob(Job):
    """A training of a reward head, and of the judge below it."""

    settings: RewardSettings
    heads: ClassVar[bool] = True


def reward(
    out: Path,
    start: Artifact,
    pairs: Artifact,
    judge: JudgeSettings,
    settings: RewardSettings,
    *,
    training: TrainingSettings,
    seed: int,
    progress: Progress,
) -> dict[str, Any]:
    """Teach the judge to give the labelled response of each pair the greater reward.

    It reads image, question and one response, and never the two together, so that no order can matter.

    Args:
        out: becomes a checkpoint with processor, head, and a note of what it is.
        start: the judge to start from.
        pairs: labelled pairs.
        judge: how the model is loaded and adapted.
        settings: of the optimisation.
        training: on how many processes, and how.
        seed: of the shuffling.
        progress: told of every update.

    Raises:
        HarnessError: if the start is an adapter, which has no head to go with it.
    """
    start_from = judge_settings(judge, start)
    if base_of(start_from.model):
        fix = "Name a whole model as judge.model."
        raise HarnessError(f"a reward head is put onto no adapter ({start_from.model}).", fix)
    job = RewardJob(
        name="reward", out=out, judge=start_from, pairs=pairs, settings=settings, training=training, seed=seed
    )
    return train(tune, job, progress)


def tune(job: RewardJob, progress: Progress) -> dict[str, Any]:
    """Carry out the training on this process; return what there is to report."""
    from trl import RewardConfig

    from harness.judge.loading import load_processor
    from harness.training.bradley_terry import PreferenceTrainer
    from harness.training.ranks import first_alone
    from harness.training.saving import last_whole_checkpoint
    from harness.training.trainers import ReportProgress, configured, starting_model, thinned, train_and_save

    format_, processor = RewardFormat(), load_processor(job.judge)
    with first_alone():
        rows, too_long = fitting(processor, _rows(job, format_), job.settings.max_tokens, ("chosen", "rejected"))
    steps = updates_for(len(rows), job.settings)
    arguments = configured(RewardConfig, job, steps, remove_unused_columns=False)
    halfway = last_whole_checkpoint(job.out)
    model, adapter = starting_model(job, halfway)
    trainer = PreferenceTrainer(model, adapter, arguments, rows, processor, job.settings, [ReportProgress(progress)])
    log = train_and_save(trainer, job, format_, halfway)
    names = ("step", "loss", "margin", "right")
    curve = [{name: entry[name] for name in names} for entry in log]
    (job.out / "log.json").write_text(json.dumps(curve))
    return {
        "rows": len(rows),
        "too_long": too_long,
        "updates": steps,
        "loss": round(curve[-1]["loss"], 4),
        "margin": round(curve[-1]["margin"], 4),
        "curve": thinned(curve, names),
    }


def _rows(job: RewardJob, format_: RewardFormat) -> Any:
    answers = {"chosen": lambda _, p: str(p.pair["chosen"]), "rejected": lambda _, p: str(p.pair["rejected"])}
    return training_rows(job.pairs, present_once(job.pairs, format_), answers)
