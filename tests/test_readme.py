"""README.md and docs/ are true: commands run, outputs are what is printed, links lead somewhere.

- A `console` block is run: a line that begins with `$ ` is a command (`> ` begins each further line of it), and the
  lines below must be what it prints. A line `...` stands for any number of lines.
- A `sh` block is run from its first line to its last; what it prints is not looked at.
- A `python` block is run after those above it, with their names. A `text` block right below is what it prints.
- `json` and `yaml` must be read without error.
- `<!-- not run: WHY -->` above a block takes it out. Every `harness ...` in it must still be accepted by the parser.
- `<!-- figures vary -->` above a block: figures and the widths of columns may differ from what is printed, words not.

The blocks of a page share a folder that looks like a fresh clone, and are run from top to bottom.

    .venv/bin/python tests/test_readme.py --write

puts what the commands print now into the blocks, and renews the pages that are made from the code.
"""

import re
import shlex
import sys
import tempfile
from argparse import Namespace
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from harness import config, settings
from harness.arguments import build_parser
from harness.data.preferences import FIELDS
from harness.data.tables import checked_rows, read_rows
from harness.registry import content_roots, expand_tasks, find_profiles, find_recipes
from tests.blocks import ROOT, Block, Shell, blocks, hold, matches, name_of, outputs, renewed
from tests.reference import PAGES

DOCUMENTS = [
    ROOT / "README.md",
    *sorted((ROOT / "docs").rglob("*.md")),
    *sorted((ROOT / "recipes").rglob("*.md")),
    *sorted((ROOT / "tasks").rglob("*.md")),
    ROOT / "judges/README.md",
    ROOT / "results/published/README.md",
]
TUTORIAL = ROOT / "docs/tutorial.md"
"""It trains, and `tests/test_tutorial.py` runs it, so that it is run beside the others."""
LINKING = [*DOCUMENTS, ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md", ROOT / "SECURITY.md"]


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
    roots = content_roots(options.include_path)
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


@pytest.mark.parametrize("document", [page for page in DOCUMENTS if page != TUTORIAL], ids=name_of)
def test_blocks_run_and_print_what_they_say(document: Path, tmp_path: Path) -> None:
    hold(document, tmp_path)


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


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_the_reference_is_that_of_the_code(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert text == PAGES[page](text), __doc__
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
    """Renew every output, and the pages that are made from the code; names of pages after `--write` choose them."""
    for page, renew in PAGES.items():
        page.write_text(renew(page.read_text(encoding="utf-8")), encoding="utf-8")
    chosen = [document for document in DOCUMENTS if not sys.argv[2:] or name_of(document) in sys.argv[2:]]
    for document in chosen:
        lines = document.read_text(encoding="utf-8").splitlines()
        with tempfile.TemporaryDirectory() as folder:
            found = list(outputs(document, Shell(Path(folder), seconds=None)))
        # figures that vary go together: they are of one run of the page
        stale = any(not printed.holds for printed in found)
        for printed in reversed(found):
            if printed.holds and not (printed.varies and stale):
                continue
            print(f"{name_of(document)}, line {printed.start}: $ {printed.command}")
            lines[printed.start : printed.start + len(printed.output)] = renewed(printed.output, printed.said)
        document.write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    if sys.argv[1:2] != ["--write"]:
        sys.exit(__doc__)
    write()
