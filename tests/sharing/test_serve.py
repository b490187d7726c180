"""A judge behind an address: it answers as in process, and turns away what it should."""

import base64
import http.client
import io
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from harness.cli import main
from harness.data.images import opened
from harness.embedded.data import benchmark_rows
from harness.engines.engine import Answer, Decoding, Question
from harness.engines.server_engine import ServerEngine
from harness.engines.transformers_engine import TransformersEngine
from harness.errors import HarnessError
from harness.judge.format import EMBEDDED
from harness.settings import JudgeSettings, ServerSettings, WorldSettings
from harness.sharing import chat
from harness.sharing.chat import RequestError, read_request
from harness.sharing.serve import LARGEST, Address, Worker, is_loopback
from tests.toys import ROOT

TOKENS = 48


@pytest.fixture(scope="module")
def questions() -> list[Question]:
    found = []
    for row in benchmark_rows(WorldSettings(items=6)):
        image = opened(row["image"]).convert("RGB")
        first, second = row["response"]
        found += [Question((image, EMBEDDED.ask(row["query"], *both))) for both in ((first, second), (second, first))]
    return found


@pytest.fixture(scope="module")
def engine() -> TransformersEngine:
    return TransformersEngine(JudgeSettings(), "float32", 16)


class Served:
    """A server in a thread."""

    def __init__(self, engine: Any, token: str | None = None) -> None:
        self.address = Address("127.0.0.1", 0, token)
        self.url = self.address.url
        self.host, self.port = self.address.server_address[:2]
        self.worker = Worker(engine)
        self.thread = threading.Thread(target=self.address.answer, args=(self.worker, "judge", TOKENS))
        self.thread.start()

    def send(self, method: str, path: str, body: Any = None, **headers: str) -> tuple[int, dict[str, Any]]:
        link = http.client.HTTPConnection(str(self.host), self.port, timeout=60)
        sent = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        told = {"Content-Type": "application/json"} | {key.replace("_", "-"): value for key, value in headers.items()}
        link.request(method, path, sent, told)
        reply = link.getresponse()
        return reply.status, json.loads(reply.read())

    def chat(self, **body: Any) -> tuple[int, dict[str, Any]]:
        given = {"model": "judge", "messages": [{"role": "user", "content": "which is better?"}]} | body
        return self.send("POST", "/v1/chat/completions", given)

    def close(self) -> None:
        self.address.shutdown()
        self.thread.join()


class Kept:
    """An engine that outlives the servers that close it."""

    def __init__(self, engine: TransformersEngine) -> None:
        self.answer, self.at_once = engine.answer, engine.at_once

    def close(self) -> None:
        """Stay."""


@pytest.fixture(scope="module")
def served(engine) -> Iterator[Served]:
    server = Served(Kept(engine))
    yield server
    server.close()


def asked_of(served: Served, **settings: Any) -> ServerEngine:
    return ServerEngine(ServerSettings(base_url=[served.url], model="judge", **settings), format_=EMBEDDED)


def test_answers_are_those_of_the_engine_in_process(served, engine, questions) -> None:
    here = engine.answer(questions, Decoding(TOKENS))
    there = asked_of(served, alternatives=20).answer(questions, Decoding(TOKENS))
    assert [drawn.text for (drawn,) in there] == [drawn.text for (drawn,) in here]
    assert all("overall judgment" in drawn.text for (drawn,) in there)
    assert [drawn.p_first for (drawn,) in there] == pytest.approx([drawn.p_first for (drawn,) in here], abs=1e-4)
    without = asked_of(served).answer(questions, Decoding(TOKENS))
    assert [(drawn.text, drawn.tokens) for (drawn,) in without] == [(drawn.text, drawn.tokens) for (drawn,) in here]


