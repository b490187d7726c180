"""What a gate asks of a candidate beyond what every verb checks: that it is no copy, and that it hides nothing.

A candidate is a fresh run, so that what older records lack may be asked of it. Judgments that were made elsewhere say
so, and are let through only where somebody means them.
"""

import os

from harness.comparing.apart import doubled_answers, same_answers
from harness.comparing.comparison import Comparison
from harness.counting.results import TaskResult
from harness.errors import DataError, HarnessError
from harness.records.acceptance import HISTORY, history
from harness.registry import baselines_root

MOST_LEFT_OUT = 0.01
"""Share of the items, or answers, that a candidate may leave out more than the baseline, where that is not wrong.
Nothing of what is left out can be told from what was not wanted; a hundredth moves a share by a point at most."""


def refuse_untrusted(comparison: Comparison, same: bool, imported: bool) -> None:
    """Refuse a candidate on whose files no verdict can rest.

    Args:
        comparison: of the two runs.
        same: whether the two may have given the same answers.
        imported: whether the candidate's judgments may have been made elsewhere.

    Raises:
        HarnessError: saying why, and what says that it is meant.
    """
    if not same:
        _refuse_copies(comparison)
    base, cand = comparison.baseline, comparison.candidate
    if _imported(cand) and not _imported(base) and not imported:
        raise HarnessError(
            f"{cand.folder.name} holds judgments that were made elsewhere, in orders that nobody here drew.",
            "If that is meant, say --imported.",
        )
    if _kept(base) and not history(base.folder.path):
        path = base.folder.path
        raise DataError(
            f"{path} has no {HISTORY}: it stands among the baselines, and nothing says that it was accepted.",
            "Restore that file, or accept a run anew: harness baseline accept RUN --reason WHY.",
        )
    # what was accepted may be older than what is asked of a candidate now
    if not _imported(cand) and not (_kept(cand) and history(cand.folder.path)):
        _refuse_gaps(cand)


def _kept(side: TaskResult) -> bool:
    """Tell whether a run is named where baselines are kept; a link that leads there is somebody's own."""
    # as it is written: `Path.resolve` would follow the link
    return os.path.abspath(side.folder.path.parent) == os.path.abspath(baselines_root())  # noqa: PTH100


def _imported(side: TaskResult) -> bool:
    return "judgments" in side.run.config


def _refuse_copies(comparison: Comparison) -> None:
    """Refuse a candidate whose answers are the baseline's, or of which two seeds have the same."""
    base, cand = comparison.baseline, comparison.candidate
    if comparison.same_run:
        raise HarnessError(
            f"{' and '.join(comparison.names)} are the same run, which always passes against itself.",
            "Name the candidate's run; --same lets it pass.",
        )
    fix = "If that is meant, as where the same training was done twice, say --same."
    if seeds := same_answers(base, cand):
        told = f"under seed {seeds[1]} {cand.folder.name} gave every question the answer of {base.folder.name}"
        raise HarnessError(f"{told} under seed {seeds[0]}, word for word.", fix)
    if twice := doubled_answers(cand):
        told = f"under seeds {twice[0]} and {twice[1]} {cand.folder.name} gave every question the same answer"
        if not comparison.trained:
            # without training a seed changes nothing, and what is asked twice is no second judge
            fix = f"It was not trained, and one seed is all of it: run it with --seeds {twice[0]}, or say --same."
        raise HarnessError(f"{told}, word for word.", fix)


def _refuse_gaps(cand: TaskResult) -> None:
    """Refuse a run whose record lacks what this harness writes."""
    path, fix = cand.folder.path, "Judge again: an older harness wrote it, or somebody edited it."
    if set(cand.task.prompts) != {str(seed) for seed in cand.tallies}:
        raise DataError(f"{path / 'run.json'}: the prompt of a seed is missing.", fix)
    if cand.unshown:
        told = f"{cand.unshown} judgments do not say what was shown"
        raise DataError(f"{cand.folder.judgments_path(cand.task.task)}: {told}.", fix)


def left_out(comparison: Comparison) -> float:
    """Give the share of the shared items that the candidate leaves out more than the baseline; at least 0.

    Of grades and orders, of which those that can be read are counted, it is that of the answers if that is more.
    """
    ledger = comparison.ledger
    items = (ledger.candidate_left_out - ledger.baseline_left_out) / max(1, ledger.shared)
    graded = comparison.candidate.kind in ("score", "batch")
    answers = ledger.candidate_unparsed - ledger.baseline_unparsed if graded else 0.0
    return max(0.0, items, answers)
