"""Finds a model by its name and tells what it is: embedded, a folder, or the hub's."""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from harness.errors import HarnessError, unknown

EMBEDDED = Path(__file__).parent.parent / "embedded" / "assets"


class ModelRef(NamedTuple):
    """A model as `from_pretrained` takes it, and a fingerprint that changes with its weights."""

    location: str
    revision: str | None
    fingerprint: str


def resolve(name: str, revision: str | None = None) -> ModelRef:
    """Find a model: `embedded:NAME`, a folder, or a hub name with an optional revision.

    Raises:
        HarnessError: if an embedded model or a folder does not exist, or holds no safetensors.
    """
    if name.startswith("embedded:"):
        known = {path.name for path in EMBEDDED.iterdir() if path.is_dir()} if EMBEDDED.is_dir() else set()
        if name.partition(":")[2] not in known:
            raise unknown("embedded model", name, [f"embedded:{k}" for k in known])
        return ModelRef(
            str(EMBEDDED / name.partition(":")[2]), None, folder_fingerprint(EMBEDDED / name.partition(":")[2])
        )
    path = Path(name)
    if path.is_dir():
        return ModelRef(str(path), None, folder_fingerprint(path))
    if name.startswith((".", "/", "~")) or name.count("/") != 1:
        raise HarnessError(f"model {name!r} is no folder and no hub name.", "Name a checkpoint folder or OWNER/NAME.")
    return ModelRef(name, revision, f"hub:{name}@{revision or 'main'}")


@contextmanager
def loading(name: str) -> Iterator[None]:
    """Turn a failure to load model `name` into one line that says how to get it.

    Raises:
        HarnessError: if a file is missing, or the hub cannot be reached and has nothing cached.
    """
    try:
        yield
    except (OSError, ValueError) as error:
        reason = " ".join(str(error).split())[:140]
        raise HarnessError(
            f"model {name!r} cannot be loaded ({reason}).",
            f"On a machine with network: `hf download {name}`; or name a local folder.",
        ) from error


def folder_fingerprint(folder: Path) -> str:
    """Hash every file of a checkpoint that bears on its answers."""
    weights = sorted(folder.glob("*.safetensors"))
    if not weights:
        raise HarnessError(f"{folder} holds no safetensors.", "Save the model with save_pretrained.")
    digest = hashlib.sha256()
    for path in sorted(path for path in folder.iterdir() if path.is_file()):
        if path.name in ("info.json", "log.json", "training_args.bin") or path.suffix == ".md":
            continue
        digest.update(path.name.encode() + b"\0" + hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()[:16]
