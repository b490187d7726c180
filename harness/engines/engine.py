"""What an engine is: questions of texts and images in; texts, P(first) and token counts out."""

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from harness.errors import HarnessError
from harness.judge.format import JudgeFormat
from harness.settings import AnsweringSection, ExpertSettings, JudgeSettings


class Question(NamedTuple):
    """One question: texts and images (`PIL.Image.Image`), in the order they are shown."""

    parts: tuple[Any, ...]
    draw: str = ""
    """Tells its draws from those of an equal question, as the repeats of a presentation are."""

    @property
    def text(self) -> str:
        """Its texts."""
        return "\n".join(part for part in self.parts if isinstance(part, str))

    @property
    def images(self) -> list[Any]:
        """Its images."""
        return [part for part in self.parts if not isinstance(part, str)]

    def digest(self) -> bytes:
        """Hash its texts, the pixels of its images, and its draw."""
        digest = hashlib.sha256(self.draw.encode("utf-8", "surrogatepass"))
        for part in self.parts:
            if isinstance(part, str):
                digest.update(b"\0text" + part.encode("utf-8", "surrogatepass"))
            else:
                digest.update(f"\0image{part.mode}{part.size}".encode() + part.tobytes())
        return digest.digest()


class Decoding(NamedTuple):
    """How answers are drawn; temperature 0 is greedy."""

    max_new_tokens: int
    temperature: float = 0.0
    top_p: float = 1.0
    samples: int = 1
    stop: tuple[str, ...] = ()
    """Texts that end an answer."""


class Answer(NamedTuple):
    """One answer, or why there is none."""

    text: str
    p_first: float | None = None
    """P(first) against P(second) at the token that named the verdict; None where it named none, or no engine tells."""
    tokens: int | None = None
    """Tokens that were written."""
    error: str | None = None
    prompt_tokens: int | None = None
    """Tokens that were read for it, images included; 0 where another answer to the same request has them."""
    requests: int | None = None
    """Requests that it took, those that failed included; 0 likewise."""

    def again(self, count: int) -> "list[Answer]":
        """Give it `count` times, asked once."""
        return [self, *[self._replace(prompt_tokens=0, requests=0)] * (count - 1)]


REFUSED = "refused: "
"""How the error of a question begins that was refused for good, so that --resume does not ask it again."""


class StoppedError(Exception):
    """An engine gives up: why, and for each question its answers, None where there are none."""

    def __init__(self, why: HarnessError, answers: Sequence[Any]) -> None:
        super().__init__(str(why))
        self.why, self.answers = why, answers


Done = Callable[[int], None]
"""Is told how many more questions are done."""


def nobody(count: int) -> None:
    """Tell nobody."""


class Engine(Protocol):
    """Answers questions with one model until it is closed."""

    format: JudgeFormat | None
    """The format that the model's checkpoint brings."""
    independent: bool
    """Whether an answer is the same whatever else is asked with it, so that what is owed may be asked alone."""
    at_once: int
    """Questions that it is best asked at once; a crash costs their answers at most."""

    @property
    def weighs(self) -> bool:
        """Whether it gives P(first) without an answer in words."""

    def answer(
        self, questions: Sequence[Question], decoding: Decoding, seed: int = 0, done: Done = nobody
    ) -> list[list[Answer]]:
        """Answer each question `decoding.samples` times.

        Args:
            questions: what is asked; the result keeps their order. Those that share an image stand side by side.
            decoding: greedy or sampled, and how long an answer may be.
            seed: with a question's content, decides what is drawn for it.
            done: told about progress.

        Raises:
            StoppedError: if the engine gives up; it holds what was answered.
        """

    def weigh(self, questions: Sequence[Question], done: Done = nobody) -> list[Answer]:
        """Return P(first) of each question with no rationale before the verdict.

        An answer's text is the verdict that the larger probability names.

        Raises:
            StoppedError: likewise.
        """

    def close(self) -> None:
        """Give back what it holds: memory, processes, connections."""


class Scorer(Protocol):
    """Scores texts with one reward model until it is closed."""

    def score(self, texts: Sequence[Sequence[int]], done: Done = nobody) -> list[float]:
        """Score texts, given as token ids, [tokens] each; the raw output of the model's head."""

    def close(self) -> None:
        """Give back what it holds."""


def open_engine(judge: JudgeSettings, settings: AnsweringSection, work: Path) -> Engine:
    """Open the engine that `settings` name, with the model that `judge` names.

    Args:
        judge: the model.
        settings: engine, precision and batch size.
        work: folder for logs and what a crash must not lose.

    Raises:
        HarnessError: if it cannot be opened.
    """
    match settings.engine.name:
        case "transformers":
            from harness.engines.transformers_engine import TransformersEngine

            return TransformersEngine(judge, settings.precision, settings.batch_size)
        case "server":
            from harness.engines.server_engine import ServerEngine

            return ServerEngine(settings.engine)
        case "vllm":
            from harness.engines.vllm_engine import VllmEngine

            return VllmEngine(judge, settings.engine, settings.precision, work)
        case "ray":
            from harness.engines.ray_engine import RayEngine

            return RayEngine(judge, settings, work)


def open_scorer(name: str, settings: ExpertSettings, work: Path) -> Scorer:
    """Open the reward model `name`, `NAME[@REVISION]`, in the engine that `settings` name.

    Raises:
        HarnessError: if it cannot be opened, or is no reward model.
    """
    match settings.engine.name:
        case "transformers":
            from harness.engines.transformers_engine import TransformersScorer

            return TransformersScorer(name, settings.precision, settings.batch_size)
        case "server":
            from harness.engines.server_engine import ServerScorer

            return ServerScorer(name, settings.engine, settings.models.index(name), settings.batch_size)
        case "vllm":
            from harness.engines.vllm_engine import VllmScorer

            return VllmScorer(name, settings.engine, settings.precision, settings.batch_size, work)
        case "ray":
            from harness.engines.ray_engine import RayScorer

            return RayScorer(name, settings, work)


def seed_of(question: Question, seed: int) -> int:
    """Derive a question's own seed, in [0, 2**62), so that no two questions share their draws."""
    return int.from_bytes(hashlib.sha256(f"{seed}\0".encode() + question.digest()).digest()[:8], "big") >> 2
