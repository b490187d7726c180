"""How far copies of images lie from their originals and from others, what is found, and how long 100,000 pairs take.

    .venv/bin/python benchmarks/contamination.py
    .venv/bin/python benchmarks/contamination.py --nlvr ../shared/data/nlvr --pairs 100000 --scratch /tmp

Prints Markdown, which benchmarks/contamination.md holds. The last part takes 11 GB of --scratch for a while.
"""

import argparse
import io
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from tabulate import tabulate

sys.path.insert(0, str(Path(__file__).parent.parent))

from PIL import Image

from harness.data.benchmark import COLUMNS as ITEM_COLUMNS
from harness.data.benchmark import TABLE
from harness.data.canonical import write_rows
from harness.data.likeness import BITS_APART, COLOURS_APART, TONES_APART, Looks, alike, looks, see, small_copy
from harness.data.preferences import COLUMNS as PAIR_COLUMNS
from harness.data.tables import parquet_rows
from harness.embedded.data import benchmark_rows, preference_rows
from harness.evaluate.contamination import contamination
from harness.settings import WorldSettings
from harness.training.sources import PAIRS
from harness.training.stages import Artifact, Silent
from tests.data.copies import reencoded, resized, rewritten

COPIES: dict[str, Callable[[bytes], bytes]] = {
    "JPEG, quality 75": reencoded,
    "resized to 90 %": resized,
    "resized to 90 %, JPEG 75": lambda data: resized(data, format_="JPEG"),
    "resized to 50 %, JPEG 75": lambda data: resized(data, 0.5, "JPEG"),
}


def described(images: list[bytes]) -> Looks:
    """Look at every image, equal files too."""
    return looks(np.stack([small_copy(image) for image in images]))


def apart(ones: Looks, others: Looks) -> np.ndarray:
    """Return bits, tones and colours apart, row by row; shape [3, images]."""
    tones = np.sqrt(((ones.tones - others.tones) ** 2).mean(axis=1))
    colours = np.abs(ones.colours - others.colours).max(axis=1)
    return np.stack([(ones.bits != others.bits).sum(axis=1), tones, colours])


def nearest(ones: Looks, others: Looks) -> np.ndarray:
    """Return the distances of each image to that of `others` whose tones are nearest."""
    squares = (others.tones**2).sum(axis=1) - 2 * ones.tones @ others.tones.T
    place = squares.argmin(axis=1)
    return apart(ones, Looks(*(part[place] for part in others)))


def told(found: np.ndarray) -> list[str]:
    """Write median, 99th percentile and greatest of each distance, or the least where images should be apart."""
    return [" / ".join(f"{value:.3g}" for value in np.quantile(row, [0.5, 0.99, 1])) for row in found]


def distances(kinds: dict[str, tuple[list[bytes], list[bytes]]]) -> None:
    """Print how far copies are from their originals, and the nearest others from each other."""
    rows = []
    for kind, (images, others) in kinds.items():
        originals = described(images)
        for name, copy in COPIES.items():
            found = apart(described([copy(image) for image in images]), originals)
            within = (found <= np.array([[BITS_APART], [TONES_APART], [COLOURS_APART]])).all(axis=0)
            rows.append([kind, name, len(images), *told(found), f"{100 * within.mean():.1f} %"])
        near = nearest(originals, described(others))
        within = (near <= np.array([[BITS_APART], [TONES_APART], [COLOURS_APART]])).all(axis=0)
        least = [" / ".join(f"{value:.3g}" for value in np.quantile(row, [0, 0.01, 0.5])) for row in near]
        rows.append([kind, "nearest other image", len(images), *least, f"{100 * within.mean():.1f} %"])
    header = ["images", "against", "how many", f"bits (≤ {BITS_APART})", f"tones (≤ {TONES_APART})",
              f"colours (≤ {COLOURS_APART:.0f})", "alike"]  # fmt: skip
    print(tabulate(rows, header, tablefmt="github", disable_numparse=True), "\n")


def stage(folder: Path, pairs: Iterator[dict[str, Any]], items: list[dict[str, Any]]) -> dict[str, Any]:
    """Run the check on rows; return its report, with seconds of the clock and of the processors."""
    ours, theirs = folder / "pairs", folder / "items"
    for place in (ours, theirs):
        place.mkdir(exist_ok=True)
    for table, rows, columns in ((ours / PAIRS, pairs, PAIR_COLUMNS), (theirs / TABLE, items, ITEM_COLUMNS)):
        blank: dict[str, Any] = {name: [] if kind == "images" else None for name, kind in columns.items()}
        write_rows(table, ({**blank, **row} for row in rows), columns)
    os.sync()
    clock, processors = time.monotonic(), time.process_time()
    info = contamination(folder, Artifact("", "", ours), ["task"], [Artifact("", "", theirs)], progress=Silent())
    return info | {"clock": time.monotonic() - clock, "processors": time.process_time() - processors}


