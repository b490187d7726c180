"""The tutorial, followed word by word: it trains, and runs beside the other pages (`tests/test_readme.py`)."""

from pathlib import Path

from tests.blocks import hold
from tests.test_readme import TUTORIAL


def test_the_tutorial_works_as_it_stands(tmp_path: Path) -> None:
    hold(TUTORIAL, tmp_path)
