"""What a run judges for one seed: a checkpoint of ours, or any lmms-eval model by name."""

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from pydantic import ValidationError

from harness.config import OURS, RunConfig, redacted, server_settings
from harness.errors import HarnessError, unknown
from harness.judge.checkpoints import checkpoint_of, resolve
from harness.judge.format import JudgeFormat, RewardFormat, load_format, load_reward_format
from harness.judge.published import authors_words
from harness.settings import SERVER, JudgeSettings, JudgingSettings
from harness.training.experts_alone import FILE
from harness.training.sources import judge_settings
from harness.training.stages import Artifact


@dataclass
class Judged:
    """A model to be judged; loaded when it is first asked, and kept until it is closed."""

    fingerprint: str
    """Changes with its weights, or with its name and arguments."""
    own_prompt: str | None
    """The words of its format; None for a model that is asked with the benchmark's prompt."""
    weighs: bool
    """Whether it may give P(verdict)."""
    load: Callable[[], Any]
    """Loads it as an lmms-eval model."""
    scores: bool = False
    """Whether it gives each response a reward; one with words of its own that does not compares two."""
    sees: Literal["all", "questions", "one"] = "all"
    """Which images it reads: all, those of questions, or one before the question."""
    loaded: Any = None

    def model(self) -> Any:
        """Return it as an lmms-eval model."""
        self.loaded = self.loaded or self.load()
        return self.loaded

    def close(self) -> None:
        """Give back what its engine holds."""
        engine, self.loaded = getattr(self.loaded, "engine", None), None
        if engine:
            engine.close()


def trained(config: RunConfig, checkpoint: Artifact, work: Path) -> Judged:
    """Judge the checkpoint that a recipe made; `work` is the folder of its engine's logs."""
    assert config.judge is not None, "a recipe has judge settings"
    if (checkpoint.path / FILE).exists():
        return _experts(config, checkpoint, work)
    return _checkpoint(judge_settings(config.judge, checkpoint), config.judging, work)


def _checkpoint(settings: JudgeSettings, judging: JudgingSettings, work: Path) -> Judged:
    """Judge a checkpoint: in its own words, by its reward head, or in the benchmark's words."""
    ref = resolve(settings.model, settings.revision)
    folder = Path(ref.location)
    if scored := load_reward_format(folder):
        return Judged(
            ref.fingerprint, scored.prompt, True, lambda: _with_head(settings, judging), scores=True, sees="questions"
        )
    format_ = load_format(folder) if folder.is_dir() else None
    words = format_.prompt if format_ else None
    return Judged(ref.fingerprint, words, True, lambda: _in_engine(settings, judging, work))


def _with_head(settings: JudgeSettings, judging: JudgingSettings, head: str | None = None) -> Any:
    from harness.engines.reward_engine import RewardEngine
    from harness.evaluate.reward_model import RewardModel

    return RewardModel(RewardEngine(settings, judging.precision, judging.batch_size, head))


def _experts(config: RunConfig, named: Artifact, work: Path) -> Judged:
    """Judge by the experts alone, from captions of the base judge."""
    captions, experts = config.captions, config.experts
    assert captions is not None
    assert experts is not None
    base = JudgeSettings.model_validate_json((named.path / FILE).read_text())

    def load() -> Any:
        from harness.evaluate.experts_model import ExpertsModel

        return ExpertsModel(base, captions, experts, work)

    decisive = json.dumps([named.info, captions.decisive(), experts.decisive()], sort_keys=True)
    fingerprint = "experts:" + hashlib.sha256(decisive.encode()).hexdigest()[:16]
    # the majority decides, and P(first) may be on the minority's side: it is no P(verdict)
    return Judged(fingerprint, f"{captions.prompt}\n{experts.prompt}", False, load, sees="one")


def _in_engine(
    settings: JudgeSettings, judging: JudgingSettings, work: Path, format_: JudgeFormat | None = None
) -> Any:
    from harness.engines.engine import open_engine
    from harness.evaluate.engine_model import EngineModel

    engine = open_engine(settings, judging, work)
    engine.format = format_ or engine.format
    return EngineModel(engine, judging.max_images)


def given(config: RunConfig, work: Path) -> Judged:
    """Judge a server or an lmms-eval model as it is."""
    pieces: list[Any] = [config.model, {key: str(value) for key, value in sorted(config.decisive_args().items())}]
    pieces += [config.published.decisive()] if config.published else []
    fingerprint = "named:" + hashlib.sha256(json.dumps(pieces).encode()).hexdigest()[:16]
    if config.model == SERVER:
        return Judged(fingerprint, None, True, lambda: _load_server(config))
    if config.published:
        return _published(config, fingerprint, work)
    if config.model != OURS:
        return Judged(fingerprint, None, False, lambda: _load_named(str(config.model), config))
    return replace(_checkpoint(ours(config.model_args), config.judging, work), fingerprint=fingerprint)


def _published(config: RunConfig, fingerprint: str, work: Path) -> Judged:
    """Judge a published judge: by its reward head, or in its authors' words in place of the benchmark's."""
    assert config.published is not None
    settings, judging, head = ours(config.model_args), config.judging, config.published.head
    if head:
        words = RewardFormat().prompt
        return Judged(
            fingerprint, words, True, lambda: _with_head(settings, judging, head), scores=True, sees="questions"
        )
    given = next(iter(config.prompts.values()), None)
    format_ = JudgeFormat(authors_words(str(config.model), config.published, given))
    return Judged(fingerprint, format_.prompt, False, lambda: _in_engine(settings, judging, work, format_))


def ours(arguments: dict[str, Any]) -> JudgeSettings:
    """Read the arguments of `--model harness_judge` and of a published judge: `pretrained`, and settings of a judge."""
    known = {"pretrained": "model", **{name: name for name in ("revision", "max_pixels", "trust_remote_code")}}
    for name in arguments:
        if name not in known:
            raise unknown(f"argument of --model {OURS}", name, known)
    try:
        settings = JudgeSettings.model_validate({known[name]: value for name, value in arguments.items()})
    except ValidationError as error:
        first = error.errors()[0]
        raise HarnessError(
            f"--model {OURS}: argument {first['loc'][0]} = {first['input']!r}: {first['msg']}.",
            "Write --model-args pretrained=CHECKPOINT.",
        ) from None
    return settings.model_copy(update={"model": checkpoint_of(settings.model)})


def _load_server(config: RunConfig) -> Any:
    from harness.engines.server_engine import ServerEngine
    from harness.evaluate.engine_model import EngineModel

    return EngineModel(ServerEngine(server_settings(config.model_args)), config.judging.max_images)


def _load_named(name: str, config: RunConfig) -> Any:
    from lmms_eval.models import get_model, list_available_models

    if name not in (known := list_available_models(include_aliases=True)):
        raise unknown("lmms-eval model", name, known)
    arguments = ",".join(f"{key}={value}" for key, value in config.model_args.items())
    try:
        return get_model(name).create_from_arg_string(arguments, {"batch_size": config.judging.batch_size})
    except (TypeError, ImportError, ValueError, OSError) as error:
        reason = " ".join(str(error).split())[:160]
        shown = redacted(config.model_args)
        raise HarnessError(f"model {name!r} with {shown}: {reason}.", "Mend --model-args.") from error
