import itertools
import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.data.images import image_hash
from harness.embedded import world
from harness.embedded.data import SLICE_SHARES, benchmark_rows, preference_rows, preference_truth
from harness.embedded.teacher import p_chosen, slip_chance
from harness.settings import WorldSettings


@given(st.integers(0, 10_000), st.sampled_from(world.KINDS))
def test_a_question_has_one_right_answer_and_only_wrong_ones_beside_it(seed: int, kind: str) -> None:
    rng = random.Random(seed)
    question = world.ask(world.draw_scene(rng), kind, rng)
    if question is not None:
        assert question.wrong
        assert question.right not in question.wrong


def test_splits_never_share_a_scene_under_any_seed() -> None:
    seen = {}
    for split, seed in itertools.product(world.SPLIT_SHARES, (0, 1)):
        source = world.scenes(random.Random(seed), split)
        for scene in itertools.islice(source, 300):
            assert seen.setdefault(scene, split) == split


def test_the_benchmark_has_the_slices_of_vl_rewardbench() -> None:
    rows = list(benchmark_rows(WorldSettings()))
    counts = {name: sum(row["category"] == name for row in rows) for name in SLICE_SHARES}
    assert counts == SLICE_SHARES
    assert len({row["id"] for row in rows}) == 1250
    right_first = np.mean([row["human_ranking"] == [0, 1] for row in rows])
    assert 0.45 < right_first < 0.55
    assert len({image_hash(row["image"]) for row in rows}) < 900


def test_a_world_is_its_seed() -> None:
    small = WorldSettings(pairs=30, items=30)
    other = small.model_copy(update={"seed": 1})
    assert list(preference_rows(small)) == list(preference_rows(small))
    assert list(benchmark_rows(small)) == list(benchmark_rows(small))
    assert {r["image"] for r in benchmark_rows(small)}.isdisjoint({r["image"] for r in benchmark_rows(other)})


def test_the_teacher_slips_by_how_answers_sound() -> None:
    settings = WorldSettings(pairs=1500)
    truth = preference_truth(settings)
    accuracy = np.mean([t.label_right for t in truth.values()])
    assert 0.66 < accuracy < 0.78
    hard = slip_chance("red.", "definitely, the circle is blue. i am certain.")
    easy = slip_chance("definitely, the circle is blue. i am certain.", "red.")
    assert hard > 0.5 > easy


def test_the_pairs_do_not_carry_the_truth() -> None:
    row = next(preference_rows(WorldSettings(pairs=1)))
    known = {"id", "image", "question", "chosen", "rejected", "caption", "rationale", "slice", "p_chosen"}
    assert set(row) == known
    assert row["p_chosen"] == p_chosen(row["chosen"], row["rejected"])


def test_the_teacher_is_right_as_often_as_it_says() -> None:
    settings = WorldSettings(pairs=4000)
    truth = preference_truth(settings)
    right: dict[float, list[bool]] = {}
    for row in preference_rows(settings):
        right.setdefault(row["p_chosen"], []).append(truth[row["id"]].label_right)
    assert sorted(right) == pytest.approx([0.59375, 0.8, 0.875])
    for said, found in right.items():
        assert np.mean(found) == pytest.approx(said, abs=3 * np.sqrt(said * (1 - said) / len(found)))


def test_captions_are_exact_without_noise_and_wrong_with_it() -> None:
    rng = random.Random(0)
    scenes = list(itertools.islice(world.scenes(rng, "dev"), 200))
    assert all(world.noisy_caption(s, rng, 0) == world.caption(s) for s in scenes)
    wrong = np.mean([world.noisy_caption(s, rng, 0.5) != world.caption(s) for s in scenes])
    assert wrong > 0.4


@pytest.mark.parametrize("style", world.STYLES)
def test_every_style_says_the_claim(style: str) -> None:
    claim = world.Claim("red.", "the circle is red.")
    assert "red" in world.say(claim, style)
