"""The words in which a judge was asked: found again, and told by the hash that the record keeps of them."""

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from harness.errors import HarnessError
from harness.judge.format import EMBEDDED, PLAIN, RewardFormat, load_format, load_reward_format
from harness.judge.published import authors_words
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
    given = side.result.run.config.get("prompts")
    if isinstance(given, dict) and isinstance(given.get(name), str):
        with contextlib.suppress(HarnessError, OSError, UnicodeDecodeError):
            yield fill(content(Path(given[name])).decode(), "{question}", shown)
    yield from _authors(side.result.run.config, name)


def _authors(config: dict[str, Any], task: str) -> Iterator[str]:
    """Give the words of a published judge, where they are here."""
    if config.get("published"):
        with contextlib.suppress(HarnessError, ValidationError):
            judge = PublishedJudge.model_validate(config["published"])
            if not judge.head:
                yield authors_words(str(config.get("model")), judge, (config.get("prompts") or {}).get(task))
