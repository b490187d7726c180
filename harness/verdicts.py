"""A judge asked about responses of one's own: which is best, how sure it is, and what it said.

Every two responses are shown in both orders. A response's score is the mean probability, over orders and over the other
responses, that it is the better one; an answer in which no verdict is read counts as one half. A judge with a reward
head scores each response by itself. The best is the one with the largest score, and none where two share it: chance
decides nothing.
"""

import io
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import permutations
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple

from harness.data.images import image_bytes
from harness.data.tables import Field, checked_rows, identifier, read_rows, speech
from harness.engines.engine import Answer, Decoding, Done, Question, StoppedError, nobody, open_engine
from harness.errors import DataError
from harness.judge.format import PLAIN, load_reward_format
from harness.judge.published import named_judge
from harness.precision import resolved
from harness.records import Reading
from harness.settings import JudgingSettings

LONGEST = 2048
"""Tokens an answer may have where the settings do not say."""


class Asked(NamedTuple):
    """Responses to one question about an image."""

    id: str
    image: bytes
    """The encoded image."""
    question: str
    responses: tuple[str, ...]


class Heard(NamedTuple):
    """What a judge answered when two responses were shown."""

    order: tuple[int, int]
    """Places of the response shown first and of the one shown second."""
    text: str
    reading: Reading
    p_first: float | None
    """P(the response shown first is better), where the engine tells."""

    @property
    def p(self) -> float:
        """What the answer says for the response shown first: its probability, or else its verdict."""
        if self.reading not in ("first", "second"):
            return 0.5
        return float(self.reading == "first") if self.p_first is None else self.p_first


@dataclass(frozen=True)
class Verdict:
    """What a judge makes of the responses to one question."""

    id: str
    scores: tuple[float, ...]
    """By response: the mean probability that it is better than another; or its reward, on the judge's own scale."""
    answers: tuple[Heard, ...] = ()
    """What it said; nothing where it gives rewards."""

    @property
    def best(self) -> int | None:
        """Place of the best response; None where several share the largest score."""
        place = max(range(len(self.scores)), key=lambda i: self.scores[i])
        return place if self.scores.count(self.scores[place]) == 1 else None

    @property
    def consistent(self) -> bool:
        """Whether each two responses were judged alike in both orders."""
        by_pair: dict[frozenset[int], set[Any]] = {}
        for heard in self.answers:
            what = heard.order[int(heard.reading == "second")] if heard.reading in ("first", "second") else None
            by_pair.setdefault(frozenset(heard.order), set()).add(what)
        return all(len(found) == 1 and None not in found for found in by_pair.values())

    def row(self) -> dict[str, Any]:
        """Give it as plain data, for a line of JSON."""
        answers = [heard._asdict() | {"order": list(heard.order)} for heard in self.answers]
        about = {"id": self.id, "best": self.best, "scores": list(self.scores)}
        return about | ({"consistent": self.consistent, "answers": answers} if answers else {})


def verdict_of(row: dict[str, Any]) -> Verdict:
    """Read a verdict from the plain data of `Verdict.row`.

    Raises:
        ValueError, KeyError, TypeError: if it is none.
    """
    heard = [
        Heard((one["order"][0], one["order"][1]), one["text"], one["reading"], one["p_first"])
        for one in row.get("answers", ())
    ]
    return Verdict(str(row["id"]), tuple(float(score) for score in row["scores"]), tuple(heard))


