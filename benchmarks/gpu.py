"""A judge of 7B on one GPU: training beside bare TRL and the card's own ceiling, and how fast it judges.

    .venv/bin/python benchmarks/gpu.py --write            (benchmarks/gpu.md; a GPU of 80 GB, 40 GB of disk)
    .venv/bin/python benchmarks/gpu.py --only sft --no-checkpointing --micro-batch 2    (one part, other settings)
    .venv/bin/python benchmarks/gpu.py --tiny             (checks the script on a CPU, in a minute)

The judge has the architecture of the profile `qwen2.5-vl-7b` and random weights: speed and memory depend on neither
weights nor words. All rows and questions are as long as a plan takes them to be (harness/planning/throughput.yaml).
"""

import argparse
import contextlib
import gc
import io
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
# one card is measured, and bare TRL would take all there are
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "0")

from tabulate import tabulate

# before another package's `tests`
sys.path.insert(0, str(Path(__file__).parent.parent))

from benchmarks.judging import asked, best, dev_rows, prepared
from benchmarks.training import Setup, Times, Way, bare, in_turns, ours, write_pairs
from harness.data.tables import Row
from harness.judge.format import EMBEDDED
from harness.planning.architecture import Architecture, build, find_config
from harness.planning.assumptions import Gpu, assumptions, recognised
from harness.planning.hours import hours, operations
from harness.planning.load import Launch, Load
from harness.planning.machine import Machine
from harness.planning.memory import memory, row_tokens
from harness.precision import resolved
from harness.provenance import hardware, now, packages, revision
from harness.registry import content_roots, load_profile
from harness.settings import DpoSettings, JudgeSettings, JudgingSettings, LoraSettings, SftSettings
from tests.toy_qwen import special_ids, toy_processor

PROFILE = "qwen2.5-vl-7b"
PAIRS = 32
WORD = " answer"
"""A token by itself for the toy tokenizer."""


SMALL: dict[str, dict[str, Any]] = {
    "text_config": {
        "vocab_size": 1024, "hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2,
        "num_attention_heads": 2, "num_key_value_heads": 1,
        "rope_parameters": {"rope_type": "default", "mrope_section": [4, 6, 6], "rope_theta": 10000.0},
    },
    "vision_config": {
        "depth": 2, "hidden_size": 32, "intermediate_size": 64, "num_heads": 2, "out_hidden_size": 64,
        "fullatt_block_indexes": [1], "window_size": 56,
    },
}  # fmt: skip
"""What `--tiny` changes of the architecture."""


@dataclass(frozen=True)
class Scale:
    """How much is measured."""

    batch: int
    """Rows of an update."""
    updates: int
    rounds: int
    items: int
    """Benchmark items, in batches of `sequences`."""
    sequences: int
    tokens: int
    """Tokens of an answer; random weights do not end theirs."""
    side: int
    """Of the square matrices of the ceiling."""


REAL = Scale(batch=8, updates=6, rounds=2, items=32, sequences=64, tokens=128, side=8192)
TINY = Scale(batch=2, updates=4, rounds=1, items=4, sequences=8, tokens=4, side=512)


@dataclass(frozen=True)
class Bench:
    """The model under measurement and how it is trained."""

    scale: Scale
    setup: Setup
    architecture: Architecture
    card: Gpu
    """As its maker tells; as measured here where it is not in `throughput.yaml`."""
    known: bool
    """Whether the maker's figures are there."""
    ceiling: float
    """Operations a second of a large product, as measured here."""
    root: Path


