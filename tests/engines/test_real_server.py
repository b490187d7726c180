"""A real server, `transformers serve` with the embedded judge: it answers as the judge does in process."""

import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.config import RunConfig
from harness.data.benchmark import read_items
from harness.engines.server_engine import ServerEngine
from harness.evaluate import tasks
from harness.evaluate.engine_model import EngineModel, HarnessJudge
from harness.evaluate.judged import Judged
from harness.judge.checkpoints import resolve
from harness.judge.format import EMBEDDED
from harness.protocols import find_protocol
from harness.records import Judgment, RunFolder
from harness.settings import JudgingSettings, ServerSettings
from harness.training.stages import Artifact, Silent
from tests.toy_task import CONTENT, HOOKS, small_benchmark


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory) -> Path:
    """The embedded judge without its format, so that both backends ask in the task's words."""
    folder = tmp_path_factory.mktemp("served") / "judge"
    shutil.copytree(resolve("embedded:judge").location, folder, ignore=shutil.ignore_patterns("judge_format.json"))
    return folder


@pytest.fixture(scope="module")
def url(checkpoint: Path) -> Iterator[str]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    code = "import sys; from transformers.cli.transformers import main; sys.exit(main())"
    address = ["--host", "127.0.0.1", "--port", str(port), "--device", "cpu"]
    command = [sys.executable, "-c", code, "serve", str(checkpoint), *address]
    with (
        (checkpoint.parent / "log.txt").open("w") as log,
        subprocess.Popen(command, stdout=log, stderr=log, env=os.environ | {"OMP_NUM_THREADS": "1"}) as server,
    ):
        try:
            wait_for(f"http://127.0.0.1:{port}/health", server, log.name)
            yield f"http://127.0.0.1:{port}/v1"
        finally:
            server.terminate()
            try:
                server.wait(10)
            except subprocess.TimeoutExpired:
                server.kill()


def wait_for(url: str, server: subprocess.Popen, log: str) -> None:
    until = time.monotonic() + 75
    while time.monotonic() < until and server.poll() is None:
        try:
            urllib.request.urlopen(url, timeout=1).close()
            return
        except OSError:
            time.sleep(0.2)
    raise AssertionError(Path(log).read_text()[-2000:])


@pytest.fixture(scope="module")
def benchmark(tmp_path_factory) -> Artifact:
    return small_benchmark(tmp_path_factory.mktemp("benchmark"), 8)


def judge(folder: Path, model, benchmark: Artifact, words: str | None, tokens: int) -> tuple[dict, list[Judgment]]:
    folder.mkdir()
    config = RunConfig(model="toy", tasks=["vlrewardbench"], judging=JudgingSettings(max_new_tokens=tokens))
    items = read_items(benchmark.path / tasks.TABLE)
    task = tasks.PreparedTask(CONTENT, HOOKS, benchmark, items, find_protocol("both-orders"), words)
    run = RunFolder(folder)
    info = tasks.ask(run, task, Judged("toy", None, False, lambda: model), config, 0, Silent())
    return info, run.read_judgments("vlrewardbench")


@pytest.mark.parametrize(("words", "tokens"), [(EMBEDDED.prompt, 48), (None, 12)], ids=["own", "benchmark"])
def test_a_server_answers_as_the_judge_in_process(
    url: str, checkpoint: Path, benchmark: Artifact, tmp_path: Path, words: str | None, tokens: int
) -> None:
    # the embedded judge makes nothing of the benchmark's prompt; in its own words it says what it sees
    server = EngineModel(ServerEngine(ServerSettings(base_url=url, model=str(checkpoint))))
    info, served = judge(tmp_path / "served", server, benchmark, words, tokens)
    expected, here = judge(tmp_path / "here", HarnessJudge(str(checkpoint), batch_size=4), benchmark, words, tokens)
    assert [(j.key, j.text.strip(), j.reading) for j in served] == [(j.key, j.text, j.reading) for j in here]
    # servers count the token that ends an answer, or do not; how fast they are is no part of it
    usage, ours = info.pop("usage"), expected.pop("usage")
    assert [usage[name] for name in ("requests", "prompt_tokens")] == [
        ours[name] for name in ("requests", "prompt_tokens")
    ]
    assert info == expected
    assert all(j.tokens for j in served)
    if words:
        assert info["unparsed"] == 0
        assert {j.reading for j in served} == {"first", "second"}
        assert len({j.text for j in served}) > 4
