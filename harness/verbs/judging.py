"""`harness judge`: a judge's verdicts on responses of one's own."""

import json
import os
from argparse import Namespace
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.errors import ExitCode, HarnessError, RunIncompleteError
from harness.extras import require
from harness.verbs.limiting import limits_of, stopping

if TYPE_CHECKING:
    from harness.settings import JudgingSettings
    from harness.show.console import RunConsole
    from harness.verdicts import Asked, Judge, Verdict


def judge(options: Namespace) -> ExitCode:
    """Ask a judge about every row of a file, write its verdicts as they come, and say what came of it."""
    require("harness judge", "train", ("torch", "transformers"))
    # idle threads that spin starve the ones that work; must be set before torch is loaded
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    from harness.data.tables import data_fingerprint
    from harness.engines.meter import metering
    from harness.judge.published import named_judge
    from harness.registry import content_roots
    from harness.show.console import RunConsole, Screen, libraries_to
    from harness.verdicts import read_asked

    roots, settings = content_roots(options.include_path), asking_settings(options.set)
    limits = limits_of(options, settings)
    if options.labels and options.labels.suffix != ".parquet":
        raise HarnessError(f"--as-preferences {options.labels} is no parquet file.", "Name one ending in .parquet.")
    about = {
        "judge": named_judge(options.model, roots).fingerprint,
        "asked": data_fingerprint(options.file),
        "settings": settings.decisive(),
        "limit": options.limit,
    }
    asked = [one for number, one in enumerate(read_asked(options.file)) if number < (options.limit or number + 1)]
    done = {verdict.id: verdict for verdict in _begun(options.output, about, options.resume, len(asked))}
    owed = [one for one in asked if one.id not in done]
    if owed:
        log = options.output.with_name(f"{options.output.name}.log")
        with libraries_to(log) as shown, metering(limits), RunConsole(shown) as screen:

            def so_far() -> str:
                return f"{len(done):,} of {len(asked):,} rows have their verdict in {options.output}"

            with stopping(so_far, options.typed):
                for verdict in _asked_of(options.model, settings, owed, options.output, screen, roots):
                    done[verdict.id] = verdict
    console = Screen()
    verdicts = [done[one.id] for one in asked if one.id in done]
    for line in summary(verdicts):
        console.say(line)
    if missing := len(asked) - len(verdicts):
        raise RunIncompleteError(f"{missing} of {len(asked)} rows have no verdict.", "--resume asks only those.")
    console.print(f"Written: {options.output}", soft_wrap=True)
    if options.labels:
        console.print(_label(options.labels, asked, verdicts, options.model), soft_wrap=True)
    return ExitCode.OK


def asking_settings(assignments: Sequence[str]) -> "JudgingSettings":
    """Read `--set judging.X=V`, and `engine`."""
    from pydantic import ValidationError

    from harness.config import assign, parse_assignment, spread_engine
    from harness.settings import JudgingSettings

    given: dict[str, Any] = {}
    for key, value in map(parse_assignment, assignments):
        if key.partition(".")[0] not in ("judging", "engine"):
            raise HarnessError(f"--set {key}: what is only asked has no such setting.", "Set judging.X or engine.X.")
        assign(given, key, value)
    spread_engine(given)
    try:
        return JudgingSettings.model_validate(given.get("judging") or {})
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise HarnessError(f"setting judging.{where} = {first['input']!r}: {first['msg']}.", "Mend --set.") from None


def _begun(output: Path, about: dict[str, Any], resume: bool, rows: int) -> "list[Verdict]":
    """Open the file of verdicts: what it holds already, if it is of the same judge, rows and settings.

    Raises:
        HarnessError: if it is of others, or was begun and `resume` is not said.
    """
    from harness.records.store import write_atomically
    from harness.verdicts import read_verdicts

    record = output.with_name(f"{output.name}.about.json")
    if not output.exists():
        write_atomically(record, json.dumps(about, indent=1), "-o")
        return []
    known = json.loads(record.read_text(encoding="utf-8")) if record.exists() else {}
    if apart := [name for name in about if known.get(name) != about[name]]:
        what = {"judge": "another judge", "asked": "other rows"}
        told = " and ".join(what.get(name, f"other {name}") for name in apart)
        raise HarnessError(f"{output} holds verdicts of {told}.", "Choose another -o.")
    found = read_verdicts(output)
    if len(found) < rows and not resume:
        raise HarnessError(f"{output} holds {len(found)} of {rows} verdicts.", "Add --resume to go on with it.")
    return found


