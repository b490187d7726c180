"""Our judge as an lmms-eval model: `--model harness_judge --model_args pretrained=CHECKPOINT`."""

from typing import Any

import torch
from lmms_eval.api.instance import GenerationResult, Instance, TokenCounts
from lmms_eval.api.model import lmms

from harness.config import JudgeSettings, Precision
from harness.judge.format import PLAIN
from harness.judge.model import Answer, Decoding, Judge, Question
from harness.precision import resolved


class JudgeResult(GenerationResult):  # type: ignore[misc]
    """A generation with the probability of its verdict, which lmms-eval itself has no place for."""

    p_first: float | None = None


class HarnessJudge(lmms):  # type: ignore[misc]
    """Answers pairwise tasks with a checkpoint of ours, in the checkpoint's own format.

    A checkpoint without a format is asked with the benchmark's prompt. Unlike lmms-eval's own
    model classes it batches across requests and tells P(verdict).
    """

    is_simple = True

    def __init__(
        self,
        pretrained: str,
        revision: str | None = None,
        precision: Precision = "auto",
        batch_size: int | str = 1,
        max_pixels: int | None = None,
        trust_remote_code: bool = False,
        max_batch_size: int | None = None,
        device: str | None = None,
    ) -> None:
        super().__init__()
        settings = JudgeSettings(
            model=pretrained, revision=revision, max_pixels=max_pixels, trust_remote_code=trust_remote_code
        )
        self.judge = Judge(settings, resolved(precision))
        self.batch_size = int(batch_size)

    def generate_until(self, requests: list[Instance]) -> list[JudgeResult]:
        """Answer the requests; the repeats of one presentation are drawn together."""
        questions: dict[tuple[str, str], Question] = {}
        asked: dict[tuple[str, str], list[int]] = {}
        kwargs: dict[str, Any] = {}
        for place, request in enumerate(requests):
            context, kwargs, doc_to_visual, doc_id, task, split = request.args
            doc = self.task_dict[task][split][doc_id]
            prompt = context
            # a verdict that is weighed is always the one that a format's sentence opens
            format_ = self.judge.format or (PLAIN if kwargs.get("weigh_verdict") else None)
            if format_ and len(doc.get("shown", ())) == 2:
                prompt = format_.ask(doc["query"], *doc["shown"])
            key = (str(doc.get("image_hash", doc_id)), prompt)
            if key not in questions:
                questions[key] = Question(doc_to_visual(doc)[0], prompt)
            asked.setdefault(key, []).append(place)
        results: dict[int, JudgeResult] = {}
        for count in sorted({len(places) for places in asked.values()}):
            alike = [key for key, places in asked.items() if len(places) == count]
            answers = self._answer([questions[key] for key in alike], kwargs, count)
            for key, drawn in zip(alike, answers, strict=True):
                for place, answer in zip(asked[key], drawn, strict=True):
                    results[place] = JudgeResult(answer.text, TokenCounts(output_tokens=answer.tokens))
                    results[place].p_first = answer.p_first
        return [results[place] for place in range(len(requests))]

    def _answer(self, questions: list[Question], kwargs: dict[str, Any], count: int) -> list[list[Answer]]:
        temperature = float(kwargs.get("temperature") or 0) if kwargs.get("do_sample") else 0.0
        limit = int(kwargs.get("max_new_tokens", 1024))
        if kwargs.get("weigh_verdict"):
            return [[answer] * count for answer in self.judge.weigh(questions, self.batch_size)]
        if temperature == 0:
            return [drawn * count for drawn in self.judge.answer(questions, Decoding(limit), self.batch_size)]
        decoding = Decoding(limit, temperature, float(kwargs.get("top_p") or 1), count)
        # the chunk's own seed, so that equal batches of two chunks draw apart
        return self.judge.answer(questions, decoding, self.batch_size, seed=torch.initial_seed() % 2**31)

    def generate_until_multi_round(self, requests: list[Instance]) -> list[str]:
        """Refuse: a judge answers in one round."""
        raise NotImplementedError("a judge answers in one round")

    def loglikelihood(self, requests: list[Instance]) -> list[tuple[float, bool]]:
        """Refuse: the judge's probability comes with its answers."""
        raise NotImplementedError("a judge's probability comes with its answers")


def manifest() -> Any:
    """Register the judge with lmms-eval (entry point group `lmms_eval.models`)."""
    from lmms_eval.models.registry_v2 import ModelManifest

    return ModelManifest(model_id="harness_judge", simple_class_path="harness.evaluate.judge_model.HarnessJudge")
