"""The memory that a stage takes on each GPU: exact where it is arithmetic, an estimate where it is not.

Exact are weights, gradients and Adam's two moments, in bytes per parameter. With an adapter: 2 for each frozen weight
in bfloat16, 4 for each of the adapter's own weights, 4 for its gradient, 8 for its moments. Without one, 4 + 4 + 8
for every trained weight, since those stay float32 (`harness.training.trainers.weights_precision`); computing in
bfloat16 adds 2 for the copies that autocast keeps until the backward pass ends, or that FSDP gathers. DDP holds the
gradients a second time, in the buckets it sends. FSDP2 and ZeRO-3 divide all of this by the number of GPUs (ZeRO, arXiv
1910.02054) and gather one layer and the next, and what is in no layer. DPO without an adapter has a reference besides.

Estimated is what the backward pass keeps of the forward pass: `SAVED` bytes per token and layer, measured; with
gradient checkpointing only each layer's input, and everything of the one layer that is computed anew (arXiv
1604.06174). TRL's fused output layer makes the logits in tiles (1.16). Writing keeps keys and values of all tokens of
the batch, 2 x layers x width x bytes a token, and reads the batch's prompts at once, each once for all its answers.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

from harness.planning.architecture import Architecture, Stack, trained
from harness.planning.assumptions import assumptions
from harness.planning.load import Launch, Load
from harness.planning.tokens import Seen, image_tokens

GIB = 2**30
BYTES = {"float32": 4, "bfloat16": 2}
SAVED = {"float32": (24, 16, 16, 16), "autocast": (34, 10, 12, 12), "bfloat16": (18, 8, 11, 8)}
"""Bytes that autograd keeps per token and layer, for each unit of the hidden, intermediate, query and key width.

By what the weights are: float32; float32 computed in bfloat16; bfloat16 with an adapter on every projection.
Measured by `torch.autograd.graph.saved_tensors_hooks` on small Qwen3-VL, whose attention normalises queries and keys;
Qwen2.5-VL keeps up to a quarter less. `tests/planning/test_memory.py` measures again.
"""
TILE = (4096, 32768)
"""Tokens and words of a tile of logits, as TRL's fused output layer makes them."""


@dataclass(frozen=True)
class Memory:
    """Bytes on each GPU."""

    weights: int
    """With what is gathered or copied of them, and DPO's reference."""
    gradients: int
    optimiser: int
    activations: int
    """With logits, or keys and values."""

    @property
    def certain(self) -> int:
        """What is arithmetic: it is needed whatever the batch."""
        return self.weights + self.gradients + self.optimiser

    @property
    def total(self) -> int:
        """Everything, and what is held in reserve."""
        return self.certain + self.activations + round(assumptions().reserve * GIB)


def seen(load: Load, architecture: Architecture) -> Seen:
    """Count tokens and patches of the assumed image, where the load has one."""
    if not load.sees:
        return Seen(0, 0)
    limit = load.judge.max_pixels if load.judge else None
    return image_tokens(architecture.config, *assumptions().assumed.image, limit)


def row_tokens(load: Load, architecture: Architecture) -> int:
    """Count the tokens of one sequence on average, image included."""
    return seen(load, architecture).tokens + load.prompt + load.answer


