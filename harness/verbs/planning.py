"""`harness validate`, and the plan that `harness run --dry-run` prints."""

from argparse import Namespace
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.errors import ExitCode
from harness.extras import require
from harness.registry import Recipe, content_roots, load_profile, load_recipe, results_root
from harness.settings import SECTIONS, ComputingSection
from harness.verbs.showing import show_sheet

if TYPE_CHECKING:
    from harness.planning.machine import Machine
    from harness.planning.plan import Need, Plan
    from harness.planning.walk import Step
    from harness.sheets.sheet import Sheet

GIB = 2**30


def validate(options: Namespace) -> ExitCode:
    """Say what a profile needs, by its models' architectures alone; nothing is downloaded, loaded or run."""
    from rich.text import Text

    from harness.show.console import Screen

    roots = content_roots(options.include_path)
    recipe = load_recipe(options.recipe, roots)
    profile = load_profile(options.profile, roots)
    require(f"validate {options.profile}", "train")
    from harness.planning.plan import make_plan, stages_of
    from harness.resolve import resolve_config

    machine = _machine(profile, options)
    given = {"recipe": options.recipe, "tasks": options.tasks.split(","), "profile": options.profile}
    assignments = [*_native(profile, recipe, machine), *options.set]
    config = resolve_config(given, assignments, roots, recipe, here=False)
    steps = stages_of(config, recipe, roots, results_root() / "cache", results_root() / "runs" / config.run_name())
    plan = make_plan(config, steps, machine)
    console = Screen()
    told = Text(options.profile, "bold")
    console.print(told.append(f" under {options.recipe}, one seed, for {_told(machine)}", "not bold"))
    console.say(str(profile.get("description", "")))
    show_plan(console, plan)
    return ExitCode.OK


def _machine(profile: dict[str, Any], options: Namespace) -> "Machine":
    """Choose the machine to plan for: the one that is named, else the profile's, else this one."""
    from dataclasses import replace

    from harness.planning.machine import needed, this_machine, wished

    needs = needed(profile, options.profile)
    if options.gpu or needs:
        named = options.gpu or (needs.gpu if needs else "")
        return wished(named, needs.gpus if needs else 1, options.memory)
    here = this_machine()
    return replace(here, memory=options.memory) if options.memory else here


def _native(profile: dict[str, Any], recipe: Recipe, machine: "Machine") -> list[str]:
    """Set what is left to the machine to what the planned one computes, which need not be this one."""
    if machine.gpu is None:
        return []
    computing = [name for name, kind in SECTIONS.items() if issubclass(kind, ComputingSection)]
    left = [name for name in computing if (profile.get(name) or {}).get("precision", "auto") == "auto"]
    return [f"{name}.precision=bfloat16" for name in left if name in recipe.sections]


def _told(machine: "Machine") -> str:
    if not machine.gpus:
        return f"{machine.name}, {machine.memory:.0f} GiB"
    return f"{machine.gpus} x {machine.name}, {machine.memory:.0f} GiB each"


def show_plan(console: Any, plan: "Plan") -> None:
    """Print models, stages, memory, and what is in the way."""
    from harness.planning.plan import remarks

    _show_models(console, plan)
    show_stages(console, plan.steps, plan)
    show_sheet(console, _memory_sheet(plan))
    for sentence in _sums(plan):
        console.say(sentence)
    for sentence in remarks(plan):
        console.say(sentence)


def _show_models(console: Any, plan: "Plan") -> None:
    from harness.planning.assumptions import assumptions
    from harness.planning.memory import seen
    from harness.sheets.sheet import Column, sheet_of

    columns = (Column("model"), Column("parameters", "count"), Column("configuration from"))
    rows = [(name, f"{found.parameters:,}", found.source) for name, found in plan.models.items()]
    show_sheet(console, sheet_of("models", columns, rows))
    judge = plan.config.judge
    if plan.trained and judge:
        whole = plan.models[judge.model].parameters
        share = f"{plan.trained.parameters:,} parameters, {100 * plan.trained.parameters / whole:.2f} %"
        adapter = f"an adapter of rank {judge.lora.rank} on {plan.trained.modules} layers: " if judge.lora else ""
        console.say(f"Trained: {adapter}{share}.")
    looking = next((need.load for need in plan.needs if need.load.sees), None)
    if looking:
        wide, high = assumptions().assumed.image
        tokens = seen(looking, plan.models[looking.model]).tokens
        console.say(f"An image of {wide} x {high} pixels is {tokens:,} tokens.")


