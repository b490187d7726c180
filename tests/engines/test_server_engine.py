"""The client of servers, against a small one on loopback that fails as told."""

import base64
import gzip
import io
import json
import math
import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace
from typing import NamedTuple

import pytest
from PIL import Image

from harness.cli import main
from harness.engines.engine import StoppedError
from harness.engines.server_client import IN_A_ROW, LONGEST_ANSWER, retry_after
from harness.engines.server_engine import ServerEngine
from harness.errors import ExitCode, HarnessError
from harness.evaluate.engine_model import EngineModel
from harness.records import RunFolder
from harness.settings import ServerSettings

KEY = "sk-do-not-tell"
VERDICT = "Overall Judgment: Answer 1 is better."


class Reply(NamedTuple):
    """What the server sends, and how late."""

    status: int = 200
    body: bytes | dict | list | None = None
    headers: dict | None = None
    after: float = 0


def answer(text: str = VERDICT, **message) -> Reply:
    choice = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": text, **message}}
    usage = {"prompt_tokens": 9, "completion_tokens": 7, "total_tokens": 16}
    return Reply(body={"id": "1", "object": "chat.completion", "created": 0, "choices": [choice], "usage": usage})


class Server(ThreadingHTTPServer):
    """Sends what `reply` makes of a question and of how often it was asked before."""

    daemon_threads = True

    def __init__(self, reply: Callable[[dict, int], Reply | None]) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.reply = reply
        self.list_models = Reply(body={"object": "list", "data": []})
        self.asked: list[tuple[str, float]] = []
        self.bodies: list[dict] = []
        self.keys: set[str] = set()
        self.lock = threading.Lock()
        self.busy = self.busiest = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/v1"


class Handler(BaseHTTPRequestHandler):
    server: Server
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self._send(self.server.list_models)

    def do_POST(self) -> None:
        server = self.server
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        with server.lock:
            before = sum(prompt_of(body) == prompt for prompt, _ in server.asked)
            server.asked.append((prompt_of(body), time.monotonic()))
            server.bodies.append(body)
            server.keys.add(self.headers["Authorization"])
            server.busy += 1
            server.busiest = max(server.busy, server.busiest)
        reply = server.reply(body, before)
        time.sleep(reply.after if reply else 0)
        with server.lock:
            server.busy -= 1
        if reply is None:
            self.close_connection = True
        else:
            self._send(reply)

    def _send(self, reply: Reply) -> None:
        content = reply.body if isinstance(reply.body, bytes) else json.dumps(reply.body).encode()
        try:
            self.send_response(reply.status)
            for name, value in ({"Content-Type": "application/json"} | (reply.headers or {})).items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)
        except OSError:
            # the client has stopped waiting, as it should
            self.close_connection = True

    def log_message(self, *arguments) -> None:
        pass


def prompt_of(body: dict) -> str:
    return body["messages"][0]["content"][1]["text"]


@contextmanager
def serving(reply: Callable[[dict, int], Reply | None]) -> Iterator[Server]:
    with Server(reply) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


def make_model(url: str, **settings) -> EngineModel:
    quick = {"backoff": 0.01, "max_retries": 2, "timeout": 5, **settings}
    return EngineModel(ServerEngine(ServerSettings(base_url=url, model="judge", **quick)))


GREEDY = {"max_new_tokens": 32, "do_sample": False, "temperature": 0, "until": []}
PICTURE = Image.new("RGB", (6, 4), (200, 30, 0))


def ask(model: EngineModel, count: int = 1, kwargs: dict = GREEDY):
    """Ask questions `q0`, `q1`, ..."""
    docs = [{"item_id": f"i{n}", "order": [0, 1], "repeat": 0} for n in range(count)]
    model.task_dict = {"toy": {"test": docs}}
    requests = [SimpleNamespace(args=(f"q{n}", kwargs, lambda doc: [PICTURE], n, "toy", "test")) for n in range(count)]
    return model.generate_until(requests)


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


