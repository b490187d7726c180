"""README.md and docs/ are true: commands run, outputs are what is printed, links lead somewhere.

- A `console` block is run: a line that begins with `$ ` is a command (`> ` begins each further line of it), and the
  lines below must be what it prints. A line `...` stands for any number of lines.
- A `sh` block is not run: every `harness ...` in it must be accepted by the command's own parser.

    .venv/bin/python tests/test_readme.py --write

puts what the commands print now into the console blocks, and what `harness.settings` says into `docs/settings.md`.
"""

import ast
import difflib
import inspect
import os
import re
import shlex
import subprocess
import sys
import tempfile
from argparse import Namespace
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from harness import config, settings
from harness.cli import build_parser
from harness.data.preferences import FIELDS
from harness.data.tables import checked_rows, read_rows
from harness.registry import content_roots, expand_tasks, find_profiles, find_recipes, load_profile

ROOT = Path(__file__).resolve().parent.parent
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
LINKING = [*DOCUMENTS, ROOT / "CONTRIBUTING.md", *sorted((ROOT / "recipes").rglob("*.md"))]
SETTINGS = ROOT / "docs/settings.md"
COLUMNS = "100"
SKIPPED = "..."


def name_of(document: Path) -> str:
    return str(document.relative_to(ROOT))


# --- blocks -----------------------------------------------------------------------------------------------------


class Block(NamedTuple):
    """A fenced block: its language, the lines inside it, and where they begin in the document."""

    language: str
    lines: list[str]
    start: int


class Step(NamedTuple):
    """A command of a console block, the lines below it, and where these begin in the document."""

    command: str
    output: list[str]
    start: int


def blocks(text: str) -> Iterator[Block]:
    language, start, inside = "", 0, list[str]()
    for number, line in enumerate(text.splitlines()):
        fence = re.fullmatch(r"```(\w*)", line.strip())
        if fence and not start:
            language, start, inside = fence[1], number + 1, []
        elif fence:
            yield Block(language, inside, start)
            start = 0
        elif start:
            inside.append(line)
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

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "root"
        self.folder.mkdir()
        (self.folder / "results").mkdir()
        for path in (*ROOT.iterdir(), *(ROOT / "results").iterdir()):
            if not path.name.startswith(".") and path.name not in ("results", "runs", "cache"):
                (self.folder / path.relative_to(ROOT)).symlink_to(path)
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
            timeout=120,
        )
        said = [line.rstrip() for line in done.stdout.rstrip().splitlines()]
        assert done.returncode == 0, "\n".join([f"$ {command}", *said, f"exit code {done.returncode}"])
        return said


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


def matches(output: list[str], said: list[str]) -> bool:
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
    """Return the block's lines as they are printed now; what was left out stays out."""
    first, *rest = segments(output)
    if not rest:
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


# --- commands that are only read --------------------------------------------------------------------------------


def commands(block: Block) -> Iterator[list[str]]:
    """Find every call of the harness in a block of shell, as its arguments."""
    text = "\n".join(block.lines).replace("\\\n", " ")
    for line in text.splitlines():
        try:
            lexer = shlex.shlex(line, posix=True, punctuation_chars="();<>|&")
            lexer.whitespace_split, lexer.commenters = True, "#"
            words = list(lexer)
        except ValueError:
            # part of a longer quotation, such as a program
            continue
        while words:
            end = next((place for place, word in enumerate(words) if set(word) <= set("();<>|&")), len(words))
            called = next((place for place, word in enumerate(words[:end]) if Path(word).name == "harness"), None)
            if called is not None:
                yield words[called + 1 : end]
            words = words[end + 1 :]


def check_command(arguments: list[str]) -> None:
    """Have the parser read a command, and the registry its names."""
    try:
        options = build_parser().parse_args(arguments)
    except SystemExit as end:
        # --help and --version
        assert not end.code  # noqa: PT017
        return
    if options.verb == "run":
        _check_run(options)
    elif task := getattr(options, "task", None):
        assert expand_tasks([task], content_roots())


def _check_run(options: Namespace) -> None:
    roots = content_roots()
    given: dict[str, Any] = {}
    for text in options.set:
        config.assign(given, *config.parse_assignment(text))
    config.spread_engine(given)
    for name, section in given.items():
        settings.SECTIONS[name].model_validate(section)
    if options.recipe:
        assert options.recipe in {*find_recipes(roots), "RECIPE"}
    if options.profile:
        assert options.profile in find_profiles(roots) or options.profile.endswith(".yaml")
    if options.tasks:
        assert expand_tasks(options.tasks.split(","), roots)
    if options.model == settings.SERVER:
        config.server_settings(dict(part.partition("=")[::2] for part in options.model_args.split(",")))


