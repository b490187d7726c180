import math

import numpy as np
import pytest

from harness.stats.intervals import paired
from harness.stats.mixture import Part
from harness.stats.power import Design, answers_share, chance_to_show, design_of, left_open
from tests.stats.test_intervals import added, alone


def test_more_items_and_seeds_lower_what_is_detectable_and_seeds_have_a_floor() -> None:
    design = Design(Part(1e-4, 300), (Part(1e-4, 2),))
    assert design.detectable(items=4) < design.detectable()
    assert design.detectable(seeds=4) < design.detectable(items=4)
    assert math.isinf(design.needed(0.01, "items")), "no number of items removes the seeds' part"
    enough = design.needed(0.03, "seeds")
    assert design.detectable(seeds=enough) == pytest.approx(0.03, rel=1e-3)


def test_the_detectable_difference_is_shown_four_times_in_five() -> None:
    design = Design(Part(1e-4, 500))
    assert chance_to_show(design.detectable(), design) == pytest.approx(0.8, abs=0.005)
    draw = np.random.default_rng(0)
    truth, shown = design.detectable(), 0
    b = draw.random((300, 501)) < 0.5
    scale = math.sqrt(1e-4 * 501)
    for k in range(300):
        d = truth + scale * draw.normal(size=501)
        (one, groups), (other, _) = added(b[k], alone(501)), added(b[k] + d, alone(501))
        shown += paired(one, other, groups).low > 0
    assert shown / 300 == pytest.approx(0.8, abs=0.07)


def test_the_answers_share_is_what_falls_with_repeats() -> None:
    repeats = [1, 2, 4, 8]
    assert answers_share([2 + 8 / k for k in repeats], repeats) == pytest.approx(1.0)
    assert answers_share([2.0, 2.1], [1, 2]) == 0
    assert answers_share([2.0], [1]) == 0


def test_no_error_no_design() -> None:
    one, groups = added(np.random.default_rng(6).random(20), alone(20))
    assert design_of(paired(one, one, groups)) is None


@pytest.mark.parametrize(("clusters", "heavy"), [(30, 0.0), (200, 0.0), (200, 0.5)])
def test_the_true_variance_lies_above_and_below_the_middle_alike_and_between_the_ends(
    clusters: int, heavy: float
) -> None:
    draw = np.random.default_rng(3)
    scales = np.exp(heavy * draw.normal(size=clusters))
    true = float((scales**2).sum())
    above, inside = 0, 0
    for _ in range(1000):
        squares = (scales * draw.normal(size=clusters)) ** 2
        middle, low, high = (times * squares.sum() for times in left_open(squares))
        above += true > middle
        inside += low < true < high
    assert above / 1000 == pytest.approx(0.5, abs=0.06)
    assert inside / 1000 == pytest.approx(0.8, abs=0.08)


def test_equal_squares_are_as_many_as_they_are() -> None:
    middle, low, high = left_open(np.full(101, 0.01))
    assert middle == pytest.approx(1.0067, abs=1e-3)
    assert low < 0.85
    assert high > 1.2