def main() -> None:
    """Measure, and print or write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", action="store_true", help="keep the page in benchmarks/gpu.md")
    parser.add_argument("--only", choices=PARTS, help="measure one part")
    parser.add_argument("--tiny", action="store_true", help="check the script with a tiny model, on a CPU too")
    parser.add_argument("--micro-batch", type=int, help="rows at once, in place of the profile's")
    parser.add_argument("--no-checkpointing", action="store_true", help="keep all activations")
    options = parser.parse_args()
    import torch

    if options.write and (options.tiny or options.only):
        parser.error("--write keeps a whole measurement: drop --tiny and --only.")
    if not options.tiny and not torch.cuda.is_available():
        print(
            "benchmarks/gpu.py needs an NVIDIA GPU with about 80 GB of memory and 40 GB of disk; --tiny checks the "
            "script without.",
            file=sys.stderr,
        )
        sys.exit(2)
    with tempfile.TemporaryDirectory() as folder:
        bench = prepare(Path(folder), options)
        found = [part(bench) for name, part in PARTS.items() if options.only in (None, name)]
    text = page(bench, [part for part, _ in found], options)
    print(text)
    print(yaml_lines(bench, {name: value for _, measured in found for name, value in measured.items()}, options.tiny))
    if options.write:
        Path(__file__).with_suffix(".md").write_text(text, encoding="utf-8")


def prepare(root: Path, options: argparse.Namespace) -> Bench:
    """Save the judge, write its rows, and measure what the card can do."""
    scale = TINY if options.tiny else REAL
    model, precision = root / "model", resolved("auto")
    save_judge(model, options.tiny, precision)
    setup = training_setup(str(model), scale, precision, options)
    write_pairs(root, map(pair, range(PAIRS)), str(model))
    ceiling = matmul_ceiling(scale.side, precision)
    name = recognised(device_name())
    card = assumptions().gpus[name] if name else Gpu(match="", memory=0, peak=ceiling, bandwidth=1)
    return Bench(scale, setup, build(str(model)), card, name is not None, ceiling, root)


def save_judge(folder: Path, tiny: bool, precision: str) -> None:
    """Save a judge with random weights, the toy tokenizer and the embedded judge's format."""
    import torch
    from transformers import AutoConfig, AutoModelForImageTextToText

    processor = toy_processor(most_pixels=12_845_056)
    ends = {"eos_token_id": processor.tokenizer.eos_token_id, "pad_token_id": processor.tokenizer.pad_token_id}
    content, _ = find_config(profile("judge")["model"])
    content |= special_ids(processor.tokenizer) | {"text_config": content["text_config"] | ends}
    for part in ("text_config", "vision_config"):
        content[part] |= SMALL[part] if tiny else {}
    del content["architectures"]
    torch.manual_seed(0)
    with torch.device(device()):
        model = AutoModelForImageTextToText.from_config(
            AutoConfig.for_model(**content), dtype=getattr(torch, precision)
        )
    model.generation_config.update(**ends)
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    EMBEDDED.save(folder)
    del model
    empty()


def profile(section: str) -> dict[str, Any]:
    """Return a section of the profile."""
    found: dict[str, Any] = load_profile(PROFILE, content_roots())[section]
    return found


def training_setup(model: str, scale: Scale, precision: str, options: argparse.Namespace) -> Setup:
    """Take the profile's settings, with smaller updates and what the options say."""
    changed: dict[str, Any] = {"batch_size": scale.batch, "precision": precision, "save_steps": 10_000}
    if options.no_checkpointing:
        changed["gradient_checkpointing"] = False

    def settings(name: str) -> dict[str, Any]:
        micro = options.micro_batch or profile(name)["micro_batch_size"]
        return profile(name) | changed | {"micro_batch_size": min(micro, scale.batch)}

    judge = JudgeSettings(**profile("judge") | {"model": model} | ({"max_pixels": 12_544} if options.tiny else {}))
    return Setup(judge, SftSettings(**settings("sft")), DpoSettings(**settings("dpo")), scale.updates)


