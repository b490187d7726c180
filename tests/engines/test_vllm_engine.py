"""vLLM for real, where its environment is: the whole of CAREVL through it, and its answers beside transformers'."""

import contextlib
import io
import itertools
import os
import signal
import time
from pathlib import Path

import pytest
from PIL import Image

from harness.cli import main
from harness.embedded.data import benchmark_rows
from harness.engines.engine import Decoding, Question, open_engine, open_scorer
from harness.engines.vllm_servers import BUILT, VARIABLE, readable
from harness.judge.checkpoints import resolve
from harness.judge.format import EMBEDDED
from harness.settings import ExpertSettings, JudgeSettings, JudgingSettings, RaySettings, VllmSettings, WorldSettings
from tests.test_main_job import harness, runs, sets
from tests.test_main_job import judgments as judgments_of
from tests.toy_qwen import save_tiny_qwen

HERE = JudgingSettings(precision="float32", batch_size=64)
needs_vllm = pytest.mark.skipif(
    not (os.environ.get(VARIABLE) or BUILT.exists()), reason="vLLM's environment is not built: make test-vllm"
)


def questions(format_, count: int) -> list[Question]:
    """Ask about `count` dev items, both orders side by side."""
    rows = itertools.islice(benchmark_rows(WorldSettings(split="dev")), count)
    return [
        Question((Image.open(io.BytesIO(row["image"])), format_.ask(row["query"], *shown)))
        for row in rows
        for shown in (row["response"], row["response"][::-1])
    ]


def texts_of(answers) -> list[list[str]]:
    """The last bits of a probability depend on what else a server is asked at the time; its words do not."""
    return [[answer.text for answer in drawn] for drawn in answers]


@needs_vllm
def test_carevl_through_vllm_and_its_answers_are_those_of_transformers(tmp_path: Path) -> None:
    save_tiny_qwen(tmp_path / "qwen", 64)
    small = ["world.pairs=400", "world.items=20", "experts.models=[embedded:expert-0]", "sft.batch_size=8"]
    small += ["sft.micro_batch_size=8", "sft.epochs=10", "sft.learning_rate=2e-3", "sampling.max_pairs=12"]
    small += ["sampling.samples=3", "sampling.max_new_tokens=64", "judging.max_new_tokens=64", "captions.batch_size=8"]
    arguments = ["run", "--recipe", "carevl", "--tasks", "vlrewardbench", "--baseline", "none"]
    harness(tmp_path, *arguments, *sets(*small, "engine=vllm", f"judge.model={tmp_path / 'qwen'}"))
    given = judgments_of(runs(tmp_path)["carevl"])
    assert len(given) == 40

    judge = JudgeSettings(model=str(next(tmp_path.glob("cache/dpo-*"))))
    here = open_engine(judge, HERE, tmp_path)
    asked = questions(here.format, 250)
    greedy = Decoding(64)
    expected, weighed = here.answer(asked, greedy), here.weigh(asked)
    here.close()
    vllm = open_engine(judge, HERE.model_copy(update={"engine": VllmSettings()}), tmp_path)
    try:
        answers = vllm.answer(asked, greedy)
        alike = [(a, b) for (a,), (b,) in zip(answers, expected, strict=True) if a.text == b.text]
        assert len(alike) >= 0.99 * len(asked)
        named = [(a.p_first, b.p_first) for a, b in alike if b.p_first is not None]
        assert len(named) >= 0.9 * len(alike), "it learned to name a verdict"
        assert [a for a, _ in named] == pytest.approx([b for _, b in named], abs=1e-3)
        assert all(a.p_first is None for a, b in alike if b.p_first is None)
        for one, other in zip(vllm.weigh(asked), weighed, strict=True):
            assert one.p_first == pytest.approx(other.p_first, abs=1e-3)
        # a server that dies in the middle is started again, and asked what is owed
        os.killpg(vllm.servers.running[0].pid, signal.SIGKILL)
        assert texts_of(vllm.answer(asked[:6], greedy)) == texts_of(answers[:6])
        drawn, again = (texts_of(vllm.answer(asked[:4], Decoding(64, 1.0, 1.0, 3), 5)) for _ in range(2))
        assert drawn == again
        assert any(len(set(texts)) > 1 for texts in drawn)
    finally:
        vllm.close()


