"""A benchmark's file in its own fields, as items and as one canonical table."""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import ValidationError

from harness.data.canonical import read_columns, write_rows
from harness.data.images import image_bytes, image_hash, image_or_name
from harness.data.tables import Field, Row, checked_rows, identifier, speech, text
from harness.errors import DataError
from harness.records import Item, Label, item_id
from harness.records.inventory import Inventory
from harness.records.item import GROUP
from harness.texts import shortened

TABLE = "benchmark.parquet"
"""File of an artifact that holds a benchmark."""


class Entry(NamedTuple):
    """One row of a benchmark in the harness's own terms, without the image that stands before the question."""

    source_id: str
    question: str
    """Like a response, it may mark where some of `images` stand (`harness.records.content`)."""
    responses: tuple[str, ...]
    label: Label
    slice: str
    images: tuple[bytes | str, ...] = ()
    """Images that are marked in question and responses; names where only those are known."""
    cluster: str | None = None
    """What the items are grouped by, where it is not the image before the question."""


class Benchmark(NamedTuple):
    """What a benchmark's file looks like."""

    task: str
    hub: str
    """Its data set on the hub, `NAME[@REVISION]`."""
    fields: Mapping[str, Field]
    entry: Callable[[Row], Entry]
    """A checked row to its entry; a ValueError says what is wrong with it, a StrayError that its slice is not known."""
    keys: Sequence[str] = ("id",)
    """The fields that name a row together, its id first; a row that comes twice is read once."""
    image: str | None = "image"
    """The field that holds the image before the question; None where images are marked, or there are none."""
    image_lists: Sequence[str] = ()
    """Fields that hold lists of images; `entry` is given their bytes."""
    aliases: Mapping[str, str] = {}
    """Other spellings of fields, spelling to field."""
    prepare: Callable[[Row, Path], Row | None] | None = None
    """(row as the file has it, where its relative paths start) to the row that is checked; None leaves it out."""
    slices: Sequence[str] = ()
    """The slices in the order they are printed; others follow by name."""
    releases: Mapping[str, Mapping[str, int]] = {}
    """Published releases, by name: items per slice, or under `all` where only the total is known."""
    file: str = ""
    """The task's file in a folder of data, on the disk or on the hub."""
    part: str = ""
    """The task's part of the data set on the hub, where it has several."""
    stray_fix: str = "Give the data a `category` column."
    """What to do about rows whose slice is not known."""

    @property
    def pictured(self) -> Sequence[str]:
        """The fields that hold images."""
        return (*((self.image,) if self.image else ()), *self.image_lists)

    def release(self, counts: Mapping[str, int]) -> str:
        """Name the published release with these counts per slice; `NO_RELEASE` if none, empty if none is known."""
        total = sum(counts.values())
        for name, known in self.releases.items():
            if known == counts or (set(known) == {"all"} and known["all"] == total):
                return name
        return NO_RELEASE if self.releases else ""


NO_RELEASE = "no published release"


def two_responses(value: Any) -> list[str]:
    """Accept a list of two non-empty strings."""
    if not isinstance(value, list) or len(value) != 2:
        raise ValueError
    return [speech(part) for part in value]


def ranking_of_two(value: Any) -> list[int]:
    """Accept [0, 1] or [1, 0]."""
    if not isinstance(value, list) or sorted(value) != [0, 1]:
        raise ValueError
    return [int(place) for place in value]


PAIR_FIELDS = {
    "id": Field(identifier, "a non-empty id"),
    "image": Field(image_bytes, "a readable image"),
    "query": Field(speech, "a non-empty string"),
    "response": Field(two_responses, "a list of two non-empty strings"),
    "human_ranking": Field(ranking_of_two, "a ranking: [0, 1] if the first response is better, [1, 0] if the second"),
    "category": Field(text, "a non-empty string", optional=True),
    "query_source": Field(text, "a non-empty string", optional=True),
}
"""VL-RewardBench's fields; `category`, where present, names the slice."""

COLUMNS = {
    "item_id": "text",
    "id": "text",
    "image": "image",
    "query": "text",
    "response": "texts",
    "label": "text",
    "slice": "text",
    "image_hash": "text",
    "images": "images",
    "image_hashes": "texts",
    "cluster": "text",
}
"""The canonical table; `label` is JSON."""
PICTURES = ("image", "images")
"""Its columns that hold images: the one before the question, and those that are marked."""


def write_benchmark(path: Path, rows: Iterable[Row], source: str, folder: Path, benchmark: Benchmark) -> dict[str, Any]:
    """Check `rows`, write the canonical table and return its counts and fingerprint.

    Args:
        path: the parquet file to write.
        rows: in the benchmark's own fields.
        source: the data's name in messages.
        folder: where relative image paths start.
        benchmark: says what a row looks like.

    Raises:
        DataError: naming file, row, field, value and fix.
    """
    inventory = Inventory()

    def canonical() -> Iterator[Row]:
        for row, entry in entries(rows, source, folder, benchmark):
            image = row[benchmark.image] if benchmark.image else None
            item = make_item(entry, benchmark, None if image is None else image_hash(image))
            inventory.add(item)
            yield {
                "item_id": item.item_id,
                "id": item.source_id,
                "image": image,
                "query": item.question,
                "response": list(item.responses),
                "label": json.dumps(item.label),
                "slice": item.slice,
                "image_hash": item.image_hash,
                "images": entry.images,
                "image_hashes": list(item.images),
                "cluster": item.cluster_id,
            }

    write_rows(path, canonical(), COLUMNS)
    return describe(inventory, source, benchmark)


