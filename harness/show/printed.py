"""What others printed of a published judge, to stand beside what was measured here."""

from collections.abc import Iterator

from harness.published_judges import PublishedJudge
from harness.registry import published_root
from harness.show.leaderboard import published


def beside(judge: PublishedJudge, task: str, synthetic: bool) -> Iterator[str]:
    """Say what was printed of a judge on a task, one line a row, and what to know when it is compared.

    Args:
        judge: whose figures they are.
        task: of the benchmark.
        synthetic: whether the items asked here are, so that no figure compares.
    """
    rows = [row for row in published(published_root(), task) if row.model == judge.printed]
    for row in rows:
        figures = ", ".join(f"{name} {figure}" for name, figure in row.figures.items())
        yield f"Printed by {row.run_by}: {figures} ({row.source})."
    if rows and judge.remark:
        yield judge.remark
    if rows and synthetic:
        yield "These items are synthetic: figures of the published benchmark are no measure for them."