@pytest.mark.parametrize("key", ["sk-ä", "a\nb"])
def test_a_key_that_cannot_be_sent_is_not_shown(key: str) -> None:
    with pytest.raises(HarnessError, match="API key holds a character") as error:
        make_model("http://127.0.0.1:1/v1", api_key=key)
    assert key not in str(error.value)


def test_answers_keep_their_order_and_no_more_are_asked_at_once_than_said() -> None:
    late = random.Random(0)
    with serving(lambda body, before: answer(prompt_of(body))._replace(after=late.random() / 20)) as server:
        results = ask(make_model(server.url, concurrency=3), 20)
    assert [result.text for result in results] == [f"q{n}" for n in range(20)]
    assert server.busiest == 3


@pytest.mark.parametrize(
    "reply",
    [
        Reply(429, {"error": {"message": "slow down"}}),
        Reply(503, b"loading"),
        Reply(200, b"<html>a proxy</html>", {"Content-Type": "text/html"}),
        Reply(200, b'{"choices": [{"mess'),
        Reply(200, b"\xff\xfe\xff"),
        Reply(200, []),
        Reply(200, {"error": {"message": "upstream"}}),
        Reply(200, {"choices": []}),
        Reply(200, {"choices": [{"message": "words"}]}),
        Reply(200, {"choices": [{"message": {"content": {"no": "text"}}}]}),
        answer()._replace(after=1.5),
        None,
    ],
    ids=[
        "429",
        "503",
        "html",
        "torn",
        "no-text",
        "list",
        "error-200",
        "no-choice",
        "words",
        "no-words",
        "late",
        "gone",
    ],
)
def test_what_may_pass_is_asked_again_and_else_an_error(reply: Reply | None) -> None:
    with serving(lambda body, before: answer() if before else reply) as server:
        model = make_model(server.url, timeout=0.5 if reply and reply.after else 5, max_retries=1)
        (result,) = ask(model)
        assert (result.text, result.error) == (VERDICT, None)
        assert len(server.asked) == 2
        server.reply = lambda body, before: reply
        server.asked.clear()
        (result,) = ask(model)
        assert len(server.asked) == 2
    assert result.text == ""
    assert result.error
    assert "\n" not in result.error


def test_errors_say_what_happened() -> None:
    replies = {
        "q0": Reply(500, {"error": {"message": "out of\nmemory"}}),
        "q1": answer()._replace(after=2),
        "q2": Reply(200, {"error": {"message": "upstream"}}),
        "q3": Reply(503, {"detail": "loading"}),
    }
    with serving(lambda body, before: replies[prompt_of(body)]) as server:
        memory, late, upstream, loading = (r.error for r in ask(make_model(server.url, timeout=1, max_retries=0), 4))
    assert memory == "500 out of memory"
    assert late == "no answer within 1 s"
    assert upstream.startswith("a reply that is no answer")
    assert "upstream" in upstream
    assert loading == "503 loading"


def test_an_answer_without_words_is_an_answer() -> None:
    with serving(lambda body, before: answer(None, refusal="I cannot." if before else None)) as server:
        model = make_model(server.url)
        answers = ask(model) + ask(model)
    assert [(answer.text, answer.error) for answer in answers] == [("", None), ("I cannot.", None)]


def test_waits_grow_and_obey_retry_after() -> None:
    def busy(body: dict, before: int) -> Reply:
        return Reply(429, {}, {"Retry-After": "0.5"}) if before == 0 else Reply(503, {}) if before < 3 else answer()

    with serving(busy) as server:
        (result,) = ask(make_model(server.url, max_retries=3, backoff=0.1))
    assert result.error is None
    first, second, third, fourth = (at for _, at in server.asked)
    # from half of a wait to the whole, beyond what the server asks for
    assert second - first >= 0.5 + 0.05
    assert third - second >= 0.1
    assert fourth - third >= 0.2


