"""Readers on made-up answers: none crashes, and `strict` returns no verdict that a text does not state.

`HARNESS_EXAMPLES=100000 .venv/bin/python -m pytest tests/protocols/test_reading_properties.py` makes that
many answers for each test; here it is fewer.
"""

import os

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from harness.protocols.reading import READERS, read_official, read_strict

EXAMPLES = int(os.environ.get("HARNESS_EXAMPLES", "500"))
many = settings(max_examples=EXAMPLES, database=None, suppress_health_check=[HealthCheck.too_slow])

NEUTRAL = (
    "The image shows a red car next to a tree.",
    "Both answers mention the car.",
    "Answer 1 is longer.",
    "Answer 2 gives more detail, e.g. the number plate.",
    "There are 2 cars and 1 tree.",
    "On the whole they differ little.",
    "Let me compare the two.",
)
SILENT = (
    "Accuracy: Answer 1 is better.",
    "2. Completeness: Answer 2 is slightly better.",
    "**Relevance**: Answer 1 is the better answer here.",
    "It is not clear that Answer 2 is better.",
    "I cannot say whether Answer 1 is better.",
    "Answer 2 isn't wrong, and I doubt nothing, but if Answer 1 is better depends.",
    "Answer 2 is better in style.",
    "Answer 1 is better only in length.",
    "Neither Answer 1 is better nor Answer 2 is better.",
    "Answer 1 is better and Answer 2 is better.",
    "Answer 7 is better.",
)
"""Sentences from which no overall verdict follows."""
VERDICTS = (
    "Answer {n} is better.",
    "Answer {n} is slightly better.",
    "All in all, Answer {n} is clearly better.",
    "Therefore, answer {n} is the better one.",
    "So Response {n} is superior.",
    "Answer {o} is worse.",
    "I find that **Answer {n}** is much better.",
)
HEADED = (
    "Overall Judgment: Answer {n} is better.",
    "**Overall Judgment**: Answer {n} is slightly better.",
    "Overall judgement:\nAnswer {n} is better.",
    "Verdict: Answer {n}.",
    "Final verdict: {n}",
    "Winner: Answer {n}",
)
pieces = st.sampled_from(NEUTRAL)
silent = st.sampled_from(NEUTRAL + SILENT)
joint = st.sampled_from((" ", "\n", "\n\n"))
number = st.sampled_from((1, 2))
NAMES = {1: "first", 2: "second"}


def put(template: str, n: int) -> str:
    return template.replace("{n}", str(n)).replace("{o}", str(3 - n))


NUMBERS = ("official", "grade", "order", "json", "reward", "pick", "official-pick")
"""Readers that may return a number, or an order."""


@many
@given(st.text(), st.integers(1, 6))
def test_no_reader_crashes_on_any_text(text: str, shown: int) -> None:
    for name, read in READERS.items():
        reading = read(text, shown)
        assert reading in ("first", "second", "tie", "unparsed") or name in NUMBERS


@many
@given(st.lists(st.sampled_from([*"12[]AB*:.\n ", "Answer ", "is ", "better", "Overall Judgment", "worse", "not "])))
def test_no_reader_crashes_on_shreds_of_verdicts(shreds: list[str]) -> None:
    text = "".join(shreds)
    for read in READERS.values():
        read(text, 4)
    if read_strict(text) != "unparsed":
        assert "1" in text or "2" in text
        assert "better" in text or "worse" in text or "Judgment" in text


@many
@given(st.lists(pieces, max_size=5), st.lists(silent, max_size=4), joint)
def test_strict_reads_nothing_where_nothing_is_stated(before: list[str], after: list[str], by: str) -> None:
    assert read_strict(by.join([*before, *after])) == "unparsed"


@many
@given(st.lists(silent, max_size=5), st.sampled_from(VERDICTS), number, st.lists(pieces, max_size=2), joint)
def test_strict_reads_the_last_verdict_stated(before, verdict: str, n: int, after, by: str) -> None:
    assert read_strict(by.join([*before, put(verdict, n), *after])) == NAMES[n]


@many
@given(
    st.lists(silent | st.sampled_from([put(v, n) for v in VERDICTS for n in (1, 2)]), max_size=5),
    st.sampled_from(HEADED),
    number,
    joint,
)
def test_a_closing_header_decides_whatever_stands_before(before: list[str], verdict: str, n: int, by: str) -> None:
    assert read_strict(by.join([*before, put(verdict, n)])) == NAMES[n]


@many
@given(number, st.lists(pieces, max_size=3))
def test_both_readers_agree_on_the_sentence_that_is_asked_for(n: int, before: list[str]) -> None:
    text = "\n".join([*before, f"Overall Judgment: Answer {n} is better."])
    assert read_strict(text) == read_official(text) == NAMES[n]


@pytest.mark.parametrize("text", ["", " ", "Answer", "Overall Judgment:", "[[", "]]", "Answer 1" * 500, "1" * 5000])
def test_odd_texts(text: str) -> None:
    for name, read in READERS.items():
        # any number is a score to two-numbers, as to its authors' script
        assert read(text, 2) == "unparsed" or (name == "two-numbers" and "1" in text)
