import json
from pathlib import Path

import pytest

from harness.counting.metrics import METRICS, estimate
from harness.errors import DataError
from harness.evaluate.hooks import load_hooks, shown_parts
from harness.protocols import find_protocol
from harness.protocols.reading import read_json
from harness.records import Item
from harness.records.content import marked
from harness.settings import WorldSettings
from tests.tasks.loading import answer, draw, hooks_of, load
from tests.toys import ROOT

hooks = hooks_of("mmrb2")
ROW = {
    "pair_id": "blink_1",
    "prompt_text": "Which of <image_1> and <image_2> is red?",
    "prompt_images": ["p0.png", "p1.png"],
    "response_a_text": "See <image_7>. The first.",
    "response_a_images": ["a0.png", "a1.png"],
    "response_a_model": "one",
    "response_b_text": "The <image>second.",
    "response_b_images": [],
    "response_b_model": "other",
    "chosen": "b",
    "prompt_source": "blink",
    "prompt_metadata": '{"id": 4}',
    "human_annotations": "[]",
}


def benchmark(part: str = "reasoning"):
    return hooks["TASKS"][f"mmrb2_{part}"].benchmark


def test_images_are_taken_in_their_order_whatever_their_places_say(tmp_path: Path) -> None:
    draw(tmp_path, "p0.png", "p1.png", "a0.png", "a1.png")
    (item,), _ = load(tmp_path, benchmark(), ROW)
    assert item.question == "Which of <image_0> and <image_1> is red?"
    # a second image without a place follows; what a processor would take for one more image is gone
    assert item.responses == ("See <image_2>. The first.\n<image_3>", "The second.")
    assert len(set(item.images)) == 4
    assert (item.label, item.slice, item.image_hash) == (1, "pictures in the worse", None)
    assert item.cluster_id.startswith("group/")


def test_a_place_without_an_image_is_left_out_and_images_may_stand_alone(tmp_path: Path) -> None:
    draw(tmp_path, "a0.png", "b0.png")
    alone = {"response_a_text": "", "response_a_images": ["a0.png"], "response_b_images": ["b0.png"]}
    row = ROW | alone | {"prompt_text": "draw <image_1> a cat", "prompt_images": [], "response_b_text": None}
    (item,), info = load(tmp_path, benchmark("t2i"), row)
    assert (item.question, item.responses) == ("draw  a cat", ("<image_0>", "<image_1>"))
    assert (item.slice, info["release"]) == ("blink", "no published release")


def test_pairs_as_the_authors_build_them_are_the_same_items(tmp_path: Path) -> None:
    draw(tmp_path, "p0.png", "p1.png", "a0.png")
    built = {
        "id": "blink_1",
        "prompt_content": [["text", "Which of"], ["image", "p0.png"], ["text", "and"], ["image", "p1.png"]],
        "response_a": {"model_name": "one", "response_content": [["text", "See"], ["image", "a0.png"]]},
        "response_b": {"model_name": "other", "response_content": [["text", "No <image> here."]]},
        "chosen": "B",
        "prompt_source": "blink",
        "prompt_metadata": {"id": 4},
        "human_annotations": [5, 6, 5],
    }
    (item,), _ = load(tmp_path, benchmark(), built)
    flat = ROW | {
        "prompt_text": "Which of\n<image_1>\nand\n<image_2>", "response_a_text": "See\n<image_1>",
        "response_a_images": ["a0.png"], "response_b_text": "No  here.",
    }  # fmt: skip
    (same,), _ = load(tmp_path, benchmark(), flat)
    assert item == same
    with pytest.raises(DataError, match="response_b_text is empty"):
        load(tmp_path, benchmark(), built | {"response_b": None})


def test_pairs_of_one_request_are_one_cluster(tmp_path: Path) -> None:
    draw(tmp_path, "p0.png", "p1.png", "a0.png", "a1.png")
    other = ROW | {"pair_id": "blink_2", "response_a_text": "Neither."}
    third = ROW | {"pair_id": "blink_3", "prompt_metadata": '{"id": 5}'}
    items, _ = load(tmp_path, benchmark(), ROW, other, third)
    assert len({item.cluster_id for item in items}) == 2


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"chosen": "C"}, "field 'chosen': 'C' is not A or B"),
        ({"prompt_images": "p0.png"}, "field 'prompt_images'"),
        ({"prompt_images": ["gone.png"]}, "gone.png"),
        ({"response_a_text": "", "response_a_images": []}, "response_a_text is empty and response_a_images holds no"),
        ({"response_b_images": [3]}, "field 'response_b_images'"),
        ({"prompt_text": None}, "field 'prompt_text'"),
    ],
)  # fmt: skip
def test_a_wrong_row_is_one_line(tmp_path: Path, change: dict, said: str) -> None:
    draw(tmp_path, "p0.png", "p1.png", "a0.png", "a1.png")
    with pytest.raises(DataError) as wrong:
        load(tmp_path, benchmark(), ROW | change)
    assert said in str(wrong.value)
    assert "\n" not in str(wrong.value)