def test_a_server_that_asks_for_hours_has_failed_at_once() -> None:
    with serving(lambda body, before: Reply(429, {"error": {"message": "quota"}}, {"Retry-After": "86400"})) as server:
        (result,) = ask(make_model(server.url))
    assert result.error == "429 quota"
    assert len(server.asked) == 1


def test_retry_after_is_seconds_or_a_date() -> None:
    assert retry_after("3") == 3
    assert retry_after("Wed, 21 Oct 2015 07:28:00 GMT") == 0
    assert retry_after("Wed, 21 Oct 2099 07:28:00 GMT") > 1e9
    assert retry_after("soon") == retry_after(None) == retry_after("-1") == retry_after("nan") == 0


@pytest.mark.parametrize(("status", "fix"), [(401, "OPENAI_API_KEY"), (404, "model="), (418, "Mend --model-args")])
def test_what_the_user_must_mend_stops_at_once_and_answers_are_kept(status: int, fix: str, monkeypatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY + "\n")
    refusal = Reply(status, {"error": {"message": f"cannot do that\nwith {KEY}"}})
    with (
        serving(lambda body, before: refusal if prompt_of(body) == "q4" else answer()) as server,
        pytest.raises(StoppedError) as stopped,
    ):
        ask(make_model(server.url, concurrency=1), 9)
    why = stopped.value.why
    assert why.exit_code == ExitCode.USAGE
    assert f"{status}, cannot do that with [redacted]" in str(why)
    assert fix in str(why)
    assert [result and result.text for result in stopped.value.answers] == [VERDICT] * 4 + [None] * 5
    assert len(server.asked) == 5
    assert server.keys == {f"Bearer {KEY}"}


def test_a_server_that_only_fails_is_given_up() -> None:
    with serving(lambda body, before: Reply(500, {})) as server, pytest.raises(StoppedError) as stopped:
        ask(make_model(server.url, concurrency=2, max_retries=0), 50)
    assert stopped.value.why.exit_code == ExitCode.INCOMPLETE
    assert "--resume" in str(stopped.value.why)
    assert IN_A_ROW <= len(server.asked) <= IN_A_ROW + 1
    assert sum(result is not None for result in stopped.value.answers) == len(server.asked)


def test_a_server_that_is_not_there_is_said_at_the_start(monkeypatch) -> None:
    with serving(lambda body, before: answer()) as server:
        url = server.url
        server.list_models = Reply(404, {})
        make_model(url)
        server.list_models = Reply(401, {"error": {"message": "no key"}})
        with pytest.raises(HarnessError, match=r"401, no key.*OPENAI_API_KEY"):
            make_model(url)
    with pytest.raises(HarnessError, match=f"no server answers at {url}.*refused.*Start it"):
        make_model(url)


RUN = ["run", "--model", "openai", "--tasks", "vlrewardbench", "--set", "world.items=5"]


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


REFUSAL = Reply(400, {"error": {"message": "prompt too long"}})


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


