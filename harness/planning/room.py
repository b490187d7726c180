"""What stops a run before its first step: a model that is not here while the hub is off, or too little memory.

What is arithmetic (weights, gradients, moments) stops it; what is an estimate is only said.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from harness.config import RunConfig
from harness.errors import HarnessError
from harness.planning.architecture import in_cache
from harness.planning.machine import this_machine
from harness.planning.memory import GIB
from harness.planning.plan import Need, Plan, is_complete, make_plan, remedy, stages_of, too_large
from harness.registry import Recipe, results_root
from harness.training.stages import Artifact

WEIGHTS = ("model.safetensors", "model.safetensors.index.json")


def check(
    config: RunConfig,
    recipe: Recipe,
    roots: Sequence[Path],
    folder: Path,
    sieve: Callable[[Artifact], Artifact] | None = None,
) -> Iterator[str]:
    """Yield what is worth saying before a run begins; nothing for embedded models. Loads torch.

    Args:
        config: the resolved configuration.
        recipe: of the run.
        roots: content folders.
        folder: of the run.
        sieve: what the run's pairs will pass through, if anything.

    Raises:
        HarnessError: if a model that is still needed is not on this machine while the hub is switched off, or
            cannot be held in memory whatever the sizes of its batches.
    """
    if is_complete(folder):
        return
    steps = stages_of(config, recipe, roots, results_root() / "cache", folder, sieve)
    owed = [load.model for step in steps for load in step.loads if step.state != "cached"]
    if all(model.startswith("embedded:") for model in owed):
        return
    from huggingface_hub import constants

    plan = make_plan(config, steps, this_machine())
    plan = replace(plan, needs=tuple(need for need in plan.needs if not need.load.place.elsewhere))
    if constants.HF_HUB_OFFLINE and (missing := absent(plan.owed)):
        raise _absent(next(iter(missing.values())))
    for need in plan.owed:
        if need.memory.certain > plan.machine.memory * GIB:
            raise _no_room(plan, need)
    if plan.machine.gpus:
        yield from too_large(plan)


def absent(needs: Iterable[Need]) -> dict[str, Need]:
    """Find the hub models that are not on this machine, each with the first stage that needs it."""
    found: dict[str, Need] = {}
    for need in needs:
        load = need.load
        if load.model.startswith("embedded:") or Path(load.model).is_dir() or load.model in found:
            continue
        if in_cache(load.model, load.revision, *WEIGHTS) is None:
            found[load.model] = need
    return found


def _absent(need: Need) -> HarnessError:
    model, named = need.load.model, "judge.model" if need.load.work != "score" else "experts.models"
    return HarnessError(
        f"{need.step.stage} needs {model!r}, which is not on this machine, and the hub is off (HF_HUB_OFFLINE).",
        f"On a machine with network: `hf download {model}`; or set {named} to a local folder.",
    )


def _no_room(plan: Plan, need: Need) -> HarnessError:
    what = "weights, gradients and moments" if need.load.work == "train" else "weights"
    return HarnessError(
        f"{need.step.stage} cannot run on {plan.machine.name}, which has {plan.machine.memory:.0f} GiB: the {what} of "
        f"{need.load.model} alone take {need.memory.certain / GIB:.0f} in {need.load.precision}.",
        remedy(plan, need),
    )
