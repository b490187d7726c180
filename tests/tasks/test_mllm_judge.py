import json
import runpy
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from harness.bounded_yaml import parse
from harness.counting.metrics import METRICS, estimate
from harness.data.benchmark import read_items, write_benchmark
from harness.data.tables import read_rows
from harness.errors import DataError
from harness.protocols import find_protocol
from harness.records import Item, Judgment
from harness.settings import WorldSettings
from tests.toys import ROOT

hooks = runpy.run_path(str(ROOT / "tasks/mllm_judge/hooks.py"))
SCORE = {
    "score_id": 6,
    "id": 101,
    "name": "gpt4",
    "answer": "A lime.",
    "instruction": "What fruit is shown?",
    "image_path": "101.jpg",
    "original_dataset": "llava_bench",
    "human": 3,
}
PAIR = {
    "pair_id": 5,
    "id": 0,
    "image_path": "101.jpg",
    "original_dataset": "coco",
    "instruction": "Why?",
    "answer1": {"name": "gpt4", "answer": "One."},
    "answer2": {"name": "llava", "answer": "Two."},
    "human": "B",
}
BATCH = {
    "id": 200,
    "instruction": "What?",
    "image_path": "image/101.jpg",
    "original_dataset": "WIT",
    "answers": [{"name": n, "answer": n} for n in ("llava", "cogvlm", "gpt4", "gemini")],
    "human": "CDAB",
}


def load(folder: Path, kind: str, *rows: dict) -> list[Item]:
    """Write rows as the benchmark's file, with an image in the folder that its repository uses."""
    (folder / "image").mkdir(exist_ok=True)
    Image.new("RGB", (8, 8)).save(folder / "image" / "101.jpg")
    benchmark = hooks["BENCHMARKS"][kind]
    path = folder / benchmark.file
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    write_benchmark(folder / "out.parquet", read_rows(path), path.name, folder, benchmark)
    return read_items(folder / "out.parquet")


def without(row: dict, *names: str, **changes: object) -> dict:
    return {key: value for key, value in row.items() if key not in names} | changes


def test_both_spellings_of_the_label_are_read_and_ids_are_the_records_own(tmp_path: Path) -> None:
    (score,) = load(tmp_path, "score", without(SCORE, "human", human_answer="3"))
    assert (score.label, score.source_id, score.slice) == (3, "6", "CC-3M")
    one, other = load(tmp_path, "pair", PAIR, without(PAIR, "human", pair_id=6, human_answer="C"))
    assert (one.label, other.label) == (1, "tie")
    (batch,) = load(tmp_path, "batch", BATCH)
    assert batch.label == (2, 3, 0, 1)
    assert batch.slice == "WIT"


@pytest.mark.parametrize(
    ("kind", "row", "says"),
    [
        ("score", {**SCORE, "human": 6}, "score.jsonl, row 1, field 'human': 6 is not a grade from 1 to 5"),
        ("score", {**SCORE, "human": True}, "field 'human': True"),
        ("pair", {**PAIR, "human": "D"}, "pair.jsonl, row 1, field 'human': 'D' is not A, B, or C"),
        ("pair", {**PAIR, "image_path": "7.jpg"}, "field 'image_path': '7.jpg' is not a readable image"),
        ("pair", without(PAIR, "answer2"), "no field 'answer2'"),
        ("batch", {**BATCH, "human": "CDA"}, "'200': field 'human': 'CDA' is no order of the answers A, B, C, D"),
        ("batch", {**BATCH, "answers": BATCH["answers"][:2]}, "field 'answers'"),
        ("batch", {**BATCH, "original_dataset": "imagenet"}, "no slice is known for imagenet"),
    ],
)
def test_a_bad_record_is_named(tmp_path: Path, kind: str, row: dict, says: str) -> None:
    with pytest.raises(DataError) as caught:
        load(tmp_path, kind, row)
    assert says in str(caught.value)


def test_prompts_ask_for_what_the_readers_read() -> None:
    assert "[[3]]" in hooks["prompt"]("q", ["a"], False)
    pair = hooks["prompt"]("{first}", ["one", "two"], True)
    assert pair.index("Answer A:\none") < pair.index("Answer B:\ntwo")
    assert "{first}" in pair
    assert "Answer D:\nfour" in hooks["prompt"]("q", ["one", "two", "three", "four"], False)


