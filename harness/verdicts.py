"""A judge asked about responses of one's own: which is best, how sure it is, and what it said.

Every two responses are shown in both orders. A response's score is the mean probability, over orders and over the other
responses, that it is the better one; an answer in which no verdict is read counts as one half. A judge with a reward
head scores each response by itself. The best is the one with the largest score, and none where two share it: chance
decides nothing.
"""

import io
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import permutations
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple

from harness.data.images import image_bytes, image_list
from harness.data.tables import Field, checked_rows, identifier, read_rows, speech
from harness.engines.engine import Answer, Decoding, Done, Question, StoppedError, nobody, open_engine
from harness.errors import DataError, HarnessError
from harness.judge.format import PLAIN, load_reward_format
from harness.judge.published import named_judge
from harness.precision import resolved
from harness.records import Reading
from harness.records.content import filled, mark, marked
from harness.settings import JudgingSettings

LONGEST = 2048
"""Tokens an answer may have where the settings do not say."""


class Asked(NamedTuple):
    """Responses to one question, about an image or several or none."""

    id: str
    image: bytes | None
    """The encoded image before the question; None where there is none, or images are marked."""
    question: str
    """Like a response, it may mark where some of `images` stand (`harness.records.content`)."""
    responses: tuple[str, ...]
    images: tuple[bytes, ...] = ()
    """The encoded images that are marked."""

    @property
    def pictures(self) -> tuple[bytes, ...]:
        """All that it shows."""
        return self.images if self.image is None else (self.image,)


_PLACE = re.compile(r"<image_(\d+)>")


def asked_of(id_: str, images: Sequence[bytes], question: str, responses: Sequence[str]) -> Asked:
    """Make what is asked of texts in which `<image_1>` is the first of `images`; those without a place come first.

    Raises:
        ValueError: if a text has a place for an image that there is not.
    """

    def placed(found: re.Match[str]) -> str:
        number = found[1]
        if len(number) > 4 or not 1 <= int(number) <= len(images):
            raise ValueError(f"{found[0][:20]} is the place of no image; there {told}")
        return mark(int(number) - 1)

    told = "is 1" if len(images) == 1 else f"are {len(images)}"
    if len(images) == 1 and not any(map(_PLACE.search, (question, *responses))):
        return Asked(id_, images[0], question, tuple(responses))
    if images:
        question, *responses = (_PLACE.sub(placed, text) for text in (question, *responses))
    taken = {place for text in (question, *responses) for place in marked(text, len(images))}
    before = "".join(f"{mark(place)}\n" for place in range(len(images)) if place not in taken)
    return Asked(id_, None, before + question, tuple(responses), tuple(images))


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


Picture = bytes | str | Path
"""An encoded image, or its file."""


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

    def judge(self, image: Picture | Sequence[Picture], question: str, responses: Sequence[str]) -> Verdict:
        """Judge the responses to one question.

        Args:
            image: an encoded image, or its file; or a list of them, which may be empty.
            question: about it. In question and responses `<image_1>` is the place of the first image of a list, and
                images without a place come before the question.
            responses: two or more.

        Raises:
            ValueError: if there are fewer than two responses, an image cannot be read, or a place has none.
            HarnessError: if the judge cannot read what is shown.
        """
        if len(responses) < 2:
            raise ValueError("a judge compares two responses or more")
        several = [image] if isinstance(image, bytes | str | Path) else image
        data = [image_bytes(one if isinstance(one, bytes) else Path(one).read_bytes()) for one in several]
        return self.judge_all([asked_of("", data, question, responses)])[0]

    def judge_all(self, asked: Sequence[Asked], done: Done = nobody) -> list[Verdict]:
        """Judge many at once.

        Args:
            asked: each has two responses or more.
            done: is told how many more answers there are.

        Raises:
            StoppedError: if the engine gives up; it holds the verdicts on what was answered whole.
            HarnessError: if one shows more images than `judging.max_images`, or in responses to a judge that reads
                none there.
        """
        most = self.settings.max_images
        for one in asked:
            named = f"question {one.id!r}" if one.id else "the question"
            if most is not None and len(one.pictures) > most:
                fix = "Raise the limit, or take it out."
                raise HarnessError(f"{named} has {len(one.pictures)} images, and judging.max_images is {most}.", fix)
            if self.rewards and any(marked(text, len(one.images)) for text in one.responses):
                fix = "Ask a judge that writes its verdicts."
                raise HarnessError(f"{named} has images in responses, and this judge reads none there.", fix)
        return self._rewarded(asked, done) if self.rewards else self._answered(asked, done)

    def _answered(self, asked: Sequence[Asked], done: Done) -> list[Verdict]:
        named = self._named
        format_, read = named.format or self._engine.format or PLAIN, named.read
        longest = self.settings.max_new_tokens or named.max_new_tokens or LONGEST
        shown = [(one, order) for one in asked for order in _orders(one)]
        images = {id(one): list(map(opened, one.pictures)) for one in asked}
        questions = [
            Question(_shown(one, images[id(one)], format_.ask(one.question, *(one.responses[p] for p in order))))
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

        format_ = self._engine.format
        questions = [_shown(one, list(map(opened, one.pictures)), format_.ask(one.question)) for one in asked]
        owed = [
            Response(question, text) for question, one in zip(questions, asked, strict=True) for text in one.responses
        ]
        rewards = iter(self._engine.rewards(owed, done))
        return [Verdict(one.id, tuple(next(rewards) for _ in one.responses)) for one in asked]


def _shown(asked: Asked, images: Sequence[Any], text: str) -> tuple[Any, ...]:
    """Return what is shown with a text: an image before it, or its pieces and images as they are marked."""
    return (*images, text) if asked.image is not None else tuple(filled(text, images))


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
    "image": Field(image_bytes, "a readable image", optional=True),
    "images": Field(image_list, "a list of readable images", optional=True),
    "question": Field(speech, "a non-empty string"),
    "responses": Field(texts, "a list of two or more non-empty strings"),
}
ALIASES = {"image_path": "image", "query": "question", "response": "responses"}


def read_asked(path: Path) -> Iterator[Asked]:
    """Read what is to be judged: JSONL or parquet, a row a question.

    A row has `image`, `question` and `responses`, or in place of these `chosen` and `rejected`; an `id`, or else its
    number is taken. In place of `image` it may have a list `images`, with places `<image_1>` in its texts, or an empty
    one. VL-RewardBench's own fields (`query`, `response`) are read too.

    Raises:
        DataError: naming file, row, field, value and fix.
    """

    def rows() -> Iterator[dict[str, Any]]:
        for number, row in enumerate(read_rows(path), 1):
            named = {"id": str(number)} | {key: value for key, value in row.items() if value is not None}
            if "chosen" in named and "rejected" in named and not {"responses", "response"} & set(named):
                named["responses"] = [named["chosen"], named["rejected"]]
            if ("images" in named) == bool({"image", "image_path"} & set(named)):
                told = "both 'image' and 'images'" if "images" in named else "no field 'image'"
                fix = "A row has one image, or a list `images`, which may be empty."
                raise DataError(f"{path.name}, row {number}: {told}.", fix)
            yield named

    for row in checked_rows(rows(), FIELDS, path.name, path.parent, ALIASES, images=("image", "images")):
        images = row["images"] if row["image"] is None else [row["image"]]
        try:
            yield asked_of(row["id"], images, row["question"], row["responses"])
        except ValueError as error:
            raise DataError(f"{path.name}, id {row['id'][:60]!r}: {error}.", "Number places from 1.") from None


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
