"""What is sent to the hub: a stand-in on loopback takes it, and nothing leaves this machine."""

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.toys import ROOT

PUSH = """
import sys
from pathlib import Path
from harness.errors import HarnessError
from harness.sharing.hub import push
try:
    print(push(Path(sys.argv[1]), "me/judge", "--public" in sys.argv))
except HarnessError as error:
    print(error)
"""


class Hub(ThreadingHTTPServer):
    """Takes files as the hub does, and remembers them."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.standing: dict[str, Any] | None = None
        self.made: list[dict[str, Any]] = []
        self.checked: list[str] = []
        self.files: list[str] = []
        self.refuses_card = False


class Handler(BaseHTTPRequestHandler):
    server: Hub

    def do_GET(self) -> None:
        if self.path.startswith("/api/models/me/judge") and self.server.standing:
            self.reply(200, self.server.standing)
        else:
            self.reply(404, {"error": "Repository not found"}, {"X-Error-Code": "RepoNotFound"})

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        hub = self.server
        if self.path == "/api/validate-yaml":
            hub.checked.append(json.loads(body)["content"])
            self.reply(400 if hub.refuses_card else 200, {"error": "license is unknown"})
        elif self.path == "/api/repos/create":
            hub.made.append(json.loads(body))
            self.reply(200, {"url": f"http://127.0.0.1:{hub.server_port}/me/judge"})
        elif "/preupload/" in self.path:
            names = [file["path"] for file in json.loads(body)["files"]]
            self.reply(200, {"files": [{"path": n, "uploadMode": "regular", "shouldIgnore": False} for n in names]})
        elif "/commit/" in self.path:
            lines = [json.loads(line) for line in body.splitlines()]
            hub.files += [line["value"]["path"] for line in lines if line["key"] == "file"]
            self.reply(200, {"commitUrl": f"http://127.0.0.1:{hub.server_port}/me/judge/commit/1", "commitOid": "1"})
        else:
            self.reply(404, {"error": self.path})

    def reply(self, status: int, told: dict[str, Any], more: dict[str, str] | None = None) -> None:
        body = json.dumps(told).encode()
        self.send_response(status)
        for key, value in {
            "Content-Length": str(len(body)),
            "Content-Type": "application/json",
            **(more or {}),
        }.items():
            self.send_header(key, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *arguments: Any) -> None:
        pass


@pytest.fixture
def hub() -> Iterator[Hub]:
    server = Hub()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    out = tmp_path / "judge"
    (out / ".eval_results").mkdir(parents=True)
    (out / "README.md").write_text("---\nlicense: mit\n---\n\n# judge\n")
    (out / "config.json").write_text("{}")
    (out / ".eval_results/toy.yaml").write_text("[]")
    return out


def push(folder: Path, endpoint: str, *more: str) -> str:
    environment = os.environ | {
        "HF_ENDPOINT": endpoint,
        "HF_HUB_OFFLINE": "0",
        "HF_TOKEN": "hf_toy",
        "PYTHONPATH": str(ROOT),
    }
    environment |= {"HF_HOME": str(folder.parent / "hf"), "HF_HUB_DISABLE_PROGRESS_BARS": "1"}
    command = [sys.executable, "-c", PUSH, str(folder), *more]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False, timeout=300)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip().splitlines()[-1]


def test_files_are_sent_as_one_private_commit_once_the_card_was_checked(hub: Hub, folder: Path) -> None:
    address = f"http://127.0.0.1:{hub.server_port}"
    assert push(folder, address) == f"{address}/me/judge"
    # by us before there is a repository, and by the library once more before the commit
    assert set(hub.checked) == {(folder / "README.md").read_text()}
    assert (hub.made[0]["name"], hub.made[0]["visibility"]) == ("judge", "private")
    assert sorted(hub.files) == [".eval_results/toy.yaml", "README.md", "config.json"]


def test_what_is_public_already_stays_untouched_unless_that_is_said(hub: Hub, folder: Path) -> None:
    hub.standing = {"_id": "1", "id": "me/judge", "private": False, "siblings": []}
    address = f"http://127.0.0.1:{hub.server_port}"
    assert "is there already, for everybody to see. Add --public" in push(folder, address)
    assert [*hub.made, *hub.files] == []
    assert push(folder, address, "--public").endswith("/me/judge")
    assert hub.made[0]["visibility"] == "public"


def test_a_card_that_the_hub_refuses_is_not_sent(hub: Hub, folder: Path) -> None:
    hub.refuses_card = True
    assert "the hub does not take the card" in push(folder, f"http://127.0.0.1:{hub.server_port}")
    assert [*hub.made, *hub.files] == []


def test_no_hub_is_one_line(folder: Path) -> None:
    told = push(folder, "http://127.0.0.1:9")
    assert told.startswith("me/judge could not be sent: ")
    assert "The folder is whole: send it later" in told