def test_a_server_that_refuses_everything_is_the_users_to_mend(monkeypatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    for questions in (4, 60):
        with serving(lambda body, before: REFUSAL) as server, pytest.raises(StoppedError) as stopped:
            ask(make_model(server.url, concurrency=1), questions)
        assert stopped.value.why.exit_code == ExitCode.USAGE
        assert "refuses model" in str(stopped.value.why)
        assert not any(stopped.value.answers)
        assert len(server.asked) == min(questions, IN_A_ROW)


def nested(depth: int) -> bytes:
    return b'{"choices": ' + b"[" * depth + b"]" * depth + b"}"


ODD = {
    "half a character": Reply(body=json.dumps(answer("\ud83d half an emoji").body).encode()),
    "a number of 5,000 digits": Reply(body=b'{"id": ' + b"9" * 5000 + b"}"),
    "a count of 5,000 digits": Reply(body=json.dumps(answer().body).replace("7", "9" * 5000).encode()),
    "nested without end": Reply(body=nested(200_000)),
    "too long an answer": answer("x" * (LONGEST_ANSWER + 1)),
    "too long a reply": Reply(body=b'{"choices": "' + b"x" * (2**25) + b'"}'),
    "a list": Reply(body=[]),
    "a text": Reply(body=b'"yes"'),
    "nothing": Reply(body=b""),
    "choices of nothing": Reply(body={"choices": [None]}),
    "a message that is a text": Reply(body={"choices": [{"message": "yes"}]}),
    "packed": Reply(body=gzip.compress(json.dumps(answer().body).encode()), headers={"Content-Encoding": "gzip"}),
    "no UTF-8": Reply(body=b'{"choices": [{"message": {"content": "\xff"}}]}'),
}


@pytest.mark.parametrize("odd", ODD)
def test_a_reply_that_is_no_answer_costs_one_question_and_never_its_chunk(odd: str) -> None:
    with serving(lambda body, before: ODD[odd] if prompt_of(body) == "q4" else answer()) as server:
        answers = ask(make_model(server.url, max_retries=1, backoff=0.01), 9)
        assert len(server.asked) == 10
    assert [bool(each.error) for each in answers] == [place == 4 for place in range(9)]
    assert {each.text for each in answers if not each.error} == {VERDICT}
    assert len(answers[4].error) < 300
    assert answers[4].error.isprintable()


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


def test_a_server_that_dribbles_is_cut_off_when_its_time_is_over() -> None:
    """One byte in a while is no answer, though no single wait is long."""

    class Dribbling(Handler):
        def _send(self, reply: Reply) -> None:
            if reply.headers is None:
                return super()._send(reply)
            self.send_response(200)
            self.send_header("Content-Length", "100000")
            self.end_headers()
            with suppress(OSError):
                for _ in range(100):
                    self.wfile.write(b" ")
                    self.wfile.flush()
                    time.sleep(0.1)
            self.close_connection = True
            return None

    slow = answer()._replace(headers={"X": "1"})
    with serving(lambda body, before: slow if prompt_of(body) == "q1" else answer()) as server:
        server.RequestHandlerClass = Dribbling
        started = time.monotonic()
        answers = ask(make_model(server.url, timeout=0.5, max_retries=1, backoff=0.01), 3)
        assert time.monotonic() - started < 5
    assert [each.error for each in answers] == [None, "no answer within 0.5 s", None]


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


@pytest.mark.parametrize("shift", [0, 1, 2])
def test_a_key_is_not_shown_packed_either(shift: int, monkeypatch) -> None:
    key = "sk-do-not-tell-anybody-at-all"
    monkeypatch.setenv("OPENAI_API_KEY", key)
    packed = base64.b64encode(b"x" * shift + key.encode() + b"yz").decode()
    with (
        serving(lambda body, before: Reply(418, {"error": {"message": f"I know {key} as {packed}"}})) as server,
        pytest.raises(StoppedError) as stopped,
    ):
        ask(make_model(server.url, concurrency=1), 1)
    told = str(stopped.value.why)
    assert key not in told
    assert packed[8:24] not in told


def test_who_logs_in_at_an_address_is_shown_in_no_message() -> None:
    settings = ServerSettings(base_url=["http://me:s3cret@127.0.0.1:9/v1?key=s3cret"], model="m")
    with pytest.raises(HarnessError) as refused:
        ServerEngine(settings)
    assert "no server answers at http://[redacted]@127.0.0.1:9/v1?key=[redacted]" in str(refused.value)
    assert "s3cret" not in str(refused.value)


@pytest.mark.parametrize("body", [b"[" * 100_000, nested(100_000), b'{"data": [{"owned_by": {}}]}', b"\xff"])
def test_a_server_whose_list_of_models_is_odd_is_asked_all_the_same(body: bytes) -> None:
    with serving(lambda body, before: answer()) as server:
        server.list_models = Reply(body=body)
        (given,) = ask(make_model(server.url))
    assert given.text == VERDICT
