"""Names to tasks, recipes, profiles and runs, found by path and loaded only when asked for.

A folder of content has the shape of this repository: `tasks/<name>/<name>.yaml`,
`recipes/<name>/recipe.py`, `recipes/<name>/sweeps/<name>.yaml`, `recipes/profiles/<name>.yaml`,
`preferences/<name>.yaml`, `judges/<name>.yaml`. `--include-path` adds folders; the first that holds a name wins, the
user's before ours.
"""

import ast
import importlib.util
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import yaml
from pydantic import ValidationError

from harness.bounded_yaml import parse, read_yaml
from harness.errors import HarnessError, unknown
from harness.published_judges import JUDGE, PublishedJudge
from harness.records import Kind
from harness.settings import PreferenceSource


def content_roots(include: Sequence[Path] = ()) -> list[Path]:
    """List the folders that hold `tasks/`, `recipes/`, `preferences/` and `judges/`: the user's, then ours."""
    package = Path(__file__).parent
    ours = package / "content" if (package / "content").is_dir() else package.parent
    for path in include:
        if not path.is_dir():
            raise HarnessError(
                f"--include-path {path} is no folder.", "Name one that holds tasks/, recipes/, preferences/ or judges/."
            )
    return [*include, ours]


def results_root() -> Path:
    """Where runs and the stage cache live: `$HARNESS_RESULTS`, else `./results`."""
    return Path(os.environ.get("HARNESS_RESULTS", "results"))


def published_root() -> Path:
    """Where published figures lie: `published` among the results, else those that come with the harness."""
    own = results_root() / "published"
    return own if own.is_dir() else content_roots()[0] / "results/published"


@dataclass(frozen=True)
class Recipe:
    """A recipe: a linear file that trains one judge."""

    name: str
    files: tuple[Path, ...]
    """Its file, and those of the recipes whose functions it calls."""
    summary: str
    sections: frozenset[str]
    """Settings it depends on; the others are left out of a run's record."""
    baseline: str | None
    """What it is compared with unless `--baseline` says otherwise."""
    seeded: bool
    """Whether a seed changes anything; if not, one seed is run."""
    embedded_only: bool
    scores: bool
    """Whether its judge gives a reward to each response; if not, it compares two."""
    train: Callable[..., Any]
    """(run, config, seed) to the artifact of the judge."""

    @property
    def trains(self) -> bool:
        """Whether it trains on preference pairs."""
        return bool(self.sections & {"sft", "reward"})


def _find(roots: Sequence[Path], pattern: str) -> dict[str, Path]:
    found: dict[str, Path] = {}
    for root in roots:
        for path in sorted(root.glob(pattern)):
            found.setdefault(path.stem if path.suffix == ".yaml" else path.parent.name, path)
    return found


def find_recipes(roots: Sequence[Path]) -> dict[str, Path]:
    """Map recipe names to their files."""
    return _find(roots, "recipes/*/recipe.py")


GONE = {"distill-matched": "--recipe distill --set sft.match=carevl"}
"""Recipes that records may name and that another way of asking has replaced."""


def load_recipe(name: str, roots: Sequence[Path]) -> Recipe:
    """Load the recipe called `name`."""
    paths = find_recipes(roots)
    if name not in paths:
        now = f"{name} is now {GONE[name]}." if name in GONE else "`harness ls recipes` describes them."
        raise unknown("recipe", name, paths, now)
    module = _recipe_module(paths[name])
    if not hasattr(module, "train"):
        raise HarnessError(f"{paths[name]} has no function train(run, config, seed).", "Copy recipes/distill.")
    return Recipe(
        name,
        tuple(_recipe_files(module)),
        (module.__doc__ or "").strip().split("\n")[0],
        frozenset(getattr(module, "SECTIONS", ())) | {"judge", "judging"},
        getattr(module, "BASELINE", "distill"),
        getattr(module, "SEEDED", True),
        getattr(module, "EMBEDDED_ONLY", False),
        getattr(module, "SCORES", False),
        module.train,
    )


def described_recipe(name: str, roots: Sequence[Path]) -> tuple[str, str | None]:
    """Tell a recipe's summary and baseline from its text; nothing in it is run.

    Raises:
        HarnessError: if it is no Python.
    """
    path = find_recipes(roots)[name]
    try:
        tree = ast.parse(path.read_text(encoding="utf-8"))
    except (SyntaxError, ValueError, RecursionError) as error:
        raise HarnessError(f"{path} is no Python ({error}).", "Mend it.") from None
    baseline: str | None = "distill"
    for node in tree.body:
        for target, value in _assigned(node):
            if target == "BASELINE" and isinstance(value, ast.Constant):
                baseline = value.value if isinstance(value.value, str) else None
    return (ast.get_docstring(tree) or "").split("\n")[0], baseline


