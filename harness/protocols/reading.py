"""Reads what an answer states: a verdict, a grade, an order. No reader ever guesses."""

import math
import re
from collections.abc import Callable

from harness.protocols.protocol import Protocol
from harness.records import Reading

_OPENING = re.compile(r"Overall Judgment|Therefore", re.IGNORECASE)
_BETTER = re.compile(r"Answer\s*(\d+)\s*is\s*(?:the\s*)?(?:slightly\s*)?better", re.IGNORECASE)


def read_official(text: str) -> Reading:
    """Read with the published pattern of VL-RewardBench, quirks and all.

    Quirks kept on purpose (inference_hf.py at 9b10abd): the last "Answer N is better" after the
    first "Overall Judgment" or "Therefore" wins, whatever it is about; "Overall judgement" and
    "clearly better" do not match; and any number is taken. One that is neither 1 nor 2 is returned as
    it is: the published script compares only with the rejected answer's number, so that "Answer 12"
    counts as right there.
    """
    # the published pattern in two steps: as one it takes hours on an answer that ends in thousands of blanks
    plain = text.replace("\n", "").replace("*", "")
    opening = _OPENING.search(plain)
    found = _BETTER.findall(plain, opening.end()) if opening else []
    if not found:
        return "unparsed"
    number = _whole(found[-1])
    return _NAMES.get(number, number)


def _whole(digits: str) -> int:
    """Read the number of an answer; Python reads no number of thousands of digits, and no answer has one."""
    digits = digits.lstrip("0") or "0"
    return int(digits) if len(digits) < 10 else 10**9


_NAMES: dict[int, Reading] = {1: "first", 2: "second"}
_DEGREE = r"(?:(?:the|a|slightly|somewhat|marginally|clearly|much|far|significantly|overall|generally|definitely) )*"
_ANSWER = r"\b(?:answer|response) ?"
_ASPECTS = r"(?:accuracy|completeness|clarity|relevance|style|tone|form|format|formatting|grammar|length|details?)\b"
_HEADER = r"\b(?:overall judge?ment|final (?:verdict|judge?ment)|verdict|winner)\b"
_JUDGMENT = re.compile(
    rf"{_ANSWER}(?P<better>\d+) is {_DEGREE}(?:better|best|superior|preferable|preferred|stronger)\b"
    rf"|{_ANSWER}(?P<worse>\d+) is {_DEGREE}(?:worse|worst|inferior|weaker)\b"
    # a bare number after "final answer" is what the question asks for, not which answer is better
    rf"|(?:(?:{_HEADER}|better (?:answer|response)) ?(?:is)? ?[:\-]? ?(?:{_ANSWER})?"
    rf"|final answer ?(?:is)? ?:? ?{_ANSWER})"
    r"(?P<named>\d+) ?(?=[!,;)]|\.(?!\d)|$)",
    re.IGNORECASE,
)
_DOUBT = re.compile(
    r"\b(?:not|neither|nor|whether|unclear|unsure|if|unless|cannot|hardly"
    r"|(?:some|people|others|might|could|may) (?:\w+ )?(?:say|argue|think|claim|believe|feel))\b|n't\b",
    re.IGNORECASE,
)
_TOPIC = re.compile(
    rf"\b(?:for|on|in|as for|in terms of|with regard to|regarding|concerning|considering) (?:the |its )?{_ASPECTS}",
    re.IGNORECASE,
)
_OTHER = r"(?:the )?(?:other|first|second|answer|response|alternative|its|it|\d)"
_CONDITION = re.compile(
    rf" than (?!{_OTHER})|(?: than {_OTHER}\S*(?: \d+)?)?,? (?:only )?(?:if|unless|provided|assuming)\b", re.IGNORECASE
)
_PARTLY = re.compile(
    rf"(?: (?:one|choice|answer|response))?(?: than {_OTHER}\S*(?: \d+)?)?,? "
    rf"(?:only|in terms|in its|with regard|regarding|concerning|(?:in|at|for|on) (?:the |its )?{_ASPECTS})",
    re.IGNORECASE,
)
_CRITERION = re.compile(r"\W*(?:\d+[.)]\s*)?(?:accuracy|completeness|clarity|relevance)\b", re.IGNORECASE)
_SENTENCE = re.compile(r"(?<=[.!?])\s+|\n+")


EQUAL = "Overall Judgment: equal rewards."
"""How a judge that scores says that both responses have the same reward."""


def read_strict(text: str) -> Reading:
    """Read the last explicit overall judgment, and only 1 or 2.

    What follows the last "Overall Judgment" (or verdict, winner) is read if there is one, else the
    whole answer. "Worse" names the other answer. Questions, sentences on one criterion, judgments of
    one aspect ("better only in style", "for clarity, Answer 1 is better"), and doubted, negated or
    conditional ones do not count. A last judging sentence that names both answers as winners, or a
    number other than 1 and 2, is `unparsed`. Equal rewards, in the words of a judge that scores, are a tie.
    """
    if text.endswith(EQUAL):
        return "tie"
    plain = re.sub(r"[^\S\n]+", " ", re.sub(r"[*_`#]+", "", text)).replace("’", "'")
    headers = _headers(plain)
    if headers:
        plain = plain[headers[-1] :]
    sentences = [part.strip() for part in _SENTENCE.split(plain) if part.strip()]
    for place in reversed(range(len(sentences))):
        sentence, closing = sentences[place], bool(headers) and place == 0
        if sentence.endswith("?") or (not closing and _CRITERION.match(sentence)):
            continue
        winners = _winners(sentence, closing)
        if winners:
            return _NAMES.get(winners.pop(), "unparsed") if len(winners) == 1 else "unparsed"
    return "unparsed"


