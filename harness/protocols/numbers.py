"""Scores of two responses in one answer."""

import re

_NUMBER = re.compile(r"\d+")
_LIST = re.compile(r"\[\s*(\d{1,3}(?:\.\d+)?)\s*,\s*(\d{1,3}(?:\.\d+)?)\s*\]")


def two_numbers(text: str) -> tuple[int, int]:
    """Read the last two whole numbers as VLRMBench's script does, quirks and all; what is missing is 0.

    "7.5" is two numbers, and what follows the scores is read too.
    """
    # no score has many digits, and Python reads no number of thousands of them
    found = [int(digits[-9:]) for digits in _NUMBER.findall(text)[-2:]]
    first, second = (*found, 0, 0)[:2]
    return first, second


def listed(text: str) -> tuple[float, float] | None:
    """Read the last `[7, 5]`; None if there is none."""
    found = _LIST.findall(text)
    return (float(found[-1][0]), float(found[-1][1])) if found else None
