"""Candidates that are worse and were edited so that the gate would let them pass: none does.

Each edit is one that needs no plausible texts, item by item; what is told by `shown`, `prompts` and the record alone.
"""

import json
import random
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from harness.cli import main
from harness.protocols import find_protocol
from harness.records import Item, Judgment
from tests.toys import changed, make_items, make_judgments, write

Rows = list[dict[str, Any]]


def rewrite(path: Path, edit: Callable[[Rows], Rows]) -> None:
    rows = edit([json.loads(line) for line in path.read_text().splitlines()])
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def record(folder: Path, edit: Callable[[dict[str, Any]], Any]) -> None:
    told = json.loads((folder / "run.json").read_text())
    edit(told)
    (folder / "run.json").write_text(json.dumps(told))


def gated(folder: Path, *more: str, margin: str = "0.02") -> int:
    return main(["gate", str(folder / "base"), str(folder / "cand"), "--margin", margin, *more])


def votes(items: Sequence[Item], accuracy: float, draw: int, protocol: str) -> list[Judgment]:
    """Answer each item three times in the orders that official:3 draws."""
    presentations = find_protocol(protocol).presentations(items, 0)
    label = {item.item_id: item.label for item in items}
    right = {
        j.item_id: j.chosen == label[j.item_id] for j in make_judgments(items, accuracy, draw=draw) if j.order == (0, 1)
    }
    told = []
    for shown in presentations:
        first = (shown.order[0] == label[shown.item_id]) == right[shown.item_id]
        like = next(j for j in make_judgments(items[:1], 1.0) if j.order == (0, 1))
        told.append(
            like.model_copy(
                update={
                    "item_id": shown.item_id,
                    "order": shown.order,
                    "repeat": shown.repeat,
                    "reading": "first" if first else "second",
                    "shown": hash_of(items, shown),
                }
            )
        )
    return told


def hash_of(items: Sequence[Item], shown: Any) -> str:
    from harness.records import shown_hash

    item = next(item for item in items if item.item_id == shown.item_id)
    return shown_hash(item.question, [item.responses[place] for place in shown.order])


