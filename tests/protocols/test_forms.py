"""A judge's own form of verdict: answers in the shape of the published judges', and a record that was bent."""

import time
from typing import Any

import pytest

from harness.errors import DataError
from harness.protocols.forms import find_reader, reader_in, recorded_form
from harness.published_judges import VerdictForm
from harness.registry import content_roots, load_judge


def form_of(name: str) -> VerdictForm:
    form = load_judge(name, content_roots()).verdict
    assert form is not None
    return form


@pytest.mark.parametrize(
    ("answer", "reading"),
    [
        ("<think>Response 1 names 2 dogs.</think><answer>1</answer>", "first"),
        ("<think>...</think><answer>\n2 </answer>", "second"),
        ("<answer>2</answer> or rather <answer>1</answer>", "second"),
        # without both tags the last 1 or 2 counts, as in the authors' script
        ("<think>Response 1 is right. Response 2 is not.</think>", "second"),
        ("<think>Response 2 is wrong, so <answer>1", "first"),
        ("<answer>both</answer> 1", "unparsed"),
        ("no digits at all", "unparsed"),
    ],
)
def test_r1_reward(answer: str, reading: str) -> None:
    assert reader_in(form_of("r1-reward"))(answer, 2) == reading


@pytest.mark.parametrize(
    ("answer", "reading"),
    [
        ("1. Accuracy: Answer 1 says more. Therefore Answer 2 is better.", "second"),
        ("Answer 1 is better in style, and Answer 1 is better overall.", "first"),
        ("Answer 1 is better in style. Overall, Answer 2 is better.", "unparsed"),
        ("answer 1 is better", "unparsed"),
        ("Answer 3 is better", "unparsed"),
    ],
)
def test_unified_reward(answer: str, reading: str) -> None:
    assert reader_in(form_of("unified-reward"))(answer, 2) == reading


def test_the_longer_of_two_names_is_read_and_marks_are_no_patterns() -> None:
    form = VerdictForm.model_validate(
        {"sentences": [{"form": "[{verdict}]", "take": "last"}], "first": ["A", "A+"], "second": ["B"]}
    )
    read = reader_in(form)
    assert [read(text, 2) for text in ("[A+]", "[B] no, [A]", "A", "[ B ]")] == ["first", "first", "unparsed", "second"]


def test_a_hostile_answer_is_read_in_time() -> None:
    read, started = reader_in(form_of("r1-reward")), time.monotonic()
    for text in ("<answer>" * 50_000, "<answer>" + " " * 400_000 + "x", ("<answer>" + " " * 50) * 8_000):
        assert read(text, 2) == "unparsed"
    assert time.monotonic() - started < 5


def test_other_readers_are_as_they_were() -> None:
    read = find_reader("strict", form_of("r1-reward"))
    assert read("Overall Judgment: Answer 1 is better. <answer>2</answer>", 2) == "first"


@pytest.mark.parametrize(
    ("verdict", "field"),
    [
        ({"sentences": []}, "sentences"),
        ({"sentences": [{"form": "1", "take": "last"}]}, "sentences.0.form"),
        ({"sentences": [{"form": "{verdict}" + "x" * 200, "take": "last"}]}, "sentences.0.form"),
        ({"sentences": [{"form": "{verdict}", "take": "any"}]}, "sentences.0.take"),
        ({"sentences": [{"form": "{verdict}", "take": "last"}], "second": ["1"]}, "second"),
        ("a text", ""),
    ],
)
def test_what_is_no_form_in_a_record_is_named(verdict: Any, field: str) -> None:
    with pytest.raises(DataError) as caught:
        recorded_form({"published": {"verdict": verdict}})
    assert f"published.verdict{'.' + field if field else ''}:" in str(caught.value)


def test_a_record_without_a_published_judge_has_no_form() -> None:
    assert recorded_form({}) is None
    assert recorded_form({"published": {"head": "value-head"}}) is None
