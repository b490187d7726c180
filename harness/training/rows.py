"""Training rows: preference pairs as presentations in the judge's format, ready for TRL.

Rows are made when they are read, from a table on the disk: what is held in memory is a number a row.
"""

from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple, overload

from harness.data.canonical import arrow_copy, open_images
from harness.data.images import opened
from harness.data.preferences import TEXT_COLUMNS, stream_pairs
from harness.judge.format import PLAIN, JudgeFormat, RewardFormat, load_format
from harness.training.sources import PAIRS
from harness.training.stages import Artifact

Row = dict[str, Any]


class Presented(NamedTuple):
    """A pair in one order: its place in the table, its prompt, and which answer is the chosen one."""

    place: int
    pair: Row
    chosen_second: bool
    prompt: str


class Shown(Sequence[Presented]):
    """Presentations of pairs, each written when it is asked for.

    Args:
        table: the pairs' texts, on the disk.
        format_: the judge's format.
        orders: per presentation, the pair's place in the table and whether the chosen answer comes second.
    """

    def __init__(self, table: Any, format_: JudgeFormat, orders: Iterable[tuple[int, bool]]) -> None:
        self.table, self.format = table, format_
        self.numbers = array("q", (2 * place + chosen_second for place, chosen_second in orders))

    def __len__(self) -> int:
        return len(self.numbers)

    @overload
    def __getitem__(self, where: int) -> Presented: ...
    @overload
    def __getitem__(self, where: slice) -> list[Presented]: ...
    def __getitem__(self, where: int | slice) -> Presented | list[Presented]:
        if isinstance(where, slice):
            return self.at(range(*where.indices(len(self))))
        return self.at([range(len(self))[where]])[0]

    def __iter__(self) -> Iterator[Presented]:
        for start in range(0, len(self), 512):
            yield from self[start : start + 512]

    def at(self, wanted: Sequence[int]) -> list[Presented]:
        """Write the presentations at these places of the sequence."""
        orders = [divmod(self.numbers[number], 2) for number in wanted]
        places = sorted({place for place, _ in orders})
        columns = self.table[places]
        pairs = {place: {name: column[i] for name, column in columns.items()} for i, place in enumerate(places)}
        return [self._write(place, pairs[place], bool(chosen_second)) for place, chosen_second in orders]

    def _write(self, place: int, pair: Row, chosen_second: bool) -> Presented:
        first, second = (pair["chosen"], pair["rejected"])[:: -1 if chosen_second else 1]
        return Presented(place, pair, chosen_second, self.format.ask(pair["question"], first, second))


def checkpoint_format(location: str) -> JudgeFormat:
    """Return the format a checkpoint brings, or the one that general models are trained on."""
    folder = Path(location)
    return (load_format(folder) if folder.is_dir() else None) or PLAIN


def present(pairs: Artifact, format_: JudgeFormat, only: Iterable[str] | None = None) -> Shown:
    """Show pairs in both orders, side by side, so that no order goes with the label.

    Args:
        pairs: the artifact with the pairs.
        format_: the judge's format.
        only: ids to keep; all of them if None.
    """
    places = _places(pairs, only).values()
    return Shown(_texts(pairs), format_, ((place, order) for place in places for order in (False, True)))


def present_once(pairs: Artifact, format_: RewardFormat) -> Shown:
    """Show the question of each pair once, for trainings that read one response at a time."""
    asked = JudgeFormat(format_.prompt)
    return Shown(_texts(pairs), asked, ((place, False) for place in _places(pairs, None).values()))


def present_as(pairs: Artifact, format_: JudgeFormat, orders: Sequence[tuple[str, bool]]) -> Shown:
    """Show pairs as `orders` says: the id of each, and whether its chosen answer comes second."""
    places = _places(pairs, {name for name, _ in orders})
    return Shown(_texts(pairs), format_, ((places[name], chosen_second) for name, chosen_second in orders))


def _places(pairs: Artifact, only: Iterable[str] | None) -> dict[str, int]:
    """Map the ids of pairs to their places in the table, in its order."""
    keep = None if only is None else set(only)
    rows = enumerate(stream_pairs(pairs.path / PAIRS, ["id"]))
    return {row["id"]: place for place, row in rows if keep is None or row["id"] in keep}


def _texts(pairs: Artifact) -> Any:
    import datasets

    return datasets.Dataset.from_file(str(arrow_copy(pairs.path / PAIRS, TEXT_COLUMNS)))


def conversation(role: str, text: str) -> list[dict[str, str]]:
    """Write one turn as TRL takes it; plain text, as part lists come back from Arrow altered."""
    return [{"role": role, "content": text}]


P_SECOND = "p_second"
"""Column of a training row: P that the response shown second is the better one."""


def training_rows(
    pairs: Artifact,
    shown: Shown,
    answers: dict[str, Callable[[int, Presented], str]],
    p_second: Callable[[Presented], float] | None = None,
) -> Any:
    """Return a data set of prompts, answers and images, in the columns that TRL reads.

    It holds each row's number; the texts are written, and the image is opened, when the row is read.

    Args:
        pairs: the artifact with the pairs and their images.
        shown: the rows' presentations.
        answers: by column, what the judge is to say, from a row's number and presentation.
        p_second: tells how probable it is that the response shown second is the better one; None leaves that out.
    """
    import datasets

    image = open_images(pairs.path / PAIRS)

    def look_up(batch: dict[str, list[int]]) -> dict[str, list[Any]]:
        numbers = next(iter(batch.values()))
        presented = shown.at(numbers)
        looked_up = {
            "image": [opened(image(p.place)) for p in presented],
            "prompt": [conversation("user", p.prompt) for p in presented],
        } | {
            name: [conversation("assistant", say(n, p)) for n, p in zip(numbers, presented, strict=True)]
            for name, say in answers.items()
        }
        return looked_up | ({P_SECOND: [p_second(p) for p in presented]} if p_second else {})

    columns = dict.fromkeys(("image", "prompt", *answers), range(len(shown)))
    return datasets.Dataset.from_dict(columns).with_transform(look_up)
