"""Sentences are folded between words, and a figure stays with its unit and its interval whole."""

import pytest

from harness.sheets.folding import folded

SENTENCE = (
    "carevl against distill: better, +15.3 points of accuracy, 95 % interval [+12.1, +18.6], p < 0.001. "
    "All 12 cells together: 57 min 12 s, on 80 GiB."
)
WHOLE = ("+15.3 points", "95 %", "[+12.1, +18.6]", "57 min", "12 s", "80 GiB")


@pytest.mark.parametrize("width", range(30, 121))
def test_a_figure_stays_with_its_unit_and_an_interval_is_whole(width: int) -> None:
    lines = folded(SENTENCE, width).splitlines()
    assert " ".join(lines) == SENTENCE
    assert max(map(len, lines)) <= width
    for part in WHOLE:
        assert any(part in line for line in lines), lines
