"""Training pairs that are items: planted ones are found and dropped, and nothing else changes."""

import json
import shutil
from pathlib import Path

import pytest

from harness.cli import main
from harness.config import RunConfig
from harness.data.benchmark import read_items, write_benchmark
from harness.data.likeness import normalised
from harness.data.preferences import stream_pairs, write_preferences
from harness.embedded.data import benchmark_rows, preference_rows
from harness.errors import HarnessError
from harness.evaluate.contamination import read_matches
from harness.evaluate.hooks import load_hooks
from harness.evaluate.sieve import sieve
from harness.evaluate.tasks import TABLE
from harness.registry import content_roots, load_task
from harness.settings import ContaminationSettings, WorldSettings
from harness.training.sources import PAIRS
from harness.training.stages import Artifact, Stages
from tests.data.copies import reencoded, resized, rewritten
from tests.training.test_stages import Watch

ITEMS, PLANTED = 120, 100
TASK = "vlrewardbench"


def pairs_of(folder: Path, rows) -> Artifact:
    folder.mkdir()
    write_preferences(folder / PAIRS, rows, "toy", Path())
    return Artifact("pairs", folder.name, folder, {"pairs": len(list(stream_pairs(folder / PAIRS, ["id"])))})


def planted(change, only: str = "") -> list[dict]:
    """Items made into pairs; `only` an image or only a question is kept of them, and the other is of another item."""
    rows = list(benchmark_rows(WorldSettings(items=ITEMS)))
    made = []
    for place, row in enumerate(rows[:PLANTED]):
        other = next(r for r in rows[place + 1 :] if r["query"] != row["query"] and r["image"] != row["image"])
        question = "What is the artist's name?" if only == "image" else rewritten(row["query"])
        image = next(preference_rows(WorldSettings(pairs=1)))["image"] if only == "question" else change(row["image"])
        answers = {"chosen": row["response"][0], "rejected": other["response"][0] + " or not"}
        made.append({"id": f"planted-{row['id']}", "image": image, "question": question, **answers})
    return made


@pytest.fixture(scope="module")
def benchmark(tmp_path_factory) -> Artifact:
    folder = tmp_path_factory.mktemp("benchmark")
    ours = load_hooks(TASK, load_task(TASK, content_roots()).hooks)
    rows = benchmark_rows(WorldSettings(items=ITEMS))
    info = write_benchmark(folder / TABLE, rows, "embedded", Path(), ours.benchmark)
    return Artifact("benchmark", "benchmark", folder, info)


def sifted(tmp_path: Path, pairs: Artifact, benchmark: Artifact, action: str) -> tuple[Artifact, Stages]:
    run = Stages(tmp_path / "cache", Watch())
    config = RunConfig(tasks=[TASK], contamination=ContaminationSettings(pairs=action))
    return sieve(run, config, {TASK: benchmark})(pairs), run


@pytest.mark.parametrize("change", [bytes, reencoded, resized])
def test_planted_duplicates_are_found_and_dropped(tmp_path: Path, benchmark: Artifact, change) -> None:
    own = list(preference_rows(WorldSettings(pairs=150)))
    pairs = pairs_of(tmp_path / "pairs", [*own, *planted(change)])
    clean, run = sifted(tmp_path, pairs, benchmark, "drop")
    info = run.records[0].info
    assert info["both"] >= 0.99 * PLANTED
    assert info["by_task"][TASK]["same_pixels"] == (info["both"] if change is bytes else 0)
    left = [row["id"] for row in stream_pairs(clean.path / PAIRS, ["id"])]
    assert [name for name in left if name.startswith("pair-")] == [row["id"] for row in own]
    assert len(left) == len(own) + PLANTED - info["both"]
    assert run.records[1].info == {"pairs": len(left), "dropped": info["both"]}
    items = {item.source_id: item for item in read_items(benchmark.path / TABLE)}
    check = Artifact("", "", run.root / f"contamination-{run.records[0].key}")
    assert {match.pair.removeprefix("planted-") for match in read_matches(check)} <= set(items)


