import re
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.parsers import VERDICTS, Made, made_answers
from harness.protocols.reading import READERS, read_grade, read_letters, read_official, read_order, read_strict

CASES = [
    # answer, strict, official
    ("Overall Judgment: Answer 1 is better.", "first", "first"),
    ("**Overall Judgment**: Answer 2 is better.", "second", "second"),
    ("overall judgment: answer 2 is better.", "second", "second"),
    ("Overall Judgment: Answer 1 is slightly better.", "first", "first"),
    ("Overall Judgement: Answer 1 is clearly better.", "first", "unparsed"),
    ("Answer 2 is much better.", "second", "unparsed"),
    ("Therefore, Answer 1 is the better.", "first", "first"),
    (
        "Overall Judgment: Answer 1 is better than Answer 2. Answer 2 is better only in style.",
        "first",
        "second",
    ),
    ("Answer 1 is better. On reflection, Answer 2 is better.", "second", "unparsed"),
    ("Answer 2 is worse than Answer 1.", "first", "unparsed"),
    ("Answer 1 is not better.", "unparsed", "unparsed"),
    ("Overall Judgment: Answer 1 is better and Answer 2 is better.", "unparsed", "second"),
    ("Overall Judgment: Answer 3 is better.", "unparsed", 3),
    ("Overall Judgment: Answer 12 is better.", "unparsed", 12),
    ("Overall Judgment: Answer 1", "first", "unparsed"),
    ("Final verdict: 2", "second", "unparsed"),
    ("Both answers are equally good.", "unparsed", "unparsed"),
    ("", "unparsed", "unparsed"),
    (
        "Accuracy: Answer 2 is better.\nOverall Judgment: Answer 1 is better for these reasons.",
        "first",
        "first",
    ),
    (
        "1. Accuracy: Answer 2 is better.\nOverall Judgment: Answer 1 is better in its accuracy and completeness.",
        "first",
        "first",
    ),
    ("Neither answer 1 nor answer 2 is better.", "unparsed", "unparsed"),
    ("I do not think Answer 1 is better.", "unparsed", "unparsed"),
    ("It is unclear whether Answer 1 is better.", "unparsed", "unparsed"),
    ("I don't believe Answer 2 is better.", "unparsed", "unparsed"),
    ("Overall judgment: 2 out of 4 criteria favour the first.", "unparsed", "unparsed"),
    ("1. Accuracy: Answer 1 is better.\n2. Comp", "unparsed", "unparsed"),
    ("The better answer is Answer 2.", "second", "unparsed"),
    ("Answer 1 is better in style. Answer 2 is better.", "second", "unparsed"),
    ("It isn’t clear that Answer 2 is better.", "unparsed", "unparsed"),
    ("Verdict - 1.5 points", "unparsed", "unparsed"),
    ("In terms of clarity, Answer 1 is better.", "unparsed", "unparsed"),
    ("Answer 1 is better than Answer 2 in accuracy. Overall, both are similar.", "unparsed", "unparsed"),
    ("Although Answer 1 is better in style, Answer 2 is better overall.", "second", "unparsed"),
    ("Answer 1 is better than Answer 2? No.", "unparsed", "unparsed"),
    ("Answer 1 is better if the photo is old.", "unparsed", "unparsed"),
    ("Answer 1 is better than expected.", "unparsed", "unparsed"),
    ("Some people say Answer 1 is better.", "unparsed", "unparsed"),
    ("I cannot name a winner: Answer 1, perhaps.", "unparsed", "unparsed"),
    ("Adding up, the final answer: 2.", "unparsed", "unparsed"),
    ("Answer 1 is better. Its final answer is right.", "first", "unparsed"),
    ("Therefore, Answer 0000000000002 is better.", "second", "second"),
    (f"Therefore, Answer {'9' * 5000} is better.", "unparsed", 10**9),
]


@pytest.mark.parametrize(("answer", "strict", "official"), CASES)
def test_readers(answer: str, strict: str, official: str) -> None:
    assert read_strict(answer) == strict
    assert read_official(answer) == official


@given(st.text())
def test_readers_never_fail_and_never_guess(text: str) -> None:
    for reader in (read_strict, read_official):
        assert reader(text) in ("first", "second", "unparsed")
    for reader in READERS.values():
        for shown in (1, 2, 4):
            reader(text, shown)
    if "1" not in text and "2" not in text and not any(c.isdigit() for c in text):
        assert read_strict(text) == "unparsed"


