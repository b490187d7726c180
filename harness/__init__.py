"""Trains vision-language reward models, judges them on benchmarks, and compares them honestly.

What Python code may build on is in `harness.api`, whose names are this package's own: `harness.load_run("carevl")`.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from harness.api import (
        Comparison,
        Estimate,
        HarnessError,
        Judge,
        Ruling,
        Run,
        compare,
        gate,
        leaderboard,
        load_run,
        table,
    )

__all__ = [
    "Comparison", "Estimate", "HarnessError", "Judge", "Ruling", "Run",
    "compare", "gate", "leaderboard", "load_run", "table",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    """Find a name of `harness.api`, which is imported only when one is asked for."""
    if name not in __all__:
        raise AttributeError(f"module 'harness' has no attribute {name!r}")
    return getattr(import_module("harness.api"), name)


def __dir__() -> list[str]:
    """List what Python code may build on."""
    return __all__
