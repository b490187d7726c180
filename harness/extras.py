"""What a light install leaves out, and the one line that says so.

The core works on finished runs; `train` trains and asks judges; `server` asks models behind servers.
"""

from importlib.util import find_spec

from harness.errors import HarnessError

EXTRAS = {
    "train": ("torch", "torchvision", "transformers", "trl", "peft", "accelerate", "datasets", "lmms_eval"),
    "server": ("openai",),
}
"""By extra of the package, the modules that it brings."""


def need(extra: str, what: str) -> None:
    """Go on only if an extra is installed; nothing is imported to find out.

    Raises:
        HarnessError: naming what needs it, what is missing, and the command that installs it.
    """
    if missing := [module for module in EXTRAS[extra] if find_spec(module) is None]:
        raise HarnessError(
            f"{what} needs {', '.join(missing)}, not installed here.",
            f"Install the extra: pip install 'vlrm-harness[{extra}]' (in a clone: make install).",
        )
