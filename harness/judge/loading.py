"""A judge's checkpoint in memory: its processor, its weights, and the tokens of its verdict."""

from typing import Any, NamedTuple

import torch
from transformers import AutoModelForImageTextToText, AutoProcessor

from harness.config import JudgeSettings
from harness.errors import HarnessError
from harness.judge.checkpoints import loading
from harness.judge.format import JudgeFormat


def load_processor(settings: JudgeSettings, location: str, revision: str | None) -> Any:
    """Load a judge's processor, with padding on the left and its pixel limit."""
    kwargs = {} if settings.max_pixels is None else {"max_pixels": settings.max_pixels}
    with loading(location):
        processor = AutoProcessor.from_pretrained(
            location, revision=revision, trust_remote_code=settings.trust_remote_code, **kwargs
        )
    processor.tokenizer.padding_side = "left"
    return processor


def load_model(settings: JudgeSettings, location: str, revision: str | None, precision: str) -> Any:
    """Load a judge's weights, from safetensors only."""
    with loading(location):
        return AutoModelForImageTextToText.from_pretrained(
            location,
            revision=revision,
            dtype=getattr(torch, precision),
            use_safetensors=True,
            trust_remote_code=settings.trust_remote_code,
        )


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
