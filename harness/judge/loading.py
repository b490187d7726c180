"""A judge's checkpoint in memory: its processor, its weights, and the tokens of its verdict."""

from pathlib import Path
from typing import Any, NamedTuple

import torch
from transformers import AutoModelForImageTextToText, AutoProcessor

from harness.errors import HarnessError
from harness.judge.checkpoints import base_of, loading, resolve
from harness.judge.format import JudgeFormat, load_format, load_reward_format
from harness.judge.reward_head import HEAD, reward_class
from harness.settings import JudgeSettings


def load_processor(settings: JudgeSettings) -> Any:
    """Load a judge's processor, with padding on the left and its pixel limit."""
    ref = resolve(settings.model, settings.revision)
    kwargs = {} if settings.max_pixels is None else {"max_pixels": settings.max_pixels}
    with loading(ref.location):
        processor = AutoProcessor.from_pretrained(
            ref.location, revision=ref.revision, trust_remote_code=settings.trust_remote_code, **kwargs
        )
    processor.tokenizer.padding_side = "left"
    return processor


def load_model(
    settings: JudgeSettings,
    precision: str,
    folder: str | None = None,
    attention: str | None = None,
    heads: bool = False,
) -> Any:
    """Load a judge's weights, from safetensors only; an adapter is put onto its base.

    In float32 the adapter is merged. In bfloat16 it stays beside the base, itself in float32, as it was trained:
    merged, most of a small change would be rounded away.

    Args:
        settings: name the model.
        precision: of the weights, `float32` or `bfloat16`.
        folder: holds the whole model's weights in their place, halfway through a training.
        attention: how attention is computed; None leaves it to transformers.
        heads: whether it is to end in a reward head; one that the weights lack is all zeros.

    Raises:
        HarnessError: if it ends in one and is to write, or is to end in one and lacks other weights.
    """
    if not heads and load_reward_format(Path(settings.model)):
        raise HarnessError(f"{settings.model} ends in a reward head, and writes nothing.", "Name another judge.model.")
    base = None if folder else base_of(settings.model)
    ref = base or resolve(settings.model, settings.revision)
    with loading(ref.location):
        kind = reward_class(ref) if heads else AutoModelForImageTextToText
        model, loaded = kind.from_pretrained(
            folder or ref.location,
            revision=None if folder else ref.revision,
            dtype=getattr(torch, precision),
            use_safetensors=True,
            trust_remote_code=settings.trust_remote_code,
            output_loading_info=True,
            **({"attn_implementation": attention} if attention else {}),
        )
    if heads and (missing := sorted({*loaded["missing_keys"]} - {f"{HEAD}.weight"})):
        # they would be drawn at random
        raise HarnessError(f"{settings.model} lacks {missing[0]}.", "Name a whole judge, or train again.")
    if heads:
        # a new one has the precision of the other weights
        model.get_submodule(HEAD).float()
    if not base:
        return model
    adapted = with_adapter(model, settings.model)
    return adapted.merge_and_unload() if precision == "float32" else adapted.get_base_model()


def with_adapter(model: Any, folder: str, trainable: bool = False) -> Any:
    """Put the adapter in `folder` onto its base, as peft's model; its own weights are in float32."""
    from peft import PeftModel

    with loading(folder):
        return PeftModel.from_pretrained(model, folder, is_trainable=trainable)


def save_merged(settings: JudgeSettings, out: Path, precision: str) -> None:
    """Write a judge as one plain folder, for what takes no adapter beside its base.

    It is merged in float32 and rounded once: merged into rounded weights, training by training, most of a small
    change would be lost (`benchmarks/training.md`).
    """
    load_model(settings, "float32").to(getattr(torch, precision)).save_pretrained(out)
    load_processor(settings).save_pretrained(out)
    if format_ := load_format(Path(settings.model)):
        format_.save(out)


class VerdictTokens(NamedTuple):
    """The two tokens in which a format's verdicts differ."""

    first: int
    second: int


def verdict_tokens(tokenizer: Any, format_: JudgeFormat) -> VerdictTokens:
    """Find the tokens that name the better answer.

    Raises:
        HarnessError: if the two verdicts do not differ in exactly one token.
    """
    one, two = (tokenizer(format_.judgment("x", i), add_special_tokens=False).input_ids for i in (0, 1))
    differing = [(a, b) for a, b in zip(one, two, strict=False) if a != b]
    if len(one) != len(two) or len(differing) != 1:
        raise HarnessError(
            f"verdict {format_.verdict!r} does not differ in one token between answer 1 and 2.",
            "Choose a verdict sentence whose number is a token of its own.",
        )
    return VerdictTokens(*differing[0])
