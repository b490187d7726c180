"""vLLM's servers: started in vLLM's own environment, on loopback, and stopped.

vLLM pins torch and transformers to other versions than ours, so it cannot be imported here. There is one server
for every `tensor_parallel` GPUs.
"""

import contextlib
import json
import os
import signal
import socket
import struct
import subprocess
import time
import urllib.request
from functools import cache
from pathlib import Path
from typing import Any

from harness.errors import HarnessError, last_words
from harness.provenance import accelerators
from harness.scratch import Scratch
from harness.settings import VllmSettings

VARIABLE = "HARNESS_VLLM_PYTHON"
CHILD = Path(__file__).with_name("vllm_child.py")
BUILT = Path(__file__).parents[2] / ".venv-vllm/bin/python"
"""Where `make vllm` puts it, in a clone."""
SERVED = "model"
"""The name under which a child serves its model."""
RESTARTS = 2
"""How often a child that died in the middle is started again."""
ON_A_CPU = {"VLLM_CPU_KVCACHE_SPACE": "2", "VLLM_CPU_OMP_THREADS_BIND": "nobind"}
"""Environment of vLLM's CPU build, where it is not set: GiB of cache, and threads that share the cores."""


def interpreter(settings: VllmSettings) -> str:
    """Return the interpreter of vLLM's environment.

    Raises:
        HarnessError: if none is named, or it does not exist.
    """
    built = str(BUILT) if BUILT.exists() else None
    python = settings.python or os.environ.get(VARIABLE) or built
    how = f"`make vllm` builds one; elsewhere set {VARIABLE}, or engine.python, to its bin/python."
    if not python:
        raise HarnessError("engine vllm needs an environment of its own.", how)
    if not os.access(python, os.X_OK):
        raise HarnessError(f"engine vllm: {python} is no interpreter.", how)
    return python


@cache
def vllm_version(python: str) -> str:
    """Ask an environment for its vLLM's version, without loading it.

    Raises:
        HarnessError: if it has none.
    """
    code = (
        "from importlib.metadata import packages_distributions as p, version\n"
        "print(*(f'{d} {version(d)}' for d in p().get('vllm', [])[:1]))"
    )
    said = subprocess.run([python, "-c", code], capture_output=True, text=True, check=False)
    if said.returncode or not said.stdout.strip():
        raise HarnessError(f"engine vllm: {python} has no vLLM.", "`make vllm` builds an environment that has.")
    return said.stdout.strip()


class VllmServers:
    """vLLM servers of one model, alive until they are closed."""

    def __init__(
        self, model: str, revision: str | None, settings: VllmSettings, precision: str, work: Path, extra: list[str]
    ) -> None:
        self.settings, self.work = settings, work
        self.python = interpreter(settings)
        self.view = Path(model) if Path(model).is_dir() else None
        self.scratch = Scratch("vllm-")
        if self.view:
            self.view = readable(self.view, self.scratch.path)
        self.arguments = ["--model", str(self.view or model), "--served-model-name", SERVED, "--dtype", precision]
        self.arguments += [*extra, *(["--revision", revision] if revision else [])]
        if settings.tensor_parallel > 1:
            self.arguments += ["--tensor-parallel-size", str(settings.tensor_parallel)]
        if not accelerators():
            # vLLM 0.32 dies on a CPU when a seeded question is read in parts: it rewinds a generator that cannot be
            self.arguments += ["--enforce-eager", "--no-enable-chunked-prefill"]
        for key, value in settings.options.items():
            self.arguments += _option(key, value)
        self.name, self.restarts = model, 0
        self.running: list[subprocess.Popen[bytes]] = []
        self.ports: list[int] = []
        work.mkdir(parents=True, exist_ok=True)
        with contextlib.ExitStack() as undone:
            undone.callback(self.close)
            for number in range(self._replicas()):
                self._start(number)
            for number in range(len(self.running)):
                self._wait(number)
            undone.pop_all()

    @property
    def addresses(self) -> list[str]:
        """Return the address of each server."""
        return [f"http://127.0.0.1:{port}/v1" for port in self.ports]

    def dead(self) -> list[int]:
        """Return the places of servers that have ended."""
        return [number for number, child in enumerate(self.running) if child.poll() is not None]

    def restart(self) -> None:
        """Start again what has died, at the same addresses.

        Raises:
            HarnessError: with the last lines of its log, if that was done too often.
        """
        dead = self.dead()
        if self.restarts >= RESTARTS:
            raise self.death(dead[0], "died again and again")
        self.restarts += 1
        for number in dead:
            self._start(number)
        for number in dead:
            self._wait(number)

    def close(self) -> None:
        """Stop the servers."""
        for child in self.running:
            self._end(child)
        self.running = []
        self.scratch.close()

    @staticmethod
    def _end(child: subprocess.Popen[bytes]) -> None:
        """End a server with the processes that it started; nothing of them is worth a farewell."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)
        child.wait()
        if child.stdin:
            child.stdin.close()

    def _replicas(self) -> int:
        return self.settings.replicas or max(1, len(accelerators()) // self.settings.tensor_parallel)

    def _log(self, number: int) -> Path:
        return self.work / f"vllm-{number}.log"

    def _start(self, number: int) -> None:
        if number == len(self.ports):
            self.ports.append(_free_port())
        else:
            self._end(self.running[number])
        environment = os.environ | {"VLLM_NO_USAGE_STATS": "1", "DO_NOT_TRACK": "1"}
        environment.pop("PYTHONPATH", None)
        if gpus := accelerators():
            first, count = number * self.settings.tensor_parallel, self.settings.tensor_parallel
            environment["CUDA_VISIBLE_DEVICES"] = ",".join(gpus[first : first + count])
        else:
            environment = ON_A_CPU | environment
        command = [self.python, str(CHILD), "--host", "127.0.0.1", "--port", str(self.ports[number]), *self.arguments]
        with self._log(number).open("wb") as log:
            child = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=log, stderr=log, env=environment, start_new_session=True
            )
        self.running[number : number + 1] = [child]

    def _wait(self, number: int) -> None:
        until = time.monotonic() + self.settings.start_timeout
        while time.monotonic() < until:
            if self.running[number].poll() is not None:
                raise self.death(number, "did not start")
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{self.ports[number]}/health", timeout=5).close()
                return
            except OSError:
                time.sleep(0.5)
        raise self.death(number, f"was not ready within {self.settings.start_timeout:g} s")

    def death(self, number: int, how: str) -> HarnessError:
        """Say in one line what vLLM's log says went wrong."""
        return HarnessError(
            f"vLLM with {self.name} {how}: {last_words(self._log(number))}",
            f"Its log is {self._log(number)}; mend engine.options.",
        )


