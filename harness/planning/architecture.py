"""The architecture of a model, built on the meta device: its shapes and parameters, without its weights.

A model's configuration is its folder's, else the one that the hub's cache holds, else a small one that comes with the
harness (`architectures/`), else the hub's own.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.errors import HarnessError
from harness.judge.checkpoints import EMBEDDED, loading
from harness.settings import JudgeSettings

COMMITTED = Path(__file__).parent / "architectures"
VISION = ("visual", "vision_tower", "vision_model", "projector")
"""Parts of the names of what sees; the language model's have none of them."""


@dataclass(frozen=True)
class Stack:
    """The widths of a stack of transformer layers."""

    layers: int
    hidden: int
    intermediate: int
    queries: int
    """Width of all query heads together."""
    keys: int
    """Width of all key heads together; values are as wide."""
    parameters: int


@dataclass(frozen=True)
class Architecture:
    """What there is to know of a model before it has weights."""

    name: str
    source: str
    """Where its configuration was found, for people."""
    config: Mapping[str, Any]
    parameters: int
    language: Stack
    vision: Stack | None
    """None for a model that only reads; the projector's parameters are in it."""
    embedding: int
    """Parameters of the input embedding."""
    head: int
    """Parameters of the output layer, or of as much as is used of tied ones."""
    vocabulary: int
    largest_layer: int
    """Parameters of the largest layer of a stack, which sharding gathers at once."""
    linear: Mapping[str, tuple[int, int]]
    """Name of each linear layer to its inputs and outputs."""


@dataclass(frozen=True)
class Trained:
    """What is trained of a model."""

    modules: int
    """Linear layers that an adapter is put on; 0 where there is none."""
    parameters: int
    vision: bool
    """Whether the vision tower is trained."""


def find_config(name: str, revision: str | None = None) -> tuple[dict[str, Any], str]:
    """Find a model's configuration, and say where it was found.

    Args:
        name: `embedded:NAME`, a folder, or a hub name.
        revision: of the hub.

    Raises:
        HarnessError: if it is nowhere, and the hub cannot be reached.
    """
    folder = EMBEDDED / name.partition(":")[2] if name.startswith("embedded:") else Path(name)
    if folder.is_dir():
        return _read(folder / "config.json"), "its folder"
    if cached := in_cache(name, revision, "config.json"):
        return _read(cached), "the hub's cache"
    committed = COMMITTED / f"{name.replace('/', '--')}.json"
    if committed.is_file():
        return _read(committed), "the harness"
    return _from_hub(name, revision), "the hub"


def in_cache(name: str, revision: str | None, *files: str) -> Path | None:
    """Return the first of a hub model's files that the cache on this machine holds."""
    from huggingface_hub import try_to_load_from_cache

    for file in files:
        found = try_to_load_from_cache(name, file, revision=revision)
        if isinstance(found, str):
            return Path(found)
    return None


def _read(path: Path) -> dict[str, Any]:
    try:
        content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise HarnessError(f"{path} cannot be read: {error}.", "Name a checkpoint that transformers saved.") from None
    return {key: value for key, value in content.items() if not key.startswith("_")}


def _from_hub(name: str, revision: str | None) -> dict[str, Any]:
    from huggingface_hub import constants, hf_hub_download

    if constants.HF_HUB_OFFLINE:
        raise HarnessError(
            f"the configuration of model {name!r} is not on this machine, and the hub is off (HF_HUB_OFFLINE).",
            f"Unset that, or on a machine with network: `hf download {name} config.json`.",
        )
    with loading(name):
        return _read(Path(hf_hub_download(name, "config.json", revision=revision)))


