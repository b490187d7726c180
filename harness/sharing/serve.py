"""A judge behind an OpenAI-compatible address: threads take requests, one worker asks the engine, many at a time."""

import hmac
import ipaddress
import json
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

from harness.engines.engine import Answer, Engine, StoppedError
from harness.errors import HarnessError
from harness.sharing.chat import Asked, RequestError, read_request, write_reply

LARGEST = 2**27
"""Bytes that a request may have: those of dozens of photographs, as a client may send them without loss."""
WAITING = 1024
"""Requests that may wait for the engine; more are told to come again."""
PATIENCE = 20.0
"""Seconds for which a client may send nothing in the middle of a request."""


Waiting = tuple[Asked, "Future[list[Answer]]"]


class Worker:
    """Asks an engine what is waiting, together where it is asked alike, one batch after another."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.waiting: list[Waiting] = []
        self.closing = False
        self.changed = threading.Condition()
        self.thread = threading.Thread(target=self._work, name="engine", daemon=True)
        self.thread.start()

    def ask(self, asked: Asked) -> list[Answer]:
        """Wait for the answers to one request.

        Raises:
            RequestError: if too many wait, the server is closing, or the engine fails.
        """
        future: Future[list[Answer]] = Future()
        with self.changed:
            if self.closing or len(self.waiting) >= WAITING:
                told = "The server is closing." if self.closing else "Too many requests are waiting."
                raise RequestError(HTTPStatus.SERVICE_UNAVAILABLE, told)
            self.waiting.append((asked, future))
            self.changed.notify()
        return future.result()

    def close(self) -> None:
        """Finish what is under way, turn away what waits, and give back what the engine holds."""
        with self.changed:
            self.closing = True
            for _, future in self.waiting:
                future.set_exception(RequestError(HTTPStatus.SERVICE_UNAVAILABLE, "The server is closing."))
            self.waiting = []
            self.changed.notify()
        self.thread.join()
        self.engine.close()

    def _work(self) -> None:
        while batch := self._next():
            self._answer(batch)

    def _next(self) -> list[Waiting]:
        """Wait for a request, and take it with those that are asked alike; none once the server is closing."""
        with self.changed:
            self.changed.wait_for(lambda: self.waiting or self.closing)
            alike, others = list[Waiting](), list[Waiting]()
            for one in self.waiting:
                same = _draws(one) == _draws(self.waiting[0]) and len(alike) < self.engine.at_once
                (alike if same else others).append(one)
            self.waiting = others
            return alike

    def _answer(self, batch: list[Waiting]) -> None:
        asked, _ = batch[0]
        try:
            drawn = self.engine.answer([one.question for one, _ in batch], asked.decoding, asked.seed)
        except Exception as error:  # noqa: BLE001
            # whatever a library raises costs the question that it is about, not the server
            if len(batch) > 1:
                for one in batch:
                    self._answer([one])
                return
            why = error.why.problem if isinstance(error, StoppedError) else f"{type(error).__name__}: {error}"
            told = f"The engine gave no answer: {' '.join(why.split())[:200]}"
            batch[0][1].set_exception(RequestError(HTTPStatus.INTERNAL_SERVER_ERROR, told))
            return
        for (_, future), answers in zip(batch, drawn, strict=True):
            future.set_result(answers)


def _draws(waiting: Waiting) -> tuple[Any, ...]:
    """Return what must be alike of questions that an engine is asked together."""
    return waiting[0].decoding, waiting[0].seed


class Address(ThreadingHTTPServer):
    """Listens at an address; answers once it is given a worker."""

    # a client that only holds its connection is not waited for
    daemon_threads = True
    allow_reuse_address = True
    request_queue_size = 128

    def __init__(self, host: str, port: int, token: str | None) -> None:
        """Bind the address.

        Args:
            host: loopback, unless there is a token.
            port: 0 for one that is free.
            token: that every request must show; None for none.

        Raises:
            HarnessError: if the address is taken or is none, or others could reach it without a token.
        """
        if not (is_loopback(host) or token):
            told = f"--host {host} lets other machines ask this judge."
            raise HarnessError(told, "Add --token VARIABLE, the environment variable that holds a token of yours.")
        self.address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self.token, self.local = token, is_loopback(host)
        self.worker: Worker | None = None
        self.served, self.longest = "", 0
        self.replying, self.replied = 0, threading.Condition()
        try:
            super().__init__((host, port), Handler)
        except OSError as error:
            told = f"nothing can listen at --host {host} --port {port}: {error.strerror}."
            raise HarnessError(told, "Choose another --port; 0 takes a free one.") from None

    @property
    def url(self) -> str:
        """What clients take as their base URL."""
        host, port = str(self.server_address[0]), self.server_address[1]
        return f"http://{f'[{host}]' if ':' in host else host}:{port}/v1"

    def answer(self, worker: Worker, served: str, longest: int) -> None:
        """Answer until something interrupts; then finish what is under way.

        Args:
            worker: asks the engine.
            served: the name of the model.
            longest: tokens of an answer where a request does not say.
        """
        self.worker, self.served, self.longest = worker, served, longest
        try:
            self.serve_forever(poll_interval=0.2)
        finally:
            worker.close()
            with self.replied:
                self.replied.wait_for(lambda: not self.replying, PATIENCE)
            self.server_close()

    @contextmanager
    def under_way(self) -> Iterator[None]:
        """Count a request until it is replied to."""
        with self.replied:
            self.replying += 1
        try:
            yield
        finally:
            with self.replied:
                self.replying -= 1
                self.replied.notify()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of a client that has left."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


def is_loopback(host: str) -> bool:
    """Tell whether only this machine reaches an address."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


