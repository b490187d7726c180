"""Reads users' parquet, JSONL and hub tables row by row, checked.

Whatever is wrong with a file is one line that names file, row, field, value and fix. Images are
bytes in the table, a path beside the file, or a data URL; they are decoded once, here, so that no
later stage meets an unreadable one.
"""

import hashlib
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, Literal, NamedTuple

from harness.data.images import image_file, image_of
from harness.errors import DataError, HarnessError
from harness.extras import require
from harness.texts import shortened

Row = dict[str, Any]
JSON_LINES = (".jsonl", ".json", ".ndjson")


class Field(NamedTuple):
    """One column: how a value is checked and brought into its canonical form."""

    parse: Callable[[Any], Any]
    wanted: str
    """What a value must be, for the error message."""
    optional: bool = False


def text(value: Any) -> str:
    """Accept a non-empty string that can be written as UTF-8."""
    if not isinstance(value, str) or not value.strip():
        raise ValueError
    value.encode()
    return value


PLACEHOLDERS = re.compile(
    r"<image>\n?|<image_soft_token>|<start_of_image>|<video>|<\|(?:image_pad|video_pad|vision_start|vision_end)\|>"
)
"""What processors take for an image; in a text it would count as one more than there is."""


def speech(value: Any) -> str:
    """Accept a string that says something once image placeholders are taken out."""
    return text(PLACEHOLDERS.sub("", text(value))).strip()


def identifier(value: Any) -> str:
    """Accept a string or a whole number."""
    return text(str(value) if isinstance(value, int) and not isinstance(value, bool) else value)


def fingerprint(path: Path) -> str:
    """Hash a file's content."""
    try:
        about = path.stat()
        return _hashed(path, about.st_size, about.st_mtime_ns)
    except FileNotFoundError:
        raise DataError(f"{path} does not exist.", "Check the path.") from None
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}.", "Name a parquet or JSONL file.") from None


@cache
def _hashed(path: Path, size: int, changed: int) -> str:
    """Hash a file once while it stays as it is: a plan and its stages ask for the same ones."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def data_fingerprint(path: Path) -> str:
    """Hash a data file and the image files that its rows name."""
    digest = hashlib.sha256(fingerprint(path).encode())
    if path.suffix != ".parquet":
        for row in read_rows(path):
            for image in _named_images(row, path.parent):
                found = _image_if_allowed(image, path.parent)
                digest.update(fingerprint(found).encode() if found else b"")
    return digest.hexdigest()


def files_of(name: str, folder: Path) -> list[str]:
    """List what lies in a folder that a row names, sorted; nothing where it is none."""
    try:
        return [f"{name}/{file.name}" for file in sorted((folder / name).iterdir())]
    except (OSError, ValueError):
        # too long a name, or one with NUL: no folder's
        return []


IMAGE_NAMES = (".png", ".jpg", ".jpeg", ".webp", ".gif", ".bmp", ".tif", ".tiff")


def _named_images(value: Any, folder: Path, named: bool = False) -> Iterator[str]:
    """List the image files that a row may name: `image` and `image_path`, names like an image's, frames in a folder."""
    if isinstance(value, dict):
        for name, inner in value.items():
            if name == "video" and isinstance(inner, str):
                yield from files_of(inner, folder)
            yield from _named_images(inner, folder, name in ("image", "image_path"))
    elif isinstance(value, list):
        for inner in value:
            yield from _named_images(inner, folder)
    elif isinstance(value, str) and (named or value.lower().endswith(IMAGE_NAMES)) and not value.startswith("data:"):
        yield value


def _image_if_allowed(name: str, folder: Path) -> Path | None:
    try:
        path = image_file(name, folder)
        return path if path and path.is_file() else None
    except ValueError:
        # said with its row when the rows are read
        return None


def path_fingerprint(path: Path) -> str:
    """Hash a data file with its images, or every data file of a folder with theirs."""
    if not path.is_dir():
        return data_fingerprint(path)
    files = sorted(p for p in path.iterdir() if p.suffix in (".parquet", *JSON_LINES))
    return hashlib.sha256("".join(p.name + data_fingerprint(p) for p in files).encode()).hexdigest()


ROWS_AT_A_TIME = 64
"""Rows held in memory while a table is read; with their images they may be large."""


def read_rows(path: Path) -> Iterator[Row]:
    """Yield the rows of a parquet or JSONL file as they are, a few at a time; those of a JSON list at once."""
    if path.suffix == ".parquet":
        yield from parquet_rows(path)
    elif (rows := json_document(path, "[")) is not None:
        for number, row in enumerate(rows, 1):
            yield _object(row, f"{path}, row {number}")
    elif path.suffix in JSON_LINES:
        yield from _json_rows(path)
    else:
        raise DataError(f"{path} is neither parquet nor JSONL.", "Name a file ending in .parquet or .jsonl.")


