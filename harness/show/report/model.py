"""What a page says, as plain data: the types that are gathered, drawn and shown."""

from dataclasses import dataclass
from typing import Any, NamedTuple

from pydantic import AliasChoices, BaseModel, Field

from harness.counting.results import TaskResult
from harness.records import Judgment
from harness.sheets.sheet import Sheet

PAIRWISE = ("pair", "pair-ties")


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


class SliceInfo(BaseModel):
    """What the split says of one slice."""

    pairs: int
    kept: float
    agreement: list[float]


class TogetherInfo(BaseModel):
    """How the errors of two experts go together; None where one of them never errs, or always."""

    phi: float | None
    kappa: float | None
    both_err: float
    both_err_apart: float


class MarginBin(BaseModel):
    """Pairs of about the same size of the experts' mean margin."""

    pairs: int
    margin: float
    confirmed: float
    right: float | None = None


class KeptPoint(BaseModel):
    """What a threshold of the mean margin keeps, and how good that is; a stand-in where the truth is not known."""

    share: float
    threshold: float
    agreement: float | None = None
    precision: float | None = None


class StandingInfo(BaseModel):
    """How labels, kept labels and experts stand to the truth."""

    pairs: int
    labels_right: float
    precision: float | None
    recall: float | None
    experts_right: list[float]


class TruthInfo(StandingInfo):
    """What `filter-accuracy` records, of the embedded world alone."""

    by_slice: dict[str, StandingInfo] = {}
    experts_together: dict[str, TogetherInfo] = {}
    calibration: list[MarginBin] = []
    precision_curve: list[KeptPoint] = []


class SplitInfo(BaseModel):
    """What `split-by-confidence` records."""

    kept: int
    share: float
    agreement: dict[str, float] = {}
    by_slice: dict[str, SliceInfo] = {}
    disagreement_correlation: dict[str, float | None] = {}
    experts_together: dict[str, TogetherInfo] = {}
    calibration: list[MarginBin] = []
    left_out_curve: list[KeptPoint] = []

    def correlation(self, one: int, other: int) -> float | None:
        """Return how the errors of two experts go together."""
        return 1.0 if one == other else self.disagreement_correlation.get(f"{min(one, other)}-{max(one, other)}")


class ControlsInfo(BaseModel):
    """What `expert-scores` records of its controls: shares of agreement, an expert each; None where none was asked."""

    pairs: int
    own_caption: list[float | None]
    no_caption: list[float | None]
    other_caption: list[float | None]

    @property
    def rows(self) -> list[tuple[str, list[float | None]]]:
        """Name each control in words."""
        return [
            ("its own caption", self.own_caption),
            ("no caption", self.no_caption),
            ("another image’s", self.other_caption),
        ]

    @property
    def margin(self) -> float:
        """Return how far a share of so many pairs may be off, at most: half of a 95 % interval."""
        return float(1.96 * (0.25 / max(1, self.pairs)) ** 0.5)


class ExpertsInfo(BaseModel):
    """What `expert-scores` records."""

    controls: ControlsInfo | None = None
    texts: int = 0
    captions_cut: list[int] = []
    still_too_long: list[int] = []

    @property
    def cuts(self) -> str:
        """Say how many captions were cut; nothing if none was."""
        if not any(self.captions_cut):
            return ""
        cut = ", ".join(f"{count:,} for expert {i}" for i, count in enumerate(self.captions_cut))
        longer = f"; {sum(self.still_too_long):,} too long even without a caption" if any(self.still_too_long) else ""
        return f"Captions cut for want of room: {cut}, of {self.texts:,} texts each{longer}."


class CurveInfo(BaseModel):
    """What a training records of its course."""

    step: list[float]
    loss: list[float]
    margins: list[float] = Field([], validation_alias=AliasChoices("rewards/margins", "margin"))
    accuracies: list[float] = Field([], validation_alias=AliasChoices("rewards/accuracies", "right"))


class TrainingInfo(BaseModel):
    """What `sft`, `dpo` and `reward` record."""

    rows: int = 0
    updates: int = 0
    loss: float | None = None
    curve: CurveInfo | None = None


class ScoredInfo(BaseModel):
    """What `score-judgments` records."""

    judgments: int
    mean: dict[str, float] = {}
    scores: dict[str, list[int]] = {}


class ScorerInfo(BaseModel):
    """What `scorer-accuracy` records, of the embedded world alone: shares that are right; None where there are none."""

    label: float | None = None
    samples: float | None = None
    majority: float | None = None
    best: float | None = None
    chosen: float | None = None
    differing: int = 0


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


class UsageInfo(BaseModel):
    """What answers took; None where it is not known."""

    requests: int | None = None
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    items_per_second: float | None = None
    cost: float | None = None


class UsedInfo(BaseModel):
    """What a stage records in which a model is asked."""

    usage: UsageInfo | None = None


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

    source: str
    slice: int
    question: int
    responses: list[int]
    label: str
    image: int
    """Place in `images`, or -1."""
    gain: float | None
    """Candidate's figure minus baseline's, positive where the candidate's is better; None if there is none."""
    figures: list[float | None]
    answers: list[list[Answer]]


class Items(NamedTuple):
    """The table of items: texts and images are kept once and named by their place."""

    kind: str
    sides: list[dict[str, Any]]
    slices: list[str]
    texts: list[str]
    images: list[str]
    no_image: str
    """Why an item may have no image."""
    left_out: str
    """What was left out to keep the page usable; empty where nothing was."""
    rows: list[Row]


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
    reliability: list[Reliability]
    splits: list[Split]
    sft: Curves
    dpo: list[Curves]
    not_recorded: list[str]
    scored: list[Scored]
    costs: list[Costs]
    records: list[tuple[str, dict[str, str]]]
    items: Items
