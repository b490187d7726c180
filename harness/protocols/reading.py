"""Reads a pairwise verdict out of an answer. Two readers; neither ever guesses."""

import re

from harness.records.judgment import Reading

_OFFICIAL = re.compile(
    r"(?:Overall Judgment|Therefore)\s*.*\s*-*\s*Answer\s*(\d+)\s*is\s*(?:the\s*)?(?:slightly\s*)?better", re.IGNORECASE
)


def read_official(text: str) -> Reading:
    """Read with the published pattern of VL-RewardBench, quirks and all.

    Quirks kept on purpose (inference_hf.py at 9b10abd): the last "Answer N is better" after the
    first "Overall Judgment" or "Therefore" wins, whatever it is about; "Overall judgement" and
    "clearly better" do not match; and, as only the number of the rejected answer is compared, any
    number but 1 and 2 counts as agreement, which is here called `unparsed` instead.
    """
    match = _OFFICIAL.search(text.replace("\n", "").replace("*", ""))
    if not match:
        return "unparsed"
    return _NAMES.get(int(match.group(1)), "unparsed")


_NAMES: dict[int, Reading] = {1: "first", 2: "second"}
_DEGREE = r"(?:(?:the|a|slightly|somewhat|marginally|clearly|much|far|significantly|overall|generally|definitely)\s+)*"
_ANSWER = r"(?:answer|response)\s*#?\s*"
_ASPECT = r"(?:\s+(?:only|in\s+(?:terms|its|style|tone|form|length|clarity|detail)|with\s+regard)\b)?"
_HEADER = r"(?:overall\s+judge?ment|final\s+(?:verdict|answer|judge?ment)|verdict|winner)\b"
_JUDGMENT = re.compile(
    rf"{_ANSWER}(?P<better>\d+)\s+is\s+{_DEGREE}(?:better|best|superior|preferable|preferred|stronger)\b"
    rf"(?P<strength>{_ASPECT})"
    rf"|{_ANSWER}(?P<worse>\d+)\s+is\s+{_DEGREE}(?:worse|worst|inferior|weaker)\b(?P<weakness>{_ASPECT})"
    rf"|(?:{_HEADER}|better\s+(?:answer|response))\s*(?:is)?\s*[:\-]?\s*(?:{_ANSWER})?(?P<named>\d+)\s*(?=[.!,;)]|$)",
    re.IGNORECASE,
)
_DOUBT = re.compile(r"\b(?:not|neither|nor|whether|unclear|unsure|if|cannot|hardly)\b|n't\b", re.IGNORECASE)
_CRITERION = re.compile(r"\W*(?:\d+[.)]\s*)?(?:accuracy|completeness|clarity|relevance)\b", re.IGNORECASE)
_SENTENCE = re.compile(r"(?<=[.!?])\s+|\n+")


def read_strict(text: str) -> Reading:
    """Read the last explicit overall judgment, and only 1 or 2.

    What follows the last "Overall Judgment" (or verdict, winner) is read if there is one, else the
    whole answer. "Worse" names the other answer. Sentences on one criterion, judgments of one aspect
    ("better only in style"), and doubted or negated ones do not count. A last judging sentence that
    names both answers as winners, or a number other than 1 and 2, is `unparsed`.
    """
    plain = re.sub(r"[*_`#]+", "", text)
    headers = list(re.finditer(_HEADER, plain, re.IGNORECASE))
    if headers:
        plain = plain[headers[-1].start() :]
    sentences = [part for part in _SENTENCE.split(plain) if part.strip()]
    for place in reversed(range(len(sentences))):
        sentence, closing = sentences[place], bool(headers) and place == 0
        if not closing and _CRITERION.match(sentence):
            continue
        winners = _winners(sentence, closing)
        if winners:
            return _NAMES.get(winners.pop(), "unparsed") if len(winners) == 1 else "unparsed"
    return "unparsed"


def _winners(sentence: str, closing: bool) -> set[int]:
    """Collect the answers that a sentence calls better; a closing one is never about an aspect only."""
    winners = set()
    for match in _JUDGMENT.finditer(sentence):
        aspect = match["strength"] or match["weakness"]
        if (aspect and not closing) or _DOUBT.search(sentence, 0, match.start()):
            continue
        number = int(match["better"] or match["worse"] or match["named"])
        winners.add(3 - number if match["worse"] and number in (1, 2) else number)
    return winners
