"""Makes a finished run of judgments that were made elsewhere."""

import hashlib
import json
import re
import shutil
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness import provenance
from harness.config import differing
from harness.data.benchmark import describe, imageless_items
from harness.data.tables import fingerprint, path_fingerprint
from harness.errors import DataError, HarnessError, RunIncompleteError, unknown
from harness.evaluate.hooks import TaskHooks, data_file, open_rows
from harness.importing.formats import read_answers
from harness.importing.source import Answer
from harness.protocols import Protocol, find_protocol
from harness.protocols.reading import READERS, reader_of
from harness.records import Item, Judgment, Run, RunFolder, shown_hash
from harness.records.inventory import Inventory
from harness.records.run import StageRecord, TaskRecord
from harness.scratch import part_of, sweep
from harness.settings import WorldSettings
from harness.texts import harmless


@dataclass(frozen=True)
class Joined:
    """A file's answers with the items they are about."""

    format: str
    items: list[Item]
    answers: list[tuple[Answer, Judgment]]
    """Each with its judgment, not yet read."""
    info: dict[str, Any]
    """The data's counts, fingerprint, source and release."""
    relabelled: int
    """Items to which the file and the data give different labels."""

    def name_of(self, item_id: str) -> str:
        """Call an item by its id in the benchmark's file; where two have that one, by ours."""
        (own,) = (item.source_id for item in self.items if item.item_id == item_id)
        return own if sum(item.source_id == own for item in self.items) == 1 else item_id


def join(path: Path, hooks: TaskHooks, data: str | None, format_: str | None = None) -> Joined:
    """Read a file of judgments and find the items they are about.

    Items come from `data` where it is given, whose labels win, else from the file itself.

    Args:
        path: the judgments.
        hooks: the task's.
        data: the benchmark, as `harness run --data` takes it; its images may be absent or only named.
        format_: one of `FORMATS`; None tells it from the file.

    Raises:
        DataError: naming file, row, field, value and fix.
    """
    format_, answers = read_answers(path, hooks.benchmark, format_)
    theirs = _theirs(path, answers)
    if data is not None:
        where = str(data_file(hooks.benchmark, Path(data))) if _is_file(data) else data
        rows, source, folder = open_rows(hooks.benchmark, where, lambda: hooks.embedded(WorldSettings()))
        items = list(imageless_items(rows, source, folder, hooks.benchmark))
    else:
        if not theirs:
            raise HarnessError(
                f"{path.name} names items by id only.", "Give the benchmark they are of: --data FILE, parquet or JSONL."
            )
        # by name, so that two files with the same items in another order hold the same data
        items = [theirs[name] for name in sorted(theirs)]
        sources = {answer.data for answer in answers}
        source = (sources.pop() if len(sources) == 1 else None) or path.name
    inventory = Inventory(items)
    by_id = {item.item_id: item for item in items} | {item.source_id: item for item in items}
    judged = [(answer, _judgment(path, answer, by_id, source)) for answer in answers]
    relabelled = sum(name in by_id and by_id[name].label != item.label for name, item in theirs.items())
    return Joined(format_, items, _numbered(path, judged), describe(inventory, source, hooks.benchmark), relabelled)


def _is_file(data: str) -> bool:
    return data not in ("embedded", "hub") and not data.startswith("hub:")


def _theirs(path: Path, answers: Sequence[Answer]) -> dict[str, Item]:
    """Collect the items that the file itself holds; one item has one label."""
    found: dict[str, Item] = {}
    for answer in answers:
        if isinstance(answer.item, Item):
            known = found.setdefault(answer.item.item_id, answer.item)
            if known.label != answer.item.label:
                raise DataError(
                    f"{path.name}, row {answer.row}: item {known.source_id!r} has the label {answer.item.label}, "
                    f"and {known.label} before.",
                    "Give it one label.",
                )
    return found


