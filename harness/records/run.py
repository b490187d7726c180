"""A run: one recipe (or one given model) under one profile, over seeds and tasks."""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from harness.records.item import Kind

Status = Literal["unfinished", "complete"]
READ = (
    "confidence",
    "data",
    "experts",
    "fingerprints",
    "judge",
    "judging",
    "model_args",
    "protocols",
    "published",
    "source",
    "world",
)
"""Sections of a configuration that are looked into when a record is read."""


class TaskRecord(BaseModel):
    """What one task of a run asked, on which data, and how."""

    model_config = ConfigDict(extra="forbid")

    task: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", max_length=100)
    kind: Kind
    protocol: str
    protocol_version: int
    reader: str
    """The reader of its answers, by name."""
    data: str
    """Where the data came from: `embedded`, a file's name, or a hub name with its revision."""
    release: str = ""
    """The published release that the data are by their counts, or that they are none; empty where none is known.

    Always empty for synthetic data, which have a release's counts on purpose; records made before said its name.
    """
    data_fingerprint: str
    """Hash over every item of the data set, labels and images included, before `--limit`."""
    data_items: int
    """Items in the data set before `--limit`."""
    data_slices: dict[str, int]
    """Items per slice in the data set, in the order they are printed."""
    items: int
    """Items asked."""
    slices: list[str]
    """The slices of the items asked, in the order they are printed."""
    synthetic: bool
    not_applicable: str | None = None
    """Why this judge cannot be asked this task, if so; then there are no judgments."""
    prompts: dict[str, str] = Field(default_factory=dict)
    """Per seed, the hash of the prompt that the judge was asked with."""

    @model_validator(mode="after")
    def _no_release_is_synthetic(self) -> "TaskRecord":
        if self.synthetic:
            self.release = ""
        return self


class StageRecord(BaseModel):
    """One stage of training or judging: what it cost and whether it came from the cache."""

    model_config = ConfigDict(extra="forbid")

    stage: str
    seed: int | None
    key: str
    cached: bool
    seconds: float
    """Wall seconds when it was computed, also if this run took it from the cache."""
    peak_mb: float
    """Peak resident memory of the process by the end of the stage, in MiB."""
    info: dict[str, Any]
    """What the stage has to report, such as the kept share of a split."""


class Run(BaseModel):
    """The record of a run; with the items and judgments beside it, everything can be recomputed."""

    model_config = ConfigDict(extra="forbid")

    version: Literal[1] = 1
    name: str
    status: Status
    config: dict[str, Any]
    """The resolved configuration; never a secret."""
    tasks: list[TaskRecord] = Field(default_factory=list)
    checkpoints: dict[str, str] = Field(default_factory=dict)
    """Per seed, the fingerprint of the judged model."""
    stages: list[StageRecord] = Field(default_factory=list)
    packages: dict[str, str]
    revision: str | None
    """Git revision of the harness, with `+dirty` where the tree had changes."""
    hardware: dict[str, str | int | float]
    arithmetic: dict[str, str | int] = Field(default_factory=dict)
    """What else bears on computed bits: threads, kernels, and the precision of float32 products."""
    started: str
    finished: str | None = None

    @field_validator("config")
    @classmethod
    def _has_the_shape_that_is_read(cls, config: dict[str, Any]) -> dict[str, Any]:
        experts = config.get("experts")
        lists = {"seeds": config.get("seeds"), "tasks": config.get("tasks")}
        lists |= {"experts.models": experts.get("models")} if isinstance(experts, dict) else {}
        sections = {name: config.get(name) for name in READ}
        names = {name: config.get(name) for name in ("recipe", "model", "profile")}
        for kind, what, found in ((list, "a list", lists), (dict, "a mapping", sections), (str, "a text", names)):
            for name, value in found.items():
                if value is not None and not isinstance(value, kind):
                    raise ValueError(f"{name}: {str(value)[:60]!r} is not {what}")
        return config
