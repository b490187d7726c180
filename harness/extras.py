"""What only some verbs need: the extras of the package, and the one line that names the one that is missing.

What works on finished runs needs none. Packages are looked up by their metadata, so that nothing is imported.
"""

import importlib.metadata
from collections.abc import Iterable
from pathlib import Path

from harness.errors import HarnessError

ASKING = ("torch", "torchvision", "transformers", "accelerate", "datasets", "lmms-eval")
"""What asks a model here; `lmms-eval` itself brings the others."""
EXTRAS = {
    "train": (*ASKING, "trl", "peft"),
    "server": ("openai", "httpx2", *ASKING),
    "ray": ("ray", *ASKING),
}
"""The packages behind each extra, as pyproject.toml lists them or as those bring them."""
MODULES = {"huggingface_hub": "train", "tokenizers": "train"} | {
    package.replace("-", "_"): extra for extra, packages in reversed(EXTRAS.items()) for package in packages
}
"""Modules that may be imported somewhere, and the extra that brings each."""


def require(what: str, extra: str, packages: Iterable[str] = ()) -> None:
    """Refuse to go on where packages of an extra are not installed.

    Args:
        what: what needs them, such as `--recipe carevl`.
        extra: its name in pyproject.toml.
        packages: those needed, where not all of the extra's are.

    Raises:
        HarnessError: in one line, with the command that installs them.
    """
    if missing := [name for name in packages or EXTRAS[extra] if not _installed(name)]:
        raise HarnessError(f"{what} needs {_listed(missing)} not installed.", fix(extra))


def fix(extra: str) -> str:
    """Name the command that installs an extra."""
    command = f"pip install 'vlrm-harness[{extra}]'"
    # only a wheel has its content inside the package
    return f"Fix: {command}" if (Path(__file__).parent / "content").is_dir() else f"Fix: make install, or {command}"


def explained(error: ModuleNotFoundError) -> HarnessError | None:
    """Turn a failed import into that one line, if an extra brings the module and is not there.

    It is for what no `require` can foresee: the hooks of a user's own task.
    """
    module = (error.name or "").partition(".")[0]
    extra = MODULES.get(module)
    if extra is None or _installed(module):
        return None
    return HarnessError(f"this needs {module}, which is not installed.", fix(extra))


def _installed(package: str) -> bool:
    try:
        importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return False
    return True


def _listed(names: list[str]) -> str:
    if len(names) == 1:
        return f"{names[0]}, which is"
    first = ", ".join(names[:2]) if len(names) > 2 else names[0]
    return f"{first} and {f'{len(names) - 2} more' if len(names) > 2 else names[1]}, which are"
