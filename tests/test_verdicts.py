"""A judge asked about responses of one's own: the embedded one, on scenes of the embedded world."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.cli import main
from harness.data.preferences import write_preferences
from harness.data.tables import read_rows
from harness.embedded.data import benchmark_rows
from harness.errors import DataError
from harness.settings import JudgingSettings, WorldSettings
from harness.verdicts import Asked, Heard, Judge, Verdict, _orders, _scores, read_asked, read_verdicts, verdict_of


@pytest.fixture(scope="module")
def rows() -> list[dict]:
    return list(benchmark_rows(WorldSettings(items=12)))


@pytest.fixture(scope="module")
def judge():
    with Judge("embedded:judge", JudgingSettings(batch_size=8)) as loaded:
        yield loaded


def written(folder: Path, rows: list[dict]) -> Path:
    for row in rows:
        (folder / f"{row['id']}.png").write_bytes(row["image"])
    plain = [row | {"image": f"{row['id']}.png"} for row in rows]
    (folder / "asked.jsonl").write_text("".join(json.dumps(row) + "\n" for row in plain))
    return folder / "asked.jsonl"


def asked_of(row: dict) -> Asked:
    return Asked(row["id"], row["image"], row["query"], tuple(row["response"]))


def test_every_two_responses_are_shown_in_both_orders(judge, rows) -> None:
    (pair,) = judge.judge_all([asked_of(rows[0])])
    assert [heard.order for heard in pair.answers] == [(0, 1), (1, 0)]
    assert pair.scores[0] == pytest.approx((pair.answers[0].p + 1 - pair.answers[1].p) / 2)
    assert sum(pair.scores) == pytest.approx(1)
    three = asked_of(rows[0])._replace(responses=(*rows[0]["response"], rows[1]["response"][0]))
    (several,) = judge.judge_all([three])
    assert len(several.answers) == 6
    assert [heard.text for heard in several.answers[:2]] == [heard.text for heard in pair.answers]
    assert [heard.p for heard in several.answers[:2]] == pytest.approx([heard.p for heard in pair.answers], abs=1e-4)
    assert sum(several.scores) == pytest.approx(1.5)


def test_one_at_a_time_is_as_all_at_once(judge, rows) -> None:
    many = judge.judge_all([asked_of(row) for row in rows])
    for row, verdict in zip(rows, many, strict=True):
        alone = judge.judge(row["image"], row["query"], row["response"])
        assert [heard.text for heard in alone.answers] == [heard.text for heard in verdict.answers]
        assert alone.scores == pytest.approx(verdict.scores, abs=1e-4)


def heard(order: tuple[int, int], reading: str, p: float | None = None) -> Heard:
    return Heard(order, "", reading, p)  # type: ignore[arg-type]


def test_chance_decides_nothing() -> None:
    even = (heard((0, 1), "first", 0.75), heard((1, 0), "first", 0.75))
    verdict = Verdict("a", _scores(2, even), even)
    assert (verdict.scores, verdict.best, verdict.consistent) == ((0.5, 0.5), None, False)
    silent = (heard((0, 1), "unparsed"), heard((1, 0), "second"))
    verdict = Verdict("a", _scores(2, silent), silent)
    assert (verdict.scores, verdict.best, verdict.consistent) == ((0.75, 0.25), 0, False)
    assert Verdict("a", (2.5, -1.0, 2.5)).best is None


@given(st.integers(2, 6))
def test_a_score_is_a_mean_over_all_others_in_both_orders(count: int) -> None:
    one = Asked("a", b"", "q", tuple(map(str, range(count))))
    orders = _orders(one)
    assert len(set(orders)) == len(orders) == count * (count - 1)
    # the lower the place, the better
    told = [heard(order, "first" if order[0] < order[1] else "second") for order in orders]
    assert _scores(count, told) == tuple((count - 1 - place) / (count - 1) for place in range(count))


@given(st.lists(st.tuples(st.text(), st.sampled_from(["first", "second", "unparsed"])), max_size=4))
def test_a_verdict_comes_back_as_it_was_written(said: list[tuple[str, str]]) -> None:
    answers = tuple(Heard((0, 1), text, reading, 0.25) for text, reading in said)  # type: ignore[arg-type]
    verdict = Verdict("7", (0.25, 0.75), answers)
    assert verdict_of(json.loads(json.dumps(verdict.row()))) == verdict


def test_a_file_is_judged_resumed_and_labelled(tmp_path: Path, rows, capsys) -> None:
    file, out = written(tmp_path, rows), tmp_path / "verdicts.jsonl"
    labels = tmp_path / "pairs.parquet"
    command = ["judge", "embedded:judge", str(file), "-o", str(out), "--set", "judging.chunk_size=6"]
    assert main(command) == 0
    whole = out.read_text()
    assert [verdict.id for verdict in read_verdicts(out)] == [row["id"] for row in rows]
    assert "12 verdicts. Best: response 1 in" in capsys.readouterr().out
    # as a crash leaves it: some lines, and half of one
    lines = whole.splitlines(keepends=True)
    out.write_text("".join(lines[:5]) + lines[5][:40])
    assert main(command) == 2
    assert "holds 5 of 12 verdicts. Add --resume" in capsys.readouterr().err
    assert main([*command, "--resume", "--as-preferences", str(labels)]) == 0
    again = [verdict.best for verdict in read_verdicts(out)]
    assert again == [json.loads(line)["best"] for line in lines]
    pairs = list(read_rows(labels))
    assert len(pairs) == sum(best is not None for best in again)
    first = next(row for row, best in zip(rows, again, strict=True) if best is not None)
    assert pairs[0]["chosen"] == first["response"][next(best for best in again if best is not None)]
    counts = write_preferences(tmp_path / "canonical.parquet", pairs, "pairs.parquet", tmp_path)
    assert counts["pairs"] == len(pairs)
    capsys.readouterr()
    # once done, nothing is asked: a judge that does not exist would be noticed
    assert main(command) == 0
    for other, told in (
        ([*command[:2], str(written(tmp_path, rows[:6])), *command[3:]], "verdicts of other rows"),
        ([*command, "--set", "judging.max_new_tokens=4"], "verdicts of other rows and other settings"),
    ):
        assert main(other) == 2
        assert told in capsys.readouterr().err


def test_a_limit_keeps_what_is_judged_and_says_how_to_go_on(tmp_path: Path, rows, capfd) -> None:
    file, out = written(tmp_path, rows), tmp_path / "verdicts.jsonl"
    command = ["judge", "embedded:judge", str(file), "-o", str(out), "--set", "judging.chunk_size=6"]
    # what is begun together is finished together: three rows of two questions each
    assert main([*command, "--max-requests", "1"]) == 4
    last = capfd.readouterr().err.strip().splitlines()[-1]
    assert "--max-requests 1 is reached (6 requests, " in last
    assert f"Done: 3 of 12 rows have their verdict in {out}; all of it is kept. Go on: harness judge " in last
    assert last.endswith("--max-requests 1 --resume")
    kept = out.read_text()
    assert main([*command, "--resume"]) == 0
    assert out.read_text().startswith(kept)
    assert len(read_verdicts(out)) == 12
    assert main([*command, "--max-cost", "1", "--resume"]) == 2
    assert "by the prices of a server, and none is given" in capfd.readouterr().err


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"responses": ["one"]}, "field 'responses': ['one'] is not a list of two or more non-empty strings"),
        ({"responses": None}, "no field 'responses'"),
        ({"image": "missing.png"}, "field 'image': 'missing.png' is not a readable image"),
        ({"question": ""}, "field 'question': '' is not a non-empty string"),
    ],
)
def test_a_wrong_row_is_one_line(tmp_path: Path, rows, change, says: str) -> None:
    (tmp_path / "a.png").write_bytes(rows[0]["image"])
    row = {"image": "a.png", "question": "q?", "responses": ["yes", "no"]} | change
    (tmp_path / "asked.jsonl").write_text(json.dumps(row) + "\n")
    with pytest.raises(DataError) as error:
        list(read_asked(tmp_path / "asked.jsonl"))
    assert "asked.jsonl, row 1" in str(error.value)
    assert says in str(error.value)


def test_pairs_and_ids(tmp_path: Path, rows) -> None:
    (tmp_path / "a.png").write_bytes(rows[0]["image"])
    row = {"image": "a.png", "question": "q?", "chosen": "yes", "rejected": "no"}
    (tmp_path / "asked.jsonl").write_text(json.dumps(row) + "\n" + json.dumps(row | {"question": "r?"}) + "\n")
    assert [(one.id, one.responses) for one in read_asked(tmp_path / "asked.jsonl")] == [
        ("1", ("yes", "no")),
        ("2", ("yes", "no")),
    ]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["nobody", "FILE"], "model 'nobody' is no folder and no hub name"),
        (["run:nobody", "FILE"], "no run is called 'nobody'"),
        (["embedded:judge", "FILE", "--set", "dpo.beta=1"], "what is only asked has no such setting"),
        (["embedded:judge", "FILE", "--set", "judging.batch_size=0"], "judging.batch_size = 0"),
        (["embedded:judge", "FILE", "--as-preferences", "x.jsonl"], "is no parquet file"),
    ],
)
def test_a_mistake_is_one_line(tmp_path: Path, rows, capsys, arguments: list[str], says: str) -> None:
    file = str(written(tmp_path, rows[:1]))
    given = [file if argument == "FILE" else argument for argument in arguments]
    assert main(["judge", *given, "-o", str(tmp_path / "v.jsonl")]) == 2
    said = capsys.readouterr().err
    assert says in said
    assert said.count("\n") == 1
