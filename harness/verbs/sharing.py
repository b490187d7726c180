"""`harness export` and `harness serve`: a trained judge, for others and for other programs."""

import os
import sys
from argparse import Namespace
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from harness.errors import ExitCode, HarnessError
from harness.extras import require
from harness.registry import content_roots, find_run
from harness.verbs.judging import asking_settings

if TYPE_CHECKING:
    from harness.settings import JudgingSettings
    from harness.sharing.serve import Address
    from harness.show.console import Screen


def export(options: Namespace) -> ExitCode:
    """Write a judge as a model folder with its card, and send that to the hub where it is asked for."""
    needed = ("torch", "transformers", "peft") if options.merge else ("huggingface_hub", "safetensors")
    require("harness export", "train", needed)
    from harness.records import RunFolder
    from harness.scratch import scratch
    from harness.sharing import export as exporting
    from harness.sharing.hub import refuse_offline
    from harness.sharing.subject import find_subject
    from harness.show.console import Screen, libraries_to

    if options.public and not options.repo:
        raise HarnessError("--public says who may see what is sent.", "Add --push-to-hub OWNER/NAME.")
    if options.repo:
        refuse_offline(options.repo)
    exporting.refuse_foreign(options.folder)
    roots = content_roots(options.include_path)
    subject = find_subject(options.run, options.seed, options.merge)
    if options.baseline is None:
        baseline = exporting.find_baseline(subject, roots)
    else:
        baseline = None if options.baseline == "none" else RunFolder(find_run(options.baseline))
    with scratch() as work, libraries_to(work / "log.txt"):
        exporting.export(subject, options.folder, baseline, options.repo or ".", options.license, roots)
    screen = Screen()
    compared = f"compared with {baseline.name}" if baseline else "compared with no baseline (--baseline RUN names one)"
    screen.print(f"{subject.run.name}, seed {subject.seed}: {compared}.", soft_wrap=True)
    screen.print(f"Written: {options.folder}. Read its README.md before you share it.", soft_wrap=True)
    if options.repo:
        _push(screen, options.folder, options.repo, options.public, options.yes)
    return ExitCode.OK


def _push(screen: "Screen", folder: Path, repo: str, public: bool, yes: bool) -> None:
    """Send a folder to the hub, once somebody has seen what would be sent and said yes."""
    from harness.sharing.hub import push, uploads

    found = uploads(folder)
    for name, size in found:
        screen.print(f"  {size:>15,}  {name}", soft_wrap=True)
    total = sum(size for _, size in found)
    who = "for everybody to see" if public else "private"
    screen.print(f"{len(found)} files, {total:,} bytes, to {repo}, {who}.", soft_wrap=True)
    if not (yes or _agreed(repo)):
        raise HarnessError("nothing was sent.", f"Say yes, or --yes. {folder} is kept.")
    screen.print(f"Sent: {push(folder, repo, public)}", soft_wrap=True)


def _agreed(repo: str) -> bool:
    return sys.stdin.isatty() and input(f"Send these files to {repo}? [y/N] ").strip().lower() in ("y", "yes")


def serve(options: Namespace) -> ExitCode:
    """Answer at an address until Ctrl-C."""
    require("harness serve", "train", ("torch", "transformers"))
    # idle threads that spin starve the ones that work; must be set before torch is loaded
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    from harness.engines.engine import open_engine
    from harness.judge.checkpoints import checkpoint_of, resolve
    from harness.judge.format import load_reward_format
    from harness.precision import resolved
    from harness.scratch import scratch
    from harness.settings import JudgeSettings
    from harness.sharing.serve import Address, Worker
    from harness.show.console import libraries_to
    from harness.verdicts import LONGEST

    settings = asking_settings([*options.set, *([f"engine={options.engine}"] if options.engine else [])])
    settings = settings.model_copy(update={"precision": resolved(settings.precision)})
    model = checkpoint_of(options.model)
    location = Path(resolve(model).location)
    if load_reward_format(location):
        raise HarnessError(f"{options.model} ends in a reward head, and writes nothing.", "Ask it by: harness judge.")
    name = location.name if Path(options.model).is_dir() else options.model
    token = _token(options.token)
    with (
        Address(options.host, options.port, token) as address,
        scratch() as work,
        libraries_to(work / "log.txt") as screen,
    ):
        worker = Worker(open_engine(JudgeSettings(model=model), settings, work))
        for line in _announced(name, model, address, settings, options.token):
            screen.print(line, soft_wrap=True)
        with suppress(KeyboardInterrupt):
            address.answer(worker, name, settings.max_new_tokens or LONGEST)
        screen.print("Stopped.")
    return ExitCode.OK


def _token(variable: str | None) -> str | None:
    """Read the token that requests must show.

    Raises:
        HarnessError: if the variable holds none, or one that no header can carry.
    """
    if variable is None:
        return None
    token = os.environ.get(variable, "").strip()
    if not (token and token.isascii() and token.isprintable()):
        raise HarnessError(f"--token {variable}: no such environment variable holds a token.", f"export {variable}=...")
    return token


def _announced(
    name: str, model: str, address: "Address", settings: "JudgingSettings", variable: str | None
) -> Iterator[str]:
    """Say where the judge is, how it is asked, and how vLLM would serve the same files."""
    from harness.judge.checkpoints import base_of, resolve
    from harness.sharing.asking import renamed_for_vllm, vllm_line

    location = resolve(model).location
    yield f"{name} is at {address.url}, answered by {settings.engine.name} in {settings.precision}. Ctrl-C stops it."
    key = f"OPENAI_API_KEY=${variable} " if variable else ""
    yield f"  {key}harness run --model openai --model-args base_url={address.url},model={name} --tasks vlrewardbench"
    if base_of(model):
        yield "With a GPU, vLLM serves it once its adapter is merged: harness export RUN DIR --merge."
    elif Path(location).is_dir() and renamed_for_vllm(Path(location)):
        yield "With a GPU: --engine vllm. Plain `vllm serve` (0.32) finds some weights only under older names."
    else:
        port = int(address.server_address[1])
        host = str(address.server_address[0])
        yield f"With a GPU, vLLM serves it faster:\n  {vllm_line(location, name, settings.precision, host, port)}"
