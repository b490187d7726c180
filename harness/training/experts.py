"""Experts: textual reward models that read caption and question, and score a response."""

from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from harness.config import ExpertSettings
from harness.data.preferences import read_pairs
from harness.data.tables import read_columns, write_rows
from harness.training.sources import PAIRS
from harness.training.stages import ENGINE, Artifact, Progress

Row = dict[str, Any]
SCORES = "scores.parquet"


class Expert:
    """One sequence-classification reward model with a single label."""

    def __init__(self, name: str, settings: ExpertSettings, work: Path) -> None:
        from transformers import AutoTokenizer

        from harness.engines.engine import open_scorer
        from harness.judge.checkpoints import loading, resolve

        model, _, revision = name.partition("@")
        ref = resolve(model, revision or None)
        with loading(model):
            self.tokenizer = AutoTokenizer.from_pretrained(ref.location, revision=ref.revision)
        self.settings = settings
        self.scorer = open_scorer(name, settings, work)

    def encode(self, caption: str, question: str, response: str) -> list[int]:
        """Tokenise one user turn (caption, question) and one assistant turn (response)."""
        chat = [
            {"role": "user", "content": f"{caption} {question}"},
            {"role": "assistant", "content": response},
        ]
        text = self.tokenizer.apply_chat_template(chat, tokenize=False)
        # the template writes its own BOS; a second one would shift every score
        ids: list[int] = self.tokenizer(text, add_special_tokens=False).input_ids
        return ids[-self.settings.max_length :]

    def score(self, texts: Sequence[tuple[str, str, str]], on_batch: Callable[[int], None]) -> list[float]:
        """Score (caption, question, response) triples; comparable only within one prompt."""
        return self.scorer.score([self.encode(*text) for text in texts], on_batch)

    def close(self) -> None:
        """Give back what its engine holds."""
        self.scorer.close()


def expert_scores(out: Path, pairs: Artifact, settings: ExpertSettings, *, progress: Progress) -> dict[str, Any]:
    """Let every expert score both responses of every pair from the caption.

    Writes one row a pair: id, and per expert the score of the chosen and of the rejected response.
    """
    rows = read_pairs(pairs.path / PAIRS)
    progress.total(2 * len(rows) * len(settings.models), "scores")
    texts = [(row["caption"], row["question"], row[side]) for row in rows for side in ("chosen", "rejected")]
    columns = []
    for name in settings.models:
        with closing(Expert(name, settings, out / ENGINE)) as expert:
            columns.append(expert.score(texts, progress.advance))
    table = [
        {"id": row["id"], "chosen": [c[2 * i] for c in columns], "rejected": [c[2 * i + 1] for c in columns]}
        for i, row in enumerate(rows)
    ]
    write_rows(out / SCORES, table, {"id": "text", "chosen": "floats", "rejected": "floats"})
    return {"experts": len(columns), "pairs": len(rows)}


def fingerprints(settings: ExpertSettings) -> list[str]:
    """Return what changes with the experts' weights, also where a folder of the same name is filled anew."""
    from harness.judge.checkpoints import resolve

    named = (name.partition("@") for name in settings.models)
    here = settings.engine.name != "server"
    return [resolve(name, revision or None).fingerprint if here else name for name, _, revision in named]


expert_scores.also = lambda pairs, settings: fingerprints(settings)  # type: ignore[attr-defined]


def read_scores(scores: Artifact) -> dict[str, Row]:
    """Read expert scores by pair id."""
    return {row["id"]: row for row in read_columns(scores.path / SCORES, ["id", "chosen", "rejected"])}
