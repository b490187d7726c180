"""The fenced blocks of a page: read, run from top to bottom, and held against what is printed."""

import difflib
import io
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import chdir, redirect_stdout
from pathlib import Path
from typing import Any, NamedTuple
from unittest.mock import patch

import pytest
import yaml

ROOT = Path(__file__).resolve().parent.parent
COLUMNS = "100"
SKIPPED = "..."
VARYING = {
    r"(\d+ h )?(\d+ min )?[\d.]+ s\b": "0 s",
    r"-[0-9a-f]{8}\b": "-0",
    r"[-+<]?\s*\d[\d.,:]*": "0",
    r"[ ─━-╿]+": " ",
}
"""What may differ from one machine to the next, and what stands for it."""
PROGRESS = re.compile(r"  \S.*: (begun|[\d,]+ of [\d,]+ \S+), .*(left|so far)")
"""What a slow machine prints now and then of a stage under way."""
READERS = {"json": json.loads, "yaml": yaml.safe_load}


def name_of(document: Path) -> str:
    return str(document.relative_to(ROOT))


class Block(NamedTuple):
    """A fenced block: its language, the lines inside it, where they begin, and what the comment above it says."""

    language: str
    lines: list[str]
    start: int
    comment: str = ""

    @property
    def runs(self) -> bool:
        return not self.comment.startswith("not run: ")

    @property
    def varies(self) -> bool:
        return self.comment == "figures vary"


class Step(NamedTuple):
    """A command of a console block, the lines below it, and where these begin in the document."""

    command: str
    output: list[str]
    start: int


def blocks(text: str) -> Iterator[Block]:
    language, start, inside, above = "", 0, list[str](), ""
    for number, line in enumerate(text.splitlines()):
        fence = re.fullmatch(r"```(\w*)", line.strip())
        if fence and not start:
            language, start, inside = fence[1], number + 1, []
        elif fence:
            comment = re.fullmatch(r"<!-- (.+) -->", above)
            yield Block(language, inside, start, comment[1] if comment else "")
            start, above = 0, ""
        elif start:
            inside.append(line)
        else:
            above = line.strip()
    assert not start, "a block is not closed"


def steps(block: Block) -> Iterator[Step]:
    """Split a console block into commands and what stands below each."""
    command, output, start = list[str](), list[str](), block.start
    for number, line in enumerate(block.lines, block.start):
        if line.startswith("$ "):
            if command:
                yield Step("\n".join(command), output, start)
            command, output, start = [line[2:]], [], number + 1
        elif line.startswith("> ") and not output:
            command.append(line[2:])
            start = number + 1
        else:
            assert command, f"line {number + 1}: a console block begins with a command"
            output.append(line)
    yield Step("\n".join(command), output, start)


class Shell:
    """Runs commands in a folder that looks like the repository's root, with the harness of this environment."""

    def __init__(self, folder: Path, seconds: float | None = 600) -> None:
        self.seconds = seconds
        self.folder = folder / "root"
        self.folder.mkdir()
        (self.folder / "results").mkdir()
        for path in (*ROOT.iterdir(), *(ROOT / "results").iterdir()):
            if not path.name.startswith(".") and path.name not in ("results", "runs", "cache", "baselines"):
                (self.folder / path.relative_to(ROOT)).symlink_to(path)
        # what a command may write into is a copy
        shutil.copytree(ROOT / "results/baselines", self.folder / "results/baselines")
        tools = folder / "tools"
        tools.mkdir()
        harness = tools / "harness"
        harness.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m harness "$@"\n')
        harness.chmod(0o755)
        self.environment = {
            **os.environ,
            "PATH": f"{tools}:{os.environ['PATH']}",
            "PYTHONPATH": str(ROOT),
            "PYTHONDONTWRITEBYTECODE": "1",
            "HARNESS_RESULTS": "results",
            "HF_HUB_OFFLINE": "1",
            "COLUMNS": COLUMNS,
            "NO_COLOR": "1",
            "LC_ALL": "C.UTF-8",
        }

    def run(self, command: str) -> list[str]:
        """Return the lines that a command prints on either stream; it must end with exit code 0."""
        done = subprocess.run(
            ["bash", "-c", command],
            cwd=self.folder,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            encoding="utf-8",
            timeout=self.seconds,
        )
        said = [line.rstrip() for line in done.stdout.rstrip().splitlines()]
        assert done.returncode == 0, "\n".join([f"$ {command}", *said, f"exit code {done.returncode}"])
        return [line for line in said if not PROGRESS.fullmatch(line)]

    def execute(self, code: str, names: dict[str, Any]) -> list[str]:
        """Return the lines that Python code prints; `names` are what the code above it left."""
        said = io.StringIO()
        with chdir(self.folder), patch.dict(os.environ, {"HARNESS_RESULTS": "results"}), redirect_stdout(said):
            exec(code, names)
        return [line.rstrip() for line in said.getvalue().rstrip().splitlines()]