def test_what_shares_an_image_or_a_question_alone_is_counted_and_kept(tmp_path: Path, benchmark: Artifact) -> None:
    for only in ("image", "question"):
        pairs = pairs_of(tmp_path / only, planted(reencoded, only))
        clean, run = sifted(tmp_path, pairs, benchmark, "drop")
        assert clean is pairs
        counts = run.records[0].info
        other = "question" if only == "image" else "image"
        assert (counts["both"], counts[f"{other}_only"]) == (0, 0)
        assert counts[f"{only}_only"] >= 0.99 * PLANTED


def test_where_nothing_is_found_the_pairs_are_the_very_same(tmp_path: Path, benchmark: Artifact) -> None:
    pairs = pairs_of(tmp_path / "pairs", preference_rows(WorldSettings(pairs=600)))
    clean, run = sifted(tmp_path, pairs, benchmark, "drop")
    assert clean is pairs
    assert [record.stage for record in run.records] == ["contamination"]
    assert run.records[0].info["image_only"] == 0


def test_duplicates_may_be_reported_alone_or_not_looked_for(tmp_path: Path, benchmark: Artifact) -> None:
    pairs = pairs_of(tmp_path / "pairs", planted(reencoded))
    clean, run = sifted(tmp_path, pairs, benchmark, "report")
    assert clean is pairs
    assert run.records[0].info["both"] >= 0.99 * PLANTED
    clean, run = sifted(tmp_path, pairs, benchmark, "off")
    assert (clean is pairs, run.records) == (True, [])
    shutil.rmtree(tmp_path / "cache")
    same = pairs_of(tmp_path / "same", planted(bytes))
    with pytest.raises(HarnessError, match="all 100 training pairs are items"):
        sifted(tmp_path, same, benchmark, "drop")


def test_the_verb_tells_counts_and_ids(tmp_path: Path, monkeypatch, capsys) -> None:
    monkeypatch.setenv("HARNESS_RESULTS", str(tmp_path / "results"))
    small = ["--set", f"world.items={ITEMS}", "--set", "world.pairs=50"]
    pairs = pairs_of(tmp_path / "pairs", planted(reencoded)[:3]).path / PAIRS
    check = ["contamination", str(pairs), TASK, *small]
    assert main([*check, "--format", "json"]) == 0
    counts, matches = json.loads(capsys.readouterr().out)["tables"]
    assert [cell["value"] for cell in counts["groups"][0][0]] == [TASK, 3, ITEMS, 3, 0, 0, 0, 0]
    rows = [[cell["value"] for cell in row] for row in matches["groups"][0]]
    assert {(row[0], row[1], row[3]) for row in rows} == {(f"planted-{row[2]}", TASK, "alike") for row in rows}
    assert main([*check, "--fail", "--format", "csv"]) == 1
    assert len(capsys.readouterr().out.splitlines()) == 4
    assert main(["contamination", "embedded", TASK, *small, "--fail"]) == 0
    assert "0 of 50 pairs share image and question" in capsys.readouterr().out
    assert main(["contamination", str(tmp_path / "none.jsonl"), TASK]) == 2


