"""Ways to bend a run: each breaks something that can be derived again, and none becomes a figure."""

import json
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from harness.cli import main
from harness.protocols.reading import EQUAL, READERS
from harness.records import item_id
from tests.toys import make_items, make_judgments, write

TASK = "toy"
Rows = list[dict[str, Any]]
OTHER = {"first": "second", "second": "first"}


def rows(path: Path) -> Rows:
    return [json.loads(line) for line in path.read_text().splitlines()]


def rewrite(path: Path, change: Callable[[Rows], Rows]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in change(rows(path))))


def edited(folder: Path, name: str, change: Callable[[dict[str, Any]], Any]) -> None:
    def each(found: Rows) -> Rows:
        for row in found:
            change(row)
        return found

    rewrite(folder / f"{name}-{TASK}.jsonl", each)


def record(folder: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    path = folder / "run.json"
    run = json.loads(path.read_text())
    change(run)
    path.write_text(json.dumps(run))


def turned(row: dict[str, Any]) -> None:
    row["reading"] = OTHER[row["reading"]]


def wrong(folder: Path) -> set[str]:
    """Name the items that are answered wrongly in some order."""
    labels = {row["item_id"]: row["label"] for row in rows(folder / f"items-{TASK}.jsonl")}
    judged = rows(folder / f"judgments-{TASK}.jsonl")
    return {j["item_id"] for j in judged if j["order"][j["reading"] == "second"] != labels[j["item_id"]]}


def without(folder: Path, names: set[str], files: tuple[str, ...] = ("items", "presentations", "judgments")) -> None:
    for name in files:
        rewrite(folder / f"{name}-{TASK}.jsonl", lambda found: [row for row in found if row["item_id"] not in names])


def count_again(folder: Path) -> None:
    left = len(rows(folder / f"items-{TASK}.jsonl"))
    record(folder, lambda run: run["tasks"][0].update(items=left))


def labels_turned(folder: Path) -> None:
    missed = wrong(folder)
    edited(folder, "items", lambda row: row.update(label=1 - row["label"]) if row["item_id"] in missed else None)


def orders_turned(folder: Path) -> None:
    edited(folder, "judgments", lambda row: row.update(order=row["order"][::-1]))


def wrong_presentations_gone(folder: Path) -> None:
    missed = wrong(folder)
    for name in ("presentations", "judgments"):
        rewrite(
            folder / f"{name}-{TASK}.jsonl",
            lambda found: [row for row in found if row["item_id"] not in missed or row["order"] == [0, 1]],
        )


def wrong_items_gone(folder: Path) -> None:
    without(folder, wrong(folder))


def wrong_items_gone_and_counted(folder: Path) -> None:
    without(folder, wrong(folder))
    count_again(folder)


def wrong_items_gone_as_by_a_limit(folder: Path) -> None:
    wrong_items_gone_and_counted(folder)
    left = len(rows(folder / f"items-{TASK}.jsonl"))
    record(folder, lambda run: run["config"].update(limit=left))


def wrong_items_gone_from_a_smaller_set(folder: Path) -> None:
    wrong_items_gone_and_counted(folder)
    left = len(rows(folder / f"items-{TASK}.jsonl"))
    record(folder, lambda run: run["tasks"][0].update(data_items=left))


def errors_for_wrong_answers(folder: Path) -> None:
    def change(found: Rows) -> Rows:
        return found + [row | {"reading": "error", "text": "", "error": "lost"} for row in found[:1]]

    rewrite(folder / f"judgments-{TASK}.jsonl", change)


def readings_turned(folder: Path) -> None:
    edited(folder, "judgments", turned)


def texts_turned(folder: Path) -> None:
    edited(folder, "judgments", lambda row: row.update(text=row["text"].replace("1", "3").replace("2", "1")))


def questions_changed(folder: Path) -> None:
    edited(folder, "items", lambda row: row.update(question="Which?"))


def responses_exchanged(folder: Path) -> None:
    edited(folder, "items", lambda row: row.update(responses=row["responses"][::-1]))


def clusters_split(folder: Path) -> None:
    edited(folder, "items", lambda row: row.update(cluster_id=row["item_id"]))


def images_split(folder: Path) -> None:
    edited(folder, "items", lambda row: row.update(cluster_id=row["item_id"], image_hash=row["item_id"]))


def slices_moved(folder: Path) -> None:
    edited(folder, "items", lambda row: row.update(slice="general"))


def slices_exchanged(folder: Path) -> None:
    names = {"general": "reasoning", "reasoning": "general"}
    edited(folder, "items", lambda row: row.update(slice=names.get(row["slice"], row["slice"])))


def sources_renamed(folder: Path) -> None:
    edited(folder, "items", lambda row: row.update(source_id="x"))


def label_of_no_response(folder: Path) -> None:
    edited(folder, "items", lambda row: row.update(label=2))


def items_doubled(folder: Path) -> None:
    rewrite(folder / f"items-{TASK}.jsonl", lambda found: [*found, found[0]])


def judgments_doubled(folder: Path) -> None:
    rewrite(folder / f"judgments-{TASK}.jsonl", lambda found: [*found, found[0]])


def judgments_of_another_item(folder: Path) -> None:
    rewrite(folder / f"judgments-{TASK}.jsonl", lambda found: [*found[:-1], found[-1] | {"item_id": "toy/x#1"}])


def an_extra_seed(folder: Path) -> None:
    rewrite(folder / f"judgments-{TASK}.jsonl", lambda found: [*found, *(row | {"seed": 7} for row in found)])


def a_seed_not_asked(folder: Path) -> None:
    record(folder, lambda run: run["config"].update(seeds=[0, 1, 2, 3, 4]))


def a_seed_left_out(folder: Path) -> None:
    record(folder, lambda run: run["checkpoints"].pop("1"))


def a_seed_that_is_none(folder: Path) -> None:
    record(folder, lambda run: run["checkpoints"].update({"²": "x"}))


def another_reader(folder: Path) -> None:
    record(folder, lambda run: run["tasks"][0].update(reader="letters"))


def an_unknown_reader(folder: Path) -> None:
    record(folder, lambda run: run["tasks"][0].update(reader="generous"))


def another_kind(folder: Path) -> None:
    record(folder, lambda run: run["tasks"][0].update(kind="pair-ties"))


def another_protocol(folder: Path) -> None:
    record(folder, lambda run: run["tasks"][0].update(protocol="file-order"))


def another_protocol_than_was_asked_for(folder: Path) -> None:
    record(folder, lambda run: run["config"].update(protocols={TASK: "logprob"}))


def a_protocol_that_is_a_list(folder: Path) -> None:
    record(folder, lambda run: run["config"].update(protocols={TASK: ["both-orders"]}))


def fingerprints_that_are_a_text(folder: Path) -> None:
    record(folder, lambda run: run["config"].update(fingerprints="x"))


def a_protocol_that_weighs(folder: Path) -> None:
    record(folder, lambda run: run["tasks"][0].update(protocol="logprob"))


def another_version(folder: Path) -> None:
    record(folder, lambda run: run["tasks"][0].update(protocol_version=2))


def another_fingerprint(folder: Path) -> None:
    record(folder, lambda run: run["tasks"][0].update(data_fingerprint="0" * 16))


def other_counts(folder: Path) -> None:
    record(folder, lambda run: run["tasks"][0].update(data_slices={"general": 100}))


def other_slices(folder: Path) -> None:
    record(folder, lambda run: run["tasks"][0].update(slices=["general"]))


def an_order_seed(folder: Path) -> None:
    record(folder, lambda run: run["tasks"][0].update(protocol="official:2", reader="official"))


def unfinished(folder: Path) -> None:
    record(folder, lambda run: run.update(status="unfinished"))


def no_tasks(folder: Path) -> None:
    record(folder, lambda run: run.update(tasks=[]))


def other_prompts(folder: Path) -> None:
    record(folder, lambda run: run["tasks"][0].update(prompts={"0": "other", "1": "other"}))


def prompts_of_one_seed(folder: Path) -> None:
    record(folder, lambda run: run["tasks"][0].update(prompts={"0": "words"}))


def torn(folder: Path) -> None:
    path = folder / f"judgments-{TASK}.jsonl"
    path.write_text(path.read_text()[:-40])


def no_items(folder: Path) -> None:
    (folder / f"items-{TASK}.jsonl").unlink()


def no_presentations(folder: Path) -> None:
    (folder / f"presentations-{TASK}.jsonl").unlink()


TOOLS = {"rows", "rewrite", "edited", "record", "turned", "wrong", "without", "count_again"}


def presentations_without_end(folder: Path) -> None:
    (folder / f"presentations-{TASK}.jsonl").write_text("[" * 100_000 + "\n")


def a_task_of_another_folder(folder: Path) -> None:
    record(folder, lambda run: run["tasks"][0].update(task="../x"))


def a_task_with_nul(folder: Path) -> None:
    record(folder, lambda run: run["tasks"][0].update(task="a\0b"))


def a_recipe_that_is_a_list(folder: Path) -> None:
    record(folder, lambda run: run["config"].update(recipe=["a"]))


def no_seeds(folder: Path) -> None:
    record(folder, lambda run: (run.update(checkpoints={}), run["config"].update(seeds=[])))
    rewrite(folder / f"judgments-{TASK}.jsonl", lambda found: [])


def a_protocol_of_ten_thousand_repeats(folder: Path) -> None:
    record(folder, lambda run: run["tasks"][0].update(protocol="official:10000", reader="official"))


def a_cluster_without_a_name(folder: Path) -> None:
    rewrite(
        folder / f"items-{TASK}.jsonl", lambda found: [row | {"cluster_id": "", "image_hash": None} for row in found]
    )


BENT = [
    found
    for name, found in list(globals().items())
    if callable(found) and found.__module__ == __name__ and name not in TOOLS
]


@pytest.fixture(scope="module")
def honest(tmp_path_factory) -> Path:
    """A candidate with a twentieth of its answers wrong, of two seeds, and a baseline on the same items."""
    folder, items = tmp_path_factory.mktemp("honest"), make_items(120)
    about = {"prompts": {"0": "words", "1": "words"}}
    for name, accuracy in (("base", 0.9), ("cand", 0.8)):
        judged = [
            j for seed in (0, 1) for j in make_judgments(items, accuracy, seed, draw=len(name) + int(accuracy * 10))
        ]
        write(folder / name, items, judged, **about)
    return folder


def test_what_is_whole_is_counted(honest: Path) -> None:
    assert main(["gate", str(honest / "base"), str(honest / "cand"), "--margin", "0.9"]) == 0


@pytest.mark.parametrize("bend", BENT, ids=lambda bend: bend.__name__)
def test_what_is_bent_is_refused_in_one_line(
    honest: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], bend: Callable[[Path], None]
) -> None:
    shutil.copytree(honest / "cand", tmp_path / "cand")
    bend(tmp_path / "cand")
    assert main(["gate", str(honest / "base"), str(tmp_path / "cand"), "--margin", "0.9"]) in (2, 4)
    said = capsys.readouterr()
    assert (said.out, said.err.count("\n")) == ("", 1)


