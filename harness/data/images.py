"""Images of data: where they may lie, and what is taken for one; bytes, a path, base64 or a data URL."""

import base64
import errno
import hashlib
import io
import os
import re
import stat
from pathlib import Path
from typing import Any

IMAGE_LIMIT = 89_478_485
"""Pixels beyond which an image is refused, as Pillow's own guard against decompression bombs."""
IMAGE_FOLDERS = ("image", "images")
"""Folders, beside the data or beside their folder, in which images lie."""
IMAGE_BYTES = 2**26
"""Bytes that an image's file may have."""
FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF")
"""Formats of images; Pillow knows others, of which one starts another program."""
_BASE64 = re.compile(r"[A-Za-z0-9+/\s]+={0,2}\s*")


def image_of(value: Any, folder: Path) -> bytes:
    """Return the encoded bytes of an image given in any of the usual ways."""
    if isinstance(value, dict):
        value = value.get("bytes") or value.get("path")
    if isinstance(value, bytes):
        return value
    if not isinstance(value, str):
        raise ValueError("neither bytes, a path, base64 nor a data URL")
    if value.startswith("data:image/"):
        return base64.b64decode(value.partition(",")[2], validate=True)
    if path := image_file(value, folder):
        return _read_image(path)
    if len(value) >= 64 and _BASE64.fullmatch(value):
        return base64.b64decode("".join(value.split()), validate=True)
    raise FileNotFoundError(errno.ENOENT, "there is no such file", value[:200])


def _read_image(path: Path) -> bytes:
    """Read an image's file, if it may be one: a device would never end."""
    about = path.stat()
    if not stat.S_ISREG(about.st_mode):
        raise ValueError("no regular file")
    if about.st_size > IMAGE_BYTES:
        raise ValueError(f"{about.st_size / 2**20:.0f} MiB is too large")
    return path.read_bytes()


def image_file(name: str, folder: Path) -> Path | None:
    """Find the file of an image; None if there is none.

    Raises:
        ValueError: if it lies elsewhere than with the data, or in a folder that the user names in `HARNESS_IMAGES`.
    """
    try:
        path = next((path for path in image_paths(name, folder) if path.exists()), None)
    except (OSError, ValueError):
        # too long a name, or one with NUL: no file's
        return None
    if path is None or path.is_dir():
        return None
    named = [Path(one) for one in os.environ.get("HARNESS_IMAGES", "").split(os.pathsep) if one]
    with_data = [folder, *(folder.parent / inner for inner in IMAGE_FOLDERS)]
    real = path.resolve()
    # the hub's cache holds links to blobs, beside the snapshots of which the data are one
    hub = real.parent.parent / "snapshots" if real.parent.name == "blobs" else None
    if hub and folder.resolve().is_relative_to(hub):
        return path
    if any(real.is_relative_to(one.resolve()) for one in (*with_data, *named)):
        return path
    raise ValueError(f"it lies outside {folder.resolve()}; say HARNESS_IMAGES={real.parent} if its images are meant")


def image_or_name(value: Any, folder: Path) -> bytes | str:
    """Return the bytes of an image, or its name where only that is known.

    A leading `image/` or `images/` is left out of a name: benchmarks spell it either way.
    """
    try:
        return image_of(value, folder)
    except FileNotFoundError:
        named = value.get("path") if isinstance(value, dict) else value
        if not isinstance(named, str) or not named.strip():
            raise ValueError("no name") from None
        # half a character, which JSON can hold and no record can, is refused with its row
        named.encode()
        name = Path(named)
        return str(Path(*name.parts[1:]) if name.parts[0] in ("image", "images") and name.parts[1:] else name)


def image_paths(name: str, folder: Path) -> list[Path]:
    """List where the image called `name` may lie: beside the data, or in its `image` or `images` folder."""
    folders = (folder, folder.parent)
    return [folder / name, *(f / inner / Path(name).name for f in folders for inner in IMAGE_FOLDERS)]


def image_bytes(value: Any) -> bytes:
    """Accept the bytes of an image that decodes."""
    from PIL import Image

    if len(value) > IMAGE_BYTES:
        raise ValueError(f"{len(value) / 2**20:.0f} MiB is too large")
    try:
        with Image.open(io.BytesIO(value), formats=FORMATS) as image:
            if image.width * image.height > IMAGE_LIMIT:
                raise ValueError(f"{image.width}x{image.height} pixels is too large")
            # as judges see it: what is wrong beside its pixels may show only now
            image.convert("RGB")
    except (OSError, SyntaxError, Image.DecompressionBombError) as error:
        raise ValueError(str(error)) from None
    return bytes(value)


def image_list(value: Any) -> list[bytes | str]:
    """Accept a list of images that decode; of one that is not at hand, its name."""
    if not isinstance(value, list):
        raise ValueError
    return [one if isinstance(one, str) else image_bytes(one) for one in value]


def some_images(value: Any) -> list[bytes | str]:
    """Accept a list that is not empty."""
    if not value:
        raise ValueError
    return image_list(value)


def opened(data: bytes) -> Any:
    """Open an image, upright; its pixels are decoded when they are asked for, its size is known at once."""
    from PIL import ExifTags, Image, ImageOps

    image = Image.open(io.BytesIO(data), formats=FORMATS)
    # asking a PNG for what it does not have would decode it
    if image.format != "PNG" or "exif" in image.info:
        turned = image.getexif().get(ExifTags.Base.Orientation, 1) != 1
        return ImageOps.exif_transpose(image) if turned else image
    return image


def image_hash(data: bytes) -> str:
    """Hash an image by its pixels, so that a re-encoded copy is the same image."""
    from PIL import Image

    with Image.open(io.BytesIO(data), formats=FORMATS) as image:
        pixels = image.convert("RGB")
        return hashlib.sha256(f"{pixels.size}".encode() + pixels.tobytes()).hexdigest()[:16]
