"""What our checks cost beside bare TRL, how time and memory grow with rows, and what survives of a small change.

    .venv/bin/python benchmarks/training.py --write           (benchmarks/training.md, about 25 minutes on two cores)
    .venv/bin/python benchmarks/training.py --only steps      (one part: steps, rows or survival)

Steps: SFT and DPO of the embedded judge through our stage and through TRL's trainers as one would write them down, with
the same rows and settings, in turns in one process. Rows: the SFT stage alone in a process of its own. Survival: a
random language model learns with an adapter, then a little more at DPO's rate, and what that little changed in its
log-probabilities is compared between ways to keep and to judge it.
"""

import argparse
import copy
import itertools
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

from harness.data.preferences import stream_pairs, write_preferences
from harness.data.tables import Row
from harness.judge.checkpoints import resolve
from harness.judge.format import EMBEDDED, load_format
from harness.provenance import packages
from harness.settings import DpoSettings, JudgeSettings, SftSettings, TrainingSettings, WorldSettings
from harness.training import dpo, sft
from harness.training.sources import PAIRS
from harness.training.stages import Artifact, Silent

ROUNDS, UPDATES, WARM = 7, 12, 2
SIZES = (2_400, 24_000)
EPOCHS = 0.2


@dataclass(frozen=True)
class Setup:
    """What both ways train, and how."""

    judge: JudgeSettings
    sft: SftSettings
    dpo: DpoSettings
    updates: int


class Times(Silent):
    """Notes when each update ended."""

    def __init__(self) -> None:
        self.at: list[float] = []
        self.used: list[float] = []

    def advance(self, steps: int = 1) -> None:
        """Note the time of one update, and the processor's time so far."""
        if steps == 1:
            self.at.append(time.perf_counter())
            self.used.append(time.process_time())

    def median(self) -> tuple[float, float]:
        """Return the median seconds of an update, by the clock and of the processors, without the first few."""
        wall, cpu = (
            [after - before for before, after in itertools.pairwise(times)][WARM:] for times in (self.at, self.used)
        )
        return statistics.median(wall), statistics.median(cpu)


def write_world(root: Path, pairs: int) -> None:
    """Write pairs of the embedded world, and what goes with them."""
    from harness.embedded.data import preference_rows

    write_pairs(root, preference_rows(WorldSettings(pairs=pairs)), "embedded:judge")


def write_pairs(root: Path, rows: Iterable[Row], model: str) -> None:
    """Write pairs, a contrast for each order of each, and the name of the judge to start from."""
    for name in ("pairs", "contrasts", "start"):
        (root / name).mkdir(parents=True)
    write_preferences(root / "pairs" / PAIRS, rows, "embedded", Path())
    (root / "start/model.json").write_text(json.dumps({"model": model, "revision": None}))
    with (root / "contrasts/contrasts.jsonl").open("w") as file:
        for pair in stream_pairs(root / "pairs" / PAIRS):
            for second in (False, True):
                said = [EMBEDDED.judgment(pair["rationale"], int(second == right)) for right in (True, False)]
                contrast = {"id": pair["id"], "chosen_second": second, "chosen": said[0], "rejected": said[1]}
                file.write(json.dumps(contrast) + "\n")


def artifact(root: Path, name: str) -> Artifact:
    """Open one of the folders of `write_world`."""
    return Artifact(name, name, root / name)


def ours(kind: str, root: Path, out: Path, times: Times, setup: Setup) -> None:
    """Train through the stage."""
    start, pairs = artifact(root, "start"), artifact(root, "pairs")
    common: dict[str, Any] = {"training": TrainingSettings(), "seed": 0, "progress": times}
    if kind == "sft":
        settings = setup.sft.model_copy(update={"updates": setup.updates})
        sft.sft(out, start, pairs, None, setup.judge, settings, **common)
    else:
        epochs = setup.updates * setup.dpo.batch_size / _contrasts(root)
        shortened = setup.dpo.model_copy(update={"epochs": epochs})
        dpo.dpo(out, start, pairs, artifact(root, "contrasts"), setup.judge, shortened, **common)


def _contrasts(root: Path) -> int:
    return (root / "contrasts/contrasts.jsonl").read_text().count("\n")


