"""What stages recorded in a run, as far as a page reads it."""

from pydantic import AliasChoices, BaseModel, Field


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
