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
_ANSWER = r"(?:answer|response)\s*#?\s*(?P<{0}>\d+)"
_JUDGMENT = re.compile(
    rf"{_ANSWER.format('better')}\s+is\s+{_DEGREE}(?:better|best|superior|preferable|preferred|stronger)"
    r"(?P<aspect>\s+(?:only|in\s+(?:terms|its|style|tone|form|length)|at|for|with\s+regard))?"
    rf"|{_ANSWER.format('worse')}\s+is\s+{_DEGREE}(?:worse|worst|inferior|weaker)"
    r"(?P<limit>\s+(?:only|in\s+(?:terms|its|style|tone|form|length)|at|for|with\s+regard))?"
    r"|(?:overall\s+judge?ment|final\s+(?:verdict|answer|judge?ment)|verdict|better\s+(?:answer|response)|winner)"
    rf"\s*(?:is)?\s*[:\-]?\s*(?:{_ANSWER.format('named')}|(?P<bare>\d+))"
    r"(?!\s*(?:\d|is|\s+is|and|/|or)\b)",
    re.IGNORECASE,
)
_SENTENCE = re.compile(r"(?<=[.!?])\s+|\n+")


def read_strict(text: str) -> Reading:
    """Read the last explicit overall judgment, and only 1 or 2.

    A sentence that judges one answer better "than" the other names one winner; "worse" names the
    other answer. Judgments about one aspect ("better in style") and negated ones do not count.
    A last judging sentence that names both answers as winners, or a number other than 1 and 2, is
    `unparsed`.
    """
    plain = re.sub(r"[*_`#]+", "", text)
    for sentence in reversed(_SENTENCE.split(plain)):
        winners = set()
        for match in _JUDGMENT.finditer(sentence):
            if match["aspect"] or match["limit"]:
                continue
            number = int(match["better"] or match["worse"] or match["named"] or match["bare"])
            winners.add(3 - number if match["worse"] and number in (1, 2) else number)
        if winners:
            return _NAMES.get(winners.pop(), "unparsed") if len(winners) == 1 else "unparsed"
    return "unparsed"
