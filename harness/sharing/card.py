"""The card of an exported judge: front matter that the hub reads, and a page that people read.

Every figure is counted by `harness.counting` and compared by `harness.comparing`; nothing is computed here.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from harness.comparing.findings import by_seed, differ_in, differences, remarks
from harness.config import differing
from harness.records.run import StageRecord
from harness.registry import described_recipe, find_recipes
from harness.settings import ENGINES, SECTIONS, Section
from harness.sharing.asking import how_to_ask
from harness.sharing.metadata import Figures, all_embedded, front_matter, hub_data, training_hub
from harness.sharing.subject import Subject, public
from harness.sheets.formats import md_text, to_md
from harness.sheets.sheet import Cell, Column, Sheet, text
from harness.show.console import QUIET, seconds, summary
from harness.show.contamination import contamination_of
from harness.show.tables import notes, results_sheets, title_of

TEMPLATE = Path(__file__).with_name("card.md")
CAREVL = "The harness rebuilds CAREVL, arXiv:2503.06260."


def write_card(
    subject: Subject, figures: Sequence[Figures], name: str, licence: str | None, roots: Sequence[Path]
) -> str:
    """Write the card, front matter and page.

    Args:
        subject: what is exported.
        figures: of every task.
        name: OWNER/NAME on the hub, or a dot for the folder itself.
        licence: the model's, as the hub names it; None for what follows from the data.
        roots: content folders, in which the recipe is looked up.
    """
    from jinja2 import Environment, StrictUndefined

    # a page of Markdown: each text of others passes md_text, or a block of code that nothing in it ends
    environment = Environment(undefined=StrictUndefined, trim_blocks=True, keep_trailing_newline=True)  # noqa: S701
    environment.filters["md"] = md_text
    title = name.rpartition("/")[2] if name != "." else subject.run.name
    licence = licence or ("apache-2.0" if all_embedded(subject) else None)
    page = environment.from_string(TEMPLATE.read_text(encoding="utf-8")).render(
        name=md_text(title),
        synthetic=_synthetic(subject, figures),
        does="gives a response a reward" if subject.rewards else "says which of two responses is better",
        recipe=md_text(str(subject.config.get("recipe"))),
        facts=_facts(subject, figures),
        rows=_rows(subject),
        figures=to_md([sheet for one in figures for sheet in _sheets(subject, one)]).strip(),
        notes=list(dict.fromkeys(note for one in figures for note in notes(one.whole))),
        compared=figures[0].comparison is not None,
        asking=how_to_ask(subject, name),
        method=_method(subject, roots),
        stages=to_md([_stages(subject)]).strip(),
        settings=to_md([_settings(subject)]).strip(),
        data=list(_data(subject)),
        licence=_licence(licence),
        limits=list(_limits(subject, figures)),
        citation=_citation(subject, title),
    )
    page = re.sub(r"\n{3,}", "\n\n", page)
    return f"---\n{front_matter(subject, figures, title, licence).to_yaml()}\n---\n\n{page}"


def _synthetic(subject: Subject, figures: Sequence[Figures]) -> str:
    if all_embedded(subject):
        return "This judge was trained on the harness's embedded synthetic world, a toy of drawn pictures."
    if any(one.whole.task.synthetic for one in figures):
        return "This judge was asked about the harness's embedded synthetic world, a toy of drawn pictures."
    return ""


def _facts(subject: Subject, figures: Sequence[Figures]) -> dict[str, str]:
    config, run = subject.config, subject.run
    judge = config.get("judge") or {}
    base = subject.base or judge
    revision = f", revision {base['revision']}" if base.get("revision") else ""
    kind = "a LoRA adapter, to be loaded beside its base" if subject.kept_adapter else "a whole model"
    if subject.merged:
        kind = f"a whole model: a LoRA adapter merged into its base in float32, then rounded to {subject.precision}"
    libraries = ", ".join(f"{name} {run.packages[name]}" for name in ("torch", "transformers", "trl", "peft")
                          if name in run.packages)  # fmt: skip
    return {
        "base model": f"{public(base.get('model', '–'))}{revision}",
        "what it is": kind + (", ending in a reward head" if subject.rewards else ""),
        "recipe and profile": f"{config.get('recipe')}, {public(config.get('profile', 'embedded'))}",
        "training seed": f"{subject.seed}, of {', '.join(sorted(run.checkpoints, key=int))}",
        "asked about": "; ".join(title_of(one.whole) for one in figures),
        "run": f"{run.name}, {run.finished or run.started}",
        "made with": f"vlrm-harness {run.packages.get('vlrm-harness', '–')}, {run.revision or '–'}; {libraries}",
        "fingerprint": subject.fingerprint + (" (before merging)" if subject.merged else ""),
    }


def _rows(subject: Subject) -> str:
    count = len(subject.run.checkpoints)
    if count == 1:
        return "The first row is this very checkpoint."
    return f"The first row is this very checkpoint; the second is the recipe, over {count} training seeds."


def _sheets(subject: Subject, one: Figures) -> Iterator[Sheet]:
    """Make the tables of one task: figures, the seeds, and differences with what they rest on."""
    shown, names = [("", one.alone)], [f"this checkpoint, seed {subject.seed}"]
    called = str(subject.config.get("recipe"))
    if len(one.whole.tallies) > 1:
        shown.append(("", one.whole))
        names.append(called)
    if one.comparison:
        shown.append(("baseline", one.comparison.baseline))
        names.append(one.comparison.names[0])
    yield from results_sheets(shown, names)
    if one.comparison:
        if seeds := by_seed(one.comparison):
            yield seeds
        found = one.comparison
        settings = {key: tuple(map(public, values)) for key, values in found.settings.items()}
        told = (found.sentence(), *remarks(found), *differ_in(settings))
        yield replace(differences(found, every_slice=True), notes=told)


def _method(subject: Subject, roots: Sequence[Path]) -> str:
    name = str(subject.config.get("recipe"))
    if name not in find_recipes(roots):
        return f"The recipe {name} does not come with the harness."
    return described_recipe(name, roots)[0]


def own_stages(stages: Sequence[StageRecord], seed: int) -> list[StageRecord]:
    """List the stages that one seed's checkpoint came of: those before any seed, then its own.

    Of those without a seed that come later, each belongs to the seed before it.
    """
    found, current = [], None
    for stage in stages:
        current = stage.seed if stage.seed is not None else current
        if current in (None, seed):
            found.append(stage)
    return found


def _stages(subject: Subject) -> Sheet:
    rows = tuple(
        (text(stage.stage), text(summary(stage.info)), Cell(stage.seconds, seconds(stage.seconds)))
        for stage in own_stages(subject.run.stages, subject.seed)
        if stage.stage not in QUIET and not stage.stage.startswith("judge ")
    )
    columns = (Column("stage"), Column("what it reports"), Column("took", "number"))
    return Sheet("stages of this checkpoint", columns, (rows,))


def _settings(subject: Subject) -> Sheet:
    """List the settings that are not the harness's defaults."""
    kinds: tuple[type[Section], ...] = (*SECTIONS.values(), *ENGINES)
    unheeded = {name for kind in kinds for name in kind.indifferent}
    rows = []
    for section, kind in SECTIONS.items():
        if isinstance(own := subject.config.get(section), dict):
            apart = differing(own, kind().model_dump(mode="json"))
            rows += [
                (text(f"{section}.{key}"), text(str(public(value))), text(str(default)))
                for key, (value, default) in apart.items()
                if value is not None and key.rpartition(".")[2] not in unheeded
            ]
    columns = (Column("setting"), Column("here"), Column("default"))
    return Sheet("settings that are not the defaults", columns, (tuple(rows),))


