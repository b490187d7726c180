"""The recording wrapper around a real lmms-eval task, with a judge that answers by rule."""

from pathlib import Path

import pytest

from harness.counting.metrics import METRICS, estimate
from harness.data.benchmark import read_items
from harness.errors import RunIncompleteError
from harness.protocols import find_protocol
from harness.records import RunFolder
from harness.records.inventory import limited

lmms_eval = pytest.importorskip("lmms_eval")

from lmms_eval.api.model import lmms  # noqa: E402

from harness.config import RunConfig  # noqa: E402
from harness.evaluate import tasks  # noqa: E402
from harness.evaluate.judged import Judged  # noqa: E402
from harness.training.stages import Artifact, Silent  # noqa: E402
from tests.toy_task import CONTENT, HOOKS, small_benchmark  # noqa: E402


class LongerIsBetter(lmms):
    """Prefers the longer answer; says nothing readable where they are equally long; may be killed."""

    def __init__(self, die_after: int | None = None) -> None:
        super().__init__()
        self.asked: list[str] = []
        self.die_after = die_after

    def generate_until(self, requests):
        if self.die_after is not None and len(self.asked) >= self.die_after:
            raise KeyboardInterrupt
        answers = []
        for request in requests:
            _, _, visual, doc_id, task, split = request.args
            doc = self.task_dict[task][split][doc_id]
            assert visual(doc)[0].size == (48, 48)
            self.asked.append(f"{doc['item_id']} {doc['order']} {doc['repeat']}")
            first, second = map(len, doc["shown"])
            number = 1 if first > second else 2
            answers.append("no idea" if first == second else f"Overall Judgment: Answer {number} is better.")
        return answers

    def loglikelihood(self, requests):
        raise NotImplementedError

    def generate_until_multi_round(self, requests):
        raise NotImplementedError


@pytest.fixture(scope="module")
def benchmark(tmp_path_factory) -> Artifact:
    return small_benchmark(tmp_path_factory.mktemp("benchmark"), 30)


def ask(folder: RunFolder, benchmark: Artifact, model: LongerIsBetter, protocol: str = "both-orders"):
    items = read_items(benchmark.path / tasks.TABLE)
    config = RunConfig(
        recipe="toy", tasks=["vlrewardbench"], data={"vlrewardbench": "embedded"}, judging={"chunk_size": 8}
    )
    task = tasks.PreparedTask(CONTENT, HOOKS, benchmark, items, find_protocol(protocol), None)
    info = tasks.ask(folder, task, Judged("toy", None, False, lambda: model), config, 0, Silent())
    return info, task.protocol.tally(items, folder.read_judgments("vlrewardbench"))


def test_a_rule_is_scored_as_the_rule_deserves(tmp_path: Path, benchmark: Artifact) -> None:
    model = LongerIsBetter()
    info, tally = ask(RunFolder(tmp_path), benchmark, model)
    items = read_items(benchmark.path / tasks.TABLE)
    lengths = [(len(i.responses[i.label]), len(i.responses[1 - i.label])) for i in items]
    assert info["unparsed"] == 2 * sum(right == wrong for right, wrong in lengths)
    expected = sum(right > wrong for right, wrong in lengths) / len(items)
    assert estimate(METRICS["pair"]["accuracy"], tally) == pytest.approx(expected)
    assert info["accuracy"] == pytest.approx(expected, abs=1e-4)
    assert len(model.asked) == 60


def test_after_a_crash_only_what_is_owed_is_asked(tmp_path: Path, benchmark: Artifact) -> None:
    whole, broken = RunFolder(tmp_path / "whole"), RunFolder(tmp_path / "broken")
    whole.path.mkdir()
    broken.path.mkdir()
    ask(whole, benchmark, LongerIsBetter())
    first = LongerIsBetter(die_after=20)
    with pytest.raises(KeyboardInterrupt):
        ask(broken, benchmark, first)
    path = broken.judgments_path("vlrewardbench")
    path.write_bytes(path.read_bytes() + b'{"item_id": "torn')
    second = LongerIsBetter()
    ask(broken, benchmark, second)
    assert len(set(first.asked)) + len(second.asked) == 60
    assert not set(first.asked) & set(second.asked)

    def plain(folder: RunFolder):
        return [j.model_copy(update={"seconds": 0}) for j in folder.read_judgments("vlrewardbench")]

    assert plain(broken) == plain(whole)
    third = LongerIsBetter()
    ask(broken, benchmark, third)
    assert third.asked == []


class FailsAtFirst(LongerIsBetter):
    """Like lmms-eval's clients of servers, says in its text that a request failed."""

    def generate_until(self, requests):
        failed = "[LMMS_EVAL_REQUEST_FAILED after 5 retries] timed out"
        first = not self.asked
        answers = super().generate_until(requests)
        return [failed, *answers[1:]] if first else answers


def test_a_failure_that_lmms_eval_calls_an_answer_is_an_error(tmp_path: Path, benchmark: Artifact) -> None:
    folder = RunFolder(tmp_path)
    with pytest.raises(RunIncompleteError, match="1 of 60 answers failed"):
        ask(folder, benchmark, FailsAtFirst())
    (failed,) = [j for j in folder.read_judgments("vlrewardbench") if j.reading == "error"]
    assert failed.text == ""
    assert "timed out" in failed.error
    ask(folder, benchmark, again := LongerIsBetter())
    assert len(again.asked) == 8, "its chunk is asked whole"
    assert len({j.key for j in folder.read_judgments("vlrewardbench")}) == 60


def test_official_keeps_votes_and_gives_a_curve(tmp_path: Path, benchmark: Artifact) -> None:
    model = LongerIsBetter()
    _, tally = ask(RunFolder(tmp_path), benchmark, model, "official:9")
    assert len(model.asked) == 30 * 9
    items = read_items(benchmark.path / tasks.TABLE)
    judgments = RunFolder(tmp_path).read_judgments("vlrewardbench")
    protocol = find_protocol("official:9")
    for k in (1, 3, 5, 7, 9):
        # the rule has no randomness, so every K gives the same majority
        assert estimate(METRICS["pair"]["accuracy"], protocol.tally(items, judgments, k)) == pytest.approx(
            estimate(METRICS["pair"]["accuracy"], tally)
        )


def test_a_limit_is_a_fair_sample_and_grows(benchmark: Artifact) -> None:
    items = read_items(benchmark.path / tasks.TABLE)
    small, large = limited(items, 8), limited(items, 20)
    assert len(small) == 8
    assert {i.item_id for i in small} < {i.item_id for i in large}
    assert len({i.slice for i in large}) == 3
    assert limited(items, 999) == items
