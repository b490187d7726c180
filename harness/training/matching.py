"""A training as long as another recipe's: as many optimiser updates, or tokens, as that one makes in all."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from harness.config import RunConfig
from harness.errors import HarnessError
from harness.registry import Recipe, load_recipe
from harness.training.stages import Artifact, Stages

TRAINS_AGAIN = {"dpo", "sampling"}
"""Sections of recipes whose training goes on after SFT."""


def matched(recipe: Recipe, config: RunConfig, roots: Sequence[Path]) -> Recipe:
    """Return the recipe, made to train as long as `sft.match` says; it has the sections and files of both then.

    The other recipe goes first, through the cache, under the same settings and seed; what its stages report is then
    `sft.updates` or `sft.tokens`.

    Args:
        recipe: to be made longer or shorter.
        config: says whether and by what.
        roots: content folders.

    Raises:
        HarnessError: if either of the two recipes cannot be matched.
    """
    name = config.sft.match if config.sft else None
    if config.sft is None or name is None or "sft" not in recipe.sections:
        return recipe
    other, by = load_recipe(name, roots), config.sft.match_by
    _check(recipe, other)

    def train(run: Stages, config: RunConfig, seed: int) -> Artifact:
        begun = len(run.records)
        other.train(run, _with_sft(config), seed)
        made = {record.key: record.info.get(by, 0) for record in run.records[begun:]}
        length = dict.fromkeys(("updates", "tokens")) | {by: sum(made.values())}
        artifact: Artifact = recipe.train(run, _with_sft(config, **length), seed)
        return artifact

    return replace(
        recipe,
        train=train,
        files=(*recipe.files, *other.files),
        sections=recipe.sections | other.sections,
        embedded_only=recipe.embedded_only or other.embedded_only,
    )


def unmatched(settings: dict[str, Any], recipe: Recipe) -> dict[str, Any]:
    """Return the section `sft` without a match that names the recipe itself, so that its run is one and the same."""
    sft = settings.get("sft") or {}
    if sft.get("match") != recipe.name:
        return {}
    return {"sft": {name: value for name, value in sft.items() if name not in ("match", "match_by")}}


def _check(recipe: Recipe, other: Recipe) -> None:
    if recipe.sections & TRAINS_AGAIN:
        raise HarnessError(
            f"sft.match={other.name} is for recipes that train by SFT alone, and {recipe.name} goes on after it.",
            f"Set sft.match={recipe.name} and run the other one, or drop it.",
        )
    if "sft" not in other.sections:
        raise HarnessError(
            f"sft.match={other.name} names a recipe that does not train by SFT.", "Name one that does, such as carevl."
        )


def _with_sft(config: RunConfig, **length: int | None) -> RunConfig:
    """Return the configuration without a match, so that stages have the keys they have without one."""
    assert config.sft is not None
    plain: dict[str, Any] = {"match": None, "match_by": "updates"}
    return config.model_copy(update={"sft": config.sft.model_copy(update=plain | length)})
