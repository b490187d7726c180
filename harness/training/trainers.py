"""What supervised and preference training share: arguments, checks of every batch, saving."""

import json
import math
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from transformers import TrainerCallback

from harness.config import DpoSettings, JudgeSettings, SftSettings
from harness.errors import HarnessError
from harness.judge.format import JudgeFormat
from harness.judge.loading import VerdictTokens
from harness.training.stages import Progress


def updates_for(rows: int, settings: SftSettings | DpoSettings) -> int:
    """Count the optimiser updates that `rows` rows take."""
    return max(1, math.ceil(rows / settings.batch_size * settings.epochs))


def common_arguments(out: Path, settings: SftSettings | DpoSettings, updates: int, seed: int) -> dict[str, Any]:
    """Return the trainer arguments that both trainings share.

    `max_length` is off: TRL's default of 1,024 silently deletes long answers (training.md, 1.3).
    """
    micro = min(settings.micro_batch_size, settings.batch_size)
    if settings.batch_size % micro:
        raise HarnessError(
            f"batch_size {settings.batch_size} is no multiple of micro_batch_size {micro}.", "Set one of them."
        )
    return {
        "output_dir": str(out / "checkpoints"),
        "max_steps": updates,
        "per_device_train_batch_size": micro,
        "gradient_accumulation_steps": settings.batch_size // micro,
        "learning_rate": settings.learning_rate,
        "lr_scheduler_type": "linear",
        "warmup_steps": round(settings.warmup * updates),
        "weight_decay": settings.weight_decay,
        "adam_beta2": settings.adam_beta2,
        "optim": "adamw_torch",
        "max_grad_norm": 1.0,
        "bf16": settings.precision == "bfloat16",
        "use_cpu": not torch.cuda.is_available(),
        "gradient_checkpointing": settings.gradient_checkpointing,
        "max_length": None,
        "seed": seed,
        "data_seed": seed,
        "logging_steps": 1,
        "save_strategy": "steps",
        "save_steps": settings.save_steps,
        "save_total_limit": 1,
        "report_to": "none",
        "disable_tqdm": True,
        "dataloader_num_workers": 0,
    }


def weights_precision(judge: JudgeSettings, settings: SftSettings | DpoSettings) -> str:
    """Return what the weights are kept in: those that are trained in float32, lest small updates are rounded away."""
    return settings.precision if judge.lora else "float32"


class ReportProgress(TrainerCallback):  # type: ignore[misc]
    """Tells the stage's progress about every update."""

    def __init__(self, progress: Progress) -> None:
        self.progress = progress

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Say how many updates there are, and how many a checkpoint already holds."""
        self.progress.total(state.max_steps, "updates")
        self.progress.advance(state.global_step)

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Count one update."""
        self.progress.advance(1)


class CheckedCollator:
    """Refuses a batch in which a row lost its verdict or image tokens on the way to the model."""

    def __init__(self, collate: Callable[[list[Any]], Any], processor: Any, verdicts: VerdictTokens) -> None:
        self.collate, self.processor, self.verdicts = collate, processor, verdicts
        self.wanted: dict[tuple[int, int], int] = {}

    def __call__(self, rows: list[Any]) -> Any:
        """Collate and check; a DPO batch holds its chosen rows, then its rejected ones."""
        wanted = [self.image_tokens(row["image"]) for row in rows]
        batch = self.collate(rows)
        ids = batch["input_ids"]
        trained = batch["labels"] != -100 if "labels" in batch else batch["completion_mask"] == 1
        arrived = (ids == self.processor.image_token_id).sum(1).tolist()
        if arrived != wanted * (len(arrived) // len(wanted)):
            raise AssertionError(f"image tokens wanted {wanted}, arrived {arrived}")
        if not trained.any(1).all():
            raise AssertionError("a training row lost its whole answer")
        if "labels" in batch:
            named = (ids == self.verdicts.first) | (ids == self.verdicts.second)
            if not (named & trained).any(1).all():
                raise AssertionError("a training row lost its verdict")
        return batch

    def image_tokens(self, image: Any) -> int:
        """Count the tokens that the processor makes of an image alone; they depend on its size only."""
        if image.size not in self.wanted:
            encoded = self.processor(images=[image], text=[self.processor.image_token])
            self.wanted[image.size] = encoded["input_ids"][0].count(self.processor.image_token_id)
        return self.wanted[image.size]


class CheckReference(TrainerCallback):  # type: ignore[misc]
    """Stops DPO at its first update if the reference is not the policy it starts from."""

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, float] | None = None, **kwargs: Any) -> None:
        """Look at the implied rewards of the first update, which must be 0."""
        if state.global_step == 1 and logs and "rewards/chosen" in logs:
            rewards = [float(logs["rewards/chosen"]), float(logs["rewards/rejected"])]
            if max(map(abs, rewards)) > 1e-3:
                raise AssertionError(f"DPO began with a reference that is not its policy: implied rewards {rewards}")


def peft_config(judge: JudgeSettings) -> Any:
    """Return the adapter to train, or None to train the whole model."""
    if judge.lora is None:
        return None
    from peft import LoraConfig

    return LoraConfig(
        r=judge.lora.rank, lora_alpha=judge.lora.alpha, target_modules=judge.lora.target_modules, task_type="CAUSAL_LM"
    )


def freeze_vision(model: Any) -> None:
    """Stop training the vision tower and the projector."""
    for name, parameter in model.named_parameters():
        if any(part in name for part in ("visual", "vision_tower", "vision_model", "projector")):
            parameter.requires_grad_(False)


def train_and_save(trainer: Any, out: Path, processor: Any, format_: JudgeFormat) -> list[dict[str, Any]]:
    """Train, going on from the last checkpoint if a crash left one; save; return the log."""
    trainer.train(resume_from_checkpoint=last_whole_checkpoint(out))
    model = trainer.model
    if hasattr(model, "merge_and_unload"):
        model = model.merge_and_unload()
    model.save_pretrained(out, safe_serialization=True)
    processor.save_pretrained(out)
    format_.save(out)
    shutil.rmtree(out / "checkpoints", ignore_errors=True)
    log = [entry for entry in trainer.state.log_history if "loss" in entry]
    return log


def thinned(log: list[dict[str, Any]], names: Sequence[str], most: int = 200) -> dict[str, list[float]]:
    """Keep at most `most` entries of a log, evenly spaced and the last always, as columns for the run's record."""
    places = sorted({round(k * (len(log) - 1) / (most - 1)) for k in range(most)})
    return {name: [float(f"{log[place][name]:.4g}") for place in places] for name in names}


def last_whole_checkpoint(out: Path) -> str | None:
    """Find the newest checkpoint that was wholly written; remove what a crash left unfinished.

    The trainer writes its state last, so a checkpoint without a readable one is not whole; going on
    from it would quietly begin with a fresh optimiser.

    A caller that trains the whole model must load it from here: where a class renames its weights
    on saving, as LLaVA's does, the trainer's own resuming (transformers 5.23) finds none of them,
    says so in a warning, and goes on from the first weights.
    """
    steps = {int(path.name.split("-")[1]): path for path in (out / "checkpoints").glob("checkpoint-*")}
    for _, path in sorted(steps.items(), reverse=True):
        try:
            json.loads((path / "trainer_state.json").read_text(encoding="utf-8"))
        except (FileNotFoundError, json.JSONDecodeError):
            shutil.rmtree(path)
            continue
        return str(path)
    return None
