"""The recording wrapper: any lmms-eval model, with every finished chunk on the disk.

`simple_evaluate` hands over results only at the end, so what must survive a crash is written here:
requests pass on in fixed chunks, each seeded by its content; a finished chunk's judgments are
appended; on resume only the chunks that are owed are asked.

A model may say more than lmms-eval has words for: its results may carry `p_first`, or an `error`
instead of an answer; it may call itself `independent`, so that of a chunk begun only the answers owed
are asked; and it may raise a `StoppedError` that hands over what it has. One of ours (`JudgeModel`)
also prepares what it needs, says while it works how much is done, and is on the meter by itself.
"""

import hashlib
import random
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from lmms_eval.api.instance import GenerationResult, Instance, unwrap_generation_output
from lmms_eval.api.model import lmms

from harness.engines.engine import StoppedError
from harness.engines.meter import meter
from harness.evaluate.engine_model import JudgeModel
from harness.evaluate.hooks import presentation_of
from harness.records import Judgment, Presentation, Reading, RunFolder, shown_hash
from harness.training.stages import Progress

Key = tuple[int, Presentation]
"""A judgment's: the judge's seed, and what was shown."""


FAILED = "[LMMS_EVAL_"
"""How the texts begin that lmms-eval's clients of servers give where there is no answer."""


class RecordingModel(lmms):  # type: ignore[misc]
    """Wraps `inner` and writes down what it answers to one task for one training seed."""

    def __init__(
        self,
        inner: lmms,
        folder: RunFolder,
        task: str,
        read: Callable[[str, int], Reading],
        seed: int,
        chunk_size: int,
        progress: Progress,
        done: Sequence[Judgment],
    ) -> None:
        super().__init__()
        self.inner, self.folder, self.task, self.read = inner, folder, task, read
        self.ours = inner if isinstance(inner, JudgeModel) else None
        if self.ours:
            self.ours.told = self._count
        self.seed, self.chunk_size, self.progress = seed, chunk_size, progress
        self.done = {judgment.key: judgment for judgment in done if judgment.seed == seed}
        self.shown: dict[Presentation, str] = {}
        self.ahead = 0.0
        """Seconds an answer that were spent before the first was asked."""
        self.counted = 0
        """Answers of the chunk under way that are done."""
        self.is_simple = inner.is_simple

    def generate_until(self, requests: list[Instance]) -> list[GenerationResult]:
        """Answer every request, asking `inner` only what is not on the disk."""
        self.inner.task_dict = self.task_dict
        docs = self.task_dict[self.task]
        keys = []
        for request in requests:
            doc = docs[request.metadata["split"]][request.doc_id]
            keys.append((self.seed, presentation_of(doc)))
            self.shown[keys[-1][1]] = shown_hash(doc["query"], doc["shown"])
        owed = sum(key not in self.done for key in keys)
        if owed and self.ours:
            started = time.monotonic()
            self.ours.prepare(requests, self.progress)
            self.ahead = (time.monotonic() - started) / owed
        self.progress.total(len(requests), "answers")
        for start in range(0, len(requests), self.chunk_size):
            chunk = slice(start, start + self.chunk_size)
            self.counted = 0
            if not all(key in self.done for key in keys[chunk]):
                meter().check()
                self._ask(requests[chunk], keys[chunk])
            self.progress.advance(len(keys[chunk]) - self.counted)
        return [GenerationResult(self.done[key].text) for key in keys]

    def _count(self, answers: int) -> None:
        self.counted += answers
        self.progress.advance(answers)

    def _ask(self, requests: list[Instance], keys: list[Key]) -> None:
        """Ask one chunk whole, so that its draws do not depend on where a crash fell.

        Raises:
            HarnessError: if the model gave up; what it had answered is written all the same.
        """
        content = hashlib.sha256(repr([(seed, *shown) for seed, shown in keys]).encode()).digest()
        seed = int.from_bytes(content[:4], "big")
        random.seed(seed)
        np.random.seed(seed)
        torch.manual_seed(seed)
        if getattr(self.inner, "independent", False):
            requests = [request for request, key in zip(requests, keys, strict=True) if key not in self.done]
            keys = [key for key in keys if key not in self.done]
        started = time.monotonic()
        try:
            outputs = self.inner.generate_until(requests)
        except StoppedError as stop:
            self._write(keys, stop.answers, time.monotonic() - started)
            raise stop.why from None
        self._write(keys, outputs, time.monotonic() - started)

    def _write(self, keys: list[Key], outputs: Sequence[Any], seconds: float) -> None:
        """Write down what is new of a chunk that took `seconds`."""
        fresh = []
        for key, output in zip(keys, outputs, strict=True):
            if output is None or key in self.done:
                continue
            text, counts = unwrap_generation_output(output)
            requests = getattr(output, "requests", 1)
            if not self.ours:
                meter().sent()
                meter().came(counts and counts.input_tokens, counts and counts.output_tokens)
            error = getattr(output, "error", None) or (text if text.startswith(FAILED) else None)
            self.done[key] = Judgment(
                seed=key[0],
                **key[1]._asdict(),
                shown=self.shown[key[1]],
                text="" if error else text,
                reading="error" if error else self.read(text, len(key[1].order)),
                p_first=getattr(output, "p_first", None),
                tokens=counts.output_tokens if counts else None,
                prompt_tokens=counts.input_tokens if counts else None,
                requests=requests,
                seconds=round(seconds / len(keys) + self.ahead, 6),
                error=error,
            )
            fresh.append(self.done[key])
        self.folder.append_judgments(self.task, fresh)

    def loglikelihood(self, requests: list[Instance]) -> list[tuple[float, bool]]:
        """Refuse: pairwise tasks generate."""
        raise NotImplementedError("pairwise tasks generate")

    def generate_until_multi_round(self, requests: list[Instance]) -> list[str]:
        """Refuse: a judgment is one round."""
        raise NotImplementedError("a judgment is one round")

    def clean(self) -> None:
        """Leave the inner model in place: the next task uses it again."""

    def __getattr__(self, name: str) -> Any:
        # lmms-eval looks for optional attributes of a model, such as its accelerator
        if name.startswith("__") or "inner" not in self.__dict__:
            raise AttributeError(name)
        return getattr(self.inner, name)
