"""The pages are served to this machine alone, new runs appear, and a broken one hides no other."""

import http.client
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from harness.cli import main
from harness.counting.cache import Cache
from harness.registry import content_roots, list_runs
from harness.show.view.server import Server
from harness.show.view.site import Site
from tests.show.report.runs import HOSTILE, answers
from tests.toys import make_items, write


class Reply(NamedTuple):
    status: int
    headers: dict[str, str]
    text: str


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setenv("HARNESS_RESULTS", str(tmp_path))
    items = make_items(12)
    for name, right in (("good", [True] * 12), ("weak", [True, False] * 6)):
        write(tmp_path / "runs" / name, items, answers(items, right))
    (tmp_path / "runs/torn").mkdir()
    (tmp_path / "runs/torn/run.json").write_text('{"version": 1, ' + HOSTILE[0])
    with Server(Site(list_runs, Cache(tmp_path / "counted"), content_roots()), 0) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


def ask(server: Server, address: str, method: str = "GET", **headers: str) -> Reply:
    connection = http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=60)
    connection.request(method, address, headers=headers)
    reply = connection.getresponse()
    found = Reply(reply.status, dict(reply.getheaders()), reply.read().decode())
    connection.close()
    return found


def test_every_run_is_a_row_and_a_broken_one_is_a_line(server: Server, tmp_path: Path) -> None:
    page = ask(server, "/")
    assert page.status == 200
    assert page.text.count('href="report?cand=') == 2
    assert "torn" in page.text
    assert HOSTILE[0] not in page.text
    policy = page.headers["Content-Security-Policy"]
    assert policy.startswith("default-src 'none'")
    assert "frame-ancestors 'none'" in policy
    items = make_items(12)
    write(tmp_path / "runs/third", items, answers(items, [False] * 12))
    assert ask(server, "/").text.count('href="report?cand=') == 3


def test_reports_of_one_run_and_of_two(server: Server) -> None:
    assert "good: accuracy 100.0 %" in ask(server, "/report?cand=good").text
    page = ask(server, "/report?base=weak&cand=good&task=toy")
    assert "good against weak" in page.text
    assert '<a href="/">← All runs</a>' in page.text
    assert len(server.site.pages) == 2
    again = ask(server, "/report?base=weak&cand=good&task=toy", **{"If-None-Match": page.headers["ETag"]})
    assert (again.status, again.text) == (304, "")
    assert len(server.site.pages) == 2


MANY = "/report?" + "&".join(f"a{i}=1" for i in range(99))
OTHER = ["torn", "../runs/good", "%2Fetc&base=good", "good&task=x", "%3Cscript%3Ealert(1)%3C/script%3E"]


@pytest.mark.parametrize(
    "address",
    [
        *(f"/report?cand={name}" for name in OTHER),
        "/report",
        MANY,
        "/etc/passwd",
        "/../run.json",
        "/runs/good/run.json",
    ],
)
def test_nothing_else_is_served(server: Server, address: str) -> None:
    page = ask(server, address)
    assert page.status in (400, 404)
    assert "<script>alert" not in page.text
    assert "print 0" not in page.text
    assert "Content-Security-Policy" in page.headers


def test_what_is_no_address_is_a_page_that_says_so(server: Server) -> None:
    # no client of Python's would send it
    assert server.site.page("http://[evil/").status == 400


def test_only_get_by_a_loopback_name(server: Server) -> None:
    port = server.server_port
    for host in (
        "evil.example",
        f"evil.example:{port}",
        "127.0.0.1",
        f"127.0.0.1:{port + 1}",
        f"127.0.0.1.evil:{port}",
        "",
    ):
        assert ask(server, "/", Host=host).status == 421, host
    assert ask(server, "/", Host=f"localhost:{port}").status == 200
    for method in ("POST", "PUT", "DELETE", "HEAD", "OPTIONS"):
        assert ask(server, "/", method).status == 405
    assert server.server_address[0] == "127.0.0.1"


def test_a_port_that_is_taken_is_one_line(server: Server, capsys) -> None:
    assert main(["view", "--port", str(server.server_port)]) == 2
    error = capsys.readouterr().err
    assert "--port 0" in error
    assert len(error.splitlines()) == 1


def test_a_run_that_changes_is_counted_anew(server: Server, tmp_path: Path) -> None:
    before = ask(server, "/").text
    assert ask(server, "/").text == before
    path = tmp_path / "runs/weak/run.json"
    record = json.loads(path.read_text())
    record["status"] = "unfinished"
    path.write_text(json.dumps(record))
    after = ask(server, "/").text
    assert after.count('href="report?cand=') == 1
    assert "weak is unfinished" in after
