"""Scores of sampled judgments: several dimensions, each in [0, 1], and their weighted mean.

CAREVL scores sampled judgments "on several dimensions"; which ones is our choice, and
`recipes/carevl/README.md` says what each is worth. Register another one:

    from harness.training.scoring import dimension

    @dimension("brevity")
    def brevity(judgment, context):
        return 1.0 if len(judgment.rationale.split()) <= 20 else 0.0

in a module that your recipe imports, and give it a weight: `--set scoring.weights.brevity=0.5`.
"""

import inspect
import math
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from harness.data.preferences import stream_pairs
from harness.errors import HarnessError, unknown
from harness.protocols.reading import read_strict
from harness.protocols.stating import logistic
from harness.settings import ExpertSettings, JudgeSettings, ScoringSettings
from harness.training.confidence import read_split
from harness.training.experts import Expert, fingerprints, finite, read_scores
from harness.training.lines import write_lines
from harness.training.rows import checkpoint_format
from harness.training.sampling import read_samples
from harness.training.sources import PAIRS, judge_settings
from harness.training.stages import ENGINE, Artifact, Progress, code_hash
from harness.training.truth import read_truth


@dataclass(frozen=True)
class Sampled:
    """One sampled judgment of one presentation."""

    text: str
    rationale: str
    for_chosen: bool | None
    """Whether its verdict is for the labelled response; None if it has no readable verdict."""


@dataclass(frozen=True)
class Context:
    """What the dimensions may know about the presentation a judgment belongs to."""

    pair: dict[str, Any]
    margin: float
    """The experts' mean normalised margin, positive for the labelled response."""
    same_order: list[Sampled]
    other_order: list[Sampled]
    support: dict[str, float]
    """Per rationale, the experts' mean score above the midpoint of both responses, normalised."""
    label_right: bool | None = None
    """Whether the label is right; only the dimension `truth` may ask, in a recipe that is told (`headroom`)."""


BINS = 20
"""Bins of [0, 1] in which the record counts scores, by the verdict of the judgment."""

SILENT = 0.5
"""Mean margin below which experts count as silent, in their own spread."""
WORDS = 60
"""Words of a rationale that cost nothing."""

Dimension = Callable[[Sampled, Context], float]
DIMENSIONS: dict[str, Dimension] = {}


def dimension(name: str) -> Callable[[Dimension], Dimension]:
    """Register a dimension under `name`, so that `scoring.weights` may name it."""

    def register(function: Dimension) -> Dimension:
        DIMENSIONS[name] = function
        return function

    return register


def share_for(judgments: list[Sampled], for_chosen: bool) -> float:
    """Return the share of judgments with this verdict; those without one count as half."""
    votes = [0.5 if j.for_chosen is None else float(j.for_chosen == for_chosen) for j in judgments]
    return sum(votes) / len(votes) if votes else 0.5


@dimension("valid_format")
def valid_format(judgment: Sampled, context: Context) -> float:
    """Score 1 for a readable verdict after a rationale."""
    return float(judgment.for_chosen is not None and bool(judgment.rationale))


@dimension("expert_verdict")
def expert_verdict(judgment: Sampled, context: Context) -> float:
    """Score how strongly the experts' mean margin backs the verdict: 0.5 where they are even."""
    if judgment.for_chosen is None:
        return 0.0
    return logistic(3 * (context.margin if judgment.for_chosen else -context.margin))


@dimension("self_consistency")
def self_consistency(judgment: Sampled, context: Context) -> float:
    """Score the share of this presentation's samples with the same verdict."""
    return 0.0 if judgment.for_chosen is None else share_for(context.same_order, judgment.for_chosen)


@dimension("order_consistency")
def order_consistency(judgment: Sampled, context: Context) -> float:
    """Score the share of the other order's samples that prefer the same response."""
    return 0.0 if judgment.for_chosen is None else share_for(context.other_order, judgment.for_chosen)


