"""Files as RewardBench 2's and Omni-RewardBench's authors' scripts write them, made up; and hostile ones."""

import json
from pathlib import Path
from typing import Any

import pytest

from harness.cli import main
from harness.counting.metrics import METRICS, estimate
from harness.counting.results import load_result
from harness.records import RunFolder

ROWS = [
    {"id": "0", "prompt": "What is red?", "chosen": ["blood"], "rejected": ["snow", "grass", "sky"], "subset": "Math"},
    {"id": "1", "prompt": "What is up?", "chosen": ["sky"], "rejected": ["sea", "sand", "salt"], "subset": "Focus"},
    {"id": "ref:3", "prompt": "What is blue?", "chosen": ["sky"], "rejected": ["snow"], "subset": "Ties"},
    {"id": "tied:3", "prompt": "A colour?", "chosen": ["red", "blue"], "rejected": ["nine"], "subset": "Ties"},
]
SCORES = [[2.5, 1.0, -3.0, 0.1], [1.25, 1.25, 0.5, -1e-05], [8, 3], [8, 9, 4]]


@pytest.fixture(autouse=True)
def _results(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("HARNESS_RESULTS", str(tmp_path / "results"))


def columns(**more: Any) -> dict[str, Any]:
    """Write what run_v2.py uploads to `eval-set-scores/`: columns, and what is said of all rows."""
    return {
        "chat_template": "tokenizer",
        "id": [row["id"] for row in ROWS],
        "model": "toy/rm",
        "model_type": "Seq. Classifier",
        "num_correct": [len(row["chosen"]) for row in ROWS],
        # as it stands there for ties too, whose right responses after the first count as wrong
        "results": [1.0, 0.5, 1.0, 0.0],
        "scores": SCORES,
        "subset": [row["subset"] for row in ROWS],
        "text": [["prompt and response"] * len(scores) for scores in SCORES],
    } | more


def data(folder: Path) -> Path:
    (folder / "bench.jsonl").write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    return folder / "bench.jsonl"


def written(folder: Path, document: Any) -> Path:
    (folder / "scores.json").write_text(json.dumps(document, indent=4, sort_keys=True))
    return folder / "scores.json"


def scored(path: Path, task: str, *more: str) -> RunFolder:
    folder = path.parent / "run"
    assert main(["score", str(path), "--task", task, "--out", str(folder), *more]) == 0
    return RunFolder(folder)


def refused(capsys, *command: str, code: int = 2) -> str:
    assert main(["score", *command]) == code
    error = capsys.readouterr().err
    assert len(error.strip().splitlines()) == 1
    return error


def test_rewardbench2_s_scores_are_rewards_and_ties_count_as_a_set(tmp_path: Path, capsys) -> None:
    """Their figure of ties is made of the scores; the column of results, that of `run_v2.py`'s rows, is another."""
    run = scored(written(tmp_path, columns()), "rewardbench2", "--data", str(data(tmp_path)))
    record = run.read_run()
    assert (record.config["model"], record.tasks[0].protocol) == ("toy/rm", "rewards")
    assert [j.reading for j in run.read_judgments("rewardbench2")] == [score for scores in SCORES for score in scores]
    tally = load_result(run).tallies[0]
    figures = dict(zip(tally.slices, tally["best"], strict=True))
    # gaps 5 and 4 above a spread of 1
    assert figures == pytest.approx({"Math": 1.0, "Focus": 0.5, "Ties": 1.01}, abs=1e-4)
    assert estimate(METRICS["best"]["macro"], tally) == pytest.approx((1 + 0.5 + figures["Ties"]) / 3)
    assert sum(columns()["results"][2:]) / 2 == 0.5
    assert "rewardbench2 format, 13 answers to 4 items" in " ".join(capsys.readouterr().out.split())
    nested = [[[float(score)] for score in scores] for scores in SCORES]
    again = written(tmp_path, columns(scores=nested, model="other/rm"))
    main(
        [
            "score",
            str(again),
            "--task",
            "rewardbench2",
            "--out",
            str(tmp_path / "nested"),
            "--data",
            str(data(tmp_path)),
        ]
    )
    assert (load_result(RunFolder(tmp_path / "nested")).tallies[0]["best"][:2] == tally["best"][:2]).all()


def torn(document: dict[str, Any]) -> str:
    return json.dumps(document, indent=4)[:-40]


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"scores": [None, None, *SCORES[2:]]}, "row 1, field 'scores': there are none"),
        ({"scores": SCORES[:3]}, "its columns are not of one length"),
        ({"scores": [[2.5, "high", 0, 1], *SCORES[1:]]}, "row 1, field 'scores"),
        ({"scores": [[float("nan"), 1, 0, 1], *SCORES[1:]]}, "row 1, field 'scores"),
        ({"scores": [[1, 2, 0, float("inf")], *SCORES[1:]]}, "row 1, field 'scores"),
        ({"scores": [[], *SCORES[1:]]}, "row 1, field 'scores': there are none"),
        ({"results": [0.0, 0.5, 1.0, 0.0]}, "row 1, field 'results': 0.0 is not what its scores make"),
        ({"id": ["7" * 5000, "1", "ref:3", "tied:3"]}, "is no item of bench.jsonl"),
        ({"id": [{"a": 1}, "1", "ref:3", "tied:3"]}, "row 1, field 'id'"),
        ({"scores": [[2.5, 1.0, -3.0, 0.1, 0.2], *SCORES[1:]]}, "does not name places among 4 responses"),
        ({"id": "0", "num_correct": 1, "scores": 2, "subset": "Math", "results": 1, "text": ""}, "not of one length"),
    ],
)
def test_hostile_scores_of_rewardbench2_are_one_line(tmp_path: Path, capsys, change: dict, says: str) -> None:
    path = written(tmp_path, columns(**change))
    error = refused(capsys, str(path), "--task", "rewardbench2", "--data", str(data(tmp_path)))
    assert says in error
    assert len(error) < 700


