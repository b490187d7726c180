"""Supervised fine-tuning of the judge on labelled pairs, through TRL's SFTTrainer."""

import json
from functools import partial
from pathlib import Path
from typing import Any

from harness.config import RunConfig
from harness.data.preferences import stream_pairs
from harness.errors import HarnessError
from harness.judge.format import JudgeFormat
from harness.settings import JudgeSettings, SftSettings, TrainingSettings
from harness.training.confidence import high_side
from harness.training.jobs import Job, as_it_is, train
from harness.training.lengths import fitting, mean_tokens
from harness.training.negatives import read_judgments
from harness.training.rationales import explain, rationale_of
from harness.training.rows import Presented, present, present_as, training_rows
from harness.training.sources import PAIRS, judge_settings, open_judge
from harness.training.stages import Artifact, Progress, Stages
from harness.training.updates import updates_for


class SftJob(Job):
    """A supervised training."""

    settings: SftSettings
    split: Artifact | None
    rationales: Artifact | None = None
    """What `rationales.explain` kept, for `sft.rationale=model`."""
    judgments: Artifact | None = None
    """Whole judgments to imitate, in place of labels."""
    soft: bool = False
    """Whether verdicts are trained towards each pair's `p_chosen`."""

    @property
    def certain(self) -> bool:
        """Whether every label is taken as it stands."""
        return not self.soft and not self.settings.label_smoothing


def fine_tune(
    run: Stages,
    config: RunConfig,
    start: Artifact,
    pairs: Artifact,
    split: Artifact | None = None,
    soft: bool = False,
    *,
    seed: int,
) -> Artifact:
    """Run the stages of supervised fine-tuning: where the judge is to say its base's words, those come first."""
    assert config.judge is not None
    assert config.sft is not None
    said = None
    if config.sft.rationale == "model":
        said = run(explain, pairs, open_judge(run, config), split, config.judge.untrained(), config.captions)
    return run(sft, start, pairs, split, config.judge, config.sft, soft, said, seed=seed)


def sft(
    out: Path,
    start: Artifact,
    pairs: Artifact,
    split: Artifact | None,
    judge: JudgeSettings,
    settings: SftSettings,
    soft: bool = False,
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
        soft: trains the verdict towards each pair's `p_chosen` instead of its label.
        rationales: what `rationales.explain` kept, where `sft.rationale` is `model`.
        training: on how many processes, and how.
        seed: of the shuffling.
        progress: told of every update.

    Raises:
        HarnessError: if `soft` and a pair brings no `p_chosen`.
    """
    if soft:
        _check_probabilities(pairs)
    start_from = judge_settings(judge, start)
    job = SftJob(
        name="sft", out=out, judge=start_from, pairs=pairs, split=split, settings=settings, soft=soft,
        rationales=rationales, training=training, seed=seed,
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
    # a sampled verdict is no label that might be wrong, and a length that is set is that of the tuning before
    its_own = {"judge_every": None, "label_smoothing": 0.0, "updates": None, "tokens": None}
    job = SftJob(
        name="sft", out=out, judge=judge_settings(judge, start), pairs=pairs, split=None,
        settings=settings.model_copy(update=its_own), judgments=judgments, training=training, seed=seed,
    )  # fmt: skip
    return train(tune, job, progress)


def tune(job: SftJob, progress: Progress) -> dict[str, Any]:
    """Carry out the training on this process; return what there is to report."""
    from trl import SFTConfig, SFTTrainer

    from harness.judge.loading import load_processor, verdict_tokens
    from harness.training.held_out import JudgeHeldOut
    from harness.training.ranks import first_alone
    from harness.training.saving import last_whole_checkpoint
    from harness.training.soft import SoftCollator, SoftTrainer, check_last
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
    verdicts = verdict_tokens(processor.tokenizer, format_)
    with first_alone():
        rows, too_long = fitting(processor, _rows(job, format_, kept), job.settings.max_tokens, ("completion",))
    steps = _updates(job.settings, processor, rows)
    arguments = configured(SFTConfig, job, steps)
    halfway = last_whole_checkpoint(job.out)
    model, adapter = starting_model(job, halfway)
    trainer = (SFTTrainer if job.certain else SoftTrainer)(
        model=model,
        args=arguments,
        train_dataset=rows,
        processing_class=processor,
        peft_config=adapter,
        callbacks=[ReportProgress(progress)],
    )
    trainer.data_collator = CheckedCollator(trainer.data_collator, processor, verdicts)
    if not job.certain:
        check_last(verdicts, processor.tokenizer, format_)
        trainer.verdicts, trainer.data_collator = verdicts, SoftCollator(trainer.data_collator, verdicts)
    judged = (
        JudgeHeldOut(trainer, job, format_, held_out, rationale_of(job.settings, job.rationales)) if held_out else None
    )
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
        "tokens": trainer.state.num_input_tokens_seen,
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
    if job.judgments:
        judgments = read_judgments(job.judgments)
        shown = present_as(job.pairs, format_, [(j["id"], j["chosen_second"]) for j in judgments])
        return training_rows(job.pairs, shown, {"completion": lambda number, _: str(judgments[number]["text"])})
    shown, says = present(job.pairs, format_, only), rationale_of(job.settings, job.rationales)
    answers = {"completion": lambda _, p: format_.judgment(says(p), int(p.chosen_second))}
    return training_rows(job.pairs, shown, answers, None if job.certain else partial(_p_second, job))


def _p_second(job: SftJob, presented: Presented) -> float:
    """Tell how probable it is that the response shown second is the better one."""
    p, epsilon = presented.pair["p_chosen"] if job.soft else 1.0, job.settings.label_smoothing
    smooth = float((1 - epsilon) * p + epsilon * (1 - p))
    return smooth if presented.chosen_second else 1 - smooth


def _updates(settings: SftSettings, processor: Any, rows: Any) -> int:
    """Count the optimiser updates: as many as are set, as take so many tokens, or as the epochs have."""
    if settings.tokens is None:
        return settings.updates or updates_for(len(rows), settings)
    return max(1, round(settings.tokens / (settings.batch_size * mean_tokens(processor, rows))))


def _check_probabilities(pairs: Artifact) -> None:
    rows = stream_pairs(pairs.path / PAIRS, ["id", "p_chosen"])
    missing = next((row["id"] for row in rows if row["p_chosen"] is None), None)
    if missing is not None:
        raise HarnessError(
            f"pair {missing!r} has no p_chosen, the teacher's probability that the chosen response is better.",
            "Give every pair one (--map p_chosen=COLUMN), or take its verdict alone: --recipe distill.",
        )
