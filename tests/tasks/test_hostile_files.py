"""Hostile files in the fields of each benchmark: one clear line each, whatever is wrong."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from harness.data.benchmark import write_benchmark
from harness.data.tables import read_rows
from harness.errors import HarnessError
from tests.tasks import test_mmrb2, test_pairs_of_others, test_rewardbench2
from tests.tasks.loading import draw

TASKS: dict[str, tuple[Any, dict[str, Any], str, str]] = {
    # its benchmark, a row, a field of text and one of images
    "mmrb2": (test_mmrb2.benchmark(), test_mmrb2.ROW, "prompt_text", "prompt_images"),
    "rewardbench2": (test_rewardbench2.hooks["BENCHMARK"], test_rewardbench2.ROW, "prompt", ""),
    "ties": (test_rewardbench2.hooks["BENCHMARK"], test_rewardbench2.TIED, "prompt", ""),
    "vlrmbench": (test_pairs_of_others.vlrm["BENCHMARK"], test_pairs_of_others.SOLUTIONS, "question", "image"),
    "mm_rlhf": (test_pairs_of_others.mm["BENCHMARK"], test_pairs_of_others.RATED, "prompt", "image"),
    "omni": (test_pairs_of_others.omni["BENCHMARK"], test_pairs_of_others.BY_CRITERION, "prompt", "image"),
}
BUILT = {
    "id": "b", "prompt_content": [["text", "Which?"]], "chosen": "A", "prompt_source": "s", "prompt_metadata": {},
    "response_a": {"response_content": [["text", "One."]]}, "response_b": {"response_content": [["text", "Two."]]},
}  # fmt: skip
ODD = (
    *(None, True, 0, -1.5, float("nan"), float("inf"), 10**400),
    *("", " ", "\ud800", "\x00", "7" * 100_000, "A" * 64, ["A" * 64]),
    *([], [[]], [None], [1, "a"], {}, {"bytes": None, "path": None}, {"bytes": "x", "path": 3}),
    *("/etc/passwd", ["/etc/passwd"], {"path": "/etc/passwd"}, "../../../../etc/passwd", ["../../../../etc/passwd"]),
    *("/dev/zero", ["/dev/zero"], "data:image/png;base64,AA", ["data:image/png;base64,%%%"]),
    *([["text", "x", "y"]], [["image", {"a": 1}]], [["video", "a.mp4"]], {"response_content": 3}),
)
"""Values that a field may hold; for some fields one of them is right."""


def read(folder: Path, benchmark: Any, text: str, name: str = "rows.jsonl") -> str:
    """Read a file as a benchmark; return what was said of it, nothing where it could be read."""
    path = folder / name
    path.write_text(text, encoding="utf-8", errors="surrogatepass")
    try:
        write_benchmark(folder / "out.parquet", read_rows(path), path.name, folder, benchmark)
    except HarnessError as error:
        return str(error)
    return ""


def clear(told: str) -> bool:
    return (
        "\n" not in told
        and len(told) < 800
        and bool(re.search(r"row \d+|id '|holds no|not valid JSON|no slice|item '", told))
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    draw(tmp_path, "p0.png", "p1.png", "a0.png", "a1.png", "a.png", "b.png", "long/a.png")
    return tmp_path


@pytest.mark.parametrize("task", TASKS)
def test_a_wrong_value_in_any_field_is_one_line(folder: Path, task: str) -> None:
    benchmark, row, said, pictures = TASKS[task]
    assert read(folder, benchmark, json.dumps(row) + "\n") == ""
    for field in row:
        for value in ODD:
            told = read(folder, benchmark, json.dumps(row | {field: value}) + "\n")
            assert told == "" or clear(told), (field, value, told)
    for field in filter(None, (said, pictures)):
        for value in (float("nan"), 10**400, {"path": "/etc/passwd"}, "/dev/zero" if field == pictures else []):
            assert clear(read(folder, benchmark, json.dumps(row | {field: value}) + "\n")), (field, value)
        assert field in read(folder, benchmark, json.dumps({k: v for k, v in row.items() if k != field}) + "\n")


@pytest.mark.parametrize("task", TASKS)
def test_a_file_that_is_torn_or_holds_other_things_is_one_line(folder: Path, task: str) -> None:
    benchmark, row, said, _ = TASKS[task]
    line = json.dumps(row)
    texts = [
        "",
        "\n\n",
        line[:-9],
        f"{line}\n{line[:40]}",
        f"[{line}]",
        "7\n",
        "null\n",
        '{"a": 1, "a": 2}\n',
        "\x00\x01\n",
    ]
    texts += ["[" * 100_000, f'{{"id": {"9" * 5000}}}\n', f"{line}\n" + json.dumps(row | {said: "another"}) + "\n"]
    for text in texts:
        told = read(folder, benchmark, text)
        # another question under one id is another item where the question is part of the name
        assert clear(told) or (told == "" and "another" in text), (text[:60], told)
    # a list over several lines is what some authors publish
    assert read(folder, benchmark, json.dumps([row], indent=2), "rows.json") == ""
    for text in (json.dumps([row], indent=2)[:-9], json.dumps([row, 7]), "[]", json.dumps({"pairs": [row]}, indent=1)):
        assert clear(read(folder, benchmark, text, "rows.json")), text[:60]


def test_mmrb2_s_built_pairs_with_wrong_parts_are_one_line(folder: Path) -> None:
    benchmark = test_mmrb2.benchmark("t2i")
    assert read(folder, benchmark, json.dumps(BUILT) + "\n") == ""
    for field in BUILT:
        for value in ODD:
            told = read(folder, benchmark, json.dumps(BUILT | {field: value}) + "\n")
            assert told == "" or clear(told), (field, value, told)
