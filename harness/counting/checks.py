"""What must hold of a run's files before they become figures: whatever can be derived again is, and must agree.

| what | must |
| --- | --- |
| items | be as many as the record says, each once, named by what they ask; all of the data set's have its fingerprint |
| protocol | be the one that the configuration asks for |
| presentations | be those that the protocol makes of these items |
| judgments | answer each of them once a seed; an answer reads as the protocol's reader reads its text |
| seeds | be those that were asked for, each with its checkpoint |

An edit that breaks none of these is left for `compare`, which holds the items of two runs against each other.
docs/gate.md says what no check can see.
"""

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from harness.errors import DataError, HarnessError, RunIncompleteError
from harness.protocols import Protocol, find_protocol
from harness.protocols.forms import OWN, find_reader, recorded_form
from harness.protocols.reading import READERS
from harness.records import Item, Judgment, Kind, Presentation, Reading, Run, RunFolder, item_id, shown_hash
from harness.records.inventory import Inventory
from harness.records.run import TaskRecord

FIX = "The file was edited, or torn: restore it, or run again."


def seeds_of(run: Run, folder: RunFolder) -> list[int]:
    """List the seeds that a run was judged under, in order.

    Raises:
        DataError: if one is no number, or they are not the seeds of its configuration.
    """
    path = folder.path / "run.json"
    for seed in run.checkpoints:
        if not seed.isascii() or not seed.isdigit() or str(int(seed[:10])) != seed:
            raise DataError(f"{path}: field 'checkpoints': {seed!r} is no seed.", FIX)
    judged = sorted(map(int, run.checkpoints))
    if not judged:
        raise DataError(f"{path}: field 'checkpoints': it names no seed.", FIX)
    asked = run.config.get("seeds", judged)
    if not isinstance(asked, list) or sorted(map(str, asked)) != sorted(map(str, judged)):
        raise DataError(f"{path}: its seeds are {asked}, and those that were judged {judged}.", FIX)
    return judged