def _judgment(path: Path, answer: Answer, items: Mapping[str, Item], source: str) -> Judgment:
    """Make a judgment of an answer, still to be read."""
    where = f"{path.name}, row {answer.row}, field"
    if isinstance(answer.item, str):
        item = items.get(answer.item)
        if item is None:
            raise DataError(
                f"{where} 'id': {answer.item[:60]!r} is no item of {source}.",
                "Name the data that the judgments are about.",
            )
    else:
        item = items.get(answer.item.item_id)
        if item is None:
            raise DataError(
                f"{where} 'id': {answer.item.source_id!r} with this question and these responses is not in {source}.",
                "Name the data that the judgments are about, or leave --data out.",
            )
    places = len(item.responses)
    order = answer.order
    if order is None:
        if places > 1:
            raise DataError(
                f"{where} 'order': it is missing, and {places} responses can be shown in several.",
                "Write [0, 1] if the file's first response was shown first.",
            )
        order = (0,)
    if not order or len(set(order)) < len(order) or not set(order) <= set(range(places)):
        raise DataError(
            f"{where} 'order': {list(order)} does not name places among {places} responses, each once.",
            "Places start at 0.",
        )
    return Judgment(
        item_id=item.item_id,
        seed=0,
        order=order,
        repeat=-1 if answer.repeat is None else answer.repeat,
        shown=shown_hash(item.question, [item.responses[place] for place in order]),
        text=answer.text if answer.text is not None else "",
        reading="unparsed",
        p_first=answer.p_first,
    )


def _numbered(path: Path, answers: list[tuple[Answer, Judgment]]) -> list[tuple[Answer, Judgment]]:
    """Number the repeats of an item in stored order where the file does not; refuse doubled answers."""
    repeats, rows, numbered = Counter[str](), dict[Any, int](), []
    for answer, judgment in answers:
        if answer.repeat is None:
            judgment = judgment.model_copy(update={"repeat": repeats[judgment.item_id]})
            repeats[judgment.item_id] += 1
        first = rows.setdefault(judgment.presentation, answer.row)
        if first != answer.row:
            raise DataError(
                f"{path.name}, row {answer.row}, field 'repeat': item {judgment.item_id!r} in order "
                f"{list(judgment.order)} has an answer for repeat {judgment.repeat} in row {first}.",
                "Number the repeats from 0, or take one out; where two items have one id, name them by item_id.",
            )
        numbered.append((answer, judgment))
    return numbered


def infer_protocol(path: Path, joined: Joined, hooks: TaskHooks) -> Protocol:
    """Choose the protocol that a file's answers were made for: the one it names, else the one they fit.

    Raises:
        HarnessError: if they fit none, which happens when answers are missing.
    """
    content = hooks.content
    judgments = [judgment for _, judgment in joined.answers]
    counts = Counter(judgment.item_id for judgment in judgments)
    votes = min(counts.values())
    named = {answer.protocol for answer, _ in joined.answers}
    if len(named) == 1 and (spec := named.pop()):
        several = content.kind == "pair" and (spec == "official" or (spec == "lmms-eval" and votes > 1))
        return find_protocol(f"official:{votes}" if several else spec, content.kind)
    asked = [item for item in joined.items if item.item_id in counts]
    given = {judgment.presentation for judgment in judgments}
    spoken = any(answer.text is not None for answer, _ in joined.answers)
    known = [find_protocol(name, content.kind) for name in content.protocols]
    known = [find_protocol(f"{p.name}:{votes}", content.kind) if p.varies else p for p in known if p.weighs != spoken]
    # an order that fits is better evidence than one that any draw could have given
    for protocol in known:
        if set(protocol.presentations(asked, 0)) == given:
            return protocol
    for protocol in known:
        if protocol.drawn and protocol.varies and set(counts.values()) == {votes}:
            return protocol
    raise HarnessError(
        f"the {len(judgments)} answers to {len(counts)} items in {path.name} fit no protocol of {content.name} whole.",
        f"Name one, and what is missing will be told: --protocol {content.protocols[0]}.",
    )


