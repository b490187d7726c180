"""`harness contamination`: which training pairs a benchmark holds too."""

from argparse import Namespace
from typing import TYPE_CHECKING, Any

from harness.data.mapping import parse_map
from harness.errors import ExitCode
from harness.registry import content_roots, load_recipe, load_task, results_root
from harness.verbs.showing import format_of, write_sheets

if TYPE_CHECKING:
    from harness.config import RunConfig
    from harness.evaluate.contamination import Match
    from harness.sheets.sheet import Sheet


def contamination(options: Namespace) -> ExitCode:
    """Check pairs against benchmarks, as a run would; nothing is trained or asked."""
    from harness.evaluate.contamination import contamination as check
    from harness.evaluate.contamination import read_matches
    from harness.evaluate.tasks import open_benchmark
    from harness.resolve import resolve_config
    from harness.show.console import RunConsole, Screen
    from harness.training.sources import open_pairs
    from harness.training.stages import Stages

    roots = content_roots(options.include_path)
    given = {
        "recipe": "distill",
        "tasks": options.tasks.split(","),
        "preferences": options.preferences,
        "columns": parse_map(options.map) if options.map else None,
        "data": options.data,
    }
    # any recipe that trains: of its settings, only those of the data are read
    config = resolve_config(given, options.set, roots, load_recipe("distill", roots), here=False)
    with RunConsole(Screen(stderr=True), "opening and comparing") as screen:
        run = Stages(results_root() / "cache", screen)
        pairs = open_pairs(run, config)
        benchmarks = [open_benchmark(run, config, load_task(name, roots)) for name in config.tasks]
        found = run(check, pairs, config.tasks, benchmarks)
    matches = read_matches(found)
    sheets = [_counts(config, found.info, [b.info["items"] for b in benchmarks])]
    sheets += [_matches(matches)] if matches else []
    if format_of(options) == "csv":
        # tables of unlike columns make no table that a spreadsheet can use
        sheets = [_matches(matches)]
    write_sheets(sheets, options, verdicts=False)
    return ExitCode.FOUND if options.fail and matches else ExitCode.OK


def _counts(config: "RunConfig", info: dict[str, Any], items: list[int]) -> "Sheet":
    from harness.sheets.sheet import Column, Sheet, count, text

    columns = (
        Column("task"),
        *(Column(name, "count", spare) for name, spare in (("pairs", 3), ("items", 3))),
        *(Column(name, "count", 0) for name in ("image and question", "of these, same pixels")),
        Column("question and responses", "count", 0),
        *(Column(name, "count", 1) for name in ("image alone", "question alone")),
    )
    rows = []
    for task, asked in zip(config.tasks, items, strict=True):
        found = info["by_task"][task]
        numbers = (
            info["pairs"],
            asked,
            found["both"] - found["texts"],
            *(found[name] for name in ("same_pixels", "texts", "image_only", "question_only")),
        )
        rows.append((text(task), *map(count, numbers)))
    notes = [
        f"{info['both']:,} of {info['pairs']:,} pairs share image and question with an item, or question and both "
        f"responses with one without an image"
        f"{'; a run leaves them out (contamination.pairs)' if info['both'] else ''}. "
        "What else shares an image or a question is kept."
    ]
    return Sheet(f"{config.preferences}: pairs that are items of a benchmark", columns, (tuple(rows),), tuple(notes))


def _matches(matches: "list[Match]") -> "Sheet":
    from harness.sheets.sheet import Column, Sheet, count, text

    columns = (
        *(Column(name) for name in ("pair", "task", "item", "image")),
        Column("bits apart", "count", 1),
        Column("question", "text", 2),
    )
    rows = [(text(m.pair), text(m.task), text(m.item), text(m.image), count(m.bits), text(m.question)) for m in matches]
    note = "Bits apart: of the 63 of the images' perceptual hashes, those that differ."
    return Sheet("pairs and the items that they are", columns, (tuple(rows),), (note,))