def build(name: str, revision: str | None = None, judges: bool = True) -> Architecture:
    """Build a model on the meta device, where tensors have shapes and no memory.

    Args:
        name: the model, as `find_config` takes it.
        revision: of the hub.
        judges: whether it sees and writes; else it scores texts, with one label.

    Raises:
        HarnessError: if its configuration is not found, or is none that transformers can build.
    """
    import torch
    from transformers import AutoConfig, AutoModelForImageTextToText, AutoModelForSequenceClassification

    content, source = find_config(name, revision)
    kind = content.get("model_type", "")
    settings = {key: value for key, value in content.items() if key not in ("model_type", "architectures", "dtype")}
    if not judges:
        settings = {key: v for key, v in settings.items() if key not in ("id2label", "label2id")} | {"num_labels": 1}
    auto = AutoModelForImageTextToText if judges else AutoModelForSequenceClassification
    try:
        config = AutoConfig.for_model(kind, **settings)
        with torch.device("meta"):
            model = auto.from_config(config)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        reason = " ".join(str(error).split())[:140]
        raise HarnessError(
            f"model {name!r} of type {kind!r} cannot be built ({reason}).",
            "Name one of a class that transformers has itself; of InternVL these are the -HF ones.",
        ) from None
    return _described(name, source, content, config, model)


def _described(name: str, source: str, content: dict[str, Any], config: Any, model: Any) -> Architecture:
    import torch

    sizes = {key: parameter.numel() for key, parameter in model.named_parameters()}
    text = config.get_text_config()
    heads = text.num_attention_heads
    head_width = getattr(text, "head_dim", None) or text.hidden_size // heads
    embedding = model.get_input_embeddings().weight.numel()
    output = model.get_output_embeddings()
    head = output.weight.numel() if output is not None else 0
    vision = _vision(config, sum(size for key, size in sizes.items() if _sees(key)))
    tied = output is not None and output.weight is model.get_input_embeddings().weight
    language = sum(size for key, size in sizes.items() if not _sees(key)) - embedding - (0 if tied else head)
    layers: dict[str, int] = {}
    for key, size in sizes.items():
        if found := re.match(r".*\.(layers|blocks|layer)\.\d+\.", key):
            layers[found[0]] = layers.get(found[0], 0) + size
    return Architecture(
        name=name,
        source=source,
        config=content,
        parameters=sum(sizes.values()),
        language=Stack(
            text.num_hidden_layers,
            text.hidden_size,
            text.intermediate_size,
            heads * head_width,
            (getattr(text, "num_key_value_heads", None) or heads) * head_width,
            language,
        ),
        vision=vision,
        embedding=embedding,
        head=head,
        vocabulary=text.vocab_size,
        largest_layer=max(layers.values(), default=0),
        linear={
            key: (module.in_features, module.out_features)
            for key, module in model.named_modules()
            if isinstance(module, torch.nn.Linear)
        },
    )


def _sees(name: str) -> bool:
    return any(part in name for part in VISION)


def _vision(config: Any, parameters: int) -> Stack | None:
    seen = getattr(config, "vision_config", None)
    if seen is None:
        return None
    layers = getattr(seen, "depth", None) or seen.num_hidden_layers
    return Stack(layers, seen.hidden_size, seen.intermediate_size, seen.hidden_size, seen.hidden_size, parameters)


def trained(architecture: Architecture, judge: JudgeSettings) -> Trained:
    """Count what is trained: an adapter's parameters, or all but a frozen vision tower's.

    A linear layer of `i` inputs and `o` outputs gets `rank * (i + o)` of them (LoRA, arXiv 2106.09685); its name must
    match the expression as a whole, as PEFT has it.

    Raises:
        HarnessError: if the expression matches nothing, showing names that there are.
    """
    vision = architecture.vision.parameters if architecture.vision else 0
    if judge.lora is None:
        left = architecture.parameters - (vision if judge.freeze_vision else 0)
        return Trained(0, left, bool(vision) and not judge.freeze_vision)
    pattern = re.compile(judge.lora.target_modules)
    matched = [key for key in architecture.linear if pattern.fullmatch(key)]
    if not matched:
        names = list(dict.fromkeys(re.sub(r"\.\d+\.", ".0.", key) for key in architecture.linear))
        shown = ", ".join([name for name in names if not _sees(name)][:3])
        raise HarnessError(
            f"judge.lora.target_modules {judge.lora.target_modules!r} matches no linear layer of {architecture.name}.",
            f"It must match whole names, such as {shown}.",
        )
    parameters = sum(judge.lora.rank * sum(architecture.linear[key]) for key in matched)
    return Trained(len(matched), parameters, any(_sees(key) for key in matched))
