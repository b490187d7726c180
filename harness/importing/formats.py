"""The formats of judgments made elsewhere, told apart by what their first row holds.

| format | written by | what a row holds |
| --- | --- | --- |
| `official` | VL_RewardBench's `inference_hf.py` | `id`, `query`, `response`, `ranking`; in `meta` the answer \
(`filter_choice`), the order (`random_number`, 1 is swapped), what its pattern found (`filter_number`, -1 is nothing) |
| `lmms-eval` | lmms-eval's `--log_samples` | `filtered_resps`, and either a figure of our own tasks, which holds \
item and presentation, or upstream's `vlreward_score` with the prompt in `input` |
| `plain` | anyone | `id`, `text`, `order` or `swapped`, and where there are any `repeat` and `p_first` |

The field names of `official` are those of vl-rewardbench/VL_RewardBench at 9b10abd, those of
`lmms-eval` those that version 0.7.3 writes: it keeps neither the document nor the image.
"""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, TypeVar

from pydantic import AfterValidator, AliasChoices, BaseModel, ConfigDict, Field, ValidationError

from harness.data.benchmark import Benchmark, StrayError, imageless_item, item_of, without_images
from harness.data.images import image_or_name
from harness.data.tables import Row, checked_row, read_rows
from harness.errors import DataError, HarnessError, unknown
from harness.records import Item, item_id


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


def _writable(value: str) -> str:
    # half a surrogate pair, which JSON can hold and no UTF-8 file can
    value.encode()
    return value


_Text = Annotated[str, AfterValidator(_writable)]


class _Content(BaseModel):
    """Part of a row; what it does not name is left aside."""

    model_config = ConfigDict(strict=True, extra="ignore")


class _OfficialMeta(_Content):
    filter_choice: _Text
    random_number: Literal[0, 1]
    filter_number: int | None = None
    model: str | None = Field(None, validation_alias="filtering model")


class _Official(_Content):
    ranking: list[int] = Field(validation_alias=AliasChoices("ranking", "human_ranking"))
    meta: _OfficialMeta


class _Logged(_Content):
    filtered_resps: _Text | list[_Text]


class _OurFigure(_Content):
    """A figure of one of our tasks in lmms-eval's log: the document without its image, and the answer."""

    item_id: str
    id: str
    query: _Text
    response: list[_Text]
    label: str
    slice: str
    image_hash: str | None
    image_hashes: list[str] = []
    cluster: str | None = None
    order: list[int]
    repeat: int = Field(ge=0)
    protocol: str
    text: _Text
    data: str | None = None


class _UpstreamScore(_Content):
    question_id: str
    score: float


class _Upstream(_Content):
    target: str
    input: str
    vlreward_score: _UpstreamScore


class _Plain(_Content):
    id: str | int
    text: _Text | None = None
    order: list[int] | None = None
    swapped: bool | None = None
    repeat: int = Field(0, ge=0)
    p_first: Annotated[float, Field(ge=0, le=1)] | None = None


C = TypeVar("C", bound=_Content)


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
            raise self.wrong(row, field, f"{first['msg']}{got}") from None

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

    def pairs_only(self, row: int, content: Row) -> Row:
        """Keep a row's fields of the benchmark; refuse a benchmark that is not VL-RewardBench's kind."""
        needed = {"id", "query", "response", "human_ranking"}
        if not needed <= set(self.benchmark.fields):
            raise DataError(
                f"{self.path.name} is VL-RewardBench's output, and {self.benchmark.task} has other fields.",
                "Name the task it was made for, or write the plain format.",
            )
        return {name: value for name, value in content.items() if name in self.benchmark.fields}


def _official(row: int, content: Row, source: Source) -> Iterator[Answer]:
    # cal.py takes an item out of a column called "0", where pandas wrote it so, and leaves empty ones out
    inner = content.get("0", content)
    if inner is None:
        return
    read = source.take(_Official, row, inner)
    item = source.item(row, source.pairs_only(row, inner | {"human_ranking": read.ranking}))
    order = (1, 0) if read.meta.random_number else (0, 1)
    text, found = read.meta.filter_choice, read.meta.filter_number
    yield Answer(row, item, order, text, number=found, protocol="official", model=read.meta.model)


def _logged(row: int, content: Row, source: Source) -> Iterator[Answer]:
    figure = next((v for v in content.values() if isinstance(v, dict) and "item_id" in v), None)
    yield from _ours(row, figure, source) if figure is not None else _upstream(row, content, source)


