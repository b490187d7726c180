"""The reward head of trl's `AutoModelForCausalLMWithValueHead`, kept beside the weights as LLaMA-Factory saves it.

A linear function with a constant reads the hidden state of each token (trl, `modeling_value_head.py`); a response's
reward is that of its last one.
"""

from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from transformers.utils import cached_file

from harness.errors import DataError
from harness.judge.checkpoints import ModelRef, loading
from harness.judge.reward_head import HEAD

FILE = "value_head.safetensors"
WEIGHT, BIAS = "v_head.summary.weight", "v_head.summary.bias"


def put_value_head(model: Any, ref: ModelRef) -> None:
    """Fill a model's reward head from the file beside its weights.

    Args:
        model: one of `reward_class`, of hidden width W.
        ref: where it was loaded from: a folder, or the hub.

    Raises:
        HarnessError: if there is no such file.
        DataError: if it does not hold a weight [1, W] and a constant [1].
    """
    with loading(ref.location):
        path = cached_file(ref.location, FILE, revision=ref.revision)
    head = model.get_submodule(HEAD)
    try:
        found = load_file(path)
    except SafetensorError as error:
        raise DataError(f"{path} is no safetensors file ({error}).", "Download it again.") from None
    for name, shape in ((WEIGHT, head.weight.shape), (BIAS, torch.Size([1]))):
        if name not in found or found[name].shape != shape:
            told = f"{name} of shape {list(found[name].shape)}" if name in found else f"no {name}"
            raise DataError(f"{path} has {told}; {list(shape)} is wanted.", f"Name a judge whose head is in {FILE}.")
    with torch.no_grad():
        head.weight.copy_(found[WEIGHT])
    head.bias = torch.nn.Parameter(found[BIAS].float().to(head.weight.device), requires_grad=False)
