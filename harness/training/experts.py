"""Experts: textual reward models that read caption and question, and score a response."""

import random
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from harness.data.canonical import row_count, write_rows
from harness.data.preferences import stream_pairs
from harness.errors import HarnessError
from harness.settings import ExpertSettings
from harness.training.sources import PAIRS
from harness.training.stages import ENGINE, Artifact, Progress

Row = dict[str, Any]
Text = tuple[str, str, str]
"""Caption, question and response."""
SCORES = "scores.parquet"
PAIRS_AT_A_TIME = 4096
"""Pairs whose texts are in memory at once; the longest go into batches with their like."""


class Words:
    """How a caption, a question and a response become the tokens that an expert reads.

    Of a text that is too long the end of the caption is cut, which says less with every word; question
    and response are never cut, since a score of half a response is a score of another one.
    """

    def __init__(self, name: str, tokenizer: Any, settings: ExpertSettings, reach: int | None = None) -> None:
        if not tokenizer.chat_template:
            fix = "Name a reward model that brings one: a response is scored as the assistant's turn."
            raise HarnessError(f"expert {name!r} has no chat template.", fix)
        self.name, self.tokenizer, self.prompt = name, tokenizer, settings.prompt
        self.reach = reach
        self.most = min(settings.max_length, reach or settings.max_length)
        self.cut = self.longer = 0

    def ids(self, caption: str, question: str, response: str) -> list[int]:
        """Tokenise one user turn (caption, question) and one assistant turn (response).

        Raises:
            HarnessError: if question and response alone are longer than the expert can read.
        """
        ids = self._ids(caption, question, response)
        if len(ids) <= self.most:
            return ids
        ends = [0, *(word.end() for word in re.finditer(r"\S+", caption))]
        low, high = 0, len(ends) - 1
        while high - low > 1:
            middle = (low + high) // 2
            fits = len(self._ids(caption[: ends[middle]], question, response)) <= self.most
            low, high = (middle, high) if fits else (low, middle)
        ids = self._ids(caption[: ends[low]], question, response)
        self.cut += 1
        self.longer += len(ids) > self.most
        if self.reach and len(ids) > self.reach:
            raise HarnessError(
                f"expert {self.name!r} reads {self.reach} tokens, and a question and its response alone are {len(ids)} "
                f"({question[:40]!r}).",
                "Leave that pair out, or name an expert that reads more.",
            )
        return ids

    def _ids(self, caption: str, question: str, response: str) -> list[int]:
        values = {"caption": caption, "question": question}
        # not str.format: the prompt may hold other braces
        asked = re.sub(r"\{(caption|question)\}", lambda field: values[field[1]], self.prompt)
        chat = [
            {"role": "user", "content": asked if caption else asked.strip()},
            {"role": "assistant", "content": response},
        ]
        text = self.tokenizer.apply_chat_template(chat, tokenize=False)
        # the template writes its own BOS; a second one would shift every score
        ids: list[int] = self.tokenizer(text, add_special_tokens=False).input_ids
        return ids


@contextmanager
def _loading(name: str) -> Iterator[None]:
    from harness.judge.checkpoints import loading

    try:
        with loading(name):
            yield
    except HarnessError as error:
        if "trust_remote_code" in str(error.__cause__):
            raise HarnessError(
                f"expert {name!r} wants code of its own to be run (trust_remote_code), which the harness never does.",
                "Name a reward model of a class that transformers has.",
            ) from error
        raise


class Expert:
    """One sequence-classification reward model with a single label."""

    def __init__(self, name: str, settings: ExpertSettings, work: Path) -> None:
        from transformers import AutoConfig, AutoTokenizer

        from harness.engines.engine import open_scorer
        from harness.judge.checkpoints import resolve, revised

        model, revision = revised(name)
        ref = resolve(model, revision)
        with _loading(model):
            # asked nothing, transformers would ask at the terminal whether to run a model's own code
            mine = {"revision": ref.revision, "trust_remote_code": False}
            config = AutoConfig.from_pretrained(ref.location, **mine).get_text_config()
            tokenizer = AutoTokenizer.from_pretrained(ref.location, **mine)
        self.words = Words(name, tokenizer, settings, getattr(config, "max_position_embeddings", None))
        self.scorer = open_scorer(name, settings, work)

    def score(self, texts: Sequence[Text], on_batch: Callable[[int], None]) -> list[float]:
        """Score (caption, question, response) triples; comparable only within one prompt."""
        return self.scorer.score([self.words.ids(*text) for text in texts], on_batch)

    def close(self) -> None:
        """Give back what its engine holds."""
        self.scorer.close()


