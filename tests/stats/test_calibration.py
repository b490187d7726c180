"""A small run of benchmarks/calibration.py: the intervals cover, the tests hold their level, the naive ones do not."""

import math

import pytest

from benchmarks.calibration import Graded, Row, Setting, calibrate, report, summary

SIMS = 400
FOUR_ERRORS = 4 * math.sqrt(0.05 * 0.95 / SIMS)


def row(rows: list[Row], figure: str, method: str) -> Row:
    return next(r for r in rows if (r.figure, r.method) == (figure, method))


def test_one_seed_covers_and_the_unclustered_t_does_not() -> None:
    rows = calibrate(Setting(items=1000, correlation=0.3, largest=12), SIMS)
    for figure in ("accuracy", "difference in accuracy", "macro", "difference in macro"):
        assert row(rows, figure, "interval").covered == pytest.approx(0.95, abs=FOUR_ERRORS)
    assert row(rows, "difference in accuracy", "p").rejected <= 0.05 + FOUR_ERRORS
    assert row(rows, "difference in accuracy", "beside: paired t").covered < 0.93
    assert "| n = 1000, accuracy 0.8, correlation 0.3, clusters of 1 to 12 | accuracy |" in report(rows)
    assert "Type I error" in summary(rows)[-1]


def test_three_seeds_that_vary_are_covered_and_a_t_over_items_is_not() -> None:
    rows = calibrate(Setting(items=600, seeds=3, seed_points=3.0), SIMS)
    assert row(rows, "difference in accuracy", "interval").covered == pytest.approx(0.95, abs=FOUR_ERRORS)
    assert row(rows, "difference in accuracy", "beside: paired t").covered < 0.75


def test_one_seed_of_a_recipe_that_varies_is_beyond_any_interval() -> None:
    rows = calibrate(Setting(items=600, seed_points=3.0), SIMS)
    assert row(rows, "difference in accuracy", "interval").covered < 0.85, "hence: these checkpoints, not the recipe"


def test_correlations_over_small_sources_are_covered() -> None:
    rows = calibrate(Graded(6, 20, 0.6), SIMS // 2)
    for figure in ("mean r over sources", "difference in mean r over sources"):
        assert row(rows, figure, "interval").covered >= 0.95 - 6 / 100