@dataclass(frozen=True)
class Evidence:
    """The files of one task of a run, read."""

    folder: RunFolder
    run: Run
    record: TaskRecord
    protocol: Protocol
    seeds: list[int]
    items: list[Item]
    judgments: list[Judgment]

    def check(self) -> None:
        """Refuse what contradicts itself.

        Raises:
            DataError: naming the file and the first thing in it that is not as it must be.
            RunIncompleteError: if judgments are missing, failed or doubled.
            HarnessError: if another version of the protocol asked.
        """
        if self.record.protocol_version != self.protocol.version:
            raise HarnessError(
                f"{self.run.name} was asked by version {self.record.protocol_version} of {self.protocol.name}, and "
                f"this harness has version {self.protocol.version}.",
                "Run again, or use the harness that it was made with.",
            )
        self._check_protocol()
        shown = self.folder.read_presentations(self.record.task)
        self._check_items(shown)
        self._check_presentations(shown)
        self._check_answers(shown)
        self._check_readings()

    @property
    def imported(self) -> bool:
        """Whether the judgments were made elsewhere."""
        return "judgments" in self.run.config

    def _check_protocol(self) -> None:
        """Refuse another protocol than the configuration's: orders are alike under several, figures are not."""
        asked = (self.run.config.get("protocols") or {}).get(self.record.task, self.record.protocol)
        if not isinstance(asked, str) or find_protocol(asked, self.record.kind).spec != self.protocol.spec:
            _refusal(self.folder.path / "run.json")(
                f"field 'protocol': it is {self.record.protocol!r}, and config.protocols asks for {asked!r}"
            )

    def _check_items(self, shown: set[Presentation]) -> None:
        refuse = _refusal(self.folder.items_path(self.record.task))
        if {presentation.item_id for presentation in shown} != {item.item_id for item in self.items}:
            refuse("its items are not those that were asked")
        if not self.items:
            refuse("it holds no items")
        if len(self.items) != self.record.items:
            refuse(f"it has {len(self.items)} items, and the record says {self.record.items}")
        if doubled := _first_doubled(item.item_id for item in self.items):
            refuse(f"item {doubled!r} stands in it twice")
        limit = self.run.config.get("limit")
        owed = self.record.data_items if not isinstance(limit, int) else min(limit, self.record.data_items)
        if len(self.items) != owed:
            refuse(f"it has {len(self.items)} items, and {owed} were to be asked")
        for item in self.items:
            benchmark = item.item_id.rpartition("#")[0]
            if not benchmark.endswith(f"/{item.source_id}") or item.item_id != item_id(
                benchmark, item.question, item.responses, item.images
            ):
                refuse(f"item {item.item_id!r} has another name than its question and responses give it")
            if not fits(item, self.record.kind):
                refuse(f"item {item.item_id!r} has the label {item.label!r}, which no {self.record.kind} task has")
            if item.image_hash is not None and item.cluster_id != item.image_hash:
                refuse(f"item {item.item_id!r} is in another cluster than its image's")
        if sorted(self.record.slices) != sorted({item.slice for item in self.items}):
            refuse(f"its slices are not the record's, {', '.join(self.record.slices)}")
        if len(self.items) == self.record.data_items:
            inventory = Inventory(self.items)
            if inventory.counts != self.record.data_slices:
                refuse(f"it has {inventory.counts} by slice, and the record says {self.record.data_slices}")
            if inventory.fingerprint != self.record.data_fingerprint:
                refuse(f"its fingerprint is {inventory.fingerprint}, and the record's {self.record.data_fingerprint}")

    def _check_presentations(self, shown: set[Presentation]) -> None:
        refuse = _refusal(self.folder.path / f"presentations-{self.record.task}.jsonl")
        repeats = 1 + max(presentation.repeat for presentation in shown)
        if repeats != self.protocol.repeats:
            refuse(f"it asks {repeats} times, and {self.protocol.spec} {self.protocol.repeats} times")
        judging = self.run.config.get("judging")
        seed = judging.get("order_seed", 0) if isinstance(judging, dict) else 0
        owed = set(self.protocol.presentations(self.items, seed if isinstance(seed, int) else 0))
        if self.imported and self.protocol.drawn:
            # others drew their orders by other means
            owed, given = {each._replace(order=()) for each in owed}, {each._replace(order=()) for each in shown}
            agree = owed == given and len(given) == len(shown)
        else:
            agree = owed == shown
        if not agree:
            refuse(f"its orders and repeats are not those in which {self.protocol.spec} asks these items")

    def _check_answers(self, shown: set[Presentation]) -> None:
        owed = {(seed, presentation) for seed in self.seeds for presentation in shown}
        given = [judgment.key for judgment in self.judgments]
        failed = sum(judgment.reading == "error" for judgment in self.judgments)
        if failed or len(given) != len(owed) or set(given) != owed:
            missing, doubled = len(owed - set(given)), len(given) - len(set(given))
            path = self.folder.judgments_path(self.record.task)
            raise RunIncompleteError(
                f"{path}: {missing} of {len(owed)} judgments are missing, {failed} failed, {doubled} doubled.",
                "Restore it, or run again.",
            )
        if not self.imported and self.record.prompts and set(self.record.prompts) != set(self.run.checkpoints):
            _refusal(self.folder.path / "run.json")("its prompts are not of the seeds that were judged")

    def _check_readings(self) -> None:
        refuse = _refusal(self.folder.judgments_path(self.record.task))
        form = recorded_form(self.run.config)
        fixed = OWN if form else self.protocol.reader or self.record.reader
        if self.record.reader != fixed or fixed not in (*READERS, *([OWN] if form else [])):
            _refusal(self.folder.path / "run.json")(
                f"field 'reader': {self.record.reader!r} does not read the answers of {self.protocol.spec}"
            )
        read, known = find_reader(fixed, form), dict[tuple[str, int], Reading]()
        shown = self._shown()
        for judgment in self.judgments:
            if judgment.shown not in (None, shown[judgment.item_id, judgment.order]):
                refuse(f"{_where(judgment)}: its question or its order is another than the one that was shown")
            key = judgment.text, len(judgment.order)
            if key not in known:
                known[key] = read(*key)
            if judgment.reading != known[key] or judgment.error is not None:
                told = f"the reading is {judgment.reading!r}, and {fixed!r} reads {known[key]!r} in the text"
                refuse(f"{_where(judgment)}: {told}")
            if self.protocol.weighs and not self.imported and not judgment.read:
                refuse(f"{_where(judgment)}: it names no verdict, and the harness writes the one that P(verdict) says")
            if self.protocol.counts_p and not _p_as_written(judgment):
                refuse(f"{_where(judgment)}: p_first is {judgment.p_first}, and the text says {judgment.reading!r}")

    def _shown(self) -> dict[tuple[str, tuple[int, ...]], str]:
        items = {item.item_id: item for item in self.items}
        asked = {(judgment.item_id, judgment.order) for judgment in self.judgments}
        return {
            (name, order): shown_hash(items[name].question, [items[name].responses[place] for place in order])
            for name, order in asked
        }


MOST_GRADE = 10**6
"""No grade is further from zero."""
MOST_RESPONSES = 100
"""No item that asks for the best has more."""


def fits(item: Item, kind: Kind) -> bool:
    """Tell whether an item has as many responses, and the label, that its kind of task wants."""
    places = len(item.responses)
    if kind == "score":
        return places == 1 and isinstance(item.label, int) and abs(item.label) <= MOST_GRADE
    if kind == "batch":
        # as many as there are letters to name them by
        return 2 <= places <= 26 and isinstance(item.label, tuple) and sorted(item.label) == list(range(places))
    if kind == "best":
        right = set(item.label) if isinstance(item.label, tuple) else set[int]()
        return 2 <= places <= MOST_RESPONSES and 0 < len(right) < places and right < set(range(places))
    return places == 2 and (item.label in (0, 1) or (kind == "pair-ties" and item.label == "tie"))


def _where(judgment: Judgment) -> str:
    return f"item {judgment.item_id!r}, order {list(judgment.order)}, seed {judgment.seed}"


def _p_as_written(judgment: Judgment) -> bool:
    """Tell whether P(first) is there and on the side of the verdict, and on none where none is better."""
    p = judgment.p_first
    if judgment.reading not in ("first", "second"):
        return not judgment.read or p is None or p == 0.5
    return p is not None and (p == 0.5 or (p > 0.5) == (judgment.reading == "first"))


def _refusal(path: Path) -> Callable[[str], None]:
    def refuse(what: str) -> None:
        raise DataError(f"{path}: {what}.", FIX)

    return refuse


def _first_doubled(names: Iterable[str]) -> str | None:
    return next((name for name, count in Counter(names).items() if count > 1), None)
