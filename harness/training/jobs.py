"""A training as plain data, so that one process or many can carry it out by the same function."""

import gc
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar, TypeVar

from pydantic import BaseModel, ConfigDict

from harness.judge.checkpoints import resolve
from harness.judge.format import JudgeFormat
from harness.settings import DpoSettings, JudgeSettings, RewardSettings, SftSettings, TrainingSettings
from harness.training.launch import launched
from harness.training.rows import checkpoint_format
from harness.training.stages import Artifact, Progress


class Job(BaseModel):
    """What every training needs; artifacts are folders, so that it fits into a file."""

    model_config = ConfigDict(frozen=True)

    name: str
    """Its section of the settings: `sft`, `dpo` or `reward`."""
    out: Path
    judge: JudgeSettings
    """Points at the checkpoint to start from."""
    pairs: Artifact
    settings: SftSettings | DpoSettings | RewardSettings
    training: TrainingSettings
    seed: int

    heads: ClassVar[bool] = False
    """Whether what is trained ends in a reward head."""

    def format(self) -> JudgeFormat:
        """Return the format of the judge."""
        return checkpoint_format(resolve(self.judge.model, self.judge.revision).location)


def as_it_is(start: Artifact, out: Path) -> dict[str, Any]:
    """Make the judge that a training would start from its result, where there is nothing to train on."""
    for file in start.path.iterdir():
        if file.name != "info.json":
            shutil.copy2(file, out / file.name)
    return {"rows": 0, "updates": 0, "tokens": 0}


AnyJob = TypeVar("AnyJob", bound=Job)


def train(work: Callable[[AnyJob, Progress], dict[str, Any]], job: AnyJob, progress: Progress) -> dict[str, Any]:
    """Carry out `work(job, progress)` in this process, or on as many as the job asks for; return its report.

    Args:
        work: a function of a module, as other processes find it by its name.
        job: what is trained.
        progress: told of every update.
    """
    if job.training.strategy != "none":
        return launched(work, job, job.out, job.training, progress)
    try:
        return work(job, progress)
    finally:
        # a trainer and its model hold each other, and would take the next stage's memory
        gc.collect()
