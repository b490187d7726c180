"""Copies of images as they go round: re-encoded, and made smaller."""

import io

from PIL import Image


def reencoded(data: bytes, quality: int = 75) -> bytes:
    return _saved(Image.open(io.BytesIO(data)), "JPEG", quality)


def resized(data: bytes, share: float = 0.9, format_: str = "PNG") -> bytes:
    image = Image.open(io.BytesIO(data)).convert("RGB")
    size = round(image.width * share), round(image.height * share)
    return _saved(image.resize(size, Image.Resampling.LANCZOS), format_, 75)


def _saved(image: Image.Image, format_: str, quality: int) -> bytes:
    file = io.BytesIO()
    image.convert("RGB").save(file, format_, **({"quality": quality} if format_ == "JPEG" else {}))
    return file.getvalue()


def rewritten(question: str) -> str:
    """The same question with other spaces, another case and other punctuation."""
    return "  " + question.upper().replace(" ", "\u00a0 \n").rstrip("?") + " ?!"
