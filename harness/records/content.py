"""Texts with images in them: a mark in a text says where an image of its item stands.

An item lists the images that are marked, and `<image_3>` stands for the fourth of them. So a text with images stays a
text: it is counted, hashed, searched and shown as any other. Nothing is a mark that names no image of the item.
"""

import re
from collections.abc import Iterator, Sequence
from typing import TypeVar

T = TypeVar("T")
_MARK = re.compile(r"<image_(0|[1-9]\d{0,3})>")


def mark(place: int) -> str:
    """Write the mark of an item's image."""
    return f"<image_{place}>"


def parts(text: str, images: int) -> Iterator[str | int]:
    """Yield the pieces of a text and the places of the images between them, in their order.

    Args:
        text: with or without marks.
        images: how many the item has; what looks like a mark of another one is text.
    """
    start = 0
    for found in _MARK.finditer(text):
        place = int(found[1])
        if place < images:
            if before := text[start : found.start()].strip():
                yield before
            yield place
            start = found.end()
    if rest := text[start:] if start == 0 else text[start:].strip():
        yield rest


def filled(text: str, images: Sequence[T]) -> list[str | T]:
    """Return the pieces of a text, and the images themselves where it marks them."""
    return [part if isinstance(part, str) else images[part] for part in parts(text, len(images))]


def marked(text: str, images: int) -> list[int]:
    """List the images that a text marks, in the order in which they first stand there."""
    return list(dict.fromkeys(part for part in parts(text, images) if isinstance(part, int)))
