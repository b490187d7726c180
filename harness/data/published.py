"""Published sources of preference pairs: a row of theirs, in its own layout, becomes pairs.

What a source is, is content: `preferences/<name>.yaml`, a `PreferenceSource`. Here is what such a
file may say. A row that holds no pair (a video, a tie, an empty answer) is left out and counted; a
row that lacks a column is an error, since the source has changed.
"""

import re
import zipfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from harness.data.images import image_of
from harness.data.mapping import MISSING, pick
from harness.data.tables import PLACEHOLDERS, Row
from harness.errors import DataError, HarnessError
from harness.settings import PreferenceSource, Ratings, Verdicts

Pair = dict[str, Any]
TEXTS = ("question", "chosen", "rejected")


class LeftOut(Exception):  # noqa: N818  (no error: it says why a row holds no pair)
    """A row that holds no pair, and why."""


def source_files(source: PreferenceSource, folder: Path) -> list[Path]:
    """List a source's files in `folder`, by name.

    Raises:
        HarnessError: if there is none.
    """
    files = sorted({path for pattern in source.files for path in folder.glob(pattern)})
    if not files:
        raise HarnessError(
            f"{folder} holds no {' or '.join(source.files)} of {source.hub}.",
            "Name the folder that the data set was downloaded to.",
        )
    return files


def source_pairs(source: PreferenceSource, name: str, rows: Iterable[Row], left_out: Counter[str]) -> Iterator[Pair]:
    """Turn the rows of a source into pairs, in the fields of `--preferences`.

    Args:
        source: what its rows look like.
        name: the source's name; with the place of the row it makes the pair's id.
        rows: as the files have them.
        left_out: is told why rows gave no pair, and how many.

    Raises:
        DataError: if a row lacks a column, or no row at all gives a pair.
    """
    made = 0
    for number, row in enumerate(rows, 1):
        try:
            pair = _pair(source, row, f"{name}, row {number}")
        except LeftOut as reason:
            left_out[str(reason)] += 1
            continue
        made += 1
        yield {"id": f"{name}-{number}", **pair}
    if not made:
        told = ", ".join(f"{count} for {reason}" for reason, count in left_out.items()) or "there are none"
        raise DataError(f"no row of {name} gives a pair ({told}).", f"Compare its rows with preferences/{name}.yaml.")


def _pair(source: PreferenceSource, row: Row, where: str) -> Pair:
    for column in source.leave_out:
        if row.get(column):
            raise LeftOut(f"a {column}")
    pair = {field: _column(row, columns, field, where) for field, columns in source.columns.items()}
    if source.ratings:
        pair |= _rated(source.ratings, row, where)
    if source.verdicts:
        pair |= _judged(source.verdicts, row, where)
    for field in TEXTS:
        if not PLACEHOLDERS.sub("", pair[field] or "").strip():
            raise LeftOut(f"an empty {field}")
    if pair["chosen"] == pair["rejected"]:
        raise LeftOut("two equal responses")
    # a probability may well be 0
    return {field: value if field == "p_chosen" else value or None for field, value in pair.items()}


def _column(row: Row, columns: str | list[str], field: str, where: str) -> Any:
    named = [columns] if isinstance(columns, str) else columns
    for column in named:
        if (value := pick(row, column)) is not MISSING:
            return value
    raise DataError(
        f"{where}: no column {' or '.join(map(repr, named))} for {field!r}.", f"Its columns: {', '.join(sorted(row))}."
    )


def _rated(settings: Ratings, row: Row, where: str) -> Pair:
    """Set the response with the highest mean rating against the one with the lowest."""
    rated = []
    for completion in _listed(_column(row, settings.completions, "completions", where)):
        ratings = [_number(_column(completion, path, "rating", where)) for path in settings.ratings]
        # a mean over other aspects than its neighbours' would compare unlike things
        if None not in ratings:
            rated.append((sum(map(float, ratings)) / len(ratings), completion))  # type: ignore[arg-type]
    if len(rated) < 2:
        raise LeftOut("fewer than two responses with every rating")
    (low, worst), (high, best) = (pick_(rated, key=lambda pair: pair[0]) for pick_ in (min, max))
    if high - low <= settings.least_gap:
        raise LeftOut("a tie" if not settings.least_gap else f"ratings no more than {settings.least_gap} apart")
    return {
        side: _column(completion, settings.response, "response", where)
        for side, completion in (("chosen", best), ("rejected", worst))
    }


def _listed(completions: Any) -> list[Row]:
    """List completions that came as a list, or, as `datasets` writes them, as one list a field."""
    if isinstance(completions, Mapping):
        return [dict(zip(completions, values, strict=True)) for values in zip(*completions.values(), strict=True)]
    return list(completions)


def _number(value: Any) -> float | None:
    try:
        return float(value)
    except (TypeError, ValueError):
        return None


def _judged(settings: Verdicts, row: Row, where: str) -> Pair:
    """Take question and responses out of a judge's prompt, and its verdict out of the answer."""
    asked, said = (str(_column(row, path, "text", where)) for path in (settings.asked, settings.said))
    prompt = re.search(settings.prompt, asked)
    if not prompt:
        raise LeftOut("a prompt in other words")
    verdicts = list(re.finditer(settings.verdict, said))
    word = verdicts[-1]["better"].lower() if verdicts else ""
    if word not in (*settings.first, *settings.second):
        raise LeftOut("a tie or no verdict")
    first, second = prompt["first"], prompt["second"]
    chosen, rejected = (first, second) if word in settings.first else (second, first)
    return {"question": prompt["question"], "chosen": chosen, "rejected": rejected}


def image_opener(source: PreferenceSource, folder: Path, stack: ExitStack) -> Callable[[Any, Path], bytes]:
    """Return how an image of a source is read: as in any file, else from the source's archives.

    Args:
        source: names the archives.
        folder: where the rows lie, and the archives, unless one level above.
        stack: closes them.
    """
    paths = [place / name for place in (folder.parent, folder) for name in source.archives]
    there = [path for path in paths if path.is_file()]
    archives = {path.stem: stack.enter_context(zipfile.ZipFile(path)) for path in there}

    def open_image(value: Any, beside: Path) -> bytes:
        try:
            return image_of(value, beside)
        except FileNotFoundError:
            name = str(value["path"] if isinstance(value, Mapping) else value)
            for stem, archive in archives.items():
                for member in (name, f"{stem}/{name}", name.partition("/")[2]):
                    if member in archive.NameToInfo:
                        return archive.read(member)
            raise

    return open_image
