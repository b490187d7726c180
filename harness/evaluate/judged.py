"""What a run judges for one seed: a checkpoint of ours, or any lmms-eval model by name."""

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.config import SERVER, JudgeSettings, JudgingSettings, RunConfig, redacted, server_settings
from harness.errors import HarnessError, unknown
from harness.judge.checkpoints import resolve
from harness.judge.format import load_format
from harness.training.sources import judge_settings
from harness.training.stages import Artifact


@dataclass(frozen=True)
class Judged:
    """A model to be judged, not yet loaded."""

    fingerprint: str
    """Changes with its weights, or with its name and arguments."""
    own_prompt: str | None
    """The words of its format; None for a model that is asked with the benchmark's prompt."""
    weighs: bool
    """Whether it gives P(verdict)."""
    load: Callable[[], Any]
    """Loads it as an lmms-eval model."""


def trained(config: RunConfig, checkpoint: Artifact) -> Judged:
    """Judge the checkpoint that a recipe made."""
    assert config.judge is not None, "a recipe has judge settings"
    settings = judge_settings(config.judge, checkpoint)
    ref = resolve(settings.model, settings.revision)
    folder = Path(ref.location)
    format_ = load_format(folder) if folder.is_dir() else None
    words = format_.prompt if format_ else None
    return Judged(ref.fingerprint, words, True, lambda: _load_ours(settings, config.judging))


def _load_ours(settings: JudgeSettings, judging: JudgingSettings) -> Any:
    from harness.evaluate.judge_model import HarnessJudge

    return HarnessJudge(
        pretrained=settings.model,
        revision=settings.revision,
        precision=judging.precision,
        batch_size=judging.batch_size,
        max_pixels=settings.max_pixels,
        trust_remote_code=settings.trust_remote_code,
    )


def given(config: RunConfig) -> Judged:
    """Judge a server or an lmms-eval model as it is."""
    named = json.dumps([config.model, {key: str(value) for key, value in sorted(config.decisive_args().items())}])
    fingerprint = "named:" + hashlib.sha256(named.encode()).hexdigest()[:16]
    ours = config.model == OURS
    checkpoint = Path(str(config.model_args.get("pretrained", "")))
    format_ = load_format(checkpoint) if ours and checkpoint.is_dir() else None
    words = format_.prompt if format_ else None
    return Judged(fingerprint, words, ours, lambda: _load_named(str(config.model), config))


OURS = "harness_judge"
"""The name of our own judge class among lmms-eval's models."""


def _load_server(config: RunConfig) -> Any:
    from harness.evaluate.server_model import ServerModel

    return ServerModel(server_settings(config.model_args))


def _load_named(name: str, config: RunConfig) -> Any:
    if name == SERVER:
        return _load_server(config)
    from lmms_eval.models import get_model, list_available_models

    if name not in (known := list_available_models(include_aliases=True)):
        raise unknown("lmms-eval model", name, known)
    arguments = ",".join(f"{key}={value}" for key, value in config.model_args.items())
    ours = {"precision": config.judging.precision} if name == OURS else {}
    try:
        return get_model(name).create_from_arg_string(arguments, {"batch_size": config.judging.batch_size, **ours})
    except (TypeError, ImportError, ValueError, OSError) as error:
        reason = " ".join(str(error).split())[:160]
        shown = redacted(config.model_args)
        raise HarnessError(f"model {name!r} with {shown}: {reason}.", "Mend --model-args.") from error
