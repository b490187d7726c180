"""Our judge as an lmms-eval model: `--model harness_judge --model_args pretrained=CHECKPOINT`."""

from typing import Any

from lmms_eval.api.instance import GenerationResult, Instance, TokenCounts
from lmms_eval.api.model import lmms

from harness.config import JudgeSettings
from harness.judge.model import Decoding, Judge, Question


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
        pretrained: str = "embedded:judge",
        revision: str | None = None,
        dtype: str = "float32",
        batch_size: int | str = 128,
        max_new_tokens: int | None = None,
        max_pixels: int | None = None,
        trust_remote_code: bool = False,
        device: str | None = None,
        **_: Any,
    ) -> None:
        super().__init__()
        settings = JudgeSettings(
            model=pretrained, revision=revision, max_pixels=max_pixels, trust_remote_code=trust_remote_code
        )
        self.judge = Judge(settings, dtype)
        self.max_new_tokens = max_new_tokens
        self.batch_size = int(batch_size) if str(batch_size).isdigit() and int(batch_size) > 1 else 128
        self.seed = 0

    def generate_until(self, requests: list[Instance]) -> list[JudgeResult]:
        """Answer the requests; those that ask the very same thing share their encoding."""
        questions, kwargs = [], {}
        for request in requests:
            context, kwargs, doc_to_visual, doc_id, task, split = request.args
            doc = self.task_dict[task][split][doc_id]
            prompt = context
            if self.judge.format and {"query", "first", "second"} <= set(doc):
                prompt = self.judge.format.ask(doc["query"], doc["first"], doc["second"])
            questions.append(Question(doc_to_visual(doc)[0], prompt))
        temperature = float(kwargs.get("temperature") or 0) if kwargs.get("do_sample") else 0.0
        limit = self.max_new_tokens or kwargs.get("max_new_tokens", 1024)
        decoding = Decoding(limit, temperature, float(kwargs.get("top_p") or 1))
        answers = self.judge.answer(questions, decoding, self.batch_size, self.seed)
        results = []
        for drawn in answers:
            result = JudgeResult(drawn[0].text, TokenCounts(output_tokens=drawn[0].tokens))
            result.p_first = drawn[0].p_first
            results.append(result)
        return results

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
