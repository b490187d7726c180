"""VLRMBench's multi_solution, MM-RLHF-RewardBench and Omni-RewardBench: their fields, and their ways to count."""

from pathlib import Path

import pytest

from harness.counting.metrics import METRICS, estimate
from harness.errors import DataError
from harness.protocols import find_protocol
from harness.protocols.reading import read_scores, read_two_numbers, two_numbers
from harness.records import Item
from harness.settings import WorldSettings
from tests.tasks.loading import answer, draw, hooks_of, load

vlrm, mm, omni = map(hooks_of, ("vlrmbench_multi_solution", "mm_rlhf_rewardbench", "omni_rewardbench_ti2t"))
SOLUTIONS = {
    "id": 3, "image": ["a.png", "b.png"], "question": "How many?", "step_list": ["One and one.", "So two."],
    "reasoning_error": "One and one. So three.", "task_gt": [1, 0], "category": "math",
}  # fmt: skip
RATED = {
    "id": "q1", "image": "long/a.png", "prompt": "Describe it.", "chosen": "A cat.", "rejected": "A dog.",
    "chosen_reason": "It is a cat.", "rejected_reason": "It is no dog.",
}  # fmt: skip
BY_CRITERION = {
    "id": "o1", "image": "a.png", "prompt": "What is it?", "response1": "A cat.", "response2": "A small cat.",
    "criteria": "Brevity.", "criteria_preference": "response1",
}  # fmt: skip


def test_steps_are_joined_so_that_brackets_tell_nothing(tmp_path: Path) -> None:
    draw(tmp_path, "a.png", "b.png")
    (item,), _ = load(tmp_path, vlrm["BENCHMARK"], SOLUTIONS, SOLUTIONS | {"id": 4, "error_info": "broken"})
    assert item.responses == ("One and one.\nSo two.", "One and one. So three.")
    assert (item.question, len(item.images)) == ("<image_0>\n<image_1>\nHow many?", 2)
    with pytest.raises(DataError, match="'image'"):
        load(tmp_path, vlrm["BENCHMARK"], SOLUTIONS | {"image": []})


def pairs(count: int, sets: int | None = None) -> list[Item]:
    return [
        Item(item_id=f"t/{i}#0", source_id=f"{i}", question="q", responses=("a", "b"), label=0, slice="s",
             cluster_id=f"group/{i % (sets or count)}", image_hash=None)
        for i in range(count)
    ]  # fmt: skip


def summed(front: str, back: str) -> float:
    (item,) = pairs(1)
    judgments = [answer(item, (0, 1), front, "two-numbers"), answer(item, (1, 0), back, "two-numbers")]
    return estimate(METRICS["pair"]["accuracy"], find_protocol("summed-scores").tally([item], judgments))


def test_scores_are_added_up_over_both_orders_and_equal_ones_are_wrong() -> None:
    assert summed("[7, 5]", "[5, 7]") == 1
    assert summed("[7, 7]", "[7, 7]") == 0
    assert summed("[9, 1]", "[6, 1]") == 1
    assert summed("nothing", "[0, 1]") == 1
    assert summed("", "") == 0


def test_the_last_two_numbers_are_read_whatever_they_are() -> None:
    """The authors' pattern takes a decimal for two numbers, and what follows the scores too; ours reads a list."""
    assert two_numbers("[7.5, 5]") == (5, 5)
    assert two_numbers("[8, 2] on a scale of 0 to 10") == (0, 10)
    assert two_numbers("only 4") == (4, 0)
    assert two_numbers("9" * 10_000) == (999_999_999, 0)
    assert (read_two_numbers("[7.5, 5]"), read_scores("[7.5, 5]")) == ("tie", "first")
    assert read_scores("[8, 2] on a scale of 0 to 10") == "first"
    assert read_scores("Overall Judgment: Answer 2 is better.") == "second"


def test_videos_are_frames_and_reasons_of_people_are_never_read(tmp_path: Path) -> None:
    frames = [f"video/x/{number:03d}.jpg" for number in range(70)]
    draw(tmp_path, "long/a.png", *frames)
    film = {key: value for key, value in RATED.items() if key != "image"} | {"id": "q2", "video": "video/x"}
    (still, film_item), info = load(tmp_path, mm["BENCHMARK"], RATED, film)
    assert (still.slice, film_item.slice, still.cluster_id) == ("long", "video", "group/q1")
    assert (len(still.images), len(film_item.images)) == (1, 32)
    assert info["slices"] == {"long": 1, "video": 1}
    assert "It is a cat." not in still.model_dump_json()
    draw(tmp_path, "other/a.png")
    with pytest.raises(DataError, match="no slice is known for other"):
        load(tmp_path, mm["BENCHMARK"], RATED | {"image": "other/a.png"})


@pytest.mark.parametrize("video", ["/etc", "../..", "gone", "a\x00b", "x" * 5000, "", {"path": "x"}, 3, ["x"]])
def test_a_video_that_is_no_folder_of_frames_is_one_line(tmp_path: Path, video: object) -> None:
    film = {key: value for key, value in RATED.items() if key != "image"} | {"video": video}
    with pytest.raises(DataError) as wrong:
        load(tmp_path, mm["BENCHMARK"], film)
    assert "\n" not in str(wrong.value)


def test_a_set_is_right_if_all_of_its_pairs_are() -> None:
    items = pairs(6, 3)
    wrong = items[4]
    judgments = [
        answer(item, order, f"[[{'AB'[order.index(1 if item is wrong else 0)]}]]", "letters")
        for item in items
        for order in ((0, 1), (1, 0))
    ]
    tally = find_protocol("both-orders", "pair-sets").tally(items, judgments)
    assert estimate(METRICS["pair-sets"]["accuracy"], tally) == pytest.approx(5 / 6)
    assert estimate(METRICS["pair-sets"]["all-right"], tally) == pytest.approx(2 / 3)


def test_one_pair_may_be_judged_by_several_criteria(tmp_path: Path) -> None:
    draw(tmp_path, "a.png")
    other = BY_CRITERION | {"criteria": "Detail.", "criteria_preference": "tie"}
    items, _ = load(tmp_path, omni["BENCHMARK"], BY_CRITERION, other)
    assert [item.label for item in items] == [0, "tie"]
    assert len({item.item_id for item in items}) == 2
    assert len({item.cluster_id for item in items}) == 1
    assert "Detail." in items[1].question
    with pytest.raises(DataError, match="response1, response2 or tie"):
        load(tmp_path, omni["BENCHMARK"], BY_CRITERION | {"criteria_preference": "neither"})


@pytest.mark.parametrize("hooks", [vlrm, mm, omni])
def test_embedded_items_are_in_the_benchmarks_own_fields(hooks: dict, tmp_path: Path) -> None:
    from harness.data.benchmark import read_items, write_benchmark

    ((name, task),) = hooks["TASKS"].items()
    info = write_benchmark(tmp_path / "t", task.embedded(WorldSettings(items=50)), "embedded", tmp_path, task.benchmark)
    items = read_items(tmp_path / "t")
    assert info["items"] == len(items) >= 15
    assert all(item.item_id.startswith(f"{name}/") for item in items)
