"""What a run's pairs pass through before anything is trained on them, so that no recipe need think of it."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from harness.config import RunConfig
from harness.evaluate.contamination import contamination, read_matches, without_contaminated
from harness.evaluate.tasks import open_benchmark
from harness.planning.walk import Planned
from harness.registry import load_task
from harness.training.stages import Artifact, Stages

Sieve = Callable[[Artifact], Artifact]


def sieve(run: Stages, config: RunConfig, benchmarks: Mapping[str, Artifact]) -> Sieve:
    """Return what the pairs of a run pass through before anything is trained on them.

    Where nothing is to be dropped, it hands back the very pairs it was given, so that no key changes.

    Args:
        run: what its stages are called through.
        config: says what is done about the pairs that are found.
        benchmarks: each task's data.
    """
    action = config.contamination.pairs if config.contamination else "off"

    def clean(pairs: Artifact) -> Artifact:
        if action == "off":
            return pairs
        found = run(contamination, pairs, list(benchmarks), list(benchmarks.values()))
        if action == "report" or not found.info.get("both"):
            return pairs
        return run(without_contaminated, pairs, sorted({match.pair for match in read_matches(run.opened(found))}))

    return clean


def foreseen(config: RunConfig, roots: Sequence[Path], cache: Path) -> Sieve:
    """Return the sieve of a run that is planned: a check that is not done yet is taken to find nothing."""
    aside = Planned(cache, config)
    return sieve(aside, config, {name: open_benchmark(aside, config, load_task(name, roots)) for name in config.tasks})