def parquet_rows(path: Path, columns: list[str] | None = None) -> Iterator[Row]:
    """Yield the rows of a parquet file, or some columns of them, a few at a time."""
    import pyarrow
    import pyarrow.parquet

    try:
        with pyarrow.parquet.ParquetFile(path) as file:
            # asked for all of them at once, it would hold the groups that are read already
            for group in range(file.num_row_groups):
                for batch in file.iter_batches(ROWS_AT_A_TIME, row_groups=[group], columns=columns):
                    yield from batch.to_pylist()
    except FileNotFoundError:
        raise DataError(f"{path} does not exist.", "Check the path.") from None
    except (pyarrow.ArrowInvalid, OSError) as error:
        reason = " ".join(str(error).split())[:120]
        raise DataError(f"{path} is not a whole parquet file: {reason}", "Download or write it again.") from None


def _json_rows(path: Path) -> Iterator[Row]:
    try:
        file = path.open("rb")
    except FileNotFoundError:
        raise DataError(f"{path} does not exist.", "Check the path.") from None
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}.", "Name a parquet or JSONL file.") from None
    with file:
        for number, line in enumerate(file, 1):
            if line.strip():
                yield _json_row(line, f"{path}, row {number}")


def json_document(path: Path, opening: Literal["[", "{"]) -> Any:
    """Read a file `.json` that is one list, or one object over several lines; None for any other.

    Args:
        path: of any file.
        opening: of what is wanted. An object in a line of its own is a row, as in JSONL.

    Raises:
        DataError: if it is torn, or no JSON.
    """
    if path.suffix != ".json" or not path.is_file():
        return None
    with path.open("rb") as file:
        first = next((line for line in file if line.strip()), b"").strip()
    if not (first.startswith(b"[") if opening == "[" else first == b"{"):
        return None
    return _parsed(path.read_bytes(), f"{path}")


def _json_row(line: bytes, where: str) -> Row:
    return _object(_parsed(line, where), where)


def _object(value: Any, where: str) -> Row:
    if not isinstance(value, dict):
        raise DataError(f"{where}: {json.dumps(value)[:40]!r} is no JSON object.", "Write one object a line.")
    return value


def _parsed(text: bytes, where: str) -> Any:
    """Read a line, or a document; what is wrong with it is one line."""
    try:
        return json.loads(text.decode("utf-8"), object_pairs_hook=_once)
    except UnicodeDecodeError as error:
        raise DataError(f"{where}: not UTF-8 text ({error.reason} at byte {error.start}).", "Convert it.") from None
    except _TwiceError as error:
        raise DataError(f"{where}, field {error.args[0]!r}: it stands there twice.", "Keep one.") from None
    except json.JSONDecodeError as error:
        # only the last line can lack its end
        fix = "Mend the line." if text.endswith(b"\n") else "The last line is torn: write the file again."
        place = f" in line {error.lineno}" if error.lineno > 1 else ""
        raise DataError(f"{where}: not valid JSON ({error.msg}{place}).", fix) from None
    except (ValueError, RecursionError) as error:
        # a number of thousands of digits, or brackets without end
        raise DataError(f"{where}: not valid JSON ({str(error)[:80]}).", "Mend the line.") from None


class _TwiceError(Exception):
    """A field that stands twice in an object; of which one is meant nobody knows."""


def _once(pairs: list[tuple[str, Any]]) -> Row:
    row = dict(pairs)
    if len(row) < len(pairs):
        names = [name for name, _ in pairs]
        raise _TwiceError(next(name for name in names if names.count(name) > 1))
    return row


def checked_rows(
    rows: Iterable[Row],
    fields: Mapping[str, Field],
    source: str,
    folder: Path,
    aliases: Mapping[str, str] | None = None,
    keys: Sequence[str] = ("id",),
    images: Sequence[str] = ("image",),
    open_image: Callable[[Any, Path], Any] | None = None,
) -> Iterator[Row]:
    """Bring rows into canonical form, refusing the first wrong value and duplicate ids.

    Args:
        rows: as the file has them.
        fields: the columns wanted; others are dropped, so that no training stage ever sees them.
        source: the file's name in messages.
        folder: where relative image paths start.
        aliases: other spellings of a column, spelling to column.
        keys: the columns that name a row together.
        images: the columns that hold images, one or a list of them.
        open_image: (value, folder) to what the column's check is given; by default the image's bytes.

    Raises:
        DataError: naming file, row, field, value and fix.
    """
    seen: dict[bytes, bytes] = {}
    number = 0
    for number, row in enumerate(rows, 1):
        clean = checked_row(row, number, fields, source, folder, aliases, images, open_image)
        content = _digest(clean)
        name = _digest([clean[key] for key in keys])
        if (known := seen.get(name)) is not None:
            if known != content:
                first = f"field {keys[0]!r}: {clean[keys[0]]!r}"
                raise DataError(
                    f"{source}, row {number}, {first} was used before with other content.",
                    "Give every row an id of its own.",
                )
            continue
        seen[name] = content
        yield clean
    if not number:
        raise DataError(f"{source} holds no rows.", "Name a file with at least one.")


