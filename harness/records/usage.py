"""What answers took: requests and tokens, summed up for a stage's record."""

from collections.abc import Iterable, Sequence

from harness.records.judgment import Judgment

Taken = tuple[int | None, int | None, int | None]
"""Requests, tokens read and tokens written of some answers; None where it is not known."""
NAMES = ("requests", "prompt_tokens", "completion_tokens")


def total(each: Iterable[Taken]) -> Taken:
    """Add up; what one of them does not tell, all of them do not."""
    columns = zip(*each, strict=True)
    requests, read, written = (None if None in column else sum(column) for column in columns)
    return requests, read, written


def usage_of(judgments: Sequence[Judgment], items: int) -> dict[str, int | float | None]:
    """Sum up what judgments took: `NAMES`, and items a second of the time in which they were asked.

    Args:
        judgments: one or more, of one judge.
        items: that they are about.
    """
    took = total((judgment.requests, judgment.prompt_tokens, judgment.tokens) for judgment in judgments)
    seconds = [judgment.seconds for judgment in judgments]
    asked = 0.0 if None in seconds else sum(second for second in seconds if second)
    return dict(zip(NAMES, took, strict=True)) | {"items_per_second": round(items / asked, 3) if asked else None}
