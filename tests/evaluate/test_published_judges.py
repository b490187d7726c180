"""Judges by name, end to end and offline: small models asked and read as files of a user's say."""

import json
import shutil
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("lmms_eval")

from safetensors.torch import save_file  # noqa: E402

from harness.cli import main  # noqa: E402
from harness.counting.results import load_result  # noqa: E402
from harness.errors import DataError  # noqa: E402
from harness.judge.checkpoints import EMBEDDED  # noqa: E402
from harness.judge.format import FILE  # noqa: E402
from harness.protocols.forms import reader_in, recorded_form  # noqa: E402
from harness.records import RunFolder  # noqa: E402
from tests.toy_qwen import save_tiny_qwen  # noqa: E402

ABOUT = "summary: ours\nhub: OWNER/NAME\nlicence: mit\nparameters: few\nprinted: Skywork-VL-Reward-7B\n"
WRITES = """prompt: "{question} answer 1: {first} answer 2: {second} which is better?"
verdict:
  sentences: [{form: "answer {verdict} is better", take: last}]
max_new_tokens: 40
"""
SMALL = ["--set", "world.items=8", "--set", "judging.batch_size=16"]


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    place = tmp_path_factory.mktemp("judges")
    # the embedded judge without the format that it brings
    shutil.copytree(EMBEDDED / "judge", place / "model", ignore=shutil.ignore_patterns(FILE))
    head = {"v_head.summary.weight": torch.randn(1, 32), "v_head.summary.bias": torch.zeros(1)}
    save_tiny_qwen(place / "scored")
    save_file(head, place / "scored/value_head.safetensors")
    (place / "judges").mkdir()
    (place / "judges/writes.yaml").write_text(ABOUT + WRITES)
    (place / "judges/scores.yaml").write_text(ABOUT + "head: value-head\n")
    return place


def run(place: Path, name: str, model: str, out: str, *more: str) -> int:
    asked = ["run", "--model", f"judge:{name}={place / model}", "--tasks", "vlrewardbench", "--out", str(place / out)]
    return main([*asked, "--include-path", str(place), *SMALL, *more])


def test_one_that_writes_is_read_by_its_own_form_and_the_record_keeps_it(place: Path, monkeypatch, capfd) -> None:
    monkeypatch.setenv("HARNESS_RESULTS", str(place / "results"))
    assert run(place, "writes", "model", "run") == 0
    said = " ".join(capfd.readouterr().out.split())
    assert "Printed by the model's authors: general 66.0" in said
    folder = RunFolder(place / "run")
    result = load_result(folder)
    record = result.run.config
    assert (record["model"], result.task.reader) == ("judge:writes", "own")
    assert record["judging"]["max_new_tokens"] == 40
    assert record["published"]["licence"] == "mit"
    judgments = folder.read_judgments("vlrewardbench")
    read = reader_in(recorded_form(record))
    assert [j.reading for j in judgments] == [read(j.text, 2) for j in judgments]
    assert {"first", "second"} <= {j.reading for j in judgments}

    path = place / "run/run.json"
    bent = json.loads(path.read_text())
    verdict = bent["config"]["published"]["verdict"]
    verdict["first"], verdict["second"] = verdict["second"], verdict["first"]
    path.write_text(json.dumps(bent))
    with pytest.raises(DataError, match="'own' reads"):
        load_result(folder)
    del bent["config"]["published"]
    path.write_text(json.dumps(bent))
    with pytest.raises(DataError, match="field 'reader': 'own'"):
        load_result(folder)


def test_one_with_a_head_scores_each_response(place: Path, monkeypatch, capsys) -> None:
    monkeypatch.setenv("HARNESS_RESULTS", str(place / "results"))
    assert run(place, "scores", "scored", "scored-run") == 0
    folder = RunFolder(place / "scored-run")
    result = load_result(folder)
    assert result.task.reader == "strict"
    judgments = folder.read_judgments("vlrewardbench")
    assert all(j.text.startswith("Reward of answer 1: ") for j in judgments)
    # one reward a response, so both orders prefer the same
    assert len({(j.item_id, j.chosen) for j in judgments}) == len(judgments) / 2
    capsys.readouterr()
    assert run(place, "scores", "scored", "other", "--prompt-file", "words.txt") == 2
    assert "is asked in no words" in capsys.readouterr().err
    assert run(place, "scores", "scored", "other", "--model-args", "trust_remote_code=true") == 2
    assert "is loaded without code of its own" in capsys.readouterr().err


def test_they_judge_responses_of_ones_own(place: Path, monkeypatch, capsys) -> None:
    from PIL import Image

    monkeypatch.setenv("HARNESS_RESULTS", str(place / "results"))
    Image.new("RGB", (56, 56), "red").save(place / "red.png")
    row = {"image": "red.png", "question": "which?", "responses": ["this one", "or that one"]}
    (place / "asked.jsonl").write_text(json.dumps(row) + "\n")
    for name, model, answers in (("writes", "model", 2), ("scores", "scored", 0)):
        out = place / f"{name}.jsonl"
        asked = ["judge", f"judge:{name}={place / model}", str(place / "asked.jsonl"), "-o", str(out)]
        assert main([*asked, "--include-path", str(place)]) == 0
        verdict = json.loads(out.read_text())
        assert len(verdict.get("answers", [])) == answers
    assert verdict["scores"][0] != verdict["scores"][1]


def test_one_that_cannot_be_run_says_why(monkeypatch, tmp_path: Path, capsys) -> None:
    monkeypatch.setenv("HARNESS_RESULTS", str(tmp_path))
    assert main(["run", "--model", "judge:llava-critic", "--tasks", "vlrewardbench"]) == 2
    assert "judge:llava-critic cannot be asked here" in capsys.readouterr().err
    assert main(["run", "--model", "judge:r1-rewart", "--tasks", "vlrewardbench"]) == 2
    assert "judge:r1-reward" in capsys.readouterr().err
