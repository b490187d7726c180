import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from statsmodels.stats.multitest import multipletests

from harness.stats.multiplicity import benjamini_hochberg, holm


@given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
def test_corrections_are_statsmodels(p_values: list[float]) -> None:
    for ours, name in ((holm, "holm"), (benjamini_hochberg, "fdr_bh")):
        assert ours(p_values) == pytest.approx(list(multipletests(p_values, method=name)[1]), abs=1e-9)


def test_what_is_not_estimable_counts_for_nothing_in_a_family() -> None:
    for correction in (holm, benjamini_hochberg):
        first, second, third = correction([0.01, math.nan, 0.04])
        assert (first, third) == pytest.approx(tuple(correction([0.01, 0.04])))
        assert math.isnan(second)
