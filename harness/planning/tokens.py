"""How many patches and tokens a model makes of an image, from its configuration alone; tests ask the processors.

Three ways are known. Qwen's towers (2.5-VL, 3-VL) scale an image to multiples of a merged patch, within `max_pixels`
(an icon, of fewer pixels than the processor's least, they scale up, which is left out here).
InternVL cuts it into square tiles of the aspect ratio nearest to its own, and adds a thumbnail. LLaVA-OneVision does
the same on a grid of resolutions, and leaves out the tokens of what it padded. The last two know no limit of pixels.
"""

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

from harness.errors import HarnessError


class Seen(NamedTuple):
    """What an image costs: tokens for the language model, patches for the vision tower."""

    tokens: int
    patches: int


def image_tokens(config: Mapping[str, Any], width: int, height: int, max_pixels: int | None = None) -> Seen:
    """Count what a model makes of one image.

    Args:
        config: the model's configuration.
        width: of the image, in pixels.
        height: likewise.
        max_pixels: to which an image is scaled down, where the processor has such a limit.

    Raises:
        HarnessError: for a type of model that is not known here.
    """
    kind = config.get("model_type", "")
    if kind.startswith("qwen"):
        return _qwen(config["vision_config"], width, height, max_pixels)
    if kind == "internvl":
        return _internvl(config, width, height)
    if kind == "llava_onevision":
        return _onevision(config, width, height)
    if "vision_config" in config and "image_size" in config["vision_config"]:
        return _plain(config["vision_config"])
    raise HarnessError(
        f"it is not known how many tokens a model of type {kind!r} makes of an image.",
        "Add it to harness/planning/tokens.py.",
    )


def _plain(vision: Mapping[str, Any]) -> Seen:
    """Count for a tower that scales every image to one size, as LLaVA's first and the embedded judge's do."""
    patches = (vision["image_size"] // vision["patch_size"]) ** 2
    return Seen(patches, patches)


def _qwen(vision: Mapping[str, Any], width: int, height: int, max_pixels: int | None) -> Seen:
    patch, merge = vision["patch_size"], vision["spatial_merge_size"]
    unit = patch * merge
    wide, high = (max(unit, round(side / unit) * unit) for side in (width, height))
    if max_pixels and wide * high > max_pixels:
        shrink = math.sqrt(width * height / max_pixels)
        wide, high = (max(unit, math.floor(side / shrink / unit) * unit) for side in (width, height))
    patches = (wide // patch) * (high // patch)
    return Seen(patches // merge**2, patches)


TILES = 12
"""Tiles at most, beside the thumbnail, that InternVL's processor cuts an image into."""


def _internvl(config: Mapping[str, Any], width: int, height: int) -> Seen:
    vision = config["vision_config"]
    (side, *_), (patch, *_) = ([*_pair(vision[key])] for key in ("image_size", "patch_size"))
    columns, rows = _nearest_grid(width, height, side)
    tiles = columns * rows + (columns * rows > 1)
    patches = (side // patch) ** 2
    # the two tokens that open and close an image are not counted per tile
    return Seen(tiles * round(patches * config.get("downsample_ratio", 0.5) ** 2) + 2, tiles * patches)


def _pair(value: Any) -> tuple[int, int]:
    return (value, value) if isinstance(value, int) else (value[0], value[1])


def _nearest_grid(width: int, height: int, side: int) -> tuple[int, int]:
    """Find columns and rows of the nearest aspect ratio; of equals the one that the image fills at least half."""
    grids = [(c, r) for c in range(1, TILES + 1) for r in range(1, TILES + 1) if c * r <= TILES]
    best, apart = (1, 1), math.inf
    for columns, rows in sorted(grids, key=lambda grid: grid[0] * grid[1]):
        distance = abs(width / height - columns / rows)
        larger = distance == apart and width * height > 0.5 * side**2 * columns * rows
        if distance < apart or larger:
            best, apart = (columns, rows), distance
    return best


def _onevision(config: Mapping[str, Any], width: int, height: int) -> Seen:
    vision = config["vision_config"]
    side, across = vision["image_size"], vision["image_size"] // vision["patch_size"]
    most = int(config.get("vision_aspect_ratio", "anyres_max_9").rpartition("_")[2])
    grids = [(side * c, side * r) for c in range(1, 7) for r in range(1, 7)]
    best_wide, best_high = max(grids, key=lambda grid: _filled(width, height, *grid))
    wide, high = across * (best_wide // side), across * (best_high // side)
    if width / height > wide / high:
        high -= (high - int(round(height * wide / width, 7))) // 2 * 2
    else:
        wide -= (wide - int(round(width * high / height, 7))) // 2 * 2
    kept, newlines = wide * high, high
    if (ratio := math.sqrt(wide * high / (most * across**2))) > 1.1:
        kept, newlines = int(high // ratio) * int(wide // ratio), int(high // ratio)
    tiles = 1 + (best_wide // side) * (best_high // side)
    return Seen(kept + newlines + across**2, tiles * across**2)


def _filled(width: int, height: int, wide: int, high: int) -> tuple[int, int]:
    """Rate a resolution: most of the image's own pixels kept, then least of its own left empty."""
    scale = min(wide / width, high / height)
    kept = min(int(width * scale) * int(height * scale), width * height)
    return kept, kept - wide * high
