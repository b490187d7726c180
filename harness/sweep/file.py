"""The file of a sweep: what its cells share, what sets each apart, and which one a cell is compared with."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import product
from math import inf, prod
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from harness.bounded_yaml import parse
from harness.config import assign
from harness.errors import HarnessError, unknown

MOST_BYTES, MOST_CELLS = 64 * 1024, 1000
EXAMPLE = "recipes/carevl/sweeps has examples."
RUN_OPTIONS = ("recipe", "profile")
"""What a cell may choose besides settings."""

Chosen = dict[str, Any]
"""What sets a cell apart: a value by `section.key`, or by `recipe` or `profile`."""


class Plot(BaseModel):
    """The curve that is drawn over the cells."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    x: str
    """The setting along the axis; every cell gives it a number."""
    xlabel: str = ""
    """What stands below the axis; else the setting's name."""


class SweepFile(BaseModel):
    """A sweep as its file says it. The first fields are those of `harness run`, and mean the same."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    recipe: str | None = None
    tasks: list[str] = Field(min_length=1)
    seeds: list[int] = Field([0], min_length=1)
    profile: str | None = None
    preferences: str | None = None
    data: str | None = None
    protocol: str | None = None
    limit: int | None = Field(None, ge=1)
    set: Chosen = {}
    """Settings of every cell, by `section.key`."""
    cells: dict[str, Chosen] = {}
    """By label, what sets a cell apart."""
    grid: dict[str, list[Any]] = {}
    """Every combination is a cell, or has each of `cells`. The first key varies slowest."""
    baseline: str | Chosen | None = None
    """The label of the cell that the others are compared with; None is the first. Where each combination of a grid has
    cells, that is the one of the same combination.

    Or what sets it apart from a cell, `{recipe: distill}` for one: each cell is then compared with the one that is like
    it but for that.
    """
    plot: Plot | None = None
    """None draws each cell's difference as a point with its interval."""
    show: list[str] = []
    """`stage.field`: what stages reported, shown as columns, in the mean over seeds."""


@dataclass(frozen=True)
class Cell:
    """One cell: an ordinary run."""

    label: str
    chosen: Chosen
    reference: str
    """The label of the cell that it is compared with; its own where it is the reference."""
    given: dict[str, Any]
    """Of `RunConfig`, besides settings; None where nothing is said."""
    assignments: tuple[str, ...]
    """`section.key=value`, as `--set` takes them."""

    @property
    def command(self) -> list[str]:
        """The arguments of `harness` that run it."""
        command = ["run", "--baseline", "none", "--resume"]
        for option, value in self.given.items():
            if value is not None:
                told = ",".join(map(str, value)) if isinstance(value, list) else str(value)
                command.append(f"--{option.removesuffix('s') if option == 'protocols' else option}={told}")
        return [*command, *(f"--set={text}" for text in self.assignments)]


@dataclass(frozen=True)
class Sweep:
    """A sweep that was read."""

    path: Path
    file: SweepFile
    cells: tuple[Cell, ...]

    @property
    def name(self) -> str:
        """Its file's name, without the ending."""
        return self.path.stem

    @property
    def asks(self) -> str:
        """What it asks: the comment at the top of the file, its first line."""
        return asks(self.path)

    def curve(self, cell: Cell) -> str:
        """Name the curve that a cell is on: what sets it apart besides the axis."""
        assert self.file.plot
        others = {key: value for key, value in cell.chosen.items() if key != self.file.plot.x}
        return _label(others) or str(cell.given["recipe"])


def asks(path: Path) -> str:
    """Read what a sweep asks: the first line of the comment at the top of its file."""
    first = path.read_text(encoding="utf-8").partition("\n")[0]
    return first.removeprefix("#").strip() if first.startswith("#") else ""


def read_sweep(path: Path) -> Sweep:
    """Read the file of a sweep, safely.

    Raises:
        HarnessError: naming file, field, value and fix.
    """
    file = _validated(path, _read(path))
    chosen = _cells(path, file)
    for where, settings in {"set": file.set, **{f"cell {label!r}": own for label, own in chosen.items()}}.items():
        _check_settings(path, where, settings, where != "set")
    if file.plot:
        _check_axis(path, file.plot.x, chosen)
    cells = [_cell(path, file, label, own, _reference(path, file, label, chosen)) for label, own in chosen.items()]
    return Sweep(path, file, tuple(cells))


