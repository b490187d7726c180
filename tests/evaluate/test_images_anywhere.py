"""An item of 39 images passes whole through request, record and report; beyond a limit it is an error, never cut."""

import base64
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from harness.cli import main
from harness.data.images import image_hash
from harness.records import RunFolder
from tests.engines.small_server import Reply, answer, serving

IMAGES = 39
TEXTS = {"prompt": "What comes <image_1> next?", "response_a": "So: <image_1>", "response_b": "That: <image_1>"}
COUNTS = {"prompt": 7, "response_a": 16, "response_b": 16}


def photograph(number: int) -> bytes:
    """Draw noise, so that no image is small or another's."""
    rng = np.random.default_rng(number)
    file = io.BytesIO()
    Image.fromarray(rng.integers(0, 256, (240, 320, 3), np.uint8)).save(file, "PNG")
    return file.getvalue()


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> tuple[Path, list[str]]:
    """A file with an item of 39 images and one of three, and the hashes of the many in their order."""
    import pyarrow as pa
    import pyarrow.parquet

    pictures = [photograph(number) for number in range(IMAGES)]
    rows = []
    for number, counts in enumerate((COUNTS, dict.fromkeys(COUNTS, 1))):
        row: dict[str, Any] = {"pair_id": f"{number}", "chosen": "A", "prompt_source": "toy", "prompt_metadata": None}
        left = iter(pictures)
        for name, count in counts.items():
            row[f"{name}_text"] = TEXTS[name] + (" the other" if number else "")
            row[f"{name}_images"] = [{"bytes": next(left), "path": None} for _ in range(count)]
        rows.append(row)
    path = tmp_path_factory.mktemp("many") / "many.parquet"
    pyarrow.parquet.write_table(pa.Table.from_pylist(rows), path)
    return path, list(map(image_hash, pictures))


def said(body: dict[str, Any]) -> list[str]:
    """Name what a request holds: its texts, and the hashes of its images."""
    parts = body["messages"][0]["content"]
    urls = [part.get("image_url", {}).get("url", "").partition(",")[2] for part in parts]
    return [image_hash(base64.b64decode(url)) if url else part["text"] for part, url in zip(parts, urls, strict=True)]


def verdict(body: dict[str, Any], before: int) -> Reply:
    return answer('{"better_response": "A"}')


def command(url: str, data: Path, out: Path, *more: str) -> list[str]:
    asked = ["run", "--model", "openai", "--model-args", f"base_url={url},model=judge", "--tasks", "mmrb2_interleaved"]
    return [*asked, "--data", str(data), "--out", str(out), *more]


def test_every_image_stands_where_it_belongs_in_both_orders(data, tmp_path: Path, capsys) -> None:
    path, hashes = data
    with serving(verdict) as server:
        assert main(command(server.url, path, tmp_path / "run")) == 0
    many = [said(body) for body in server.bodies if len(body["messages"][0]["content"]) > IMAGES]
    asked, one, other = hashes[:7], hashes[7:23], hashes[23:]
    orders = [[part for part in parts if part in hashes] for parts in many]
    assert sorted(orders) == sorted([asked + one + other, asked + other + one])
    # words stand between the images, and not all before or behind them
    first = many[0]
    assert first[first.index(asked[0]) + 1].startswith("next?")
    folder = RunFolder(tmp_path / "run")
    (item, _) = folder.read_items("mmrb2_interleaved")
    assert list(item.images) == hashes
    assert [j.reading for j in folder.read_judgments("mmrb2_interleaved")] == ["first"] * 4

    assert main(["report", str(tmp_path / "run"), "-o", str(tmp_path / "run.html")]) == 0
    page = (tmp_path / "run.html").read_text()
    assert page.count("data:image/webp") == IMAGES
    assert len(page) < 50 * 2**20
    capsys.readouterr()


def test_beyond_the_limit_an_item_is_an_error_that_names_it_and_the_others_are_answered(
    data, tmp_path: Path, capsys
) -> None:
    path, _ = data
    with serving(verdict) as server:
        limited = command(server.url, path, tmp_path / "run", "--set", "judging.max_images=20")
        assert main(limited) == 4
        told = capsys.readouterr().err
        assert "39 images, and judging.max_images is 20" in told
        assert len(server.bodies) == 2
        # refused for good, so --resume does not ask again; without the limit it is asked
        assert main([*limited, "--resume"]) == 4
        assert len(server.bodies) == 2
        assert main([*command(server.url, path, tmp_path / "run"), "--resume", "--retry-errors"]) == 0
    judgments = (tmp_path / "run/judgments-mmrb2_interleaved.jsonl").read_text().splitlines()
    assert sum(json.loads(line)["reading"] == "first" for line in judgments) == 4
    capsys.readouterr()
