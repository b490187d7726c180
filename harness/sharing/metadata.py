"""What the hub reads of an exported judge: the card's front matter with its model-index, and `.eval_results/`.

Every figure is counted by `harness.counting` and compared by `harness.comparing`; nothing is computed here.
"""

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

from harness.comparing.comparison import Comparison, compare
from harness.counting.metrics import HEADLINES, METRICS, primary
from harness.counting.results import TaskResult, load_result
from harness.errors import HarnessError, NotApplicableError
from harness.records import RunFolder
from harness.sharing.subject import Subject, on_the_hub, public
from harness.sheets.figures import SYNTHETIC

if TYPE_CHECKING:
    from huggingface_hub import EvalResultEntry, ModelCardData


class Figures(NamedTuple):
    """What one task of the run says."""

    whole: TaskResult
    """Over all seeds of the run."""
    alone: TaskResult
    """Of the exported checkpoint."""
    comparison: Comparison | None
    """Of the run with its baseline."""


def gather(subject: Subject, baseline: RunFolder | None) -> list[Figures]:
    """Count every task that the run asked, and compare it with the baseline.

    Raises:
        HarnessError: if the run is unfinished, has no figure, or cannot be compared with that baseline.
    """
    found = []
    for task in subject.run.tasks:
        try:
            whole = load_result(subject.folder, task.task)
        except NotApplicableError:
            continue
        alone = replace(whole, tallies={subject.seed: whole.tallies[subject.seed]})
        compared = None
        if baseline:
            compared = compare(load_result(baseline, whole.task.task), whole, other_prompts=True)
            # runs of one name are told apart by their folders, which are nobody else's to know
            compared = replace(compared, names=(public(compared.names[0]), public(compared.names[1])))
        found.append(Figures(whole, alone, compared))
    if not found:
        raise HarnessError(f"{subject.run.name} has no answers to any task.", "Ask it one: harness run.")
    return found


def front_matter(subject: Subject, figures: Sequence[Figures], title: str, licence: str | None) -> "ModelCardData":
    """Make what the hub reads: kind of model, base, data, licence, and the model-index with the figures."""
    from huggingface_hub import EvalResult, ModelCardData

    results = []
    for one in figures:
        task = one.alone.task
        hub, revision = hub_data(one.alone)
        where = SYNTHETIC if task.synthetic else f"{task.items} of {task.data_items} items"
        for metric in (METRICS[one.alone.kind][key] for key in HEADLINES[one.alone.kind]):
            estimate = one.alone.estimate(metric)
            if math.isnan(estimate.value):
                continue
            about: dict[str, Any] = {"protocol": one.alone.protocol.spec, "seed": subject.seed, "items": task.items}
            if not math.isnan(estimate.low):
                about["confidence_interval_95"] = [round(float(end), 4) for end in (estimate.low, estimate.high)]
            results.append(
                EvalResult(
                    task_type="image-text-to-text",
                    dataset_type=hub or f"{'synthetic-' if task.synthetic else ''}{task.task}",
                    dataset_name=f"{task.task} ({where})",
                    dataset_revision=revision,
                    metric_type=metric.name,
                    metric_name=metric.heading,
                    metric_value=round(float(estimate.value), 4),
                    metric_args=about,
                )
            )
    adapter = subject.kept_adapter
    base = (subject.base or subject.config.get("judge") or {}).get("model", "")
    tags = ["reward-model", "judge", "vision-language", "preference", "vlrm-harness", str(subject.config.get("recipe"))]
    if any(one.whole.task.synthetic for one in figures) or all_embedded(subject):
        tags.append("synthetic")
    return ModelCardData(
        model_name=title,
        eval_results=results or None,
        base_model=base if on_the_hub(base) else None,
        base_model_relation="adapter" if adapter else "finetune" if on_the_hub(base) else None,
        datasets=[hub for hub in [training_hub(subject)] if hub] or None,
        library_name="peft" if adapter else "transformers",
        pipeline_tag=None if subject.rewards else "image-text-to-text",
        license=licence,
        tags=tags,
    )


def eval_results(subject: Subject, figures: Sequence[Figures]) -> dict[str, "list[EvalResultEntry]"]:
    """Make the entries of `.eval_results/`, by file, for figures on a whole benchmark that the hub holds.

    Synthetic figures, part of a benchmark, and data from a file have none: they would stand among others'.
    """
    from huggingface_hub import EvalResultEntry

    found: dict[str, list[EvalResultEntry]] = {}
    for one in figures:
        task, (hub, revision) = one.alone.task, hub_data(one.alone)
        metric = primary(one.alone.kind)
        estimate = one.alone.estimate(metric)
        if hub is None or task.synthetic or task.items != task.data_items or math.isnan(estimate.value):
            continue
        scale = 100 if metric.percent else 1
        ends = [f"{scale * end:.1f}" if metric.percent else f"{end:.3f}" for end in (estimate.low, estimate.high)]
        interval = "" if math.isnan(estimate.low) else f", 95 % interval [{', '.join(ends)}]"
        told = f"{metric.heading}, protocol {one.alone.protocol.spec}, training seed {subject.seed}{interval}"
        found[f"{task.task}.yaml"] = [
            EvalResultEntry(
                dataset_id=hub,
                # the one task of a benchmark that names none
                task_id="default",
                value=round(scale * float(estimate.value), 4),
                dataset_revision=revision,
                date=subject.run.finished,
                notes=told,
            )
        ]
    return found


def hub_data(result: TaskResult) -> tuple[str | None, str | None]:
    """Name the data set on the hub that a task was asked on, and its revision; None where it was no hub's."""
    asked = str((result.run.config.get("data") or {}).get(result.task.task, ""))
    if asked != "hub" and not asked.startswith("hub:"):
        return None, None
    name, _, revision = result.task.data.partition("@")
    return (name, revision or None) if on_the_hub(name) else (None, None)


def all_embedded(subject: Subject) -> bool:
    """Tell whether judge and training pairs are the harness's own."""
    base = str((subject.config.get("judge") or {}).get("model", ""))
    return base.startswith("embedded:") and subject.config.get("preferences") == "embedded"


def training_hub(subject: Subject) -> str | None:
    """Name the data set on the hub that it was trained on; None where it was no hub's."""
    config = subject.config
    name = (config.get("source") or {}).get("hub") or ""
    if str(config.get("preferences", "")).startswith("hub:"):
        name = str(config["preferences"]).removeprefix("hub:").partition("@")[0]
    return name if on_the_hub(name) else None