def _headers(plain: str) -> list[int]:
    """Find where an overall judgment begins, but for those that their sentence doubts before; in one pass."""
    bounds = [0, *(bound.end() for bound in _SENTENCE.finditer(plain)), len(plain) + 1]
    found, place, doubt = [], -1, None
    for header in re.finditer(_HEADER, plain, re.IGNORECASE):
        while bounds[place + 1] <= header.start():
            place += 1
            doubt = _DOUBT.search(plain, bounds[place], bounds[place + 1])
        if not _before(doubt, plain, bounds[place], header.start()):
            found.append(header.start())
    return found


def _before(doubt: re.Match[str] | None, text: str, start: int, end: int) -> bool:
    """Tell whether a doubt stands between `start` and `end`, of which the first after `start` is known.

    What is cut off at `end` may make a doubt that the whole text has not: it is looked for close by, so that an answer
    of thousands of judgments is read in one pass.
    """
    return (doubt is not None and doubt.end() <= end) or _DOUBT.search(text, max(start, end - 200), end) is not None


def _winners(sentence: str, closing: bool) -> set[int]:
    """Collect the answers that a sentence calls better; a closing one is never about an aspect only."""
    winners, start, doubt = set[int](), 0, _DOUBT.search(sentence)
    for match in _JUDGMENT.finditer(sentence):
        topic, aspect = _TOPIC.search(sentence, start, match.start()), _PARTLY.match(sentence, match.end())
        start = aspect.end() if aspect else match.end()
        if _before(doubt, sentence, 0, match.start()) or _CONDITION.match(sentence, match.end()):
            continue
        if (topic or aspect) and not closing:
            continue
        number = _whole(match["better"] or match["worse"] or match["named"])
        winners.add(3 - number if match["worse"] and number in (1, 2) else number)
    return winners


_LETTER = re.compile(r"\[\[\s*([A-C])\s*\]\]")
_GRADE = re.compile(r"\[\[\s*([1-5])\s*\]\]")
_LETTERS: dict[str, Reading] = {"A": "first", "B": "second", "C": "tie"}


def read_letters(text: str) -> Reading:
    """Read the last `[[A]]`, `[[B]]` or `[[C]]` (a tie); without any, a verdict in words as `read_strict` does.

    So that a checkpoint that brings its own sentence is read too.
    """
    found = _LETTER.findall(text)
    return _LETTERS[found[-1]] if found else read_strict(text)


_TAGS: dict[str, Reading] = {
    "[[A]]": "first",
    "[[B]]": "second",
    r"\boxed{A}": "first",
    r"\boxed{B}": "second",
    "[[C]]": "tie",
    r"\boxed{C}": "tie",
}


def read_official_letters(text: str) -> Reading:
    """Read with Omni-RewardBench's rule, quirks and all (utils/video_utils.py at cc81185).

    A tag counts wherever it stands, the first of them in this order: brackets before boxes, and A or B before a tie,
    whatever is said last. A and B both in brackets, or both in boxes, are nothing. Without any tag, a verdict in words
    is read, as by `read_letters`.
    """
    found = [tag for tag in _TAGS if tag in text]
    if {"[[A]]", "[[B]]"} <= set(found) or {r"\boxed{A}", r"\boxed{B}"} <= set(found):
        return "unparsed"
    return _TAGS[found[0]] if found else read_strict(text)


_CHOICES: dict[str, Reading] = {"A": "first", "B": "second", "": "unparsed"}
_CHOICE = re.compile(r'"better_response"\s*:\s*(?:"((?:[^"\\]|\\.)*)"|null)')


def read_json(text: str) -> Reading:
    """Read the last `"better_response": "A"` or `"B"`; without any, a verdict in words as `read_strict` does.

    As MMRB2's scripts have it, any other non-empty text there names a response that was not shown, which is counted
    and wrong; null and an empty text are no verdict.
    """
    found = _CHOICE.findall(text)
    if not found:
        return read_strict(text)
    return _CHOICES.get(found[-1], 3)


_NUMBER = re.compile(r"\d+")
_LIST = re.compile(r"\[\s*(\d{1,3}(?:\.\d+)?)\s*,\s*(\d{1,3}(?:\.\d+)?)\s*\]")


def read_scores(text: str) -> Reading:
    """Read the last list of two scores, `[7, 5]`, equal ones as a tie; without any, a verdict in words."""
    found = _LIST.findall(text)
    return _by_scores(*map(float, found[-1])) if found else read_strict(text)