def select(path: Path, protocol: Protocol, joined: Joined) -> list[tuple[Answer, Judgment]]:
    """Keep the answers that a protocol counts, the first repeats in stored order.

    Raises:
        RunIncompleteError: if an answer that it counts is not there.
    """
    owed = {(p.item_id, None if protocol.drawn else p.order, p.repeat) for p in protocol.presentations(joined.items, 0)}
    kept: dict[Any, tuple[Answer, Judgment]] = {}
    for answer, judgment in joined.answers:
        key = (judgment.item_id, None if protocol.drawn else judgment.order, judgment.repeat)
        if key not in owed or (protocol.counts_p and judgment.p_first is None):
            continue
        if key in kept:
            raise DataError(
                f"{path.name}, row {answer.row}: {protocol.spec} shows each repeat in one order, and item "
                f"{joined.name_of(judgment.item_id)!r} has two answers for repeat {judgment.repeat}.",
                "Number the repeats apart, or choose --protocol both-orders.",
            )
        kept[key] = answer, judgment
    places = {item.item_id: place for place, item in enumerate(joined.items)}
    if missing := sorted(owed - set(kept), key=lambda key: (places[key[0]], str(key))):
        item, order, repeat = missing[0]
        which = f"item {joined.name_of(item)!r}{'' if order is None else f' in order {list(order)}'}, repeat {repeat}"
        what = "P(verdict)s" if protocol.counts_p else "answers"
        raise RunIncompleteError(
            f"{len(missing)} of the {len(owed)} {what} that {protocol.spec} needs are not in {path.name}; "
            f"the first is {which}.",
            "Add them, choose another --protocol, or name --data with fewer items.",
        )
    return list(kept.values())


def score(
    path: Path,
    hooks: TaskHooks,
    out: Path | None,
    root: Path,
    data: str | None = None,
    protocol: str | None = None,
    format_: str | None = None,
    name: str | None = None,
) -> RunFolder:
    """Make a finished run of a file of judgments, or find it made; no model is asked.

    Args:
        path: the judgments: JSONL or parquet, in one of `FORMATS`.
        hooks: the task's.
        out: the run's folder; None is a folder in `root` named after the judge, the task and the content.
        root: where runs lie.
        data: the benchmark the judgments are about; None takes the items from the file.
        protocol: how they are counted; None tells it from the file.
        format_: None tells it from the file.
        name: of the judge, in tables; None takes the one in the file, else the file's own.

    Raises:
        DataError: naming file, row, field, value and fix.
        RunIncompleteError: if an answer that the protocol counts is not there.
    """
    content = hooks.content
    joined = join(path, hooks, data, format_)
    how = find_protocol(protocol, content.kind) if protocol else infer_protocol(path, joined, hooks)
    if how.name not in content.protocols:
        raise unknown(f"protocol of {content.name}", how.spec, content.protocols)
    reader = reader_of(how, content.reader)
    answers = [
        (answer, judgment.model_copy(update={"reading": READERS[reader](judgment.text, len(judgment.order))}))
        for answer, judgment in select(path, how, joined)
    ]
    models = {answer.model for answer, _ in answers}
    if name is not None and (name != harmless(name) or not 0 < len(name.encode(errors="replace")) <= LONGEST_NAME):
        raise HarnessError(f"--name {name[:60]!r} is no name.", f"Use at most {LONGEST_NAME} plain characters.")
    label = name or (models.pop() if len(models) == 1 else None) or path.stem
    prints = {"judgments": fingerprint(path)[:16]}
    if data is not None and _is_file(data):
        prints["data"] = path_fingerprint(Path(data))[:16]
    config = {
        "model": label,
        "judgments": str(path),
        "format": joined.format,
        "tasks": [content.name],
        "protocols": {content.name: how.spec},
        "data": {content.name: data or path.name},
        "seeds": [0],
        "fingerprints": prints,
    }
    digest = hashlib.sha256(json.dumps(config, sort_keys=True).encode()).hexdigest()[:8]
    folder = RunFolder(out or root / _folder_name(name or f"{label[:80]}-{content.name}-{digest}"))
    if folder.exists():
        if apart := differing(folder.read_run().config, config):
            raise HarnessError(
                f"{folder.path} holds another run: {', '.join(apart)} differ{'s' if len(apart) == 1 else ''}.",
                "Choose another --name or --out.",
            )
        return folder
    folder.refuse_foreign()
    record = TaskRecord(
        task=content.name,
        kind=content.kind,
        protocol=how.spec,
        protocol_version=how.version,
        reader=reader,
        data=joined.info["source"],
        release=joined.info["release"],
        data_fingerprint=joined.info["fingerprint"],
        data_items=joined.info["items"],
        data_slices=joined.info["slices"],
        items=len(joined.items),
        slices=list(joined.info["slices"]),
        synthetic="embedded" in (data, joined.info["source"]),
    )
    counted = _counted(joined, answers, content.kind == "pair")
    _write(folder, record, config, counted, joined.items, [judgment for _, judgment in answers])
    return folder


