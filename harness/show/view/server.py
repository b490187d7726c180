"""Serves a site on the loopback interface: it answers GET alone, and only who came by a loopback name."""

import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socketserver import BaseServer
from typing import Any, ClassVar

from harness.errors import HarnessError
from harness.show.view.site import Site

LOOPBACK = "127.0.0.1"
SECONDS = 30
"""How long a connection may say nothing."""


class Server(ThreadingHTTPServer):
    """Listens on a port of the loopback interface; 0 takes a free one."""

    daemon_threads = True

    def __init__(self, site: Site, port: int) -> None:
        self.site = site
        try:
            super().__init__((LOOPBACK, port), _Handler)
        except (OSError, OverflowError) as error:
            reason = error.strerror if isinstance(error, OSError) else "there is no such port"
            raise HarnessError(
                f"port {port} cannot be listened on: {reason}.", "Say --port 0 for a free one."
            ) from None

    @property
    def address(self) -> str:
        """Where it is opened."""
        return f"http://{LOOPBACK}:{self.server_port}/"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of a browser that left; the rest is ours."""
        if not isinstance(sys.exception(), ConnectionError | TimeoutError):
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    server: BaseServer
    timeout: ClassVar[int] = SECONDS
    protocol_version = "HTTP/1.1"
    server_version, sys_version = "harness", ""

    def parse_request(self) -> bool:
        """Refuse whatever is no GET, and whoever came by another name: a page of others may have had it resolve here.

        That is DNS rebinding, by which a page on the net would read what only this machine may.
        """
        if not super().parse_request():
            return False
        assert isinstance(self.server, Server)
        names = [f"{name}:{self.server.server_port}" for name in (LOOPBACK, "localhost")]
        if self.headers.get_all("Host") not in [[name] for name in names]:
            self._refuse(421, "This server answers to its loopback name alone.")
        elif self.command != "GET":
            self._refuse(405, "Only GET is answered.")
        else:
            return True
        return False

    def do_GET(self) -> None:
        """Send a page."""
        assert isinstance(self.server, Server)
        page = self.server.site.page(self.path)
        known = self.headers.get("If-None-Match") == page.tag and page.status == 200
        self.send_response(304 if known else page.status)
        for name, value in (
            ("Content-Type", "text/html; charset=utf-8"),
            ("Content-Length", "0" if known else str(len(page.body))),
            ("Content-Security-Policy", f"{page.policy}; frame-ancestors 'none'"),
            ("Cross-Origin-Resource-Policy", "same-origin"),
            ("X-Content-Type-Options", "nosniff"),
            ("Referrer-Policy", "no-referrer"),
            ("Cache-Control", "no-cache"),
            ("ETag", page.tag),
        ):
            self.send_header(name, value)
        self.end_headers()
        if not known:
            self.wfile.write(page.body)

    def _refuse(self, status: int, why: str) -> None:
        self.close_connection = True
        self.send_response(status)
        self.send_header("Content-Type", "text/plain")
        self.send_header("Content-Length", str(len(why)))
        self.send_header("Connection", "close")
        self.send_header("Allow", "GET")
        self.end_headers()
        self.wfile.write(why.encode())

    def log_message(self, format: str, *args: Any) -> None:
        """Write nothing to the terminal: what is asked for may hold anything."""
