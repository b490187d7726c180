"""A judge that others published, made ready: its weights, its authors' words, and how its verdict is read."""

import ast
import hashlib
import json
import string
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from harness.errors import HarnessError
from harness.judge.checkpoints import checkpoint_of, resolve
from harness.judge.format import JudgeFormat
from harness.protocols.forms import OWN, Reader, find_reader
from harness.published_judges import JUDGE, PublishedJudge, Words
from harness.registry import content_roots, load_judge, results_root
from harness.settings import JudgeSettings

LONGEST = 2**20
"""Bytes of a file with words."""


class NamedJudge(NamedTuple):
    """A judge as it is asked about responses of one's own."""

    settings: JudgeSettings
    fingerprint: str
    """Changes with its weights, and with how it is asked and read."""
    format: JudgeFormat | None = None
    """Its authors' words; None leaves it to the checkpoint."""
    read: Reader = find_reader("strict", None)
    head: str | None = None
    """Whose reward head it has, where that is not one of ours."""
    max_new_tokens: int | None = None


def named_judge(name: str, roots: Sequence[Path] = ()) -> NamedJudge:
    """Find a judge by a name: `judge:NAME[=FOLDER]`, `run:NAME[:SEED]`, a folder, the hub's, or an embedded one.

    Raises:
        HarnessError: if there is none, it cannot be run, or its authors' words are not here.
    """
    if not name.startswith(JUDGE):
        settings = JudgeSettings(model=checkpoint_of(name))
        return NamedJudge(settings, resolve(settings.model, settings.revision).fingerprint)
    called, _, folder = name.removeprefix(JUDGE).partition("=")
    judge = load_judge(called, roots or content_roots())
    refuse_unrunnable(name, judge)
    settings = JudgeSettings(model=folder or judge.hub, revision=judge.revision, max_pixels=judge.max_pixels)
    pieces = [resolve(settings.model, settings.revision).fingerprint, judge.decisive()]
    fingerprint = hashlib.sha256(json.dumps(pieces, sort_keys=True).encode()).hexdigest()[:16]
    if judge.head:
        return NamedJudge(settings, fingerprint, head=judge.head)
    format_ = JudgeFormat(authors_words(f"{JUDGE}{called}", judge))
    return NamedJudge(settings, fingerprint, format_, find_reader(OWN, judge.verdict), None, judge.max_new_tokens)


def refuse_unrunnable(name: str, judge: PublishedJudge) -> None:
    """Refuse a judge that is only described.

    Raises:
        HarnessError: saying why.
    """
    if judge.cannot:
        raise HarnessError(f"{name} cannot be asked here: {judge.cannot}", "`harness ls judges` has others.")


def saved_at(name: str, words: Words) -> Path:
    """Say where the file with the words of `judge:NAME` is looked for."""
    return results_root() / "judges" / f"{name.removeprefix(JUDGE)}{Path(words.path).suffix}"


def authors_words(name: str, judge: PublishedJudge, given: str | None = None) -> str:
    """Find the words in which a judge is asked, and check that they are its authors'.

    Args:
        name: `judge:NAME`.
        judge: asked in words.
        given: a file in place of the usual one: the authors' own, or the words alone.

    Returns:
        The prompt, with {question}, {first} and {second}.

    Raises:
        HarnessError: if the file is not there, or does not hold those words.
    """
    if judge.prompt:
        return judge.prompt
    assert judge.words is not None, "a judge is asked in words, or by its head"
    path = Path(given) if given else saved_at(name, judge.words)
    save = f"curl --create-dirs -o {saved_at(name, judge.words)} {judge.words.address}"
    try:
        with path.open("rb") as file:
            text = file.read(LONGEST).decode()
    except FileNotFoundError:
        raise HarnessError(
            f"{name} is asked in its authors' words, which do not come with the harness; {path} is not there.",
            f"Save them: {save}",
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise HarnessError(f"{path} cannot be read ({error}).", f"Save it again: {save}") from None
    if found := words_in(text, judge.words):
        return found
    raise HarnessError(f"{path} does not hold the words in which {name} is asked.", f"Save the right file: {save}")


def words_in(text: str, words: Words) -> str | None:
    """Find a judge's words in its authors' file, or in one that holds them alone; None where they are not there."""
    return next((one for one in _texts(text, words) if hashlib.sha256(one.encode()).hexdigest() == words.sha256), None)


def _texts(text: str, words: Words) -> Iterator[str]:
    """List what may be the words: all of a file, and each text of a Python file, with our fields for its own."""
    yield text
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            pieces = [_piece(part) for part in node.values]
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            try:
                pieces = [(before, field) for before, field, _, _ in string.Formatter().parse(node.value)]
            except ValueError:
                continue
        else:
            continue
        yield "".join(f"{before}{{{words.fields.get(field, field)}}}" if field else before for before, field in pieces)


def _piece(part: ast.expr) -> tuple[str, str | None]:
    """Read a piece of a filled text: what stands there, or the name of what is filled in."""
    if isinstance(part, ast.FormattedValue):
        return "", ast.unparse(part.value)
    return (part.value, None) if isinstance(part, ast.Constant) and isinstance(part.value, str) else ("", None)
