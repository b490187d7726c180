"""MLLM-as-a-Judge: grades, choices and orders, by the source of the image."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from harness.data.benchmark import Benchmark, Entry, StrayError
from harness.data.images import image_bytes
from harness.data.tables import Field, identifier, speech, text
from harness.embedded import judge_items
from harness.evaluate.hooks import fill, task_hooks

HERE = Path(__file__).parent
HUB = "shuaishuaicdp/MLLM-Judge"
SOURCES = {
    "coco": "COCO",
    "Concept Caption": "C.C.",
    "diffusiondb": "Diff.",
    "infographicsVQA": "Graphics",
    "mathvista": "Math",
    "textVQA": "Text",
    "WIT": "WIT",
    "ChartQA": "Chart",
    "VisitBench": "VisIT",
    "llava_bench": "CC-3M",
    "mind2web": "M2W",
    "ScienceQA": "SciQA",
    "AesBench": "Aes",
    "mm-vet": "MM-Vet",
}
"""`original_dataset` to the column of the paper's tables, in their order. That llava_bench is the
paper's CC-3M is said by its author (issue 5 of the repository)."""


def _slice(source: str) -> str:
    if source.startswith("embedded/"):
        return source.removeprefix("embedded/")
    if source not in SOURCES:
        raise StrayError(source)
    return SOURCES[source]


def _grade(value: Any) -> int:
    grade = int(value) if isinstance(value, str) else value
    if isinstance(grade, bool) or grade not in (1, 2, 3, 4, 5):
        raise ValueError
    return int(grade)


def _choice(value: Any) -> int | str:
    return {"A": 0, "B": 1, "C": "tie"}[value]


def _answer(value: Any) -> str:
    return speech(value["answer"])


def _answers(value: Any) -> list[str]:
    if not isinstance(value, list) or not 3 <= len(value) <= 5:
        raise ValueError
    return [_answer(part) for part in value]


def _fields(key: str, **own: Field) -> dict[str, Field]:
    return {
        key: Field(identifier, "a non-empty id"),
        "image_path": Field(image_bytes, "a readable image; the images come from the data set's repository"),
        "instruction": Field(speech, "a non-empty string"),
        "original_dataset": Field(text, "a non-empty string"),
        **own,
    }


def _score(row: dict[str, Any]) -> Entry:
    return Entry(row["score_id"], row["instruction"], (row["answer"],), row["human"], _slice(row["original_dataset"]))


def _pair(row: dict[str, Any]) -> Entry:
    answers = (row["answer1"], row["answer2"])
    return Entry(row["pair_id"], row["instruction"], answers, row["human"], _slice(row["original_dataset"]))


def _batch(row: dict[str, Any]) -> Entry:
    letters = "ABCDE"[: len(row["answers"])]
    if sorted(row["human"]) != list(letters):
        raise ValueError(f"field 'human': {row['human']!r} is no order of the answers {', '.join(letters)}")
    label = tuple(letters.index(letter) for letter in row["human"])
    return Entry(row["id"], row["instruction"], tuple(row["answers"]), label, _slice(row["original_dataset"]))


def prompt(question: str, shown: Sequence[str], compares: bool) -> str:
    """Ask for a choice of two, a grade for one, or an order of several."""
    name = "pair" if compares else "score" if len(shown) == 1 else "batch"
    return fill((HERE / f"{name}.txt").read_text(encoding="utf-8"), question, shown)


def _benchmark(task: str, file: str, key: str, entry: Any, **own: Field) -> Benchmark:
    return Benchmark(
        task,
        HUB,
        _fields(key, **own),
        entry,
        keys=(key,),
        image="image_path",
        aliases={"human_answer": "human"},
        slices=tuple(SOURCES.values()),
        file=file,
        stray_fix=f"original_dataset is one of {', '.join(SOURCES)}.",
    )


BENCHMARKS = {
    "score": _benchmark(
        "mllm_judge_score",
        "score.jsonl",
        "score_id",
        _score,
        answer=Field(speech, "a non-empty string"),
        human=Field(_grade, "a grade from 1 to 5"),
    ),
    "pair": _benchmark(
        "mllm_judge_pair",
        "pair.jsonl",
        "pair_id",
        _pair,
        answer1=Field(_answer, "an object with a non-empty `answer`"),
        answer2=Field(_answer, "an object with a non-empty `answer`"),
        human=Field(_choice, "A, B, or C for a tie"),
    ),
    "batch": _benchmark(
        "mllm_judge_batch",
        "batch.jsonl",
        "id",
        _batch,
        answers=Field(_answers, "a list of three to five objects with a non-empty `answer`"),
        human=Field(text, "an order of the answers' letters, such as CDAB"),
    ),
}
EMBEDDED = {"score": judge_items.score_rows, "pair": judge_items.pair_rows, "batch": judge_items.batch_rows}
TASKS = {
    benchmark.task: task_hooks(benchmark, HERE / f"{benchmark.task}.yaml", prompt, EMBEDDED[name])
    for name, benchmark in BENCHMARKS.items()
}
for hooks in TASKS.values():
    globals().update(hooks.functions)