def bare(kind: str, root: Path, out: Path, times: Times, setup: Setup) -> None:
    """Train with TRL as its documentation shows it, with the settings that ours hands over."""
    import datasets
    import torch
    from transformers import AutoModelForImageTextToText, AutoProcessor, TrainerCallback
    from trl import DPOConfig, DPOTrainer, SFTConfig, SFTTrainer

    from harness.training.trainers import peft_config

    class Note(TrainerCallback):  # type: ignore[misc]
        def on_step_end(self, *arguments: Any, **named: Any) -> None:
            times.advance()

    judge, settings = setup.judge, setup.sft if kind == "sft" else setup.dpo
    where = resolve(judge.model).location
    format_ = load_format(Path(where)) or EMBEDDED
    limit = {} if judge.max_pixels is None else {"max_pixels": judge.max_pixels}
    processor = AutoProcessor.from_pretrained(where, padding_side="left", **limit)
    table = datasets.Dataset.from_parquet(str(root / "pairs" / PAIRS), cache_dir=str(root / "arrow"))
    rows = []
    for place, pair in enumerate(table.remove_columns("image")):
        for second in (False, True):
            shown = (pair["chosen"], pair["rejected"])[:: -1 if second else 1]
            said = [EMBEDDED.judgment(pair["rationale"], int(second == right)) for right in (True, False)]
            answers = {"completion": said[0]} if kind == "sft" else {"chosen": said[0], "rejected": said[1]}
            asked = {"prompt": [{"role": "user", "content": format_.ask(pair["question"], *shown)}], "place": place}
            turns = {name: [{"role": "assistant", "content": text}] for name, text in answers.items()}
            rows.append({**asked, **turns})
    images = table.select_columns(["image"]).cast_column("image", datasets.Image())
    set_ = datasets.Dataset.from_list(rows).rename_column("place", "image")
    set_ = set_.with_transform(lambda batch: {**batch, "image": [images[i]["image"] for i in batch["image"]]})
    arguments = {
        "output_dir": str(out), "max_steps": setup.updates, "learning_rate": settings.learning_rate,
        "per_device_train_batch_size": settings.micro_batch_size, "adam_beta2": settings.adam_beta2,
        "gradient_accumulation_steps": settings.batch_size // settings.micro_batch_size,
        "lr_scheduler_type": "linear", "bf16": settings.precision == "bfloat16",
        "use_cpu": not torch.cuda.is_available(), "gradient_checkpointing": settings.gradient_checkpointing,
        "max_length": None, "seed": 0, "data_seed": 0, "logging_steps": 1, "save_strategy": "no", "report_to": "none",
        "disable_tqdm": True, "optim": "adamw_torch",
    }  # fmt: skip

    def loaded() -> Any:
        dtype = settings.precision if judge.lora else "float32"
        return AutoModelForImageTextToText.from_pretrained(where, dtype=dtype)

    its_own = {"train_dataset": set_, "processing_class": processor, "callbacks": [Note()]}
    its_own |= {"model": loaded(), "peft_config": peft_config(judge)}
    if kind == "sft":
        trainer = SFTTrainer(args=SFTConfig(**arguments), **its_own)
    else:
        losses = {"loss_type": ["sigmoid", "sft"], "loss_weights": [1.0, setup.dpo.sft_weight]}
        config = DPOConfig(beta=setup.dpo.beta, **losses, **arguments)
        trainer = DPOTrainer(ref_model=None if judge.lora else loaded(), args=config, **its_own)
    trainer.train()


Way = Callable[[str, Path, Path, Times, Setup], None]


def in_turns(
    kind: str, root: Path, rounds: int, setup: Setup, ways: Sequence[Way] = (ours, bare)
) -> list[list[tuple[float, float]]]:
    """Train both ways in turns; return of each its rounds' seconds an update, by the clock and of the processors."""
    taken: list[list[tuple[float, float]]] = [[] for _ in ways]
    for turn in range(rounds):
        for number in range(len(ways))[:: 1 if turn % 2 else -1]:
            times, out = Times(), root / f"{kind}-{number}-{turn}"
            out.mkdir()
            ways[number](kind, root, out, times, setup)
            taken[number].append(times.median())
    return taken


