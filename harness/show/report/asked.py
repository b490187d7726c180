"""The words in which a judge was asked: found again, and told by the hash that the record keeps of them."""

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from harness.errors import HarnessError
from harness.judge.format import EMBEDDED, PLAIN, RewardFormat, load_format, load_reward_format
from harness.judge.published import LONGEST, saved_at, words_in
from harness.published_judges import PublishedJudge
from harness.records.judgment import PLACEHOLDERS, words_hash
from harness.records.store import content
from harness.registry import load_task, results_root
from harness.show.report.model import Side


def words_of(side: Side, roots: Sequence[Path]) -> dict[str, str]:
    """Find the words of a run's task, with {question} and `PLACEHOLDERS` where an item's texts come.

    Args:
        side: the run.
        roots: content folders, in which the task is looked up.

    Returns:
        `prompt`, the words; or `unknown`, why they are not known. Words are given only where their hash is recorded.
    """
    hashes = set(side.result.task.prompts.values())
    if not hashes:
        return {"unknown": "The record does not say in which words this judge was asked."}
    if len(hashes) > 1:
        return {"unknown": "The judges of its seeds were asked in different words."}
    (wanted,) = hashes
    for words in _brought(side):
        if words_hash(words) == wanted:
            return {"prompt": words}
    shown = len(side.judgments[0].order) if side.judgments else 0
    for words in _benchmarks(side, roots, PLACEHOLDERS[:shown]):
        if words_hash(words) == wanted:
            # a verdict is weighed by a sentence of ours, also where the model brings none
            return {"prompt": PLAIN.prompt if side.result.protocol.weighs and shown == 2 else words}
    return {"unknown": f"Its words are not here any more; the record keeps only their hash, {wanted}."}


def _brought(side: Side) -> Iterator[str]:
    """List the words that checkpoints of the run may have brought."""
    for stage in reversed(side.result.run.stages):
        folder = results_root() / "cache" / f"{stage.stage}-{stage.key}"
        with contextlib.suppress(HarnessError, OSError):
            for brought in (load_format(folder), load_reward_format(folder)):
                if brought:
                    yield brought.prompt
    yield from (EMBEDDED.prompt, PLAIN.prompt, RewardFormat().prompt)


def _benchmarks(side: Side, roots: Sequence[Path], shown: Sequence[str]) -> Iterator[str]:
    """List the benchmark's own words, and those of a user's file in their place."""
    from harness.evaluate.hooks import fill, load_hooks

    name = side.result.task.task
    with contextlib.suppress(HarnessError):
        hooks = load_hooks(name, load_task(name, roots).hooks)
        yield hooks.prompt("{question}", shown, side.result.protocol.compares)
    config = side.result.run.config
    prompts = config.get("prompts")
    # the record is anybody's
    given = prompts.get(name) if isinstance(prompts, dict) else None
    path = Path(given) if isinstance(given, str) else None
    if path:
        with contextlib.suppress(HarnessError, OSError, UnicodeDecodeError):
            yield fill(content(path).decode(), "{question}", shown)
    yield from _authors(config, path)


def _authors(config: dict[str, Any], given: Path | None) -> Iterator[str]:
    """Give the words of a published judge: its own, or those in the file that was given, or where a run looks."""
    with contextlib.suppress(HarnessError, ValidationError, OSError, UnicodeDecodeError):
        judge = PublishedJudge.model_validate(config.get("published"))
        if judge.prompt:
            yield judge.prompt
        elif judge.words:
            path = given or saved_at(str(config.get("model")), judge.words)
            if found := words_in(content(path)[:LONGEST].decode(), judge.words):
                yield found
