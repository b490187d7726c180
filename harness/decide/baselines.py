"""Accepted baselines: runs kept on purpose, to be committed, each with the history of why.

`results/baselines/NAME/` holds a finished run as it was, without its log, and `accepted.json`: a list of
`Acceptance` records, oldest first, to which each acceptance adds one.
"""

import json
import re
import shutil
from collections.abc import Sequence
from pathlib import Path

from harness import provenance
from harness.counting.metrics import primary
from harness.counting.results import label, load_result
from harness.errors import DataError, HarnessError, NotApplicableError
from harness.records import RunFolder
from harness.records.acceptance import (
    HISTORY,
    Acceptance,
    changed,
    fingerprint,
    hashes,
    history,
    refuse_changed,
    run_files,
)
from harness.records.store import write_atomically


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
        HarnessError: if there is no reason or an old one, the name is no folder's, or the run is on other data.
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
    before = history(path)
    if (
        before
        and (before[-1].reason, before[-1].fingerprint) == (reason, fingerprint(folder.path))
        and not changed(path)
    ):
        return path, before[-1]  # said twice
    if reason in [one.reason for one in before]:
        raise HarnessError(
            f"{reason!r} was the reason of an earlier acceptance of {name}.", "Say what is new this time."
        )
    figures = _figures(folder)
    if path.exists() and not replace_data:
        _refuse_other_data(folder, RunFolder(path))
    entry = Acceptance(
        date=provenance.now(),
        reason=reason,
        run=run.name,
        fingerprint=fingerprint(folder.path),
        files=hashes(folder.path),
        replaced=fingerprint(path) if path.exists() else None,
        revision=provenance.revision(),
        data={record.task: record.data_fingerprint for record in run.tasks},
        figures=figures,
    )
    entries = [*before, entry]
    _copy(folder, path, json.dumps([one.model_dump() for one in entries], indent=1) + "\n")
    return path, entry


def check(baselines: Sequence[Path], since: Path | None = None) -> list[str]:
    """Check that baselines are what was accepted, and were accepted openly.

    Args:
        baselines: their folders.
        since: the folder of all baselines as it was before, such as the base branch's. Each in it must still be there,
            with its history unchanged, to which a changed one has added an acceptance.

    Returns:
        A line for each baseline that was accepted since, with its reason.

    Raises:
        DataError: naming the first baseline of which that does not hold.
    """
    if since and not since.is_dir():
        raise HarnessError(f"--since {since} is no folder.", "Name that of the baselines as they were.")
    told = []
    for path in baselines:
        if not (accepted := history(path)):
            raise DataError(f"{path} has no {HISTORY}.", "Keep a run by: harness baseline accept RUN --reason WHY.")
        refuse_changed(path)
        before = history(since / path.name) if since else accepted
        if accepted[: len(before)] != before:
            raise DataError(f"{path / HISTORY}: earlier acceptances were changed.", "Restore them; new ones are added.")
        given = [one.reason for one in before]
        for one in accepted[len(before) :]:
            if not one.reason.strip() or one.reason in given:
                raise DataError(
                    f"{path / HISTORY}: the acceptance of {one.date} has no reason of its own ({one.reason!r}).",
                    "Accept the run by: harness baseline accept RUN --reason WHY.",
                )
            given.append(one.reason)
            told.append(f"{path.name} was accepted anew on {one.date}: {one.reason}")
    there = {path.name for path in baselines}
    for file in sorted(since.glob(f"*/{HISTORY}")) if since else ():
        if file.parent.name not in there:
            raise DataError(f"the baseline {file.parent.name} is in {since}, and no more among yours.", "Restore it.")
    return told


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
        for file in run_files(folder.path):
            shutil.copyfile(file, part / file.name)
        write_atomically(part / HISTORY, record, "--name")
        if path.exists():
            path.rename(old)
        part.rename(path)
        shutil.rmtree(old, ignore_errors=True)
    except OSError as error:
        raise HarnessError(f"cannot write {path}: {error.strerror}.", "Free some space, or mend its rights.") from error
