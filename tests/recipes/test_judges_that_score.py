"""The recipes whose judge scores responses: what it is asked, what it is not, and what its judgments say."""

import json
from pathlib import Path

import pytest

from harness.embedded.data import benchmark_rows
from harness.protocols.reading import READERS
from harness.records import Judgment, Run
from harness.settings import WorldSettings
from harness.verdicts import Judge
from tests.test_main_job import harness, runs, sets
from tests.toys import SMALL

TASKS = ["--tasks", "vlrewardbench,mllm_judge,mmrb2_reasoning,rewardbench2"]


@pytest.fixture(scope="module")
def judged(tmp_path_factory) -> tuple[Path, str]:
    """The head against its baseline, then the experts."""
    results = tmp_path_factory.mktemp("scoring")
    small = sets(*SMALL, "reward.epochs=0.5")
    screen = harness(results, "run", "--recipe", "scalar-head", *TASKS, *small)
    screen += harness(results, "run", "--recipe", "experts-alone", "--baseline", "none", *TASKS, *small)
    return results, " ".join(screen.split())


def judgments(folder: Path, task: str) -> list[Judgment]:
    lines = (folder / f"judgments-{task}.jsonl").read_text().splitlines()
    return [Judgment.model_validate_json(line) for line in lines]


@pytest.mark.parametrize("recipe", ["scalar-head", "experts-alone"])
def test_a_pair_has_the_same_scores_in_both_orders_and_its_text_says_what_counted(judged, recipe: str) -> None:
    folder = runs(judged[0])[recipe]
    run = Run.model_validate_json((folder / "run.json").read_text())
    for task in ("vlrewardbench", "mllm_judge_pair", "mllm_judge_batch"):
        reader = next(record.reader for record in run.tasks if record.task == task)
        shown = {(j.item_id, j.order): j for j in judgments(folder, task)}
        assert shown
        for (item, order), one in shown.items():
            assert READERS[reader](one.text, 2) == one.reading != "unparsed"
            other = shown[item, order[::-1]]
            assert one.p_first + other.p_first == pytest.approx(1)
            assert one.chosen == other.chosen


def test_a_single_response_has_a_reward_where_the_judge_gives_one(judged) -> None:
    results, screen = judged
    head, experts, distill = (runs(results)[name] for name in ("scalar-head", "experts-alone", "distill"))
    assert "mllm_judge_score · rewards · 10 items" in screen
    graded = judgments(head, "mllm_judge_score")
    assert len(graded) == 10
    assert all(f"{j.reading:.9g}" == j.text.removeprefix("Reward: ") for j in graded)
    for folder, why in ((experts, "only compares two"), (distill, "only compares two")):
        run = Run.model_validate_json((folder / "run.json").read_text())
        (told,) = [record.not_applicable for record in run.tasks if record.task == "mllm_judge_score"]
        assert why in told
    assert "mllm_judge_score: the baseline cannot be asked it." in screen
    # distillation is asked mmrb2_reasoning, and the head is not
    assert screen.count("scalar-head against distill:") == 4


def test_pictures_are_read_where_a_judge_reads_them_and_elsewhere_it_is_not_asked(judged) -> None:
    found = {}
    for recipe in ("scalar-head", "experts-alone", "distill"):
        run = Run.model_validate_json((runs(judged[0])[recipe] / "run.json").read_text())
        told = {record.task: record.not_applicable for record in run.tasks}
        found[recipe] = told["mmrb2_reasoning"], told["rewardbench2"]
    one = "the judge reads one image, before the question, and these items have others, or none"
    assert found["experts-alone"] == (one, one)
    assert found["scalar-head"] == ("the judge reads no images in responses", None)
    assert found["distill"] == (None, None)


def test_each_image_is_captioned_once_and_the_caption_is_in_the_judgment(judged) -> None:
    folder = runs(judged[0])["experts-alone"]
    items = [json.loads(line) for line in (folder / "items-vlrewardbench.jsonl").read_text().splitlines()]
    image = {item["item_id"]: item["image_hash"] for item in items}
    captions: dict[str, set[str]] = {}
    for j in judgments(folder, "vlrewardbench"):
        captions.setdefault(image[j.item_id], set()).add(j.text.splitlines()[0])
    assert {len(texts) for texts in captions.values()} == {1}
    assert all(text.startswith("Caption: ") and "object" in text for texts in captions.values() for text in texts)


def test_a_checkpoint_with_a_head_is_judged_by_itself_and_grades_are_not_asked_of_it(judged, tmp_path: Path) -> None:
    results, _ = judged
    checkpoint = next(results.glob("cache/reward-*"))
    model = ["run", "--model", "harness_judge", "--model-args", f"pretrained={checkpoint}", *sets("world.items=24")]
    harness(results, *model, *TASKS, "--out", str(tmp_path / "all"))
    mine, recipes = (
        judgments(folder, "mllm_judge_score") for folder in (tmp_path / "all", runs(results)["scalar-head"])
    )
    assert [j.reading for j in mine] == pytest.approx([j.reading for j in recipes], abs=1e-5)
    grades = ["--tasks", "mllm_judge_score", "--protocol", "published", "--out", str(tmp_path / "grades")]
    assert "rewards are on a scale of their own" in " ".join(harness(results, *model, *grades).split())


def test_the_head_judges_responses_of_ones_own(judged, monkeypatch: pytest.MonkeyPatch) -> None:
    results, _ = judged
    monkeypatch.setenv("HARNESS_RESULTS", str(results))
    folder = runs(results)["scalar-head"]
    row = next(iter(benchmark_rows(WorldSettings(items=24))))
    with Judge(f"run:{folder.name}") as judge:
        verdict = judge.judge(row["image"], row["query"], row["response"])
    recorded = next(
        j for j in judgments(folder, "vlrewardbench") if f"/{row['id']}#" in j.item_id and j.order == (0, 1)
    )
    told = [float(line.rpartition(" ")[2]) for line in recorded.text.splitlines()[:2]]
    assert verdict.scores == pytest.approx(told, abs=1e-4)
    assert verdict.best == recorded.chosen
    assert verdict.answers == ()
