"""What each stage will report and compute, told from its inputs: real ones where they are there, else foretold ones.

A stage that is not known here, such as a recipe's own, has nothing foretold; it is listed all the same.
"""

from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

from harness.data.canonical import row_count
from harness.data.tables import read_rows
from harness.judge.checkpoints import revised
from harness.planning.assumptions import Assumed, assumptions
from harness.planning.load import Load, place_of
from harness.training.updates import updates_for


class Foretold(NamedTuple):
    """What a stage will report, as far as it matters to later ones, and what it will compute."""

    info: dict[str, Any]
    loads: tuple[Load, ...] = ()


def foretell(stage: str, arguments: Mapping[str, Any]) -> Foretold:
    """Foretell a stage.

    Args:
        stage: the name of its function.
        arguments: by name; artifacts have what they reported, or will.
    """
    if (known := FORECASTS.get(stage)) is None:
        return Foretold({})
    try:
        return known(SimpleNamespace(**arguments), assumptions().assumed)
    except KeyError:
        # an input comes from a recipe's own stage, of which nothing is foretold
        return Foretold({})


@cache
def expected_pairs(preferences: str, world_pairs: int | None = None) -> int:
    """Tell how many preference pairs a source has: the world's, a file's rows, or what is published of a data set."""
    if preferences == "embedded":
        return world_pairs or 0
    path = Path(preferences)
    if path.suffix == ".parquet" and path.is_file():
        return row_count(path)
    if path.is_file():
        return sum(1 for _ in read_rows(path))
    known = assumptions().assumed.pairs
    name = preferences.removeprefix("hub:").partition("@")[0].partition("=")[0]
    return known.get(name, known["unknown"])


def _embedded_preferences(given: Any, assumed: Assumed) -> Foretold:
    world = given.world
    return Foretold({"pairs": world.pairs, "captions": round(world.pairs * world.captioned)})


def _pairs_as_before(given: Any, assumed: Assumed) -> Foretold:
    return Foretold({"pairs": given.pairs.info["pairs"]})


def _caption(given: Any, assumed: Assumed) -> Foretold:
    pairs, settings = given.pairs.info["pairs"], given.settings
    bare = 0 if settings.missing == "leave" else pairs - given.pairs.info.get("captions", 0)
    info = {"pairs": pairs, "captioned": bare}
    return Foretold(info, described(settings, given.judge, bare, assumed) if bare else ())


def described(settings: Any, judge: Any, images: int, assumed: Assumed) -> tuple[Load, ...]:
    """Tell what it takes a judge to caption so many images; nothing where a server does."""
    if (place := place_of(settings)) is None:
        return ()
    return (
        Load(
            "write", judge.model, judge.revision, settings.precision, images, assumed.asked,
            settings.max_new_tokens, settings.max_new_tokens, settings.batch_size, judge=judge, place=place,
            section="captions",
        ),
    )  # fmt: skip


def _expert_scores(given: Any, assumed: Assumed) -> Foretold:
    pairs = given.pairs.info["pairs"]
    texts = 2 * pairs * (1 + given.settings.subtract_blind)
    return Foretold({"pairs": pairs}, read_by_experts(given.settings, texts, assumed))


def read_by_experts(settings: Any, texts: int, assumed: Assumed) -> tuple[Load, ...]:
    """Tell what it takes the experts to read so many texts; nothing where a server does."""
    if (place := place_of(settings)) is None:
        return ()
    return tuple(
        Load(
            "score", *revised(name), settings.precision, texts, assumed.expert,
            0, 0, settings.batch_size, longest=min(settings.max_length, 2 * assumed.expert), sees=False,
            place=place, section="experts",
        )
        for name in settings.models
    )  # fmt: skip


def _split(given: Any, assumed: Assumed) -> Foretold:
    pairs = given.pairs.info["pairs"]
    return Foretold({"pairs": pairs, "kept": round(pairs * assumed.confirmed)})


def _every_pair(given: Any, assumed: Assumed) -> Foretold:
    return Foretold({"pairs": given.pairs.info["pairs"], "kept": 0})


def _random_subset(given: Any, assumed: Assumed) -> Foretold:
    return Foretold({"pairs": given.like.info["kept"], "kept": given.like.info["kept"]})


def _without_contaminated(given: Any, assumed: Assumed) -> Foretold:
    return Foretold({"pairs": given.pairs.info["pairs"] - len(given.ids)})


def _high(given: Any) -> int:
    split = given.split
    return int(given.pairs.info["pairs"] if split is None else split.info.get("kept", split.info.get("pairs")))


def _sft(given: Any, assumed: Assumed) -> Foretold:
    settings, rows = given.settings, 2 * _high(given)
    updates = settings.updates or updates_for(rows, settings)
    if settings.tokens:
        updates = max(1, round(settings.tokens / _tokens(given, assumed)))
    load = _trained(given, assumed, updates, sequences=1)
    return Foretold({"rows": rows, "updates": updates, "tokens": updates * _tokens(given, assumed)}, (load,))


