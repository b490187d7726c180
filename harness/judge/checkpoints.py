"""Finds a model by its name and tells what it is: embedded, a folder, or the hub's."""

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from harness.data.tables import fingerprint
from harness.errors import HarnessError, unknown
from harness.records import Run, RunFolder
from harness.records.store import write_atomically
from harness.registry import find_run, results_root

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


def judged_run(name: str, seed: str) -> tuple[RunFolder, Run, str]:
    """Find a run by name, and the seed of the judge that is meant: its first where `seed` is empty.

    Raises:
        HarnessError: if there is no such run or seed.
    """
    folder = RunFolder(find_run(name))
    run = folder.read_run()
    seed = seed or next(iter(run.checkpoints), "")
    if seed not in run.checkpoints:
        raise unknown(f"seed of {name}", seed, run.checkpoints)
    return folder, run, seed


def checkpoint_of(name: str) -> str:
    """Find a judge by name: of `run:NAME[:SEED]` the folder of what that run judged, under its first seed by default.

    Any other name is given back as it is: a folder's, the hub's, or an embedded model's.

    Raises:
        HarnessError: if there is no such run or seed, or the cache does not hold what was judged.
    """
    if not name.startswith("run:"):
        return name
    run_name, _, seed = name.removeprefix("run:").partition(":")
    _, run, seed = judged_run(run_name, seed)
    judged = run.checkpoints[seed]
    if judged.startswith("experts:"):
        raise HarnessError(
            f"in {run_name} nobody was trained: its experts judge, by captions of each image.",
            "Name a run whose recipe trains a judge; experts alone are asked by harness run --recipe experts-alone.",
        )
    if judged.startswith("named:"):
        model = (run.config.get("model_args") or {}).get("pretrained") or run.config.get("model")
        raise HarnessError(f"{run_name} trained nothing: it asked {model} as it is.", f"Name that model: {model}.")
    base, trained = run.config.get("judge") or {}, {"sft", "reward"} & run.config.keys()
    # where nothing was trained, the base judge was asked as it is
    if not (trained or base.get("revision")) and resolve(str(base.get("model"))).fingerprint == judged:
        return str(base["model"])
    folders = [results_root() / "cache" / f"{stage.stage}-{stage.key}" for stage in reversed(run.stages)]
    for folder in folders:
        if any(folder.glob("*.safetensors")) and folder_fingerprint(folder) == judged:
            return str(folder)
    raise HarnessError(
        f"what {run_name} judged under seed {seed} ({judged}) is not in the cache.",
        "Train it again, by the run's own config.yaml (harness run --config); or name a checkpoint's folder.",
    )


def revised(name: str) -> tuple[str, str | None]:
    """Split `NAME@REVISION` into both; no revision is None."""
    name, _, revision = name.partition("@")
    return name, revision or None


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
        digest.update(path.name.encode() + b"\0" + bytes.fromhex(fingerprint(path)))
    return digest.hexdigest()[:16]


BASE = "adapter_base.json"
"""File that says which model an adapter's checkpoint belongs to."""


def base_of(name: str) -> ModelRef | None:
    """Find the model that the adapter in folder `name` belongs to; None where `name` is a whole model.

    Raises:
        HarnessError: if that model is no longer the one the adapter was trained on.
    """
    path = Path(name) / BASE
    if not path.exists():
        return None
    note = json.loads(path.read_text(encoding="utf-8"))
    base = resolve(note["model"], note["revision"])
    if base.fingerprint != note["fingerprint"]:
        raise HarnessError(
            f"{name} is an adapter of {note['model']!r}, which has changed since ({note['fingerprint']}, now "
            f"{base.fingerprint}).",
            "Restore that model, or train again.",
        )
    return base


def write_base(checkpoint: Path, model: str, revision: str | None) -> None:
    """Note which model the adapter in `checkpoint` belongs to, and where its own configuration names it.

    An adapter trained on from another belongs to that one's base.
    """
    first = Path(model) / BASE
    if first.exists():
        note = json.loads(first.read_text(encoding="utf-8"))
    else:
        note = {"model": model, "revision": revision, "fingerprint": resolve(model, revision).fingerprint}
    write_atomically(checkpoint / BASE, json.dumps(note, indent=1))
    config = checkpoint / "adapter_config.json"
    told = json.loads(config.read_text(encoding="utf-8")) | {"base_model_name_or_path": note["model"]}
    write_atomically(config, json.dumps(told, indent=2, sort_keys=True))
