"""Limits of one call: what counts, where a run stops, and that nothing which was answered is lost or asked again."""

import json
from collections import Counter

import pytest

from harness.cli import main
from harness.engines.engine import Answer
from harness.engines.meter import Limits, Meter, meter, metering
from harness.errors import ExitCode, LimitReachedError
from harness.records import RunFolder
from tests.engines.small_server import KEY, RUN, Reply, answer, prompt_of, serving


def test_the_first_limit_that_is_reached_is_named() -> None:
    now = [0.0]
    with metering(Limits(minutes=2, requests=3, cost=1.0), clock=lambda: now[0]) as one:
        assert meter() is one
        one.asked(Answer("yes", tokens=4, prompt_tokens=10, requests=1).again(2), lambda read, written: read / 100)
        assert (one.requests, one.prompt_tokens, one.completion_tokens) == (1, 10, 8)
        assert one.cost == pytest.approx(0.1)
        meter().check()
        one.sent(2)
        with pytest.raises(LimitReachedError, match=r"--max-requests 3 is reached \(3 requests, 10 tokens read"):
            meter().check()
        now[0] = 150.0
        assert str(one.reached()).startswith("--max-minutes 2 is reached")
        assert "2 min 30 s" in one.told()
        assert one.reached().exit_code == ExitCode.INCOMPLETE
    assert meter() is not one
    assert Meter().reached() is None


def run(url: str, out, *more: str) -> int:
    arguments = f"base_url={url},model=m,api_key={KEY},concurrency=2,backoff=0.01,price_in=100000,price_out=0"
    return main([*RUN, "--model-args", arguments, "--set", "judging.chunk_size=8", "--out", str(out), *more])


def test_a_run_stops_at_its_requests_and_goes_on_with_what_is_owed(results, tmp_path, capfd) -> None:
    out = tmp_path / "run"
    # a question that fails once takes two requests
    with serving(
        lambda body, before: Reply(500, {}) if "0" in prompt_of(body)[-3:] and not before else answer()
    ) as server:
        assert run(server.url, out, "--max-requests", "4") == ExitCode.INCOMPLETE
        assert len(server.asked) == 4
        folder = RunFolder(out)
        first = folder.judgments_path("vlrewardbench").read_text()
        kept = len(first.splitlines())
        last = capfd.readouterr().err.strip().splitlines()[-1]
        assert "--max-requests 4 is reached (4 requests" in last
        assert f"Done: judge vlrewardbench seed 0: {kept} of 10 answers; all of it is kept. Go on: harness run " in last
        assert last.endswith("--max-requests 4 --resume")
        assert "api_key=[redacted]" in last
        assert KEY not in last
        assert folder.read_run().status == "unfinished"
        # what the record gives does not count
        assert run(server.url, out, "--max-requests", "30", "--resume") == 0
        again = folder.judgments_path("vlrewardbench").read_text()
        assert again.startswith(first)
    judgments = folder.read_judgments("vlrewardbench")
    assert len({j.key for j in judgments}) == len(judgments) == 10
    assert sum(j.requests for j in judgments) == len(server.asked)
    assert {(j.prompt_tokens, j.tokens) for j in judgments} == {(9, 7)}
    (stage,) = [stage for stage in folder.read_run().stages if stage.stage.startswith("judge")]
    usage = stage.info["usage"]
    assert usage.pop("items_per_second") > 0
    assert usage == {
        "requests": len(server.asked), "prompt_tokens": 90, "completion_tokens": 70, "cost": pytest.approx(9.0)
    }  # fmt: skip
    assert "Asked in this call:" in capfd.readouterr().out


def test_a_cost_is_kept_where_it_can_be_told_and_refused_where_not(results, tmp_path, capfd) -> None:
    out, silent = tmp_path / "run", answer()
    silent.body.pop("usage")
    with serving(lambda body, before: answer()) as server:
        # 0.9 an answer: the third reaches it, and the other under way comes home
        assert run(server.url, out, "--max-cost", "2.5") == ExitCode.INCOMPLETE
        assert "--max-cost 2.5 is reached" in capfd.readouterr().err
        assert 3 <= len(server.asked) <= 4
        assert len(RunFolder(out).read_judgments("vlrewardbench")) == len(server.asked)
        server.reply = lambda body, before: silent
        assert run(server.url, tmp_path / "other", "--max-cost", "2.5") == ExitCode.USAGE
        assert "does not say how many tokens it read and wrote" in capfd.readouterr().err
    arguments = [*RUN, "--model-args", "base_url=http://127.0.0.1:1/v1,model=m", "--max-cost", "1"]
    assert main(arguments) == ExitCode.USAGE
    assert "no server" not in (said := capfd.readouterr().err)
    assert "price_in=P,price_out=P" in said


@pytest.mark.parametrize(("option", "value"), [("--max-minutes", "0"), ("--max-requests", "-1"), ("--max-cost", "nan")])
def test_no_limit_is_a_mistake(option: str, value: str, capsys) -> None:
    assert main([*RUN, option, value]) == ExitCode.USAGE
    assert option in capsys.readouterr().err


def test_time_that_is_over_stops_before_the_first_question(results, tmp_path, capfd) -> None:
    with serving(lambda body, before: answer()) as server:
        assert run(server.url, tmp_path / "run", "--max-minutes", "1e-9") == ExitCode.INCOMPLETE
        assert server.asked == []
        assert "--max-minutes 1e-09 is reached (0 requests, " in capfd.readouterr().err
        assert run(server.url, tmp_path / "run", "--max-minutes", "60", "--resume") == 0
    assert Counter(server.keys) == {f"Bearer {KEY}": 1}
    assert json.loads((tmp_path / "run/run.json").read_text())["status"] == "complete"
