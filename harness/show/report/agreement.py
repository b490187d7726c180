"""Agreement of experts and label, as drawings and tables: where experts err together, what their margin is worth."""

from collections.abc import Sequence

from harness.show.report.infos import KeptPoint, MarginBin, TogetherInfo
from harness.show.report.model import Curve, Curves, Split

KNOWN, STAND_IN = "candidate", "baseline"
"""Two lines of a drawing differ as the two runs of a page do."""


def precision_drawn(split: Split) -> tuple[Curves, list[tuple[str, str]]] | None:
    """Draw what a threshold of the mean margin keeps against how good it is; None where nothing is recorded.

    Returns:
        The drawing, and role and name of its lines.
    """
    lines = [
        (KNOWN, "labels that are right", split.truth.precision_curve if split.truth else []),
        (STAND_IN, "a left-out expert that agrees", split.info.left_out_curve),
    ]
    return _drawn(
        "Precision of what is kept, by the share that is kept",
        "pairs kept, %",
        [(role, name, [(100 * p.share, 100 * _quality(p)) for p in points]) for role, name, points in lines],
    )


def _quality(point: KeptPoint) -> float:
    quality = point.agreement if point.precision is None else point.precision
    return float("nan") if quality is None else quality


def calibration_drawn(split: Split) -> tuple[Curves, list[tuple[str, str]]] | None:
    """Draw how often the experts confirm the label, by the size of their mean margin; likewise."""
    bins = calibration_bins(split)
    confirmed = [(row.margin, 100 * row.confirmed) for row in bins]
    right = [(row.margin, 100 * row.right) for row in bins if row.right is not None]
    return _drawn(
        "Labels confirmed, by the size of the margin",
        "mean margin, without its sign",
        [
            (KNOWN, "the experts prefer the right response", right),
            (STAND_IN, "the experts prefer the labelled response", confirmed),
        ],
    )


def calibration_bins(split: Split) -> list[MarginBin]:
    """Return the bins of the margin, with what is known of them."""
    return split.truth.calibration if split.truth else split.info.calibration


def _drawn(
    title: str, axis: str, lines: Sequence[tuple[str, str, Sequence[tuple[float, float]]]]
) -> tuple[Curves, list[tuple[str, str]]] | None:
    there = [(role, name, points) for role, name, points in lines if points]
    if not there:
        return None
    curves = [Curve(role, None, [x for x, _ in points], [y for _, y in points]) for role, _, points in there]
    ends = (f"{name}: {ys[0][1]:.1f} % to {ys[-1][1]:.1f} %" for _, name, ys in there)
    return Curves(title, curves, axis, "; ".join(ends) + "."), [(role, name) for role, name, _ in there]


def together_rows(split: Split) -> list[tuple[str, list[str]]]:
    """List of every two experts how they err together, against the label and, where it is known, against the truth."""
    known = split.truth.experts_together if split.truth else {}
    rows = []
    for pair, told in split.info.experts_together.items():
        both = [told, known[pair]] if pair in known else [told]
        cells = [cell for one in both for cell in (_number(one.phi), _number(one.kappa), _both(one))]
        rows.append((pair.replace("-", " and "), cells))
    return rows


def _both(one: TogetherInfo) -> str:
    return f"{100 * one.both_err:.1f} ({100 * one.both_err_apart:.1f})"


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f}"