@pytest.mark.parametrize("seconds", [False, True])
@pytest.mark.parametrize("seeds", [{0: 0, 1: 1}, {0: 1, 1: 0}, {0: 0}])
def test_answers_that_are_the_baselines_are_refused(
    honest: Path, tmp_path: Path, seeds: dict[int, int], seconds: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(honest / "cand", tmp_path / "cand")
    path = f"judgments-{TASK}.jsonl"
    theirs = {row["seed"]: [] for row in rows(honest / "base" / path)}
    for row in rows(honest / "base" / path):
        theirs[row["seed"]].append(row | ({"seconds": 2.5} if seconds else {}))

    def copied(found: Rows) -> Rows:
        own = [row for row in found if row["seed"] not in seeds]
        return own + [row | {"seed": seed} for seed, of in seeds.items() for row in theirs[of]]

    rewrite(tmp_path / "cand" / path, copied)
    command = ["gate", str(honest / "base"), str(tmp_path / "cand"), "--margin", "0.9"]
    assert main(command) == 2
    assert "word for word" in capsys.readouterr().err
    assert main([*command, "--same"]) == 0


def test_a_seed_told_twice_is_refused(honest: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.copytree(honest / "cand", tmp_path / "cand")
    rewrite(
        tmp_path / f"cand/judgments-{TASK}.jsonl",
        lambda found: [row | {"seed": seed} for seed in (0, 1) for row in found if row["seed"] == 0],
    )
    assert main(["gate", str(honest / "base"), str(tmp_path / "cand"), "--margin", "0.9"]) == 2
    assert "under seeds 0 and 1 cand gave every question the same answer" in capsys.readouterr().err


@pytest.mark.parametrize("protocol", ["logprob", "reasoned"])
@pytest.mark.parametrize("text", [True, False])
def test_probabilities_left_out_where_they_are_wrong_raise_no_figure(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], protocol: str, text: bool
) -> None:
    items = make_items(120)
    for name, accuracy in (("base", 0.9), ("cand", 0.7)):
        judged = make_judgments(items, accuracy, draw=len(name) + int(accuracy * 10))
        probable = [j.model_copy(update={"p_first": 0.9 if j.reading == "first" else 0.1}) for j in judged]
        write(tmp_path / name, items, probable, protocol=protocol, prompts={"0": "words"})
    command = ["gate", str(tmp_path / "base"), str(tmp_path / "cand"), "--margin", "0.02"]
    assert main(command) == 1
    label = {item.item_id: item.label for item in items}

    def left_out(found: Rows) -> Rows:
        wrong = [row["order"][["first", "second"].index(row["reading"])] != label[row["item_id"]] for row in found]
        silent = {"p_first": None} | ({} if text else {"text": "", "reading": "unparsed"})
        return [row | silent if out else row for row, out in zip(found, wrong, strict=True)]

    rewrite(tmp_path / "cand" / f"judgments-{TASK}.jsonl", left_out)
    capsys.readouterr()
    refused = text or protocol == "logprob"
    assert main(command) == (2 if refused else 1)
    if refused:
        assert ("p_first is None" if text else "it names no verdict") in capsys.readouterr().err


@pytest.mark.parametrize("protocol", ["logprob", "reasoned"])
@pytest.mark.parametrize(
    ("reader", "text", "reading"),
    [("strict", EQUAL, "tie"), ("official", "Overall Judgment: Answer 12 is better.", 12)],
)
def test_a_text_that_prefers_no_response_has_no_probability_on_a_side(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], protocol: str, reader: str, text: str, reading: str | int
) -> None:
    items = make_items(40)
    label = {item.item_id: item.label for item in items}
    for name, accuracy in (("base", 0.9), ("cand", 0.7)):
        judged = make_judgments(items, accuracy, draw=len(name) + int(accuracy * 10))
        sides = [j.model_copy(update={"p_first": 0.9 if j.reading == "first" else 0.1}) for j in judged]
        if name == "cand":
            told = {"text": text, "reading": reading}
            sides = [j.model_copy(update=told | {"p_first": float(j.order[0] == label[j.item_id])}) for j in judged]
        write(tmp_path / name, items, sides, protocol=protocol, reader=reader)
    assert main(["gate", str(tmp_path / "base"), str(tmp_path / "cand")]) == 2
    assert f"and the text says {reading!r}" in capsys.readouterr().err
    edited(tmp_path / "cand", "judgments", lambda row: row.update(p_first=0.5))
    assert main(["leaderboard", str(tmp_path / "cand")]) == 0, "one half is on no side"


@pytest.mark.parametrize("label", [10**400, -(10**7)])
def test_a_grade_that_no_rating_is_is_refused(tmp_path: Path, label: int, capsys: pytest.CaptureFixture[str]) -> None:
    items = [item.model_copy(update={"label": label, "responses": ("a",)}) for item in make_items(20)]
    items = [
        item.model_copy(update={"item_id": item_id("toy/" + i.source_id, i.question, ("a",))})
        for i, item in zip(make_items(20), items, strict=True)
    ]
    judged = [
        j.model_copy(update={"item_id": i.item_id, "order": (0,), "shown": None, "reading": 3})
        for i, j in zip(items, make_judgments(make_items(20), 1.0)[::2], strict=True)
    ]
    write(tmp_path / "graded", items, judged, kind="score", protocol="published:1", reader="grade")
    assert main(["leaderboard", str(tmp_path / "graded")]) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_answers_of_a_judge_that_repeats_itself_are_read_at_once() -> None:
    started = time.monotonic()
    for text in (
        "verdict " * 10_000,
        "answer 1 is better " * 10_000,
        "if " + "xbetter answer 1 " * 5_000,
        "[" * 100_000,
    ):
        for read in READERS.values():
            read(text, 3)
    assert time.monotonic() - started < 20
