"""Mutated run folders and hostile files through every verb that reads them: one line or a result, never a traceback.

    HARNESS_FUZZ=20000 HARNESS_FUZZ_SEED=7 .venv/bin/pytest tests/test_fuzz.py

tries more, from another seed; a failure prints the number of its case, which HARNESS_FUZZ_SEED and HARNESS_FUZZ=1
repeat.
"""

import functools
import io
import json
import os
import random
import shutil
import signal
import unicodedata
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

import pytest

from harness import cli
from harness.cli import main
from harness.published_judges import PublishedJudge
from harness.records import Item, item_id, shown_hash
from harness.records.inventory import Inventory
from tests.toys import changed, make_items, make_judgments, write

CASES = int(os.environ.get("HARNESS_FUZZ", "60"))
FIRST = int(os.environ.get("HARNESS_FUZZ_SEED", "0"))
PATIENCE = 10
"""Seconds that one command may take."""
CODES = {0, 1, 2, 3, 4}
SHOWN = "\n\N{FIRST STRONG ISOLATE}\N{POP DIRECTIONAL ISOLATE}"

NASTY: tuple[Any, ...] = (
    None, True, 0, -1, 1.5, 10**30, 10**400, float("nan"), float("inf"), "", " ", "0", "²", "x" * 5000,
    "\x1b]0;owned\x07\x1b[2J",
    "\u202eevil\u2066", "[/x]", "[bold]", "\x00", "\ud83d", "../../etc/passwd", "-", "=1+1", [], {}, [[]], ["a"],
    {"a": None},
    [0, 0], [1, 0], [5, 6], "first", "second", "error", "tie", "unparsed",
)  # fmt: skip


@contextmanager
def patience() -> Iterator[None]:
    def late(*_: Any) -> None:
        raise TimeoutError

    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(PATIENCE)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


