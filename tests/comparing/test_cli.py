"""`harness compare` and `harness power` as they are typed."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from harness.cli import main
from harness.protocols import find_protocol
from harness.records import Judgment
from tests.toys import ROOT, make_items, make_judgments, write


@pytest.fixture
def runs(tmp_path: Path) -> tuple[str, str]:
    items = make_items(240)
    for name, accuracy, draw in (("base", 0.6, 1), ("cand", 0.8, 2)):
        write(tmp_path / name, items, make_judgments(items, accuracy, draw=draw))
    return str(tmp_path / "base"), str(tmp_path / "cand")


def said(capsys: pytest.CaptureFixture[str]) -> str:
    return " ".join(capsys.readouterr().out.split())


def test_a_comparison_ends_in_a_sentence_and_says_what_it_rests_on(runs, capsys) -> None:
    assert main(["compare", *runs]) == 0
    out = said(capsys)
    assert "cand against base: better, +" in out
    assert "whole clusters swapped" in out
    assert "these checkpoints, not of the recipe" in out
    assert "in 4 cases of 5" in out
    assert "McNemar's exact p" in out
    assert "general 80, hallucination 80, reasoning 80" in out, "slices of fewer than 100 clusters are named"


def test_json_holds_the_figures_unrounded(runs, capsys) -> None:
    assert main(["compare", *runs, "--format", "json", "--resamples", "200"]) == 0
    first, *_ = json.loads(capsys.readouterr().out)["comparisons"][0]["metrics"]
    assert first["low"] < first["difference"] < first["high"]
    assert 0 < first["p"] < 0.01


def test_a_file_gets_the_format_of_its_name(runs, tmp_path: Path, capsys) -> None:
    assert main(["compare", *runs, "--resamples", "50", "--bootstrap", "-o", str(tmp_path / "out.md")]) == 0
    text = (tmp_path / "out.md").read_text()
    assert "bootstrap (BCa)" in text
    assert main(["compare", *runs, "-o", str(tmp_path / "out.docx")]) == 2
    assert "no format is called 'docx'" in capsys.readouterr().err


def test_several_candidates_are_told_apart_in_one_table(runs, tmp_path: Path, capsys) -> None:
    items = make_items(240)
    write(tmp_path / "third", items, make_judgments(items, 0.6, draw=3))
    assert main(["compare", *runs, str(tmp_path / "third"), "--correct", "bh", "--resamples", "200"]) == 0
    out = said(capsys)
    assert "p (BH)" in out
    assert "no difference shown" in out


def test_power_says_what_would_settle_it(runs, capsys) -> None:
    assert main(["power", *runs, "--effect", "0.02"]) == 0
    out = said(capsys)
    assert "A true difference of 2 points would be shown" in out
    assert "Items:" in out
    assert "the data have only 240" in out
    assert "Seeds: one a side" in out
    assert main(["power", *runs, "--effect", "0.5"]) == 0
    assert "These data are enough for 50 points" in said(capsys)


def test_repeated_votes_tell_what_more_of_them_buy(tmp_path: Path, capsys) -> None:
    items = make_items(120)
    for name, accuracy in (("one", 0.55), ("other", 0.6)):
        votes = []
        for repeat in range(5):
            for j in make_judgments(items, accuracy, draw=hash_of(name) + repeat):
                votes.append(j.model_copy(update={"repeat": repeat}))
        owed = set(find_protocol("official:5").presentations(items, 0))
        votes = [vote for vote in votes if vote.presentation in owed]
        write(tmp_path / name, items, votes, protocol="official:5", reader="official")
    assert main(["power", str(tmp_path / "one"), str(tmp_path / "other"), "--effect", "0.08"]) == 0
    out = said(capsys)
    assert "Repeats: official:" in out or "the chance of single answers is" in out


def hash_of(name: str) -> int:
    return sum(map(ord, name)) * 10


def test_mistakes_are_one_line(runs, tmp_path: Path, capsys) -> None:
    items = make_items(20)
    write(tmp_path / "other", items[:18], make_judgments(items[:18], 0.6))
    nan = Judgment(item_id=items[0].item_id, seed=0, order=(0, 1), text="", reading="first")
    odd = write(tmp_path / "odd", items, make_judgments(items, 0.6))
    lines = odd.judgments_path("toy").read_text().splitlines()
    lines[0] = nan.model_dump_json().replace('"p_first":null', '"p_first":NaN')
    odd.judgments_path("toy").write_text("\n".join(lines) + "\n")
    for arguments, words, code in (
        (["compare", *runs[:1], "cnad"], "no run is called 'cnad'", 2),
        (["compare", runs[0], str(tmp_path / "other")], "differ in data", 2),
        (["compare", runs[0], str(tmp_path / "odd")], "line 1, field 'p_first'", 2),
        (["compare", *runs, "--level", "95"], "'95' is no level between 0 and 1", 2),
        (["compare", *runs, "--resamples", "0"], "'0' is no whole number above 0", 2),
        (["power", *runs, "--effect", "-1"], "--effect -1 is no difference", 2),
        (["power", *runs, "--metric", "acuracy"], "Did you mean 'accuracy'?", 2),
        (["power", runs[0], runs[0]], "cannot be estimated", 2),
    ):
        assert main(arguments) == code, arguments
        error = capsys.readouterr().err
        assert words in error, error
        assert error.count("\n") == 1, error


def test_the_number_of_threads_changes_no_figure(runs) -> None:
    told = set()
    for threads in ("1", "2"):
        environment = {**os.environ, "OPENBLAS_NUM_THREADS": threads, "OMP_NUM_THREADS": threads}
        command = [sys.executable, "-m", "harness", "compare", *runs, "--format", "json", "--bootstrap"]
        told.add(subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout)
    assert len(told) == 1


def test_a_narrow_terminal_shows_every_row_and_says_which_columns_it_lacks(capsys, monkeypatch) -> None:
    monkeypatch.setenv("COLUMNS", "50")
    assert main(["compare", *(str(ROOT / "results/baselines" / name) for name in ("distill", "carevl"))]) == 0
    out = capsys.readouterr().out
    for name in ("accuracy", "macro", "consistency", "general", "hallucination", "reasoning"):
        assert f"│ {name} " in out
    assert "No room here for: baseline; candidate; p (Holm)" in " ".join(out.split())


def test_a_record_of_a_recipe_that_is_gone_is_read_as_ever(runs, tmp_path: Path, capsys) -> None:
    items = make_items(240)
    write(tmp_path / "distill-matched", items, make_judgments(items, 0.7, draw=3))
    assert main(["compare", runs[0], str(tmp_path / "distill-matched"), "--resamples", "200"]) == 0
    assert "distill-matched against base" in said(capsys)
    assert main(["leaderboard", *runs, str(tmp_path / "distill-matched")]) == 0
    assert "distill-matched" in said(capsys)
    assert main(["run", "--recipe", "distill-matched", "--tasks", "vlrewardbench"]) == 2
    assert "--recipe distill --set sft.match=carevl" in " ".join(capsys.readouterr().err.split())


@pytest.mark.parametrize(
    ("width", "headings"), [(60, "7c2e0a10 7c2e0a11 7c2e0a12"), (160, "toy-vlrewardbench-7c2e0a10")]
)
def test_a_setting_is_told_where_the_names_of_runs_have_no_room(
    width: int, headings: str, tmp_path: Path, capsys, monkeypatch
) -> None:
    items = make_items(6)
    names = [f"toy-vlrewardbench-7c2e0a1{place}" for place in range(3)]
    for place, name in enumerate(names):
        config = {"protocols": {"vlrewardbench": ("both-orders", "logprob", "reasoned")[place]}}
        write(tmp_path / "runs" / name, items, make_judgments(items, 0.7), config=config)
    monkeypatch.setenv("HARNESS_RESULTS", str(tmp_path))
    monkeypatch.setenv("COLUMNS", str(width))
    assert main(["diff", *names]) == 0
    out = capsys.readouterr().out
    assert max(map(len, out.splitlines())) <= width
    parts = [
        line.split("│")[1].strip() for line in out.splitlines() if line.startswith("│") and line.split("│")[1].strip()
    ]
    assert "".join(parts).startswith("protocols.vlrewardbench")
    assert set(parts) <= {"protocols.vlrewardbench", "protocols.", "vlrewardbench", "recipe"}, out
    assert headings in " ".join(out.replace("┃", " ").split())