def finite(scores: list[float], name: str, ids: Iterable[str]) -> list[float]:
    """Return an expert's scores, refusing one that is none.

    Raises:
        HarnessError: naming expert and pair; a NaN would count as disagreement, and nobody would know.
    """
    for score, pair in zip(scores, ids, strict=True):
        if not np.isfinite(score):
            raise HarnessError(
                f"expert {name!r} gives {score} to a response of pair {pair!r}.",
                "Compute in float32 (--set experts.precision=float32), or leave the expert or the pair out.",
            )
    return scores


def expert_scores(out: Path, pairs: Artifact, settings: ExpertSettings, *, progress: Progress) -> dict[str, Any]:
    """Let every expert score both responses of every pair from the caption.

    Writes one row a pair: id, and per expert the score of the chosen and of the rejected response, both 0 where the
    pair has no caption, so that no expert confirms it.
    Reports, on a sample of the pairs, how often the experts agree with the label, and how often they
    still do without the caption and with that of another image.
    """
    path = pairs.path / PAIRS
    count, controls = row_count(path), control_pairs(path, settings.controls)
    read = sum(row["caption"] is not None for row in stream_pairs(path, ["caption"]))
    per_expert = 2 * (read + len(controls.no_caption) + len(controls.other_caption)) * (1 + settings.subtract_blind)
    progress.total(per_expert * len(settings.models), "scores")
    experts = [_scored(out / ENGINE, name, path, count, controls, settings, progress) for name in settings.models]
    table = (
        {"id": row["id"], "chosen": [e.scores[i, 0] for e in experts], "rejected": [e.scores[i, 1] for e in experts]}
        for i, row in enumerate(stream_pairs(path, ["id"]))
    )
    write_rows(out / SCORES, table, {"id": "text", "chosen": "floats", "rejected": "floats"})
    info: dict[str, Any] = {"experts": len(experts), "pairs": count, "unread": count - read, "texts": per_expert}
    info |= {"captions_cut": [e.cut for e in experts], "still_too_long": [e.longer for e in experts]}
    if controls.places:
        shares = {name: [e.agreement[name] for e in experts] for name in experts[0].agreement}
        info["controls"] = {"pairs": len(controls.places), "of_other_caption": len(controls.other_caption), **shares}
    return info


def fingerprints(settings: ExpertSettings) -> list[str]:
    """Return what changes with the experts' weights, also where a folder of the same name is filled anew."""
    from harness.judge.checkpoints import resolve, revised

    here = settings.engine.name != "server"
    return [resolve(*revised(name)).fingerprint if here else name for name in settings.models]


expert_scores.also = lambda pairs, settings: fingerprints(settings)  # type: ignore[attr-defined]


class Controls(NamedTuple):
    """Pairs that the experts score again, with other captions than their own."""

    places: list[int]
    """Their places in the table."""
    no_caption: list[Row]
    other_caption: list[Row]
    """With the caption of another of them; fewer where all have the same one."""


def control_pairs(path: Path, size: int) -> Controls:
    """Draw `size` pairs by a fixed seed, and give each the caption of another, which differs from its own.

    Equal images have equal captions, so another caption is one of another image.
    """
    readable = [place for place, row in enumerate(stream_pairs(path, ["caption"])) if row["caption"] is not None]
    rng = random.Random("expert controls")
    drawn = sorted(rng.sample(readable, min(size, len(readable))))
    places = set(drawn)
    rows = [row for place, row in enumerate(stream_pairs(path)) if place in places] if drawn else []
    order = rng.sample(rows, len(rows))
    others = []
    for place, row in enumerate(order):
        following = (other["caption"] for other in (*order[place + 1 :], *order[:place]))
        caption = next((caption for caption in following if caption != row["caption"]), None)
        others += [{**row, "caption": caption}] if caption is not None else []
    return Controls(drawn, [{**row, "caption": ""} for row in rows], others)


