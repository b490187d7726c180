"""Regimes change what captions and experts say, and nothing else of the world."""

import re
from pathlib import Path

import pytest

from harness.embedded import world
from harness.embedded.data import benchmark_rows, preference_rows
from harness.embedded.regimes import REGIMES
from harness.errors import HarnessError
from harness.registry import content_roots, load_recipe
from harness.resolve import resolve_config
from harness.settings import WorldSettings


def config(*assignments: str, **given: str):
    roots = content_roots()
    about = {"recipe": "carevl", "tasks": ["vlrewardbench"], **given}
    return resolve_config(about, assignments, roots, load_recipe("carevl", roots))


@pytest.mark.parametrize("regime", REGIMES)
def test_a_regime_sets_its_dials_in_the_record(regime: str) -> None:
    resolved = config(f"world.regime={regime}")
    for section, dials in REGIMES[regime].items():
        values = getattr(resolved, section)
        assert {name: getattr(values, name) for name in dials} == dials
    assert resolved.world.regime == regime


def test_a_dial_that_is_set_wins_over_its_regime() -> None:
    world_ = config("world.regime=thin-captions", "world.caption_sizes=0.25").world
    assert (world_.caption_sizes, world_.caption_places) == (0.25, 0.0)


def test_dials_of_the_embedded_world_are_refused_elsewhere(tmp_path: Path) -> None:
    with pytest.raises(HarnessError, match="no recipe that competes may know the truth"):
        config("scoring.weights.truth=1")
    pairs = tmp_path / "pairs.jsonl"
    pairs.write_text("{}")
    with pytest.raises(HarnessError, match=r"teacher_taste = 0\.5 on other pairs"):
        config("experts.teacher_taste=0.5", preferences=str(pairs))


def rows_of(regime: str):
    return list(preference_rows(WorldSettings(pairs=200, **REGIMES[regime].get("world", {}))))


def test_thin_captions_name_things_without_places_and_counts_and_change_nothing_else() -> None:
    plain, thin = rows_of("plain"), rows_of("thin-captions")
    assert [row | {"caption": None} for row in plain] == [row | {"caption": None} for row in thin]
    places = re.compile(r"\b(top|middle|bottom|object|objects)\b")
    assert all(places.search(row["caption"]) for row in plain)
    assert not any(places.search(row["caption"]) for row in thin)
    sizes = [len(re.findall(r"\b(small|large)\b", row["caption"])) for row in thin]
    things = [row["caption"].count(",") + 1 for row in thin]
    assert 0.4 < sum(sizes) / sum(things) < 0.6


def test_pairs_bring_a_caption_as_often_as_is_said() -> None:
    assert all(row["caption"] is None for row in rows_of("own-captions"))
    half = [row["caption"] for row in preference_rows(WorldSettings(pairs=400, captioned=0.5))]
    assert 0.4 < sum(caption is None for caption in half) / 400 < 0.6
    whole = [row["caption"] for row in rows_of("plain")]
    assert [c for c in half[:200] if c] == [c for c, h in zip(whole, half[:200], strict=True) if h]


def test_a_caption_in_full_says_what_the_world_says() -> None:
    import random

    rng = random.Random(0)
    scene = world.draw_scene(rng)
    assert world.told(scene, world.Telling(), rng) == world.caption(scene)


def test_the_benchmark_may_ask_more_where_captions_are_silent() -> None:
    rows = list(benchmark_rows(WorldSettings(items=100, reasoning_share=0.5)))
    assert sum(row["category"] == "reasoning" for row in rows) == 50