def steps() -> str:
    """Time updates through both, in turns."""
    lines = ["| update | seconds of | ours, ms | bare TRL, ms | ratio | smallest and largest ratio of a round |"]
    lines.append("| --- | --- | ---: | ---: | ---: | --- |")
    alike: dict[str, Any] = {"precision": "float32", "save_steps": 10_000}
    setup = Setup(JudgeSettings(), SftSettings(**alike), DpoSettings(**alike), UPDATES)
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        write_world(root, 400)
        for kind, rows in (("sft", 32), ("dpo", 16)):
            taken = in_turns(kind, root, ROUNDS, setup)
            for place, clock in enumerate(("the clock", "the processors")):
                mine, theirs = ([1000 * pair[place] for pair in pairs] for pairs in taken)
                ratios = sorted(one / other for one, other in zip(mine, theirs, strict=True))
                lines.append(
                    f"| {kind.upper()}, {rows} rows | {clock} | {statistics.median(mine):.0f} | "
                    f"{statistics.median(theirs):.0f} | {statistics.median(ratios):.3f} | {ratios[0]:.3f} to "
                    f"{ratios[-1]:.3f} |"
                )
    about = (
        f"## An update beside bare TRL\n\nThe embedded judge (1.2 M parameters), {ROUNDS} rounds in turns of {UPDATES} "
        f"updates, medians without the first {WARM} of each; the goal is a ratio of at most 1.05. Ours checks of every "
        "row that its image tokens and its verdict arrived.\n\n"
    )
    return about + "\n".join(lines) + "\n"


