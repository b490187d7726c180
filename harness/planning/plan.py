"""The plan of a run: its stages, what each needs, and what is in the way."""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.config import RunConfig
from harness.planning.architecture import Architecture, Trained, build, trained
from harness.planning.assumptions import assumptions
from harness.planning.forecast import described, expected_pairs, read_by_experts
from harness.planning.hours import hours, leaves_idle
from harness.planning.load import Launch, Load, Place, place_of
from harness.planning.machine import Machine
from harness.planning.memory import GIB, Memory, memory, remedies, row_tokens
from harness.planning.walk import State, Step, walk
from harness.protocols import find_protocol
from harness.records import Item, RunFolder
from harness.registry import Recipe, TaskContent, load_task
from harness.settings import JudgingSettings
from harness.training.matching import matched
from harness.training.stages import Artifact

SECTION = {
    "caption": "captions",
    "expert-scores": "experts",
    "score-judgments": "experts",
    "sft": "sft",
    "sample-judgments": "sampling",
    "dpo": "dpo",
    "reward": "reward",
}
"""The section whose settings a stage has; judging's is `judging`."""


@dataclass(frozen=True)
class Need:
    """One model at work in one stage: what it needs."""

    step: Step
    load: Load
    tokens: int
    """Of a sequence on average, image included."""
    memory: Memory
    hours: float | None
    """From its start to its end; None where nothing is known of the GPU."""


@dataclass(frozen=True)
class Plan:
    """What a run will do and need."""

    config: RunConfig
    machine: Machine
    launch: Launch
    steps: tuple[Step, ...]
    models: dict[str, Architecture]
    """By name; empty in a plan that was only to tell the stages."""
    trained: Trained | None
    """What is trained of the judge."""
    needs: tuple[Need, ...]

    @property
    def owed(self) -> list[Need]:
        """The needs of what is still to be computed."""
        return [need for need in self.needs if need.step.state != "cached"]

    @property
    def gpu_hours(self) -> float | None:
        """GPU hours of all that is owed, idle GPUs included; None where nothing is known of the GPU."""
        if any(need.hours is None for need in self.owed):
            return None
        return sum(need.hours or 0.0 for need in self.owed) * max(1, self.machine.gpus)

    def largest(self) -> Need | None:
        """The need of the most memory among what is owed."""
        return max(self.owed, key=lambda need: need.memory.total, default=None)


def launch_of(config: RunConfig) -> Launch:
    """Say how a configuration trains: on one GPU, or as its section `training` has it."""
    return Launch(config.training.world, config.training.strategy) if config.training else Launch()


def stages_of(
    config: RunConfig,
    recipe: Recipe,
    roots: Sequence[Path],
    cache: Path,
    folder: Path,
    sieve: Callable[[Artifact], Artifact] | None = None,
) -> tuple[Step, ...]:
    """List every stage of a run and every judging; no model is looked at.

    Args:
        config: the resolved configuration.
        recipe: how the judge is trained.
        roots: content folders.
        cache: where finished stages are.
        folder: of the run.
        sieve: what the run's pairs will pass through, if anything.
    """
    steps = walk(matched(recipe, config, roots), config, cache, sieve)
    judge = steps[-1].stage if steps else ""
    state: State = "cached" if is_complete(folder) else "owed"
    for seed in config.seeds:
        steps += [_judging(config, load_task(name, roots), seed, state, judge) for name in config.tasks]
    return tuple(steps)


def is_complete(folder: Path) -> bool:
    """Tell whether a folder holds a finished run."""
    run = RunFolder(folder)
    return run.exists() and run.read_run().status == "complete"


def make_plan(config: RunConfig, steps: tuple[Step, ...], machine: Machine) -> Plan:
    """Reckon what every stage needs; every model is built on the meta device.

    Raises:
        HarnessError: if a model's configuration is nowhere to be found, or an adapter matches nothing in it.
    """
    launch = launch_of(config)
    loads = [(step, load) for step in steps for load in step.loads]
    last = {load.model: load for _, load in loads}
    models = {name: build(name, load.revision, load.work != "score") for name, load in last.items()}
    part = None
    if config.judge and config.judge.model in models and any(load.work == "train" for _, load in loads):
        part = trained(models[config.judge.model], config.judge)
    return Plan(
        config, machine, launch, steps, models, part,
        tuple(_need(step, load, models[load.model], launch, machine) for step, load in loads),
    )  # fmt: skip


