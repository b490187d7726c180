import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import false_discovery_control
from statsmodels.stats.multitest import multipletests

from harness.stats.multiplicity import benjamini_hochberg, holm

families = st.lists(st.floats(0, 1), min_size=1, max_size=12)


# statsmodels collects all garbage of the process in each call, which may take a second
@settings(max_examples=20)
@given(families)
def test_holm_is_statsmodels(p_values: list[float]) -> None:
    assert holm(p_values) == pytest.approx(list(multipletests(p_values, method="holm")[1]), abs=1e-9)


@given(families)
def test_benjamini_hochberg_is_scipys(p_values: list[float]) -> None:
    assert benjamini_hochberg(p_values) == pytest.approx(list(false_discovery_control(p_values)), abs=1e-9)


def test_what_is_not_estimable_counts_for_nothing_in_a_family() -> None:
    for correction in (holm, benjamini_hochberg):
        first, second, third = correction([0.01, math.nan, 0.04])
        assert (first, third) == pytest.approx(tuple(correction([0.01, 0.04])))
        assert math.isnan(second)
