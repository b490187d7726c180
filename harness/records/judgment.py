"""A judgment: what a judge said of one item in one presentation, and what was read from it."""

import hashlib
import json
from collections.abc import Sequence
from typing import Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, Field

Verdict = Literal["first", "second", "tie"]
"""Which of the two responses *shown* is better."""

Reading = Verdict | Literal["unparsed", "error"] | int | float | tuple[int, ...]
"""What was read from an answer: a verdict, a number, or an order from best to worst of the places shown.

A number is a grade, a reward, or the number of an answer that was not shown.

`unparsed` (an answer in which nothing can be read) and `error` (no answer) are outcomes in their
own right: never a random choice, never a silent zero.
"""


class Presentation(NamedTuple):
    """One showing of one item: which responses, in which order, and which repeat."""

    item_id: str
    order: tuple[int, ...]
    """Places in `Item.responses`, as they are shown."""
    repeat: int


def shown_hash(question: str, responses: Sequence[str]) -> str:
    """Hash a question and responses in the order in which they are shown."""
    return hashlib.sha256(json.dumps([question, *responses]).encode()).hexdigest()[:8]


PLACEHOLDERS = ("{first}", "{second}", "{third}", "{fourth}")
"""What stands in a judge's words for the responses, in the order in which they are shown."""


def words_hash(words: str) -> str:
    """Hash the words in which a judge is asked, as `TaskRecord.prompts` keeps them."""
    return hashlib.sha256(words.encode()).hexdigest()[:12]


class Judgment(BaseModel):
    """One answer of a judge to one presentation of an item."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    item_id: str
    seed: int
    """Training seed of the judge."""
    order: tuple[int, ...]
    """Which of the item's responses were shown, in this order."""
    repeat: int = 0
    shown: str | None = None
    """`shown_hash` of what was asked, so that an order that is changed later is noticed; None in older records."""
    text: str
    """The answer as it came, unchanged."""
    reading: Reading
    p_first: float | None = Field(default=None, ge=0, le=1, allow_inf_nan=False)
    """P(the response shown first is better) among the two verdicts, where the backend gives it."""
    tokens: int | None = None
    """Tokens the answer took, where known."""
    prompt_tokens: int | None = None
    """Tokens that were read for it, images included; 0 where another answer to the same request has them.

    None where it is not known, as in older records; so is `requests`.
    """
    requests: int | None = None
    """Requests that it took, those that failed included; 0 where another answer has them."""
    seconds: float | None = None
    """Wall time of the answer's chunk divided by the chunk's size; None where it was judged elsewhere."""
    error: str | None = None
    """Why there is no answer, in one line; None unless `reading` is `error`."""

    @property
    def chosen(self) -> int | None:
        """Place of the preferred response in the file's order; None without a verdict or on a tie."""
        if self.reading not in ("first", "second"):
            return None
        return self.order[int(self.reading == "second")]

    @property
    def ranking(self) -> tuple[int, ...] | None:
        """The order read, from best to worst, as places in the file; None if none was."""
        return tuple(self.order[place] for place in self.reading) if isinstance(self.reading, tuple) else None

    @property
    def number(self) -> int | float | None:
        """The number read: a grade, a reward, or that of an answer not shown; None if none was."""
        return self.reading if isinstance(self.reading, int | float) else None

    @property
    def read(self) -> bool:
        """Whether anything was read."""
        return self.reading not in ("unparsed", "error")

    @property
    def presentation(self) -> Presentation:
        """What was shown."""
        return Presentation(self.item_id, self.order, self.repeat)

    @property
    def key(self) -> tuple[int, Presentation]:
        """What makes this judgment one and the same in a run."""
        return self.seed, self.presentation
