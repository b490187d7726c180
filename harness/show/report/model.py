"""What a page says, as plain data: the types that are gathered, drawn and shown."""

from dataclasses import dataclass
from typing import Any, NamedTuple

from harness.counting.results import TaskResult
from harness.records import Judgment
from harness.sheets.sheet import Sheet
from harness.show.report.infos import ExpertsInfo, SplitInfo, TruthInfo


@dataclass(frozen=True)
class Side:
    """One of the runs on the page."""

    role: str
    """`candidate` or `baseline`; a run alone is the candidate."""
    name: str
    result: TaskResult
    judgments: list[Judgment]

    @property
    def seeds(self) -> list[int]:
        """The seeds of its judges."""
        return list(self.result.tallies)


class Mark(NamedTuple):
    """One figure with its interval, in the units of its drawing; NaN where it is not estimable."""

    role: str
    value: float
    low: float
    high: float
    shown: str


class Line(NamedTuple):
    """One line of a drawing of intervals: a metric or a slice, with a mark for each side."""

    name: str
    headline: bool
    marks: list[Mark]


class Intervals(NamedTuple):
    """A drawing of intervals along one axis."""

    title: str
    about: str
    lines: list[Line]
    reference: float | None
    reference_name: str
    unit: str


class Knot(NamedTuple):
    """A point of a curve with its interval, in the units of its drawing; NaN where that is not estimable."""

    x: float
    value: float
    low: float
    high: float


class Bands(NamedTuple):
    """A drawing of curves over a setting, each with a band of its intervals."""

    title: str
    about: str
    curves: dict[str, list[Knot]]
    """By name, in the order of x."""
    xlabel: str
    unit: str


class Bin(NamedTuple):
    """Judgments of about the same P(verdict), and the share of them that is right."""

    judgments: int
    stated: float
    """Mean P(verdict)."""
    right: float
    low: float
    high: float


class Reliability(NamedTuple):
    """How far P(verdict) can be believed."""

    role: str
    name: str
    bins: list[Bin]
    error: float
    """Expected calibration error: the bins' mean distance of `stated` and `right`, weighted by count."""
    brier: float
    """Mean square of P(verdict) minus whether it is right."""


class Curve(NamedTuple):
    """One training's figure over its updates."""

    role: str
    seed: int | None
    steps: list[float]
    values: list[float]


class Curves(NamedTuple):
    """Lines over one axis: a figure of all trainings over their updates, or shares of pairs."""

    title: str
    curves: list[Curve]
    axis: str = "updates"
    about: str = ""
    """What the drawing shows, in words; empty for trainings, which are counted."""
    smooth: bool = False
    """Whether every update has a value that chance moves, so that the course shows in a smoothed line."""


class Split(NamedTuple):
    """The confidence split of a run's recipe."""

    role: str
    name: str
    rule: str
    experts: list[str]
    info: SplitInfo
    scored: ExpertsInfo
    truth: TruthInfo | None
    """Where it is known."""


class Scored(NamedTuple):
    """The scores of a run's sampled judgments, over its seeds."""

    role: str
    name: str
    judgments: int
    counts: dict[str, list[int]]
    """Per verdict, the judgments in equal bins of [0, 1]; empty where the run did not record them."""
    means: dict[str, float]
    right: list[tuple[str, float]]
    """What was right how often, in the mean over seeds; empty where the truth is not known."""


class Cost(NamedTuple):
    """What one stage cost."""

    stage: str
    times: int
    cached: int
    seconds: float
    peak_mb: float


class Costs(NamedTuple):
    """What a run's stages cost, in the order they ran."""

    role: str
    name: str
    stages: list[Cost]
    usage: list[str]
    """In words, what the answers of a stage took."""


class Answer(NamedTuple):
    """One judgment in the table of items."""

    seed: int
    order: str
    """The responses shown, as letters in the file's order."""
    repeat: int
    said: str
    """What was read: a letter, `tie`, a grade, an order, or `unparsed`."""
    right: bool | None
    """None where nothing was read, or where an answer is not right or wrong."""
    p_first: float | None
    text: int
    """Place in `texts`, or -1 where the text was left out."""


class Row(NamedTuple):
    """One item in the table of items."""

    id: str
    """By which the run's files know it."""
    source: str
    slice: int
    question: int
    responses: list[int]
    label: str
    images: list[int]
    """Places in `images`, or -1."""
    gain: float | None
    """Candidate's figure minus baseline's, positive where the candidate's is better; None if there is none."""
    figures: list[float | None]
    answers: list[list[Answer]]
    marked: bool
    """Whether question and responses mark where the images stand (`harness.records.content`)."""


class Items(NamedTuple):
    """The table of items: texts and images are kept once and named by their place."""

    kind: str
    task: str
    sides: list[dict[str, Any]]
    """Role, name, run and seeds of each run, and `prompt`, the words that it was asked in, or `unknown`, why not."""
    slices: list[str]
    texts: list[str]
    images: list[str]
    no_image: str
    """Why an item may have no image."""
    left_out: str
    """What was left out to keep the page usable; empty where nothing was."""
    rows: list[Row]


class Apart(NamedTuple):
    """On how many items of a slice, or of all, which judge is right: in more than half of its answers.

    Where a judge grades or ranks, the one that is nearer to people counts as right, and both where they are as near.
    """

    name: str
    slice: str
    """For the address of its items; empty for all of them."""
    candidate: int
    """Items that only the candidate has right."""
    baseline: int
    both: int
    neither: int

    @property
    def items(self) -> int:
        """All that were counted of both."""
        return self.candidate + self.baseline + self.both + self.neither


class Record(NamedTuple):
    """What else is known of a run."""

    name: str
    facts: dict[str, str]
    folder: str
    link: str
    """Address of the folder, from where the page lies; empty where it cannot be opened from there."""
    checkpoints: list[tuple[str, str]]
    """Name of each trained judge, as commands take it, and its fingerprint."""
    command: str
    """That repeats the run; empty where it has no configuration."""
    packages: dict[str, str]


@dataclass(frozen=True)
class Page:
    """Everything that a report says."""

    title: str
    verdict: str
    synthetic: str
    facts: dict[str, str]
    notes: list[str]
    """What there is to know about the data and the answers."""
    compared: bool
    intervals: Intervals
    table: Sheet
    """The differences, or a run's own figures."""
    seeds: Sheet | None
    remarks: list[str]
    """What the comparison rests on, and what it does not speak of."""
    configs: list[tuple[str, str, str]]
    """Settings that differ: key, baseline's, candidate's."""
    sides: list[tuple[str, str]]
    """Role and name of each run."""
    position: Intervals | None
    position_rows: list[tuple[str, bool, list[list[str]]]]
    """Name, whether it is all items, and per side: share shown first, consistency, coverage."""
    position_said: list[str]
    """Which of the intervals exclude 50 %."""
    reliability: list[Reliability]
    splits: list[Split]
    sft: Curves
    dpo: list[Curves]
    not_recorded: list[str]
    scored: list[Scored]
    costs: list[Costs]
    records: list[Record]
    items: Items
    apart: list[Apart]
    """Where the two judges disagree; empty for a run alone."""
    home: str = ""
    """Address of the page that lists all runs; empty for a page that stands alone."""