class _Loader(yaml.SafeLoader):
    """Refuses what makes a small file large, or hides half of it: aliases and keys that come twice."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.AliasEvent):
            raise yaml.YAMLError("it holds an alias (*), which could make it of any size")
        return super().compose_node(parent, index)

    def construct_mapping(self, node: Any, deep: bool = False) -> Any:
        keys = [key.value for key, _ in node.value]
        if twice := [key for key in keys if keys.count(key) > 1]:
            raise yaml.YAMLError(f"{twice[0]!r} comes twice{node.start_mark}")
        return super().construct_mapping(node, deep)


def _read(path: Path) -> Any:
    try:
        with path.open("rb") as file:
            content = file.read(MOST_BYTES + 1)
        if len(content) > MOST_BYTES:
            raise HarnessError(f"{path} is larger than {MOST_BYTES // 1024} KiB.", "Split it; a grid is short.")
        return parse(content.decode(), _Loader)
    except OSError as error:
        raise HarnessError(f"{path} cannot be read: {error.strerror}.", "`harness ls sweeps` lists ours.") from None
    except ValueError as error:
        raise HarnessError(f"{path} is not valid YAML: {' '.join(str(error).split())[:300]}.", EXAMPLE) from None


def _validated(path: Path, content: Any) -> SweepFile:
    if not isinstance(content, dict):
        raise HarnessError(f"{path} holds no mapping.", EXAMPLE)
    try:
        file = SweepFile.model_validate(content)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"])
        if first["type"] == "extra_forbidden":
            known = Plot.model_fields if first["loc"][0] == "plot" else SweepFile.model_fields
            raise unknown(f"field of {path}", str(first["loc"][-1]), known) from None
        told = "" if first["type"] == "missing" else f" = {str(first['input'])[:80]!r}"
        raise HarnessError(f"{path}, field {field}{told}: {first['msg']}.", EXAMPLE) from None
    if not file.cells and not file.grid:
        fix = "Write `grid: {section.key: [value, value]}`, or cells by label."
        raise HarnessError(f"{path} has neither cells nor a grid.", fix)
    return file


def _cells(path: Path, file: SweepFile) -> dict[str, Chosen]:
    """Lay out what sets each cell apart, by label."""
    combinations = prod(map(len, file.grid.values()))
    count = combinations * max(1, len(file.cells))
    if count > MOST_CELLS or count == 0:
        raise HarnessError(f"{path} has {count:,} cells.", f"Between 1 and {MOST_CELLS:,} make a sweep.")
    grid = [dict(zip(file.grid, values, strict=True)) for values in product(*file.grid.values())]
    if len({_label(own) for own in grid}) < combinations:
        raise HarnessError(f"{path}, field grid: a value comes twice.", "Write each value of a setting once.")
    return {
        _joined(shared, name): {**shared, **own} for shared in grid for name, own in (file.cells or {"": {}}).items()
    }


def _joined(shared: Chosen, name: str) -> str:
    """Label one of the cells of a combination of the grid."""
    return ": ".join(filter(None, (_label(shared), name)))


def _label(chosen: Chosen) -> str:
    """Name a cell by what sets it apart, with as little of each key as tells them apart."""
    ends = [key.rpartition(".")[2] for key in chosen]
    shown = [key if ends.count(end) > 1 else end for key, end in zip(chosen, ends, strict=True)]
    named = zip(shown, chosen.items(), strict=True)
    return ", ".join(str(value) if key in RUN_OPTIONS else f"{name}={as_yaml(value)}" for name, (key, value) in named)


def _check_settings(path: Path, where: str, settings: Mapping[str, Any], may_choose: bool) -> None:
    """Refuse a setting that no section knows, before anything heavy is loaded; values are checked with the run's."""
    for key, value in settings.items():
        if key in RUN_OPTIONS and may_choose:
            if not isinstance(value, str):
                raise HarnessError(f"{path}, {where}, {key} = {value!r}: it is no name.", f"`harness ls {key}s`.")
            continue
        try:
            assign({}, key, value)
        except HarnessError as error:
            raise HarnessError(f"{path}, {where}: {error.problem}", error.fix) from None


def _check_axis(path: Path, x: str, chosen: Mapping[str, Chosen]) -> None:
    for label, own in chosen.items():
        if not isinstance(own.get(x), int | float) or isinstance(own[x], bool):
            fix = "Leave out `plot` for a plot of differences, or give every cell a number."
            raise HarnessError(f"{path}, field plot.x = {x!r}: cell {label!r} has no number there.", fix)


def _reference(path: Path, file: SweepFile, label: str, chosen: Mapping[str, Chosen]) -> str:
    """Find the label of the cell that a cell is compared with."""
    if file.baseline is None or isinstance(file.baseline, str):
        known = file.cells or chosen
        name = next(iter(known)) if file.baseline is None else file.baseline
        if name not in known:
            raise unknown(f"cell of {path}", name, known, "`baseline` names it.")
        shared = {key: value for key, value in chosen[label].items() if key in file.grid} if file.cells else {}
        return _joined(shared, name)
    wanted = chosen[label] | file.baseline
    for other, own in chosen.items():
        if own == wanted:
            return other
    fix = "`baseline` is a cell's label, or the values that its cell has in place of another's."
    raise HarnessError(f"{path}, field baseline = {file.baseline}: cell {label!r} has no such reference.", fix)


def _cell(path: Path, file: SweepFile, label: str, chosen: Chosen, reference: str) -> Cell:
    recipe = chosen.get("recipe", file.recipe)
    if recipe is None:
        raise HarnessError(f"{path}, cell {label!r} has no recipe.", "Write `recipe: carevl`; `harness ls recipes`.")
    given = {
        "recipe": recipe,
        "tasks": file.tasks,
        "seeds": file.seeds,
        "profile": chosen.get("profile", file.profile),
        "preferences": file.preferences,
        "data": file.data,
        "protocols": file.protocol,
        "limit": file.limit,
    }
    settings = {key: value for key, value in {**file.set, **chosen}.items() if key not in RUN_OPTIONS}
    return Cell(label, chosen, reference, given, tuple(f"{key}={as_yaml(value)}" for key, value in settings.items()))


def as_yaml(value: Any) -> str:
    """Write a value as `--set` reads it."""
    printable = json.dumps(value, ensure_ascii=False, default=str).isprintable()
    told = yaml.safe_dump(value, default_flow_style=True, width=inf, allow_unicode=printable)
    return told.removesuffix("\n...\n").strip()
