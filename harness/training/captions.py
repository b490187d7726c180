"""Captions for the pairs that bring none: the judge's own base model describes each image once."""

from pathlib import Path
from typing import Any

from harness.config import CaptionSettings, JudgeSettings
from harness.training.sources import PAIRS, judge_settings
from harness.training.stages import Artifact, Progress


def caption(
    out: Path, pairs: Artifact, base: Artifact, judge: JudgeSettings, settings: CaptionSettings, *, progress: Progress
) -> dict[str, Any]:
    """Fill in missing captions; equal images are described once."""
    import io

    import pyarrow.parquet
    from PIL import Image

    from harness.data.preferences import COLUMNS
    from harness.data.tables import image_hash, write_rows

    rows = pyarrow.parquet.read_table(pairs.path / PAIRS).to_pylist()
    for row in rows:
        row["image"] = row["image"]["bytes"]
    bare = {image_hash(row["image"]): row["image"] for row in rows if row["caption"] is None}
    described: dict[str, str] = {}
    if bare:
        from harness.judge.model import Decoding, Judge, Question

        progress.total(len(bare), "images")
        captioner = Judge(judge_settings(judge, base), settings.precision)
        asked = [Question(Image.open(io.BytesIO(data)), settings.prompt) for data in bare.values()]
        decoding = Decoding(settings.max_new_tokens)
        answers = captioner.answer(asked, decoding, settings.batch_size, on_batch=progress.advance)
        described = {name: drawn[0].text for name, drawn in zip(bare, answers, strict=True)}
    for row in rows:
        if row["caption"] is None:
            row["caption"] = described[image_hash(row["image"])] or "nothing"
    write_rows(out / PAIRS, rows, COLUMNS)
    return {"pairs": len(rows), "captioned": len(bare)}