@dimension("caption_support")
def caption_support(judgment: Sampled, context: Context) -> float:
    """Score how well the caption supports the rationale, as the experts read it."""
    return logistic(context.support.get(judgment.rationale, -30.0)) if judgment.rationale else 0.0


@dimension("label_verdict")
def label_verdict(judgment: Sampled, context: Context) -> float:
    """Score 1 for the verdict of the label itself: on the low side a voice like others, and not always wrong."""
    return float(judgment.for_chosen is True)


@dimension("expert_or_majority")
def expert_or_majority(judgment: Sampled, context: Context) -> float:
    """Score as the experts do where their mean margin is at least `SILENT`, else by the majority of all samples."""
    if judgment.for_chosen is None:
        return 0.0
    if abs(context.margin) >= SILENT:
        return expert_verdict(judgment, context)
    return share_for([*context.same_order, *context.other_order], judgment.for_chosen)


@dimension("concise")
def concise(judgment: Sampled, context: Context) -> float:
    """Score 1 up to `WORDS` words of rationale, and less for each further one."""
    return min(1.0, WORDS / max(1, len(judgment.rationale.split())))


@dimension("truth")
def truth(judgment: Sampled, context: Context) -> float:
    """Score the right verdict 1 and the wrong one 0: what no judge can know, for the headroom of the rest."""
    if context.label_right is None:
        raise AssertionError("scoring by the truth where nobody told it")
    return float(judgment.for_chosen is not None and judgment.for_chosen == context.label_right)


def find_dimensions(weights: dict[str, float]) -> list[tuple[str, Dimension, float]]:
    """Look up the weighted dimensions, leaving out those of weight 0."""
    for name in weights:
        if name not in DIMENSIONS:
            raise unknown("scoring dimension", name, DIMENSIONS)
    if min(weights.values(), default=0) < 0 or not any(weights.values()):
        raise HarnessError(f"scoring.weights {weights} has a negative weight, or none above 0.", "Set one above 0.")
    return [(name, DIMENSIONS[name], weight) for name, weight in weights.items() if weight]


def combined(values: Sequence[float], weights: Sequence[float], how: str) -> float:
    """Combine dimensions into one score in [0, 1]: their weighted mean, or the weighted sum of their log-odds.

    The second is the posterior of independent voices (naive Bayes), each as sure as it says; 0.02 and 0.98 are the
    surest that one is taken for.
    """
    if how == "mean":
        return sum(weight * value for weight, value in zip(weights, values, strict=True)) / sum(weights)
    kept = [min(0.98, max(0.02, value)) for value in values]
    return logistic(sum(weight * math.log(value / (1 - value)) for weight, value in zip(weights, kept, strict=True)))