def test_an_image_that_an_item_marks_is_found_among_its_others_and_text_alone_is_matched_by_its_words(
    tmp_path: Path,
) -> None:
    own = list(preference_rows(WorldSettings(pairs=20)))
    film = {
        "id": "film", "frames": [own[3]["image"], own[7]["image"]], "prompt": rewritten(own[7]["question"]),
        "chosen": "one", "rejected": "other", "category": "video",
    }  # fmt: skip
    told = {
        "id": "told",
        "prompt": own[5]["question"].upper(),
        "chosen": ["one"],
        "rejected": ["other"],
        "subset": "Math",
    }
    pairs, found = pairs_of(tmp_path / "pairs", own), {}
    for task, row in (("mm_rlhf_rewardbench", film), ("rewardbench2", told)):
        folder = tmp_path / task
        folder.mkdir()
        info = write_benchmark(
            folder / TABLE, [row], "rows", folder, load_hooks(task, load_task(task, content_roots()).hooks).benchmark
        )
        found[task] = Artifact(task, task, folder, info)
    run = Stages(tmp_path / "cache", Watch())
    config = RunConfig(tasks=list(found), contamination=ContaminationSettings(pairs="report"))
    sieve(run, config, found)(pairs)
    counts = run.records[0].info["by_task"]
    asked = [normalised(row["question"]) for row in own]
    assert counts["mm_rlhf_rewardbench"]["both"] == 1 + (asked[3] == asked[7])
    assert counts["mm_rlhf_rewardbench"]["image_only"] == 1 - (asked[3] == asked[7])
    assert counts["rewardbench2"] == {
        "both": 0, "same_pixels": 0, "texts": 0, "image_only": 0, "question_only": asked.count(asked[5]),
    }  # fmt: skip


def test_an_item_without_an_image_is_known_by_its_question_and_both_responses_of_a_pair(tmp_path: Path, capsys) -> None:
    own = list(preference_rows(WorldSettings(pairs=200)))
    asked = own[0]["question"]
    stock = [row for row in own if normalised(row["question"]) == normalised(asked)]
    answers = (stock[0]["chosen"].upper(), f"{stock[0]['rejected']} ", "A third.", "A fourth.")
    row = {"id": "a", "prompt": rewritten(asked), "chosen": [answers[1]], "rejected": [answers[0], *answers[2:]]}
    folder = tmp_path / "rewardbench2"
    folder.mkdir()
    hooks = load_hooks("rewardbench2", load_task("rewardbench2", content_roots()).hooks)
    info = write_benchmark(folder / TABLE, [row | {"subset": "Math"}], "rows", folder, hooks.benchmark)
    run = Stages(tmp_path / "cache", Watch())
    config = RunConfig(tasks=["rewardbench2"], contamination=ContaminationSettings(pairs="drop"))
    benchmark = Artifact("benchmark", "text", folder, info)
    clean = sieve(run, config, {"rewardbench2": benchmark})(pairs_of(tmp_path / "pairs", own))
    same = {
        pair["id"] for pair in stock
        if {normalised(pair["chosen"]), normalised(pair["rejected"])} == set(map(normalised, answers[:2]))
    }  # fmt: skip
    counts = run.records[0].info["by_task"]["rewardbench2"]
    assert (counts["both"], counts["texts"]) == (len(same), len(same))
    # a stock question with other answers is kept
    assert counts["question_only"] == len(stock) - len(same) > 0
    left = {row["id"] for row in stream_pairs(clean.path / PAIRS, ["id"])}
    assert left == {pair["id"] for pair in own} - same
    capsys.readouterr()


def test_no_embedded_pair_is_an_embedded_item_without_an_image(tmp_path: Path) -> None:
    hooks = load_hooks("rewardbench2", load_task("rewardbench2", content_roots()).hooks)
    pairs = pairs_of(tmp_path / "pairs", preference_rows(WorldSettings(pairs=600)))
    (tmp_path / "text").mkdir()
    rows = hooks.embedded(WorldSettings(items=ITEMS))
    info = write_benchmark(tmp_path / "text" / TABLE, rows, "embedded", Path(), hooks.benchmark)
    run = Stages(tmp_path / "cache", Watch())
    config = RunConfig(tasks=["rewardbench2"], contamination=ContaminationSettings(pairs="drop"))
    clean = sieve(run, config, {"rewardbench2": Artifact("benchmark", "text", tmp_path / "text", info)})(pairs)
    assert clean is pairs
    assert run.records[0].info["both"] == 0
