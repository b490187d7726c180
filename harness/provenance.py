"""Where and with what a run was made."""

import importlib.metadata
import os
import platform
import subprocess
from datetime import UTC, datetime
from pathlib import Path

PACKAGES = (
    "vlrm-harness",
    "torch",
    "transformers",
    "trl",
    "peft",
    "accelerate",
    "datasets",
    "lmms-eval",
    "numpy",
    "scipy",
)


def packages() -> dict[str, str]:
    """Return the versions of the packages that bear on a result."""
    found = {}
    for name in PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def revision() -> str | None:
    """Return the git revision of the harness's own tree, `+dirty` if it has changes."""
    root = Path(__file__).parent.parent
    if not (root / ".git").exists():
        return None

    def git(*arguments: str) -> str:
        done = subprocess.run(["git", "-C", str(root), *arguments], capture_output=True, text=True, check=False)
        return done.stdout.strip()

    head = git("rev-parse", "HEAD")
    return f"{head}+dirty" if head and git("status", "--porcelain", "--untracked-files=no") else head or None


def hardware() -> dict[str, str | int | float]:
    """Return the machine's processor, cores, memory and accelerator."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    found: dict[str, str | int | float] = {
        "machine": platform.machine(),
        "processor": _cpuinfo("model name") or platform.processor() or "unknown",
        "cores": os.cpu_count() or 1,
        "memory_gib": round(memory, 1),
    }
    features = _cpuinfo("flags", "Features").split()
    if vectors := [name for name in VECTORS if name in features]:
        found["vectors"] = " ".join(vectors)
    if name := accelerator():
        found["accelerator"] = name
    return found


VECTORS = (
    "avx",
    "avx2",
    "fma",
    "avx512f",
    "avx512_vnni",
    "avx512_bf16",
    "amx_tile",
    "amx_bf16",
    "asimd",
    "sve",
    "bf16",
)
"""Features of a processor that decide how it computes; the last three are ARM's."""


def accelerator() -> str | None:
    """Return the name of the first GPU that the driver knows, without loading torch."""
    devices = Path("/proc/driver/nvidia/gpus")
    if not devices.is_dir() or not (first := next(devices.iterdir(), None)):
        return None
    lines = (first / "information").read_text().splitlines()
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("Model")), "unknown")


def accelerators() -> list[str]:
    """Return the GPUs that this process may use, as CUDA_VISIBLE_DEVICES names them, without loading torch."""
    devices = Path("/proc/driver/nvidia/gpus")
    there = len(list(devices.iterdir())) if devices.is_dir() else 0
    if (allowed := os.environ.get("CUDA_VISIBLE_DEVICES")) is not None:
        return [part.strip() for part in allowed.split(",") if part.strip() not in ("", "-1")][:there]
    return [str(number) for number in range(there)]


def _cpuinfo(*names: str) -> str:
    """Return the first value of a field of /proc/cpuinfo; empty where there is none."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    return next((line.split(":", 1)[1].strip() for line in lines if line.split("\t")[0].strip() in names), "")


def now() -> str:
    """Return the time in UTC, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")