@pytest.fixture(scope="module")
def voted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Under official:3, a baseline and a candidate that is ten points worse."""
    folder, items = tmp_path_factory.mktemp("voted"), make_items(300)
    for place, (name, accuracy) in enumerate((("base", 0.9), ("cand", 0.75))):
        write(
            folder / name, items, votes(items, accuracy, place, "official:3"), protocol="official:3", reader="official"
        )
    return folder


@pytest.fixture
def edited(voted: Path, tmp_path: Path) -> Path:
    shutil.copytree(voted, tmp_path / "votes")
    return tmp_path / "votes"


def wrong(folder: Path) -> set[str]:
    items = {row["item_id"]: row["label"] for row in map(json.loads, (folder / "items-toy.jsonl").open())}
    rows = map(json.loads, (folder / "judgments-toy.jsonl").open())
    return {r["item_id"] for r in rows if r["order"][int(r["reading"] == "second")] != items[r["item_id"]]}


def test_unedited_it_is_a_regression(voted: Path) -> None:
    assert gated(voted) == 1


def test_answers_that_were_emptied_where_they_were_wrong_gain_nothing(edited: Path, capsys) -> None:
    bad = wrong(edited / "cand")
    silent = {"text": "", "reading": "unparsed"}
    rewrite(
        edited / "cand/judgments-toy.jsonl", lambda rows: [r | (silent if r["item_id"] in bad else {}) for r in rows]
    )
    assert gated(edited) == 3
    assert "Counted as wrong, answers without a verdict make it [" in capsys.readouterr().out


def test_an_answer_that_was_never_shown_is_no_right_one_to_the_gate(edited: Path) -> None:
    third = {"text": "Overall Judgment: Answer 3 is better.", "reading": 3}
    rewrite(edited / "cand/judgments-toy.jsonl", lambda rows: [row | third for row in rows])
    assert gated(edited) in (2, 3)


def ties_for_wrong_answers(items: list[Item], judged: list[Judgment]) -> list[Judgment]:
    label = {item.item_id: item.label for item in items}
    return [j if j.chosen == label[j.item_id] else j.model_copy(update={"reading": "tie"}) for j in judged]


def test_ties_gain_nothing_where_a_metric_leaves_them_out(tmp_path: Path, capsys) -> None:
    items, about = make_items(240), {"kind": "pair-ties", "reader": "letters"}
    text = {"first": "[[A]]", "second": "[[B]]", "tie": "[[C]]"}
    for place, (name, accuracy) in enumerate((("base", 0.9), ("cand", 0.7))):
        judged = make_judgments(items, accuracy, draw=place)
        judged = ties_for_wrong_answers(items, judged) if name == "cand" else judged
        write(tmp_path / name, items, [j.model_copy(update={"text": text[str(j.reading)]}) for j in judged], **about)
    assert gated(tmp_path, "--metric", "macro") == 1
    assert gated(tmp_path, "--metric", "untied-both-macro") == 3
    assert "Counted as wrong" in capsys.readouterr().out


def ranked(folder: Path, protocol: str, right: float, silent: bool) -> None:
    """Write a judge of orders that says nothing where it would be wrong, but where it has said nothing else."""
    rng = random.Random(1)
    items = [
        changed(item, responses=("a", "b", "c", "d"), label=tuple(rng.sample(range(4), 4))) for item in make_items(150)
    ]
    judged, said = list[Judgment](), set[str]()
    label = {item.item_id: item.label for item in items}
    for shown in find_protocol(protocol, "batch").presentations(items, 0):
        best = label[shown.item_id]
        wrong = rng.random() > right
        if len(shown.order) == 2:
            first = (best.index(shown.order[0]) < best.index(shown.order[1])) != wrong
            reading: Any = "first" if first else "second"
        else:
            reading = tuple(best[::-1] if wrong else best)
        quiet = silent and wrong and (shown.item_id in said or (shown.repeat < 2 and len(shown.order) > 2))
        said |= {shown.item_id} - ({shown.item_id} if quiet else set())
        text = {"first": "[[A]]", "second": "[[B]]"}.get(str(reading)) or ", ".join(f"[[{'ABCD'[p]}]]" for p in reading)
        told = {"reading": "unparsed", "text": "-"} if quiet else {"reading": reading, "text": text}
        about = {"item_id": shown.item_id, "order": shown.order, "repeat": shown.repeat, "shown": hash_of(items, shown)}
        judged.append(Judgment(**about, **told, seed=0))
    reader = "order" if protocol.startswith("published") else "letters"
    write(folder, items, judged, kind="batch", protocol=protocol, reader=reader)


@pytest.mark.parametrize("protocol", ["published:3", "round-robin"])
def test_a_judge_of_orders_gains_nothing_by_silence(tmp_path: Path, protocol: str, capsys) -> None:
    """Some answer of each item is there, so that no item is left out."""
    for name, right, silent in (("base", 0.8, False), ("cand", 0.65, True)):
        ranked(tmp_path / name, protocol, right, silent)
    assert gated(tmp_path) == 3
    assert "The candidate leaves out" in capsys.readouterr().out


def test_judgments_made_elsewhere_are_let_through_only_where_it_is_said(edited: Path, capsys) -> None:
    bad = wrong(edited / "cand")

    def turned(rows: Rows) -> Rows:
        return [r | ({"order": r["order"][::-1], "shown": None} if r["item_id"] in bad else {}) for r in rows]

    rewrite(edited / "cand/judgments-toy.jsonl", turned)
    rewrite(
        edited / "cand/presentations-toy.jsonl",
        lambda rows: [r | ({"order": r["order"][::-1]} if r["item_id"] in bad else {}) for r in rows],
    )
    assert gated(edited) == 2
    record(edited / "cand", lambda run: run["config"].update(judgments="x"))
    assert gated(edited) == 2
    assert "made elsewhere" in capsys.readouterr().err
    assert gated(edited, "--imported") == 0, "whoever says so believes its orders"


@pytest.fixture
def pair(tmp_path: Path) -> Path:
    """Under both-orders, of two seeds, a candidate that is fifteen points worse."""
    items = make_items(240)
    for place, (name, accuracy) in enumerate((("base", 0.95), ("cand", 0.8))):
        judged = [j for seed in (0, 1) for j in make_judgments(items, accuracy, seed, draw=10 * place)]
        write(tmp_path / name, items, judged)
    assert gated(tmp_path) == 1
    return tmp_path


def test_an_order_that_was_turned_is_noticed_though_nothing_says_what_was_shown(pair: Path, capsys) -> None:
    def turned(rows: Rows) -> Rows:
        return [row | {"order": row["order"][::-1], "shown": None} for row in rows]

    rewrite(pair / "cand/judgments-toy.jsonl", turned)
    assert gated(pair) == 2
    assert "judgments do not say what was shown" in capsys.readouterr().err


def test_a_candidate_that_says_it_was_accepted_is_asked_no_less(
    pair: Path, tmp_path: Path, monkeypatch, capsys
) -> None:
    monkeypatch.setenv("HARNESS_RESULTS", str(tmp_path / "results"))
    rewrite(pair / "cand/judgments-toy.jsonl", lambda rows: [row | {"shown": None} for row in rows])
    assert main(["baseline", "accept", str(pair / "cand"), "--reason", "mine", "--name", "mine"]) == 0
    assert main(["gate", str(pair / "base"), str(tmp_path / "results/baselines/mine")]) == 1
    shutil.copytree(tmp_path / "results/baselines/mine", tmp_path / "theirs/baselines/mine")
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs/mine").symlink_to(tmp_path / "results/baselines/mine")
    for place in ("theirs/baselines", "runs"):
        capsys.readouterr()
        assert main(["gate", str(pair / "base"), str(tmp_path / place / "mine")]) == 2
        assert "judgments do not say what was shown" in capsys.readouterr().err


def test_a_baseline_whose_history_was_taken_away_is_none(pair: Path, tmp_path: Path, monkeypatch, capsys) -> None:
    monkeypatch.setenv("HARNESS_RESULTS", str(tmp_path / "results"))
    assert main(["baseline", "accept", str(pair / "base"), "--reason", "x", "--name", "main"]) == 0
    kept = tmp_path / "results/baselines/main"
    silent = {"text": "", "reading": "unparsed"}
    rewrite(
        kept / "judgments-toy.jsonl", lambda rows: [row | (silent if i % 4 == 0 else {}) for i, row in enumerate(rows)]
    )
    (kept / "accepted.json").unlink()
    assert main(["gate", "main", str(pair / "cand")]) == 2
    assert "has no accepted.json" in capsys.readouterr().err


@pytest.mark.parametrize("prompts", [{}, {"0": "words"}])
def test_a_prompt_that_is_not_told_is_refused(pair: Path, prompts: dict[str, str]) -> None:
    record(pair / "cand", lambda run: run["tasks"][0].update(prompts=prompts))
    assert gated(pair) == 2


def test_synthetic_items_stay_synthetic(pair: Path, capsys) -> None:
    record(pair / "cand", lambda run: run["tasks"][0].update(synthetic=False, release="first release"))
    assert gated(pair) == 2
    assert "differ in whether the data are synthetic" in capsys.readouterr().err


def test_one_seed_told_twice_is_noticed_of_a_run_that_says_it_was_not_trained(pair: Path, capsys) -> None:
    rewrite(
        pair / "cand/judgments-toy.jsonl",
        lambda rows: [row | {"seed": seed} for seed in (0, 1) for row in rows if row["seed"] == 0],
    )
    record(pair / "cand", lambda run: run["config"].pop("sft"))
    assert gated(pair) == 2
    said = capsys.readouterr().err
    assert "under seeds 0 and 1 cand gave every question the same answer" in said
    assert "It was not trained, and one seed is all of it: run it with --seeds 0, or say --same." in said
    assert gated(pair, "--same") == 1


@pytest.mark.parametrize("change", ["fewer", "probability"])
def test_a_copy_is_one_though_an_item_or_a_probability_is_another(tmp_path: Path, change: str, capsys) -> None:
    from harness.records.inventory import Inventory, limited

    items = make_items(60)
    judged = make_judgments(items, 0.8)
    base = write(tmp_path / "base", items, judged)
    kept = limited(items, 59) if change == "fewer" else items
    names = {item.item_id for item in kept}
    copied = [j for j in judged if j.item_id in names]
    if change == "probability":
        copied[0] = copied[0].model_copy(update={"p_first": 0.75 if copied[0].reading == "first" else 0.25})
    whole = Inventory(items)
    about = {"data_items": 60, "data_fingerprint": whole.fingerprint, "data_slices": whole.counts}
    write(tmp_path / "cand", kept, copied, **about)
    assert base.path.exists()
    assert gated(tmp_path) == 2
    assert "word for word" in capsys.readouterr().err


def test_two_items_that_agree_settle_nothing(tmp_path: Path, capsys) -> None:
    items = make_items(2)
    right = make_judgments(items, 1.0)
    write(tmp_path / "base", items, right)
    write(tmp_path / "cand", items, [j.model_copy(update={"text": f"Well. {worded_of(j)}"}) for j in right])
    assert gated(tmp_path) == 3
    assert "more than 2 items" in capsys.readouterr().out


def worded_of(judgment: Judgment) -> str:
    return f"Overall Judgment: Answer {1 if judgment.reading == 'first' else 2} is better."


def test_a_name_of_two_runs_is_neither(pair: Path, tmp_path: Path, monkeypatch, capsys) -> None:
    monkeypatch.setenv("HARNESS_RESULTS", str(tmp_path / "results"))
    assert main(["baseline", "accept", str(pair / "base"), "--reason", "x", "--name", "main"]) == 0
    assert main(["gate", "main", str(pair / "cand")]) == 1
    shutil.copytree(pair / "cand", tmp_path / "results/runs/main")
    assert main(["gate", "main", str(pair / "cand")]) == 2
    assert "Write the path of the one that is meant" in capsys.readouterr().err


def test_a_name_begins_no_line_of_its_own(pair: Path, capsys) -> None:
    record(pair / "cand", lambda run: run["config"].update(recipe="\x07\n::error::x"))
    assert gated(pair) == 1
    said = capsys.readouterr().out
    assert said.count("\n") == 3
    assert "\x07" not in said
