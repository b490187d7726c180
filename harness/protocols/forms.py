"""Reads verdicts in the form that a published judge writes them in (`harness/published_judges.py`)."""

import re
from collections.abc import Callable, Mapping
from typing import Any

from pydantic import ValidationError

from harness.errors import DataError
from harness.protocols.protocol import Protocol
from harness.protocols.reading import READERS, reader_of
from harness.published_judges import VerdictForm
from harness.records import Reading

Reader = Callable[[str, int], Reading]
"""(answer, number of responses shown) to what was read."""

OWN = "own"
"""The name of the reader that reads a judge's own form."""


def reader_name(protocol: Protocol, task_reader: str, form: VerdictForm | None) -> str:
    """Name the reader of answers: a judge's own form goes before what protocol and task say."""
    return OWN if form else reader_of(protocol, task_reader)


def find_reader(name: str, form: VerdictForm | None) -> Reader:
    """Return the reader called `name`; `OWN` reads `form`."""
    return READERS[name] if form is None or name != OWN else reader_in(form)


def reader_in(form: VerdictForm) -> Reader:
    """Make the reader of a form; what it takes grows with the length of the answer and no faster.

    A sentence that stands there and names neither response says nothing, and the ones after it are not looked for.
    """
    first: Reading = "first"
    readings = dict.fromkeys(form.first, first)
    readings.update(dict.fromkeys(form.second, "second"))
    # of two names the longer first, so that "10" is not read as "1"
    names = "|".join(map(re.escape, sorted(readings, key=len, reverse=True)))
    steps = []
    for sentence in form.sentences:
        opening, closing = sentence.form.split("{verdict}")
        around = r"\s*" if opening or closing else ""
        steps.append((sentence, re.compile(f"{re.escape(opening)}{around}({names}){around}{re.escape(closing)}")))

    def read(text: str, shown: int) -> Reading:
        for sentence, pattern in steps:
            found = [readings[name] for name in pattern.findall(text)]
            if found:
                agree = sentence.take != "agreed" or len(set(found)) == 1
                return found[0 if sentence.take == "first" else -1] if agree else "unparsed"
            if _stands(sentence.form, text):
                return "unparsed"
        return "unparsed"

    return read


def _stands(form: str, text: str) -> bool:
    opening, closing = form.split("{verdict}")
    start = text.find(opening) if opening else -1
    return start >= 0 and bool(closing) and closing in text[start + len(opening) :]


def recorded_form(config: Mapping[str, Any]) -> VerdictForm | None:
    """Find in a run's configuration the form in which its judge writes verdicts; None where it has none of its own.

    Raises:
        DataError: if what stands there is no form.
    """
    given = (config.get("published") or {}).get("verdict")
    if given is None:
        return None
    try:
        return VerdictForm.model_validate(given)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, ("published.verdict", *first["loc"])))
        raise DataError(f"setting {where}: {first['msg']}.", "The record was edited: restore it.") from None