def asked(count: int, a_better: int) -> list[Item]:
    return [
        Item(item_id=f"t/{i}#0", source_id=f"{i}", question="q", responses=("a", "b"), label=int(i >= a_better),
             slice="s", cluster_id=f"group/{i}", image_hash=None)
        for i in range(count)
    ]  # fmt: skip


def accuracy(items: list[Item], protocol: str, forward: str, reverse: str) -> float:
    judgments = [
        answer(item, order, text, "json")
        for item in items
        for order, text in (((0, 1), forward), ((1, 0), reverse))
    ]  # fmt: skip
    return estimate(METRICS["pair"]["accuracy"], find_protocol(protocol).tally(items, judgments))


def said(verdict: str | None) -> str:
    return json.dumps({"reasoning": "it is so", "better_response": verdict})


def test_the_authors_figures_come_out() -> None:
    """Their sample files always prefer response A, so they show the share of A labels: t2i has 532, edit 555."""
    for a_better in (532, 555, 575, 475):
        assert accuracy(asked(1000, a_better), "directions", said("A"), said("B")) == a_better / 1000
    # the same letter in both orders is right half the time
    assert accuracy(asked(1000, 532), "directions", said("A"), said("A")) == 0.5


def test_what_is_no_verdict_is_left_out_by_the_authors_and_wrong_here() -> None:
    items = asked(10, 10)
    for nothing in (said(None), said(""), "I cannot say."):
        assert accuracy(items, "directions", said("A"), nothing) == 1.0
        assert accuracy(items, "both-orders", said("A"), nothing) == 0.5
    # a verdict that is neither A nor B is counted by both, and wrong
    for odd in ("a", "Tie", "A or B"):
        assert accuracy(items, "directions", said("A"), said(odd)) == 0.5


def test_every_answer_weighs_the_same_where_some_are_left_out() -> None:
    one, other = asked(2, 2)
    judgments = [
        answer(one, (0, 1), said("A"), "json"), answer(one, (1, 0), said("B"), "json"),
        answer(other, (0, 1), said("B"), "json"), answer(other, (1, 0), "no", "json"),
    ]  # fmt: skip
    tally = find_protocol("directions").tally([one, other], judgments)
    # 2 of 3 answers, and not the mean of 1 and 0
    assert estimate(METRICS["pair"]["accuracy"], tally) == pytest.approx(2 / 3)
    assert (tally["low"].mean(), tally["high"].mean()) == (0.5, 0.75)


def test_json_is_read_in_a_fence_and_the_last_verdict_counts() -> None:
    assert read_json('```json\n{"better_response": "B"}\n```') == "second"
    assert read_json('{"better_response":"A"} no: {"better_response" : "B"}') == "second"
    assert read_json('{"reasoning": "\\"better_response\\": \\"A\\"", "better_response": null}') == "unparsed"
    assert read_json("Overall Judgment: Answer 2 is better.") == "second"


@pytest.mark.parametrize("part", ["t2i", "edit", "interleaved", "reasoning"])
def test_embedded_items_show_their_images_in_place(part: str, tmp_path: Path) -> None:
    from harness.data.benchmark import read_items, write_benchmark
    from harness.evaluate.hooks import presentation_docs

    task = load_hooks(f"mmrb2_{part}", ROOT / "tasks/mmrb2/hooks.py")
    table = tmp_path / "t.parquet"
    info = write_benchmark(table, task.embedded(WorldSettings(items=12)), "embedded", tmp_path, task.benchmark)
    items = read_items(table)
    assert (info["items"], len({item.cluster_id for item in items})) == (12, 12)
    docs = presentation_docs(table, find_protocol("both-orders"), items, 0, tmp_path)
    by_id = {item.item_id: item for item in items}
    for doc in docs:
        text = task.prompt(doc["query"], doc["shown"], True)
        places = marked(text, len(by_id[doc["item_id"]].images))
        parts = shown_parts(doc, text)
        images = [part for part in parts if not isinstance(part, str)]
        visual = task.functions[f"mmrb2_{part}_doc_to_visual"](doc | {"protocol": "both-orders"})
        assert len(images) == len(visual) == len(places) > 0
        assert all(isinstance(part, str) for part in (parts[0], parts[-1])) or part != "reasoning"
        assert "<image_" not in "".join(part for part in parts if isinstance(part, str))
        messages = task.functions[f"mmrb2_{part}_doc_to_messages"](doc | {"protocol": "both-orders"})
        assert [p["type"] for p in messages[0]["content"]] == ["text" if isinstance(p, str) else "image" for p in parts]
