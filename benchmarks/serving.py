"""A server that fails in three replies of ten: is every question answered once, and does the memory stay flat?

    .venv/bin/python benchmarks/serving.py --write          (benchmarks/serving.md; some minutes)

2,000 questions of the embedded world (1,000 items in both orders) go to a server on loopback, 32 at once. Of its
replies 30 % are faults, drawn anew each time: errors 500, 503 and 429, connections that break, JSON cut in half,
replies that are no answer, and some that are late. The run is resumed until nothing is owed.
"""

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from harness.counting.results import load_result
from harness.records import RunFolder

ITEMS, AT_ONCE, FAULTS = 1000, 32, 0.3
VERDICT = "Overall Judgment: Answer {} is better."
KINDS = ("500", "503", "429", "broken", "half", "no answer", "late")


class Server(ThreadingHTTPServer):
    """Counts what it sent."""

    daemon_threads, request_queue_size = True, 2 * AT_ONCE

    def __init__(self, seed: int) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.draw, self.sent, self.lock = random.Random(seed), Counter[str](), threading.Lock()


class Handler(BaseHTTPRequestHandler):
    """Answers a question, or fails."""

    protocol_version = "HTTP/1.1"
    server: Server

    def do_GET(self) -> None:
        """List no models."""
        self._send(200, json.dumps({"object": "list", "data": []}).encode())

    def do_POST(self) -> None:
        """Judge by the question's length, or fail."""
        asked = self.rfile.read(int(self.headers["Content-Length"]))
        text = VERDICT.format(1 + len(asked) % 2)
        choice = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": text}}
        whole = json.dumps({"id": "1", "object": "chat.completion", "created": 0, "choices": [choice]}).encode()
        with self.server.lock:
            kind = self.server.draw.choice(KINDS) if self.server.draw.random() < FAULTS else "answer"
            self.server.sent[kind] += 1
        if kind == "late":
            time.sleep(0.3)
        if kind == "broken":
            self.close_connection = True
        elif kind.isdigit():
            self._send(int(kind), b'{"error": {"message": "out of order"}}')
        else:
            self._send(200, {"half": whole[: len(whole) // 2], "no answer": b'{"choices": [null]}'}.get(kind, whole))

    def _send(self, status: int, content: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        if status == 429:
            self.send_header("Retry-After", "0")
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def resident(pid: int) -> float:
    """Give the memory that a process holds, in MiB; 0 once it is gone."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0.0
    return next((int(line.split()[1]) / 1024 for line in lines if line.startswith("VmRSS")), 0.0)


def main() -> None:
    """Ask, resume, count, and print or write what came of it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=0, help="of the faults")
    parser.add_argument("--write", action="store_true", help="write benchmarks/serving.md")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as results, Server(options.seed) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        out = Path(results) / "runs/served"
        arguments = f"base_url=http://127.0.0.1:{server.server_port}/v1,model=judge"
        arguments += f",concurrency={AT_ONCE},max_retries=2,backoff=0.05"
        command = [sys.executable, "-m", "harness", "run", "--model", "openai", "--tasks", "vlrewardbench", "--resume"]
        command += ["--set", f"world.items={ITEMS}", "--set", "judging.chunk_size=64", "--model-args", arguments]
        command += ["--out", str(out)]
        environment = os.environ | {"HARNESS_RESULTS": results, "HF_HUB_OFFLINE": "1", "OPENAI_API_KEY": "none"}
        codes, memory, started = list[int](), dict[int, float](), time.perf_counter()
        while not codes or (codes[-1] == 4 and len(codes) < 10):
            with (Path(results) / "log").open("w") as log:
                asking = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
                while asking.poll() is None:
                    given = sum(path.read_bytes().count(b"\n") for path in out.glob("judgments-*.jsonl"))
                    if not codes and (held := resident(asking.pid)):
                        memory[given] = held
                    time.sleep(0.2)
            codes.append(asking.returncode)
        seconds = time.perf_counter() - started
        said = (Path(results) / "log").read_text()
        assert codes[-1] == 0, said[-2000:]
        folder = RunFolder(out)
        judgments, sent = folder.read_judgments("vlrewardbench"), server.sent
        answered = [judgment.key for judgment in judgments if judgment.reading != "error"]
        load_result(folder)
    half, whole = (max(held for count, held in memory.items() if count <= most) for most in (ITEMS, 2 * ITEMS))
    faults = sum(sent.values()) - sent["answer"]
    lines = [
        f"| questions | {2 * ITEMS:,}, {AT_ONCE} at once |",
        f"| replies | {sum(sent.values()):,}, of them {faults:,} faults ({100 * faults / sum(sent.values()):.0f} %) |",
        f"| faults | {', '.join(f'{sent[kind]} {kind}' for kind in KINDS)} |",
        f"| lost | {2 * ITEMS - len(set(answered))} |",
        f"| doubled | {len(answered) - len(set(answered))} |",
        f"| exit codes, one a command | {', '.join(map(str, codes))} |",
        f"| most memory up to half the questions, and to all | {half:.0f} MiB, {whole:.0f} MiB |",
        f"| seconds in all, the starts included | {seconds:.0f} |",
    ]
    table = "| what | figure |\n| --- | --- |\n" + "\n".join(lines) + "\n"
    print(table)
    if options.write:
        head = "# A server that fails in three replies of ten\n\nMade by `.venv/bin/python benchmarks/serving.py"
        Path(__file__).with_suffix(".md").write_text(f"{head} --seed {options.seed} --write`.\n\n{table}")


if __name__ == "__main__":
    main()