def test_a_question_of_39_images_is_answered_as_in_process(served, engine) -> None:
    rows = list(benchmark_rows(WorldSettings(items=120)))
    images = list({row["image"]: opened(row["image"]).convert("RGB") for row in rows}.values())[:39]
    texts = [f"{number}:" for number in range(len(images))]
    parts = [part for pair in zip(texts, images, strict=True) for part in pair]
    asked = EMBEDDED.ask("what is there?", *rows[0]["response"])
    questions = [Question((*shown, asked)) for shown in (parts, parts[::-1])]
    assert [len(question.images) for question in questions] == [39, 39]
    here, there = (one.answer(questions, Decoding(TOKENS)) for one in (engine, asked_of(served)))
    assert [drawn.error for (drawn,) in there] == [None, None]
    assert [(drawn.text, drawn.tokens) for (drawn,) in there] == [(drawn.text, drawn.tokens) for (drawn,) in here]


def test_a_seed_decides_what_is_drawn(served, questions) -> None:
    client = asked_of(served)
    warm = Decoding(TOKENS, temperature=2.0, samples=3)
    once, again = (client.answer(questions[:4], warm, seed=1) for _ in range(2))
    assert [[d.text for d in drawn] for drawn in once] == [[d.text for d in drawn] for drawn in again]
    assert len({d.text for drawn in once for d in drawn}) > 1
    other = client.answer(questions[:4], warm, seed=2)
    assert [[d.text for d in drawn] for drawn in once] != [[d.text for d in drawn] for drawn in other]


def test_a_reply_has_openais_shape(served, engine, questions, tmp_path) -> None:
    image, text = questions[0].parts
    image.save(tmp_path / "a.png")
    url = "data:image/png;base64," + base64.b64encode((tmp_path / "a.png").read_bytes()).decode()
    content = [{"type": "image_url", "image_url": {"url": url}}, {"type": "text", "text": text}]
    status, reply = served.chat(messages=[{"role": "user", "content": content}], n=2, logprobs=True, max_tokens=30)
    ((expected,),) = engine.answer(questions[:1], Decoding(30))
    assert status == 200
    assert [choice["message"]["content"] for choice in reply["choices"]] == [expected.text] * 2
    (step,) = reply["choices"][0]["logprobs"]["content"]
    assert step["token"] == ("1" if "answer 1" in expected.text else "2")
    assert {one["token"] for one in step["top_logprobs"]} == {"1", "2"}
    assert reply["choices"][0]["finish_reason"] == "stop"
    read, written = expected.prompt_tokens, 2 * expected.tokens
    assert reply["usage"] == {"prompt_tokens": read, "completion_tokens": written, "total_tokens": read + written}
    status, reply = served.chat(messages=[{"role": "user", "content": content}], max_tokens=2)
    assert (status, reply["choices"][0]["finish_reason"]) == (200, "length")
    assert served.send("GET", "/v1/models")[1]["data"][0]["id"] == "judge"
    assert served.send("GET", "/health") == (200, {"status": "ok"})


@pytest.mark.parametrize(
    ("body", "status", "says"),
    [
        ({"model": "other"}, 404, "'other' does not exist; 'judge' does"),
        ({"temperature": 3}, 400, "temperature"),
        ({"max_tokens": 10**9}, 400, "max_tokens"),
        ({"n": 1000}, 400, "n: "),
        ({"stream": True}, 400, "Streaming is not supported"),
        ({"tools": []}, 400, "Unrecognized request argument supplied: tools"),
        ({"messages": []}, 400, "one message, the user's"),
        ({"messages": [{"role": "system", "content": "be brief"}]}, 400, "one message, the user's"),
        ({"messages": [{"role": "user", "content": [{"type": "audio"}]}]}, 400, "messages.0.content"),
    ],
)  # fmt: skip
def test_a_bad_request_is_told_why(served, body, status: int, says: str) -> None:
    found, reply = served.chat(**body)
    assert found == status
    assert says in reply["error"]["message"]
    assert reply["error"]["type"] == "invalid_request_error"


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:9/a.png",
        "file:///etc/passwd",
        "/etc/passwd",
        "data:image/png,AA",
        "data:text/html;base64,AA==",
    ],
)
def test_no_image_is_fetched(served, url: str) -> None:
    status, reply = served.chat(
        messages=[{"role": "user", "content": [{"type": "image_url", "image_url": {"url": url}}]}]
    )
    assert (status, "fetches nothing" in reply["error"]["message"]) == (400, True)


