"""Experts: textual reward models that read caption and question, and score a response."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from harness.config import ExpertSettings
from harness.data.preferences import read_pairs
from harness.data.tables import read_columns, write_rows
from harness.errors import HarnessError
from harness.training.sources import PAIRS
from harness.training.stages import Artifact, Progress

Row = dict[str, Any]
SCORES = "scores.parquet"


class Expert:
    """One sequence-classification reward model with a single label."""

    def __init__(self, name: str, settings: ExpertSettings) -> None:
        import torch
        from transformers import AutoModelForSequenceClassification, AutoTokenizer

        from harness.judge.checkpoints import loading, resolve

        name, _, revision = name.partition("@")
        ref = resolve(name, revision or None)
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        with loading(name):
            self.tokenizer = AutoTokenizer.from_pretrained(ref.location, revision=ref.revision)
            self.model, loaded = AutoModelForSequenceClassification.from_pretrained(
                ref.location,
                revision=ref.revision,
                num_labels=1,
                dtype=getattr(torch, settings.precision),
                use_safetensors=True,
                output_loading_info=True,
            )
        if missing := [key for key in loaded["missing_keys"] if key.startswith(("score", "classifier"))]:
            # it would be drawn at random, and filter the data with noise
            raise HarnessError(
                f"expert {name!r} is no reward model: it lacks {missing[0]}.", "Name one with a score head."
            )
        self.model.to(self.device).eval()
        self.settings = settings

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
        import torch

        encoded = [self.encode(*text) for text in texts]
        order = sorted(range(len(encoded)), key=lambda i: (len(encoded[i]), i))
        scores = [0.0] * len(encoded)
        for start in range(0, len(order), self.settings.batch_size):
            batch = order[start : start + self.settings.batch_size]
            inputs = self.tokenizer.pad(
                {"input_ids": [encoded[i] for i in batch]}, padding_side="right", return_tensors="pt"
            ).to(self.device)
            with torch.inference_mode():
                logits = self.model(**inputs).logits[:, 0].float().cpu().tolist()
            for place, value in zip(batch, logits, strict=True):
                scores[place] = value
            on_batch(len(batch))
        return scores


def expert_scores(out: Path, pairs: Artifact, settings: ExpertSettings, *, progress: Progress) -> dict[str, Any]:
    """Let every expert score both responses of every pair from the caption.

    Writes one row a pair: id, and per expert the score of the chosen and of the rejected response.
    """
    rows = read_pairs(pairs.path / PAIRS)
    progress.total(2 * len(rows) * len(settings.models), "scores")
    texts = [(row["caption"], row["question"], row[side]) for row in rows for side in ("chosen", "rejected")]
    columns = [Expert(name, settings).score(texts, progress.advance) for name in settings.models]
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
    return [resolve(name, revision or None).fingerprint for name, _, revision in named]


expert_scores.also = lambda pairs, settings: fingerprints(settings)  # type: ignore[attr-defined]


def read_scores(scores: Artifact) -> dict[str, Row]:
    """Read expert scores by pair id."""
    return {row["id"]: row for row in read_columns(scores.path / SCORES, ["id", "chosen", "rejected"])}
