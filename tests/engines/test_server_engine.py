"""What is asked of a server and what its answers become, against a small one on loopback."""

import base64
import io
import json
import math
import random
from collections import Counter

import pytest
from PIL import Image

from harness.cli import main
from harness.engines.engine import StoppedError
from harness.errors import ExitCode
from harness.records import RunFolder
from tests.engines.small_server import (
    GREEDY,
    KEY,
    REFUSAL,
    RUN,
    VERDICT,
    Reply,
    answer,
    ask,
    make_model,
    prompt_of,
    serving,
)


def test_a_question_is_the_image_and_the_prompt_once(monkeypatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    with serving(lambda body, before: answer()) as server:
        (result,) = ask(make_model(server.url))
        sampled = {**GREEDY, "do_sample": True, "temperature": 0.2, "top_p": 0.2, "until": ["END"]}
        ask(make_model(server.url), 2, sampled)
    assert (result.text, result.error, result.token_counts.output_tokens) == (VERDICT, None, 7)
    greedy, *drawn = server.bodies
    image, text = greedy["messages"][0]["content"]
    assert text == {"type": "text", "text": "q0"}
    head, _, data = image["image_url"]["url"].partition(",")
    assert head == "data:image/png;base64"
    assert list(Image.open(io.BytesIO(base64.b64decode(data))).get_flattened_data()) == [(200, 30, 0)] * 24
    assert {k: v for k, v in greedy.items() if k != "messages"} == {
        "model": "judge", "max_tokens": 32, "temperature": 0.0
    }  # fmt: skip
    assert {(b["temperature"], b["top_p"], tuple(b["stop"])) for b in drawn} == {(0.2, 0.2, ("END",))}
    assert len({b["seed"] for b in drawn}) == 2
    assert server.keys == {"Bearer no-key-given"}


def test_a_model_that_takes_no_sampling_settings_is_sent_none() -> None:
    def reasoning(body: dict, before: int) -> Reply:
        words = {"message": "use 'max_completion_tokens'", "param": "max_tokens"}
        return Reply(400, {"error": words}) if "max_tokens" in body else answer()

    with serving(reasoning) as server:
        with pytest.raises(StoppedError, match=r"max_completion_tokens.*add sampling=server"):
            ask(make_model(server.url))
        (result,) = ask(make_model(server.url, sampling="server"))
    assert result.error is None
    assert set(server.bodies[-1]) == {"model", "messages", "max_completion_tokens"}


def test_answers_keep_their_order_and_no_more_are_asked_at_once_than_said() -> None:
    late = random.Random(0)
    with serving(lambda body, before: answer(prompt_of(body))._replace(after=late.random() / 20)) as server:
        results = ask(make_model(server.url, concurrency=3), 20)
    assert [result.text for result in results] == [f"q{n}" for n in range(20)]
    assert server.busiest == 3


def test_an_answer_without_words_is_an_answer() -> None:
    with serving(lambda body, before: answer(None, refusal="I cannot." if before else None)) as server:
        model = make_model(server.url)
        answers = ask(model) + ask(model)
    assert [(answer.text, answer.error) for answer in answers] == [("", None), ("I cannot.", None)]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ("model=m", "--model openai needs base_url. Write --model-args base_url=http"),
        ("base_url=http://h/v1", "needs model"),
        ("base_url=h:80,model=m", "argument base_url = 'h:80'"),
        ("base_url=http://h/v1,model=m,concurency=2", "Did you mean 'concurrency'"),
        ("base_url=http://h/v1,model=m,timeout=0", "argument timeout = '0'"),
        ("base_url=http://127.0.0.1:1/v1,model=m", "no server answers at http://127.0.0.1:1/v1"),
    ],
)
def test_wrong_arguments_are_one_line_and_exit_2(arguments: str, says: str, results, capfd) -> None:
    assert main([*RUN, "--model-args", arguments]) == 2
    error = capfd.readouterr().err
    assert says in error
    assert len(error.strip().splitlines()) == 1


def test_a_run_with_failed_answers_is_incomplete_and_resume_asks_only_those(results, tmp_path, capfd) -> None:
    ill = {3, 4, 8}
    seen: dict[str, int] = {}

    def reply(body: dict, before: int) -> Reply:
        number = seen.setdefault(prompt_of(body), len(seen))
        return Reply(500, {"error": {"message": "ill"}}) if number in ill else answer()

    out = tmp_path / "run"
    with serving(reply) as server:

        def run(*more: str, patience: str = "") -> int:
            patience = patience or "max_retries=1,backoff=0.01"
            arguments = f"base_url={server.url},model=m,api_key={KEY},{patience}"
            return main([*RUN, "--model-args", arguments, "--set", "judging.chunk_size=4", "--out", str(out), *more])

        assert run() == ExitCode.INCOMPLETE
        error = capfd.readouterr().err
        assert "3 of 10 answers failed (3 times: 500 ill), of vlrewardbench/" in error
        assert len(server.asked) == 10 + 3
        folder = RunFolder(out)
        assert folder.read_run().status == "unfinished"
        assert Counter(j.reading for j in folder.read_judgments("vlrewardbench")) == {"first": 7, "error": 3}
        assert {(j.text, j.error) for j in folder.read_judgments("vlrewardbench") if j.reading == "error"} == {
            ("", "500 ill")
        }
        assert main(["compare", str(out), str(out)]) == ExitCode.INCOMPLETE
        assert "Finish it" in capfd.readouterr().err

        assert run() == ExitCode.USAGE
        assert "--resume" in capfd.readouterr().err
        failed = {prompt for prompt, number in seen.items() if number in ill}
        ill.remove(3)
        server.asked.clear()
        assert run("--resume") == ExitCode.INCOMPLETE
        assert "2 of 10 answers failed" in capfd.readouterr().err
        assert {prompt for prompt, _ in server.asked} == failed
        ill.clear()
        server.asked.clear()
        assert run("--resume", patience="concurrency=1") == 0
        assert len(server.asked) == 2
        server.asked.clear()
        assert run() == 0
        assert server.asked == []
    judgments = folder.read_judgments("vlrewardbench")
    assert len({j.key for j in judgments}) == len(judgments) == 10
    assert {(j.reading, j.tokens) for j in judgments} == {("first", 7)}
    assert folder.read_run().status == "complete"
    assert main(["compare", str(out), str(out)]) == 0
    assert not [p for p in out.iterdir() if p.is_file() and KEY in p.read_text()]
    shown = capfd.readouterr()
    assert KEY not in shown.out + shown.err