def _assigned(node: ast.stmt) -> Iterator[tuple[str, ast.expr]]:
    """List the names that an assignment sets, each with its value, `A, B = 1, 2` too."""
    if not isinstance(node, ast.Assign):
        return
    for target in node.targets:
        if isinstance(target, ast.Tuple) and isinstance(node.value, ast.Tuple):
            for one, value in zip(target.elts, node.value.elts, strict=False):
                if isinstance(one, ast.Name):
                    yield one.id, value
        elif isinstance(target, ast.Name):
            yield target.id, node.value


def _recipe_module(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(RECIPE + path.parent.name.replace("-", "_"), path)
    if spec is None or spec.loader is None:
        raise HarnessError(f"{path} cannot be loaded.", "A recipe is a Python file.")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


RECIPE = "harness_recipe_"
"""What the name of every recipe's module begins with."""


def sibling(file: str, name: str) -> ModuleType:
    """Return the recipe `name` as a module, so that the recipe in `file` can call its functions.

    It is looked for beside `file` first, then among those that come with the harness.
    """
    paths = find_recipes([Path(file).parent.parent.parent, *content_roots()])
    if name not in paths:
        raise unknown("recipe", name, paths, f"{file} calls it.")
    return _recipe_module(paths[name])


def _recipe_files(module: ModuleType) -> Iterator[Path]:
    """List a recipe's file and, after it, those of the siblings that it calls."""
    yield Path(str(module.__file__))
    for value in vars(module).values():
        if isinstance(value, ModuleType) and value.__name__.startswith(RECIPE):
            yield from _recipe_files(value)


def find_profiles(roots: Sequence[Path]) -> dict[str, Path]:
    """Map profile names to their files."""
    return _find(roots, "recipes/profiles/*.yaml")


def load_profile(name: str, roots: Sequence[Path]) -> dict[str, Any]:
    """Read the profile called `name`, or the one in the file `name`."""
    if name.endswith((".yaml", ".yml")):
        return read_yaml(Path(name))
    paths = find_profiles(roots)
    if name not in paths:
        raise unknown("profile", name, paths, "`harness ls profiles` describes them.")
    return read_yaml(paths[name])


def find_sweeps(roots: Sequence[Path]) -> dict[str, Path]:
    """Map the names of sweeps to their files."""
    return _find(roots, "recipes/*/sweeps/*.yaml")


def find_sweep(name: str, roots: Sequence[Path]) -> Path:
    """Find the file of the sweep called `name`; a name that ends in .yaml is a file's own."""
    if name.endswith((".yaml", ".yml")):
        return Path(name)
    paths = find_sweeps(roots)
    if name not in paths:
        raise unknown("sweep", name, paths, "`harness ls sweeps` describes them; a file's name ends in .yaml.")
    return paths[name]


def find_preferences(roots: Sequence[Path]) -> dict[str, Path]:
    """Map the names of published sources of preference pairs to their files."""
    return _find(roots, "preferences/*.yaml")


def load_preferences(name: str, roots: Sequence[Path]) -> PreferenceSource:
    """Read the source of preference pairs called `name`, or `NAME=FOLDER` with a local copy."""
    name, _, folder = name.partition("=")
    paths = find_preferences(roots)
    if name not in paths:
        hint = (
            "`harness ls preferences` describes them; a file ends in .parquet or .jsonl, and hub:NAME names the hub's."
        )
        raise unknown("source of preferences", name, paths, hint)
    try:
        return PreferenceSource.model_validate(read_yaml(paths[name]) | {"folder": folder or None})
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(map(str, first["loc"]))
        raise HarnessError(f"{paths[name]}, field {field}: {first['msg']}.", "Copy preferences/rlaif-v.yaml.") from None


def find_judges(roots: Sequence[Path]) -> dict[str, Path]:
    """Map the names of published judges to their files."""
    return _find(roots, "judges/*.yaml")


def load_judge(name: str, roots: Sequence[Path]) -> PublishedJudge:
    """Read the published judge called `name`, without `judge:` before it."""
    paths = find_judges(roots)
    if name not in paths:
        raise unknown("judge", JUDGE + name, [JUDGE + known for known in paths], "`harness ls judges` describes them.")
    try:
        return PublishedJudge.model_validate(read_yaml(paths[name]))
    except ValidationError as error:
        first = error.errors()[0]
        field = f", field {'.'.join(map(str, first['loc']))}" if first["loc"] else ""
        told = first["msg"].removeprefix("Value error, ")
        raise HarnessError(f"{paths[name]}{field}: {told}.", "judges/README.md says what a file may hold.") from None


@dataclass(frozen=True)
class TaskContent:
    """What a task's YAML says besides what lmms-eval reads in it."""

    name: str
    path: Path
    kind: Kind
    protocols: tuple[str, ...]
    """The protocols it may be asked under; the first is the default."""
    comparing: str | None
    """The default protocol for a judge that can only compare two responses."""
    scoring: str | None
    """The default protocol for a judge that gives each response a reward."""
    reader: str
    """How a verdict is read, where the protocol does not say."""
    summary: str
    source: str
    items: str
    licence: str
    """Of its data; empty where its authors were not seen to name one."""

    @property
    def hooks(self) -> Path:
        """The file of its hooks."""
        return self.path.with_name("hooks.py")


def find_tasks(roots: Sequence[Path]) -> dict[str, Path]:
    """Map the names of tasks and groups to their YAML files."""
    return {name: path for name, path in _find(roots, "tasks/*/*.yaml").items() if not name.startswith("_")}


def _content(path: Path) -> dict[str, Any]:
    content: dict[str, Any] = parse(path.read_text(encoding="utf-8"), _PlainLoader)
    return content


def read_task(path: Path) -> TaskContent:
    """Read a task's own metadata without importing its hooks."""
    about = _content(path).get("metadata", {})
    missing = [key for key in ("kind", "protocols") if key not in about]
    if missing:
        raise HarnessError(f"{path}: metadata has no {missing[0]}.", "Copy those of tasks/vlrewardbench.")
    return TaskContent(
        path.stem,
        path,
        about["kind"],
        tuple(about["protocols"]),
        about.get("comparing"),
        about.get("scoring"),
        about.get("reader", "strict"),
        *(str(about.get(key, "")) for key in ("summary", "source", "items", "licence")),
    )


def load_task(name: str, roots: Sequence[Path]) -> TaskContent:
    """Read the task called `name`."""
    paths = find_tasks(roots)
    if name not in paths:
        raise unknown("task", name, paths, "`harness ls tasks` describes them.")
    return read_task(paths[name])


def group_of(path: Path) -> list[str]:
    """List the tasks of a group; a task's own YAML has none."""
    content = _content(path)
    return list(content["task"]) if "group" in content else []


def expand_tasks(names: Sequence[str], roots: Sequence[Path]) -> list[str]:
    """Replace groups by their tasks, each task once."""
    paths = find_tasks(roots)
    found: list[str] = []
    for name in names:
        if name not in paths:
            raise unknown("task", name, paths, "`harness ls tasks` describes them.")
        found += [task for task in group_of(paths[name]) or [name] if task not in found]
    return found


class _PlainLoader(yaml.SafeLoader):
    """Loads a task's YAML safely and leaves its `!function` hooks as text."""


_PlainLoader.add_constructor("!function", lambda loader, node: str(node.value))


def find_run(name: str) -> Path:
    """Find a run by path, by name, or by the name of a baseline; an unknown one gets the nearest name.

    Raises:
        HarnessError: if there is none, or a name without a path is that of several.
    """
    places = (Path(name), results_root() / "runs" / name, baselines_root() / name)
    found = {path.resolve(): path for path in places if (path / "run.json").exists()}
    if len(found) > 1:
        raise HarnessError(
            f"{name!r} names {' and '.join(map(str, found.values()))}.", "Write the path of the one that is meant."
        )
    if found:
        return next(iter(found.values()))
    known = [path.name for path in (*list_runs(), *list_baselines())]
    raise unknown("run", name, known, "`harness ls runs` lists them.")


def list_runs() -> list[Path]:
    """List the folders of every run, newest first."""
    folders = [path.parent for path in (results_root() / "runs").glob("[!.]*/run.json")]
    return sorted(folders, key=lambda path: (path / "run.json").stat().st_mtime, reverse=True)


def baselines_root() -> Path:
    """Where accepted baselines are kept, to be committed."""
    return results_root() / "baselines"


def list_baselines() -> list[Path]:
    """List the folders of every accepted baseline, by name."""
    return sorted(path.parent for path in baselines_root().glob("[!.]*/run.json"))
