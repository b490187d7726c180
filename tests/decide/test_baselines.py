"""Ways to bend an accepted baseline: the gate or the check that CI runs before it refuses each in one line."""

import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from harness.cli import main
from harness.records.acceptance import fingerprint, hashes
from tests.toys import make_items, make_judgments, write

FILE = "judgments-toy.jsonl"


def entries(baseline: Path) -> list[dict[str, Any]]:
    return list(json.loads((baseline / "accepted.json").read_text()))


def keep(baseline: Path, accepted: list[dict[str, Any]]) -> None:
    (baseline / "accepted.json").write_text(json.dumps(accepted))


def lower(baseline: Path) -> None:
    """Turn right answers of the baseline into wrong ones, so that anything passes against it."""
    path = baseline / FILE
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    for row in rows:
        row |= {"text": "Overall Judgment: Answer 2 is better.", "reading": "second"}
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def sealed(baseline: Path) -> dict[str, Any]:
    """Give what an acceptance of the files as they are now would hold of them."""
    return {"fingerprint": fingerprint(baseline), "files": hashes(baseline)}


def judgments_edited(baseline: Path) -> None:
    lower(baseline)


def judgments_edited_and_the_acceptance_with_them(baseline: Path) -> None:
    lower(baseline)
    keep(baseline, [*entries(baseline)[:-1], entries(baseline)[-1] | sealed(baseline)])


def judgments_edited_and_accepted_without_a_reason(baseline: Path) -> None:
    lower(baseline)
    keep(baseline, [*entries(baseline), entries(baseline)[-1] | sealed(baseline) | {"reason": " "}])


def judgments_edited_and_accepted_for_the_old_reason(baseline: Path) -> None:
    lower(baseline)
    keep(baseline, [*entries(baseline), entries(baseline)[-1] | sealed(baseline)])


def judgments_edited_and_the_history_begun_anew(baseline: Path) -> None:
    lower(baseline)
    keep(baseline, [entries(baseline)[-1] | sealed(baseline) | {"reason": "a better measurement", "replaced": None}])


def judgments_edited_and_the_history_gone(baseline: Path) -> None:
    lower(baseline)
    (baseline / "accepted.json").unlink()


def judgments_edited_and_the_history_emptied(baseline: Path) -> None:
    lower(baseline)
    keep(baseline, [])


def hashes_left_out(baseline: Path) -> None:
    lower(baseline)
    keep(baseline, [entries(baseline)[-1] | {"files": {}}])


def one_hash_of_two_mended(baseline: Path) -> None:
    lower(baseline)
    keep(baseline, [entries(baseline)[-1] | {"fingerprint": fingerprint(baseline)}])


def labels_turned(baseline: Path) -> None:
    path = baseline / "items-toy.jsonl"
    path.write_text(path.read_text().replace('"label": 0', '"label": 1').replace('"label":0', '"label":1'))


def a_task_added(baseline: Path) -> None:
    shutil.copy(baseline / FILE, baseline / "judgments-other.jsonl")


def presentations_gone(baseline: Path) -> None:
    (baseline / FILE).write_text("".join((baseline / FILE).read_text().splitlines(keepends=True)[:-2]))


def settings_edited(baseline: Path) -> None:
    path = baseline / "run.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"created": "2020-01-01T00:00:00+00:00"}))


def the_other_put_in_its_place(baseline: Path) -> None:
    shutil.rmtree(baseline)
    shutil.copytree(baseline.with_name("weak"), baseline)


def taken_away(baseline: Path) -> None:
    shutil.rmtree(baseline)


def renamed(baseline: Path) -> None:
    baseline.rename(baseline.with_name("main-2"))


def the_candidate_put_in_its_place(baseline: Path) -> None:
    history = entries(baseline)
    shutil.rmtree(baseline)
    shutil.copytree(baseline.parents[1] / "runs/cand", baseline)
    keep(baseline, history)


BENT: list[Callable[[Path], None]] = [
    judgments_edited, judgments_edited_and_the_acceptance_with_them, judgments_edited_and_accepted_without_a_reason,
    judgments_edited_and_accepted_for_the_old_reason, judgments_edited_and_the_history_begun_anew,
    judgments_edited_and_the_history_gone, judgments_edited_and_the_history_emptied, hashes_left_out,
    one_hash_of_two_mended, labels_turned, a_task_added, presentations_gone, settings_edited,
    the_other_put_in_its_place, taken_away, renamed, the_candidate_put_in_its_place,
]  # fmt: skip


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two accepted baselines, one weak, as they are and as the base branch has them; and a candidate."""
    results, items = tmp_path_factory.mktemp("project") / "results", make_items(200)
    for place, (name, accuracy) in enumerate((("good", 0.95), ("bad", 0.5), ("cand", 0.7))):
        write(results / "runs" / name, items, make_judgments(items, accuracy, draw=place), prompts={"0": "words"})
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HARNESS_RESULTS", str(results))
        for run, name in (("good", "main"), ("bad", "weak")):
            assert main(["baseline", "accept", run, "--reason", "the first", "--name", name]) == 0
    shutil.copytree(results / "baselines", results.parent / "before")
    return results.parent


def ci(results: Path, before: Path, capsys: pytest.CaptureFixture[str]) -> list[tuple[int, str]]:
    """Run what CI does: the check against the base branch, then the gate; their codes and what they said wrong."""
    found = []
    for command in (
        ["baseline", "check", "--since", str(before)],
        ["gate", "main", str(results / "runs/cand"), "--margin", "0.05"],
    ):
        code = main(command)
        found.append((code, capsys.readouterr().err))
    return found


def test_the_candidate_does_not_pass_and_the_baselines_are_in_order(project, monkeypatch, capsys) -> None:
    monkeypatch.setenv("HARNESS_RESULTS", str(project / "results"))
    assert [code for code, _ in ci(project / "results", project / "before", capsys)] == [0, 1]


@pytest.mark.parametrize("bend", BENT, ids=lambda bend: bend.__name__)
def test_a_bent_baseline_is_refused_in_one_line(project, tmp_path: Path, monkeypatch, capsys, bend) -> None:
    results = tmp_path / "results"
    shutil.copytree(project / "results", results)
    monkeypatch.setenv("HARNESS_RESULTS", str(results))
    bend(results / "baselines/main")
    refused = [said for code, said in ci(results, project / "before", capsys) if code in (2, 4)]
    assert refused, "neither the check nor the gate saw it"
    assert all(said.count("\n") == 1 for said in refused), refused


def test_lowering_it_would_have_let_the_candidate_pass(project, tmp_path: Path, monkeypatch, capsys) -> None:
    monkeypatch.setenv("HARNESS_RESULTS", str(tmp_path))
    shutil.copytree(project / "results/runs/good", tmp_path / "runs/main")
    lower(tmp_path / "runs/main")
    assert main(["gate", "main", str(project / "results/runs/cand"), "--margin", "0.05"]) == 0


def test_the_hashes_are_sha256(project) -> None:
    kept = entries(project / "before/main")[-1]["files"][FILE]
    assert kept == hashlib.sha256((project / "before/main" / FILE).read_bytes()).hexdigest()
