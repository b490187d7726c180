"""Where a text is folded: between words, and within long names behind what joins their parts."""

import re
from textwrap import TextWrapper


class Words(TextWrapper):
    """Breaks a text at spaces, and within a long name, path or setting behind what joins its parts."""

    wordsep_re = re.compile(r"(\s+)|(?<=\w[-/_@=,:])(?=\w)|(?<=\w\.)(?=[^\W\d])")


class _Sentence(TextWrapper):
    """Breaks a sentence at spaces, but not between a figure and its unit, nor within an interval."""

    wordsep_simple_re = re.compile(r"(\s+(?!%|points\b|(?:GiB|MiB|h|min|s)\b|[^\[\]\s]{1,12}\]))")


def folded(sentence: str, width: int) -> str:
    """Fold a sentence to lines of at most `width` characters."""
    return "\n".join(_Sentence(width, break_on_hyphens=False).wrap(sentence))
