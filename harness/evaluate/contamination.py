"""Training pairs that an asked benchmark holds too: found before training, counted, and by default dropped.

A pair is one of the benchmark's where image and question are (`harness.data.likeness` says when they are). A shared
image alone, or a shared question alone, is counted apart and kept: another question about a known picture, or a stock
question such as "Describe the image.", gives no answer away. Of an item without an image the question is all there is,
and many pairs may ask a stock one, so there both responses of the pair must be among the item's too.
"""

import json
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from harness.data.benchmark import TABLE
from harness.data.canonical import column_names, row_count, write_rows
from harness.data.images import image_hash
from harness.data.likeness import Seen, alike, normalised, see
from harness.data.preferences import COLUMNS, stream_pairs
from harness.data.tables import Row, parquet_rows
from harness.errors import HarnessError
from harness.records.content import parts
from harness.training.sources import PAIRS
from harness.training.stages import Artifact, Progress

MATCHES = "matches.json"


class Match(NamedTuple):
    """A pair and an item with the same image and question; without an image, with the same question and responses."""

    pair: str
    task: str
    item: str
    image: str
    """`same pixels`, `alike`, or `none`."""
    bits: int
    """Of the images' perceptual hashes, those that differ."""
    question: str
    """As the pair has it."""


class _Asked(NamedTuple):
    """What a table of pairs or items asks, an entry an image: an item of several images stands there with each."""

    path: Path
    ids: list[str]
    questions: list[str]
    seen: Seen
    all_questions: set[str]
    """Also those of rows without an image."""
    told: dict[str, list[tuple[str, set[str]]]]
    """Items without an image by their question: each id, and the responses."""


def _rows(path: Path, *columns: str) -> Iterator[tuple[Row, list[bytes]]]:
    """Yield the rows of a table with their images; those of a table of pairs have one."""
    several = ["images"] if "images" in column_names(path) else []
    for row in parquet_rows(path, [*columns, "image", *several]):
        yield row, [image["bytes"] for image in (row["image"], *row.get("images", ())) if image]


def _read(path: Path, question: str, progress: Progress) -> _Asked:
    ids, questions, every = list[str](), list[str](), set[str]()
    told: dict[str, list[tuple[str, set[str]]]] = defaultdict(list)
    responses = ["response"] if "response" in column_names(path) else []

    def images() -> Iterator[bytes]:
        for row, own in _rows(path, "id", question, *responses):
            said = parts(row[question], len(row.get("images", ())))
            asked = normalised(" ".join(part for part in said if isinstance(part, str)))
            every.add(asked)
            ids.extend([row["id"]] * len(own))
            questions.extend([asked] * len(own))
            if responses and not own:
                told[asked].append((row["id"], set(map(normalised, row["response"]))))
            yield from own

    seen = see(images(), progress.advance)
    return _Asked(path, ids, questions, seen, every, told)


def contamination(
    out: Path, pairs: Artifact, tasks: Sequence[str], benchmarks: Sequence[Artifact], *, progress: Progress
) -> dict[str, Any]:
    """Find the pairs that are items of a benchmark, all of its items, whatever `--limit` asks.

    Reports, in all and by task, how many pairs are items (`both`), and how many share an image alone or a question
    alone; by task also how many of them have the very pixels (`same_pixels`), or are known by texts alone (`texts`).
    """
    tables = [benchmark.path / TABLE for benchmark in benchmarks]
    progress.total(row_count(pairs.path / PAIRS) + sum(map(row_count, tables)), "images")
    ours = _read(pairs.path / PAIRS, "question", progress)
    matches, counts = list[Match](), dict[str, dict[str, int]]()
    either: tuple[set[int], set[int], set[int]] = (set(), set(), set())
    places = {name: place for place, name in enumerate(ours.ids)}
    for task, table in zip(tasks, tables, strict=True):
        theirs = _read(table, "query", progress)
        found, images = _matches(ours, theirs, task)
        by_texts = list(_by_texts(ours.path, theirs, task))
        found += by_texts
        both = {places[match.pair] for match in found}
        questions = {row for row, question in enumerate(ours.questions) if question in theirs.all_questions}
        same = {match.pair for match in found if match.image == "same pixels"}
        texts = len({match.pair for match in by_texts})
        counts[task] = {"both": len(both), "same_pixels": len(same), "texts": texts} | _alone(both, images, questions)
        matches += found
        for kept, new in zip(either, (both, images, questions), strict=True):
            kept |= new
    (out / MATCHES).write_text(json.dumps([match._asdict() for match in matches], indent=1))
    total = {"pairs": len(ours.ids), "both": len(either[0]), **_alone(*either)}
    return {**total, "by_task": counts}