LONGEST_NAME = 200
"""Bytes of a name, which is also a folder's."""


def _folder_name(name: str) -> str:
    """Make a folder's name of a name that anybody may have given."""
    plain = re.sub(r"[^\w.+=@-]", "_", name).lstrip("-.") or "_"
    return plain.encode()[:LONGEST_NAME].decode(errors="ignore")


def _counted(joined: Joined, answers: Sequence[tuple[Answer, Judgment]], verdicts: bool) -> dict[str, Any]:
    """Count what there is to report about the answers."""
    info: dict[str, Any] = {
        "format": joined.format,
        "answers": len(answers),
        "unparsed": sum(not judgment.read for _, judgment in answers),
        "unused": len(joined.answers) - len(answers),
        "relabelled": joined.relabelled,
    }
    labels = {item.item_id: item.label for item in joined.items}
    if not verdicts:
        if any(answer.right is not None for answer, _ in answers):
            said = [("tie" if j.reading == "tie" else j.chosen, labels[j.item_id], a.right) for a, j in answers]
            info["records_differ"] = sum((chosen == label) is not right for chosen, label, right in said)
        return info
    official = [READERS["official"](judgment.text, 2) for _, judgment in answers]
    info["readers_differ"] = sum(
        reading != READERS["strict"](judgment.text, 2) for reading, (_, judgment) in zip(official, answers, strict=True)
    )
    differ = 0
    for reading, (answer, judgment) in zip(official, answers, strict=True):
        if answer.number is not None:
            differ += {"first": 1, "second": 2, "unparsed": -1}.get(str(reading), reading) != answer.number
        elif answer.right is not None:
            chosen = judgment.model_copy(update={"reading": reading}).chosen
            differ += (chosen == labels[judgment.item_id]) != answer.right
    if any(answer.number is not None or answer.right is not None for answer, _ in answers):
        info["records_differ"] = differ
    return info


def _write(
    folder: RunFolder,
    record: TaskRecord,
    config: dict[str, Any],
    counted: dict[str, Any],
    items: list[Item],
    judgments: list[Judgment],
) -> None:
    """Write the run beside its place and move it there whole, so that there is never half of one."""
    now, judge = provenance.now(), f"judgments:{config['fingerprints']['judgments']}"
    stage = f"score {record.task}"
    run = Run(
        name=folder.name,
        status="complete",
        config=config,
        tasks=[record],
        checkpoints={"0": judge},
        stages=[StageRecord(stage=stage, seed=0, key=judge, cached=False, seconds=0, peak_mb=0, info=counted)],
        packages=provenance.packages(),
        revision=provenance.revision(),
        hardware=provenance.hardware(),
        started=now,
        finished=now,
    )
    sweep(folder.path.parent.glob(".*.part"))
    part = RunFolder(part_of(folder.path.with_name(f".{folder.name}")))
    try:
        with part.locked():
            part.write_items(record.task, items)
            part.write_presentations(record.task, [judgment.presentation for judgment in judgments])
            part.append_judgments(record.task, judgments)
            part.write_run(run)
            part.path.replace(folder.path)
    except OSError as error:
        raise HarnessError(f"cannot write {folder.path}: {error.strerror}.", "Choose another --out.") from error
    finally:
        shutil.rmtree(part.path, ignore_errors=True)
