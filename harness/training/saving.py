"""Checkpoints: what a crash left to go on from, and what a training leaves in the end, whole under every strategy."""

import json
import shutil
from pathlib import Path
from typing import Any

from harness.judge.checkpoints import write_base
from harness.judge.format import JudgeFormat, RewardFormat
from harness.judge.loading import load_processor
from harness.training.jobs import Job
from harness.training.ranks import first_alone, is_first, wait_for_all, world

CHECKPOINTS = "checkpoints"
"""Folder of a stage's own with what the trainer leaves behind while it works."""


def last_whole_checkpoint(out: Path) -> str | None:
    """Find the newest checkpoint that was wholly written; the first process removes what a crash left unfinished.

    The trainer writes its state last, so a checkpoint without a readable one is not whole; going on
    from it would quietly begin with a fresh optimiser. Of several processes each writes its own random state.

    A caller that trains the whole model must load it from here: where a class renames its weights
    on saving, as LLaVA's does, the trainer's own resuming (transformers 5.23) finds none of them,
    says so in a warning, and goes on from the first weights.
    """
    with first_alone():
        steps = {int(path.name.split("-")[1]): path for path in (out / CHECKPOINTS).glob("checkpoint-*")}
        for _, path in sorted(steps.items(), reverse=True):
            if _is_whole(path):
                return str(path)
            shutil.rmtree(path)
        return None


def _is_whole(checkpoint: Path) -> bool:
    try:
        json.loads((checkpoint / "trainer_state.json").read_text(encoding="utf-8"))
    except (FileNotFoundError, json.JSONDecodeError):
        return False
    return len(list(checkpoint.glob("rng_state*.pth"))) == world()


def save_whole(trainer: Any, job: Job, format_: JudgeFormat | RewardFormat) -> None:
    """Save what was trained: the whole model, or the adapter beside a note of the base it belongs to.

    Every process calls this, as each may hold a part of the weights; the first one writes. Weights that were
    trained are stored in float32: merged into bfloat16 ones, a change of the size that DPO makes is mostly
    rounded away.

    Args:
        trainer: has trained.
        job: says where to, and from what.
        format_: of the judge.
    """
    last = job.out / CHECKPOINTS / "last"
    trainer.save_model(str(last))
    wait_for_all()
    if is_first():
        for file in last.iterdir():
            if file.name.startswith(("model", "adapter", "config", "generation_config")):
                shutil.move(file, job.out / file.name)
        if job.judge.lora:
            write_base(job.out, job.judge.model, job.judge.revision)
        # loaded anew: collating leaves traces in a processor, others in a resumed training than in an unbroken one
        load_processor(job.judge).save_pretrained(job.out)
        format_.save(job.out)
        shutil.rmtree(job.out / CHECKPOINTS)
    wait_for_all()