def _need(step: Step, load: Load, architecture: Architecture, launch: Launch, machine: Machine) -> Need:
    taken = hours(load, architecture, launch, machine)
    return Need(step, load, row_tokens(load, architecture), memory(load, architecture, launch), taken)


def _judging(config: RunConfig, task: TaskContent, seed: int, state: State, judge: str) -> Step:
    """Foretell the judging of a task by what the stage `judge` has made."""
    assert config.judge is not None
    settings, known = config.judging, assumptions().assumed
    protocol = find_protocol(config.protocols[task.name], task.kind)
    nobody = Item(
        item_id="x", source_id="x", question="", responses=("a", "b"), label=0, slice="", cluster_id=None,
        image_hash=None,
    )  # fmt: skip
    items = _items(config, task)
    answers = items * len(protocol.presentations([nobody], 0))
    if judge == "experts-judge":
        assert config.captions is not None
        loads = (
            *described(config.captions, config.judge, items, known),
            *read_by_experts(config.experts, answers, known),
        )
        return Step(f"judge {task.name}", seed, "", state, {"items": items, "answers": answers}, loads)
    # a reward head reads, and writes nothing
    writes = not protocol.weighs and judge != "reward"
    longest = _longest_answer(settings, protocol.generation.get("max_new_tokens", 2048)) if writes else 1
    info, place = {"items": items, "answers": answers}, place_of(settings)
    load = Load(
        "write", config.judge.model, config.judge.revision, settings.precision, answers, known.question,
        min(known.judgment, longest), longest, settings.batch_size, judge=config.judge, place=place or Place(),
    )  # fmt: skip
    return Step(f"judge {task.name}", seed, "", state, info, (load,) if place else ())


def _longest_answer(settings: JudgingSettings, of_protocol: int) -> int:
    return settings.max_new_tokens or of_protocol


def _items(config: RunConfig, task: TaskContent) -> int:
    source = config.data[task.name]
    if source == "embedded":
        items = config.world.items if config.world else 0
    elif Path(source).is_file():
        items = expected_pairs(source)
    else:
        # the first figure that the task's own metadata give
        found = re.search(r"\d[\d,]*", task.items)
        items = int(found[0].replace(",", "")) if found else 0
    return min(items, config.limit or items)


def remarks(plan: Plan) -> Iterator[str]:
    """Say what is in the way, and what the plan rests on; a sentence or two each."""
    yield from too_large(plan)
    yield from _too_long(plan)
    if plan.machine.gpu and plan.owed:
        yield f"Hours are an estimate. Measured were {assumptions().measured}."
    idle = [need for need in plan.owed if leaves_idle(need.load, plan.launch, plan.machine)]
    if idle:
        names = ", ".join(dict.fromkeys(need.step.stage for need in idle))
        yield f"Of {plan.machine.gpus} GPUs some are idle in {names}; GPU hours count them too."


def too_large(plan: Plan) -> Iterator[str]:
    """Name each stage that does not fit, and what would make it fit."""
    gib = plan.machine.memory
    told = set()
    for need in plan.owed:
        if need.memory.total <= gib * GIB or (need.step.stage, need.load.model) in told:
            continue
        told.add((need.step.stage, need.load.model))
        parts = ", ".join(f"{name} {value / GIB:.1f}" for name, value in vars(need.memory).items() if value)
        yield (
            f"{need.step.stage} does not fit the {gib:.0f} GiB of {plan.machine.name}: it needs about "
            f"{need.memory.total / GIB:.0f} ({parts}). {remedy(plan, need)}"
        )


def remedy(plan: Plan, need: Need) -> str:
    """Say what would make a stage fit."""
    section = need.load.section or SECTION.get(need.step.stage, "judging")
    fixes = remedies(need.load, plan.models[need.load.model], plan.launch, section, plan.machine.memory)
    return f"It would with {', '.join(fixes)}." if fixes else "No setting known here makes it fit: take a larger GPU."


def _too_long(plan: Plan) -> Iterator[str]:
    """Name the trainings that would leave out an average row."""
    told = set()
    for need in plan.owed:
        limit, stage = need.load.longest, need.step.stage
        if need.load.work == "train" and limit and need.tokens > limit and stage not in told:
            told.add(stage)
            yield (
                f"{stage} leaves out most rows: one has about {need.tokens:,} tokens, more than {SECTION[stage]}."
                f"max_tokens = {limit:,}. Raise it."
            )
