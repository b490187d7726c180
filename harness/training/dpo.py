"""Direct preference optimisation over pairs of judgments, through TRL's DPOTrainer."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from harness.config import DpoSettings, JudgeSettings
from harness.training.lengths import fitting
from harness.training.negatives import read_contrasts
from harness.training.rows import Presented, checkpoint_format, present_as, training_rows
from harness.training.sources import judge_settings
from harness.training.stages import Artifact, Progress


def dpo(
    out: Path,
    tuned: Artifact,
    pairs: Artifact,
    contrasts: Artifact,
    judge: JudgeSettings,
    settings: DpoSettings,
    *,
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
        seed: of the shuffling.
        progress: told of every update.

    Raises:
        AssertionError: if the reference is not the policy at the first update.
    """
    judge = judge_settings(judge, tuned)
    chosen = read_contrasts(contrasts)
    if not chosen:
        for file in tuned.path.iterdir():
            if file.name != "info.json":
                shutil.copy2(file, out / file.name)
        return {"rows": 0, "updates": 0}
    return _train(out, judge, pairs, chosen, settings, seed, progress)


def _train(
    out: Path,
    judge: JudgeSettings,
    pairs: Artifact,
    contrasts: list[dict[str, Any]],
    settings: DpoSettings,
    seed: int,
    progress: Progress,
) -> dict[str, Any]:
    from trl import DPOConfig, DPOTrainer

    from harness.judge.loading import load_model, load_processor, verdict_tokens
    from harness.training.trainers import (
        CheckedCollator,
        CheckReference,
        ReportProgress,
        common_arguments,
        freeze_vision,
        last_whole_checkpoint,
        peft_config,
        thinned,
        train_and_save,
        updates_for,
        weights_precision,
    )

    processor = load_processor(judge, judge.model, None)
    adapter = peft_config(judge)
    halfway = last_whole_checkpoint(out)
    kept = weights_precision(judge, settings)
    model = load_model(judge, judge.model if adapter or not halfway else halfway, None, kept)
    if judge.freeze_vision:
        freeze_vision(model)
    format_ = checkpoint_format(judge.model)
    shown = present_as(pairs, format_, [(c["id"], c["chosen_second"]) for c in contrasts])
    sides = ("chosen", "rejected")
    rows = training_rows(pairs, shown, {side: _side_of(contrasts, side) for side in sides})
    rows, too_long = fitting(processor, rows, settings.max_tokens, sides)
    steps = updates_for(len(rows), settings)
    losses = {"loss_type": ["sigmoid", "sft"], "loss_weights": [1.0, settings.sft_weight]}
    trainer = DPOTrainer(
        model=model,
        # with an adapter the reference is the model without it; else a second copy
        ref_model=None if adapter else load_model(judge, judge.model, None, kept),
        args=DPOConfig(
            beta=settings.beta,
            **(losses if settings.sft_weight else {"loss_type": ["sigmoid"]}),
            **common_arguments(out, settings, steps, seed),
        ),
        train_dataset=rows,
        processing_class=processor,
        peft_config=adapter,
        callbacks=[ReportProgress(progress), CheckReference()],
    )
    tokens = verdict_tokens(processor.tokenizer, format_)
    trainer.data_collator = CheckedCollator(trainer.data_collator, processor, tokens)
    log = train_and_save(trainer, out, processor, format_)
    names = ("step", "loss", "rewards/margins", "rewards/accuracies")
    curve = [{key: entry[key] for key in names} for entry in log]
    (out / "log.json").write_text(json.dumps(curve))
    return {
        "rows": len(rows),
        "too_long": too_long,
        "updates": steps,
        "first_reward": log[0]["rewards/chosen"],
        "loss": round(curve[-1]["loss"], 4),
        "margin": round(curve[-1]["rewards/margins"], 4),
        "curve": thinned(curve, names),
    }


def _side_of(contrasts: list[dict[str, Any]], side: str) -> Callable[[int, Presented], str]:
    return lambda number, _: str(contrasts[number][side])
