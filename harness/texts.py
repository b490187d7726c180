"""Text of others, made fit to be shown: control, bidirectional and other unseen characters are spelled out."""

import re
import unicodedata
from functools import cache
from typing import Any

OURS = "\N{FIRST STRONG ISOLATE}\N{POP DIRECTIONAL ISOLATE}"
"""What the harness itself puts around a text that runs from right to left."""


def harmless(text: str) -> str:
    """Write text on one line, with every unseen character as a visible escape.

    A word that begins as a CI service's commands do, which it takes from the start of a line, is broken: where a line
    ends is the terminal's choice.
    """
    return _COMMAND.sub(lambda found: f"{found[0][0]} {found[0][1:]}", visible(" ".join(text.split())))


def shortened(value: Any, most: int = 60) -> str:
    """Write a value for a message, in at most so many characters; bytes are not written."""
    if isinstance(value, bytes) or (isinstance(value, dict) and "bytes" in value):
        return "the value"
    shown = repr(value)
    return shown if len(shown) <= most else shown[: most - 3] + "..."


_COMMAND = re.compile(r"(?<!\S)(?:::|##\[)")


def visible(text: str, but: str = "") -> str:
    """Spell out what has no picture: controls, formats, surrogates, line ends, private and unassigned ones.

    Args:
        text: of anybody.
        but: characters that stay as they are.
    """
    if text.isascii() and text.isprintable():
        return text
    return "".join(c if c in but else _visible(c) for c in text)


@cache
def _visible(character: str) -> str:
    if unicodedata.category(character) in ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"):
        return character.encode("unicode_escape").decode()
    return character
