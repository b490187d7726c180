"""What is exported: the checkpoint that a finished run judged, found in the cache, and what can be made of it."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.errors import HarnessError
from harness.judge.checkpoints import BASE, checkpoint_of, folder_fingerprint, judged_run
from harness.judge.format import JudgeFormat, RewardFormat, load_format, load_reward_format
from harness.records import Run, RunFolder
from harness.registry import results_root
from harness.training.keeping import DamagedError, check_whole


@dataclass(frozen=True)
class Subject:
    """One checkpoint of a finished run."""

    folder: RunFolder
    run: Run
    seed: int
    checkpoint: Path
    """Where its files lie."""
    merged: bool = False
    """Whether its adapter is to be merged into its base."""

    @property
    def config(self) -> dict[str, Any]:
        """The run's configuration."""
        return self.run.config

    @property
    def fingerprint(self) -> str:
        """Of the checkpoint, as the run recorded it."""
        return self.run.checkpoints[str(self.seed)]

    @property
    def base(self) -> dict[str, Any] | None:
        """The model that it is an adapter of, by `model` and `revision`; None where it is a whole model."""
        path = self.checkpoint / BASE
        return json.loads(path.read_text(encoding="utf-8")) if path.exists() else None

    @property
    def kept_adapter(self) -> dict[str, Any] | None:
        """The model that readers of the export have to load beside it; None where it is whole."""
        return None if self.merged else self.base

    @property
    def format(self) -> JudgeFormat | None:
        """The words in which it is asked."""
        return load_format(self.checkpoint)

    @property
    def rewards(self) -> RewardFormat | None:
        """What it reads where it ends in a reward head; None where it writes."""
        return load_reward_format(self.checkpoint)

    @property
    def precision(self) -> str:
        """What its figures were computed in, and what a merged checkpoint is rounded to."""
        told = (self.config.get("judging") or {}).get("precision")
        return told if told in ("float32", "bfloat16") else "float32"


def find_subject(name: str, seed: int | None, merge: bool) -> Subject:
    """Find what is exported.

    Args:
        name: a run's name or folder, or `run:NAME[:SEED]`.
        seed: which of its checkpoints; None for the one that the name says, or the first.
        merge: whether an adapter is merged into its base.

    Raises:
        HarnessError: if the run trained nothing, or its checkpoint is not there, not whole, or of no use elsewhere.
    """
    run_name, said = name, ""
    if name.startswith("run:"):
        run_name, _, said = name.removeprefix("run:").partition(":")
    chosen = said if seed is None else str(seed)
    if said and chosen != said:
        raise HarnessError(f"{name} names seed {said}, and --seed {seed}.", "Drop one of the two.")
    folder, run, chosen = judged_run(run_name, chosen)
    _refuse_untrained(run, run.checkpoints[chosen])
    subject = Subject(folder, run, int(chosen), _whole(run, run_name, chosen), merge)
    _refuse_unusable(subject)
    return subject


def _refuse_untrained(run: Run, judged: str) -> None:
    """Refuse a run whose judge is no checkpoint of its own."""
    if judged.startswith("experts:"):
        what = "judged by its experts alone: nothing was trained, so there is no checkpoint"
    elif judged.startswith("named:"):
        what = f"judged {run.config.get('model')!r} as it is: nothing was trained"
    elif judged == run.config.get("fingerprints", {}).get("judge"):
        what = "judged its base model as it is: nothing was trained"
    else:
        return
    raise HarnessError(f"{run.name} {what}.", "Export a run whose recipe trains; `harness ls runs` lists them.")


def _whole(run: Run, name: str, seed: str) -> Path:
    """Find the checkpoint's artifact in the cache, and hold it against its hashes.

    Raises:
        HarnessError: if it is not there, or not what its stage wrote.
    """
    stages = [stage for stage in reversed(run.stages) if stage.seed in (None, int(seed))]
    folders = [results_root() / "cache" / f"{stage.stage}-{stage.key}" for stage in stages]
    folders = [folder for folder in folders if any(folder.glob("*.safetensors"))]
    found = [folder for folder in folders if folder_fingerprint(folder) == run.checkpoints[seed]]
    # of a damaged checkpoint the fingerprint is another
    for folder in found or folders:
        try:
            check_whole(folder)
        except DamagedError as why:
            told = f"{folder.name} in the cache is damaged ({why}): it is not exported."
            raise HarnessError(told, "Run again: it will be computed again.") from None
    return found[0] if found else Path(checkpoint_of(f"run:{name}:{seed}"))


def _refuse_unusable(subject: Subject) -> None:
    """Refuse an adapter without its base, where nobody else could find that, and a merge of what is whole."""
    base = subject.base
    if subject.merged and base is None:
        raise HarnessError(f"{subject.run.name} trained the whole model: there is no adapter.", "Drop --merge.")
    if base and not subject.merged and not on_the_hub(base["model"]):
        what = f"the adapter of {subject.run.name} belongs to {public(base['model'])!r}"
        raise HarnessError(f"{what}, which is not on the hub: nobody else has it.", "Add --merge.")


def on_the_hub(model: str) -> bool:
    """Tell whether a model's name is one on the hub, OWNER/NAME."""
    return model.count("/") == 1 and not model.startswith((".", "/", "~")) and not Path(model).exists()


def public(value: Any) -> Any:
    """Write a setting as others may read it: of a path on this machine only the last part."""
    if isinstance(value, list | tuple):
        return [public(one) for one in value]
    if isinstance(value, dict):
        return {key: public(one) for key, one in value.items()}
    if (
        isinstance(value, str)
        and "/" in value
        and "://" not in value
        and (value.startswith((".", "/", "~")) or value.count("/") > 1 or Path(value).exists())
    ):
        return Path(value).name
    return value
