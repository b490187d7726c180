"""A stage's result on the disk: sealed whole, with the size and hash of each of its files, and held against them later.

`info.json` in an artifact's folder says what the stage reported, and what its files were when it was done. The sizes
are compared whenever the cache is asked for the artifact, the hashes before anything is computed from it: a file that
was cut, exchanged or flipped on the disk is computed again, never used.
"""

import json
import os
import shutil
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from harness.data.tables import fingerprint
from harness.errors import HarnessError
from harness.records.store import flush, unwritable, write_atomically

INFO = "info.json"
"""File of an artifact that says what it is; written last."""


def seal(part: Path, path: Path, report: dict[str, Any], option: str = "results folder (HARNESS_RESULTS)") -> None:
    """Make the artifact `path` of the finished folder `part`; a power cut leaves it whole or absent.

    Args:
        part: the folder that a stage has filled.
        path: where the artifact belongs; what stands there goes.
        report: what the stage reported, with its seconds and its memory.
        option: the option that names another place.

    Raises:
        HarnessError: if the disk is full or may not be written.
    """
    try:
        for left in part.rglob("*.part"):
            # of a process that was killed while it wrote
            left.unlink()
        files, mode = {}, part.stat().st_mode & 0o666
        for file in _files(part):
            # safetensors keeps what it writes to its owner alone
            file.chmod(mode)
            flush(file)
            files[str(file.relative_to(part))] = [file.stat().st_size, fingerprint(file)]
        for folder in {file.parent for file in _files(part)}:
            flush(folder)
        write_atomically(part / INFO, json.dumps({**report, "files": files}, indent=1), "results folder")
        flush(part)
        if path.exists():
            shutil.rmtree(path)
        part.rename(path)
        flush(path.parent)
    except OSError as error:
        raise unwritable(path, error, option) from error


def report_of(path: Path) -> dict[str, Any]:
    """Read what an artifact's stage reported, if each of its files has the size that it was sealed with.

    Raises:
        DamagedError: if there is no artifact, or it is not whole; saying why.
    """
    return _sealed(path)[0]


def _sealed(path: Path) -> tuple[dict[str, Any], dict[str, str]]:
    """Read an artifact's report and the hashes of its files, and compare the files' sizes."""
    file = path / INFO
    try:
        told = json.loads(file.read_bytes())
        files, report = told.pop("files"), {key: told[key] for key in ("seconds", "peak_mb", "info")}
        sizes = {str(name): int(size) for name, (size, _) in files.items()}
        hashes = {str(name): str(known) for name, (_, known) in files.items()}
    except FileNotFoundError:
        raise DamagedError("") from None
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, OverflowError):
        raise DamagedError(f"its {INFO} cannot be read, or an older harness wrote it") from None
    except OSError as error:
        raise DamagedError(f"its {INFO} cannot be read: {error.strerror}") from None
    for name, size in sizes.items():
        with suppress(OSError, ValueError):
            if (path / name).stat().st_size == size:
                continue
        raise DamagedError(f"its {name} is not as long as it was")
    return report, hashes


def check_whole(path: Path) -> None:
    """Hold every file of an artifact against its hash.

    Raises:
        DamagedError: naming the first that differs, or that was added.
    """
    hashes = _sealed(path)[1]
    tables = {Path(name).with_suffix("") for name in hashes if name.endswith(".parquet")}
    for file in _files(path):
        inside = file.relative_to(path)
        # tables are copied beside themselves to be read at any place: pairs.arrow, pairs.ends.npy
        if str(inside) not in hashes and inside.with_name(inside.name.partition(".")[0]) not in tables:
            raise DamagedError(f"its {inside} was not written by its stage")
    for name, known in hashes.items():
        with suppress(HarnessError):
            if fingerprint(path / name) == known:
                continue
        raise DamagedError(f"its {name} is not what was written")


class DamagedError(Exception):
    """An artifact that is not there, or not as it was written; the reason is empty where it is not there."""


def touch(path: Path) -> None:
    """Note that an artifact was used now, for `harness cache`, as the access time of its `info.json`."""
    with suppress(OSError):
        os.utime(path / INFO, (time.time(), (path / INFO).stat().st_mtime))


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file() and path != folder / INFO)