def test_a_torn_document_and_scores_that_are_missing_are_one_line(tmp_path: Path, capsys) -> None:
    bench = str(data(tmp_path))
    (tmp_path / "scores.json").write_text(torn(columns()))
    assert "not valid JSON" in refused(capsys, str(tmp_path / "scores.json"), "--task", "rewardbench2", "--data", bench)
    path = written(tmp_path, columns(scores=[SCORES[0][:3], *SCORES[1:]], results=[1.0, 0.5, 1.0, 0.0]))
    fewer = refused(capsys, str(path), "--task", "rewardbench2", "--data", bench, code=4)
    assert "1 of the 13 answers that rewards needs" in fewer
    assert "names items by id only" in refused(capsys, str(written(tmp_path, columns())), "--task", "rewardbench2")


def preference(number: int, label: str, said: str, predicted: str | None) -> dict[str, Any]:
    """Write an entry of run_exp.py's list: the sample as it was loaded, and what came of it."""
    return {
        "id": f"o{number}",
        "prompt": "What is it?",
        "image": f"media/{number // 2}.png",
        "response1": "A cat.",
        "response2": "A small cat.",
        "criteria": f"Brevity {number % 2}.",
        "criteria_preference": label,
        "predicted": predicted,
        "toy-judge_raw_response": said,
    }


CHOICES = [
    preference(0, "response1", "Well: [[A]]", "response1"),
    preference(1, "tie", "[[A]] or [[C]]? [[C]]", "response1"),
    preference(2, "response2", "[[A]] and [[B]]", None),
    preference(3, "response2", r"So \boxed{B}", "response2"),
]


def test_omni_s_list_brings_items_and_answers_and_gives_its_own_accuracy(tmp_path: Path, capsys) -> None:
    run = scored(written(tmp_path, CHOICES), "omni_rewardbench_ti2t")
    record, tally = run.read_run(), load_result(run).tallies[0]
    assert (record.config["model"], record.tasks[0].protocol) == ("toy-judge", "official")
    assert [j.reading for j in run.read_judgments("omni_rewardbench_ti2t")] == ["first", "first", "unparsed", "second"]
    assert estimate(METRICS["pair-ties"]["accuracy"], tally) == 2 / 4
    assert estimate(METRICS["pair-ties"]["untied"], tally) == 2 / 3
    # two criteria of one picture are one cluster
    assert len(set(tally.clusters)) == 2
    assert "reading on 0 of 4 answers" in " ".join(capsys.readouterr().out.split())
    # the same list is a benchmark's file, and the labels in it win
    told = [row | {"criteria_preference": "response1"} for row in CHOICES]
    (tmp_path / "text_image_to_text_preferences.json").write_text(json.dumps(told, indent=4))
    path, out = str(tmp_path / "scores.json"), str(tmp_path / "relabelled")
    bench = str(tmp_path / "text_image_to_text_preferences.json")
    assert main(["score", path, "--task", "omni_rewardbench_ti2t", "--data", bench, "--out", out]) == 0
    assert estimate(METRICS["pair-ties"]["accuracy"], load_result(RunFolder(Path(out))).tallies[0]) == 2 / 4


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"criteria_preference": "response3"}, "field 'criteria_preference': 'response3' is not response1, response2"),
        ({"predicted": 1}, "field 'predicted'"),
        ({"toy-judge_raw_response": ["[[A]]"]}, "field 'toy-judge_raw_response'"),
        ({"toy-judge_raw_response": "\ud800"}, "field 'toy-judge_raw_response'"),
        ({"response1": ""}, "field 'response1'"),
        ({"image": "/etc/passwd"}, "field 'image'"),
        ({"id": None}, "field 'id'"),
        ({"id": "x" * 5000}, "Shorten it in the data"),
        ({"criteria": float("nan")}, "field 'criteria'"),
    ],
)
def test_hostile_lists_of_omni_are_one_line(tmp_path: Path, capsys, change: dict, says: str) -> None:
    error = refused(capsys, str(written(tmp_path, [CHOICES[0] | change])), "--task", "omni_rewardbench_ti2t")
    assert says in error


def test_a_file_of_another_benchmark_is_refused(tmp_path: Path, capsys) -> None:
    wrong = refused(capsys, str(written(tmp_path, CHOICES)), "--task", "vlrewardbench")
    assert "is Omni-RewardBench's output, and vlrewardbench has other fields" in wrong
    assert "row 2: '7' is no JSON object" in refused(
        capsys, str(written(tmp_path, [CHOICES[0], 7])), "--task", "omni_rewardbench_ti2t"
    )
    assert "holds no" in refused(capsys, str(written(tmp_path, [])), "--task", "omni_rewardbench_ti2t")
