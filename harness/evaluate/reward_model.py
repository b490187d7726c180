"""A judge with a reward head as an lmms-eval model: each response shown is scored, and the scores are the judgment."""

from typing import Any

from lmms_eval.api.instance import Instance

from harness.engines.engine import Answer
from harness.engines.reward_engine import Response, RewardEngine
from harness.evaluate.engine_model import EngineResult, JudgeModel, result_of
from harness.evaluate.hooks import shown_parts
from harness.protocols.stating import by_rewards, logistic


class RewardModel(JudgeModel):
    """Judges by rewards: a response has one, whatever stands beside it and in whichever order."""

    def __init__(self, engine: RewardEngine) -> None:
        super().__init__()
        self.engine = engine

    def generate_until(self, requests: list[Instance]) -> list[EngineResult]:
        """Answer the requests, in their order; each response of a chunk is scored once."""
        docs = [self.shown(request) for request in requests]
        asked: dict[Asked, tuple[Any, ...]] = {}
        for doc in docs:
            if (key := _asked(doc)) not in asked:
                asked[key] = tuple(shown_parts(doc, self.engine.format.ask(doc["query"])))
        owed = {key: Response(asked[key[0]], key[1]) for doc in docs for key in _keys(doc)}
        each, told = len(requests) / len(owed), 0.0

        def done(responses: int) -> None:
            nonlocal told
            before, told = int(told), told + each * responses
            self.told(int(told) - before)

        rewards = dict(zip(owed, self.engine.rewards(list(owed.values()), done), strict=True))
        return [result_of(judgment([rewards[key] for key in _keys(doc)])) for doc in docs]


Asked = tuple[str | None, tuple[str, ...], str]
"""The image before a question, those that it marks, and the question."""


def _asked(doc: dict[str, Any]) -> Asked:
    return doc["image_hash"], tuple(doc["image_hashes"]), doc["query"]


def _keys(doc: dict[str, Any]) -> list[tuple[Asked, str]]:
    """Name the responses that a document shows, by what they answer."""
    return [(_asked(doc), response) for response in doc["shown"]]


def judgment(rewards: list[float]) -> Answer:
    """Judge by rewards; of two responses also P(first), by Bradley and Terry's model, which they were trained by."""
    p_first = logistic(rewards[0] - rewards[1]) if len(rewards) == 2 else None
    return Answer(by_rewards(rewards), p_first)