def _tokens(given: Any, assumed: Assumed) -> int:
    """Count the tokens of an update, as far as they are known without an image."""
    return int(given.settings.batch_size * (assumed.question + assumed.judgment))


def _explain(given: Any, assumed: Assumed) -> Foretold:
    settings, pairs = given.settings, _high(given)
    info = {"presentations": 2 * pairs}
    if (place := place_of(settings)) is None:
        return Foretold(info)
    load = Load(
        "write", given.judge.model, given.judge.revision, settings.precision, 4 * pairs, assumed.question,
        min(assumed.judgment, settings.max_new_tokens), settings.max_new_tokens, settings.batch_size, judge=given.judge,
        place=place,
    )  # fmt: skip
    return Foretold(info, (load,))


def _imitate(given: Any, assumed: Assumed) -> Foretold:
    rows = given.judgments.info["judgments"]
    if not rows:
        return Foretold({"rows": 0, "updates": 0, "tokens": 0})
    updates = updates_for(rows, given.settings)
    info = {"rows": rows, "updates": updates, "tokens": updates * _tokens(given, assumed)}
    return Foretold(info, (_trained(given, assumed, updates, sequences=1),))


def _dpo(given: Any, assumed: Assumed) -> Foretold:
    rows = given.contrasts.info["pairs"]
    if not rows:
        return Foretold({"rows": 0, "updates": 0, "tokens": 0})
    updates = updates_for(rows, given.settings)
    info = {"rows": rows, "updates": updates, "tokens": 2 * updates * _tokens(given, assumed)}
    return Foretold(info, (_trained(given, assumed, updates, sequences=2),))


def _reward(given: Any, assumed: Assumed) -> Foretold:
    rows = given.pairs.info["pairs"]
    updates = updates_for(rows, given.settings)
    return Foretold({"rows": rows, "updates": updates}, (_trained(given, assumed, updates, sequences=2),))


def _trained(given: Any, assumed: Assumed, updates: int, sequences: int) -> Load:
    settings = given.settings
    return Load(
        "train", given.judge.model, given.judge.revision, settings.precision, updates * settings.batch_size,
        assumed.question, assumed.judgment, assumed.judgment, min(settings.micro_batch_size, settings.batch_size),
        longest=settings.max_tokens, judge=given.judge, sequences=sequences,
        checkpointing=settings.gradient_checkpointing,
    )  # fmt: skip


def _sample_judgments(given: Any, assumed: Assumed) -> Foretold:
    settings, split = given.settings, given.split.info
    low = given.pairs.info["pairs"] - split["kept"]
    pairs = min(max(1, round(low * settings.share)), settings.max_pairs or low) if low else 0
    each = settings.samples + 2 * settings.hinted
    answers = 2 * each * (pairs if settings.choose == "margin" else low)
    info, place = {"pairs": pairs, "judgments": 2 * each * pairs}, place_of(settings)
    if place is None or not answers:
        return Foretold(info)
    load = Load(
        "write", given.judge.model, given.judge.revision, settings.precision, answers, assumed.question,
        min(assumed.judgment, settings.max_new_tokens), settings.max_new_tokens,
        max(settings.batch_size, settings.samples), draws=settings.samples, judge=given.judge, place=place,
    )  # fmt: skip
    return Foretold(info, (load,))


def _score_judgments(given: Any, assumed: Assumed) -> Foretold:
    judgments = given.samples.info["judgments"]
    reads = judgments and given.scores and given.settings.weights.get("caption_support")
    loads = read_by_experts(given.experts, judgments, assumed) if reads else ()
    return Foretold({"judgments": judgments}, loads)


def _best_judgments(given: Any, assumed: Assumed) -> Foretold:
    return Foretold({"judgments": round(given.scored.info["judgments"] * assumed.contrasts)})


def _sample_negatives(given: Any, assumed: Assumed) -> Foretold:
    return Foretold({"pairs": round(given.scored.info["judgments"] * assumed.contrasts)})


FORECASTS: dict[str, Callable[[Any, Assumed], Foretold]] = {
    "embedded_preferences": _embedded_preferences,
    "true_preferences": _pairs_as_before,
    "majority_preferences": _pairs_as_before,
    "without_captions": _pairs_as_before,
    "every_pair": _every_pair,
    "random_subset": _random_subset,
    "without_contaminated": _without_contaminated,
    "caption": _caption,
    "expert_scores": _expert_scores,
    "split_by_confidence": _split,
    "sft": _sft,
    "sample_judgments": _sample_judgments,
    "score_judgments": _score_judgments,
    "sample_negatives": _sample_negatives,
    "best_judgments": _best_judgments,
    "explain": _explain,
    "imitate": _imitate,
    "dpo": _dpo,
    "reward": _reward,
}
"""By the name of a stage's function."""