class Printed(NamedTuple):
    """What a page says is printed, and what was printed now."""

    command: str
    output: list[str]
    start: int
    varies: bool
    said: list[str]

    @property
    def holds(self) -> bool:
        """Whether the two agree, but for figures where they vary."""
        if self.varies:
            return matches(plain(self.output), plain(self.said))
        return matches(self.output, self.said)


def outputs(document: Path, shell: Shell) -> Iterator[Printed]:
    """Run what a page says from top to bottom."""
    names: dict[str, Any] = {}
    before, said = "", list[str]()
    for block in blocks(document.read_text(encoding="utf-8")):
        if not block.runs:
            continue
        code = "\n".join(block.lines)
        if block.language == "console":
            for step in steps(block):
                yield Printed(step.command, step.output, step.start, block.varies, shell.run(step.command))
        elif block.language == "sh":
            shell.run(f"set -e\n{code}")
        elif block.language == "python":
            said = shell.execute(code, names)
        elif block.language == "text" and before == "python":
            yield Printed("the Python above", block.lines, block.start, block.varies, said)
        elif block.language in READERS:
            READERS[block.language](code)
        else:
            pytest.fail(f"{name_of(document)}, line {block.start}: neither run nor marked `<!-- not run: WHY -->`")
        before = block.language


def hold(document: Path, folder: Path) -> None:
    """Run a page in a folder, and fail where it does not print what it says."""
    for printed in outputs(document, Shell(folder)):
        if not printed.holds:
            told = difflib.unified_diff(printed.output, printed.said, name_of(document), "printed", lineterm="")
            where = f"{name_of(document)}, line {printed.start}: $ {printed.command}"
            pytest.fail("\n".join([where, *told, "tests/test_readme.py --write renews a page"]))


# --- outputs ----------------------------------------------------------------------------------------------------


def segments(output: list[str]) -> list[list[str]]:
    """Split at the lines `...`; the first segment begins the output and the last ends it."""
    parts: list[list[str]] = [[]]
    for line in output:
        if line.strip() == SKIPPED:
            parts.append([])
        else:
            parts[-1].append(line.rstrip())
    return parts


def plain(lines: list[str]) -> list[str]:
    """Take figures, durations, hashes in names, frames and runs of spaces out of lines."""
    for pattern, instead in VARYING.items():
        lines = [re.sub(pattern, instead, line) for line in lines]
    return [line.strip() for line in lines]


def matches(output: list[str], said: list[str]) -> bool:
    """Whether the lines are what is printed; a lone `...` stands for nothing, since it would hold of everything."""
    if output == [SKIPPED]:
        return False
    first, *rest = segments(output)
    if not rest:
        return first == said
    *middle, last = rest
    if len(first) + len(last) > len(said) or said[: len(first)] != first or (last and said[-len(last) :] != last):
        return False
    place, end = len(first), len(said) - len(last)
    for part in middle:
        found = next((at for at in range(place, end - len(part) + 1) if said[at : at + len(part)] == part), None)
        if found is None:
            return False
        place = found + len(part)
    return True


def renewed(output: list[str], said: list[str]) -> list[str]:
    """Return the block's lines as they are printed now; what was left out stays out, but for a lone `...`."""
    first, *rest = segments(output)
    if not rest or output == [SKIPPED]:
        return said
    *middle, last = rest
    new, place = said[: len(first)], len(first)
    end = len(said) - len(last)
    for part in middle:
        place = max(range(place, max(place, end - len(part)) + 1), key=lambda at: _likeness(part, said[at:]))
        new += [SKIPPED, *said[place : place + len(part)]]
        place += len(part)
    return [*new, SKIPPED, *said[end:]]


def _likeness(part: list[str], said: list[str]) -> float:
    """Compare lines without their figures."""
    pairs = [(re.sub(r"\d", "0", old), re.sub(r"\d", "0", new)) for old, new in zip(part, said, strict=False)]
    return sum(difflib.SequenceMatcher(None, old, new).ratio() for old, new in pairs)
