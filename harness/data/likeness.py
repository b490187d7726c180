"""When two images, or two questions, are one and the same for all that somebody has done to them since.

An image is known again by three things, all taken from its copy of 32 x 32 pixels, since each alone errs on some kind
of picture. `bits` are the signs of the low frequencies, the perceptual hash of Zauner, "Implementation and Benchmarking
of Perceptual Image Hash Functions" (2010): they tell drawings apart that are white nearly everywhere. `tones` tell
pictures apart that have one layout, and `colours` those that are equally bright; a JPEG keeps colours less well.
`benchmarks/contamination.md` says how far copies lie from each other, and how far other images.
"""

import hashlib
import io
import os
import unicodedata
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

SIDE = 32
"""Pixels of the copy that an image is known by."""
BITS_APART = 20
"""Of 63 bits, so many may differ between two images that are alike; between two others, about half of them do."""
TONES_APART = 2.25
"""Likewise the root mean square of the differences of tones, of 255 levels."""
COLOURS_APART = 24.0
"""Likewise the largest difference of colours: one thing in another colour is lost in a mean."""


def normalised(question: str) -> str:
    """Write a question without what changes nothing in it: width and composition, case, punctuation, spaces."""
    # folding case may take a composed sign apart
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", question).casefold())
    words = "".join(" " if unicodedata.category(sign)[0] == "P" else sign for sign in folded).split()
    # of a question that is punctuation alone, that is all there is
    return " ".join(words or folded.split())


class Looks(NamedTuple):
    """What images look like."""

    bits: NDArray[np.bool_]
    """Signs of the 63 lowest frequencies of brightness, shape [images, 63]."""
    tones: NDArray[np.float32]
    """Mean brightness of 16 x 16 fields, from 0 to 255, shape [images, 256]."""
    colours: NDArray[np.float32]
    """Mean blue and red difference of 8 x 8 fields, from -128 to 127, shape [images, 128]."""


YCC = np.array([[0.299, 0.587, 0.114], [-0.1687, -0.3313, 0.5], [0.5, -0.4187, -0.0813]], np.float32)
"""Red, green and blue to brightness and the two differences that JPEG keeps (ITU-T T.871)."""


def looks(small: NDArray[np.uint8]) -> Looks:
    """Describe images by their small copies, shape [images, 32, 32, 3]."""
    from scipy.fft import dctn

    split = small.astype(np.float32) @ YCC.T
    low = dctn(split[..., 0], axes=(1, 2))[:, :8, :8].reshape(len(small), -1)[:, 1:]
    return Looks(low > 0, _fields(split[..., :1], 16), _fields(split[..., 1:], 8))


def _fields(values: NDArray[np.float32], side: int) -> NDArray[np.float32]:
    """Average over side x side fields; shape [images, side * side * channels]."""
    images, _, _, channels = values.shape
    within = SIDE // side
    parts = values.reshape(images, side, within, side, within, channels)
    return np.asarray(parts.mean(axis=(2, 4)).reshape(images, -1))


def small_copy(data: bytes) -> NDArray[np.uint8]:
    """Make the copy of 32 x 32 pixels of an image, upright; a JPEG is decoded no finer than that needs."""
    from PIL import ExifTags, Image, ImageOps

    with Image.open(io.BytesIO(data)) as image:
        image.draft("RGB", (SIDE, SIDE))
        turned = image.getexif().get(ExifTags.Base.Orientation, 1) != 1
        upright = (ImageOps.exif_transpose(image) if turned else image).convert("RGB")
        return np.asarray(upright.resize((SIDE, SIDE), Image.Resampling.LANCZOS))


class Seen(NamedTuple):
    """The images of a table, each different file once."""

    looks: Looks
    place: NDArray[np.int64]
    """Of each row, the place of its image in `looks`."""


def see(images: Iterable[bytes], advance: Any = lambda rows: None) -> Seen:
    """Look at the images of a table, a few at a time and on every core.

    Args:
        images: the encoded image of each row; only those of a few rows are held at once.
        advance: is told of rows that are done.
    """
    known: dict[bytes, int] = {}
    place, found = list[int](), list[Looks]()
    # Pillow lets go of the interpreter while it decodes
    rows = iter(images)
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        while part := list(islice(rows, 256)):
            new: list[bytes] = []
            for image in part:
                name = hashlib.sha256(image).digest()
                if name not in known:
                    known[name] = len(known)
                    new.append(image)
                place.append(known[name])
            if new:
                found.append(looks(np.stack(list(pool.map(small_copy, new)))))
            advance(len(part))
    if not found:
        none = np.empty((0, 0), np.float32)
        return Seen(Looks(none.astype(bool), none, none), np.empty(0, np.int64))
    return Seen(Looks(*map(np.concatenate, zip(*found, strict=True))), np.array(place, np.int64))


class Alike(NamedTuple):
    """Two images that are alike, by their places, and how far apart they are."""

    one: int
    other: int
    bits: int
    tones: float


def alike(ones: Looks, others: Looks) -> list[Alike]:
    """Find the images that are alike; each is held against every other, a block of them in one product of matrices."""
    found = list[Alike]()
    if not len(ones.tones) or not len(others.tones):
        return found
    squares = (others.tones**2).sum(axis=1)
    for start in range(0, len(ones.tones), 4096):
        block = ones.tones[start : start + 4096]
        apart = (block**2).sum(axis=1)[:, None] + squares - 2 * block @ others.tones.T
        # large squares in float32: what is found is reckoned again
        for row, other in np.argwhere(apart <= 1.2 * block.shape[1] * TONES_APART**2):
            one = start + row
            bits = int((ones.bits[one] != others.bits[other]).sum())
            tones = float(np.sqrt(((ones.tones[one] - others.tones[other]) ** 2).mean()))
            colours = float(np.abs(ones.colours[one] - others.colours[other]).max())
            if bits <= BITS_APART and tones <= TONES_APART and colours <= COLOURS_APART:
                found.append(Alike(int(one), int(other), bits, round(tones, 2)))
    return found
