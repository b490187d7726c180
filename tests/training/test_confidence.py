import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from harness.errors import HarnessError
from harness.training.agreement import told_in_full
from harness.training.confidence import find_rule, normalised_margins

margins = arrays(float, (20, 3), elements=st.integers(-50, 50).map(lambda tenths: tenths / 10))


@given(margins)
def test_unanimous_keeps_least(m) -> None:
    unanimous, majority = find_rule("unanimous")(m), find_rule("majority")(m)
    assert not (unanimous & ~majority).any()
    assert (unanimous == (m > 0).all(axis=1)).all()


@given(margins, st.floats(-2, 2))
def test_a_higher_margin_keeps_less(m, threshold: float) -> None:
    low, high = find_rule(f"margin:{threshold}")(m), find_rule(f"margin:{threshold + 1}")(m)
    assert not (high & ~low).any()


@given(margins, st.floats(0.5, 100))
def test_normalised_margins_forget_each_experts_unit(m, unit: float) -> None:
    zero = np.zeros_like(m)
    np.testing.assert_allclose(normalised_margins(m, zero), normalised_margins(m * unit, zero), rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("spec", ["unanimos", "margin:", "margin:x"])
def test_a_wrong_rule_is_one_line(spec: str) -> None:
    with pytest.raises(HarnessError):
        find_rule(spec)


def test_the_report_names_slices_and_correlations() -> None:
    m = np.array([[1.0, 1, -1], [1, 1, 1], [-1, -1, 1], [1, 1, -1]])
    report = told_in_full(m, find_rule("unanimous")(m), ["a", "a", "b", None])
    assert report["agreement"]["expert 0"] == 0.75
    assert report["by_slice"]["a"]["kept"] == 0.5
    assert report["experts_together"]["0-1"]["phi"] == 1
    assert report["experts_together"]["0-2"]["phi"] < 0
