"""Training rows: preference pairs as presentations in the judge's format, ready for TRL."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

from harness.data.preferences import read_pairs
from harness.judge.format import PLAIN, JudgeFormat, load_format
from harness.training.sources import PAIRS
from harness.training.stages import Artifact

Row = dict[str, Any]


class Presented(NamedTuple):
    """A pair in one order: its place in the table, its prompt, and which answer is the chosen one."""

    place: int
    pair: Row
    chosen_second: bool
    prompt: str


def checkpoint_format(location: str) -> JudgeFormat:
    """Return the format a checkpoint brings, or the one that general models are trained on."""
    folder = Path(location)
    return (load_format(folder) if folder.is_dir() else None) or PLAIN


def present(pairs: Artifact, format_: JudgeFormat, only: Iterable[str] | None = None) -> list[Presented]:
    """Show pairs in both orders, side by side, so that no order goes with the label.

    Args:
        pairs: the artifact with the pairs.
        format_: the judge's format.
        only: ids to keep; all of them if None.
    """
    keep = None if only is None else set(only)
    shown = []
    for place, pair in enumerate(read_pairs(pairs.path / PAIRS)):
        if keep is not None and pair["id"] not in keep:
            continue
        for chosen_second in (False, True):
            first, second = (pair["chosen"], pair["rejected"])[:: -1 if chosen_second else 1]
            shown.append(Presented(place, pair, chosen_second, format_.ask(pair["question"], first, second)))
    return shown


def rationale(pair: Row, words: int) -> str:
    """Return what the label's giver says of the preferred response.

    Data without a `rationale` column give the preferred response itself, cut to `words` words.
    """
    return pair["rationale"] or " ".join(pair["chosen"].split()[:words])


def conversation(role: str, text: str) -> list[dict[str, str]]:
    """Write one turn as TRL takes it; plain text, as part lists come back from Arrow altered."""
    return [{"role": role, "content": text}]


def with_images(pairs: Artifact, places: list[int], columns: dict[str, list[Any]]) -> Any:
    """Return a data set with the given columns and, looked up when a row is read, its pair's image.

    Args:
        pairs: the artifact with the pairs and their images.
        places: per row, the pair's place in the table.
        columns: the other columns.
    """
    import datasets

    table = datasets.Dataset.from_parquet(
        str(pairs.path / PAIRS), columns=["image"], cache_dir=str(pairs.path / "arrow")
    )
    images = table.cast_column("image", datasets.Image())

    def look_up(batch: dict[str, list[Any]]) -> dict[str, list[Any]]:
        return {**batch, "image": [images[place]["image"] for place in batch["image"]]}

    # copying images into the rows would double a large data set on the disk for each training
    return datasets.Dataset.from_dict({"image": places, **columns}).with_transform(look_up)
