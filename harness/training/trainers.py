"""What the trainings share: arguments, checks of every batch, saving."""

import json
from collections.abc import Callable, Sequence
from functools import wraps
from pathlib import Path
from typing import Any

import torch
from transformers import TrainerCallback

from harness.engines.meter import meter
from harness.errors import HarnessError
from harness.judge.checkpoints import base_of
from harness.judge.format import JudgeFormat, RewardFormat
from harness.judge.loading import VerdictTokens, load_model, with_adapter
from harness.judge.reward_head import HEAD
from harness.settings import JudgeSettings
from harness.training.jobs import Job
from harness.training.ranks import check_together
from harness.training.saving import CHECKPOINTS, save_whole
from harness.training.stages import Progress
from harness.training.updates import accumulation


def common_arguments(job: Job, updates: int) -> dict[str, Any]:
    """Return the trainer arguments that the trainings share.

    `max_length` is off: TRL's default of 1,024 silently deletes long answers (training.md, 1.3).
    """
    settings = job.settings
    return {
        "output_dir": str(job.out / CHECKPOINTS),
        "max_steps": updates,
        "per_device_train_batch_size": min(settings.micro_batch_size, settings.batch_size),
        "gradient_accumulation_steps": accumulation(job.name, settings, job.training.world),
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
        "seed": job.seed,
        "data_seed": job.seed,
        "logging_steps": 1,
        # kept in checkpoints, unlike TRL's own count
        "include_num_input_tokens_seen": "non_padding",
        "save_strategy": "steps",
        "save_steps": settings.save_steps,
        "save_total_limit": 1,
        "report_to": job.training.report_to,
        "use_liger_kernel": job.training.liger,
        "disable_tqdm": True,
        "dataloader_num_workers": 0,
    }


def configured(kind: Any, job: Job, updates: int, **its_own: Any) -> Any:
    """Build a trainer's configuration; one process takes one GPU, and sharded models pass on numbers as they are.

    accelerate's own policy for bfloat16 rounds whatever the model returns and every sum of gradients to it. The
    log-probability of a whole answer, which DPO compares, would lose the digits in which two answers differ.
    """
    arguments = kind(**common_arguments(job, updates), **its_own)
    # of several visible GPUs the trainer would take all, by a way that TRL refuses
    arguments._n_gpu = min(1, arguments.n_gpu)
    if job.training.strategy == "fsdp2" and job.settings.precision == "bfloat16":
        from torch.distributed.fsdp import MixedPrecisionPolicy

        policy = MixedPrecisionPolicy(param_dtype=torch.bfloat16, reduce_dtype=torch.float32)
        arguments.fsdp_plugin_args = {"fsdp_version": 2, "mixed_precision_policy": policy}
    return arguments


def starting_model(job: Job, halfway: str | None = None) -> tuple[Any, Any]:
    """Load the model to train, and configure its new adapter.

    Weights that are trained are kept in float32, lest small updates be rounded away. An adapter that the start
    brings is trained on, so that the sum of two trainings is rounded once and not twice.

    Args:
        job: says what is trained.
        halfway: folder of the checkpoint that a whole model goes on from.

    Returns:
        The model and the adapter to put onto it; None where it is trained whole or brings its adapter.

    Raises:
        HarnessError: if the start's adapter is of another shape than `judge.lora`.
    """
    judge, attention, heads = job.judge, job.training.attention, job.heads
    if judge.lora is None:
        model, adapter = load_model(judge, "float32", halfway, attention, heads), None
    elif base := base_of(judge.model):
        _check_shape(judge)
        below = judge.model_copy(update={"model": base.location, "revision": base.revision})
        model = with_adapter(load_model(below, job.settings.precision, attention=attention), judge.model, True)
        adapter = None
    else:
        model = load_model(judge, job.settings.precision, attention=attention, heads=heads)
        adapter = peft_config(judge, [HEAD] if heads else None)
    if judge.freeze_vision:
        freeze_vision(model)
    spare_frozen_towers(model)
    return model, adapter


def _check_shape(judge: JudgeSettings) -> None:
    assert judge.lora is not None
    there = json.loads((Path(judge.model) / "adapter_config.json").read_text(encoding="utf-8"))
    for name, key in (("rank", "r"), ("alpha", "lora_alpha"), ("target_modules", "target_modules")):
        if there[key] != getattr(judge.lora, name):
            raise HarnessError(
                f"judge.lora.{name} is {getattr(judge.lora, name)}, and the adapter {judge.model} has {there[key]}.",
                "Set what the adapter has, or start from a whole model.",
            )


