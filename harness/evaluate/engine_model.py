"""Our engines as lmms-eval models; the one in process also by name, `--model harness_judge`."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

import torch
from lmms_eval.api.instance import GenerationResult, Instance, TokenCounts
from lmms_eval.api.model import lmms

from harness.engines.engine import REFUSED, Answer, Decoding, Done, Engine, Question, StoppedError, nobody
from harness.evaluate.hooks import shown_parts
from harness.judge.format import PLAIN
from harness.precision import resolved
from harness.settings import JudgeSettings, Precision
from harness.training.stages import Progress


@dataclass
class EngineResult(GenerationResult):  # type: ignore[misc]
    """A generation with what lmms-eval itself has no place for."""

    p_first: float | None = None
    error: str | None = None
    requests: int | None = None


class JudgeModel(lmms):  # type: ignore[misc]
    """What our models have in common before lmms-eval."""

    is_simple = True
    told: Done = staticmethod(nobody)
    """Is told how many more requests are answered, while they are."""

    def prepare(self, requests: list[Instance], progress: Progress) -> None:
        """Do what has to be done before the first of a task's requests; progress is told of it."""

    def shown(self, request: Instance) -> dict[str, Any]:
        """Return the document of a request: an item as one presentation shows it."""
        _, _, _, doc_id, task, split = request.args
        doc: dict[str, Any] = self.task_dict[task][split][doc_id]
        return doc

    def generate_until_multi_round(self, requests: list[Instance]) -> NoReturn:
        """Refuse: a judge answers in one round."""
        raise NotImplementedError("a judge answers in one round")

    def loglikelihood(self, requests: list[Instance]) -> NoReturn:
        """Refuse: the judge's probability comes with its answers."""
        raise NotImplementedError("a judge's probability comes with its answers")


class EngineModel(JudgeModel):
    """Puts lmms-eval's requests to an engine, the repeats of one presentation as samples of one question.

    A checkpoint with a format is asked in its own words; any other model with the benchmark's prompt.

    Args:
        engine: answers.
        max_images: that one request may hold; one with more is refused, None for any.
    """

    def __init__(self, engine: Engine, max_images: int | None = None) -> None:
        super().__init__()
        self.engine, self.max_images = engine, max_images

    @property
    def independent(self) -> bool:
        """Whether of a chunk begun only the answers owed may be asked."""
        return self.engine.independent

    def generate_until(self, requests: list[Instance]) -> list[EngineResult]:
        """Answer the requests, in their order; one that failed for good carries its error.

        Raises:
            StoppedError: if the engine gives up; it holds a result a request, None where there is none.
        """
        asked: dict[tuple[str, str], list[int]] = {}
        shown: dict[tuple[str, str], list[Any]] = {}
        draws: dict[tuple[str, str], list[Any]] = {}
        for place, request in enumerate(requests):
            _, _, doc_to_visual, doc_id, _, _ = request.args
            doc = self.shown(request)
            prompt = self._prompt(request, doc)
            # lmms-eval's own tasks mark no images
            ours = "image_hashes" in doc
            key = (str((doc["image_hash"], doc["image_hashes"]) if ours else doc_id), prompt)
            if key not in shown:
                shown[key] = shown_parts(doc, prompt) if ours else [*doc_to_visual(doc), prompt]
            asked.setdefault(key, []).append(place)
            # which repeats are asked together tells their draws from those of the others
            draws.setdefault(key, []).append(tuple(doc.get(name) for name in ("item_id", "order", "repeat")))
        results: list[EngineResult | None] = [None] * len(requests)
        for key in list(asked):
            if refused := self._refused(shown[key]):
                for place in asked.pop(key):
                    results[place] = refused
        stop: StoppedError | None = None
        # the seed of the chunk, so that equal questions of two chunks draw apart
        seed = torch.initial_seed() % 2**31
        for count in sorted({len(places) for places in asked.values()}):
            alike = {key: places for key, places in asked.items() if len(places) == count}
            questions = [Question(tuple(shown[key]), repr(draws[key])) for key in alike]
            try:
                answers: Sequence[list[Answer] | None] = self._answer(questions, requests[0].args[1], count, seed)
            except StoppedError as error:
                answers, stop = error.answers, error
            for places, drawn in zip(alike.values(), answers, strict=True):
                for place, answer in zip(places, drawn or (), strict=drawn is not None):
                    results[place] = result_of(answer)
            if stop:
                raise StoppedError(stop.why, results)
        return [result for result in results if result is not None]

    def _refused(self, parts: list[Any]) -> EngineResult | None:
        count = sum(not isinstance(part, str) for part in parts)
        if self.max_images is None or count <= self.max_images:
            return None
        return result_of(Answer("", error=f"{REFUSED}{count} images, and judging.max_images is {self.max_images}"))

    def _prompt(self, request: Instance, doc: dict[str, Any]) -> str:
        # a verdict that is weighed is always the one that a format's sentence opens
        format_ = self.engine.format or (PLAIN if request.args[1].get("weigh_verdict") else None)
        if format_ and len(doc.get("shown", ())) == 2:
            return format_.ask(doc["query"], *doc["shown"])
        return str(request.args[0])

    def _answer(
        self, questions: list[Question], kwargs: dict[str, Any], count: int, seed: int
    ) -> Sequence[list[Answer] | None]:

        def done(questions: int) -> None:
            self.told(questions * count)

        if kwargs.get("weigh_verdict"):
            return [answer.again(count) for answer in self.engine.weigh(questions, done)]
        limit, stop = int(kwargs.get("max_new_tokens", 1024)), tuple(kwargs.get("until") or ())
        temperature = float(kwargs.get("temperature") or 0) if kwargs.get("do_sample") else 0.0
        if temperature == 0:
            # a greedy answer is the same however often it is asked
            greedy = Decoding(limit, stop=stop)
            return [drawn.again(count) for (drawn,) in self.engine.answer(questions, greedy, done=done)]
        decoding = Decoding(limit, temperature, float(kwargs.get("top_p") or 1), count, stop)
        return self.engine.answer(questions, decoding, seed, done)


def result_of(answer: Answer) -> EngineResult:
    """Return an answer as lmms-eval takes it."""
    counts = None if answer.tokens is None else TokenCounts(answer.prompt_tokens, answer.tokens)
    return EngineResult(answer.text, counts, answer.p_first, answer.error, answer.requests)


class HarnessJudge(EngineModel):
    """A checkpoint of ours in this process, for lmms-eval's own command line."""

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
        from harness.engines.transformers_engine import TransformersEngine

        settings = JudgeSettings(
            model=pretrained, revision=revision, max_pixels=max_pixels, trust_remote_code=trust_remote_code
        )
        super().__init__(TransformersEngine(settings, resolved(precision), int(batch_size)))


def manifest() -> Any:
    """Register the judge with lmms-eval (entry point group `lmms_eval.models`)."""
    from lmms_eval.models.registry_v2 import ModelManifest

    return ModelManifest(model_id="harness_judge", simple_class_path="harness.evaluate.engine_model.HarnessJudge")