def _asked_of(
    model: str,
    settings: "JudgingSettings",
    owed: "Sequence[Asked]",
    output: Path,
    screen: "RunConsole",
    roots: Sequence[Path],
) -> "Iterator[Verdict]":
    """Ask what is owed, part by part, and yield each verdict once it is on the disk."""
    from harness.engines.engine import StoppedError
    from harness.engines.meter import meter
    from harness.records.store import cut_torn_line
    from harness.scratch import scratch
    from harness.verdicts import Judge

    progress = screen.begin("judge", None)
    with scratch() as work, Judge(model, settings, work, roots) as judge:
        progress.total(sum(_questions(one, judge) for one in owed), "rewards" if judge.rewards else "answers")
        cut_torn_line(output)
        with output.open("a", encoding="utf-8") as file:
            for part in _parts(owed, judge):
                meter().check()
                stop: HarnessError | None = None
                try:
                    found = judge.judge_all(part, progress.advance)
                except StoppedError as stopped:
                    found, stop = list(stopped.answers), stopped.why
                # an answer that failed is no verdict, and is asked again
                whole = [each for each in found if all(h.reading != "error" for h in each.answers)]
                file.write("".join(json.dumps(each.row(), ensure_ascii=False) + "\n" for each in whole))
                file.flush()
                os.fsync(file.fileno())
                yield from whole
                if stop:
                    raise stop


def _parts(owed: "Sequence[Asked]", judge: "Judge") -> "Iterator[list[Asked]]":
    """Divide what is owed so that each part has about as many questions as are written at a time."""
    part: list[Asked] = []
    size = 0
    for one in owed:
        part.append(one)
        size += _questions(one, judge)
        if size >= judge.settings.chunk_size:
            yield part
            part, size = [], 0
    if part:
        yield part


def _questions(one: "Asked", judge: "Judge") -> int:
    """Count what a row asks: a reward for each response, or an answer for each two in both orders."""
    return len(one.responses) * (1 if judge.rewards else len(one.responses) - 1)


def summary(verdicts: "Sequence[Verdict]") -> list[str]:
    """Say how the verdicts fell: by the best response's place, how many are consistent, and unread answers."""
    from collections import Counter

    if not verdicts:
        return ["No verdict."]
    places = Counter(verdict.best for verdict in verdicts)
    tied = places.pop(None, 0)
    told = ", ".join(f"response {place + 1} in {count}" for place, count in sorted(places.items()) if place is not None)
    lines = [f"{len(verdicts)} verdicts. Best: {told or 'none'}; no single best in {tied}."]
    if answers := [heard for verdict in verdicts for heard in verdict.answers]:
        consistent = 100 * sum(verdict.consistent for verdict in verdicts) / len(verdicts)
        first = [heard.reading == "first" for heard in answers if heard.reading in ("first", "second")]
        shown = 100 * sum(first) / len(first) if first else 0
        lines.append(
            f"The same in both orders: {consistent:.1f} %. The response shown first is preferred in {shown:.1f} %; "
            f"{len(answers) - len(first)} of {len(answers)} answers name none."
        )
    return lines


def _label(path: Path, asked: "Sequence[Asked]", verdicts: "Sequence[Verdict]", name: str) -> str:
    """Write preference pairs that the judge labelled: of each row the best response against the worst."""
    from harness.data.canonical import write_rows
    from harness.records.store import unwritable
    from harness.scratch import part_of

    by_id = {verdict.id: verdict for verdict in verdicts}

    def rows() -> Iterator[dict[str, Any]]:
        for one in asked:
            verdict = by_id[one.id]
            worst = min(range(len(verdict.scores)), key=lambda i: verdict.scores[i])
            if one.image is None or verdict.best is None or verdict.scores.count(verdict.scores[worst]) > 1:
                continue
            about = {"id": one.id, "image": one.image, "question": one.question, "source": f"judged by {name}"}
            yield about | {"chosen": one.responses[verdict.best], "rejected": one.responses[worst]}

    columns = dict.fromkeys(("id", "question", "chosen", "rejected", "source"), "text") | {"image": "image"}
    part = part_of(path)
    try:
        kept = write_rows(part, rows(), columns)
        part.replace(path)
    except OSError as error:
        raise unwritable(path, error, "--as-preferences") from error
    finally:
        part.unlink(missing_ok=True)
    imageless = any(one.image is None for one in asked)
    lacking = "no best or no worst, or not one image" if imageless else "no best or no worst"
    return f"Written: {path}, {kept} pairs to train with (--preferences); {len(asked) - kept} have {lacking}."