def _data(subject: Subject) -> Iterator[str]:
    """Say what it was trained on, under which licence, and what of that the benchmarks hold too."""
    config = subject.config
    preferences, source = str(config.get("preferences", "–")), config.get("source") or {}
    opened = next((stage.info for stage in subject.run.stages if stage.stage.endswith("-preferences")), {})
    pairs = f"{opened['pairs']:,} preference pairs" if isinstance(opened.get("pairs"), int) else "Preference pairs"
    if preferences == "embedded":
        yield f"{pairs} of the embedded synthetic world, drawn by the harness under its own licence, Apache-2.0."
    elif source:
        commit = f", commit {opened['revision']}" if opened.get("revision") else ""
        yield f"{pairs} of {source.get('hub')}{commit}, licence {source.get('licence', 'unknown')}."
    elif preferences.startswith("hub:"):
        yield f"{pairs} of {preferences.removeprefix('hub:')}; the record does not hold their licence: see their card."
    else:
        yield f"{pairs} of a file, {public(preferences)}, which are not published here; their licence is not recorded."
    if experts := (config.get("experts") or {}).get("models"):
        yield f"Labels were checked by the textual reward models {', '.join(map(str, public(experts)))}."
    for task in subject.run.tasks:
        found = contamination_of(subject.run, task)
        yield found.sentence or f"Training pairs that are items of {task.task} too: {found.short}."


def _licence(licence: str | None) -> str:
    if licence:
        return f"{md_text(licence)}. The licences of the base model and of the data hold besides."
    return "Not stated. The licences of the base model and of the data hold: see their cards."


def _limits(subject: Subject, figures: Sequence[Figures]) -> Iterator[str]:
    """Say what the figures do not say."""
    seeds = len(subject.run.checkpoints)
    yield (
        "The figures are of one checkpoint. Trained once more with another seed, the recipe gives another."
        if seeds == 1
        else f"The first row is of this checkpoint; differences speak of the recipe over {seeds} seeds, not of it."
    )
    asked = ", ".join(dict.fromkeys(one.whole.protocol.spec for one in figures))
    yield f"Another protocol than {asked} asks or counts otherwise; its figures cannot be set beside these."
    for one in figures:
        task = one.whole.task
        if task.items < task.data_items:
            yield f"Of {task.task}, {task.items} of {task.data_items} items were asked."
        if not task.synthetic and hub_data(one.whole)[0] is None:
            yield f"The items of {task.task} came from a file, {public(task.data)}; nobody else can check them by name."
        if contamination_of(subject.run, task).short == "not checked":
            yield f"Whether it was trained on items of {task.task} was not checked."
    preferences = str(subject.config.get("preferences", ""))
    if preferences != "embedded" and not training_hub(subject):
        yield "The training pairs are not published here, so that nobody else can repeat the training."
    yield "It knows pictures, questions and languages like those of its training. It can be wrong, and sure."


def _citation(subject: Subject, title: str) -> str:
    """Write an entry of BibTeX, whose every text is plain."""
    plain = re.sub(r"[^\w .+:/-]", " ", title)
    recipe = re.sub(r"[^\w .-]", " ", str(subject.config.get("recipe")))
    year = (subject.run.finished or subject.run.started)[:4]
    harness = re.sub(r"[^\w.+-]", "", subject.run.packages.get("vlrm-harness", ""))
    return "\n".join(
        [
            f"@misc{{{re.sub(r'[^A-Za-z0-9]', '-', title)},",
            f"  title = {{{plain}: a vision-language judge trained by the recipe {recipe}}},",
            f"  note = {{Trained and measured with vlrm-harness {harness}. {CAREVL}}},",
            f"  year = {{{re.sub(r'[^0-9]', '', year)}}},",
            "}",
        ]
    )
