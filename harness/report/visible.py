"""Hostile text made visible: characters that hide, reorder or break are written by their number."""

import re
from typing import Any

HIDDEN = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u2064\u2066-\u206f"
    "\ud800-\udfff\ufeff\ufff9-\ufffb]"
)
"""Control characters but tab and line ends, direction marks and overrides, zero-width and lone halves."""


def visible(value: Any) -> Any:
    """Write the hidden characters of a plain text as ⟨U+202E⟩; leave whatever is no text, and markup, as it is."""
    if type(value) is not str:
        return value
    return HIDDEN.sub(lambda found: f"⟨U+{ord(found[0]):04X}⟩", value)
