"""`harness ls runs`: where it looked, what judging took, what came out, and which are asked for."""

from pathlib import Path

import pytest

from harness.cli import main
from harness.counting.cache import Cache
from harness.records.run import StageRecord
from harness.show.runs import lines, listed
from tests.toys import make_items, make_judgments, write


def test_runs_are_listed_with_their_tokens_and_an_empty_folder_is_named(tmp_path: Path, monkeypatch, capsys) -> None:
    monkeypatch.setenv("HARNESS_RESULTS", str(tmp_path))
    assert main(["ls", "runs"]) == 0
    said = capsys.readouterr().out
    assert f"There is no run in {tmp_path / 'runs'}." in said
    assert "HARNESS_RESULTS" in said
    items = make_items(6)
    write(tmp_path / "runs/older", items, make_judgments(items, 0.7))
    assert main(["ls", "runs"]) == 0
    assert "tokens" not in capsys.readouterr().out
    for name, usage in (
        ("few", {"prompt_tokens": 900, "completion_tokens": 100}),
        ("many", {"prompt_tokens": 3_000_000, "completion_tokens": 250_000}),
        ("unknown", {"prompt_tokens": 900, "completion_tokens": None}),
        ("hostile", "\x1b[31m"),
        ("beyond", {"prompt_tokens": 10**400, "completion_tokens": 1}),
    ):
        stage = StageRecord(
            stage="judge toy", seed=0, key=name, cached=False, seconds=1, peak_mb=1, info={"usage": usage}
        )
        write(tmp_path / "runs" / name, items, make_judgments(items, 0.7), [stage])
    assert main(["ls", "runs"]) == 0
    lines = {line.split()[0]: line for line in capsys.readouterr().out.splitlines()}
    assert "tokens" in lines["run"]
    assert "accuracy" in lines["few"]
    assert " 1,000" in lines["few"]
    assert " 3.2 M" in lines["many"]
    assert all("1 x 6" in lines[name] and " M" not in lines[name] for name in ("older", "unknown", "hostile", "beyond"))


@pytest.mark.parametrize(("width", "left_out"), [(None, ""), (100, ""), (40, "seeds x items"), (20, "status")])
def test_a_narrow_terminal_is_told_which_columns_it_lacks(tmp_path: Path, width: int | None, left_out: str) -> None:
    items = make_items(6)
    write(tmp_path / "carevl-1a2b3c4d", items, make_judgments(items, 0.7))
    *told, last = lines(list(listed([tmp_path / "carevl-1a2b3c4d"], [], Cache(tmp_path / "counted"))), width)
    shown = told if left_out else [*told, last]
    assert shown[0].startswith("run")
    assert shown[1].startswith("carevl-1a2b3c4d")
    assert max(map(len, shown)) <= (width or 100)
    assert left_out in last
    assert last.startswith("No room here for: ") == bool(left_out)


def test_runs_are_found_by_words_of_name_and_status(tmp_path: Path, monkeypatch, capsys) -> None:
    monkeypatch.setenv("HARNESS_RESULTS", str(tmp_path))
    items = make_items(6)
    for name in ("carevl-a", "carevl-b", "distill-a"):
        write(tmp_path / "runs" / name, items, make_judgments(items, 0.7))
    record = tmp_path / "runs/carevl-b/run.json"
    record.write_text(record.read_text().replace('"complete"', '"unfinished"'))
    broken = tmp_path / "runs/carevl-broken"
    broken.mkdir()
    (broken / "run.json").write_text("{")

    def found(*words: str) -> list[str]:
        assert main(["ls", "runs", *words]) == 0
        return sorted(line.split()[0] for line in capsys.readouterr().out.splitlines()[2:])

    assert found("carevl") == ["carevl-a", "carevl-b", "carevl-broken"]
    assert found("carevl", "complete") == ["carevl-a"]
    assert found("unreadable") == ["carevl-broken"]
    assert main(["ls", "runs", "nobody"]) == 0
    assert "None of the 4 runs" in capsys.readouterr().out
    assert main(["ls", "tasks", "carevl"]) == 2
    assert "Leave them out" in capsys.readouterr().err


def test_judges_that_can_be_run_are_listed_first_and_ones_own_among_them(tmp_path: Path, capsys) -> None:
    (tmp_path / "judges").mkdir()
    told = "summary: ours\nhub: OWNER/NAME\nlicence: mit\nparameters: few\nhead: value-head\n"
    (tmp_path / "judges/mine.yaml").write_text(told)
    assert main(["ls", "judges", "--include-path", str(tmp_path)]) == 0
    said = capsys.readouterr().out
    assert said.index("judge:mine") < said.index("judge:unified-reward") < said.index("judge:ixc-2.5-reward")
    assert "cannot be run" in said.partition("judge:ixc-2.5-reward")[2]
    (tmp_path / "judges/mine.yaml").write_text(told + "scale: 10\n")
    assert main(["ls", "judges", "--include-path", str(tmp_path)]) == 2
    assert "mine.yaml, field scale: " in capsys.readouterr().err