def test_what_is_refused_alone_is_an_error_of_its_item_and_is_asked_again_only_when_told(
    results, tmp_path, capfd
) -> None:
    out, seen, poisoned = tmp_path / "run", dict[str, int](), {0, 7}

    def reply(body: dict, before: int) -> Reply:
        return REFUSAL if seen.setdefault(prompt_of(body), len(seen)) in poisoned else answer()

    with serving(reply) as server:
        arguments = [*RUN, "--model-args", f"base_url={server.url},model=m,concurrency=1", "--out", str(out)]
        assert main(arguments) == ExitCode.INCOMPLETE
        last = capfd.readouterr().err.strip().splitlines()[-1]
        assert "2 of 10 answers failed (2 times: refused: 400, prompt too long), of vlrewardbench/" in last
        assert "--retry-errors" in last
        folder = RunFolder(out)
        assert Counter(j.reading for j in folder.read_judgments("vlrewardbench")) == {"first": 8, "error": 2}
        server.asked.clear()
        assert main([*arguments, "--resume"]) == ExitCode.INCOMPLETE
        assert server.asked == [], "what was refused for good is not paid for again"
        poisoned.clear()
        assert main([*arguments, "--retry-errors"]) == 0
        assert len(server.asked) == 2
    assert main(["compare", str(out), str(out)]) == 0


@pytest.mark.parametrize("count", [-2, 10**40, 2.5, "many", None, [1]])
def test_a_count_that_is_none_is_not_recorded(count: object) -> None:
    reply = json.loads(json.dumps(answer().body))
    reply["usage"]["completion_tokens"] = count
    with serving(lambda body, before: Reply(body=reply)) as server:
        (given,) = ask(make_model(server.url), 1)
    assert (given.text, given.error) == (VERDICT, None)
    assert not given.token_counts


@pytest.mark.parametrize("logprob", [None, "x", [], float("nan"), float("inf"), -1e308, True])
@pytest.mark.parametrize("token", ["1", None, 3, ["1"]])
def test_probabilities_that_are_none_are_left_out(logprob: object, token: object) -> None:
    body = json.loads(json.dumps(answer().body))
    other = {"token": token, "logprob": logprob, "top_logprobs": [{"token": "2", "logprob": -1}]}
    body["choices"][0]["logprobs"] = {"content": [{"token": token, "logprob": logprob, "top_logprobs": [other, None]}]}
    with serving(lambda asked, before: Reply(body=body)) as server:
        (given,) = ask(make_model(server.url, alternatives=20), 1)
    assert (given.text, given.error, given.p_first) == (VERDICT, None, None)


def test_a_server_without_probabilities_is_refused_for_a_protocol_that_needs_them(results, tmp_path, capfd) -> None:
    with serving(lambda body, before: answer()) as server:
        arguments = [*RUN, "--protocol", "logprob", "--model-args", f"base_url={server.url},model=m"]
        assert main([*arguments, "--out", str(tmp_path / "run")]) == ExitCode.USAGE
        assert server.asked == []
    assert "protocol logprob needs P(verdict), which this model does not give." in capfd.readouterr().err


def test_alternatives_give_the_probability_of_the_verdict_and_several_servers_share_the_work() -> None:
    def likely(body: dict, before: int) -> Reply:
        reply = answer()
        tokens = [("Overall Judgment: Answer", []), (" 1", [(" 1", -0.25), (" 2", -1.5)]), (" is better.", [])]
        content = [
            {"token": token, "logprob": -0.25, "bytes": None}
            | {"top_logprobs": [{"token": t, "logprob": p, "bytes": None} for t, p in others]}
            for token, others in tokens
        ]
        reply.body["choices"][0]["logprobs"] = {"content": content}
        return reply

    with serving(likely) as one, serving(likely) as other:
        results = ask(make_model(f"{one.url};{other.url}", alternatives=20), 4)
        assert {prompt for prompt, _ in one.asked} == {"q0", "q1"}
        assert {prompt for prompt, _ in other.asked} == {"q2", "q3"}
    assert {body["top_logprobs"] for body in one.bodies} == {20}
    assert [result.p_first for result in results] == pytest.approx([1 / (1 + math.exp(-1.25))] * 4)
