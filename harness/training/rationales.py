"""What the judge learns to say before its verdict: words of the data, of the response, of its base model, or none."""

from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

from harness.errors import DataError
from harness.judge.format import PLAIN
from harness.protocols.reading import read_strict
from harness.settings import CaptionSettings, JudgeSettings, SftSettings
from harness.training.confidence import high_side
from harness.training.lines import read_lines, write_lines
from harness.training.rows import Presented, Row, present
from harness.training.sources import PAIRS, judge_settings
from harness.training.stages import ENGINE, Artifact, Progress

RATIONALES = "rationales.jsonl"
VERDICTS = ("first", "second")


def explain(
    out: Path,
    pairs: Artifact,
    base: Artifact,
    split: Artifact | None,
    judge: JudgeSettings,
    settings: CaptionSettings,
    *,
    progress: Progress,
) -> dict[str, Any]:
    """Let the base judge argue for the labelled answer, told which that is, and keep what it would have said anyway.

    A rationale is kept where the same judge without the hint comes to the same verdict, greedy, in the same order, as
    STaR keeps what leads to the right answer (arXiv 2203.14465). The rest of the pairs has none.

    Args:
        out: gets a line a presentation: pair id, which answer is the chosen one, and the rationale, empty if none is.
        pairs: labelled pairs.
        base: the judge before training.
        split: its high side is explained; None explains every pair.
        judge: how it is loaded.
        settings: engine, precision and length of an answer.
        progress: told of every answer.
    """
    from harness.data.canonical import open_images
    from harness.data.images import opened
    from harness.engines.engine import Answer, Decoding, Question, open_engine
    from harness.engines.resumable import read_answers, used, write_answers

    image, said, answers = open_images(pairs.path / PAIRS), list[list[str]](), list[dict[str, Any]]()
    with closing(open_engine(judge_settings(judge, base), settings, out / ENGINE)) as engine:
        format_ = engine.format or PLAIN
        shown = present(pairs, format_, high_side(split))
        progress.total(2 * len(shown), "answers")
        for name, hinted in (("free", False), ("hinted", True)):

            def question(p: Presented, hinted: bool = hinted) -> Question:
                prompt = format_.hinted(p.prompt, int(p.chosen_second)) if hinted else p.prompt
                return Question((opened(image(p.place)), prompt))

            def record(p: Presented, answers: list[Answer]) -> dict[str, Any]:
                return {"text": answers[0].text}

            file, decoding = out / f"{name}.jsonl", Decoding(settings.max_new_tokens)
            write_answers(file, engine, shown, question, record, decoding, done=progress.advance)
            answers += (given := read_answers(file))
            said.append([line["text"] for line in given])
    lines = []
    for p, free, told in zip(shown, *said, strict=True):
        label = VERDICTS[p.chosen_second]
        words = format_.rationale(told) if read_strict(free) == read_strict(told) == label else ""
        lines.append({"id": p.pair["id"], "chosen_second": p.chosen_second, "rationale": words})
    write_lines(out / RATIONALES, lines)
    kept = sum(bool(line["rationale"]) for line in lines)
    return {"presentations": len(lines), "kept": kept, **used(answers)}


def read_rationales(rationales: Artifact) -> dict[tuple[str, bool], str]:
    """Read the rationales of presentations."""
    lines = read_lines(rationales.path / RATIONALES)
    return {(line["id"], line["chosen_second"]): line["rationale"] for line in lines}


def rationale_of(settings: SftSettings, rationales: Artifact | None = None) -> Callable[[Presented], str]:
    """Return what the judge learns to say of a presentation before its verdict.

    Args:
        settings: `sft.rationale` and its length.
        rationales: what `explain` kept, for `model`.
    """
    known = read_rationales(rationales) if rationales else {}
    says: dict[str, Callable[[Presented], str]] = {
        "none": lambda p: "",
        "response": lambda p: response(p.pair, settings),
        "data": lambda p: _given(p.pair),
        "model": lambda p: known[p.pair["id"], p.chosen_second],
        "auto": lambda p: p.pair["rationale"] or response(p.pair, settings),
    }
    return says[settings.rationale]


def response(pair: Row, settings: SftSettings) -> str:
    """Return the preferred response, cut to `sft.rationale_words` words."""
    return " ".join(pair["chosen"].split()[: settings.rationale_words])


def _given(pair: Row) -> str:
    if pair["rationale"] is None:
        raise DataError(
            f"sft.rationale=data, and pair {pair['id']!r} brings no rationale.",
            "Map one (--map rationale=COLUMN), or set sft.rationale to none, response, model or auto.",
        )
    return str(pair["rationale"])