def show_stages(console: Any, steps: Iterable["Step"], plan: "Plan | None" = None) -> None:
    """Print each stage: whether the cache has it, what it works on, and how long it takes where that is known."""
    from harness.sheets.sheet import Column, sheet_of

    needs = plan.needs if plan else ()
    timed = any(need.hours is not None for need in needs)
    columns = [Column("stage, seed"), Column("cache"), Column("what")]
    columns += [Column("tokens", "count", spare=1)] * bool(plan) + [Column("hours", "number")] * timed
    rows = []
    for step in steps:
        row = [step.stage if step.seed is None else f"{step.stage} {step.seed}", step.state, _work(step)]
        if plan:
            theirs = [need for need in needs if need.step is step]
            tokens = max((need.tokens for need in theirs), default=0)
            hours = sum(need.hours or 0.0 for need in theirs)
            row += [f"{tokens:,}" if tokens else ""] + [f"{hours:.1f}" if theirs else ""] * timed
        rows.append(row)
    show_sheet(console, sheet_of("stages", columns, rows))


COUNTED = (("rows", "updates"), ("answers",), ("judgments",), ("captioned",), ("kept",), ("pairs",))
"""What a stage reports that says how much it does: the first that it has."""


def _work(step: "Step") -> str:
    names = next((names for names in COUNTED if step.info.get(names[0])), ())
    counts = ", ".join(f"{step.info[name]:,} {name}" for name in names)
    return counts if step.state == "cached" or not counts else f"~ {counts}"


def _memory_sheet(plan: "Plan") -> "Sheet":
    """Set out the GiB of each GPU: of each stage the model that needs most."""
    from harness.sheets.sheet import Cell, Column, sheet_of, text

    title = f"GiB on each GPU, of {plan.machine.memory:.0f}" if plan.machine.gpus else "GiB of main memory"
    parts = ("weights", "gradients", "optimiser", "activations")
    columns = [Column("stage"), *(Column(part, "number", spare=1) for part in parts), Column("in all", "number")]
    rows = list[tuple[str | Cell, ...]]()
    for need in _largest_of_each(plan):
        values = [getattr(need.memory, part) for part in parts]
        cells = [f"{value / GIB:.1f}" if value else "" for value in values]
        over = need.memory.total > plan.machine.memory * GIB
        total = text(f"{need.memory.total / GIB:.1f}", "over" if over else "")
        rows.append((need.step.stage, *cells, total))
    return sheet_of(title, columns, rows)


def _largest_of_each(plan: "Plan") -> list["Need"]:
    largest: dict[str, Need] = {}
    for need in plan.needs:
        known = largest.get(need.step.stage)
        if known is None or need.memory.total > known.memory.total:
            largest[need.step.stage] = need
    return list(largest.values())


def _sums(plan: "Plan") -> Iterable[str]:
    yield from _updates(plan)
    if plan.gpu_hours is not None and plan.owed:
        yield f"In all about {plan.gpu_hours:,.0f} GPU hours are owed."
    if (largest := plan.largest()) and largest.memory.total <= plan.machine.memory * GIB:
        yield (
            f"Everything fits {plan.machine.memory:.0f} GiB; {largest.step.stage} needs most, about "
            f"{largest.memory.total / GIB:.0f}."
        )


def _updates(plan: "Plan") -> Iterator[str]:
    """Say how each training makes up its updates."""
    for need in {need.step.stage: need for need in plan.needs if need.load.work == "train"}.values():
        rows = getattr(plan.config, need.step.stage).batch_size
        processes = plan.launch.processes
        where = f"on {processes} GPUs ({plan.launch.strategy}) " if processes > 1 else ""
        again = rows // (need.load.batch * processes)
        yield (
            f"{need.step.stage}: {rows} rows an update, {where}{need.load.batch} at a time, {again} times; "
            f"{need.load.precision}{', gradient checkpointing' if need.load.checkpointing else ''}."
        )


def show_run_plan(console: Any, config: Any, recipe: Recipe, roots: Sequence[Path], folder: Path) -> None:
    """Print the plan of one run on this machine: the stages alone where every model is embedded."""
    from harness.evaluate.sieve import foreseen
    from harness.planning.machine import this_machine
    from harness.planning.plan import make_plan, stages_of
    from harness.planning.room import absent

    cache = results_root() / "cache"
    steps = stages_of(config, recipe, roots, cache, folder, foreseen(config, roots, cache))
    if all(load.model.startswith("embedded:") for step in steps for load in step.loads):
        show_stages(console, steps)
        return
    machine = this_machine()
    console.print(f"On {_told(machine)}; `harness validate {config.profile}` plans for the profile's own GPU:")
    plan = make_plan(config, steps, machine)
    show_plan(console, plan)
    for name in absent(plan.owed):
        console.say(f"{name} is not on this machine yet: `hf download {name}`.")