# --- settings ---------------------------------------------------------------------------------------------------

HEADING = "| setting | default | `qwen2.5-vl-7b` | what it is |"
BEGIN, END = "<!-- begin: tests/test_readme.py --write -->", "<!-- end -->"


def documented() -> dict[str, dict[str, str]]:
    """Read what the classes of `harness.settings` say below each of their fields."""
    found: dict[str, dict[str, str]] = {}
    for node in ast.parse(inspect.getsource(settings)).body:
        if isinstance(node, ast.ClassDef):
            fields = found[node.name] = {}
            for field, below in zip(node.body, node.body[1:], strict=False):
                if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name):
                    fields[field.target.id] = " ".join(_text(below).split("\n\n")[0].split())
    return found


def _text(node: ast.stmt) -> str:
    constant = node.value if isinstance(node, ast.Expr) else None
    return constant.value if isinstance(constant, ast.Constant) and isinstance(constant.value, str) else ""


def settings_table(kept: dict[str, str]) -> list[str]:
    """Write every setting with its default; `kept` says what is meant where the code says nothing."""
    texts = documented()
    real = load_profile("qwen2.5-vl-7b", content_roots())
    lines = []
    engines = {f"engine {kind.model_fields['name'].default}": kind for kind in settings.ENGINES}
    for name, kind in {**settings.SECTIONS, **engines}.items():
        said = " ".join((kind.__doc__ or "").split("\n\n")[0].split())
        lines += ["", f"### {name}", "", said, "", HEADING, "| --- | --- | --- | --- |"]
        owners = [base.__name__ for base in kind.__mro__ if base.__name__ in texts]
        for field, info in kind.model_fields.items():
            key = f"{name.partition(' ')[0]}.{field}"
            if name in engines and field == "name":
                continue
            text = next((texts[owner][field] for owner in owners if texts[owner].get(field)), "") or kept.get(key, "")
            default = _shown(info.get_default(call_default_factory=True))
            theirs = _shown(real[name][field]) if field in real.get(name, {}) else ""
            default = "" if info.is_required() else default
            lines.append(f"| `{key}` | {default} | {theirs} | {text.replace('|', chr(92) + '|')} |")
    return [*lines, ""]


def _shown(value: Any) -> str:
    if value is None:
        return "none"
    if isinstance(value, settings.EngineSettings):
        return f"`{value.name}`"  # type: ignore[attr-defined]
    if isinstance(value, dict):
        return ", ".join(f"`{key}` {_plain(inner)}" for key, inner in value.items())
    if isinstance(value, list):
        return ", ".join(f"`{inner}`" for inner in value)
    return f"`{_plain(value)}`"


