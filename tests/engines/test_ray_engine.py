"""Ray's workers answer as one process does, and lose nothing when one of them is killed."""

import io
import itertools
import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

from harness.embedded.data import benchmark_rows
from harness.engines.engine import Decoding, Question, open_engine, open_scorer
from harness.errors import HarnessError
from harness.judge.format import EMBEDDED
from harness.settings import ExpertSettings, JudgeSettings, JudgingSettings, RaySettings, WorldSettings
from harness.training.experts import Expert

HERE = JudgingSettings(precision="float32", batch_size=16)
RAY = HERE.model_copy(update={"engine": RaySettings(shard_size=8)})
DRAWN = Decoding(48, 1.0, 1.0, 3)


def questions(count: int) -> list[Question]:
    rows = itertools.islice(benchmark_rows(WorldSettings(split="dev")), count)
    return [
        Question((Image.open(io.BytesIO(row["image"])), EMBEDDED.ask(row["query"], *row["response"]))) for row in rows
    ]


@pytest.fixture(scope="module")
def here() -> Iterator:
    engine = open_engine(JudgeSettings(), HERE, Path())
    yield engine
    engine.close()


def workers() -> list[int]:
    """Ray names a worker's process after what it holds."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if (folder / "cmdline").read_bytes().startswith(b"ray::_Worker"):
                found.append(int(folder.name))
        except OSError:
            continue
    return found


def test_two_workers_answer_as_one_process_and_one_that_is_killed_loses_nothing(here, tmp_path: Path) -> None:
    asked = questions(64)
    engine = open_engine(JudgeSettings(), RAY, tmp_path)
    told: list[int] = []
    shards = tmp_path / "shards"

    def kill() -> None:
        while len(list(shards.glob("*.parquet"))) < 2:
            time.sleep(0.02)
        os.kill(workers()[0], signal.SIGKILL)

    killer = threading.Thread(target=kill)
    killer.start()
    try:
        answers = engine.answer(asked, DRAWN, 7, told.append)
        killer.join()
        assert len(list(shards.glob("*.parquet"))) == 8
        before = time.monotonic()
        assert engine.answer(asked, DRAWN, 7) == answers
        assert time.monotonic() - before < 2, "finished shards are read, not asked again"
    finally:
        engine.close()
    assert sum(told) == 64
    expected = here.answer(asked, DRAWN, 7)
    for given, wanted in zip(answers, expected, strict=True):
        for one, other in zip(given, wanted, strict=True):
            assert (one.text, one.tokens) == (other.text, other.tokens)
            assert one.p_first == pytest.approx(other.p_first, abs=1e-5)


def test_scores_are_those_of_one_process(tmp_path: Path) -> None:
    texts = [("a red circle.", "what is red?", f"a {what}") for what in ("circle", "square", "star", "cross")] * 3
    scores = []
    for settings in (ExpertSettings(precision="float32"), ExpertSettings(precision="float32", engine=RAY.engine)):
        expert = Expert("embedded:expert-0", settings, tmp_path)
        scores.append(expert.score(texts, lambda count: None))
        expert.close()
    assert scores[0] == pytest.approx(scores[1], abs=1e-6)


def test_what_a_worker_cannot_open_is_the_users_one_line(tmp_path: Path) -> None:
    scorer = open_scorer("embedded:judge", ExpertSettings(precision="float32", engine=RAY.engine), tmp_path)
    with pytest.raises(HarnessError, match=r"cannot be loaded|is no reward model"):
        scorer.score([[1, 4, 5, 2]])
    scorer.close()


def test_an_address_where_no_cluster_is(tmp_path: Path) -> None:
    settings = HERE.model_copy(update={"engine": RaySettings(address="127.0.0.1:9")})
    with pytest.raises(HarnessError, match=r"no Ray cluster answers at '127.0.0.1:9'.*--ray-address"):
        open_engine(JudgeSettings(), settings, tmp_path)
