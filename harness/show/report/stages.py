"""What a run's stages recorded: the confidence split, training curves, scores of sampled judgments, and costs."""

from collections import defaultdict
from collections.abc import Sequence
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from harness.errors import DataError
from harness.records.run import StageRecord
from harness.show.report.infos import (
    ExpertsInfo,
    ScoredInfo,
    ScorerInfo,
    SplitInfo,
    TrainingInfo,
    TruthInfo,
    UsageInfo,
    UsedInfo,
)
from harness.show.report.model import Cost, Curve, Curves, Scored, Side, Split

Info = TypeVar("Info", bound=BaseModel)


def _infos(side: Side, name: str, kind: type[Info]) -> list[tuple[StageRecord, Info]]:
    """Read what the stages called `name` recorded.

    Raises:
        DataError: naming run, stage, field and value.
    """
    found = []
    for stage in side.result.run.stages:
        if stage.stage == name:
            try:
                found.append((stage, kind.model_validate(stage.info)))
            except ValidationError as error:
                first = error.errors()[0]
                field = ".".join(map(str, first["loc"]))
                raise DataError(
                    f"run {side.result.run.name}, stage {name!r}, field {field!r}: {first['msg']} "
                    f"(got {str(first['input'])[:60]!r}).",
                    "The record was edited, or another stage has this name.",
                ) from None
    return found


def splits_of(side: Side) -> list[Split]:
    """Read the confidence splits of a run's recipe."""
    config = side.result.run.config
    experts = [str(name) for name in (config.get("experts") or {}).get("models", [])]
    rule = str((config.get("confidence") or {}).get("rule", ""))
    scored = next((info for _, info in _infos(side, "expert-scores", ExpertsInfo)), ExpertsInfo())
    truth = next((info for _, info in _infos(side, "filter-accuracy", TruthInfo)), None)
    return [
        Split(side.role, side.name, rule, experts or list(info.agreement), info, scored, truth)
        for _, info in _infos(side, "split-by-confidence", SplitInfo)
    ]


PAIRED = {"loss": "loss", "margins": "reward margin", "accuracies": "reward accuracy"}
"""What a training on pairs records of its course, in words."""


def trainings(sides: Sequence[Side]) -> tuple[Curves, list[Curves], list[str]]:
    """Collect the curves of supervised training and of those on pairs, and say which are not recorded."""
    sft, missing = list[Curve](), []
    paired: dict[str, dict[str, list[Curve]]] = {stage: {name: [] for name in PAIRED} for stage in ("dpo", "reward")}
    for side in sides:
        for stage in ("sft", *paired):
            trainings = _infos(side, stage, TrainingInfo)
            for record, info in trainings:
                if info.curve is None:
                    continue
                if stage == "sft":
                    sft.append(Curve(side.role, record.seed, info.curve.step, info.curve.loss))
                else:
                    for name, curves in paired[stage].items():
                        curves.append(Curve(side.role, record.seed, info.curve.step, getattr(info.curve, name)))
            unknown = [info for _, info in trainings if info.curve is None]
            if unknown:
                ends = ", ".join(f"{info.loss:.4g}" for info in unknown if info.loss is not None)
                last = f"; last losses {ends}" if ends else ""
                missing.append(f"{side.name}: the course of {stage.upper()} is not recorded by this run{last}.")
    drawn = [
        Curves(f"{'DPO' if stage == 'dpo' else 'Reward head'}: {PAIRED[name]}", curves, smooth=True)
        for stage, of_stage in paired.items()
        for name, curves in of_stage.items()
        if any(curve.values for curve in curves)
    ]
    return Curves("SFT: loss", sft, smooth=True), drawn, missing


def scores_of(side: Side) -> Scored | None:
    """Add up the scores of a run's sampled judgments over its seeds; None where none were sampled."""
    infos = [info for _, info in _infos(side, "score-judgments", ScoredInfo)]
    if not infos:
        return None
    judgments = sum(info.judgments for info in infos)
    counts = {
        name: [
            sum(column) for column in zip(*(info.scores[name] for info in infos if name in info.scores), strict=True)
        ]
        for name in dict.fromkeys(name for info in infos for name in info.scores)
    }
    means = {
        name: sum(info.judgments * info.mean.get(name, 0) for info in infos) / max(1, judgments)
        for name in dict.fromkeys(name for info in infos for name in info.mean)
    }
    return Scored(side.role, side.name, judgments, counts, means, _right(side))


TOLD = {
    "label": "the label",
    "samples": "a sampled judgment",
    "majority": "the verdict of most samples",
    "best": "the best-scored judgment",
    "chosen": "the chosen one of two verdicts",
}
"""In words, the shares of `scorer-accuracy`."""


def _right(side: Side) -> list[tuple[str, float]]:
    """Return how often scorer, samples and label are right on the sampled pairs, in the mean over seeds."""
    infos = [info for _, info in _infos(side, "scorer-accuracy", ScorerInfo)]
    shares = {name: [share for info in infos if (share := getattr(info, name)) is not None] for name in TOLD}
    return [(TOLD[name], sum(found) / len(found)) for name, found in shares.items() if found]


def usage_told(side: Side) -> list[str]:
    """Say what the answers of each stage took, over its seeds; nothing of a stage that asks nothing, or is older."""
    told = []
    for name in dict.fromkeys(stage.stage for stage in side.result.run.stages):
        infos = [info.usage for _, info in _infos(side, name, UsedInfo) if info.usage]
        sums = {field: [getattr(info, field) for info in infos] for field in UsageInfo.model_fields}
        known = {field: sum(values) for field, values in sums.items() if values and None not in values}
        parts = [
            f"{known[field]:,} {words}"
            for field, words in (
                ("requests", "requests"),
                ("prompt_tokens", "tokens read"),
                ("completion_tokens", "tokens written"),
            )
            if field in known
        ]
        if "items_per_second" in known:
            parts.append(f"{known['items_per_second'] / len(infos):.3g} items a second")
        parts += [f"cost {known['cost']:.4g}"] if "cost" in known else []
        told += [f"{name}: {', '.join(parts)}."] if parts else []
    return told


def costs_of(stages: Sequence[StageRecord]) -> list[Cost]:
    """Add up what each stage cost, in the order they ran."""
    grouped: dict[str, list[StageRecord]] = defaultdict(list)
    for stage in stages:
        grouped[stage.stage].append(stage)
    return [
        Cost(
            name,
            len(group),
            sum(stage.cached for stage in group),
            sum(stage.seconds for stage in group),
            max(stage.peak_mb for stage in group),
        )
        for name, group in grouped.items()
    ]
