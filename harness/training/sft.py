"""Supervised fine-tuning of the judge on labelled pairs, through TRL's SFTTrainer."""

import json
from pathlib import Path
from typing import Any

from harness.config import JudgeSettings, SftSettings
from harness.training.lengths import fitting
from harness.training.rows import checkpoint_format, present, rationale, training_rows
from harness.training.sources import judge_settings
from harness.training.stages import Artifact, Progress


def sft(
    out: Path,
    start: Artifact,
    pairs: Artifact,
    split: Artifact | None,
    judge: JudgeSettings,
    settings: SftSettings,
    updates: int | None = None,
    *,
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
        seed: of the shuffling.
        progress: told of every update.
    """
    from trl import SFTConfig, SFTTrainer

    from harness.judge.checkpoints import resolve
    from harness.judge.loading import load_model, load_processor, verdict_tokens
    from harness.training.trainers import (
        CheckedCollator,
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

    judge = judge_settings(judge, start)
    ref = resolve(judge.model, judge.revision)
    processor = load_processor(judge, ref.location, ref.revision)
    adapter = peft_config(judge)
    halfway = None if adapter else last_whole_checkpoint(out)
    kept = weights_precision(judge, settings)
    model = load_model(judge, halfway or ref.location, None if halfway else ref.revision, kept)
    if judge.freeze_vision:
        freeze_vision(model)
    format_ = checkpoint_format(ref.location)
    only = None if split is None else json.loads((split.path / "split.json").read_text())["high"]
    shown = present(pairs, format_, only)
    words = settings.rationale_words
    answers = {"completion": lambda _, p: format_.judgment(rationale(p.pair, words), int(p.chosen_second))}
    rows = training_rows(pairs, shown, answers)
    rows, too_long = fitting(processor, rows, settings.max_tokens, ("completion",))
    steps = updates or updates_for(len(rows), settings)
    trainer = SFTTrainer(
        model=model,
        args=SFTConfig(**common_arguments(out, settings, steps, seed)),
        train_dataset=rows,
        processing_class=processor,
        peft_config=adapter,
        callbacks=[ReportProgress(progress)],
    )
    trainer.data_collator = CheckedCollator(
        trainer.data_collator, processor, verdict_tokens(processor.tokenizer, format_)
    )
    log = train_and_save(trainer, out, processor, format_)
    curve = [{"step": entry["step"], "loss": entry["loss"]} for entry in log]
    (out / "log.json").write_text(json.dumps(curve))
    return {
        "rows": len(rows),
        "too_long": too_long,
        "updates": steps,
        "loss": round(curve[-1]["loss"], 4),
        "curve": thinned(curve, ("step", "loss")),
    }
