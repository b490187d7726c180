import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from statsmodels.stats.contingency_tables import mcnemar as their_mcnemar

from harness.stats.mcnemar import mcnemar


@given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=60))
def test_mcnemar_is_statsmodels(answers: list[tuple[bool, bool]]) -> None:
    b, c = np.array(answers, float).T
    table = [[int(((b == x) & (c == y)).sum()) for y in (1, 0)] for x in (1, 0)]
    got = mcnemar(b, c)
    assert got.p == pytest.approx(their_mcnemar(table, exact=True).pvalue, abs=1e-9)
    assert (got.baseline_only, got.candidate_only) == (table[0][1], table[1][0])


def test_half_right_is_not_right_for_mcnemar() -> None:
    assert mcnemar(np.array([1, 0.5, np.nan]), np.array([0.5, 1, 1]))[:2] == (1, 1)