@pytest.mark.parametrize("kind", ["score", "pair", "batch"])
def test_embedded_items_are_sound_and_drawn_from_the_seed(tmp_path: Path, kind: str) -> None:
    benchmark, rows = hooks["BENCHMARKS"][kind], hooks["EMBEDDED"][kind]
    world = WorldSettings(items=200)
    write_benchmark(tmp_path / "out.parquet", rows(world), "embedded", tmp_path, benchmark)
    items = read_items(tmp_path / "out.parquet")
    assert len(items) == {"score": 80, "pair": 80, "batch": 40}[kind]
    assert all(len(set(item.responses)) == len(item.responses) for item in items)
    again = [row["human"] for row in rows(world)]
    assert again == [row["human"] for row in rows(world)]
    assert again != [row["human"] for row in rows(world.model_copy(update={"seed": 1}))]
    assert len(set(again)) > 2


def test_released_batch_judgments_are_as_far_from_people_as_published() -> None:
    released = [("DACB", "CDAB"), ("CABD", "ACBD"), ("CBAD", "CBAD"), ("CABD", "CABD"), ("CADB", "CDBA")]
    protocol = find_protocol("published", "batch")
    items, judgments = [], []
    for number, (judged, people) in enumerate(released):
        label, reading = (tuple("ABCD".index(letter) for letter in order) for order in (people, judged))
        item = Item(
            item_id=str(number), source_id=str(number), question="", responses=tuple("abcd"), label=label, slice="COCO",
            cluster_id="x", image_hash="x",
        )  # fmt: skip
        items.append(item)
        judgments.append(Judgment(item_id=str(number), seed=0, order=(0, 1, 2, 3), text="", reading=reading, seconds=0))
    tally = protocol.tally(items, judgments)
    assert np.mean(tally["distance"]) == pytest.approx(0.3)
    assert np.mean(tally["raw"]) == pytest.approx(1.2)
    assert tally["random"][0] == pytest.approx(0.656, abs=5e-4)


def test_every_metric_of_a_kind_is_in_the_yaml_of_its_tasks() -> None:

    from harness.counting.metrics import METRICS
    from harness.registry import _PlainLoader, content_roots, find_tasks, group_of, read_task

    tasks = {name: path for name, path in find_tasks(content_roots()).items() if not group_of(path)}
    assert len(tasks) >= 5
    for path in tasks.values():
        listed = parse(path.read_text(), _PlainLoader)["metric_list"]
        assert [metric["metric"] for metric in listed] == list(METRICS[read_task(path).kind])


def test_released_grades_and_choices_are_counted_as_by_hand() -> None:
    """GPT-4V's released judgments of score_ids 0, 6, 8 and pair_ids 5, 8, beside the people's."""
    judged, people = [4, 4, 1], [3, 5, 2]
    # by hand: deviations (1, 1, -2) and (-1/3, 5/3, -4/3) give 4 / sqrt(6 * 14/3)
    items = [released(i, ("a",), grade) for i, grade in enumerate(people)]
    answers = [answered(i, (0,), grade) for i, grade in enumerate(judged)]
    tally = find_protocol("published:1", "score").tally(items, answers)
    assert estimate(METRICS["score"]["pearson"], tally) == pytest.approx(4 / (6 * 14 / 3) ** 0.5)
    pairs = [released(i, ("a", "b"), 0) for i in range(2)]
    tally = find_protocol("published:1", "pair-ties").tally(pairs, [answered(i, (0, 1), "first") for i in range(2)])
    assert estimate(METRICS["pair-ties"]["accuracy"], tally) == 1


def released(number: int, responses: tuple[str, ...], label: int) -> Item:
    return Item(
        item_id=str(number), source_id=str(number), question="", responses=responses, label=label, slice="COCO",
        cluster_id="x", image_hash="x",
    )  # fmt: skip


def answered(number: int, order: tuple[int, ...], reading: int | str) -> Judgment:
    return Judgment(item_id=str(number), seed=0, order=order, text="", reading=reading, seconds=0)
