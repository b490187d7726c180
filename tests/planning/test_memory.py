"""What is called exact is exact, and what is called an estimate is near what torch really keeps."""

from dataclasses import replace

import pytest
import torch
from transformers import Qwen3VLConfig, Qwen3VLForConditionalGeneration

from harness.planning.architecture import build
from harness.planning.load import Launch, Load
from harness.planning.memory import GIB, SAVED, memory, remedies
from harness.settings import JudgeSettings, LoraSettings
from harness.training.trainers import freeze_vision, peft_config

LORA = JudgeSettings(lora=LoraSettings(rank=4, alpha=8), freeze_vision=True)
WHOLE = JudgeSettings()
LANGUAGE_ALONE = JudgeSettings(freeze_vision=True)


def load(judge: JudgeSettings, precision: str = "float32", model: str = "embedded:judge", **changed) -> Load:
    judge = judge.model_copy(update={"model": model})
    made = Load("train", model, None, precision, 64, 40, 20, 20, 4, judge=judge)
    return replace(made, **changed)


@pytest.mark.parametrize(
    ("judge", "precision"), [(WHOLE, "float32"), (LANGUAGE_ALONE, "float32"), (LORA, "float32"), (LORA, "bfloat16")]
)
def test_weights_gradients_and_moments_are_those_of_a_real_step_of_adam(judge: JudgeSettings, precision: str) -> None:
    import peft
    from transformers import AutoModelForImageTextToText

    from harness.judge.checkpoints import EMBEDDED

    model = AutoModelForImageTextToText.from_pretrained(EMBEDDED / "judge", dtype=getattr(torch, precision))
    if judge.freeze_vision:
        freeze_vision(model)
    if judge.lora:
        model = peft.get_peft_model(model, peft_config(judge))
    optimiser = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad])
    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(parameter) if parameter.requires_grad else None
    optimiser.step()

    def size(tensors) -> int:
        return sum(tensor.numel() * tensor.element_size() for tensor in tensors)

    moments = [tensor for state in optimiser.state.values() for name, tensor in state.items() if name != "step"]
    told = memory(load(judge, precision), build("embedded:judge"), Launch())
    assert told.weights == size(model.parameters())
    assert told.gradients == size(p.grad for p in model.parameters() if p.grad is not None)
    assert told.optimiser == size(moments)


def language_model(layers: int) -> Qwen3VLForConditionalGeneration:
    """A small Qwen3-VL whose vision tower is never run."""
    text = {
        "vocab_size": 300, "hidden_size": 128, "intermediate_size": 512, "num_hidden_layers": layers, "head_dim": 32,
        "num_attention_heads": 4, "num_key_value_heads": 2, "bos_token_id": None, "eos_token_id": None,
        "rope_parameters": {"rope_type": "default", "mrope_section": [4, 6, 6], "mrope_interleaved": True,
                            "rope_theta": 1e4},
    }  # fmt: skip
    vision = {"depth": 1, "hidden_size": 32, "intermediate_size": 64, "num_heads": 2, "out_hidden_size": 128}
    config = Qwen3VLConfig(text_config=text, vision_config=vision | {"deepstack_visual_indexes": [0]})
    return Qwen3VLForConditionalGeneration(config).train()


def kept_per_token(kind: str, layers: int, checkpointing: bool = False) -> float:
    """Bytes that autograd keeps for each token of a real forward pass, beside the weights."""
    import peft

    model = language_model(layers)
    if kind == "bfloat16":
        model = peft.get_peft_model(model.to(torch.bfloat16), peft_config(LORA))
        model.enable_input_require_grads()
    if checkpointing:
        model.gradient_checkpointing_enable({"use_reentrant": False})
    own = {tensor.untyped_storage().data_ptr() for tensor in (*model.parameters(), *model.buffers())}
    kept: dict[int, torch.UntypedStorage] = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage()
        return tensor

    ids = torch.randint(20, 300, (2, 128))
    inner = model.get_base_model().model if kind == "bfloat16" else model.model
    with (
        torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor),
        torch.autocast("cpu", torch.bfloat16, enabled=kind != "float32"),
    ):
        out = inner(input_ids=ids, attention_mask=torch.ones_like(ids), use_cache=False)
    assert out.last_hidden_state.requires_grad
    return sum(storage.nbytes() for place, storage in kept.items() if place not in own) / ids.numel()


@pytest.mark.parametrize("kind", sorted(SAVED))
def test_a_layer_keeps_about_what_is_reckoned(kind: str) -> None:
    measured = kept_per_token(kind, 3) - kept_per_token(kind, 2)
    reckoned = sum(share * width for share, width in zip(SAVED[kind], (128, 512, 128, 64), strict=True))
    assert reckoned == pytest.approx(measured, rel=0.15)


def test_with_checkpointing_a_layer_keeps_its_input_alone() -> None:
    for kind, size in (("float32", 4), ("autocast", 4), ("bfloat16", 2)):
        measured = kept_per_token(kind, 3, checkpointing=True) - kept_per_token(kind, 2, checkpointing=True)
        assert measured == pytest.approx(128 * size, rel=0.05), kind


BIG = "Qwen/Qwen2.5-VL-7B-Instruct"


def test_sharding_divides_what_is_kept_and_gathers_what_computes() -> None:
    architecture = build(BIG)
    whole = load(LANGUAGE_ALONE, "bfloat16", BIG, longest=4096, checkpointing=True)
    one, eight = (memory(whole, architecture, Launch(n, "fsdp2" if n > 1 else "none")) for n in (1, 8))
    assert one.gradients == 8 * eight.gradients
    assert one.optimiser == 2 * one.gradients == 8 * eight.optimiser
    gathered = 2 * (2 * architecture.largest_layer + architecture.embedding + architecture.head)
    assert eight.weights == 4 * architecture.parameters // 8 + gathered
    assert memory(whole, architecture, Launch(8, "ddp")).gradients == 2 * one.gradients
    # a second model for the reference of DPO, which an adapter does without
    dpo = memory(replace(whole, sequences=2), architecture, Launch(8, "fsdp2"))
    assert dpo.weights - eight.weights == 4 * architecture.parameters // 8
    adapted = load(LORA, "bfloat16", BIG, longest=4096)
    one, two = (memory(replace(adapted, sequences=n), architecture, Launch()).weights for n in (1, 2))
    assert one == two


def test_what_is_said_to_help_does() -> None:
    architecture = build(BIG)
    adapted = load(LORA, "bfloat16", BIG, longest=4096, batch=8)
    assert memory(adapted, architecture, Launch()).total > 60 * GIB
    assert remedies(adapted, architecture, Launch(), "sft", 40) == ["sft.gradient_checkpointing=true"]
    fixes = remedies(adapted, architecture, Launch(), "sft", 22)
    assert fixes == ["sft.gradient_checkpointing=true", "sft.micro_batch_size=2"]
    mended = replace(adapted, checkpointing=True, batch=2)
    assert memory(mended, architecture, Launch()).total <= 22 * GIB
    writing = Load("write", BIG, None, "bfloat16", 64, 400, 160, 512, 64, draws=8, judge=LORA)
    assert remedies(writing, architecture, Launch(), "sampling", 20) == ["sampling.batch_size=16"]
    assert remedies(writing, architecture, Launch(), "sampling", 10) == []
