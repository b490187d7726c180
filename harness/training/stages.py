"""Stages and their cache: what was computed once from the same inputs is never computed again.

A stage is a function `(out, ..., progress) -> info` that fills the folder `out` from artifacts and
settings. `Stages` names its result by the hash of all that decides it: the inputs' keys, the
settings, the code of the stage's module and of what it imports from the harness, and the versions
of the libraries that compute. A stage whose result hangs on more than that, such as a user's scoring
dimension or an expert's weights, has a function `also(*inputs)` that returns hashes of it.
"""

import ast
import hashlib
import importlib.util
import inspect
import json
import resource
import shutil
import sys
import sysconfig
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, Protocol

from harness.data.tables import data_fingerprint, fingerprint
from harness.engines.meter import meter
from harness.errors import HarnessError
from harness.provenance import packages
from harness.records.run import StageRecord
from harness.settings import Section, TrainingSettings
from harness.training.keeping import DamagedError, check_whole, report_of, seal, touch

COMPUTING = ("torch", "transformers", "trl", "peft", "accelerate", "datasets", "lmms-eval")
"""Libraries whose version may change a stage's result."""


ENGINE = "engine"
"""Folder in a stage's own for an engine's logs and unfinished work; it goes when the stage is done."""


class Progress(Protocol):
    """What a stage reports while it works."""

    def total(self, steps: int, unit: str = "") -> None:
        """Say how many steps there will be, of what."""

    def advance(self, steps: int = 1) -> None:
        """Say that so many steps are done."""


class Silent:
    """Progress that nobody watches."""

    def total(self, steps: int, unit: str = "") -> None:
        """Ignore the total."""

    def advance(self, steps: int = 1) -> None:
        """Ignore the step."""


@dataclass(frozen=True)
class Artifact:
    """The finished result of a stage: its folder, its key and what it reported."""

    stage: str
    key: str
    path: Path
    info: dict[str, Any] = field(compare=False, default_factory=dict)


class Watch(Protocol):
    """Is told about every stage: before it runs, and when it is there."""

    def begin(self, stage: str, seed: int | None) -> Progress:
        """Return the progress that the stage will report to."""

    def end(self, record: StageRecord) -> None:
        """Take note of a finished or cached stage."""

    def remark(self, line: str) -> None:
        """Say something that a person should know."""


class Clock:
    """Measures a stage from here on."""

    def __init__(self) -> None:
        self.started = time.monotonic()

    def read(self) -> dict[str, float]:
        """Return wall seconds since the start and the peak memory so far of a process, this or a child, in MiB."""
        who = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
        peak = max(resource.getrusage(one).ru_maxrss for one in who) / 1024
        return {"seconds": round(time.monotonic() - self.started, 3), "peak_mb": round(peak, 1)}


class Stages:
    """Runs stages through the cache. A recipe calls it once per line."""

    def __init__(self, root: Path, watch: Watch, training: TrainingSettings | None = None) -> None:
        self.root, self.watch, self.training = root, watch, training or TrainingSettings()
        self.records: list[StageRecord] = []
        self.made: dict[Path, tuple[Callable[..., dict[str, Any]], tuple[Any, ...], int | None]] = {}
        """How each artifact of this run is computed, by its folder."""
        self.whole: set[Path] = set()
        """Artifacts whose files were held against their hashes, or have just been written."""
        self.sieve: Callable[[Artifact], Artifact] = lambda pairs: pairs
        """What pairs pass through once they are opened; a run looks here for those that it will be asked."""

    def __call__(self, stage: Callable[..., dict[str, Any]], *inputs: Any, seed: int | None = None) -> Artifact:
        """Return the artifact of `stage(out, *inputs, [training,] [seed,] progress)`, computing it only if it must be.

        A stage that trains takes `training`, which says on how many processes and how.

        Args:
            stage: the function; its name and its module's code are part of the key.
            inputs: artifacts, settings sections and plain values, all part of the key.
            seed: given only to stages that draw; without it a result is shared by all seeds.
        """
        from filelock import FileLock

        name, key, path = self.place(stage, inputs, seed)
        self.root.mkdir(parents=True, exist_ok=True)
        self.made[path] = stage, inputs, seed
        with FileLock(self.root / f".{path.name}.lock"):
            report, cached = self._kept(path), True
            if report is None:
                self._compute(stage, inputs, seed, path, name)
                report, cached = report_of(path), False
        record = StageRecord(stage=name, seed=seed, key=key[:16], cached=cached, **report)
        self.records.append(record)
        self.watch.end(record)
        return Artifact(name, key, path, report["info"])

    def _kept(self, path: Path) -> dict[str, Any] | None:
        """Return what the cache's artifact reported; None if it is not there, or not whole, which is said."""
        try:
            report = report_of(path)
        except DamagedError as why:
            if str(why):
                self.watch.remark(f"{path.name} in the cache is damaged ({why}): computed again.")
            return None
        touch(path)
        return report

    def opened(self, artifact: Artifact) -> Artifact:
        """Return an artifact whose files are what its stage wrote; one that was damaged since is computed again."""
        from filelock import FileLock

        path = artifact.path
        if path in self.whole:
            return artifact
        with FileLock(self.root / f".{path.name}.lock"):
            try:
                check_whole(path)
            except DamagedError as why:
                if path not in self.made and not str(why):
                    # it was never the cache's
                    return artifact
                if path not in self.made:
                    raise HarnessError(f"{path}: {why}.", "Run again: it will be computed again.") from None
                self.watch.remark(f"{path.name} in the cache is damaged ({why}): computed again.")
                stage, inputs, seed = self.made[path]
                self._compute(stage, inputs, seed, path, artifact.stage)
        self.whole.add(path)
        return artifact

    def place(self, stage: Callable[..., Any], inputs: tuple[Any, ...], seed: int | None) -> tuple[str, str, Path]:
        """Return the name and key of a stage's result, and the folder where it is or will be."""
        name, key = stage.__name__.replace("_", "-"), self._key(stage, inputs, seed)
        return name, key, self.root / f"{name}-{key[:16]}"

    def _key(self, stage: Callable[..., Any], inputs: tuple[Any, ...], seed: int | None) -> str:
        content = {
            "stage": stage.__name__,
            "code": code_hash(Path(inspect.getfile(stage))),
            "inputs": [_identity(value) for value in inputs],
            "also": stage.also(*inputs) if hasattr(stage, "also") else None,
            "seed": seed,
            "versions": versions(),
        }
        if _trains(stage):
            content["training"] = self.training.decisive()
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()

    def _compute(
        self, stage: Callable[..., dict[str, Any]], inputs: tuple[Any, ...], seed: int | None, path: Path, name: str
    ) -> None:
        # one that has to be computed again has a bar of its own, before this one's
        for artifact in _artifacts(inputs):
            self.opened(artifact)
        progress = self.watch.begin(name, seed)
        meter().check()
        # a stage may leave checkpoints here and go on from them after a crash
        part = path.with_name(path.name + ".part")
        part.mkdir(exist_ok=True)
        clock = Clock()
        extra: dict[str, Any] = {} if seed is None else {"seed": seed}
        if _trains(stage):
            extra["training"] = self.training
        info = stage(part, *inputs, **extra, progress=progress)
        shutil.rmtree(part / ENGINE, ignore_errors=True)
        seal(part, path, {**clock.read(), "info": info})
        self.whole.add(path)