def pair(number: int) -> Row:
    """Make a pair of the assumed size: every row is as long as every other, so that nothing is padded."""
    assumed = assumptions().assumed
    return {
        "id": f"pair-{number}",
        "image": noise(number),
        "question": WORD * (assumed.question // 2),
        "chosen": WORD * (assumed.question // 4) + " 1",
        "rejected": WORD * (assumed.question // 4) + " 2",
        "rationale": WORD * assumed.judgment,
    }


def items(count: int) -> Iterator[Row]:
    """Make benchmark items of the same size, each with an image of its own."""
    for number, row in enumerate(dev_rows(count)):
        like = pair(number)
        responses = [like["chosen"], like["rejected"]]
        yield row | {"image": like["image"], "query": like["question"], "response": responses}


def noise(seed: int) -> bytes:
    """Draw an image of the assumed size; coarse, lest its file be large."""
    import numpy as np
    from PIL import Image

    wide, high = assumptions().assumed.image
    coarse = np.random.default_rng(seed).integers(0, 256, (high // 20, wide // 20, 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(coarse).resize((wide, high), Image.Resampling.NEAREST).save(file, "PNG")
    return file.getvalue()


def device() -> str:
    """Return what models run on here."""
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


def device_name() -> str:
    """Name the card, or say that there is none."""
    import torch

    return str(torch.cuda.get_device_name()) if torch.cuda.is_available() else "none"


def empty() -> None:
    """Let go of memory that nobody uses, and measure its peak anew."""
    import torch

    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()


def peak() -> float | None:
    """Return the largest GiB allocated since `empty`; None without a GPU."""
    import torch

    return torch.cuda.max_memory_allocated() / 2**30 if torch.cuda.is_available() else None


def gib(peaks: Sequence[float | None]) -> str:
    """Write the largest of several peaks."""
    found = [one for one in peaks if one is not None]
    return f"{max(found):.1f}" if found else "–"


def matmul_ceiling(side: int, precision: str) -> float:
    """Return operations a second of the best of several products of two square matrices."""
    import torch

    def wait() -> None:
        if torch.cuda.is_available():
            torch.cuda.synchronize()

    one, other = (torch.randn(side, side, dtype=getattr(torch, precision), device=device()) for _ in range(2))
    seconds = []
    for _ in range(8):
        wait()
        started = time.perf_counter()
        for _ in range(10):
            one @ other
        wait()
        seconds.append((time.perf_counter() - started) / 10)
    del one, other
    empty()
    return 2 * side**3 / min(seconds)


def training_load(bench: Bench, kind: str) -> Load:
    """Describe one update, as a plan does; tokens are counted by the processor that makes them."""
    from harness.judge.loading import load_processor
    from harness.training.lengths import prompts

    setup = bench.setup
    settings = setup.sft if kind == "sft" else setup.dpo
    processor, row = load_processor(setup.judge), pair(0)
    asked_of = EMBEDDED.ask(row["question"], row["chosen"], row["rejected"])
    # the placeholder of the image is one of the image's own tokens
    prompt = len(processor.tokenizer(prompts(processor, [asked_of])[0]).input_ids) - 1
    # the turn's end and a line break follow
    answer = len(processor.tokenizer(EMBEDDED.judgment(row["rationale"], 0)).input_ids) + 2
    return Load(
        "train", setup.judge.model, None, settings.precision, settings.batch_size, prompt, answer, answer,
        settings.micro_batch_size, judge=setup.judge, sequences=1 if kind == "sft" else 2,
        checkpointing=settings.gradient_checkpointing,
    )  # fmt: skip


def trained(kind: str) -> Callable[[Bench], tuple[str, dict[str, float]]]:
    """Return the part that measures one kind of training."""

    def measure(bench: Bench) -> tuple[str, dict[str, float]]:
        peaks: dict[str, list[float | None]] = {"ours": [], "bare TRL": []}
        ways = [noting(ours, peaks["ours"]), noting(bare, peaks["bare TRL"])]
        taken = in_turns(kind, bench.root, bench.scale.rounds, bench.setup, ways)
        seconds = {
            name: statistics.median(wall for wall, _ in rounds) for name, rounds in zip(peaks, taken, strict=True)
        }
        share = operations(training_load(bench, kind), bench.architecture) / seconds["ours"] / bench.card.peak
        return training_section(kind, bench, seconds, peaks), {kind: share}

    return measure


def noting(way: Way, peaks: list[float | None]) -> Way:
    """Let a way note the memory that it took at most."""

    def measured(kind: str, root: Path, out: Path, times: Times, setup: Setup) -> None:
        empty()
        way(kind, root, out, times, setup)
        peaks.append(peak())

    return measured


def training_section(kind: str, bench: Bench, seconds: dict[str, float], peaks: dict[str, list[float | None]]) -> str:
    """Write down a training: speed, memory, and shares of what the card can do."""
    load, architecture = training_load(bench, kind), bench.architecture
    plain = replace(load, checkpointing=False)
    assert load.judge is not None
    needed = operations(plain, architecture)
    whole = replace(plain, judge=load.judge.model_copy(update={"lora": None, "freeze_vision": True}))
    in_full = operations(whole, architecture)
    each = row_tokens(load, architecture)
    tokens = load.rows * load.sequences * each
    planned = memory(load, architecture, Launch()).total / 2**30
    rows = []
    for name, taken in seconds.items():
        shares = [f"{count / taken / ceiling:.1%}" for count in (needed, in_full) for ceiling in ceilings(bench)]
        rows.append([name, f"{taken:.2f}", f"{tokens / taken:,.0f}", gib(peaks[name]), *shares])
    heads = [
        f"MFU, {words}, of the {ceiling}"
        for words in ("needed", "as if trained whole")
        for ceiling in ceiling_names(bench)
    ]
    ratio = seconds["ours"] / seconds["bare TRL"]
    again = (
        "checkpointed activations, whose second computing no MFU counts" if load.checkpointing else "no checkpointing"
    )
    return f"""## {kind.upper()} with an adapter

{load.rows} rows an update, {load.batch} at once, {again}; {load.sequences} x {each:,} tokens a row, {load.answer} of
them the judgment. Medians of {bench.scale.rounds} rounds of {bench.setup.updates} updates in turns.

{tabulate(rows, ["", "s an update", "tokens/s", "peak GiB", *heads], tablefmt="github", disable_numparse=True)}

Ours takes {ratio:.3f} times what bare TRL takes (goal: at most 1.05). A plan reckons with {planned:.1f} GiB in all,
{assumptions().reserve:.1f} of them for what the allocator does not see. An update needs {needed:.3g} operations, and
{in_full:.3g} if all weights of the language model were trained.
"""


def ceilings(bench: Bench) -> list[float]:
    """Return what a share is of: the measured product, and the maker's figure where it is known."""
    return [bench.ceiling, bench.card.peak] if bench.known else [bench.ceiling]


def ceiling_names(bench: Bench) -> list[str]:
    """Name the ceilings."""
    return ["measured product", "maker's peak"][: len(ceilings(bench))]


def judged(bench: Bench) -> tuple[str, dict[str, float]]:
    """Measure the judge under the protocols, and its reading and its writing apart."""
    from harness.engines.engine import open_engine
    from harness.evaluate.engine_model import EngineModel

    scale, judge = bench.scale, bench.setup.judge
    settings = JudgingSettings(precision=bench.setup.sft.precision, batch_size=scale.sequences)
    empty()
    with contextlib.ExitStack() as stack:
        model = EngineModel(stack.enter_context(contextlib.closing(open_engine(judge, settings, bench.root))))
        both, weighed, nine = (
            prepared(Path(stack.enter_context(tempfile.TemporaryDirectory())), items(scale.items), protocol)
            for protocol in ("both-orders", "logprob", "official:9")
        )
        ways: dict[str, Callable[[], float]] = {
            f"`both-orders`, {scale.tokens} tokens an answer": lambda: asked(both, model, True, scale.tokens),
            "`both-orders`, 1 token an answer": lambda: asked(both, model, True, 1),
            "`logprob`": lambda: asked(weighed, model, True, scale.tokens),
            f"K = 9 (`official:9`), {scale.tokens} tokens an answer": lambda: asked(nine, model, True, scale.tokens),
        }
        # the first questions that a process asks load kernels
        asked(weighed, model, True, 1)
        seconds = best(scale.rounds, ways)
        most = peak()
    whole, once, *_ = seconds.values()
    batches = -(-2 * scale.items // scale.sequences)
    step = (whole - once) / (scale.tokens - 1) / batches
    reading = reading_share(bench, once)
    rows = [[name, f"{taken:.1f}", f"{scale.items / taken:.2f}"] for name, taken in seconds.items()]
    text = f"""## Judging by `transformers`

{scale.items} items, {scale.sequences} sequences at once, all of a run in it but loading (recording, reading, counting);
best of {scale.rounds} interleaved rounds. Random weights rarely end an answer, so that each has all its tokens.

{tabulate(rows, ["protocol", "seconds", "items/s"], tablefmt="github")}

Peak memory, GiB: {gib([most])}. A step of writing takes {1000 * step:.1f} ms ({scale.sequences} answers a token each);
reading alone, the preparing of images in it, reaches {reading:.1%} of the {ceiling_names(bench)[-1]}.
"""
    return text, {"reading": reading, "step": step}


def reading_share(bench: Bench, seconds: float) -> float:
    """Return the share of the peak at which prompts were read, by the count of a plan."""
    train = training_load(bench, "sft")
    load = replace(train, work="score", rows=2 * bench.scale.items, answer=0, at_most=0)
    planned = hours(load, bench.architecture, Launch(), Machine("", 0, 1, bench.card))
    assert planned is not None
    return assumptions().shares.reading * planned * 3600 / seconds


PARTS: dict[str, Callable[[Bench], tuple[str, dict[str, float]]]] = {
    "sft": trained("sft"),
    "dpo": trained("dpo"),
    "judging": judged,
}


def page(bench: Bench, parts: list[str], options: argparse.Namespace) -> str:
    """Put the page together."""
    architecture, lora = bench.architecture, bench.setup.judge.lora
    assert isinstance(lora, LoraSettings)
    sizes, side = (architecture.parameters / 1e9, architecture.language.parameters / 1e9), bench.scale.side
    first = "# A judge of 7B on a GPU"
    if options.tiny:
        first = "# A check of the script with a tiny model (`--tiny`), not a measurement"
    known = packages()
    versions = ", ".join(f"{name} {known[name]}" for name in ("torch", "transformers", "trl", "peft", "accelerate"))
    machine = ", ".join(f"{key.replace('_', ' ')} {value}" for key, value in hardware().items())
    asked_for = " ".join(["benchmarks/gpu.py", *sys.argv[1:]])
    return "\n".join(
        [
            f"""{first}

`{asked_for}`, {now()}. {sizes[0]:.3g} B parameters with random weights, {sizes[1]:.3g} B of them in the language
model's layers; computed in {bench.setup.sft.precision}; an adapter of rank {lora.rank}. A product of two matrices of
{side:,} x {side:,} reaches **{bench.ceiling / 1e12:.3g} T operations a second** here (best of several){maker(bench)}.

How MFU is counted: the operations that the mathematics needs, each weight N of the language model's layers and output
2 N a token forwards, and backwards 2 N for what came in. Nothing more with an adapter, as frozen weights get no
gradient: **4 N a token**, not the 6 N of full training, which is shown beside it for comparison with figures counted
that way. DPO adds 2 N for its reference. The frozen vision tower costs 2 a weight and patch. Attention's products, the
adapter's own, and what checkpointing computes again are left out.
""",
            *parts,
            f"Revision {revision()}; card {device_name()}; {machine}; {versions}.\n",
        ]
    )


def maker(bench: Bench) -> str:
    """Set the maker's figure beside the measured one."""
    return f"; the maker's figure is {bench.card.peak / 1e12:.3g} T" if bench.known else ""


def yaml_lines(bench: Bench, measured: dict[str, float], tiny: bool) -> str:
    """Write what a plan may take from this; shares of the peak count what checkpointing computes again, as plans do."""
    about = "for harness/planning/throughput.yaml"
    if not bench.known:
        about = f"card {device_name()!r} is not in harness/planning/throughput.yaml: shares are of the measured product"
    if tiny:
        about = "not to be kept: a check of the script"
    shares = {"training": measured.get("sft"), "reading": measured.get("reading")}
    lines = [f"# {about}", f"measured: {json.dumps(f'benchmarks/gpu.md, {now()[:10]}')}", "shares:"]
    lines += [f"  {name}: {share:.3g}" for name, share in shares.items() if share is not None]
    lines += ["  # writing: not measured; a step of transformers is bound by its own work"]
    if "step" in measured:
        lines += [f"step: {{transformers: {measured['step']:.3g}}}   # vllm: not measured"]
    if "dpo" in measured:
        lines += [f"# DPO alone reached {measured['dpo']:.3g} of the peak"]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
