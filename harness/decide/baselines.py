"""Accepted baselines: runs kept on purpose, to be committed, each with the history of why.

`results/baselines/NAME/` holds a finished run as it was, without its log, and `accepted.json`: a list of
`Acceptance` records, oldest first, to which each acceptance adds one.
"""

import hashlib
import json
import re
import shutil
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from harness import provenance
from harness.counting.metrics import primary
from harness.counting.results import label, load_result
from harness.errors import DataError, HarnessError, NotApplicableError
from harness.records import RunFolder
from harness.records.store import write_atomically

HISTORY = "accepted.json"


class Acceptance(BaseModel):
    """One acceptance: what was taken as baseline, when and why."""

    model_config = ConfigDict(extra="forbid")

    date: str
    reason: str
    run: str
    """The name of the accepted run."""
    fingerprint: str
    """Hash over the run's files."""
    replaced: str | None
    """The fingerprint of the baseline that stood there before, as it was found; None for the first."""
    revision: str | None
    """Git revision of the harness that accepted it, `+dirty` where the tree had changes."""
    data: dict[str, str]
    """By task, the fingerprint of the data."""
    figures: dict[str, dict[str, float]]
    """By task, the figure that a comparison speaks of."""


def history(path: Path) -> list[Acceptance]:
    """Read every acceptance of the baseline in `path`, oldest first.

    Raises:
        DataError: if the record was edited or torn.
    """
    file = path / HISTORY
    if not file.exists():
        return []
    try:
        return [Acceptance.model_validate(entry) for entry in json.loads(file.read_text(encoding="utf-8"))]
    except (ValueError, TypeError, ValidationError) as error:
        reason = " ".join(str(error).split())[:200]
        raise DataError(f"{file}: {reason}.", "The record was edited or torn: restore it.") from None


def fingerprint(folder: RunFolder) -> str:
    """Hash the files of a run: its record, configuration, items, presentations and judgments."""
    digest = hashlib.sha256()
    for file in _files(folder):
        digest.update(f"{file.name} {file.stat().st_size}\n".encode() + file.read_bytes())
    return digest.hexdigest()[:16]


def _files(folder: RunFolder) -> list[Path]:
    # not the log, which names the machine that it was written on
    named = [folder.path / "run.json", folder.path / "config.yaml", *folder.path.glob("*-*.jsonl")]
    return sorted(file for file in named if file.exists())


def accept(
    folder: RunFolder, root: Path, reason: str, name: str | None = None, replace_data: bool = False
) -> tuple[Path, Acceptance]:
    """Copy a finished run to `root`/`name`, in place of what stands there, and note why.

    Args:
        folder: the run.
        root: the folder of baselines.
        reason: why it is accepted; kept for good.
        name: of the baseline; by default the run's recipe or model.
        replace_data: whether other data or another protocol than the baseline's are meant.

    Returns:
        The baseline's folder and the new entry of its history.

    Raises:
        RunIncompleteError: if something is owed in the run.
        HarnessError: if there is no reason, the name is no folder's, or the run is on other data.
    """
    reason = " ".join(reason.split())
    if not reason:
        raise HarnessError("--reason is empty.", "Say why this run is the new baseline.")
    run = folder.read_run()
    name = name or label(run).replace("/", "_")
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", name):
        raise HarnessError(f"{name!r} is no name of a baseline.", "Use letters, digits, dot, dash: --name NAME.")
    path = root / name
    if path.resolve() == folder.path.resolve():
        raise HarnessError(f"{folder.path} is the baseline itself.", "Name another run.")
    figures = _figures(folder)
    if path.exists() and not replace_data:
        _refuse_other_data(folder, RunFolder(path))
    entry = Acceptance(
        date=provenance.now(),
        reason=reason,
        run=run.name,
        fingerprint=fingerprint(folder),
        replaced=fingerprint(RunFolder(path)) if path.exists() else None,
        revision=provenance.revision(),
        data={record.task: record.data_fingerprint for record in run.tasks},
        figures=figures,
    )
    entries = [*history(path), entry]
    _copy(folder, path, json.dumps([one.model_dump() for one in entries], indent=1) + "\n")
    return path, entry


def _figures(folder: RunFolder) -> dict[str, dict[str, float]]:
    """Count every task, which also shows that nothing is owed."""
    figures: dict[str, dict[str, float]] = {}
    tasks: list[str | None] = [record.task for record in folder.read_run().tasks]
    for task in tasks or [None]:
        try:
            result = load_result(folder, task)
        except NotApplicableError:
            continue
        metric = primary(result.kind)
        figures[result.task.task] = {metric.name: round(result.estimate(metric).value, 6)}
    return figures


def _refuse_other_data(folder: RunFolder, standing: RunFolder) -> None:
    """Refuse a run that its own baseline could not be compared with."""
    asked = [
        {t.task: (t.data_fingerprint, t.protocol, t.protocol_version) for t in one.read_run().tasks}
        for one in (folder, standing)
    ]
    if asked[0] == asked[1]:
        return
    tasks = sorted(task for task in {*asked[0], *asked[1]} if asked[0].get(task) != asked[1].get(task))
    raise HarnessError(
        f"{folder.name} and the baseline {standing.name} differ in tasks, data or protocol: {', '.join(tasks)}.",
        "If that is meant, say --replace-data; else choose another --name.",
    )


def _copy(folder: RunFolder, path: Path, record: str) -> None:
    """Copy the run beside its place, then change places, so that no half baseline is ever found."""
    part, old = path.with_name(f".{path.name}.part"), path.with_name(f".{path.name}.old")
    try:
        for left in (part, old):
            shutil.rmtree(left, ignore_errors=True)
        part.mkdir(parents=True)
        for file in _files(folder):
            shutil.copyfile(file, part / file.name)
        write_atomically(part / HISTORY, record, "--name")
        if path.exists():
            path.rename(old)
        part.rename(path)
        shutil.rmtree(old, ignore_errors=True)
    except OSError as error:
        raise HarnessError(f"cannot write {path}: {error.strerror}.", "Free some space, or mend its rights.") from error