class ReportProgress(TrainerCallback):  # type: ignore[misc]
    """Tells the stage's progress about every update."""

    def __init__(self, progress: Progress) -> None:
        self.progress = progress

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Say how many updates there are, and how many a checkpoint already holds."""
        self.progress.total(state.max_steps, "updates")
        self.progress.advance(state.global_step)

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Count one update; at a limit of this call, save and stop."""
        self.progress.advance(1)
        if meter().reached():
            control.should_save = control.should_training_stop = True


class CheckedCollator:
    """Refuses a batch in which a row lost its answer, verdict or image tokens on the way to the model."""

    def __init__(
        self, collate: Callable[[list[Any]], Any], processor: Any, verdicts: VerdictTokens | None = None
    ) -> None:
        self.collate, self.processor, self.verdicts = collate, processor, verdicts
        self.wanted: dict[tuple[int, int], int] = {}

    def __call__(self, rows: list[Any]) -> Any:
        """Collate and check; a batch of preferences holds its chosen rows, then its rejected ones."""
        wanted = [self.image_tokens(row["image"]) for row in rows]
        batch = self.collate(rows)
        ids = batch["input_ids"]
        trained = batch["labels"] != -100 if "labels" in batch else batch["completion_mask"] == 1
        arrived = (ids == self.processor.image_token_id).sum(1).tolist()
        if arrived != wanted * (len(arrived) // len(wanted)):
            raise AssertionError(f"image tokens wanted {wanted}, arrived {arrived}")
        if not trained.any(1).all():
            raise AssertionError("a training row lost its whole answer")
        if "labels" in batch and self.verdicts:
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


def peft_config(judge: JudgeSettings, whole: list[str] | None = None) -> Any:
    """Return the adapter to train, or None to train the whole model; modules in `whole` are trained as they are."""
    if judge.lora is None:
        return None
    from peft import LoraConfig

    return LoraConfig(
        r=judge.lora.rank,
        lora_alpha=judge.lora.alpha,
        target_modules=judge.lora.target_modules,
        modules_to_save=whole,
        task_type=None if whole else "CAUSAL_LM",
    )


TOWERS = ("visual", "vision_tower", "vision_model")
"""What models call the part that sees."""


def freeze_vision(model: Any) -> None:
    """Stop training the vision tower and the projector."""
    for name, parameter in model.named_parameters():
        if any(part in name for part in (*TOWERS, "projector")):
            parameter.requires_grad_(False)


def spare_frozen_towers(model: Any) -> None:
    """Let a vision tower of which nothing is trained compute no gradients.

    With an adapter and gradient checkpointing, transformers makes the output of every embedding require a gradient,
    that of an image's patches too. The tower would be computed twice and differentiated, for gradients that nobody
    takes: most of an update's time for Qwen2.5-VL-7B (`benchmarks/gpu.md`).
    """
    for name, module in model.named_modules():
        if name.rpartition(".")[2] in TOWERS:
            module.forward = _without_gradients_if_frozen(module, module.forward)


def _without_gradients_if_frozen(module: Any, forward: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(forward)
    def spared(*arguments: Any, **named: Any) -> Any:
        # asked at each call: an adapter may be put onto the tower later
        trained = any(parameter.requires_grad for parameter in module.parameters())
        with torch.set_grad_enabled(torch.is_grad_enabled() and trained):
            return forward(*arguments, **named)

    return spared


def train_and_save(
    trainer: Any, job: Job, format_: JudgeFormat | RewardFormat, resume_from: str | None
) -> list[dict[str, Any]]:
    """Train, going on from a checkpoint if a crash left one; save; return the log, an entry an update."""
    check_together(trainer, job.training)
    trainer.train(resume_from_checkpoint=resume_from)
    if trainer.state.global_step < trainer.state.max_steps:
        meter().check()
    log = [entry for entry in trainer.state.log_history if "loss" in entry]
    save_whole(trainer, job, format_)
    return log


def thinned(log: list[dict[str, Any]], names: Sequence[str], most: int = 200) -> dict[str, list[float]]:
    """Keep at most `most` entries of a log, evenly spaced and the last always, as columns for the run's record."""
    places = sorted({round(k * (len(log) - 1) / (most - 1)) for k in range(most)})
    return {name: [float(f"{log[place][name]:.4g}") for place in places] for name in names}
