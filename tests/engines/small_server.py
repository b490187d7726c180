"""A small server on loopback that answers, or fails, as a test tells it, and a model that asks it."""

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace
from typing import NamedTuple

from PIL import Image

from harness.engines.server_engine import ServerEngine
from harness.evaluate.engine_model import EngineModel
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
    return "\n".join(part["text"] for part in body["messages"][0]["content"] if part["type"] == "text")


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


RUN = ["run", "--model", "openai", "--tasks", "vlrewardbench", "--set", "world.items=5"]
REFUSAL = Reply(400, {"error": {"message": "prompt too long"}})