class Scored(NamedTuple):
    """What one expert says of all pairs."""

    scores: NDArray[np.float64]
    """Of the chosen and of the rejected response, shape [pairs, 2]; 0 and 0 where there was no caption to read."""
    agreement: dict[str, float | None]
    """Share of the control pairs whose chosen response has the higher score, by the caption they are read with."""
    cut: int
    longer: int


def _scored(
    work: Path, name: str, path: Path, count: int, controls: Controls, settings: ExpertSettings, progress: Progress
) -> Scored:
    """Open one expert and let it score; it is closed before the next is opened."""
    with closing(Expert(name, settings, work)) as expert:
        scores, done, rows = np.zeros((count, 2)), 0, stream_pairs(path)
        while part := list(islice(rows, PAIRS_AT_A_TIME)):
            scores[done : done + len(part)] = _both(expert, name, part, settings, progress)
            done += len(part)
        others = {"no_caption": controls.no_caption, "other_caption": controls.other_caption}
        controlled = {control: _both(expert, name, part, settings, progress) for control, part in others.items()}
        if settings.teacher_taste:
            taste = _taste(stream_pairs(path, ["chosen", "rejected"]))
            weight = settings.teacher_taste * _spread(scores) / _spread(taste)
            scores += weight * taste
            controlled = {control: each + weight * _taste(others[control]) for control, each in controlled.items()}
        agreement = {"own_caption": _agreement(scores[controls.places])}
        agreement |= {control: _agreement(each) for control, each in controlled.items()}
        return Scored(scores, agreement, expert.words.cut, expert.words.longer)


def score_pairs(
    name: str, rows: Sequence[Row], settings: ExpertSettings, work: Path, progress: Progress
) -> NDArray[np.float64]:
    """Open an expert and let it score both responses of pairs that are in memory; shape [pairs, 2]."""
    with closing(Expert(name, settings, work)) as expert:
        scores = _both(expert, name, rows, settings, progress)
    if settings.teacher_taste:
        taste = _taste(rows)
        scores += settings.teacher_taste * _spread(scores) / _spread(taste) * taste
    return scores


def _both(
    expert: Expert, name: str, rows: Sequence[Row], settings: ExpertSettings, progress: Progress
) -> NDArray[np.float64]:
    """Score both responses of pairs that have a caption; shape [pairs, 2]."""
    scores, read = np.zeros((len(rows), 2)), [i for i, row in enumerate(rows) if row["caption"] is not None]
    captions = [[rows[i]["caption"] for i in read]]
    if settings.subtract_blind:
        captions.append([""] * len(read))
    for sign, given in zip((1, -1), captions, strict=False):
        pairs = [{**rows[i], "caption": caption} for i, caption in zip(read, given, strict=True)]
        texts = [(row["caption"], row["question"], row[side]) for row in pairs for side in ("chosen", "rejected")]
        drawn = expert.score(texts, progress.advance) if texts else []
        found = finite(drawn, name, (row["id"] for row in pairs for _ in range(2)))
        scores[read] += sign * np.array(found).reshape(-1, 2)
    return scores


def _taste(rows: Iterable[Row]) -> NDArray[np.float64]:
    """Say how much the embedded world's teacher likes the sound of both responses; shape [pairs, 2]."""
    from harness.embedded.teacher import surface

    return np.array([[surface(row["chosen"]), surface(row["rejected"])] for row in rows], float).reshape(-1, 2)


def _spread(scores: NDArray[np.float64]) -> float:
    """Return the root mean square of the margins; 1 where there are none."""
    return float(np.sqrt(((scores[:, 0] - scores[:, 1]) ** 2).mean())) or 1.0


def _agreement(scores: NDArray[np.float64]) -> float | None:
    return round(float((scores[:, 0] > scores[:, 1]).mean()), 4) if len(scores) else None


def read_scores(scores: Artifact) -> tuple[list[str], NDArray[np.float64], NDArray[np.float64]]:
    """Read expert scores: the pairs' ids, and of chosen and rejected responses, shape [pairs, experts]."""
    import pyarrow.parquet

    table = pyarrow.parquet.read_table(scores.path / SCORES)
    sides = (table.column(side).combine_chunks() for side in ("chosen", "rejected"))
    chosen, rejected = (side.flatten().to_numpy().reshape(len(table), -1) for side in sides)
    return table.column("id").to_pylist(), chosen, rejected