@pytest.fixture(autouse=True, scope="module")
def one_parser() -> Iterator[None]:
    """A quarter of a case was the command's description of itself, which no case changes."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cli, "build_parser", functools.cache(cli.build_parser))
        yield


def said_by(*arguments: str) -> tuple[int, str, str]:
    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err), patience():
        try:
            code = main(list(arguments))
        except SystemExit as exit_:
            code = int(exit_.code or 0)
    return code, out.getvalue(), err.getvalue()


def holds(case: int, *arguments: str) -> None:
    """Assert that a command ended as it must, whatever it was given."""
    code, out, err = said_by(*arguments)
    told = f"case {case}: {arguments}: exit {code}\n{out[-800:]}\n{err[-3000:]}"
    assert code in CODES, told
    assert "Traceback" not in out + err, told
    raw = {c for c in out + err if c not in SHOWN and unicodedata.category(c) in ("Cc", "Cf", "Cs")}
    assert not raw, f"{told}\nraw: {raw}"


def mutate(value: Any, rng: random.Random) -> Any:
    """Change one place somewhere within a JSON value."""
    if isinstance(value, dict) and value and rng.random() < 0.9:
        key = rng.choice(list(value))
        act = rng.random()
        if act < 0.1:
            return {k: v for k, v in value.items() if k != key}
        if act < 0.15:
            return value | {rng.choice(["x", "[/y]", "\x1b[2J", ""]): rng.choice(NASTY)}
        return value | {key: mutate(value[key], rng)}
    if isinstance(value, list) and value and rng.random() < 0.8:
        place = rng.randrange(len(value))
        act = rng.random()
        if act < 0.2:
            return value[:place] + value[place + 1 :]
        if act < 0.4:
            return value[: place + 1] + value[place:]
        return [*value[:place], mutate(value[place], rng), *value[place + 1 :]]
    return rng.choice(NASTY)


def mutate_file(path: Path, rng: random.Random) -> None:
    """Change a file: a value in it, a line, or its bytes."""
    act = rng.random()
    if act < 0.15:
        data = bytearray(path.read_bytes())
        if rng.random() < 0.5:
            data = data[: rng.randrange(len(data) + 1)]
        elif data:
            data[rng.randrange(len(data))] = rng.randrange(256)
        path.write_bytes(data)
        return
    if path.suffix != ".jsonl":
        path.write_text(json.dumps(mutate(json.loads(path.read_text()), rng)))
        return
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    if act < 0.3 and rows and all(isinstance(row, dict) and row for row in rows):
        # the same everywhere: a field of every row
        key, value = rng.choice(list(rows[0])), rng.choice(NASTY)
        rows = [row | {key: value} for row in rows]
    else:
        rows = mutate(rows, rng)
    rows = rows if isinstance(rows, list) else [rows]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def shown_of(item: Item, order: list[int]) -> str:
    return shown_hash(item.question, [item.responses[place] for place in order])


def heal(folder: Path) -> None:
    """Make a run's files agree again after a mutation, as somebody would who wants it believed; where they can."""
    (path,) = folder.glob("items-*.jsonl")
    task = path.stem.removeprefix("items-")
    try:
        old = [json.loads(line) for line in path.read_text().splitlines()]
        named = {
            row["item_id"]: item_id(f"toy/{row['source_id']}", row["question"], tuple(row["responses"])) for row in old
        }
        items = [Item.model_validate(row | {"item_id": named[row["item_id"]]}) for row in old]
        record, inventory = json.loads((folder / "run.json").read_text()), Inventory(items)
        record["tasks"][0] |= {
            "items": len(items), "data_items": len(items), "slices": sorted({item.slice for item in items}),
            "data_slices": inventory.counts, "data_fingerprint": inventory.fingerprint,
        }  # fmt: skip
        texts = {
            path: "".join(item.model_dump_json() + "\n" for item in items),
            folder / "run.json": json.dumps(record),
        }
        for kind in ("presentations", "judgments"):
            file = folder / f"{kind}-{task}.jsonl"
            rows = [json.loads(line) for line in file.read_text().splitlines()]
            kept = [row | {"item_id": named[row["item_id"]]} for row in rows if row["item_id"] in named]
            if kind == "judgments":
                known = {item.item_id: item for item in items}
                kept = [row | {"shown": shown_of(known[row["item_id"]], row["order"])} for row in kept]
            texts[file] = "".join(json.dumps(row) + "\n" for row in kept)
    except (ValueError, KeyError, TypeError, IndexError, AttributeError, OSError, RecursionError):
        # what cannot agree is left as it is
        return
    for file, text in texts.items():
        file.write_text(text)


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A baseline and a candidate: on pairs, on grades, and of a judge that others published."""
    folder, items = tmp_path_factory.mktemp("fuzz"), make_items(20)
    for place, name in enumerate(("base", "cand")):
        judged = [j for seed in (0, 1) for j in make_judgments(items, 0.7, seed, draw=place)]
        write(folder / "runs" / name, items, judged, prompts={"0": "a", "1": "a"})
    graded = [changed(item, responses=("a",), label=1 + place % 5) for place, item in enumerate(items)]
    for place, name in enumerate(("gbase", "gcand")):
        answers = make_judgments(graded_pairs(graded), 1.0)[::2]
        first = [
            j.model_copy(update={"order": (0,), "shown": shown_of(graded[k], [0]), "reading": 1 + (k + place) % 5})
            for k, j in enumerate(answers)
        ]
        about = {"kind": "score", "protocol": "published:1", "reader": "grade"}
        write(folder / "runs" / name, graded, first, **about)
    for place, name in enumerate(("jbase", "jcand")):
        config = {"model": "judge:toy", "published": published_judge(), "prompts": {"vlrewardbench": "words.txt"}}
        judged = make_judgments(items, 0.7, draw=place)
        write(folder / "runs" / name, items, judged, config=config, reader="own", task="vlrewardbench")
    return folder


def published_judge() -> dict[str, Any]:
    """Describe a judge that is asked in words of its authors', which are not here."""
    words = {"repository": "a/b", "commit": "0" * 40, "path": "x.py", "sha256": "0" * 64}
    words["fields"] = {"q": "question", "a": "first", "b": "second"}  # type: ignore[assignment]
    verdict = {"sentences": [{"form": "Overall Judgment: Answer {verdict} is better.", "take": "last"}]}
    about = {"summary": "s", "hub": "a/b", "licence": "l", "parameters": "p", "printed": "Skywork-VL-Reward-7B"}
    return PublishedJudge.model_validate(about | {"words": words, "verdict": verdict}).model_dump(mode="json")


def graded_pairs(items: list[Any]) -> list[Any]:
    """Let `make_judgments` answer items that have one response."""
    return [item.model_copy(update={"responses": ("a", "b"), "label": 0}) for item in items]