def _option(key: str, value: Any) -> list[str]:
    name = "--" + key.replace("_", "-")
    if isinstance(value, bool):
        return [name if value else name.replace("--", "--no-", 1)]
    return [name, json.dumps(value) if isinstance(value, dict | list) else str(value)]


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


RENAMED = "vision_tower.vision_model."
"""Where vLLM looks for a tower that transformers 5.23 saves under `vision_tower.`."""


def readable(checkpoint: Path, scratch: Path) -> Path:
    """Return a checkpoint that vLLM reads: itself, or a copy of the folder with weights under their older names.

    transformers 5.23 saves LLaVA's CLIP and SigLIP towers without the level `vision_model` that published
    checkpoints and vLLM 0.32 have. A safetensors file names its tensors in a JSON header, so only that is
    written anew.
    """
    files = {path: _header(path) for path in checkpoint.glob("*.safetensors")}
    moved = {path: head for path, head in files.items() if any(_older(name) != name for name in head)}
    if not moved:
        return checkpoint
    for path in checkpoint.iterdir():
        if path.is_file() and path not in moved and path.name != "model.safetensors.index.json":
            (scratch / path.name).symlink_to(path.resolve())
    index = checkpoint / "model.safetensors.index.json"
    if index.exists():
        listed = json.loads(index.read_text(encoding="utf-8"))
        listed["weight_map"] = {_older(name): file for name, file in listed["weight_map"].items()}
        (scratch / index.name).write_text(json.dumps(listed), encoding="utf-8")
    for path, head in moved.items():
        renamed = json.dumps({_older(name): value for name, value in head.items()}).encode()
        renamed += b" " * (-len(renamed) % 8)
        with path.open("rb") as old, (scratch / path.name).open("wb") as new:
            old.seek(8 + struct.unpack("<Q", old.read(8))[0])
            new.write(struct.pack("<Q", len(renamed)) + renamed)
            while piece := old.read(1 << 24):
                new.write(piece)
    return scratch


def _header(path: Path) -> dict[str, Any]:
    with path.open("rb") as file:
        return dict(json.loads(file.read(struct.unpack("<Q", file.read(8))[0])))


def _older(name: str) -> str:
    head, tower, rest = name.partition("vision_tower.")
    if not tower or head not in ("", "model.") or rest.split(".")[0] not in TOWER:
        return name
    return head + RENAMED + rest


TOWER = ("embeddings", "encoder", "pre_layrnorm", "post_layernorm", "head")
"""What a CLIP or SigLIP tower begins with."""
