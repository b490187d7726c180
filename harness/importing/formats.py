"""The formats of judgments made elsewhere, told apart by what their first row holds.

| format | written by | what a row holds |
| --- | --- | --- |
| `official` | VL_RewardBench's `inference_hf.py` | `id`, `query`, `response`, `ranking`; in `meta` the answer \
(`filter_choice`), the order (`random_number`, 1 is swapped), what its pattern found (`filter_number`, -1 is nothing) |
| `lmms-eval` | lmms-eval's `--log_samples` | `filtered_resps`, and either a figure of our own tasks, which holds \
item and presentation, or upstream's `vlreward_score` with the prompt in `input` |
| `rewardbench2` | reward-bench's `run_v2.py` (`eval-set-scores/`) | a column a field: `id`, `subset`, `num_correct`, \
`scores` of the right responses and then the wrong ones, `results` |
| `omni` | OmniReward's `run_exp.py` | the item's own fields, `predicted` and `MODEL_raw_response` |
| `plain` | anyone | `id`, `text`, `order` or `swapped`, and where there are any `repeat` and `p_first` |

The field names of `official` are those of vl-rewardbench/VL_RewardBench at 9b10abd, those of
`lmms-eval` those that version 0.7.3 writes: it keeps neither the document nor the image. Those of `rewardbench2` are
allenai/reward-bench's at 05a9005, those of `omni` HongbangYuan/OmniReward's at cc81185.
"""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import AliasChoices, Field, FiniteFloat, RootModel

from harness.data.benchmark import Benchmark, item_of
from harness.data.tables import Row, json_document, read_rows
from harness.errors import DataError, HarnessError, unknown
from harness.importing.source import Answer, Content, Source, Text
from harness.protocols.counting import liked_best
from harness.records import item_id


class _OfficialMeta(Content):
    filter_choice: Text
    random_number: Literal[0, 1]
    filter_number: int | None = None
    model: str | None = Field(None, validation_alias="filtering model")


class _Official(Content):
    ranking: list[int] = Field(validation_alias=AliasChoices("ranking", "human_ranking"))
    meta: _OfficialMeta


class _Logged(Content):
    filtered_resps: Text | list[Text]


class _OurFigure(Content):
    """A figure of one of our tasks in lmms-eval's log: the document without its image, and the answer."""

    item_id: str
    id: str
    query: Text
    response: list[Text]
    label: str
    slice: str
    image_hash: str | None
    image_hashes: list[str] = Field(default_factory=list)
    cluster: str | None = None
    order: list[int]
    repeat: int = Field(ge=0)
    protocol: str
    text: Text
    data: str | None = None


class _UpstreamScore(Content):
    question_id: str
    score: float


class _Upstream(Content):
    target: str
    input: str
    vlreward_score: _UpstreamScore


class _Plain(Content):
    id: str | int
    text: Text | None = None
    order: list[int] | None = None
    swapped: bool | None = None
    repeat: int = Field(0, ge=0)
    p_first: Annotated[float, Field(ge=0, le=1)] | None = None


class _Scored(Content):
    """A row of run_v2.py's scores; run_generative_v2.py keeps `scores` of ties alone."""

    id: Text
    scores: list[FiniteFloat | Annotated[list[FiniteFloat], Field(min_length=1, max_length=1)]] | None
    results: FiniteFloat | None = None
    model: Text | None = None


class _Predicted(Content):
    criteria_preference: Text
    predicted: Text | None


_PAIRS = ("VL-RewardBench", "id", "query", "response", "human_ranking")
_CRITERIA = ("Omni-RewardBench", "id", "criteria", "criteria_preference")


def _official(row: int, content: Row, source: Source) -> Iterator[Answer]:
    # cal.py takes an item out of a column called "0", where pandas wrote it so, and leaves empty ones out
    inner = content.get("0", content)
    if inner is None:
        return
    read = source.take(_Official, row, inner)
    item = source.item(row, source.own(inner | {"human_ranking": read.ranking}, *_PAIRS))
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
    item, order = source.item(row, source.own(named, *_PAIRS)), ((1, 0) if swapped else (0, 1))
    for text in [texts] if isinstance(texts, str) else texts:
        yield Answer(row, item, order, text, right=read.vlreward_score.score == 1, protocol="lmms-eval")


def _rewardbench2(row: int, content: Row, source: Source) -> Iterator[Answer]:
    """Read the reward of each response; the items are found by their ids."""
    read = source.take(_Scored, row, content)
    if not read.scores:
        raise source.wrong(
            row,
            "scores",
            "there are none, as where run_generative_v2.py wrote it, which keeps no answer outside Ties",
            "Take the answers themselves, in the plain format.",
        )
    scores = [score[0] if isinstance(score, list) else score for score in read.scores]
    # their script counts the first response alone as right, of ties too
    if read.results is not None and abs(read.results - liked_best(scores, (0,))) > 1e-9:
        raise source.wrong(row, "results", f"{read.results} is not what its scores make", "Take the file as written.")
    for place, score in enumerate(scores):
        yield Answer(row, read.id, (place,), f"Reward: {score!r}", 0, protocol="rewards", model=read.model)


def _omni(row: int, content: Row, source: Source) -> Iterator[Answer]:
    """Read the last of up to five answers to an item, which their script asks as the file lists it."""
    read, (name, text) = source.take(_Predicted, row, content), _raw(content)
    source.take(_Said, row, {name: text})
    item, right = source.item(row, source.own(content, *_CRITERIA)), read.predicted == read.criteria_preference
    model = name.removesuffix(_RAW)
    yield Answer(row, item, (0, 1), text or "", right=right, protocol="official", model=model)


class _Said(RootModel[dict[str, Text | None]]):
    """An answer under its own name, or none."""


_RAW = "_raw_response"


def _raw(content: Row) -> tuple[str, Any]:
    """Find the answer in a row, under the model's name."""
    return next(((name, value) for name, value in content.items() if name.endswith(_RAW)), ("", None))


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
    "rewardbench2": Format(lambda row: {"num_correct", "subset"} <= set(row), _rewardbench2),
    "omni": Format(lambda row: "predicted" in row and bool(_raw(row)[0]), _omni),
    "plain": Format(lambda row: "id" in row and ("text" in row or "p_first" in row), _plain),
}
"""Formats by name, in the order they are tried."""


def _rows(path: Path) -> Iterator[Row]:
    """Yield the rows of a file; of one JSON object of columns, a row an entry, each with what is said of all."""
    document = json_document(path, "{")
    if document is None:
        yield from read_rows(path)
        return
    columns = {name: value for name, value in document.items() if isinstance(value, list)}
    if len({len(column) for column in columns.values()}) != 1:
        told = ", ".join(f"{name} {len(column)}" for name, column in columns.items()) or "none"
        raise DataError(f"{path.name}: its columns are not of one length ({told[:100]}).", "Take the file as written.")
    whole = {name: value for name, value in document.items() if name not in columns}
    for entries in zip(*columns.values(), strict=True):
        yield whole | dict(zip(columns, entries, strict=True))


def read_answers(path: Path, benchmark: Benchmark, name: str | None = None) -> tuple[str, list[Answer]]:
    """Read a file of judgments; return its format and its answers in stored order.

    Args:
        path: JSONL, parquet, or JSON as a benchmark's own script writes it.
        benchmark: the task's.
        name: the format, where it is not to be told from the first row.

    Raises:
        DataError: naming file, row, field, value and fix.
    """
    if name is not None and name not in FORMATS:
        raise unknown("format", name, FORMATS)
    source, answers = Source(path, benchmark), list[Answer]()
    for number, content in enumerate(_rows(path), 1):
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
