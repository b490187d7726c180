"""What docs/json.md says of the JSON is what comes: every field, and no other; strict, and of the printed figures."""

import json
import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from harness.cli import main
from tests.toys import ROOT, make_items, make_judgments, write

DOCUMENT = ROOT / "docs/json.md"
PARTS = {"[a task](#a-task)": "A task", "[a run](#a-run)": "A run", "[a metric](#a-metric)": "A metric"}


def documented(section: str) -> set[str]:
    """List the fields of a section, those of its parts in their places; a list or an object stands for its own."""
    text = DOCUMENT.read_text().split(f"\n## {section}\n")[1].split("\n## ")[0]
    found = set()
    for name, kind in re.findall(r"^\| `([^`]+)` \| ([^|]+?) \|", text, re.MULTILINE):
        if kind in PARTS:
            found |= {f"{name}.{inner}" for inner in documented(PARTS[kind])}
        elif kind != "list":
            found.add(name)
    return found


def fields(value: Any, path: str = "") -> Iterator[str]:
    """List the fields of a JSON value; what is null or empty stands for itself."""
    if isinstance(value, dict) and not path.endswith("checkpoints"):
        for key, inner in value.items():
            yield from fields(inner, f"{path}.{key}".lstrip("."))
    elif isinstance(value, list) and any(isinstance(inner, dict) for inner in value):
        for inner in value:
            yield from fields(inner, f"{path}[]")
    else:
        yield path


def no_constant(name: str) -> None:
    raise AssertionError(f"{name} is no JSON")


@pytest.fixture
def read(tmp_path: Path, monkeypatch, capsys) -> Any:
    """Make runs, and read what a command writes about them."""
    results = tmp_path / "results"
    monkeypatch.setenv("HARNESS_RESULTS", str(results))
    items = make_items(60)
    unread = [j.model_copy(update={"text": "?", "reading": "unparsed"}) for j in make_judgments(items, 0.7)[:3]]
    few = [*unread, *make_judgments(items, 0.7, draw=1)[3:]]
    write(results / "runs/base", items, make_judgments(items, 0.6, draw=2))
    write(results / "runs/cand", items, few, config={"sft": {"epochs": 2}})
    seeds = [judgment for seed in range(3) for judgment in make_judgments(items, 0.7, seed, draw=3)]
    write(results / "runs/seeds", items, seeds)

    def reading(*arguments: str) -> Any:
        assert main(list(arguments)) in (0, 1, 3)
        return json.loads(capsys.readouterr().out, parse_constant=no_constant)

    return reading


def test_a_comparison_has_the_documented_fields(read, capsys) -> None:
    one = read("compare", "base", "cand", "seeds", "--format", "json", "--bootstrap", "--resamples", "99")
    bare = read("compare", "base", "cand", "--format", "json", "--resamples", "99")
    # what is null in one is told in another
    nullable = {f"comparisons[].{name}" for name in ("bounds", "mcnemar")}
    assert set(fields(one)) - nullable == documented(one["schema"])
    assert "comparisons[].metrics[].bootstrap" in set(fields(bare))
    first, several = one["comparisons"]
    assert (first["candidate"]["name"], several["candidate"]["seeds"]) == ("cand", [0, 1, 2])
    assert Path(first["candidate"]["path"]).name == "cand"
    assert first["verdict"] == first["metrics"][0]["verdict"]
    assert first["unparsed"]["candidate"] == pytest.approx(3 / 120)
    assert first["metrics"][0]["adjusted_p"] >= first["metrics"][0]["p"]
    assert (one["correction"], bare["correction"]) == ("holm", None)
    assert [m["items"] for m in first["metrics"]] == [60, 60, 60, 20, 20, 20]
    assert main(["compare", "base", "cand", "--resamples", "99"]) == 0
    printed = " ".join(capsys.readouterr().out.split())
    assert bare["comparisons"][0]["sentence"] in printed
    assert f"{100 * first['metrics'][0]['difference']:+.1f}" in printed


def test_a_plan_has_the_documented_fields_and_the_printed_numbers(read) -> None:
    found = read("power", "base", "seeds", "--effect", "0.05", "--format", "json")
    assert set(fields(found)) == documented(found["schema"])
    items = found["items"]
    assert not found["enough"]
    assert items["state"] in ("more", "no number is enough")
    alone = read("power", "base", "cand", "--effect", "0.05", "--format", "json")
    assert alone["items"]["low"] <= alone["items"]["needed"] <= alone["items"]["high"]
    assert alone["seeds"] == {"asked": 1, "state": "not known", "needed": None}
    assert alone["repeats"]["state"] == "the same answers again"
    assert alone["chance"] < 0.8
    assert f"{100 * alone['chance']:.0f} cases of 100" in alone["sentences"][0]
    enough = read("power", "base", "cand", "--effect", "0.9", "--format", "json")
    assert (enough["enough"], enough["items"]["state"], enough["items"]["needed"]) == (True, "enough", 60)


def test_a_leaderboard_has_the_documented_fields(read) -> None:
    found = read("leaderboard", "base", "cand", "seeds", "--format", "json")
    want = documented(found["schema"])
    assert set(fields(found)) - {"published"} == {name for name in want if not name.startswith("published")}
    (table,) = found["tables"]
    values = [row["figures"][0]["value"] for row in table["rows"]]
    assert table["rows"][0]["figures"][0]["name"] == table["metric"] == "accuracy"
    assert values == sorted(values, reverse=True)
    assert min(row["best_rank"] for row in table["rows"]) == 1


def test_published_rows_have_the_documented_fields(read) -> None:
    found = read("leaderboard", "--task", "vlrewardbench", "--published", "--format", "json")
    assert found["tables"] == []
    want = {name for name in documented(found["schema"]) if name.startswith("published")}
    assert {name for name in fields(found) if name.startswith("published")} == want
    assert all(isinstance(figure["printed"], str) for row in found["published"] for figure in row["figures"])


def test_the_list_of_runs_has_the_documented_fields(read) -> None:
    found = read("ls", "runs", "--format", "json")
    assert set(fields(found)) == documented(found["schema"])
    shown = {one["run"]: one["figure"] for one in found["runs"]}
    (table,) = read("leaderboard", "base", "cand", "seeds", "--format", "json")["tables"]
    assert {row["run"]: row["figures"][0]["value"] for row in table["rows"]} == pytest.approx(
        {name: figure["value"] for name, figure in shown.items()}
    )


def test_a_ruling_has_the_documented_fields(read, tmp_path: Path, capsys) -> None:
    file = tmp_path / "gate.json"
    assert main(["gate", "base", "cand", "--json", str(file)]) in (0, 1, 3)
    found = json.loads(file.read_text(), parse_constant=no_constant)
    assert set(fields(found)) == documented(found["schema"])


def test_what_cannot_be_told_is_null(read, tmp_path: Path) -> None:
    items = [item.model_copy(update={"cluster_id": None, "image_hash": None}) for item in make_items(12)]
    for name, draw in (("one", 1), ("other", 2)):
        write(tmp_path / "results/runs" / name, items, make_judgments(items, 0.7, draw=draw))
    found = read("compare", "one", "other", "--format", "json")
    (one,) = found["comparisons"]
    assert one["verdict"] == "not estimable"
    assert one["metrics"][0]["low"] is one["metrics"][0]["p"] is one["metrics"][0]["detectable"] is None
    assert math.isfinite(one["metrics"][0]["difference"])