def _plain(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def written_settings(text: str) -> str:
    """Put the table of today into the document."""
    before, rest = text.split(BEGIN)
    table, after = rest.split(END)
    rows = (re.split(r"(?<!\\) \| ", line.strip("| ")) for line in table.splitlines() if line.startswith("| `"))
    kept = {row[0].strip("`"): row[3].replace("\\|", "|") for row in rows if len(row) == 4}
    return before + BEGIN + "\n" + "\n".join(settings_table(kept)) + "\n" + END + after


# --- links ------------------------------------------------------------------------------------------------------


def slugs(document: Path) -> set[str]:
    """Return the anchors of a document's headings."""
    found = set()
    text = re.sub(r"^```.*?^```", "", document.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    for heading in re.findall(r"^#+ (.*)$", text, flags=re.MULTILINE):
        found.add(re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-"))
    return found


def missing_links(document: Path) -> list[str]:
    text = document.read_text(encoding="utf-8")
    wrong = []
    for target in [*re.findall(r"\]\(([^)\s]+)\)", text), *re.findall(r"<img [^>]*src=\"([^\"]+)\"", text)]:
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        place = (document.parent / path) if path else document
        if not place.exists() or (anchor and anchor not in slugs(place)):
            wrong.append(target)
    roots = r"(?:harness|docs|tests|recipes|tasks|benchmarks|results/baselines|results/published)/"
    for path in re.findall(rf"`({roots}[\w./-]*\w/?)`", text):
        if not (ROOT / path).exists() and not re.search(r"\b(NAME|TASK)\b", path):
            wrong.append(path)
    return wrong


# --- tests ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("document", DOCUMENTS, ids=name_of)
def test_outputs_are_what_is_printed(document: Path, tmp_path: Path) -> None:
    shell = Shell(tmp_path)
    for block in blocks(document.read_text(encoding="utf-8")):
        for step in steps(block) if block.language == "console" else ():
            said = shell.run(step.command)
            if not matches(step.output, said):
                diff = "\n".join(difflib.unified_diff(step.output, said, name_of(document), "printed", lineterm=""))
                pytest.fail(f"{name_of(document)}, line {step.start}: $ {step.command}\n{diff}\n{__doc__}")


@pytest.mark.parametrize("document", DOCUMENTS, ids=name_of)
def test_commands_are_accepted(document: Path) -> None:
    text = document.read_text(encoding="utf-8")
    for block in blocks(text):
        assert block.language, f"{name_of(document)}, line {block.start}: a block without a language"
        for arguments in commands(block) if block.language == "sh" else ():
            check_command(arguments)
    verbs = {name for action in build_parser()._actions if isinstance(action.choices, dict) for name in action.choices}
    rules = re.findall(r"^([\w -]+):(?!=)", (ROOT / "Makefile").read_text(encoding="utf-8"), flags=re.MULTILINE)
    targets = {target for rule in rules for target in rule.split()}
    assert set(re.findall(r"`harness ([a-z]+)", text)) <= verbs
    assert set(re.findall(r"(?:`|^)make ([\w-]+)", text, flags=re.MULTILINE)) <= targets


@pytest.mark.parametrize("document", LINKING, ids=name_of)
def test_links_lead_somewhere(document: Path) -> None:
    assert missing_links(document) == []


def test_pictures_are_small() -> None:
    for picture in (ROOT / "docs/images").glob("*.png"):
        assert picture.stat().st_size < 200 * 1024, picture


def test_settings_are_those_of_the_code() -> None:
    text = SETTINGS.read_text(encoding="utf-8")
    assert text == written_settings(text), __doc__
    assert not [line for line in text.splitlines() if line.startswith("| `") and line.endswith("|  |")]


def test_example_files_are_read() -> None:
    folder = ROOT / "docs/examples"
    rows = read_rows(folder / "pairs.jsonl")
    assert list(checked_rows(rows, FIELDS, "pairs.jsonl", folder, {}))


def test_this_file_notices() -> None:
    said = ["a 1", "b 2", "c 3", "d 4"]
    assert matches(said, said)
    assert matches(["a 1", "...", "c 3", "..."], said)
    assert matches(["...", "d 4"], said)
    assert not matches(["a 1", "...", "d 5"], said)
    assert not matches(["a 1", "b 2"], said)
    assert not matches(["...", "c 3", "...", "b 2", "..."], said)
    assert renewed(["a 7", "...", "c 0", "..."], said) == ["a 1", "...", "c 3", "..."]
    read = list(commands(Block("sh", ["X=1 .venv/bin/harness gate a \\", "  b --margin 0.02  # so", "ls | cat"], 1)))
    assert read == [["gate", "a", "b", "--margin", "0.02"]]
    with pytest.raises(Exception, match="--margn"):
        check_command(["gate", "a", "b", "--margn", "0.02"])
    with pytest.raises(Exception, match=r"dpo\.bta"):
        check_command(["run", "--recipe", "carevl", "--tasks", "vlrewardbench", "--set", "dpo.bta=1"])


def write() -> None:
    """Renew every output and the table of settings."""
    SETTINGS.write_text(written_settings(SETTINGS.read_text(encoding="utf-8")), encoding="utf-8")
    for document in DOCUMENTS:
        text = document.read_text(encoding="utf-8")
        lines = text.splitlines()
        found = [step for block in blocks(text) if block.language == "console" for step in steps(block)]
        with tempfile.TemporaryDirectory() as folder:
            shell = Shell(Path(folder))
            new = [renewed(step.output, shell.run(step.command)) for step in found]
        for step, output in reversed(list(zip(found, new, strict=True))):
            if output != step.output:
                print(f"{name_of(document)}, line {step.start}: $ {step.command}")
            lines[step.start : step.start + len(step.output)] = output
        document.write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    if sys.argv[1:] != ["--write"]:
        sys.exit(__doc__)
    write()
