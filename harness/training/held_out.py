"""Judging on the way: how often a judge in training prefers the labelled response on pairs it is not trained on."""

import hashlib
from collections.abc import Callable, Iterable
from typing import Any

from transformers import TrainerCallback

from harness.data.canonical import open_images
from harness.data.images import opened
from harness.engines.engine import Decoding, Question
from harness.engines.transformers_engine import TransformersEngine
from harness.judge.format import JudgeFormat
from harness.judge.loading import load_processor
from harness.protocols.reading import read_strict
from harness.settings import SftSettings
from harness.training.jobs import Job
from harness.training.rows import Presented, present
from harness.training.sources import PAIRS


def set_aside(ids: Iterable[str], share: float) -> set[str]:
    """Choose about `share` of the ids by their hashes, at least one; another pair more or less moves no other."""
    hashes = {name: int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big") / 2**64 for name in ids}
    return {name for name, place in hashes.items() if place < share} or {min(hashes, key=hashes.__getitem__)}


class JudgeHeldOut(TrainerCallback):  # type: ignore[misc]
    """Judges held-out pairs every `judge_every` updates and at the end: greedy, in both orders.

    An answer without a verdict is wrong. Every process asks every question, as each may hold only a part of the
    model.
    """

    def __init__(
        self, trainer: Any, job: Job, format_: JudgeFormat, ids: set[str], says: Callable[[Presented], str]
    ) -> None:
        assert isinstance(job.settings, SftSettings)
        self.trainer, self.settings = trainer, job.settings
        size = job.settings.micro_batch_size
        self.judge = TransformersEngine.around(trainer.model, load_processor(job.judge), format_, size)
        self.shown = present(job.pairs, format_, ids)
        self.image = open_images(job.pairs.path / PAIRS)
        answers = [format_.judgment(says(p), 0) for p in self.shown]
        tokenizer = self.judge.processor.tokenizer
        self.decoding = Decoding(8 + max(len(tokenizer(answer).input_ids) for answer in answers))
        self.found: dict[int, float] = {}
        trainer.add_callback(self)

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Judge where it is time."""
        if state.global_step % (self.settings.judge_every or 1) == 0 or state.global_step == state.max_steps:
            self.found[state.global_step] = self._accuracy()

    def curve(self) -> dict[str, list[float]]:
        """Return the updates after which was judged, and the share of answers for the labelled response."""
        return {"judged_step": [float(step) for step in self.found], "accuracy": list(self.found.values())}

    def _accuracy(self) -> float:
        self.judge.model = self.trainer.model
        self.trainer.model.eval()
        questions = [Question((opened(self.image(p.place)), p.prompt)) for p in self.shown]
        answers = self.judge.answer(questions, self.decoding)
        self.trainer.model.train()
        verdicts = ["second" if p.chosen_second else "first" for p in self.shown]
        right = [read_strict(drawn[0].text) == verdict for drawn, verdict in zip(answers, verdicts, strict=True)]
        return round(sum(right) / len(right), 4)