def score_judgments(
    out: Path,
    samples: Artifact,
    tuned: Artifact,
    pairs: Artifact,
    scores: Artifact | None,
    split: Artifact,
    judge: JudgeSettings,
    experts: ExpertSettings | None,
    settings: ScoringSettings,
    truth: Artifact | None = None,
    *,
    progress: Progress,
) -> dict[str, Any]:
    """Score every sampled judgment.

    Writes one line a presentation: the sampled texts with their scores, their verdicts and the
    value of each dimension. Without `scores` no expert is asked, and captions support nothing. `truth`
    is what the embedded world knows of its labels; no recipe that competes is told.
    """
    wanted = find_dimensions(settings.weights)
    right = read_truth(truth) if truth else {}
    format_ = checkpoint_format(judge_settings(judge, tuned).model)
    presentations = read_samples(samples)
    sampled = {p["id"] for p in presentations}
    by_id = {row["id"]: row for row in stream_pairs(pairs.path / PAIRS) if row["id"] in sampled}
    margins = {name: float(np.mean(v)) for name, v in read_split(split)["margins"].items() if name in sampled}
    judged: dict[tuple[str, bool], list[Sampled]] = {
        (p["id"], p["chosen_second"]): [_sampled(text, p["chosen_second"], format_) for text in p["texts"]]
        for p in presentations
    }
    reads = any(name == "caption_support" for name, _, _ in wanted)
    support = _support(out, judged, by_id, scores, experts, progress) if reads and scores and experts else {}
    lines, means = [], dict.fromkeys((name for name, _, _ in wanted), 0.0)
    spread: dict[bool | None, list[float]] = {True: [], False: [], None: []}
    for (name, chosen_second), group in judged.items():
        context = Context(
            by_id[name],
            margins[name],
            group,
            judged.get((name, not chosen_second), []),
            support.get(name, {}),
            right.get(name),
        )
        scored = []
        for judgment in group:
            values = {key: function(judgment, context) for key, function, _ in wanted}
            score = combined(list(values.values()), [weight for _, _, weight in wanted], settings.combine)
            scored.append(
                {"text": judgment.text, "for_chosen": judgment.for_chosen, "score": round(score, 6)}
                | {"dimensions": {key: round(value, 4) for key, value in values.items()}}
            )
            spread[judgment.for_chosen].append(round(score, 6))
            for key, value in values.items():
                means[key] += value
        lines.append({"id": name, "chosen_second": chosen_second, "judgments": scored})
    write_lines(out / "scored.jsonl", lines)
    count = sum(len(group) for group in judged.values())
    return {
        "judgments": count,
        "mean": {key: round(value / max(1, count), 4) for key, value in means.items()},
        "scores": {
            name: np.histogram(spread[verdict], BINS, (0, 1))[0].tolist()
            for name, verdict in (("for the label", True), ("against it", False), ("unreadable", None))
        },
    }


def _beyond_the_inputs(*inputs: Any) -> list[str]:
    """Return hashes of the dimensions, with all that their modules import, and of the experts' weights."""
    experts = next((value for value in inputs if isinstance(value, ExpertSettings)), None)
    settings = next(value for value in inputs if isinstance(value, ScoringSettings))
    dimensions = [function for _, function, _ in find_dimensions(settings.weights)]
    files = sorted({Path(inspect.getfile(function)) for function in dimensions})
    sources = [inspect.getsource(function) for function in dimensions]
    return [*sources, code_hash(*files), *(fingerprints(experts) if experts else [])]


score_judgments.also = _beyond_the_inputs  # type: ignore[attr-defined]


def _sampled(text: str, chosen_second: bool, format_: Any) -> Sampled:
    reading = read_strict(text)
    for_chosen = None if reading not in ("first", "second") else (reading == "second") == chosen_second
    return Sampled(text, format_.rationale(text), for_chosen)


def _support(
    out: Path,
    judged: dict[tuple[str, bool], list[Sampled]],
    by_id: dict[str, dict[str, Any]],
    scores: Artifact,
    settings: ExpertSettings,
    progress: Progress,
) -> dict[str, dict[str, float]]:
    """Let the experts score every distinct rationale from the caption, relative to both responses."""
    ids, chosen, rejected = read_scores(scores)
    place_of = {name: place for place, name in enumerate(ids)}
    read = {name for name in by_id if by_id[name]["caption"] is not None}
    rationales = sorted(
        {(name, j.rationale) for (name, _), group in judged.items() if name in read for j in group if j.rationale}
    )
    texts = [(by_id[name]["caption"], by_id[name]["question"], text) for name, text in rationales]
    progress.total(len(texts) * len(settings.models), "scores")
    support: dict[str, dict[str, float]] = {}
    for i, model in enumerate(settings.models):
        spread = math.sqrt(np.mean([margin**2 for margin in (chosen - rejected)[:, i].tolist()])) or 1.0
        with closing(Expert(model, settings, out / ENGINE)) as expert:
            given = finite(expert.score(texts, progress.advance), model, (name for name, _ in rationales))
        for (name, text), score in zip(rationales, given, strict=True):
            midpoint = float(chosen[place_of[name], i] + rejected[place_of[name], i]) / 2
            values = support.setdefault(name, {})
            values[text] = values.get(text, 0.0) + (score - midpoint) / spread / len(settings.models)
    return support
