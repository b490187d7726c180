import io
import json
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from harness.cli import main
from harness.comparing.comparison import compare
from harness.counting.metrics import METRICS, estimate
from harness.counting.results import load_result
from harness.records import RunFolder
from tests.test_cli import HEAVY

IDS = ("wildvision-1", "RLAIF-V_2", "mathverse_3", "hallucination_pair-4", "mmmu-5")
SAYS = "Overall Judgment: Answer {} is better."


@pytest.fixture(autouse=True)
def _results(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("HARNESS_RESULTS", str(tmp_path / "results"))


def write(path: Path, rows: list) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def item(name: str, label: int = 0, **more) -> dict:
    # a blank at the end, which items lose, changes the parity that upstream takes
    responses = [f"good {name}", f"bad {name}" + " " * (len(name) % 2)]
    return {
        "id": name,
        "query": f"<image>\nwhat {name}?",
        "response": responses,
        "human_ranking": [label, 1 - label],
    } | more


def official(name: str, number: int | None, swapped: int = 0, label: int = 0, **meta) -> dict:
    """Write a row as inference_hf.py does."""
    row = item(name, label)
    text = "No idea." if number is None else SAYS.format(number)
    found = {"filtering model": "toy/judge", "filter_choice": text, "filter_number": number or -1}
    return row | {"ranking": row.pop("human_ranking"), "meta": found | {"random_number": swapped} | meta}


def logged(name: str, number: int, score: float) -> dict:
    """Write a row of upstream's task as lmms-eval 0.7.3 logs it."""
    row = item(name)
    shown = row["response"][:: -1 if sum(map(len, row["response"])) % 2 else 1]
    prompt = f" You are.\n\nQuestion: {row['query']}\n\nAnswer 1: {shown[0]}\n\nAnswer 2: {shown[1]}"
    return {
        "doc_id": 0,
        "target": "[0, 1]",
        "filtered_resps": SAYS.format(number),
        "vlreward_score": {"question_id": name, "category": "general", "score": score},
        "input": f"{prompt}\n\nPlease evaluate both answers based on the following criteria:\n1. Accuracy",
    }


def plain(name: str, number: int, order: list[int], **more) -> dict:
    return {"id": name, "text": SAYS.format(number), "order": order} | more


def score(path: Path, *options: str, out: str = "run") -> RunFolder:
    folder = path.parent / out
    assert main(["score", str(path), "--task", "vlrewardbench", "--out", str(folder), *options]) == 0
    return RunFolder(folder)


def accuracy(run: RunFolder) -> float:
    result = load_result(run)
    return estimate(METRICS["pair"]["accuracy"], result.tallies[0])


def refused(capsys, path: Path, *options: str, code: int = 2) -> str:
    assert main(["score", str(path), "--task", "vlrewardbench", *options]) == code
    error = capsys.readouterr().err
    assert len(error.strip().splitlines()) == 1
    return error


def test_the_authors_output_is_read_by_its_drawn_orders_and_stored_votes(tmp_path: Path, capsys) -> None:
    # right, right, wrong: the second is shown swapped, so that Answer 2 is the file's first
    votes = [official("mmmu-5", 1), official("mmmu-5", 2, swapped=1), official("mmmu-5", 2)]
    path = write(tmp_path / "out.jsonl", votes)
    run = score(path)
    assert [(j.order, j.repeat, j.chosen) for j in run.read_judgments("vlrewardbench")] == [
        ((0, 1), 0, 0),
        ((1, 0), 1, 0),
        ((0, 1), 2, 1),
    ]
    record = run.read_run()
    assert (record.tasks[0].protocol, record.status, record.config["model"]) == ("official:3", "complete", "toy/judge")
    assert accuracy(run) == 1
    said = capsys.readouterr().out
    assert "official format, 3 answers to 1 items, counted by official:3" in said
    assert "votes: accuracy by K" in said
    assert str(tmp_path / "run") in said


def test_official_k_uses_the_votes_stored_first(tmp_path: Path, capsys) -> None:
    votes = [official("mmmu-5", n) for n in (2, 1, 2, 1, 1, 1, 1)]
    path = write(tmp_path / "out.jsonl", votes)
    assert accuracy(score(path, "--protocol", "official:3")) == 0
    assert "4 answers in the file are not counted by official:3" in " ".join(capsys.readouterr().out.split())
    assert accuracy(score(path, out="all")) == 1


def test_ids_that_the_first_release_doubles_are_told_apart_by_their_texts(tmp_path: Path) -> None:
    other = official("mmmu-5", 1) | {"query": "another question"}
    run = score(write(tmp_path / "out.jsonl", [official("mmmu-5", 1), official("mmmu-5", 1, 1), other, other]))
    assert len(run.read_items("vlrewardbench")) == 2


def test_labels_of_the_data_win_and_differing_ones_are_counted(tmp_path: Path, capsys) -> None:
    path = write(tmp_path / "out.jsonl", [official("mmmu-5", 1), official("mathverse_3", 1)])
    data = write(tmp_path / "bench.jsonl", [item("mmmu-5", label=1), item("mathverse_3")])
    assert accuracy(score(path)) == 1
    assert "another label" not in capsys.readouterr().out
    assert accuracy(score(path, "--data", str(data), out="relabelled")) == 0.5
    assert "1 items have another label in the file" in " ".join(capsys.readouterr().out.split())


def test_what_the_file_recorded_is_held_against_the_official_pattern(tmp_path: Path, capsys) -> None:
    score(write(tmp_path / "out.jsonl", [official("mmmu-5", 1), official("mmmu-5", None, filter_number=2)]))
    assert "differs from the official pattern's reading on 1 of 2" in " ".join(capsys.readouterr().out.split())


def test_lmms_evals_own_log_is_read_by_the_parity_of_the_texts_as_shown(tmp_path: Path, capsys) -> None:
    rows = [logged(name, 1, 0.0) for name in IDS]
    swapped = ["Answer 1: bad" in row["input"] for row in rows]
    assert len(set(swapped)) == 2
    for row, other_way in zip(rows, swapped, strict=True):
        row["vlreward_score"]["score"] = float(not other_way)
    run = score(write(tmp_path / "log.jsonl", rows))
    assert run.read_run().tasks[0].protocol == "lmms-eval"
    assert accuracy(run) == 1 - sum(swapped) / 5
    assert "reading on 0 of 5" in " ".join(capsys.readouterr().out.split())


def test_our_own_log_brings_items_images_and_protocol(tmp_path: Path) -> None:
    items = [item(name, category="general", image=image(tmp_path, name)) for name in IDS]
    answers = [plain(name, 1, order) for name in IDS for order in ([0, 1], [1, 0])]
    data = write(tmp_path / "bench.jsonl", items)
    run = score(write(tmp_path / "answers.jsonl", answers), "--data", str(data))
    rows = []
    for judgment in run.read_judgments("vlrewardbench"):
        known = next(i for i in run.read_items("vlrewardbench") if i.item_id == judgment.item_id)
        figure = {
            "item_id": known.item_id,
            "id": known.source_id,
            "query": known.question,
            "response": list(known.responses),
            "label": json.dumps(known.label),
            "slice": known.slice,
            "image_hash": known.image_hash,
            "order": list(judgment.order),
            "repeat": 0,
            "protocol": "both-orders",
            "text": judgment.text,
            "data": "embedded",
        }
        rows.append({"doc_id": 0, "filtered_resps": judgment.text, "accuracy": figure})
    again = score(write(tmp_path / "log.jsonl", rows), out="again")
    record = again.read_run().tasks[0]
    assert (record.protocol, record.synthetic) == ("both-orders", True)
    assert {i.item_id: i.cluster_id for i in again.read_items("vlrewardbench")} == {
        i.item_id: i.cluster_id for i in run.read_items("vlrewardbench")
    }


def image(folder: Path, name: str) -> str:
    """Write a picture of its own for an item; return its path."""
    file = io.BytesIO()
    Image.new("RGB", (8, 8), (IDS.index(name) * 40, 0, 0)).save(file, "PNG")
    (folder / f"{name}.png").write_bytes(file.getvalue())
    return f"{name}.png"


@pytest.mark.parametrize(
    ("answers", "protocol"),
    [
        ([plain(i, 1, o) for i in IDS for o in ([0, 1], [1, 0])], "both-orders"),
        ([plain(i, 1, o, repeat=r) for i in IDS for r, o in enumerate(([0, 1], [0, 1], [1, 0]))], "official:3"),
        ([plain(i, 1, [1, 0]) for i in IDS], "lmms-eval"),
        ([plain(i, 1, [0, 1]) for i in IDS], "official:1"),
        ([{"id": i, "swapped": s, "p_first": 0.7} for i in IDS for s in (False, True)], "logprob"),
    ],
)
def test_the_protocol_is_told_from_the_answers(tmp_path: Path, answers: list, protocol: str) -> None:
    data = write(tmp_path / "bench.jsonl", [item(name) for name in IDS])
    run = score(write(tmp_path / "answers.jsonl", answers), "--data", str(data))
    assert run.read_run().tasks[0].protocol == protocol


def test_an_image_that_is_only_named_is_a_cluster_and_none_is_no_interval(tmp_path: Path, capsys) -> None:
    answers = write(tmp_path / "answers.jsonl", [plain(n, 1 + i % 2, [0, 1]) for i, n in enumerate(IDS)])
    named = write(tmp_path / "named.jsonl", [item(n, image=f"images/{i // 2}.jpg") for i, n in enumerate(IDS)])
    run = score(answers, "--data", str(named), "--protocol", "official:1")
    assert [i.cluster_id for i in run.read_items("vlrewardbench")] == ["0.jpg", "0.jpg", "1.jpg", "1.jpg", "2.jpg"]
    assert {i.image_hash for i in run.read_items("vlrewardbench")} == {None}
    assert "accuracy" in (said := capsys.readouterr().out)
    assert " [" in said, "an interval"
    bare = write(tmp_path / "bare.jsonl", [item(n) for n in IDS])
    options = ("--data", str(bare), "--protocol", "official:1")
    one, other = score(answers, *options, out="one"), score(answers, *options, "--name", "x", out="other")
    said = " ".join(capsys.readouterr().out.split())
    assert " [" not in said.split("Written")[0]
    assert "Intervals are not estimable: no image ids" in said
    comparison = compare(load_result(one), load_result(other))
    assert "not estimable: no image ids" in comparison.sentence()
    assert main(["compare", str(tmp_path / "one"), str(tmp_path / "other")]) == 0


def test_a_scored_run_compares_with_a_run_on_the_same_data(tmp_path: Path) -> None:
    from harness.data.benchmark import write_benchmark
    from harness.data.tables import read_rows
    from harness.evaluate.hooks import load_hooks
    from tests.toys import ROOT

    data = write(tmp_path / "bench.jsonl", [item(n, image=image(tmp_path, n)) for n in IDS])
    answers = write(tmp_path / "answers.jsonl", [plain(n, 1, o) for n in IDS for o in ([0, 1], [1, 0])])
    record = score(answers, "--data", str(data)).read_run().tasks[0]
    hooks = load_hooks("vlrewardbench", ROOT / "tasks/vlrewardbench/hooks.py")
    info = write_benchmark(tmp_path / "b.parquet", read_rows(data), "bench.jsonl", tmp_path, hooks.benchmark)
    assert (record.data_fingerprint, record.data_slices) == (info["fingerprint"], info["slices"])


def test_the_same_file_again_is_found_done_and_another_is_refused(tmp_path: Path, capsys) -> None:
    path = write(tmp_path / "out.jsonl", [official("mmmu-5", 1)])
    first = score(path).read_run()
    assert score(path).read_run() == first
    write(path, [official("mmmu-5", 2)])
    assert "holds another run: fingerprints.judgments differs" in refused(capsys, path, "--out", str(tmp_path / "run"))


LOST = official("mmmu-5", 1)
NAN = float("nan")


@pytest.mark.parametrize(
    ("rows", "says"),
    [
        ([LOST, {**LOST, "meta": {**LOST["meta"], "random_number": 2}}], "row 2, field 'meta.random_number'"),
        ([LOST, {**LOST, "meta": {**LOST["meta"], "filter_choice": None}}], "row 2, field 'meta.filter_choice'"),
        ([LOST, {**LOST, "response": ["one"]}], "row 2, field 'response'"),
        ([LOST, {**LOST, "ranking": [0, 0]}], "row 2, field 'human_ranking'"),
        ([LOST, {**LOST, "ranking": [1, 0]}], "row 2: item 'mmmu-5' has the label 1, and 0 before"),
        ([{**LOST, "id": "strange_1"}], "row 1: no slice is known for strange_1"),
        ([LOST, {"id": "mmmu-5"}], "row 2, field 'ranking': Field required"),
        ([{"question": "?"}], "row 1: no known format (it has question)"),
        ([{"id": "mmmu-5", "meta": 3}], "row 1: no known format"),
        (
            [{**logged("mmmu-5", 1, 1), "input": "Question?"}],
            "row 1, field 'input': question and answers cannot be told",
        ),
        ([{**logged("mmmu-5", 1, 1), "target": "x"}], "row 1, field 'target': 'x' is no ranking"),
        ([plain("mmmu-5", 1, [0, 1])], "names items by id only"),
    ],
)
def test_what_is_wrong_with_a_file_is_one_line(tmp_path: Path, capsys, rows: list, says: str) -> None:
    assert says in refused(capsys, write(tmp_path / "out.jsonl", rows))


@pytest.mark.parametrize(
    ("row", "says"),
    [
        (plain("mmmu-6", 1, [0, 1]), "row 2, field 'id': 'mmmu-6' is no item of bench.jsonl"),
        (plain("mmmu-5", 2, [0, 1]), "row 2, field 'repeat'"),
        (plain("mmmu-5", 1, [0, 2]), "row 2, field 'order': [0, 2] does not name places among 2 responses"),
        (plain("mmmu-5", 1, [0, 0]), "row 2, field 'order'"),
        (plain("mmmu-5", 1, ["0", "1"]), "row 2, field 'order.0': Input should be a valid integer"),
        (plain("mmmu-5", 1, [1, 0], repeat=-1), "row 2, field 'repeat'"),
        (plain("mmmu-5", 1, [1, 0], p_first=1.5), "row 2, field 'p_first'"),
        (plain("mmmu-5", 1, [1, 0], p_first=NAN), "row 2, field 'p_first'"),
        (plain("mmmu-5", 1, [1, 0], swapped=True), "row 2, field 'swapped'"),
        ({"id": "mmmu-5", "text": "no order"}, "row 2, field 'order': it is missing"),
        ({"id": "mmmu-5", "text": 3, "order": [1, 0]}, "row 2, field 'text'"),
        ({"id": "mmmu-5", "order": [1, 0]}, "row 2, field 'text': there is neither a text nor p_first"),
        ({"id": "mmmu-5", "text": "\ud800", "order": [1, 0]}, "row 2, field 'text'"),
        (plain("mmmu-5", 1, [1, 0], text="a" * 1_000_001), "row 2, field 'text': it has 1,000,001 characters"),
    ],
)
def test_what_is_wrong_with_a_plain_row_is_one_line(tmp_path: Path, capsys, row: dict, says: str) -> None:
    data = write(tmp_path / "bench.jsonl", [item(name) for name in IDS])
    path = write(tmp_path / "answers.jsonl", [plain("mmmu-5", 1, [0, 1]), row])
    assert says in refused(capsys, path, "--data", str(data))


def test_a_torn_last_line_is_one_line(tmp_path: Path, capsys) -> None:
    path = write(tmp_path / "out.jsonl", [LOST, LOST])
    path.write_text(path.read_text()[:-9])
    assert "row 2: not valid JSON" in (error := refused(capsys, path))
    assert "torn" in error


@pytest.mark.parametrize("protocol", ["both-orders", "official:3", "logprob"])
def test_answers_that_a_protocol_needs_and_the_file_lacks_are_told_and_exit_4(tmp_path, capsys, protocol) -> None:
    path = write(tmp_path / "out.jsonl", [LOST, official("mmmu-5", 2)])
    error = refused(capsys, path, "--protocol", protocol, code=4)
    assert "that" in error
    assert "the first is item 'mmmu-5'" in error


def test_of_two_items_with_one_id_the_missing_one_is_named_by_what_tells_them_apart(tmp_path: Path, capsys) -> None:
    twice = [item("mmmu-5"), item("mmmu-5") | {"query": "Another question?"}]
    data = write(tmp_path / "bench.jsonl", [*twice, item("mmmu-6")])
    path = write(tmp_path / "answers.jsonl", [plain("mmmu-6", 1, [0, 1])])
    error = refused(capsys, path, "--data", str(data), "--protocol", "both-orders", code=4)
    assert "the first is item 'vlrewardbench/mmmu-5#" in error


def test_an_item_of_the_data_without_an_answer_is_owed(tmp_path: Path, capsys) -> None:
    data = write(tmp_path / "bench.jsonl", [item(name) for name in IDS])
    path = write(tmp_path / "out.jsonl", [LOST])
    assert "4 of the 5 answers" in refused(capsys, path, "--data", str(data), code=4)


def test_a_file_that_fits_no_protocol_whole_says_so(tmp_path: Path, capsys) -> None:
    data = write(tmp_path / "bench.jsonl", [item(name) for name in IDS])
    answers = [plain(n, 1, o) for n in IDS for o in ([0, 1], [1, 0])][:-1]
    path = write(tmp_path / "answers.jsonl", answers)
    assert "fit no protocol of vlrewardbench whole" in refused(capsys, path, "--data", str(data))
    error = refused(capsys, path, "--data", str(data), "--protocol", "both-orders", code=4)
    assert "1 of the 10 answers that both-orders needs are not in answers.jsonl" in error


def test_two_orders_of_one_repeat_are_no_drawn_order(tmp_path: Path, capsys) -> None:
    data = write(tmp_path / "bench.jsonl", [item("mmmu-5")])
    path = write(tmp_path / "answers.jsonl", [plain("mmmu-5", 1, o) for o in ([0, 1], [1, 0])])
    assert "two answers for repeat 0" in refused(capsys, path, "--data", str(data), "--protocol", "official:1")


def test_a_crash_while_writing_leaves_nothing_in_the_way(tmp_path: Path, monkeypatch) -> None:
    path = write(tmp_path / "out.jsonl", [LOST])

    def stopped(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(RunFolder, "append_judgments", stopped)
        assert main(["score", str(path), "--task", "vlrewardbench", "--out", str(tmp_path / "run")]) == 4
    assert not (tmp_path / "run").exists()
    assert accuracy(score(path)) == 1


def test_scoring_imports_nothing_heavy(tmp_path: Path) -> None:
    path = write(tmp_path / "out.jsonl", [LOST])
    code = (
        "import sys, json\nfrom harness.cli import main\n"
        f"code = main(['score', {str(path)!r}, '--task', 'vlrewardbench', '--out', {str(tmp_path / 'run')!r}])\n"
        f"print('\\n' + json.dumps([code, [m for m in {HEAVY!r} if m in sys.modules]]))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout.splitlines()[-1]) == [0, []]


HOOKS = """
from pathlib import Path
from harness.data.benchmark import Benchmark, Entry
from harness.data.images import image_bytes
from harness.data.tables import Field, identifier, text
from harness.evaluate.hooks import task_hooks

ANY = Field(lambda value: value, "anything")
FIELDS = {"id": Field(identifier, "an id"), "image": Field(image_bytes, "an image"), "ask": Field(text, "a text"),
          "answers": ANY, "human": ANY}

def entry(row):
    label = tuple(row["human"]) if isinstance(row["human"], list) else row["human"]
    return Entry(row["id"], row["ask"], tuple(row["answers"]), label, "all")

def hooks(name):
    path = Path(__file__).with_name(f"{name}.yaml")
    return task_hooks(Benchmark(name, "", FIELDS, entry), path, lambda *_: "", lambda _: iter(()))

TASKS = {name: hooks(name) for name in ("grading", "ranking")}
"""


@pytest.mark.parametrize(
    ("task", "kind", "answers", "human", "order", "text", "metric", "figure"),
    [
        ("grading", "score", ["a"], lambda i: i + 1, None, lambda i: f"[[{5 - i}]]", "pearson", -1.0),
        (
            *("ranking", "batch", ["a", "b", "c"], lambda i: [2, 0, 1], [0, 1, 2]),
            *(lambda i: "Judgement: [[C], [A], [B]]", "distance", 0.0),
        ),
    ],
)
def test_the_plain_format_serves_tasks_of_other_kinds(
    tmp_path: Path, task: str, kind: str, answers, human, order, text, metric: str, figure: float
) -> None:
    folder = tmp_path / "tasks" / "toys"
    folder.mkdir(parents=True)
    (folder / "hooks.py").write_text(HOOKS)
    for name, of_kind in (("grading", "score"), ("ranking", "batch")):
        (folder / f"{name}.yaml").write_text(f"metadata: {{kind: {of_kind}, protocols: [published]}}\n")
    rows = [{"id": i, "ask": f"what {i}?", "answers": answers, "human": human(i)} for i in range(4)]
    data = write(tmp_path / "bench.jsonl", rows)
    said = [
        {"id": i, "text": text(i), "repeat": r} | ({"order": order} if order else {}) for i in range(4) for r in (0, 1)
    ]
    path, out = write(tmp_path / "answers.jsonl", said), tmp_path / "run"
    given = ["score", str(path), "--data", str(data), "--include-path", str(tmp_path)]
    assert main([*given, "--task", task, "--out", str(out)]) == 0
    result = load_result(RunFolder(out))
    assert (result.protocol.spec, result.kind) == ("published:2", kind)
    assert estimate(METRICS[kind][metric], result.tallies[0]) == pytest.approx(figure)