def _artifacts(values: Any) -> Iterator[Artifact]:
    """Find the artifacts among a stage's inputs."""
    if isinstance(values, Artifact):
        yield values
    elif isinstance(values, list | tuple):
        for value in values:
            yield from _artifacts(value)


def _trains(stage: Callable[..., Any]) -> bool:
    return "training" in inspect.signature(stage).parameters


PACKAGE = Path(__file__).parent.parent
PLAIN_MODULES = (
    "harness.config",
    "harness.settings",
    "harness.errors",
    "harness.records.run",
    "harness.records.store",
    "harness.training.keeping",
    "harness.training.stages",
)
"""Modules that compute nothing of a stage's result; settings are part of the key by value."""


def versions() -> dict[str, str]:
    """Return the versions of the computing libraries; asking a server needs not all of them."""
    known = packages()
    return {package: known[package] for package in COMPUTING if package in known}


@cache
def code_hash(*paths: Path) -> str:
    """Hash modules with every module of the harness and of the user's that they import, directly or not."""
    files, waiting = dict[str, str](), list(paths)
    while waiting:
        file = waiting.pop()
        if str(file) in files:
            continue
        source = file.read_bytes()
        files[str(file)] = hashlib.sha256(source).hexdigest()
        waiting += _imported(source, file.parent)
    return hashlib.sha256("".join(sorted(files.values())).encode()).hexdigest()


def _imported(source: bytes, folder: Path) -> list[Path]:
    """Find the modules that a source in `folder` names in imports, wherever they stand: the harness's and the user's.

    A user's modules are those beside the source, and those that Python would find and that were not installed.
    """
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom):
            names = [node.module or "", *(f"{node.module or ''}.{alias.name}".strip(".") for alias in node.names)]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        else:
            continue
        for name in filter(None, names):
            top = name.partition(".")[0]
            if top == "harness":
                found += [] if name.startswith(PLAIN_MODULES) else _files(PACKAGE.parent, name)
            elif top not in sys.stdlib_module_names:
                found += _files(folder, name)
                found += _files(root, name) if (root := _users_root(top)) else []
    return found


def _files(root: Path, name: str) -> list[Path]:
    place = root.joinpath(*name.split("."))
    return [file for file in (place.with_suffix(".py"), place / "__init__.py") if file.exists()]


@cache
def _users_root(top: str) -> Path | None:
    """Find the folder that a module is imported from; None for an installed one, whose version is in the key."""
    try:
        spec = importlib.util.find_spec(top)
    except (ValueError, ModuleNotFoundError):
        # a module without a specification, as `__main__` is, or one that is not there
        return None
    places = [*(spec.submodule_search_locations or ())] if spec else []
    file = places[0] if places else spec.origin if spec else None
    root = Path(file).parent if file else None
    installed = {Path(sysconfig.get_path(kind)) for kind in ("purelib", "platlib")}
    return None if root is None or root in installed or not root.is_dir() else root


def _identity(value: Any) -> Any:
    if isinstance(value, Artifact):
        return value.key
    if isinstance(value, Path):
        # where a file lies is nothing to its result
        return fingerprint(value) if value.suffix == ".py" else data_fingerprint(value)
    if isinstance(value, Section):
        return value.decisive()
    if isinstance(value, list | tuple):
        return [_identity(item) for item in value]
    if value is None or isinstance(value, str | int | float | bool):
        return value
    raise TypeError(f"{type(value).__name__} cannot be part of a stage's key")
