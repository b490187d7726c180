"""What computes decides the precision: float32 on a CPU, bfloat16 where an accelerator has it.

A CPU without bfloat16 units emulates them, some 60 times slower than float32, and those that have
them train other weights; so `auto` never takes bfloat16 there.
"""

import os
import time
from collections.abc import Iterator

from harness.config import RunConfig
from harness.errors import HarnessError
from harness.provenance import accelerator
from harness.settings import AnsweringSection, ComputingSection, Precision, ServerSettings

REDUCING = ("ONEDNN_DEFAULT_FPMATH_MODE", "DNNL_DEFAULT_FPMATH_MODE")
"""Environment variables that let oneDNN multiply float32 in fewer bits."""
CAPPING = ("ONEDNN_MAX_CPU_ISA", "DNNL_MAX_CPU_ISA", "ATEN_CPU_CAPABILITY", "OMP_NUM_THREADS", "MKL_NUM_THREADS")
"""Environment variables that choose other kernels or threads, and so the order of sums."""


def resolved(precision: Precision) -> str:
    """Return `float32` or `bfloat16`; torch is asked only where there is an accelerator at all."""
    if precision != "auto":
        return precision
    return "bfloat16" if accelerator() and _accelerator_has_bfloat16() else "float32"


def _accelerator_has_bfloat16() -> bool:
    import torch

    return bool(torch.cuda.is_available() and torch.cuda.is_bf16_supported(including_emulation=False))


def resolve_sections(config: RunConfig) -> RunConfig:
    """Replace every section's `auto` by what this machine computes in.

    A model of lmms-eval's or somebody else's server chooses its own; its `auto` stays.

    Raises:
        HarnessError: if a precision is asked of such a model by way of `judging`.
    """
    changed: dict[str, ComputingSection] = {}
    for name, section in _computing(config):
        if name == "judging" and not config.loads:
            if section.precision != "auto":
                raise HarnessError(
                    f"setting judging.precision = {section.precision!r}: --model {config.model} chooses its own.",
                    "Drop it; a model of lmms-eval's may take dtype=... in --model-args.",
                )
            continue
        if isinstance(section, AnsweringSection) and isinstance(section.engine.holder, ServerSettings):
            continue
        changed[name] = section.model_copy(update={"precision": resolved(section.precision)})
    return config.model_copy(update=changed)


def _computing(config: RunConfig) -> Iterator[tuple[str, ComputingSection]]:
    for name in type(config).model_fields:
        section = getattr(config, name)
        if isinstance(section, ComputingSection):
            yield name, section


def slow_or_inexact(config: RunConfig) -> list[str]:
    """Say, a line each, what will be slow or less exact than the record's word for it. Loads torch.

    Raises:
        HarnessError: if bfloat16 is asked of an accelerator that has none.
    """
    import torch

    asked = [f"{name}.precision" for name, section in _computing(config) if section.precision == "bfloat16"]
    lines = []
    if asked and torch.cuda.is_available():
        if not _accelerator_has_bfloat16():
            raise HarnessError(
                f"setting {asked[0]} = 'bfloat16': {torch.cuda.get_device_name()} does not compute it.",
                "Leave it at auto, or set float32.",
            )
    elif asked and (slower := bfloat16_slowdown()) > 1.5:
        lines.append(
            f"{', '.join(asked)}: this CPU emulates bfloat16, {slower:.0f} times slower than float32 (measured just "
            "now). Leave precision at auto."
        )
    for name in REDUCING:
        if (value := os.environ.get(name, "STRICT").upper()) != "STRICT" and not torch.cuda.is_available():
            lines.append(f"{name}={value} lets float32 be computed in fewer bits. Unset it for comparable figures.")
    if (level := torch.get_float32_matmul_precision()) != "highest":
        lines.append(f"float32 products are at {level!r}, not 'highest': torch was told to compute them in fewer bits.")
    return lines


def bfloat16_slowdown() -> float:
    """Measure how many times longer a product of [1024, 256] and [256, 512] takes in bfloat16 on the CPU."""
    import torch

    def best(dtype: torch.dtype) -> float:
        one, other = torch.ones(1024, 256, dtype=dtype), torch.ones(256, 512, dtype=dtype)
        times = []
        for _ in range(4):  # the first warms up
            started = time.perf_counter()
            one @ other
            times.append(time.perf_counter() - started)
        return min(times[1:])

    return best(torch.bfloat16) / best(torch.float32)


def arithmetic() -> dict[str, str | int]:
    """Return every switch outside the configuration that can change a computed bit. Loads torch."""
    import torch

    found: dict[str, str | int] = {
        "threads": torch.get_num_threads(),
        "cpu_capability": torch.backends.cpu.get_cpu_capability(),
        "float32_matmul_precision": torch.get_float32_matmul_precision(),
        "onednn_fp32_precision": str(torch.backends.mkldnn.fp32_precision),
        "onednn": "on" if torch.backends.mkldnn.enabled and torch.backends.mkldnn.is_available() else "off",
        "deterministic_algorithms": "on" if torch.are_deterministic_algorithms_enabled() else "off",
    }
    if torch.cuda.is_available():
        found["compute_capability"] = ".".join(map(str, torch.cuda.get_device_capability()))
        found["cuda"] = str(torch.version.cuda)
    return found | {name: os.environ[name] for name in (*CAPPING, *REDUCING) if name in os.environ}
