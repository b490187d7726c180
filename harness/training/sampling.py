"""Judgments sampled on low-confidence pairs, in both orders: by default from the tuned judge."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

from harness.judge.format import PLAIN, JudgeFormat
from harness.protocols.reading import read_strict
from harness.settings import JudgeSettings, SamplingSettings
from harness.training.confidence import read_split
from harness.training.lines import read_lines, write_lines
from harness.training.rows import Presented, present
from harness.training.sources import PAIRS, judge_settings
from harness.training.stages import ENGINE, Artifact, Progress

SAMPLES = "samples.jsonl"
Key = tuple[str, bool]
"""A presentation: the pair's id, and whether its chosen answer comes second."""
Drawn = dict[Key, list[str]]


def sample_judgments(
    out: Path,
    tuned: Artifact,
    base: Artifact,
    pairs: Artifact,
    split: Artifact,
    judge: JudgeSettings,
    settings: SamplingSettings,
    *,
    seed: int,
    progress: Progress,
) -> dict[str, Any]:
    """Sample judgments of the low-confidence pairs that `sampling.choose` names.

    Writes one line a presentation: pair id, which answer is the chosen one, and the sampled texts. Answers are kept
    chunk by chunk in files of their own; after a crash only what is owed is asked.

    Args:
        out: gets the samples.
        tuned: the judge after supervised fine-tuning.
        base: the judge before it.
        pairs: where prompts and images come from.
        split: names the low side and the experts' margins.
        judge: how the models are loaded.
        settings: how many judgments, of which pairs, from whom.
        seed: of the draws.
        progress: told of every judgment.
    """
    from harness.engines.engine import open_engine
    from harness.engines.resumable import used

    sides = read_split(split)
    margins = {name: abs(sum(m)) for name, m in sides["margins"].items()}
    low = sorted(sides["low"], key=lambda name: (-margins[name], name))
    count = min(max(1, round(len(low) * settings.share)), settings.max_pairs or len(low)) if low else 0
    asked = low[:count] if settings.choose == "margin" else low
    drawn: Drawn = {}
    followed: list[bool] = []
    took: list[dict[str, Any]] = []
    progress.total(2 * len(asked) * (settings.samples + 2 * settings.hinted), "judgments")
    for name, source, samples in _judges(tuned, base, settings):
        with closing(open_engine(judge_settings(judge, source), settings, out / ENGINE)) as engine:
            sitting = Sitting(engine, out / name, pairs, settings, seed, progress)
            _add(drawn, sitting.ask("free", asked, samples))
            if source is tuned:
                for attempt in range(1, settings.attempts):
                    alike = {key for key in drawn if len(_verdicts(drawn[key])) < 2}
                    _add(drawn, sitting.ask(f"again-{attempt}", asked, settings.samples, only=alike))
                for better in (0, 1) if settings.hinted else ():
                    told = sitting.ask(f"hinted-{better + 1}", asked, settings.hinted, better)
                    wanted = ("first", "second")[better]
                    followed += [read_strict(text) == wanted for texts in told.values() for text in texts]
                    _add(drawn, {key: [t for t in texts if read_strict(t) == wanted] for key, texts in told.items()})
            took += sitting.lines
    kept = set(asked if settings.choose == "margin" else _most_telling(drawn, margins, settings.choose)[:count])
    lines: list[dict[str, Any]] = [
        {"id": name, "chosen_second": second, "texts": texts} for (name, second), texts in drawn.items() if name in kept
    ]
    write_lines(out / SAMPLES, lines)
    return {
        "pairs": len(kept),
        "judgments": sum(len(line["texts"]) for line in lines),
        **({"asked": len(asked)} if len(asked) > len(kept) else {}),
        **({"hints_followed": _share(followed)} if settings.hinted else {}),
        **used(took),
    }


def _share(each: list[bool]) -> float:
    return round(sum(each) / max(1, len(each)), 4)