class Handler(BaseHTTPRequestHandler):
    """Answers one request."""

    server: Address
    timeout = PATIENCE
    server_version = "vlrm-harness"
    read = False
    """Whether the body was read."""
    sys_version = ""

    def do_GET(self) -> None:
        """List the one model there is, or say that all is well."""
        with self.server.under_way():
            self._reply(self._get)

    def do_POST(self) -> None:
        """Answer a chat."""
        with self.server.under_way():
            self._reply(self._post)

    def _reply(self, answer: Callable[[], dict[str, Any]]) -> None:
        try:
            status, told = HTTPStatus.OK, answer()
        except RequestError as error:
            status, told = error.status, error.body()
            self._drain()
        body = json.dumps(told).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        if status == HTTPStatus.UNAUTHORIZED:
            self.send_header("WWW-Authenticate", "Bearer")
        self.end_headers()
        self.wfile.write(body)

    def _get(self) -> dict[str, Any]:
        if self.path == "/health":
            return {"status": "ok"}
        self._admit()
        served = self.server.served
        model = {"id": served, "object": "model", "created": 0, "owned_by": "vlrm-harness"}
        if self.path == "/v1/models":
            return {"object": "list", "data": [model]}
        if self.path == f"/v1/models/{served}":
            return model
        raise RequestError(HTTPStatus.NOT_FOUND, "There are /v1/models, /v1/chat/completions and /health.")

    def _post(self) -> dict[str, Any]:
        self._admit()
        if self.path != "/v1/chat/completions":
            raise RequestError(HTTPStatus.NOT_FOUND, "What is posted goes to /v1/chat/completions.")
        server = self.server
        asked = read_request(self._body(), server.served, server.longest)
        assert server.worker is not None, "nothing is served before there is a worker"
        return write_reply(asked, server.worker.ask(asked), server.served)

    def _admit(self) -> None:
        """Turn away who does not show the token, and pages of other sites that a browser has been led to send here."""
        server = self.server
        if server.token:
            shown = self.headers.get("Authorization", "")
            if not hmac.compare_digest(shown.encode(), f"Bearer {server.token}".encode()):
                raise RequestError(HTTPStatus.UNAUTHORIZED, "The token is missing or wrong.", code="invalid_api_key")
        elif not is_loopback(_host(self.headers.get("Host", "localhost"))):
            raise RequestError(HTTPStatus.FORBIDDEN, "This address is asked by its loopback name alone.")

    def _body(self) -> bytes:
        """Read what was sent, if it is JSON and not too long."""
        if self.headers.get_content_type() != "application/json":
            raise RequestError(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "A request is of the type application/json.")
        if (length := self._length()) is None:
            raise RequestError(HTTPStatus.LENGTH_REQUIRED, "A request says its Content-Length.")
        if length > LARGEST:
            told = f"A request has at most {LARGEST // 2**20} MiB."
            raise RequestError(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, told)
        body = self.rfile.read(length)
        self.read = True
        if len(body) < length:
            raise RequestError(HTTPStatus.BAD_REQUEST, "The request ended too soon.")
        return body

    def _length(self) -> int | None:
        told = self.headers.get("Content-Length", "")
        return int(told) if told.isascii() and told.isdecimal() and len(told) < 16 else None

    def _drain(self) -> None:
        """Take what was sent with a request that is refused: else the reply is lost with the connection."""
        left = 0 if self.read else min(self._length() or 0, LARGEST)
        while left and (piece := self.rfile.read(min(left, 2**16))):
            left -= len(piece)

    def log_message(self, format: str, *arguments: Any) -> None:
        """Write no line a request."""


def _host(header: str) -> str:
    """Return the host that a request names, without its port; empty where it names none."""
    try:
        return urlsplit(f"//{header}").hostname or ""
    except ValueError:
        return ""
