"""Captions for the pairs that bring none: the judge's own base model describes each image once."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

from harness.settings import CaptionSettings, JudgeSettings
from harness.training.sources import PAIRS, judge_settings
from harness.training.stages import ENGINE, Artifact, Progress

CAPTIONS = "captions.jsonl"


def caption(
    out: Path, pairs: Artifact, base: Artifact, judge: JudgeSettings, settings: CaptionSettings, *, progress: Progress
) -> dict[str, Any]:
    """Fill in missing captions, or leave them; equal images are described once, and after a crash those owed."""
    from harness.data.canonical import write_rows
    from harness.data.images import image_hash
    from harness.data.preferences import COLUMNS, stream_pairs
    from harness.engines.resumable import used

    table = pairs.path / PAIRS
    bare: dict[str, int] = {}
    for place, row in enumerate(stream_pairs(table, list(COLUMNS))):
        if row["caption"] is None and settings.missing == "describe":
            bare.setdefault(image_hash(row["image"]), place)
    lines = _describe(out, table, bare, judge_settings(judge, base), settings, progress) if bare else []
    described = {line["image"]: line["caption"] for line in lines}

    def filled() -> Iterator[dict[str, Any]]:
        for row in stream_pairs(table, list(COLUMNS)):
            if row["caption"] is None and described:
                row["caption"] = described[image_hash(row["image"])] or "nothing"
            yield row

    count = write_rows(out / PAIRS, filled(), COLUMNS)
    return {"pairs": count, "captioned": len(bare), **used(lines)}


def without_captions(out: Path, pairs: Artifact, *, progress: Progress) -> dict[str, Any]:
    """Take every caption away, so that experts read question and answers alone."""
    from harness.data.canonical import write_rows
    from harness.data.preferences import COLUMNS, stream_pairs

    bare = ({**row, "caption": ""} for row in stream_pairs(pairs.path / PAIRS, list(COLUMNS)))
    return {"pairs": write_rows(out / PAIRS, bare, COLUMNS)}


def _describe(
    out: Path, table: Path, bare: dict[str, int], judge: JudgeSettings, settings: CaptionSettings, progress: Progress
) -> list[dict[str, Any]]:
    """Let the engine describe images, given by hash and place; return a line for each, with hash and caption."""
    from harness.data.canonical import open_images
    from harness.data.images import opened
    from harness.engines.engine import Decoding, Question, open_engine
    from harness.engines.resumable import read_answers, write_answers

    progress.total(len(bare), "images")
    image = open_images(table)
    with closing(open_engine(judge, settings, out / ENGINE)) as engine:
        write_answers(
            out / CAPTIONS,
            engine,
            list(bare),
            lambda name: Question((opened(image(bare[name])), settings.prompt)),
            lambda name, drawn: {"image": name, "caption": drawn[0].text},
            Decoding(settings.max_new_tokens),
            done=progress.advance,
        )
    return read_answers(out / CAPTIONS)