def _by_scores(first: float, second: float) -> Reading:
    return "tie" if first == second else "first" if first > second else "second"


def two_numbers(text: str) -> tuple[int, int]:
    """Read the last two whole numbers as VLRMBench's script does, quirks and all; what is missing is 0.

    "7.5" is two numbers, and what follows the scores is read too.
    """
    # no score has many digits, and Python reads no number of thousands of them
    found = [int(digits[-9:]) for digits in _NUMBER.findall(text)[-2:]]
    first, second = (*found, 0, 0)[:2]
    return first, second


def read_two_numbers(text: str) -> Reading:
    """Read which of the last two whole numbers is greater (VLRMBench); an answer without a number is unparsed."""
    return _by_scores(*two_numbers(text)) if _NUMBER.search(text) else "unparsed"


def read_grade(text: str) -> Reading:
    """Read the last `[[1]]` to `[[5]]`."""
    found = _GRADE.findall(text)
    return int(found[-1]) if found else "unparsed"


LARGEST_REWARD = 3.5e38
"""No reward, which is a float32, is further from zero; sums of squares of those that are overflow."""


def read_reward(text: str) -> Reading:
    """Read the last "Reward: NUMBER"; a number on the judge's own scale."""
    found = _REWARD.findall(text)
    reward = float(found[-1]) if found else math.nan
    return reward if abs(reward) <= LARGEST_REWARD else "unparsed"


_REWARD = re.compile(r"\bReward: (-?\d+(?:\.\d+)?(?:e[+-]?\d+)?)(?!\S)")


def read_order(text: str, shown: int) -> Reading:
    """Read an order of `shown` responses from best to worst, as places.

    After the last "judgement", or in the whole answer where nothing is said after one, the bracketed
    letters must be one order of all responses, each once; brackets may be double or single, around
    each letter or around the whole list, as released judgments have them.
    """
    tail = re.split(r"judge?ment", text, flags=re.IGNORECASE)[-1]
    part = tail if re.search(r"\w", tail) else text
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"[:shown]
    # within each run of what a list may hold, from the first bracket to the last that closes
    runs = re.findall(r"[\[\]A-Z,;>\s\"']+", part)
    lists = [run[run.find("[") : run.rfind("]") + 1] for run in runs if "[" in run]
    letters = [letter for found in lists for letter in re.findall(r"[A-Z]", found)]
    last = letters[-shown:]
    whole = letters and len(letters) % shown == 0 and sorted(last) == list(alphabet)
    return tuple(alphabet.index(letter) for letter in last) if whole else "unparsed"


_PICK = re.compile(r"\[\[\s*([A-Z])\s*\]\]")
_RATING = re.compile(r"\[\[\s*(\d{1,2})\s*\]\]")
_RATING_AT_THE_END = re.compile(r"\b([1-9]|10)\b\s*$")


def read_pick(text: str, shown: int) -> Reading:
    """Read the last `[[A]]` of one of `shown` responses, as an order of one; of one alone, `[[1]]` to `[[10]]`."""
    if shown == 1:
        ratings = [int(found) for found in _RATING.findall(text)]
        return ratings[-1] if ratings and 1 <= ratings[-1] <= 10 else "unparsed"
    letters = _PICK.findall(text)
    place = ord(letters[-1]) - ord("A") if letters else shown
    return (place,) if place < shown else "unparsed"


def read_official_pick(text: str, shown: int) -> Reading:
    """Read with RewardBench 2's patterns, quirks and all (scripts/run_generative_v2.py at 05a9005).

    Of all responses the first of A, B, C, D whose tag stands anywhere, so A before B whatever is said last; of one
    alone a number from 1 to 10 at the very end: "8/10" reads 10, and "7." nothing.
    """
    if shown == 1:
        found = _RATING_AT_THE_END.search(text)
        return int(found[1]) if found else "unparsed"
    letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"[:shown]
    return next(((place,) for place, letter in enumerate(letters) if f"[[{letter}]]" in text), "unparsed")


READERS: dict[str, Callable[[str, int], Reading]] = {
    "official": lambda text, shown: read_official(text),
    "strict": lambda text, shown: read_strict(text),
    "letters": lambda text, shown: read_letters(text),
    "official-letters": lambda text, shown: read_official_letters(text),
    "json": lambda text, shown: read_json(text),
    "scores": lambda text, shown: read_scores(text),
    "two-numbers": lambda text, shown: read_two_numbers(text),
    "grade": lambda text, shown: read_grade(text),
    "reward": lambda text, shown: read_reward(text),
    "order": read_order,
    "pick": read_pick,
    "official-pick": read_official_pick,
}
"""Readers by name: (answer, number of responses shown) to what was read."""


def reader_of(protocol: Protocol, task_reader: str) -> str:
    """Name the reader of answers under a protocol: the protocol's own, the kind's, or the task's for verdicts."""
    if protocol.reader:
        return protocol.reader
    if protocol.compares:
        return task_reader
    return {"score": "grade", "batch": "order"}[protocol.kind]
