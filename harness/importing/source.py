"""What all formats of judgments made elsewhere share: an answer, and a file that says what is wrong with its rows."""

import json
from pathlib import Path
from typing import Annotated, Any, NamedTuple, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, ValidationError

from harness.data.benchmark import Benchmark, StrayError, imageless_item, without_images
from harness.data.images import image_or_name
from harness.data.tables import Row, checked_row
from harness.errors import DataError
from harness.records import Item


class Answer(NamedTuple):
    """One answer in a file of judgments."""

    row: int
    item: Item | str
    """The item as the file itself has it, or only its id in the benchmark."""
    order: tuple[int, ...] | None
    """The places shown; None where there is only one."""
    text: str | None
    """None where there is only a probability."""
    repeat: int | None = None
    """None is one more of its item, in stored order."""
    p_first: float | None = None
    number: int | None = None
    """The number that the file says the authors' pattern found, -1 for none; None where it says nothing."""
    right: bool | None = None
    """Whether the file counts it as right; None where it says nothing."""
    protocol: str | None = None
    """The protocol it was asked under, without repeats, where the file names it."""
    model: str | None = None
    data: str | None = None
    """Where its data came from, where the file names it."""


LONGEST = 1_000_000
"""Characters of a text in a file of judgments; readers take seconds for so many."""


def _writable(value: str) -> str:
    if len(value) > LONGEST:
        raise ValueError(f"it has {len(value):,} characters, and at most {LONGEST:,} are read")
    # half a surrogate pair, which JSON can hold and no UTF-8 file can
    value.encode()
    return value


Text = Annotated[str, AfterValidator(_writable)]


class Content(BaseModel):
    """Part of a row; what it does not name is left aside."""

    model_config = ConfigDict(strict=True, extra="ignore")


C = TypeVar("C", bound=BaseModel)


class Source:
    """A file of judgments: reads its rows for a benchmark and says what is wrong with them."""

    def __init__(self, path: Path, benchmark: Benchmark) -> None:
        self.path, self.benchmark = path, benchmark
        self.items: dict[str, Item] = {}

    def wrong(self, row: int, field: str, problem: str, fix: str = "Mend the row.") -> DataError:
        """Build the error for a field of a row."""
        return DataError(f"{self.path.name}, row {row}, field {field!r}: {problem}.", fix)

    def take(self, kind: type[C], row: int, content: Any) -> C:
        """Read a part of a row, or name the first field that is wrong."""
        try:
            return kind.model_validate(content)
        except ValidationError as error:
            first = error.errors()[0]
            field = ".".join(map(str, first["loc"])) or "row"
            got = "" if first["type"] == "missing" else f" (got {json.dumps(first['input'], default=str)[:60]})"
            raise self.wrong(row, field, first["msg"].removeprefix("Value error, ") + got) from None

    def item(self, row: int, content: Row) -> Item:
        """Make an item of what a row says in the benchmark's own fields; equal content is read once."""
        lenient, key = without_images(self.benchmark), json.dumps(content, sort_keys=True, default=repr)
        if key not in self.items:
            clean = checked_row(
                content,
                row,
                lenient.fields,
                self.path.name,
                self.path.parent,
                lenient.aliases,
                lenient.pictured,
                image_or_name,
            )
            try:
                self.items[key] = imageless_item(clean, self.benchmark.entry(clean), lenient)
            except StrayError as stray:
                fix = self.benchmark.stray_fix
                raise DataError(f"{self.path.name}, row {row}: no slice is known for {stray}.", fix) from None
            except ValueError as error:
                raise DataError(f"{self.path.name}, row {row}: {error}.", "Mend the row.") from None
        return self.items[key]

    def own(self, content: Row, whose: str, *needed: str) -> Row:
        """Keep a row's fields of the benchmark; refuse one that lacks fields of the benchmark the file is about."""
        known = self.benchmark
        if not set(needed) <= set(known.fields):
            raise DataError(
                f"{self.path.name} is {whose}'s output, and {known.task} has other fields.",
                "Name the task it was made for, or write the plain format.",
            )
        return {name: value for name, value in content.items() if known.aliases.get(name, name) in known.fields}
