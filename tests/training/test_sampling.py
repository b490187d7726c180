"""Sampling with the embedded base judge, whose judgments are half a coin toss: contrasts abound."""

import json
from collections import Counter
from pathlib import Path

import pytest

from harness.judge.format import EMBEDDED
from harness.protocols.reading import read_strict
from harness.settings import JudgeSettings, SamplingSettings, WorldSettings
from harness.training.sampling import read_samples, sample_judgments
from harness.training.sources import embedded_preferences
from harness.training.stages import Artifact, Silent

JUDGE = JudgeSettings()


@pytest.fixture(scope="module")
def given(tmp_path_factory) -> tuple[Artifact, Artifact, Artifact]:
    """A judge, sixteen pairs, and a split with all of them on the low side, the first with the largest margin."""
    root = tmp_path_factory.mktemp("given")
    for name in ("judge", "pairs", "split"):
        (root / name).mkdir()
    (root / "judge/model.json").write_text(json.dumps({"model": "embedded:judge", "revision": None}))
    embedded_preferences(root / "pairs", WorldSettings(pairs=16), progress=Silent())
    names = [f"pair-{i:05d}" for i in range(16)]
    margins = {name: [-(16.0 - i)] for i, name in enumerate(names)}
    (root / "split/split.json").write_text(json.dumps({"high": [], "low": names, "margins": margins}))
    judge, pairs, split = (Artifact(name, name, root / name) for name in ("judge", "pairs", "split"))
    return judge, pairs, split


def sampled(out: Path, given, **changed):
    judge, pairs, split = given
    settings = SamplingSettings(**{"samples": 4, "precision": "float32", "share": 1.0, **changed})
    out.mkdir()
    info = sample_judgments(out, judge, judge, pairs, split, JUDGE, settings, seed=0, progress=Silent())
    return info, read_samples(Artifact("s", "s", out))


def verdicts(record) -> set[str]:
    return {reading for text in record["texts"] if (reading := read_strict(text)) in ("first", "second")}


def test_the_largest_margins_are_sampled_in_both_orders(given, tmp_path: Path) -> None:
    info, records = sampled(tmp_path / "a", given, share=0.25)
    assert [(r["id"], r["chosen_second"]) for r in records] == [
        (f"pair-{i:05d}", order) for i in range(4) for order in (False, True)
    ]
    # a request draws all answers to one question
    assert info.pop("usage")["requests"] == 8
    assert info == {"pairs": 4, "judgments": 32}
    assert all(len(r["texts"]) == 4 for r in records)


def test_by_disagreement_the_most_divided_pairs_of_all_are_kept(given, tmp_path: Path) -> None:
    everything = sampled(tmp_path / "all", given)[1]
    votes: dict[str, list[bool]] = {}
    for r in everything:
        said = [read_strict(text) for text in r["texts"]]
        votes.setdefault(r["id"], []).extend((v == "second") == r["chosen_second"] for v in said if v != "unparsed")
    even = {name: 1 - abs(2 * sum(v) / len(v) - 1) if v else 0 for name, v in votes.items()}
    info, records = sampled(tmp_path / "some", given, share=0.25, choose="disagreement")
    kept = {r["id"] for r in records}
    assert info["asked"] == 16
    assert len(kept) == 4
    assert min(even[name] for name in kept) >= sorted(even.values())[-4]
    assert records == [r for r in everything if r["id"] in kept]


def test_who_gave_one_verdict_is_asked_again(given, tmp_path: Path) -> None:
    once = sampled(tmp_path / "once", given)[1]
    thrice = sampled(tmp_path / "thrice", given, attempts=3)[1]
    alike = [i for i, record in enumerate(once) if len(verdicts(record)) < 2]
    assert alike
    for i, (before, after) in enumerate(zip(once, thrice, strict=True)):
        assert after["texts"][:4] == before["texts"]
        assert (len(after["texts"]) > 4) == (i in alike)
    assert sum(len(verdicts(r)) == 2 for r in thrice) > sum(len(verdicts(r)) == 2 for r in once)


def test_hinted_judgments_that_came_to_another_verdict_are_dropped(given, tmp_path: Path) -> None:
    info, records = sampled(tmp_path / "hinted", given, hinted=3)
    further = Counter(read_strict(text) for record in records for text in record["texts"][4:])
    assert set(further) <= {"first", "second"}
    assert info["hints_followed"] == pytest.approx(sum(further.values()) / (16 * 2 * 3 * 2), abs=1e-4)
    assert EMBEDDED.hinted("which is better?", 1) == "which is better? overall judgment: answer 2 is better."


def test_two_judges_share_the_samples(given, tmp_path: Path) -> None:
    records = sampled(tmp_path / "both", given, of="both", samples=5)[1]
    assert all(len(record["texts"]) == 5 for record in records)
    base = sampled(tmp_path / "base", given, of="base", samples=5)[1]
    assert [r["texts"][3:] for r in records] == [r["texts"][:2] for r in base]