def train_rows(pairs: int) -> dict[str, float]:
    """Train on so many pairs in this process; return seconds and peak MiB."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        command = f"from benchmarks.training import *; write_world(Path({folder!r}), {pairs})"
        (root / "pairs").parent.mkdir(exist_ok=True)
        subprocess.run([sys.executable, "-c", command], check=True)
        (root / "out").mkdir()
        settings = SftSettings(precision="float32", epochs=EPOCHS, max_tokens=400, save_steps=10_000)
        times, started = Times(), time.perf_counter()
        info = sft.sft(
            root / "out", artifact(root, "start"), artifact(root, "pairs"), None, JudgeSettings(), settings,
            training=TrainingSettings(), seed=0, progress=times,
        )  # fmt: skip
        before = times.at[0] - started
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {"updates": info["updates"], "before": before, "whole": time.perf_counter() - started, "peak": peak}


def rows() -> str:
    """Train on few and on many pairs, each in a process of its own."""
    found = {}
    for pairs in SIZES:
        command = f"from benchmarks.training import *; print('\\n' + json.dumps(train_rows({pairs})))"
        done = subprocess.run([sys.executable, "-c", command], capture_output=True, text=True, check=True)
        found[pairs] = json.loads(done.stdout.strip().splitlines()[-1])
    few, many = found.values()
    lines = ["| pairs | rows | updates | first update ends after, s | whole stage, s | peak MiB |"]
    lines.append("| ---: | ---: | ---: | ---: | ---: | ---: |")
    for pairs, it in found.items():
        lines.append(
            f"| {pairs:,} | {2 * pairs:,} | {it['updates']:.0f} | {it['before']:.1f} | {it['whole']:.1f} | "
            f"{it['peak']:.0f} |"
        )
    each = [(it["whole"] - it["before"]) / (it["updates"] - 1) for it in found.values()]
    return (
        f"## Ten times the rows\n\nSFT of the embedded judge for {EPOCHS} epochs with `sft.max_tokens`, so that every "
        "row is measured. Peak memory is the process's.\n\n" + "\n".join(lines) + "\n\n"
        f"Seconds an update after the first: {each[0]:.3f} and {each[1]:.3f} ({each[1] / each[0]:.2f} x). "
        f"Memory: {many['peak'] / few['peak']:.2f} x.\n"
    )


def survival() -> str:
    """Compare ways to keep a small change of an adapter and to judge with it."""
    lines = ["| updates at 5e-6 | way | change kept in training text | in other text |", "| ---: | --- | ---: | ---: |"]
    for updates in (60, 200):
        for way, shares in _kept(updates).items():
            lines.append(f"| {updates} | {way} | {shares[0]:.0%} | {shares[1]:.0%} |")
    return (
        "## What survives of a change of DPO's size\n\nA random Qwen2 (hidden 768, 4 layers, weights in bfloat16's "
        "numbers) learns 100 updates at 1e-4 with an adapter of rank 32, then goes on at 5e-6 on other text, in "
        "float32. The share kept is the slope of what changed in its log-probabilities against what changed when all "
        "is float32. Checkpoints keep one adapter in float32 beside the base and train it on; before, each training "
        "was merged into bfloat16 weights and the next began a new adapter on them.\n\n" + "\n".join(lines) + "\n"
    )


def _kept(updates: int) -> dict[str, tuple[float, float]]:
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import Qwen2Config, Qwen2ForCausalLM

    torch.manual_seed(0)
    sizes = {"hidden_size": 768, "intermediate_size": 1536, "num_hidden_layers": 4, "num_attention_heads": 12}
    base = Qwen2ForCausalLM(Qwen2Config(vocab_size=2000, num_key_value_heads=6, tie_word_embeddings=False, **sizes))
    base.load_state_dict({name: tensor.bfloat16().float() for name, tensor in base.state_dict().items()})
    shape = LoraConfig(r=32, lora_alpha=64, target_modules=r".*_proj", task_type="CAUSAL_LM")

    def learn(model: Any, rate: float, count: int, text: Any) -> Any:
        optimiser = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=rate, weight_decay=0)
        for step in range(count):
            optimiser.param_groups[0]["lr"] = rate * (1 - step / count)
            batch = text[step % 8 * 4 : step % 8 * 4 + 4]
            model(batch, labels=batch).loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimiser.step()
            optimiser.zero_grad()
        return model.eval()

    def halved(model: Any) -> Any:
        model = copy.deepcopy(model)
        for name, parameter in model.named_parameters():
            if "lora_" not in name:
                parameter.data = parameter.data.bfloat16()
        return model

    def merged(model: Any) -> Any:
        return halved(copy.deepcopy(model).merge_and_unload())

    def said(model: Any, text: Any) -> Any:
        with torch.no_grad():
            return torch.log_softmax(model(text).logits.float(), -1)

    texts = torch.randint(0, 2000, (3, 32, 48))
    tuned = learn(get_peft_model(copy.deepcopy(base), shape), 1e-4, 100, texts[0])
    further = learn(copy.deepcopy(tuned), 5e-6, updates, texts[1])
    stored = merged(tuned)
    anew = learn(get_peft_model(copy.deepcopy(stored).float(), shape), 5e-6, updates, texts[1])
    kept: dict[str, list[float]] = {}
    for text in (texts[1, :6], texts[2, :6]):
        true = said(further, text) - said(tuned, text)
        true_anew = said(anew, text) - said(copy.deepcopy(stored).float(), text)
        for way, change, wanted in (
            ("one adapter beside its base, as ours, judged in float32", said(further, text) - said(tuned, text), true),
            ("one adapter beside its base, as ours, judged in bfloat16",
             said(halved(further), text) - said(halved(tuned), text), true),
            ("one adapter, merged in float32, then read in bfloat16",
             said(merged(further), text) - said(merged(tuned), text), true),
            ("as before: merged into bfloat16 after each training",
             said(merged(anew), text) - said(stored, text), true_anew),
        ):  # fmt: skip
            kept.setdefault(way, []).append(float((change * wanted).sum() / (wanted * wanted).sum()))
    return {way: (shares[0], shares[1]) for way, shares in kept.items()}


PARTS = {"steps": steps, "rows": rows, "survival": survival}


def main() -> None:
    """Measure, and print or write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", action="store_true", help="keep the tables in benchmarks/training.md")
    parser.add_argument("--only", choices=PARTS, help="measure one part")
    options = parser.parse_args()
    named = {name: version for name, version in packages().items() if name in ("torch", "transformers", "trl", "peft")}
    machine = f"{os.cpu_count()} cores ({platform.machine()}), Python {platform.python_version()}"
    versions = ", ".join(f"{name} {version}" for name, version in named.items())
    parts = [part() for name, part in PARTS.items() if options.only in (None, name)]
    text = "\n".join([f"# Training\n\n`benchmarks/training.py --write`: {machine}, {versions}.\n", *parts])
    print(text)
    if options.write:
        Path(__file__).with_suffix(".md").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
