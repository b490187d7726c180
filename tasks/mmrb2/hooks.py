"""Multimodal RewardBench 2: requests and responses of texts and pictures, in the fields of its data set on the hub."""

import hashlib
import json
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from harness.data.benchmark import Benchmark, Entry
from harness.data.images import image_list
from harness.data.tables import PLACEHOLDERS, Field, Row, identifier, text
from harness.embedded import picture_items
from harness.evaluate.hooks import fill, task_hooks
from harness.records.content import mark
from harness.settings import WorldSettings

HERE = Path(__file__).parent
HUB = "rl-research/multimodal-rewardbench-2"
_PLACE = re.compile(r"<image_\d+>")


def content(said: str, images: Sequence[Any], before: int) -> str:
    """Put an item's marks in place of a text's own, as the authors rebuild their contents.

    Images are taken in the order in which they appear, whatever number a place has; a place without an image is left
    out; images without a place follow the text.

    Args:
        said: with places `<image_N>`, or empty beside an image.
        images: those of this text.
        before: images of the item that stand in earlier texts.
    """
    places = iter(range(before, before + len(images)))

    def taken(_: re.Match[str]) -> str:
        place = next(places, None)
        return "" if place is None else mark(place)

    marked = _PLACE.sub(taken, said).strip()
    return "\n".join(filter(None, [marked, *map(mark, places)]))


def prepare(row: Row, folder: Path) -> Row:
    """Bring a pair as the authors' build scripts write it into the fields of the data set on the hub.

    There a content is a list of ["text", words] and ["image", path]. One that is anything else is left as it is, for
    the check of its field to refuse.
    """
    if "prompt_content" not in row:
        return row
    contents = {"prompt": row["prompt_content"]}
    for name in ("response_a", "response_b"):
        response = row.get(name) or {}
        contents[name] = response.get("response_content") if isinstance(response, dict) else response
    flat = {key: row.get(key) for key in ("chosen", "prompt_source")}
    flat |= {"pair_id": row.get("id"), "prompt_metadata": json.dumps(row.get("prompt_metadata"), sort_keys=True)}
    for name, parts in contents.items():
        flat[f"{name}_text"], flat[f"{name}_images"] = parts, []
        if parts is None or (isinstance(parts, list) and all(map(_is_part, parts))):
            said = parts or []
            flat[f"{name}_text"] = "\n".join(what if kind == "text" else "<image_1>" for kind, what in said)
            flat[f"{name}_images"] = [what for kind, what in said if kind == "image"]
    return flat


def _is_part(part: Any) -> bool:
    if not isinstance(part, list) or len(part) != 2:
        return False
    return part[0] == "image" or (part[0] == "text" and isinstance(part[1], str))


def _said(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError
    value.encode()
    return PLACEHOLDERS.sub("", value)


def _chosen(value: Any) -> int:
    return "AB".index(_letter(value))


def _letter(value: Any) -> str:
    if not isinstance(value, str) or value.upper() not in ("A", "B"):
        raise ValueError
    return value.upper()


def _entry(slice_of: Callable[[dict[str, Any]], str]) -> Callable[[dict[str, Any]], Entry]:
    def entry(row: dict[str, Any]) -> Entry:
        texts, images = [], list[Any]()
        for name in ("prompt", "response_a", "response_b"):
            own = row[f"{name}_images"]
            said = content(row[f"{name}_text"] or "", own, len(images))
            if not said:
                raise ValueError(f"{name}_text is empty and {name}_images holds no image")
            texts.append(said)
            images += own
        asked = f"{row['prompt_source']}\n{row['prompt_metadata'] or row['prompt_text']}"
        prompt_id = hashlib.sha256(asked.encode()).hexdigest()[:16]
        return Entry(
            row["pair_id"], texts[0], (texts[1], texts[2]), row["chosen"], slice_of(row), tuple(images), prompt_id
        )

    return entry


def _source(row: dict[str, Any]) -> str:
    return str(row["prompt_source"])


def _pictured(row: dict[str, Any]) -> str:
    """Tell which responses hold pictures: judges lean towards those that do."""
    better, worse = ("ab"[place] for place in (row["chosen"], 1 - row["chosen"]))
    told = tuple(bool(row[f"response_{letter}_images"]) for letter in (better, worse))
    return {
        (True, True): "pictures in both",
        (False, False): "text alone",
        (True, False): "pictures in the better",
        (False, True): "pictures in the worse",
    }[told]


FIELDS = {
    "pair_id": Field(identifier, "a non-empty id"),
    "prompt_text": Field(_said, "a string"),
    "prompt_images": Field(image_list, "a list of readable images"),
    "response_a_text": Field(_said, "a string", optional=True),
    "response_a_images": Field(image_list, "a list of readable images"),
    "response_b_text": Field(_said, "a string", optional=True),
    "response_b_images": Field(image_list, "a list of readable images"),
    "chosen": Field(_chosen, "A or B"),
    "prompt_source": Field(text, "a non-empty string"),
    "prompt_metadata": Field(_said, "a string", optional=True),
}
PARTS = {
    "t2i": ("The request asks for a picture. The better one shows what was asked: things, counts, colours, places and "
            "any words in it; then it is the better made.", _source),
    "edit": ("The request asks for a change to a picture. The better response makes that change and leaves the rest "
             "as it was; then it is the better made.", _source),
    "interleaved": ("The request asks for text and pictures together. In the better response both follow the request, "
                    "belong to each other, and agree from picture to picture.", _source),
    "reasoning": ("The request asks a question about pictures. The better response is right, and its steps are; "
                  "whether it shows its steps in pictures or in words does not matter.", _pictured),
}  # fmt: skip
"""What each part asks a judge to look at, in our words, and what its items are sliced by."""


def _benchmark(part: str, slice_of: Callable[[dict[str, Any]], str]) -> Benchmark:
    return Benchmark(
        f"mmrb2_{part}",
        HUB,
        FIELDS,
        _entry(slice_of),
        keys=("pair_id",),
        image=None,
        image_lists=("prompt_images", "response_a_images", "response_b_images"),
        releases={"released": {"all": 1000}},
        part=part,
        prepare=prepare,
    )


def _prompt(criteria: str) -> Callable[[str, Sequence[str], bool], str]:
    words = (HERE / "judge.txt").read_text(encoding="utf-8").replace("{criteria}", criteria)
    return lambda question, shown, compares: fill(words, question, shown)


def _embedded(part: str) -> Callable[[WorldSettings], Iterator[dict[str, Any]]]:
    return lambda world: picture_items.rows(part, world)


TASKS = {
    f"mmrb2_{part}": task_hooks(
        _benchmark(part, slice_of), HERE / f"mmrb2_{part}.yaml", _prompt(criteria), _embedded(part)
    )
    for part, (criteria, slice_of) in PARTS.items()
}
for hooks in TASKS.values():
    globals().update(hooks.functions)
