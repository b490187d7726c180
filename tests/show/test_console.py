"""What is said of a stage under way where there is no terminal: a line now and then, and none of a short stage."""

import io
import sys

import pytest

from harness.records.run import StageRecord
from harness.show.console import EVERY, RunConsole, Screen


class Clock:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def lines(out: io.StringIO) -> list[str]:
    return out.getvalue().splitlines()


def test_a_long_stage_says_how_far_it_is_and_a_short_one_nothing() -> None:
    out, clock = io.StringIO(), Clock()
    # not entered, it has no thread that tells by itself
    screen = RunConsole(Screen(file=out, width=120), clock=clock)
    progress = screen.begin("judge vlrewardbench", 0)
    for _ in range(int(EVERY) - 1):
        clock.now += 1
        screen.tell()
    assert out.getvalue() == ""
    clock.now += 1
    screen.tell()
    screen.tell()
    assert lines(out) == ["  judge vlrewardbench seed 0: begun, 30.0 s so far"]
    progress.total(2500, "answers")
    for _ in range(6):
        clock.now += 10
        progress.advance(100)
        screen.tell()
    assert lines(out)[1:] == [
        "  judge vlrewardbench seed 0: 300 of 2,500 answers, about 3 min 40 s left",
        "  judge vlrewardbench seed 0: 600 of 2,500 answers, about 3 min 10 s left",
    ]
    assert screen.where() == "judge vlrewardbench seed 0: 600 of 2,500 answers"
    # the next stage has its own half minute
    clock.now += EVERY - 1
    screen.begin("sft", 1)
    clock.now += 2
    screen.tell()
    assert len(lines(out)) == 3
    screen.end(StageRecord(stage="sft", seed=1, key="", cached=False, seconds=2, peak_mb=1, info={"rows": 8}))
    clock.now += 10 * EVERY
    screen.tell()
    assert len(lines(out)) == 4
    assert screen.where() == ""


@pytest.mark.parametrize("width", [60, 80, 120])
def test_what_a_stage_took_stands_on_its_line(width: int) -> None:
    out = io.StringIO()
    screen = RunConsole(Screen(file=out, width=width), clock=Clock())
    for cached in (True, False):
        screen.end(StageRecord(stage="sft", seed=1, key="", cached=cached, seconds=83, peak_mb=1, info={"rows": 4800}))
    assert [line.split("rows")[1].strip() for line in lines(out)] == ["from the cache", "1 min 23 s"]


@pytest.mark.parametrize("terminal", [True, False])
def test_a_sentence_is_folded_in_a_terminal_and_one_line_in_a_log(terminal: bool) -> None:
    out, sentence = (
        io.StringIO(),
        "The lower end of the interval, +12.1, is above the margin, -2.0, and above zero: better.",
    )
    Screen(file=out, width=60, force_terminal=terminal, color_system=None).say(sentence)
    assert " ".join(lines(out)) == sentence
    assert (max(map(len, lines(out))) <= 60) == terminal


def test_what_libraries_print_does_not_reach_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    out = io.StringIO()
    with RunConsole(Screen(file=out, width=120, force_terminal=True), clock=Clock()) as screen:
        screen.begin("judge", None)
        print("Loading weights: 100%", file=sys.stderr)
        print("a note of a library")
    assert "Loading" not in out.getvalue()
    assert "library" not in out.getvalue()
    assert "Loading weights" in capsys.readouterr().err


def test_a_bar_that_is_given_another_total_begins_anew() -> None:
    with RunConsole(Screen(file=io.StringIO()), clock=Clock()) as screen:
        progress = screen.begin("judge toy", 0)
        progress.total(10, "captions")
        progress.advance(10)
        progress.total(40, "answers")
        assert screen.where() == "judge toy seed 0: 0 of 40 answers"