def _judges(tuned: Artifact, base: Artifact, settings: SamplingSettings) -> Iterator[tuple[str, Artifact, int]]:
    """Name who is asked, and for how many judgments; two share them evenly."""
    shares = {"tuned": (settings.samples, 0), "base": (0, settings.samples)}
    shares["both"] = (settings.samples - settings.samples // 2, settings.samples // 2)
    for name, source, samples in zip(("tuned", "base"), (tuned, base), shares[settings.of], strict=True):
        if samples:
            yield name, source, samples


class Sitting:
    """One judge being asked: free, again, or with a verdict hinted."""

    def __init__(
        self, engine: Any, where: Path, pairs: Artifact, settings: SamplingSettings, seed: int, progress: Progress
    ) -> None:
        from harness.data.canonical import open_images

        self.lines: list[dict[str, Any]] = []
        self.engine, self.where, self.pairs = engine, where, pairs
        self.settings, self.seed, self.progress = settings, seed, progress
        self.format: JudgeFormat = engine.format or PLAIN
        self.image = open_images(pairs.path / PAIRS)
        where.mkdir(exist_ok=True)

    def ask(
        self,
        name: str,
        asked: Iterable[str],
        samples: int,
        hint: int | None = None,
        only: set[Key] | None = None,
    ) -> Drawn:
        """Draw judgments of pairs in both orders, those in `only` alone; `hint` is the answer said to be better."""
        from harness.data.images import opened
        from harness.engines.engine import Answer, Decoding, Question
        from harness.engines.resumable import read_answers, write_answers

        shown = present(self.pairs, self.format, asked)
        wanted = shown if only is None else [p for p in shown if (p.pair["id"], p.chosen_second) in only]

        def question(p: Presented) -> Question:
            prompt = p.prompt if hint is None else self.format.hinted(p.prompt, hint)
            return Question((opened(self.image(p.place)), prompt), "" if name == "free" else name)

        def record(p: Presented, answers: list[Answer]) -> dict[str, Any]:
            return {"id": p.pair["id"], "chosen_second": p.chosen_second, "texts": [a.text for a in answers]}

        settings, file = self.settings, self.where / f"{name}.jsonl"
        decoding = Decoding(settings.max_new_tokens, settings.temperature, settings.top_p, samples)
        advance = (lambda count: self.progress.advance(count * samples)) if only is None else (lambda count: None)
        write_answers(file, self.engine, wanted, question, record, decoding, self.seed, advance)
        lines = read_answers(file)
        self.lines += lines
        return {(line["id"], line["chosen_second"]): line["texts"] for line in lines}


def _add(drawn: Drawn, more: Mapping[Key, list[str]]) -> None:
    for key, texts in more.items():
        drawn[key] = drawn.get(key, []) + texts


def _verdicts(texts: Iterable[str]) -> set[str]:
    """Return the distinct verdicts that can be read in judgments."""
    return {reading for text in texts if (reading := read_strict(text)) in ("first", "second")}


def _most_telling(drawn: Drawn, margins: Mapping[str, float], choose: str) -> list[str]:
    """Order pairs by how evenly their samples are divided; with `both`, by the sum of that rank and the margin's."""
    votes: dict[str, list[bool]] = {}
    for (name, chosen_second), texts in drawn.items():
        readings = [reading for text in texts if (reading := read_strict(text)) in ("first", "second")]
        votes.setdefault(name, []).extend((reading == "second") == chosen_second for reading in readings)
    even = {name: 1 - abs(2 * sum(said) / len(said) - 1) if said else 0.0 for name, said in votes.items()}
    by_votes = sorted(even, key=lambda name: (-even[name], -margins[name], name))
    if choose == "disagreement":
        return by_votes
    by_margin = sorted(even, key=lambda name: (-margins[name], name))
    places = {name: place for place, name in enumerate(by_margin)}
    ranks = {name: place + places[name] for place, name in enumerate(by_votes)}
    return sorted(ranks, key=lambda name: (ranks[name], name))


def read_samples(samples: Artifact) -> list[dict[str, Any]]:
    """Read the sampled judgments, a record per presentation."""
    return read_lines(samples.path / SAMPLES)