PAIRS = (("base", "cand"), ("gbase", "gcand"), ("jbase", "jcand"))
VERBS: tuple[Callable[[str, str, Path], list[str]], ...] = (
    lambda base, cand, out: ["compare", base, cand],
    lambda base, cand, out: ["gate", base, cand, "--json", str(out / "gate.json"), "--junit", str(out / "gate.xml")],
    lambda base, cand, out: ["leaderboard", base, cand],
    lambda base, cand, out: ["leaderboard"],
    lambda base, cand, out: ["leaderboard", base, cand, "--published"],
    lambda base, cand, out: ["power", base, cand, "--effect", "0.05"],
    lambda base, cand, out: ["report", base, cand, "-o", str(out / "page.html")],
    lambda base, cand, out: ["ls", "runs"],
)


def test_the_folders_themselves_are_read(folders: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HARNESS_RESULTS", str(folders))
    for base, cand in PAIRS:
        for verb in VERBS:
            code, _, err = said_by(*verb(base, cand, tmp_path))
            assert code in (0, 1, 3), err


def test_a_mutated_run_is_a_line_or_a_result(folders: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for case in range(FIRST, FIRST + CASES):
        rng = random.Random(case)
        results = tmp_path / "results"
        shutil.copytree(folders, results)
        monkeypatch.setenv("HARNESS_RESULTS", str(results))
        base, cand = rng.choice(PAIRS)
        for _ in range(rng.choice((1, 1, 1, 2, 4))):
            folder = results / "runs" / rng.choice((base, cand, cand))
            file = rng.choice(sorted(path for path in folder.iterdir() if path.suffix in (".json", ".jsonl")))
            try:
                mutate_file(file, rng)
            except (ValueError, UnicodeError):
                # an earlier mutation left no JSON
                continue
        if rng.random() < 0.5:
            for name in (base, cand):
                heal(results / "runs" / name)
        for verb in VERBS:
            holds(case, *verb(base, cand, tmp_path))
        shutil.rmtree(results)


ASKED = [
    {
        "id": f"{k}",
        "query": f"what {k}?",
        "response": ["yes", "no"],
        "human_ranking": [0, 1],
        "image": f"{k}.png",
        "category": "general",
    }
    for k in range(8)
]
PLAIN = [
    {"id": f"{k}", "order": order, "text": "Overall Judgment: Answer 1 is better.", "repeat": 0, "model": "m"}
    for k in range(8)
    for order in ([0, 1], [1, 0])
]
OFFICIAL = [
    {
        "id": f"{k}",
        "query": f"what {k}?",
        "response": ["yes", "no"],
        "human_ranking": [0, 1],
        "category": "general",
        "meta": {"filter_choice": "Overall Judgment: Answer 1 is better.", "random_number": vote, "model": "m"},
    }
    for k in range(8)
    for vote in (0, 1)
]


def test_the_files_themselves_are_scored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, rows in (("data", ASKED), ("plain", PLAIN), ("official", OFFICIAL)):
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    monkeypatch.setenv("HARNESS_RESULTS", str(tmp_path))
    for name in ("plain", "official"):
        code, _, err = said_by(
            "score", f"{tmp_path / name}.jsonl", "--task", "vlrewardbench", "--data", str(tmp_path / "data.jsonl")
        )
        assert code == 0, err


def test_a_hostile_file_of_judgments_is_a_line_or_a_result(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for case in range(FIRST, FIRST + CASES):
        rng = random.Random(f"score {case}")
        monkeypatch.setenv("HARNESS_RESULTS", str(tmp_path / f"results {case}"))
        file, data = tmp_path / f"{case}.jsonl", tmp_path / "data.jsonl"
        rows = rng.choice((PLAIN, OFFICIAL))
        for path, content in ((file, rows), (data, ASKED)):
            path.write_text("".join(json.dumps(row) + "\n" for row in content))
        for _ in range(rng.choice((1, 2, 3))):
            try:
                mutate_file(rng.choice((file, file, data)), rng)
            except (ValueError, UnicodeError):
                continue
        holds(case, "score", str(file), "--task", "vlrewardbench", "--data", str(data))
        holds(case, "leaderboard")
        shutil.rmtree(tmp_path / f"results {case}", ignore_errors=True)