def test_what_is_no_image_is_refused(served) -> None:
    url = "data:image/png;base64," + base64.b64encode(b"<svg/>").decode()
    content = [{"type": "image_url", "image_url": {"url": url}}]
    status, reply = served.chat(messages=[{"role": "user", "content": content}])
    assert (status, "cannot be read" in reply["error"]["message"]) == (400, True)


def test_sizes_types_and_hosts_are_held_to(served) -> None:
    path = "/v1/chat/completions"
    assert served.send("POST", path, b"{}" + b" " * LARGEST)[0] == 413
    assert served.send("POST", path, b"{}", Content_Type="text/plain")[0] == 415
    assert served.send("POST", path, b"{")[0] == 400
    assert served.send("POST", "/v1/completions", {})[0] == 404
    for host in ("evil.example", "evil.example:80", "127.0.0.1.evil.example:8000"):
        assert served.send("GET", "/v1/models", Host=host)[0] == 403
    with socket.create_connection((served.host, served.port)) as link:
        link.sendall(b"POST /v1/chat/completions HTTP/1.1\r\nContent-Type: application/json\r\n\r\n")
        assert b" 411 " in link.recv(100)


class Slow:
    """An engine that takes its time, and fails about one question."""

    at_once = 8

    def __init__(self) -> None:
        self.batches: list[int] = []
        self.closed = False

    def answer(self, questions, decoding, seed=0, done=None) -> list[list[Answer]]:
        self.batches.append(len(questions))
        time.sleep(0.2)
        if any("bad" in question.text for question in questions):
            raise RuntimeError("out of memory")
        return [[Answer(question.text, None, 1)] for question in questions]

    def close(self) -> None:
        self.closed = True


def say(text: str) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": text}]}


def test_what_waits_is_asked_together_and_one_failure_costs_one_answer() -> None:
    engine = Slow()
    server = Served(engine)
    with ThreadPoolExecutor(12) as pool:
        texts = ["first", *(f"good {i}" for i in range(9)), "bad"]
        replies = list(pool.map(lambda text: server.chat(**say(text)), texts))
    server.close()
    assert [status for status, _ in replies] == [200] * 10 + [500]
    assert [reply["choices"][0]["message"]["content"] for _, reply in replies[:-1]] == texts[:-1]
    assert "RuntimeError: out of memory" in replies[-1][1]["error"]["message"]
    assert 1 < max(engine.batches) <= Slow.at_once
    assert engine.closed


class Held(Slow):
    """An engine that answers when it is let go."""

    def __init__(self) -> None:
        super().__init__()
        self.begun, self.let_go = threading.Event(), threading.Event()

    def answer(self, questions, decoding, seed=0, done=None) -> list[list[Answer]]:
        self.begun.set()
        assert self.let_go.wait(60)
        return super().answer(questions, decoding)


def test_closing_finishes_what_is_under_way_and_turns_the_rest_away() -> None:
    engine = Held()
    server = Served(engine)
    with ThreadPoolExecutor(3) as pool:
        under_way = pool.submit(server.chat, **say("one"))
        assert engine.begun.wait(60)
        waiting = pool.submit(server.chat, **say("two"))
        while not server.worker.waiting:
            time.sleep(0.01)
        closing = pool.submit(server.close)
        status, reply = waiting.result()
        assert (status, reply["error"]["message"]) == (503, "The server is closing.")
        engine.let_go.set()
        assert under_way.result()[0] == 200
        closing.result()
    assert engine.closed