@needs_vllm
def test_rays_workers_may_hold_vllm_in_its_own_environment(tmp_path: Path) -> None:
    asked = questions(EMBEDDED, 8)
    settings = RaySettings(of=VllmSettings(), workers=1, shard_size=8)
    ray = open_engine(JudgeSettings(), HERE.model_copy(update={"engine": settings}), tmp_path)
    try:
        answers = ray.answer(asked, Decoding(48))
    finally:
        ray.close()
    here = open_engine(JudgeSettings(), HERE, tmp_path)
    assert [a.text for (a,) in answers] == [a.text for (a,) in here.answer(asked, Decoding(48))]
    until = time.monotonic() + 30
    while (left := writing_below(tmp_path)) and time.monotonic() < until:
        time.sleep(1)
    assert not left


def writing_below(folder: Path) -> list[str]:
    """List the processes that write their output below a folder, as vLLM's servers and what they start do."""
    found = []
    for link in Path("/proc").glob("[0-9]*/fd/1"):
        with contextlib.suppress(OSError):
            found += [link.parts[2]] if str(link.readlink()).startswith(str(folder)) else []
    return found


@needs_vllm
def test_experts_without_activation(tmp_path: Path) -> None:
    texts = [[1, 4, 45, 109, 62, 20, 133, 82, 109, 37, 5, 45, 62, 2], [1, 4, 45, 109, 37, 5, 45, 2]]
    settings = ExpertSettings(precision="float32")
    here = open_scorer("embedded:expert-1", settings, tmp_path)
    vllm = open_scorer("embedded:expert-1", settings.model_copy(update={"engine": VllmSettings()}), tmp_path)
    assert vllm.score(texts) == pytest.approx(here.score(texts), abs=1e-4)
    vllm.close()


@needs_vllm
def test_a_checkpoint_that_vllm_cannot_read_is_one_line(tmp_path: Path, capfd) -> None:
    save_tiny_qwen(tmp_path / "qwen", 32)
    arguments = ["run", "--model", "harness_judge", "--model-args", f"pretrained={tmp_path / 'qwen'}"]
    more = sets("world.items=2", "judging.engine=vllm", "judging.engine.options.tokenizer-mode=nonsense")
    os.environ["HARNESS_RESULTS"] = str(tmp_path / "results")
    try:
        assert main([*arguments, "--tasks", "vlrewardbench", *more]) == 2
    finally:
        del os.environ["HARNESS_RESULTS"]
    last = capfd.readouterr().err.strip().splitlines()[-1]
    assert last.startswith("harness: vLLM with ")
    assert "did not start" in last
    assert "vllm-0.log" in last


def test_an_environment_that_is_not_there_is_said_at_once(tmp_path: Path, capfd, monkeypatch) -> None:
    monkeypatch.setenv(VARIABLE, str(tmp_path / "python"))
    arguments = ["run", "--recipe", "carevl", "--tasks", "vlrewardbench", "--dry-run", "--set", "engine=vllm"]
    before = time.monotonic()
    assert main(arguments) == 2
    assert time.monotonic() - before < 5
    assert f"{tmp_path / 'python'} is no interpreter. `make vllm` builds one" in capfd.readouterr().err


def test_a_tower_that_transformers_renamed_is_named_back(tmp_path: Path) -> None:
    import torch
    from safetensors.torch import load_file, save_file

    judge = Path(resolve("embedded:judge").location)
    (tmp_path / "view").mkdir()
    view = readable(judge, tmp_path / "view")
    old, new = load_file(judge / "model.safetensors"), load_file(view / "model.safetensors")
    renamed = {name.replace("vision_tower.", "vision_tower.vision_model."): weight for name, weight in old.items()}
    assert renamed.keys() == new.keys() != old.keys()
    assert all(torch.equal(renamed[name], new[name]) for name in new)
    assert (view / "config.json").read_text() == (judge / "config.json").read_text()
    (tmp_path / "plain").mkdir()
    save_file({"model.layers.0.weight": torch.ones(2)}, tmp_path / "plain/model.safetensors")
    assert readable(tmp_path / "plain", tmp_path) == tmp_path / "plain"
