"""Writes an exported judge: a whole model folder with its card, sealed as artifacts of the cache are."""

import shutil
from collections.abc import Sequence
from pathlib import Path

import yaml

from harness.comparing.apart import settings_apart
from harness.errors import HarnessError
from harness.judge.checkpoints import folder_fingerprint
from harness.records import RunFolder
from harness.records.store import unwritable
from harness.registry import described_recipe, find_recipes, list_baselines, list_runs
from harness.scratch import abandoned, part_of
from harness.sharing.card import write_card
from harness.sharing.metadata import eval_results, gather
from harness.sharing.subject import Subject
from harness.training.keeping import DamagedError, check_whole, report_of, seal
from harness.training.stages import Clock

LEFT_OUT = ("info.json", "log.json", "training_args.bin")
"""Files of a checkpoint that are about its stage and not about the judge."""
KIND = "exported"
"""The key of what an export reports, by which it is known again."""


def refuse_foreign(out: Path) -> None:
    """Refuse a folder that holds anything but an earlier export, as it was written.

    Raises:
        HarnessError: saying what stands there.
    """
    if out.exists() and not out.is_dir():
        raise HarnessError(f"{out} is a file.", "Name another folder.")
    if not out.is_dir() or not any(out.iterdir()):
        return
    try:
        if KIND not in report_of(out)["info"]:
            raise HarnessError(f"{out} holds something else than an exported judge.", "Name another folder.")
        check_whole(out)
    except DamagedError as why:
        told = f"was changed since it was exported ({why})" if str(why) else "is not empty and holds no exported judge"
        raise HarnessError(f"{out} {told}.", "Name another folder.") from None


def find_baseline(subject: Subject, roots: Sequence[Path]) -> RunFolder | None:
    """Find the newest run of the recipe's baseline with the same settings, seeds and code; None if there is none.

    It is the one that `harness run` trains beside a run.
    """
    name = str(subject.config.get("recipe"))
    baseline = described_recipe(name, roots)[1] if name in find_recipes(roots) else None
    for path in [*list_runs(), *list_baselines()] if baseline else []:
        try:
            other = RunFolder(path).read_run()
        except HarnessError:
            continue
        if other.config.get("recipe") != baseline or other.status != "complete":
            continue
        if set(settings_apart(other, subject.run)) <= {"recipe"}:
            return RunFolder(path)
    return None


def export(
    subject: Subject, out: Path, baseline: RunFolder | None, name: str, licence: str | None, roots: Sequence[Path]
) -> None:
    """Write the folder `out`, whole or not at all; an earlier export there is replaced.

    Args:
        subject: what is exported.
        out: the folder.
        baseline: what the run is compared with in the card.
        name: OWNER/NAME on the hub, or a dot.
        licence: the model's, as the hub names it.
        roots: content folders.

    Raises:
        HarnessError: if something else stands there, the run has no figures, or the files cannot be written.
    """
    from huggingface_hub import ModelCard, eval_result_entries_to_yaml

    refuse_foreign(out)
    clock = Clock()
    figures = gather(subject, baseline)
    card = write_card(subject, figures, name, licence, roots)
    # the hub's own reading of it, as far as that needs no network
    ModelCard(card)
    part = part_of(out)
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        for left in filter(abandoned, out.parent.glob(f"{out.name}.*.part")):
            shutil.rmtree(left)
        part.mkdir()
        _fill(subject, part)
        (part / "README.md").write_text(card, encoding="utf-8")
        for file, entries in eval_results(subject, figures).items():
            (part / ".eval_results").mkdir(exist_ok=True)
            told = yaml.safe_dump(eval_result_entries_to_yaml(entries), sort_keys=False, allow_unicode=True)
            (part / ".eval_results" / file).write_text(told, encoding="utf-8")
        about = {"run": subject.run.name, "seed": subject.seed, "judge": subject.fingerprint, "merged": subject.merged}
        seal(part, out, {**clock.read(), "info": {KIND: about}}, "folder")
    except OSError as error:
        raise unwritable(out, error, "folder") from error
    finally:
        shutil.rmtree(part, ignore_errors=True)


def _fill(subject: Subject, out: Path) -> None:
    """Write the judge itself: its files as they were judged, or merged into one model."""
    if subject.merged:
        _merge(subject, out)
        return
    for file in sorted(subject.checkpoint.iterdir()):
        if file.is_file() and file.name not in LEFT_OUT:
            shutil.copyfile(file, out / file.name)
    if folder_fingerprint(out) != subject.fingerprint:
        raise HarnessError(f"{subject.checkpoint} changed while it was copied.", "Export it again.")


def _merge(subject: Subject, out: Path) -> None:
    from harness.judge.loading import load_model, load_processor, save_merged
    from harness.settings import JudgeSettings

    settings = JudgeSettings(
        model=str(subject.checkpoint), max_pixels=(subject.config.get("judge") or {}).get("max_pixels")
    )
    if format_ := subject.rewards:
        # the head stays in float32, in which close rewards differ
        load_model(settings, "float32", heads=True).save_pretrained(out)
        load_processor(settings).save_pretrained(out)
        format_.save(out)
    else:
        save_merged(settings, out, subject.precision)
