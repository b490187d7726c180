"""Many questions, with every finished chunk of answers on the disk."""

import json
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from harness.engines.engine import Answer, Decoding, Done, Engine, Question, StoppedError
from harness.engines.meter import meter
from harness.errors import HarnessError, RunIncompleteError
from harness.records.usage import NAMES, total


def write_answers(
    path: Path,
    engine: Engine,
    asked: Sequence[Any],
    question: Callable[[Any], Question],
    record: Callable[[Any, list[Answer]], dict[str, Any]],
    decoding: Decoding,
    seed: int = 0,
    done: Done = lambda count: None,
) -> None:
    """Answer questions chunk by chunk and append a JSON line for each; after a crash only what is owed is asked.

    Args:
        path: the file of lines; each also holds `place`, that of its question, and what its answers `took`.
        engine: answers.
        asked: what there is to ask, in order.
        question: makes the question of one of them, images and all, when its turn comes.
        record: makes the line of one of them and its answers.
        decoding: how answers are drawn.
        seed: of the draws.
        done: is told of every question, those of an earlier attempt included.

    Raises:
        HarnessError: if the engine gave up, or answers failed; what was answered is kept.
    """
    kept = _kept(path, engine, len(asked))
    done(len(kept))
    for start in range(0, len(asked), engine.at_once):
        owed = [i for i in range(start, min(start + engine.at_once, len(asked))) if i not in kept]
        if not owed:
            continue
        meter().check()
        stop: HarnessError | None = None
        try:
            answers: Sequence[list[Answer] | None] = engine.answer(
                [question(asked[i]) for i in owed], decoding, seed, done
            )
        except StoppedError as stopped:
            answers, stop = stopped.answers, stopped.why
        lines = []
        for i, drawn in zip(owed, answers, strict=True):
            if failed := next((answer.error for answer in drawn or () if answer.error), None):
                stop = stop or RunIncompleteError(f"an answer failed ({failed}).", "--resume asks only what is owed.")
            elif drawn:
                took = total((answer.requests, answer.prompt_tokens, answer.tokens) for answer in drawn)
                lines.append(json.dumps({"place": i, "took": took, **record(asked[i], drawn)}) + "\n")
        with path.open("a", encoding="utf-8") as file:
            file.write("".join(lines))
        if stop:
            raise stop
    path.touch()


def _kept(path: Path, engine: Engine, count: int) -> set[int]:
    """Return the places that are answered; leave out of the file what a crash tore or left of a chunk."""
    lines: dict[int, bytes] = {}
    for line in path.read_bytes().splitlines(keepends=True) if path.exists() else ():
        if line.endswith(b"\n"):
            lines[int(json.loads(line)["place"])] = line
    if not engine.independent:
        # what an answer is depends on its batch, so a chunk is asked whole
        for start in range(0, count, engine.at_once):
            chunk = range(start, min(start + engine.at_once, count))
            if not all(place in lines for place in chunk):
                for place in chunk:
                    lines.pop(place, None)
    if path.exists():
        path.write_bytes(b"".join(lines.values()))
    return set(lines)


def used(lines: Iterable[dict[str, Any]]) -> dict[str, dict[str, int | None]]:
    """Sum up what the answers in lines took, as `usage` in a stage's report; nothing where there are none."""
    took = [tuple(line["took"]) for line in lines]
    return {"usage": dict(zip(NAMES, total(took), strict=True))} if took else {}


def read_answers(path: Path) -> list[dict[str, Any]]:
    """Read the lines in the order of their questions."""
    lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    return sorted(lines, key=lambda line: int(line["place"]))
