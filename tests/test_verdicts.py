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
from harness.verdicts import (
    Asked,
    Heard,
    Judge,
    Verdict,
    _orders,
    _scores,
    asked_of,
    read_asked,
    read_verdicts,
    verdict_of,
)


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


def about(row: dict) -> Asked:
    return Asked(row["id"], row["image"], row["query"], tuple(row["response"]))


def test_every_two_responses_are_shown_in_both_orders(judge, rows) -> None:
    (pair,) = judge.judge_all([about(rows[0])])
    assert [heard.order for heard in pair.answers] == [(0, 1), (1, 0)]
    assert pair.scores[0] == pytest.approx((pair.answers[0].p + 1 - pair.answers[1].p) / 2)
    assert sum(pair.scores) == pytest.approx(1)
    three = about(rows[0])._replace(responses=(*rows[0]["response"], rows[1]["response"][0]))
    (several,) = judge.judge_all([three])
    assert len(several.answers) == 6
    assert [heard.text for heard in several.answers[:2]] == [heard.text for heard in pair.answers]
    assert [heard.p for heard in several.answers[:2]] == pytest.approx([heard.p for heard in pair.answers], abs=1e-4)
    assert sum(several.scores) == pytest.approx(1.5)


def test_one_at_a_time_is_as_all_at_once(judge, rows) -> None:
    many = judge.judge_all([about(row) for row in rows])
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


def test_images_stand_where_they_are_named_and_before_the_question_where_they_are_not() -> None:
    one = asked_of("a", [b"x", b"y", b"z"], "Is <image_3> as <image_1>?", ["yes", "as <image_3>"])
    assert (one.question, one.responses) == ("<image_1>\nIs <image_2> as <image_0>?", ("yes", "as <image_2>"))
    assert (one.image, one.pictures) == (None, (b"x", b"y", b"z"))
    # one image without a place is what a row with `image` asks
    assert asked_of("a", [b"x"], "q?", ["1", "2"]) == Asked("a", b"x", "q?", ("1", "2"))
    assert asked_of("a", [], "<image_1>?", ["1", "2"]).question == "<image_1>?"


def test_rows_of_several_images_and_of_none_are_judged_and_each_image_counts(tmp_path: Path, rows, capsys) -> None:
    file, out, labels = written(tmp_path, rows[:3]), tmp_path / "verdicts.jsonl", tmp_path / "pairs.parquet"
    first, second, third = (json.loads(line) for line in file.read_text().splitlines())
    pictures = [row.pop("image") for row in (first, second, third)]
    single = {**first, "id": "single", "image": pictures[0]}
    listed = {**first, "id": "listed", "images": pictures[:1]}
    both, other = ({**first, "id": f"{n}", "images": [pictures[0], name]} for n, name in enumerate(pictures[1:]))
    marked = {**second, "images": pictures[:2], "response": ["as in <image_2>", "as in <image_1>"]}
    text = {**third, "images": []}
    asked = [single, listed, both, other, marked, text]
    file.write_text("".join(json.dumps(row) + "\n" for row in asked))
    command = ["judge", "embedded:judge", str(file), "-o", str(out), "--as-preferences", str(labels)]
    assert main(command) == 0
    told = {verdict.id: verdict for verdict in read_verdicts(out)}
    assert len(told) == 6
    assert told["single"].scores == pytest.approx(told["listed"].scores, abs=1e-4)
    # the second image is seen
    assert told["0"].scores != pytest.approx(told["1"].scores, abs=1e-6)
    assert "or not one image" in capsys.readouterr().out
    assert {row["id"] for row in read_rows(labels)} <= {"single", "listed"}
    out.unlink()
    assert main([*command[:5], "--set", "judging.max_images=1"]) == 2
    assert "question '0' has 2 images, and judging.max_images is 1" in capsys.readouterr().err


def test_python_code_gives_one_image_or_a_list(judge, rows) -> None:
    row = rows[0]
    alone, listed = (judge.judge(one, row["query"], row["response"]) for one in (row["image"], [row["image"]]))
    assert alone == listed
    assert judge.judge([], row["query"], row["response"]).scores != alone.scores
    many = judge.judge([rows[place % 12]["image"] for place in range(39)], row["query"], ["<image_39>", "<image_1>"])
    assert [heard.reading in ("first", "second") for heard in many.answers] == [True, True]
    with pytest.raises(ValueError, match="<image_2> is the place of no image; there is 1"):
        judge.judge([row["image"]], "<image_1> or <image_2>?", row["response"])


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"responses": ["one"]}, "field 'responses': ['one'] is not a list of two or more non-empty strings"),
        ({"responses": None}, "no field 'responses'"),
        ({"image": None}, "no field 'image'"),
        ({"images": ["a.png"]}, "both 'image' and 'images'"),
        ({"image": None, "images": "a.png"}, "field 'images'"),
        ({"image": None, "images": ["../../etc/passwd"]}, "field 'images'"),
        (
            {"image": None, "images": ["a.png", "a.png"], "responses": ["yes", "<image_3>"]},
            "<image_3> is the place of no image; there are 2",
        ),
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
    assert str(error.value).startswith(("asked.jsonl, row 1", "asked.jsonl, id '1'"))
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