class Judge:
    """A checkpoint that is asked; its model is loaded at once, and given back at the end of a `with` block.

    Args:
        model: `run:NAME[:SEED]`, a checkpoint's folder, a hub name, a published judge (`judge:NAME[=FOLDER]`), or
            `embedded:judge`.
        settings: engine, batch size, precision and length of answers.
        work: folder for an engine's logs, where it needs one.
        roots: content folders in which a published judge is looked up; by default those of the harness.

    Raises:
        HarnessError: if there is no such model, or it cannot be loaded.
    """

    def __init__(
        self,
        model: str,
        settings: JudgingSettings | None = None,
        work: Path | None = None,
        roots: Sequence[Path] = (),
    ) -> None:
        settings, named = settings or JudgingSettings(), named_judge(model, roots)
        self.settings = settings.model_copy(update={"precision": resolved(settings.precision)})
        self.fingerprint, self._named = named.fingerprint, named
        self.rewards = named.head is not None or load_reward_format(Path(named.settings.model)) is not None
        """Whether it gives each response a reward, in place of answers about two."""
        self._engine: Any
        if self.rewards:
            from harness.engines.reward_engine import RewardEngine

            size = self.settings.batch_size
            self._engine = RewardEngine(named.settings, self.settings.precision, size, named.head)
        else:
            self._engine = open_engine(named.settings, self.settings, work or Path())

    def __enter__(self) -> "Judge":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Give back the model's memory."""
        self._engine.close()

    def judge(self, image: bytes | str | Path, question: str, responses: Sequence[str]) -> Verdict:
        """Judge the responses to one question.

        Args:
            image: an encoded image, or its file.
            question: about it.
            responses: two or more.

        Raises:
            ValueError: if there are fewer than two responses, or the image cannot be read.
        """
        if len(responses) < 2:
            raise ValueError("a judge compares two responses or more")
        data = image_bytes(image if isinstance(image, bytes) else Path(image).read_bytes())
        return self.judge_all([Asked("", data, question, tuple(responses))])[0]

    def judge_all(self, asked: Sequence[Asked], done: Done = nobody) -> list[Verdict]:
        """Judge many at once.

        Args:
            asked: each has two responses or more.
            done: is told how many more answers there are.

        Raises:
            StoppedError: if the engine gives up; it holds the verdicts on what was answered whole.
        """
        return self._rewarded(asked, done) if self.rewards else self._answered(asked, done)

    def _answered(self, asked: Sequence[Asked], done: Done) -> list[Verdict]:
        named = self._named
        format_, read = named.format or self._engine.format or PLAIN, named.read
        longest = self.settings.max_new_tokens or named.max_new_tokens or LONGEST
        shown = [(one, order) for one in asked for order in _orders(one)]
        images = {id(one): opened(one.image) for one in asked}
        questions = [
            Question((images[id(one)], format_.ask(one.question, *(one.responses[place] for place in order))))
            for one, order in shown
        ]
        stop: StoppedError | None = None
        try:
            drawn = self._engine.answer(questions, Decoding(longest), done=done)
        except StoppedError as stopped:
            drawn, stop = stopped.answers, stopped
        heard: dict[int, list[Heard]] = {id(one): [] for one in asked}
        for (one, order), answers in zip(shown, drawn, strict=True):
            heard[id(one)] += [_heard(order, answer, read(answer.text, 2)) for answer in answers or ()]
        whole = [one for one in asked if len(heard[id(one)]) == len(_orders(one))]
        verdicts = [Verdict(one.id, _scores(len(one.responses), h := heard[id(one)]), tuple(h)) for one in whole]
        if stop:
            raise StoppedError(stop.why, verdicts)
        return verdicts

    def _rewarded(self, asked: Sequence[Asked], done: Done) -> list[Verdict]:
        from harness.engines.reward_engine import Response

        images = [opened(one.image) for one in asked]
        owed = [
            Response((image, self._engine.format.ask(one.question)), text)
            for image, one in zip(images, asked, strict=True)
            for text in one.responses
        ]
        rewards = iter(self._engine.rewards(owed, done))
        return [Verdict(one.id, tuple(next(rewards) for _ in one.responses)) for one in asked]


def _orders(asked: Asked) -> list[tuple[int, int]]:
    """List every two responses in both orders, those of one pair side by side."""
    pairs = permutations(range(len(asked.responses)), 2)
    return sorted(((a, b) for a, b in pairs), key=lambda order: (min(order), max(order), order))


def _heard(order: tuple[int, int], answer: Answer, reading: Reading) -> Heard:
    if answer.error:
        return Heard(order, answer.error, "error", None)
    return Heard(order, answer.text, reading, answer.p_first)


def _scores(responses: int, heard: Sequence[Heard]) -> tuple[float, ...]:
    given: list[list[float]] = [[] for _ in range(responses)]
    for one in heard:
        given[one.order[0]].append(one.p)
        given[one.order[1]].append(1 - one.p)
    return tuple(sum(each) / len(each) for each in given)


def opened(image: bytes) -> Any:
    """Decode an image as judges see it."""
    from PIL import Image

    return Image.open(io.BytesIO(image)).convert("RGB")


def texts(value: Any) -> tuple[str, ...]:
    """Accept a list of two or more texts."""
    if not isinstance(value, list) or len(value) < 2:
        raise ValueError
    return tuple(speech(each) for each in value)


FIELDS = {
    "id": Field(identifier, "a non-empty id"),
    "image": Field(image_bytes, "a readable image"),
    "question": Field(speech, "a non-empty string"),
    "responses": Field(texts, "a list of two or more non-empty strings"),
}
ALIASES = {"image_path": "image", "query": "question", "response": "responses"}


def read_asked(path: Path) -> Iterator[Asked]:
    """Read what is to be judged: JSONL or parquet, a row a question.

    A row has `image`, `question` and `responses`, or in place of these `chosen` and `rejected`; an `id`, or else its
    number is taken. VL-RewardBench's own fields (`query`, `response`) are read too.

    Raises:
        DataError: naming file, row, field, value and fix.
    """

    def rows() -> Iterator[dict[str, Any]]:
        for number, row in enumerate(read_rows(path), 1):
            named = {"id": str(number)} | {key: value for key, value in row.items() if value is not None}
            if "chosen" in named and "rejected" in named and not {"responses", "response"} & set(named):
                named["responses"] = [named["chosen"], named["rejected"]]
            yield named

    for row in checked_rows(rows(), FIELDS, path.name, path.parent, ALIASES):
        yield Asked(row["id"], row["image"], row["question"], row["responses"])


def read_verdicts(path: Path) -> list[Verdict]:
    """Read a file of verdicts; a last line that is torn is left out.

    Raises:
        DataError: naming the line that is none.
    """
    found = []
    lines = path.read_bytes().split(b"\n")
    for number, line in enumerate(lines[:-1], 1):
        try:
            found.append(verdict_of(json.loads(line)))
        except (ValueError, KeyError, TypeError, IndexError, AttributeError) as error:
            told = " ".join(str(error).split())[:80]
            raise DataError(
                f"{path}, row {number}: no verdict ({told}).", "Mend the row, or name another -o."
            ) from None
    return found