def _alone(both: set[int], images: set[int], questions: set[int]) -> dict[str, int]:
    return {"image_only": len(images - both), "question_only": len(questions - both)}


def _matches(ours: _Asked, theirs: _Asked, task: str) -> tuple[list[Match], set[int]]:
    """Find what shares image and question, and the rows of ours that share an image."""
    rows, items = _by_image(ours.seen), _by_image(theirs.seen)
    near = alike(ours.seen.looks, theirs.seen.looks)
    hits = [
        (row, item, found.bits)
        for found in near
        for row in rows[found.one]
        for item in items[found.other]
        if ours.questions[row] == theirs.questions[item]
    ]
    pixels = _pixels(ours.path, {row for row, _, _ in hits}), _pixels(theirs.path, {item for _, item, _ in hits})
    asked = _texts(ours.path, {row for row, _, _ in hits})
    matches = [
        Match(
            ours.ids[row], task, theirs.ids[item],
            "same pixels" if pixels[0][row] == pixels[1][item] else "alike", bits, asked[row],
        )
        for row, item, bits in sorted(hits)
    ]  # fmt: skip
    return matches, {row for found in near for row in rows[found.one]}


def _by_texts(pairs: Path, theirs: _Asked, task: str) -> Iterator[Match]:
    """Find the pairs whose question is that of an item without an image, and both responses are among its responses."""
    for row in parquet_rows(pairs, ["id", "question", "chosen", "rejected"]) if theirs.told else ():
        answers = {normalised(row["chosen"]), normalised(row["rejected"])}
        for item, responses in theirs.told.get(normalised(row["question"]), ()):
            if len(answers) == 2 and answers <= responses:
                yield Match(row["id"], task, item, "none", 0, row["question"])


def _by_image(seen: Seen) -> dict[int, list[int]]:
    rows: dict[int, list[int]] = defaultdict(list)
    for row, image in enumerate(seen.place.tolist()):
        rows[image].append(row)
    return rows


def _pixels(table: Path, wanted: set[int]) -> dict[int, str]:
    """Hash the decoded pixels of some rows; the others are not decoded whole."""
    images = enumerate(image for _, own in _rows(table) for image in own) if wanted else ()
    return {place: image_hash(image) for place, image in images if place in wanted}


def _texts(pairs: Path, wanted: set[int]) -> dict[int, str]:
    rows = enumerate(parquet_rows(pairs, ["question"])) if wanted else ()
    return {place: row["question"] for place, row in rows if place in wanted}


def read_matches(found: Artifact) -> list[Match]:
    """Read what a check has found."""
    return [Match(**match) for match in json.loads((found.path / MATCHES).read_text())]


def without_contaminated(out: Path, pairs: Artifact, ids: list[str], *, progress: Progress) -> dict[str, Any]:
    """Leave out the pairs that a benchmark holds.

    Raises:
        HarnessError: if none are left.
    """
    dropped = set(ids)

    def kept() -> Iterator[Row]:
        return (row for row in stream_pairs(pairs.path / PAIRS, list(COLUMNS)) if row["id"] not in dropped)

    if not (count := write_rows(out / PAIRS, kept(), COLUMNS)):
        raise HarnessError(
            f"all {len(dropped):,} training pairs are items of an asked benchmark.",
            "Train on other pairs, or keep them knowingly: --set contamination.pairs=report.",
        )
    return {"pairs": count, "dropped": len(dropped)}
