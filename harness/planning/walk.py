"""Walks through a recipe without computing anything: what the cache holds, and what is to be computed.

A stage's key hangs on its inputs' keys alone, so it is known before they are there. Where a recipe looks into a result
that is not there yet, it is shown what is foretold; what follows has no key until that result is real.
"""

import inspect
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from harness.config import RunConfig
from harness.planning.forecast import expected_pairs, foretell
from harness.planning.load import Load
from harness.records.run import StageRecord
from harness.registry import Recipe
from harness.settings import TrainingSettings
from harness.training.keeping import DamagedError, report_of
from harness.training.stages import Artifact, Progress, Silent, Stages

State = Literal["cached", "owed", "not known"]
"""In the cache; to be computed; or not known, as its key hangs on a result that is not there yet."""


@dataclass(frozen=True)
class Step:
    """A stage of a run, as far as it is known before the run."""

    stage: str
    seed: int | None
    key: str
    """Empty where it cannot be known yet."""
    state: State
    info: dict[str, Any]
    """What it reported, or will."""
    loads: tuple[Load, ...]
    """What it computes; empty where that is nothing to speak of, or not known."""


class _Unwatched:
    def begin(self, stage: str, seed: int | None) -> Progress:
        return Silent()

    def end(self, record: StageRecord) -> None:
        pass

    def remark(self, line: str) -> None:
        pass


class Foreseen(dict[str, Any]):
    """What a stage is foretold to report; notes whether a recipe looked into it."""

    looked_into = False

    def __getitem__(self, key: str) -> Any:
        self.looked_into = True
        return super().__getitem__(key)

    def get(self, key: str, default: Any = None) -> Any:
        """Return a value, and note that somebody did look."""
        self.looked_into = True
        return super().get(key, default)


class Planned(Stages):
    """Takes the place of `Stages` in a recipe, and computes nothing."""

    def __init__(self, root: Path, config: RunConfig) -> None:
        super().__init__(root, _Unwatched(), config.training or TrainingSettings())
        self.config = config
        self.steps: list[Step] = []
        self.foreseen: list[Foreseen] = []

    def __call__(self, stage: Callable[..., dict[str, Any]], *inputs: Any, seed: int | None = None) -> Artifact:
        """Return the artifact that the stage has left or will leave."""
        name, key, path = self.place(stage, inputs, seed)
        # a key that came before anything was guessed is none the worse for it
        guessing = any(info.looked_into for info in self.foreseen) and key[:16] not in {s.key for s in self.steps}
        foretold = foretell(stage.__name__, self._arguments(stage, inputs))
        kept = None if guessing else _kept(path)
        there = kept is not None
        if kept is not None:
            state: State = "cached"
            info = kept
        else:
            state = "not known" if guessing else "owed"
            info = foretold.info or self._source(stage.__name__)
        self.steps.append(Step(name, seed, "" if guessing else key[:16], state, dict(info), foretold.loads))
        shown = info if there else Foreseen(info)
        if isinstance(shown, Foreseen):
            self.foreseen.append(shown)
        # not validated, which would copy what was foreseen
        record = StageRecord.model_construct(
            stage=name, seed=seed, key=key[:16], cached=there, seconds=0.0, peak_mb=0.0, info=shown
        )
        self.records.append(record)
        return Artifact(name, key, path, shown)

    def opened(self, artifact: Artifact) -> Artifact:
        """Return an artifact that nothing is computed from."""
        return artifact

    def _arguments(self, stage: Callable[..., Any], inputs: tuple[Any, ...]) -> dict[str, Any]:
        """Name a stage's inputs; a forecast may look into them without leaving a trace."""
        bound = inspect.signature(stage).bind_partial(None, *inputs)
        return {
            name: replace(value, info=dict(value.info)) if isinstance(value, Artifact) else value
            for name, value in bound.arguments.items()
        }

    def _source(self, stage: str) -> dict[str, Any]:
        """Foretell the size of a source of pairs, whatever reads it."""
        if not stage.endswith("_preferences"):
            return {}
        return {"pairs": expected_pairs(self.config.preferences)}


def _kept(path: Path) -> dict[str, Any] | None:
    """Return what the cache's artifact reported; None if it is not there, or not whole."""
    try:
        info: dict[str, Any] = report_of(path)["info"]
    except DamagedError:
        return None
    return info


def walk(
    recipe: Recipe, config: RunConfig, root: Path, sieve: Callable[[Artifact], Artifact] | None = None
) -> list[Step]:
    """List the stages of a recipe over all seeds, each once, in the order they come.

    Args:
        recipe: whose function is called, with `Planned` in place of `Stages`.
        config: the resolved configuration.
        root: of the stage cache.
        sieve: what the run's pairs will pass through, if anything.
    """
    steps: dict[tuple[str, int | None, str], Step] = {}
    for seed in config.seeds:
        planned = Planned(root, config)
        planned.sieve = sieve or planned.sieve
        try:
            recipe.train(planned, config, seed)
        except FileNotFoundError as error:
            # a recipe of somebody's own read the files of a result that is not there yet
            if root.resolve() not in Path(str(error.filename)).resolve().parents:
                raise
        for step in planned.steps:
            steps.setdefault((step.stage, step.seed, step.key), step)
    return list(steps.values())