def _ours(row: int, figure: Row, source: Source) -> Iterator[Answer]:
    read = source.take(_OurFigure, row, figure)
    if read.item_id != item_id(f"{source.benchmark.task}/{read.id}", read.query, read.response, read.image_hashes):
        problem = f"{read.item_id!r} is not an item of {source.benchmark.task} with this question and these responses"
        raise source.wrong(row, "item_id", problem, "Name the task of the log.")
    try:
        item = item_of(read.model_dump())
    except ValueError:
        raise source.wrong(row, "label", f"{read.label!r} is no label") from None
    yield Answer(
        row, item, tuple(read.order), read.text, read.repeat, protocol=read.protocol, data=read.data
    )  # fmt: skip


def _upstream(row: int, content: Row, source: Source) -> Iterator[Answer]:
    """Read a row of upstream's task, whose order is the parity of the responses' length as they were shown."""
    texts, read = source.take(_Logged, row, content).filtered_resps, source.take(_Upstream, row, content)
    body = read.input.partition("\n\nQuestion: ")[2].rpartition("\n\nPlease evaluate both answers")[0]
    question, marks, answers = body.partition("\n\nAnswer 1: ")
    shown = answers.split("\n\nAnswer 2: ")
    if not marks or len(shown) != 2 or "\n\nAnswer 1: " in answers:
        problem = "question and answers cannot be told apart in the prompt"
        raise source.wrong(row, "input", problem, "Take the row out, or write it in the plain format.")
    swapped = sum(map(len, shown)) % 2 == 1
    try:
        ranking = json.loads(read.target)
    except ValueError:
        raise source.wrong(row, "target", f"{read.target!r} is no ranking") from None
    response = shown[::-1] if swapped else shown
    named = {"id": read.vlreward_score.question_id, "query": question, "response": response, "human_ranking": ranking}
    item, order = source.item(row, source.pairs_only(row, named)), ((1, 0) if swapped else (0, 1))
    for text in [texts] if isinstance(texts, str) else texts:
        yield Answer(row, item, order, text, right=read.vlreward_score.score == 1, protocol="lmms-eval")


def _plain(row: int, content: Row, source: Source) -> Iterator[Answer]:
    read = source.take(_Plain, row, content)
    if read.text is None and read.p_first is None:
        raise source.wrong(row, "text", "there is neither a text nor p_first", "Write '' where there was no answer.")
    if read.order is not None and read.swapped is not None:
        raise source.wrong(row, "swapped", "the order is said twice", "Keep `order`.")
    order = tuple(read.order) if read.order is not None else None
    if read.swapped is not None:
        order = (1, 0) if read.swapped else (0, 1)
    yield Answer(row, str(read.id), order, read.text, read.repeat, read.p_first)


class Format(NamedTuple):
    """A format: how it is told from the others, and how a row of it is read."""

    fits: Callable[[Row], bool]
    read: Callable[[int, Row, Source], Iterator[Answer]]


def _nested(row: Row, outer: str, inner: str) -> bool:
    return isinstance(row.get(outer), dict) and inner in row[outer]


FORMATS = {
    "official": Format(lambda row: "0" in row or _nested(row, "meta", "random_number"), _official),
    "lmms-eval": Format(lambda row: "filtered_resps" in row, _logged),
    "plain": Format(lambda row: "id" in row and ("text" in row or "p_first" in row), _plain),
}
"""Formats by name, in the order they are tried."""


def read_answers(path: Path, benchmark: Benchmark, name: str | None = None) -> tuple[str, list[Answer]]:
    """Read a file of judgments; return its format and its answers in stored order.

    Args:
        path: JSONL or parquet.
        benchmark: the task's.
        name: the format, where it is not to be told from the first row.

    Raises:
        DataError: naming file, row, field, value and fix.
    """
    if name is not None and name not in FORMATS:
        raise unknown("format", name, FORMATS)
    source, answers = Source(path, benchmark), list[Answer]()
    for number, content in enumerate(read_rows(path), 1):
        name = name or next((known for known, format_ in FORMATS.items() if format_.fits(content)), None)
        if name is None:
            raise HarnessError(
                f"{path.name}, row 1: no known format (it has {', '.join(sorted(content)) or 'no fields'}).",
                'Write {"id": ..., "text": ..., "order": [0, 1]}, one a line; `harness score --help` describes all.',
            )
        answers += FORMATS[name].read(number, content, source)
    if name is None or not answers:
        raise DataError(f"{path.name} holds no answers.", "Name a file with at least one.")
    return name, answers
