"""Columns under other names: which column of a file holds which field of a preference pair."""

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from harness.data.tables import Row
from harness.errors import DataError, HarnessError, unknown


def parse_map(text: str) -> dict[str, str]:
    """Read `FIELD=COLUMN,...`.

    Raises:
        HarnessError: if a part is no assignment.
    """
    parts = [part.partition("=") for part in text.split(",") if part.strip()]
    if not parts or not all(field.strip() and column.strip() for field, _, column in parts):
        raise HarnessError(f"--map {text!r} is not understood.", "Write --map question=prompt,chosen=good.")
    return {field.strip(): column.strip() for field, _, column in parts}


def check_map(columns: Mapping[str, str], fields: Iterable[str]) -> None:
    """Refuse a field that a preference pair does not have."""
    fields = list(fields)
    for field in columns:
        if field not in fields:
            raise unknown("field of a preference pair", field, fields, "Write --map FIELD=COLUMN.")


def mapped(rows: Iterable[Row], columns: Mapping[str, str], source: str) -> Iterator[Row]:
    """Give every row the fields that `columns` names, beside those it has.

    Args:
        rows: as the file has them.
        columns: field to column; `a.b` is the entry `b` of the column `a`, `a.0` its first.
        source: the file's name in messages.

    Raises:
        DataError: if a row lacks a column, listing those it has.
    """
    for number, row in enumerate(rows, 1):
        found = {field: pick(row, column) for field, column in columns.items()}
        for field, value in found.items():
            if value is MISSING:
                raise DataError(
                    f"{source}, row {number}: no column {columns[field]!r} for {field!r}.",
                    f"Its columns: {', '.join(sorted(row))}.",
                )
        yield row | found


MISSING = object()
"""What `pick` returns where a row has no such column; a column may well hold None."""


def pick(row: Any, path: str) -> Any:
    """Return the value at a dotted path of names and places; a step into text reads it as JSON.

    A column whose own name holds the dots goes first.
    """
    if isinstance(row, Mapping) and path in row:
        return row[path]
    head, dot, rest = path.partition(".")
    row = _unpacked(row)
    if isinstance(row, Mapping) and head in row:
        value = row[head]
    elif isinstance(row, list) and head.isdecimal() and int(head) < len(row):
        value = row[int(head)]
    else:
        return MISSING
    return pick(value, rest) if dot else value


def _unpacked(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except ValueError:
        return None
