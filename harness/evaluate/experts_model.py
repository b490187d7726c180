"""Experts alone as an lmms-eval model: the base judge captions each image, and the experts read the caption."""

import hashlib
import json
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

from lmms_eval.api.instance import Instance

from harness.engines.engine import Answer, Decoding, Question, open_engine
from harness.engines.resumable import write_answers
from harness.evaluate.engine_model import EngineResult, JudgeModel, result_of
from harness.protocols.stating import by_experts
from harness.settings import CaptionSettings, ExpertSettings, JudgeSettings
from harness.training.experts import score_pairs
from harness.training.stages import Progress

Pair = tuple[str, str, str, str]
"""Image, by its hash; question; and two responses, in the order of the file."""


class ExpertsModel(JudgeModel):
    """Judges by the majority of the experts.

    A task is captioned and scored whole before its first question, one model after the other, so that no two of them
    need a place in memory at once.
    """

    independent = True

    def __init__(self, base: JudgeSettings, captions: CaptionSettings, experts: ExpertSettings, work: Path) -> None:
        super().__init__()
        self.base, self.settings, self.experts, self.work = base, captions, experts, work
        self.captions: dict[str, str] = {}
        self.scores: dict[Pair, list[tuple[float, float]]] = {}

    def prepare(self, requests: list[Instance], progress: Progress) -> None:
        """Caption and score every pair of the task, told of each caption and each score."""
        if any(_pair(self.shown(request))[0] not in self.scores for request in requests):
            _, _, visual, _, task, split = requests[0].args
            self._read(self.task_dict[task][split], visual, progress)

    def generate_until(self, requests: list[Instance]) -> list[EngineResult]:
        """Answer the requests, in their order; a pair has the same scores in both orders."""
        return [result_of(self._judgment(self.shown(request))) for request in requests]

    def _judgment(self, doc: dict[str, Any]) -> Answer:
        pair, swapped = _pair(doc)
        scores = [score[::-1] if swapped else score for score in self.scores[pair]]
        return Answer(*by_experts(self.captions[pair[0]], scores))

    def _read(self, docs: Any, visual: Any, progress: Progress) -> None:
        """Caption and score every pair of a task."""
        texts = list(docs.remove_columns("image"))
        places: dict[str, int] = {}
        for place, doc in enumerate(texts):
            places.setdefault(doc["image_hash"], place)
        self._caption(places, lambda place: visual(docs[place])[0], progress)
        pairs = list(dict.fromkeys(_pair(doc)[0] for doc in texts))
        rows = [
            {"id": question, "caption": self.captions[image], "question": question, "chosen": one, "rejected": other}
            for image, question, one, other in pairs
        ]
        progress.total(2 * len(rows) * len(self.experts.models) * (1 + self.experts.subtract_blind), "scores")
        each = [score_pairs(name, rows, self.experts, self.work, progress) for name in self.experts.models]
        for place, pair in enumerate(pairs):
            self.scores[pair] = [(float(scores[place, 0]), float(scores[place, 1])) for scores in each]

    def _caption(self, places: dict[str, int], image: Any, progress: Progress) -> None:
        """Caption the images that have no caption yet; those written before a crash are read again."""
        self.captions |= dict(_written(self.work))
        owed = sorted(places.keys() - self.captions.keys(), key=places.__getitem__)
        if not owed:
            return
        progress.total(len(owed), "captions")
        self.work.mkdir(parents=True, exist_ok=True)
        name = hashlib.sha256("".join(owed).encode()).hexdigest()[:12]
        with closing(open_engine(self.base, self.settings, self.work)) as engine:
            write_answers(
                self.work / f"captions-{name}.jsonl",
                engine,
                owed,
                lambda image_hash: Question((image(places[image_hash]), self.settings.prompt)),
                lambda image_hash, drawn: {"image": image_hash, "caption": drawn[0].text or "nothing"},
                Decoding(self.settings.max_new_tokens),
                done=progress.advance,
            )
        self.captions |= dict(_written(self.work))


def _pair(doc: dict[str, Any]) -> tuple[Pair, bool]:
    """Name the pair that a document shows, and whether it is shown the other way round."""
    swapped = doc["order"][0] > doc["order"][1]
    one, other = doc["shown"][:: -1 if swapped else 1]
    return (doc["image_hash"], doc["query"], one, other), swapped


def _written(work: Path) -> Iterator[tuple[str, str]]:
    """Read the captions in a folder; what a crash tore is left out."""
    for file in work.glob("captions-*.jsonl"):
        for line in file.read_bytes().splitlines(keepends=True):
            if line.endswith(b"\n"):
                told = json.loads(line)
                yield told["image"], told["caption"]