def describe(inventory: Inventory, source: str, benchmark: Benchmark) -> dict[str, Any]:
    """Return the counts of a data set, its fingerprint, and the published release that it is."""
    slices = [name for name in benchmark.slices if name in inventory.counts]
    slices += sorted(set(inventory.counts) - set(slices))
    return {
        "items": sum(inventory.counts.values()),
        "slices": {name: inventory.counts[name] for name in slices},
        "fingerprint": inventory.fingerprint,
        "source": source,
        # the embedded world has a release's counts, and is none
        "release": "" if source == "embedded" else benchmark.release(inventory.counts),
    }


def make_item(entry: Entry, benchmark: Benchmark, image: str | None, name: str | None = None) -> Item:
    """Make an item of an entry, with the hash of its image, or the image's name where only that is known.

    Raises:
        DataError: if a name in it is longer than any name of a record.
    """
    # an image of which only the name is known is another than any that was seen
    images = tuple(one if isinstance(one, str) else image_hash(one) for one in entry.images)
    try:
        return Item(
            item_id=item_id(f"{benchmark.task}/{entry.source_id}", entry.question, entry.responses, images),
            source_id=entry.source_id,
            question=entry.question,
            responses=entry.responses,
            label=entry.label,
            slice=entry.slice,
            cluster_id=GROUP + entry.cluster if entry.cluster else image or name,
            image_hash=image,
            images=images,
        )
    except ValidationError as error:
        first = error.errors()[0]
        told = f"item {entry.source_id[:60]!r} of {benchmark.task}, {first['loc'][0]}: {first['msg']}"
        raise DataError(f"{told} (got {str(first['input'])[:60]!r}).", "Shorten it in the data.") from None


def without_images(benchmark: Benchmark) -> Benchmark:
    """Say what a row looks like where nothing is asked, so that its image may be absent or only named."""
    if benchmark.image is None:
        return benchmark
    known = benchmark.fields[benchmark.image]
    either = Field(lambda value: value if isinstance(value, str) else known.parse(value), known.wanted, optional=True)
    return benchmark._replace(fields={**benchmark.fields, benchmark.image: either})


def imageless_items(rows: Iterable[Row], source: str, folder: Path, benchmark: Benchmark) -> Iterator[Item]:
    """Yield the items of a benchmark whose images need not be at hand.

    Raises:
        DataError: naming file, row, field, value and fix.
    """
    for row, entry in entries(rows, source, folder, without_images(benchmark), image_or_name):
        yield imageless_item(row, entry, benchmark)


def imageless_item(row: Row, entry: Entry, benchmark: Benchmark) -> Item:
    """Make an item of one row that was checked by `without_images`."""
    image = row[benchmark.image] if benchmark.image else None
    if isinstance(image, str):
        return make_item(entry, benchmark, None, image)
    return make_item(entry, benchmark, None if image is None else image_hash(image))


def entries(
    rows: Iterable[Row],
    source: str,
    folder: Path,
    benchmark: Benchmark,
    open_image: Callable[[Any, Path], Any] | None = None,
) -> Iterator[tuple[Row, Entry]]:
    """Yield each checked row with its entry."""
    prepare = benchmark.prepare
    checked = checked_rows(
        filter(None, (prepare(row, folder) for row in rows)) if prepare else rows,
        benchmark.fields,
        source,
        folder,
        benchmark.aliases,
        keys=benchmark.keys,
        images=benchmark.pictured,
        open_image=open_image,
    )
    strays: list[str] = []
    for row in checked:
        try:
            yield row, benchmark.entry(row)
        except StrayError as stray:
            strays.append(str(stray)[:60])
        except ValueError as error:
            raise DataError(
                f"{source}, {benchmark.keys[0]} {shortened(row[benchmark.keys[0]])}: {str(error)[:200]}.",
                "Mend the row.",
            ) from None
    if strays:
        more = f" and {len(strays) - 10} more" if len(strays) > 10 else ""
        raise DataError(f"{source}: no slice is known for {', '.join(strays[:10])}{more}.", benchmark.stray_fix)


class StrayError(ValueError):
    """A row that belongs to no slice of its benchmark; names it."""


def read_items(path: Path) -> list[Item]:
    """Read the items of a canonical table, without their images."""
    return [item_of(row) for row in read_columns(path, [name for name in COLUMNS if name not in PICTURES])]


def item_of(row: Row) -> Item:
    """Make an item of a canonical row."""
    return Item(
        item_id=row["item_id"],
        source_id=row["id"],
        question=row["query"],
        responses=tuple(row["response"]),
        label=json.loads(row["label"]),
        slice=row["slice"],
        cluster_id=row["cluster"] or row["image_hash"],
        image_hash=row["image_hash"],
        images=tuple(row["image_hashes"]),
    )
