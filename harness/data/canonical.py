"""Our own tables: parquet that the harness wrote, in whose columns it can trust, read row by row or at any place."""

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from harness.data.tables import Row, parquet_rows
from harness.scratch import part_of, sweep_parts

PART_ROWS, PART_BYTES = 256, 64 * 2**20
"""When a part of a table is written: after so many rows, or so many bytes of images."""


def write_rows(path: Path, rows: Iterable[Row], columns: Mapping[str, str]) -> int:
    """Write rows as parquet, part by part as they come; return how many.

    Args:
        path: the file.
        rows: dicts with every column.
        columns: column to kind: `text`, `texts`, `int`, `float`, `floats`, `image` (bytes, or None) or `images`.
    """
    import pyarrow as pa
    import pyarrow.parquet

    image = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    kinds = {
        "text": pa.string(),
        "texts": pa.list_(pa.string()),
        "int": pa.int64(),
        "float": pa.float64(),
        "floats": pa.list_(pa.float64()),
        "image": image,
        "images": pa.list_(image),
    }
    schema = pa.schema([(name, kinds[kind]) for name, kind in columns.items()])
    single = [name for name, kind in columns.items() if kind == "image"]
    several = [name for name, kind in columns.items() if kind == "images"]
    written = size = 0
    part: list[Row] = []
    with pyarrow.parquet.ParquetWriter(path, schema) as writer:

        def flush() -> None:
            nonlocal written, size
            writer.write_table(pa.Table.from_pylist(part, schema))
            written, size = written + len(part), 0
            part.clear()

        for row in rows:
            pictures: Row = {name: _picture(row[name]) for name in single}
            pictures |= {name: [_picture(data) for data in row[name]] for name in several}
            part.append({**row, **pictures})
            size += sum(len(row[name] or b"") for name in single)
            size += sum(len(data) for name in several for data in row[name])
            if len(part) == PART_ROWS or size >= PART_BYTES:
                flush()
        if part:
            flush()
    return written


def _picture(data: bytes | None) -> dict[str, bytes | None] | None:
    return None if data is None else {"bytes": data, "path": None}


def arrow_copy(path: Path, columns: list[str]) -> Path:
    """Copy columns of a parquet table into an Arrow stream beside it, once, so that rows can be read at any place."""
    import pyarrow as pa
    import pyarrow.parquet

    copy = path.with_suffix(".arrow")
    if not copy.exists():
        sweep_parts(copy)
        part = part_of(copy)
        with pyarrow.parquet.ParquetFile(path) as file, pa.OSFile(str(part), "wb") as sink:
            schema = pa.schema([file.schema_arrow.field(name) for name in columns])
            with pa.ipc.new_stream(sink, schema) as writer:
                for group in range(file.num_row_groups):
                    writer.write_table(file.read_row_group(group, columns).select(columns))
        part.replace(copy)
    return copy


def column_names(path: Path) -> list[str]:
    """List the columns of a canonical table."""
    import pyarrow.parquet

    return list(pyarrow.parquet.read_schema(path).names)


def row_count(path: Path) -> int:
    """Count the rows of a canonical table."""
    import pyarrow.parquet

    return int(pyarrow.parquet.read_metadata(path).num_rows)


def open_images(path: Path) -> Callable[[int], bytes]:
    """Open the images of a canonical table: by place, each read from the disk when it is asked for.

    They are laid end to end in a file beside the table, once. It is read and not mapped into memory, where
    the images of a large table would count as the process's own.
    """
    import numpy as np

    images, ends = path.with_suffix(".images"), path.with_suffix(".ends.npy")
    if not ends.exists():
        sweep_parts(images, ends)
        lengths = []
        with (part := part_of(images)).open("wb") as file:
            for row in parquet_rows(path, ["image"]):
                lengths.append(file.write(row["image"]["bytes"]))
        part.replace(images)
        with (part := part_of(ends)).open("wb") as file:
            np.save(file, np.cumsum(lengths, dtype=np.int64))
        part.replace(ends)
    stops = np.load(ends)

    def read(place: int) -> bytes:
        start, stop = int(stops[place - 1]) if place else 0, int(stops[place])
        with images.open("rb") as file:
            file.seek(start)
            return file.read(stop - start)

    return read


def read_columns(path: Path, columns: list[str]) -> list[Row]:
    """Read some columns of a canonical table; without the image this is light."""
    import pyarrow.parquet

    rows: list[Row] = pyarrow.parquet.read_table(path, columns=columns).to_pylist()
    return rows
