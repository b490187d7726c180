"""An accepted baseline's history, and whether its files are still those that were accepted."""

import hashlib
import json
import os
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

from harness.errors import DataError
from harness.records.store import content

HISTORY = "accepted.json"
"""The file of a baseline that holds its acceptances, oldest first."""


class Acceptance(BaseModel):
    """One acceptance: what was taken as baseline, when and why."""

    model_config = ConfigDict(extra="forbid")

    date: str
    reason: str
    run: str
    """The name of the accepted run."""
    fingerprint: str
    """Hash over the run's files."""
    files: dict[str, str] = Field(default_factory=dict)
    """SHA-256 by file; empty where an older harness accepted."""
    replaced: str | None
    """The fingerprint of the baseline that stood there before, as it was found; None for the first."""
    revision: str | None
    """Git revision of the harness that accepted it, `+dirty` where the tree had changes."""
    data: dict[str, str]
    """By task, the fingerprint of the data."""
    figures: dict[str, dict[str, float]]
    """By task, the figure that a comparison speaks of."""


def history(path: Path) -> list[Acceptance]:
    """Read every acceptance of the baseline in `path`, oldest first; none where it was never accepted.

    Raises:
        DataError: if the record was edited or torn.
    """
    file = path / HISTORY
    if not os.path.lexists(file):
        return []
    try:
        found = [Acceptance.model_validate(entry) for entry in json.loads(content(file))]
    except (ValueError, TypeError, RecursionError) as error:
        reason = " ".join(str(error).split())[:200]
        raise DataError(f"{file}: {reason}.", "The record was edited or torn: restore it.") from None
    if not found:
        raise DataError(f"{file}: it holds no acceptance.", "The record was edited or torn: restore it.")
    return found


def run_files(path: Path) -> list[Path]:
    """List the files of a run that are kept of it: record, configuration, items, presentations and judgments."""
    # not the log, which names the machine that it was written on
    named = [path / "run.json", path / "config.yaml", *path.glob("*-*.jsonl")]
    return sorted(file for file in named if file.exists())


def hashes(path: Path) -> dict[str, str]:
    """Give the SHA-256 of each of a run's files."""
    return {file.name: hashlib.sha256(content(file)).hexdigest() for file in run_files(path)}


def fingerprint(path: Path) -> str:
    """Hash the files of a run together."""
    digest = hashlib.sha256()
    for file in run_files(path):
        data = content(file)
        digest.update(f"{file.name} {len(data)}\n".encode() + data)
    return digest.hexdigest()[:16]


def changed(path: Path) -> str | None:
    """Say what of an accepted baseline is no more as it was accepted; None if all is, or it is none."""
    accepted = history(path)
    if not accepted or fingerprint(path) == accepted[-1].fingerprint:
        return None
    found, kept = hashes(path), accepted[-1].files
    names = sorted(name for name in {*found, *kept} if found.get(name) != kept.get(name)) if kept else []
    return ", ".join(names) or "a file"


def refuse_changed(path: Path) -> None:
    """Refuse a baseline that is not what was accepted.

    Raises:
        DataError: naming the files.
    """
    if what := changed(path):
        raise DataError(
            f"{path}: {what} changed after the baseline was accepted ({history(path)[-1].date}).",
            "Restore it, or accept a run anew: harness baseline accept RUN --reason WHY.",
        )