def test_a_token_is_asked_for() -> None:
    server = Served(Slow(), token="s3cret")
    try:
        for headers in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": "s3cret"}):
            status, reply = server.send("GET", "/v1/models", **headers)
            assert (status, reply["error"]["code"]) == (401, "invalid_api_key")
        assert server.send("GET", "/v1/models", Authorization="Bearer s3cret")[0] == 200
    finally:
        server.close()


def test_others_need_a_token() -> None:
    with pytest.raises(HarnessError, match="lets other machines ask this judge"):
        Address("0.0.0.0", 0, None)
    Address("0.0.0.0", 0, "token").server_close()
    assert [is_loopback(host) for host in ("127.0.0.1", "::1", "localhost", "127.9.9.9")] == [True] * 4
    assert not any(map(is_loopback, ("0.0.0.0", "::", "10.0.0.1", "localhost.evil.example", "")))


def test_greedy_requests_of_any_seed_are_one() -> None:
    def read(**body: Any) -> Any:
        given = {"model": "judge", **say("q"), **body}
        return read_request(json.dumps(given).encode(), "judge", 7)

    assert [read(seed=seed).seed for seed in (1, 2)] == [0, 0]
    assert read(seed=5, temperature=1).seed == 5
    assert read(temperature=1).seed != read(temperature=1).seed
    assert read(stop="a").decoding == Decoding(7, stop=("a",))
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64,"}}
    with pytest.raises(RequestError, match="at most 64 images"):
        read(messages=[{"role": "user", "content": [image] * 65}])


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["embedded:judge", "--host", "0.0.0.0"], "lets other machines ask this judge. Add --token VARIABLE"),
        (["embedded:judge", "--token", "NOT_SET"], "--token NOT_SET: no such environment variable holds a token"),
        (["embedded:judge", "--port", "99999"], "'99999' is no port"),
        (["embedded:jugde"], "Did you mean 'embedded:judge'?"),
        (["run:nobody"], "no run is called 'nobody'"),
        (["embedded:judge", "--set", "dpo.beta=1"], "has no such setting"),
    ],
)
def test_a_mistake_is_one_line(arguments: list[str], says: str, results, capsys) -> None:
    assert main(["serve", *arguments]) == 2
    said = capsys.readouterr().err
    assert says in said
    assert said.count("\n") == 1


def test_the_command_serves_until_it_is_told_to_stop(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        assert main(["serve", "embedded:judge", "--port", port]) == 2
    command = [sys.executable, "-u", "-m", "harness", "serve", "embedded:judge", "--port", "0"]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=tmp_path, env=environment) as server:
        assert server.stdout is not None
        told = server.stdout.readline()
        url = told.split(" is at ")[1].split(",")[0]
        try:
            small = ServerEngine(ServerSettings(base_url=[url], model="embedded:judge"))
            image = Image.new("RGB", (48, 48))
            ((answer,),) = small.answer([Question((image, "which is better?"))], Decoding(4))
            assert answer.error is None
        finally:
            # as a batch system sends it; what runs in the background may be told to ignore SIGINT
            server.send_signal(signal.SIGTERM)
        rest = server.stdout.read()
        assert server.wait(60) == 0
    assert "vllm" in rest
    assert rest.endswith("Stopped.\n")


def test_images_are_counted_together_by_their_pixels(monkeypatch) -> None:
    """A plain image of a few kilobytes may be hundreds of megabytes once it is decoded."""
    file = io.BytesIO()
    Image.new("L", (40, 40)).save(file, "PNG")
    url = "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()
    monkeypatch.setattr(chat, "IMAGE_LIMIT", 4000)

    def asking(images: int) -> bytes:
        parts: list[Any] = [{"type": "image_url", "image_url": {"url": url}}] * images
        content = [*parts, {"type": "text", "text": "?"}]
        return json.dumps({"model": "judge", "messages": [{"role": "user", "content": content}]}).encode()

    assert len(read_request(asking(2), "judge", TOKENS).question.parts) == 3
    with pytest.raises(RequestError, match="4,000 pixels together"):
        read_request(asking(3), "judge", TOKENS)