def memory(load: Load, architecture: Architecture, launch: Launch) -> Memory:
    """Reckon the memory of a stage on each of its GPUs.

    Args:
        load: what it computes.
        architecture: of its model.
        launch: how many GPUs train it; those that write or score hold a copy each.
    """
    if load.work == "train":
        return _training(load, architecture, launch)
    weights = architecture.parameters * BYTES[load.precision]
    return Memory(-(-weights // load.place.parts), 0, 0, -(-_writing(load, architecture) // load.place.parts))


def _training(load: Load, architecture: Architecture, launch: Launch) -> Memory:
    assert load.judge is not None
    adapted = load.judge.lora is not None
    part = trained(architecture, load.judge)
    computed, shards = BYTES[load.precision], launch.shards
    frozen = architecture.parameters if adapted else architecture.parameters - part.parameters
    kept = computed if adapted else 4
    weights = frozen * kept + part.parameters * 4
    if load.sequences == 2 and not adapted:
        weights += architecture.parameters * kept
    weights = -(-weights // shards)
    if shards > 1:
        loose = architecture.embedding + architecture.head
        weights += (2 * architecture.largest_layer + loose) * computed
    elif computed < kept:
        weights += part.parameters * computed
    gradients = part.parameters * 4 * (2 if launch.strategy == "ddp" else 1)
    return Memory(
        weights, -(-gradients // shards), -(-part.parameters * 8 // shards), _kept(load, architecture, part.vision)
    )


def _kept(load: Load, architecture: Architecture, vision_is_trained: bool) -> int:
    """Estimate what a micro-batch leaves for the backward pass, and what that pass itself takes."""
    assert load.judge is not None
    rows = load.batch * load.sequences
    sight = seen(load, architecture)
    tokens = rows * (load.longest or sight.tokens + load.prompt + load.at_most)
    kind = "bfloat16" if load.judge.lora else "autocast"
    kind = kind if load.precision == "bfloat16" else "float32"
    kept = tokens * _stack(architecture.language, kind, load.checkpointing)
    # the gradients of what the widest layer made, while the backward pass is in it
    kept += tokens * 3 * architecture.language.intermediate * BYTES[load.precision]
    if architecture.vision and sight.patches:
        patches = rows * sight.patches
        if vision_is_trained:
            kept += patches * _stack(architecture.vision, kind, load.checkpointing)
        else:
            kept = max(kept, patches * _passing(architecture.vision, BYTES[load.precision]))
    answers = rows * max(load.answer, load.at_most)
    return kept + 2 * 4 * min(answers, TILE[0]) * min(architecture.vocabulary, TILE[1])


def _stack(stack: Stack, kind: str, checkpointing: bool) -> int:
    """Add up the bytes that are kept for each token of a stack of layers."""
    widths = (stack.hidden, stack.intermediate, stack.queries, stack.keys)
    whole = sum(share * width for share, width in zip(SAVED[kind], widths, strict=True))
    if not checkpointing:
        return stack.layers * whole
    return stack.layers * stack.hidden * (2 if kind == "bfloat16" else 4) + whole


def _passing(stack: Stack, size: int) -> int:
    """Estimate the bytes for each token that a layer makes on the way and lets go: attention, or the wide layer."""
    return size * (3 * stack.hidden + max(2 * stack.intermediate, 2 * stack.queries + 2 * stack.keys))


def _writing(load: Load, architecture: Architecture) -> int:
    """Estimate keys and values of the batch, and what reading its prompts takes."""
    size, sight = BYTES[load.precision], seen(load, architecture)
    prompt = load.longest or sight.tokens + load.prompt
    # an engine that keeps its own answers going takes what is free, and needs room for one
    answers = 1 if load.place.under_way else load.batch
    prompts = -(-answers // load.draws)
    reading = prompts * prompt * _passing(architecture.language, size)
    if architecture.vision:
        reading = max(reading, prompts * sight.patches * _passing(architecture.vision, size))
    if load.work == "score":
        return reading
    cache = 2 * architecture.language.layers * architecture.language.keys * size
    return reading + answers * ((prompt + load.at_most) * cache + architecture.vocabulary * 4 * 2)


Change = tuple[str, Load, Launch]
"""In words, and what comes of it."""


def remedies(load: Load, architecture: Architecture, launch: Launch, section: str, gib: float) -> list[str]:
    """Find the settings that make a stage fit, the mildest first, each kept if it helps.

    Args:
        load: what it computes.
        architecture: of its model.
        launch: how it is trained.
        section: of its settings, such as `dpo`.
        gib: of memory that there is.

    Returns:
        settings as `--set` takes them; none where nothing known would do.
    """
    taken: dict[str, str] = {}
    for words, changed, spread in _changes(load, launch, section):
        taken[words.partition("=")[0]] = words
        if memory(changed, architecture, spread).total <= gib * GIB:
            return list(taken.values())
    return []


def _changes(load: Load, launch: Launch, section: str) -> Iterator[Change]:
    """Yield what may be set, each on top of those before it."""
    if load.precision == "float32" and load.work != "train":
        load = replace(load, precision="bfloat16")
        yield f"{section}.precision=bfloat16", load, launch
    if load.work == "train" and not load.checkpointing:
        load = replace(load, checkpointing=True)
        yield f"{section}.gradient_checkpointing=true", load, launch
    least, name = (1, "micro_batch_size") if load.work == "train" else (load.draws, "batch_size")
    while load.batch > least:
        load = replace(load, batch=max(least, load.batch // 2))
        yield f"{section}.{name}={load.batch}", load, launch
    if load.work == "train":
        for processes in (2, 4, 8, 16, 32):
            if processes > launch.shards:
                launch = Launch(processes, "fsdp2")
                yield f"training.strategy=fsdp2 and training.processes={processes}", load, launch