def planted(folder: Path) -> None:
    """Plant copies of items of world 0 among its pairs; then check worlds that share nothing."""
    items = list(benchmark_rows(WorldSettings()))
    own = list(preference_rows(WorldSettings()))
    rows = []
    for name, copy in list(COPIES.items())[:3]:
        copies = [
            {"id": f"planted {row['id']}", "image": copy(row["image"]), "question": rewritten(row["query"])}
            for row in items[:: len(items) // 100][:100]
        ]
        info = stage(folder, iter([*own, *copies]), items)
        rows.append([name, len(copies), info["both"]])
    print(tabulate(rows, ["planted copies, questions rewritten", "planted", "found"], tablefmt="github"), "\n")
    rows = []
    for seed in range(5):
        pairs = list(preference_rows(WorldSettings(seed=seed)))
        for other in (seed, seed + 1):
            info = stage(folder, iter(pairs), list(benchmark_rows(WorldSettings(seed=other))))
            rows.append([seed, other, info["pairs"], info["both"], info["image_only"], info["question_only"]])
    header = ["pairs of world", "items of world", "pairs", "image and question", "image alone", "question alone"]
    print(tabulate(rows, header, tablefmt="github"), "\n")


def photograph(rng: np.random.Generator) -> bytes:
    """Draw noise with the spectrum of photographs, 640 x 480 pixels, as a JPEG of quality 75."""
    width, height = 640, 480
    radius = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width))
    size = np.maximum(radius, 1 / width) ** -1.1
    layers = [np.fft.irfft2(size * np.exp(2j * np.pi * rng.random(size.shape)), (height, width)) for _ in range(4)]
    grey, *colours = (layer / layer.std() for layer in layers)
    pixels = 128 + np.stack([50 * grey + 20 * colour for colour in colours], axis=-1)
    file = io.BytesIO()
    Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(file, "JPEG", quality=75)
    return file.getvalue()


def speed(folder: Path, count: int) -> None:
    """Check `count` pairs against 1,250 items; every file is another one, or each serves three pairs."""
    rng = np.random.default_rng(0)
    photographs = [photograph(rng) for _ in range(500)]
    items = [{"id": str(i), "query": f"question {i}?", "image": photographs[i % 500]} for i in range(1250)]

    def file(number: int) -> bytes:
        # bytes behind its end make it another file, which has to be decoded
        return photographs[number % 500] + number.to_bytes(4, "big")

    rows = []
    for name, each in (("every image another file", 1), ("three pairs an image", 3)):
        pairs = ({"id": str(i), "question": f"asked {i}", "image": file(i // each)} for i in range(count))
        info = stage(folder, pairs, items)
        rows.append([name, f"{count:,}", f"{info['clock']:.0f}", f"{info['processors']:.0f}"])
    size = sum(map(len, photographs)) / len(photographs)
    print(f"Images: JPEGs of 640 x 480 pixels and {size / 1000:.0f} kB on average; {os.cpu_count()} cores.\n")
    print(tabulate(rows, ["pairs", "how many", "seconds of the clock", "of the processors"], tablefmt="github"), "\n")
    known = see(row["image"]["bytes"] for row in parquet_rows(folder / "items" / TABLE, ["image"])).looks
    many = Looks(*(np.concatenate([part] * (count // len(part) + 1))[:count] for part in known))
    start = time.monotonic()
    alike(Looks(many.bits, many.tones + 50, many.colours), Looks(*(np.concatenate([p] * 3)[:1250] for p in known)))
    print(f"Holding {count:,} images against 1,250 takes {time.monotonic() - start:.1f} s of it; the rest is decoding.")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--nlvr", type=Path, help="a folder with preferences.parquet and benchmark.parquet")
    parser.add_argument("--pairs", type=int, default=100_000)
    parser.add_argument("--scratch", type=Path)
    parser.add_argument("--only", choices=("distances", "planted", "speed"))
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.scratch) as scratch:
        if options.only in (None, "distances"):
            world = [list(dict.fromkeys(row["image"] for row in rows)) for rows in (
                benchmark_rows(WorldSettings()), preference_rows(WorldSettings()),
            )]  # fmt: skip
            kinds = {"embedded, 48 x 48": (world[0], world[1])}
            if options.nlvr:
                files = [options.nlvr / f"{name}.parquet" for name in ("benchmark", "preferences")]
                ours, theirs = (dict.fromkeys(r["image"]["bytes"] for r in parquet_rows(f, ["image"])) for f in files)
                kinds["NLVR, 400 x 100"] = (list(ours), [image for image in theirs if image not in ours])
            distances(kinds)
        if options.only in (None, "planted"):
            planted(Path(scratch))
        if options.only in (None, "speed"):
            speed(Path(scratch), options.pairs)


if __name__ == "__main__":
    main()