@given(
    st.text(st.characters(exclude_categories=["Nd", "Nl", "No", "Cs"]), max_size=60),
    st.sampled_from([("first", 1), ("second", 2)]),
)
def test_a_closing_verdict_is_read_whatever_comes_before(rationale: str, case: tuple[str, int]) -> None:
    reading, number = case
    assert read_strict(f"{rationale}\n\nOverall Judgment: Answer {number} is better.") == reading


@settings(max_examples=3000)
@given(made_answers())
def test_strict_returns_no_verdict_that_the_answer_does_not_state(made: Made) -> None:
    assert read_strict(made.text) in ({1: "first", 2: "second"}.get(made.says or 0), "unparsed")


@settings(max_examples=500)
@given(made_answers())
def test_no_reader_fails_on_an_answer(made: Made) -> None:
    for name, reader in READERS.items():
        reading = reader(made.text, 2)
        # two-numbers takes any number for a score, as its authors do
        assert reading == "unparsed" or name in (*IN_WORDS, "official", "two-numbers"), made


IN_WORDS = ("strict", "letters", "official-letters", "json", "scores")
"""Readers that read a verdict in words where its own form is not there."""


@pytest.mark.parametrize("words", VERDICTS)
@pytest.mark.parametrize("number", [1, 2])
def test_every_wording_of_a_verdict_is_read(words: str, number: int) -> None:
    rationale = "1. Accuracy: Answer 1 is better.\n2. Clarity: Answer 2 is better.\nAnswer 2 is longer.\n\n"
    assert read_strict(rationale + words.format(n=number, m=3 - number)) == ("first", "second")[number - 1]


PUBLISHED = re.compile(
    r"(?:Overall Judgment|Therefore)\s*.*\s*-*\s*Answer\s*(\d+)\s*is\s*(?:the\s*)?(?:slightly\s*)?better", re.IGNORECASE
)


@settings(max_examples=2000)
@given(
    st.lists(
        st.sampled_from(
            [
                *("Overall Judgment", "Therefore", "Answer", "answer 1", " 2", "12", " is", " the", " slightly"),
                *(" better", " ", "\n", "-", "*", ":", "\r", "Answer 2 is better", "Answer 1 is the better"),
            ]
        ),
        max_size=14,
    )
)
def test_official_reads_what_the_published_pattern_reads(parts: list[str]) -> None:
    text = "".join(parts)
    match = PUBLISHED.search(text.replace("\n", "").replace("*", ""))
    expected = {1: "first", 2: "second"}.get(int(match[1]), int(match[1])) if match else "unparsed"
    assert read_official(text) == expected


@pytest.mark.parametrize("reader", list(READERS))
@pytest.mark.parametrize(
    "text",
    [
        "Therefore" + " " * 5000,
        "winner" + " " * 5000 + "x",
        "Overall Judgment: Answer" + "-" * 5000,
        "Answer 1 is " + "the " * 2000,
        "Answer 1 is better " * 300,
        "[[" * 2000,
    ],
    ids=lambda text: text[:12],
)
def test_an_answer_that_repeats_itself_is_read_in_no_time(reader: str, text: str) -> None:
    started = time.process_time()
    READERS[reader](text, 4)
    # a pattern that looks back over every blank takes hours
    assert time.process_time() - started < 2


@pytest.mark.parametrize(
    ("answer", "letters", "grade", "order"),
    [
        ("[[A]]", "first", "unparsed", "unparsed"),
        ("First [[A]], but then [[B]].", "second", "unparsed", (0, 1)),
        ("[[C]]", "tie", "unparsed", "unparsed"),
        ("Overall Judgment: Answer 2 is better.", "second", "unparsed", "unparsed"),
        ("[[4]]", "unparsed", 4, "unparsed"),
        ("[[6]] [[٣]]", "unparsed", "unparsed", "unparsed"),
        ('{"Judgement": "[[B], [A]]"}', "unparsed", "unparsed", (1, 0)),
        ("[[B]], [[A]] is my judgement.", "first", "unparsed", (1, 0)),
        ("[[A]] and [[B]] are shown. Judgement: none.", "second", "unparsed", "unparsed"),
        ("Judgement: [[A]] [[A]]", "first", "unparsed", "unparsed"),
    ],
)
def test_letters_grades_and_orders(answer: str, letters, grade, order) -> None:
    assert (read_letters(answer), read_grade(answer), read_order(answer, 2)) == (letters, grade, order)