def checked_row(
    row: Row,
    number: int,
    fields: Mapping[str, Field],
    source: str,
    folder: Path,
    aliases: Mapping[str, str] | None = None,
    images: Sequence[str] = ("image",),
    open_image: Callable[[Any, Path], Any] | None = None,
) -> Row:
    """Bring row `number` of `source` into canonical form; see `checked_rows`."""
    if aliases:
        row = {name if name in fields else aliases.get(name, name): value for name, value in row.items()}
    missing = [name for name, field in fields.items() if name not in row and not field.optional]
    if missing:
        raise DataError(
            f"{source}, row {number}: no field {missing[0]!r} (it has {', '.join(sorted(row))}).",
            f"Every row needs {', '.join(name for name, field in fields.items() if not field.optional)}.",
        )
    clean: Row = {}
    for name, field in fields.items():
        value = row.get(name)
        if value is None and field.optional:
            clean[name] = None
            continue
        try:
            clean[name] = field.parse(_with_images(value, folder, open_image or image_of) if name in images else value)
        except (ValueError, TypeError, LookupError, OSError) as error:
            shown = shortened(value)
            # of a name that is not known, the error says no more than the value
            detail = f" ({str(error)[:200]})" if str(error) and not isinstance(error, LookupError) else ""
            raise DataError(
                f"{source}, row {number}, field {name!r}: {shown} is not {field.wanted}{detail}.", "Mend the row."
            ) from None
    return clean


def _with_images(value: Any, folder: Path, open_image: Callable[[Any, Path], Any]) -> Any:
    return [open_image(one, folder) for one in value] if isinstance(value, list) else open_image(value, folder)


def _digest(value: Any) -> bytes:
    """Hash what a row holds: one is kept of every row, so it is short."""
    return hashlib.blake2b(json.dumps(value, default=_json_bytes, sort_keys=True).encode(), digest_size=16).digest()


def _json_bytes(value: Any) -> str:
    if isinstance(value, bytes):
        return hashlib.sha256(value).hexdigest()
    raise TypeError(type(value).__name__)


def hub_folder(spec: str) -> Path:
    """Bring the JSON lines and images of `NAME[@REVISION]` from the hub; return their folder.

    Raises:
        HarnessError: if the hub cannot be reached and nothing is cached.
    """
    name, _, revision = spec.partition("@")
    return hub_snapshot(name, revision or None, ["*.jsonl", "*.jpg", "*.jpeg", "*.png"])


def hub_snapshot(name: str, revision: str | None, patterns: Sequence[str]) -> Path:
    """Bring the files of a hub data set that fit `patterns`; return their folder, named by the commit.

    Raises:
        HarnessError: if the hub cannot be reached and nothing is cached.
    """
    require(f"reading {name!r} from the hub", "train", ("datasets",))
    import huggingface_hub

    try:
        folder = huggingface_hub.snapshot_download(
            name, repo_type="dataset", revision=revision, allow_patterns=list(patterns)
        )
    except (ConnectionError, FileNotFoundError, OSError, ValueError) as error:
        raise _unreachable(name, error) from None
    return Path(folder)


def _unreachable(name: str, error: Exception) -> HarnessError:
    reason = " ".join(str(error).split())[:100]
    return HarnessError(
        f"hub data {name!r} cannot be loaded ({reason}).",
        f"On a machine with network: `hf download --repo-type dataset {name}`; "
        "or point --data / --preferences at a local copy.",
    )


def hub_rows(spec: str, split: str, part: str = "") -> Iterator[Row]:
    """Yield the rows of `NAME[@REVISION]`, or of one part of it, from the hub, or say how to get them.

    Raises:
        HarnessError: if the hub cannot be reached and nothing is cached.
    """
    require(f"reading {spec!r} from the hub", "train", ("datasets",))
    import datasets

    name, _, revision = spec.partition("@")
    try:
        table = datasets.load_dataset(name, part or None, revision=revision or None, split=split)
    except (ConnectionError, FileNotFoundError, OSError, ValueError) as error:
        raise _unreachable(name, error) from None
    for column, feature in table.features.items():
        if isinstance(feature, datasets.Image):
            table = table.cast_column(column, datasets.Image(decode=False))
        if isinstance(feature, datasets.List) and isinstance(feature.feature, datasets.Image):
            table = table.cast_column(column, datasets.List(datasets.Image(decode=False)))
    yield from table
