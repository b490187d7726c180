"""A reward head on a judge: the hidden state of a sequence's last token becomes a number.

A judge's class of transformers is extended by the head, so that loading, saving, adapters, sharding and going on after
a crash are the library's own.
"""

from functools import cache
from typing import Any

import torch
from torch import nn
from transformers import AutoConfig
from transformers import initialization as init
from transformers.models.auto.modeling_auto import MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING

from harness.errors import HarnessError
from harness.judge.checkpoints import ModelRef

HEAD = "reward_head"
"""The head's name among the model's modules."""


class Head(nn.Linear):  # type: ignore[misc]
    """A linear function; always in float32. Ours has no constant, which no difference of rewards depends on."""

    def __init__(self, width: int) -> None:
        super().__init__(width, 1, bias=False)

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        """Map hidden states [rows, width] to rewards [rows]; in fewer bits, close ones would be equal."""
        with torch.autocast(hidden.device.type, enabled=False):
            return nn.functional.linear(hidden.float(), self.weight.float(), self.bias).squeeze(-1)


class Rewarding:
    """What is added to a judge's class."""

    # a mean over the batch, which the trainer must divide by the batches of an update
    accepts_loss_kwargs = False

    def __init__(self, config: Any, *arguments: Any, **named: Any) -> None:
        super().__init__(config, *arguments, **named)  # type: ignore[call-arg]
        self.reward_head = Head(config.get_text_config().hidden_size)
        # once more, now that the head is there
        self.post_init()  # type: ignore[attr-defined]

    def _init_weights(self, module: Any) -> None:
        """Begin with a head of zeros: every reward is 0 then, whatever the seed."""
        if isinstance(module, Head):
            init.zeros_(module.weight)
        else:
            super()._init_weights(module)  # type: ignore[misc]

    def forward(self, attention_mask: torch.Tensor, **inputs: Any) -> torch.Tensor:
        """Return the rewards of sequences, [rows], padded on either side."""
        read = self.model(attention_mask=attention_mask, use_cache=False, **inputs)  # type: ignore[attr-defined]
        places = torch.arange(attention_mask.shape[1], device=attention_mask.device)
        last = (attention_mask * places).argmax(1)
        rewards: torch.Tensor = self.reward_head(read.last_hidden_state[range(len(last)), last])
        return rewards


def reward_class(ref: ModelRef) -> Any:
    """Return the class of a model, extended by a reward head.

    Raises:
        HarnessError: if it is of no class that transformers has.
    """
    config = type(AutoConfig.from_pretrained(ref.location, revision=ref.revision))
    if config not in MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING:
        raise HarnessError(f"a reward head is put onto no {config.__name__}.", "Name a vision-language model.")
    return _extended(MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING[config])


@cache
def _extended(kind: Any) -> Any:
    own = {
        "_keep_in_fp32_modules_strict": {HEAD, *(kind._keep_in_fp32_modules_strict or ())},
        # by name and module the library knows which of its classes rename their weights on loading and saving
        "__module__": kind.__module__,
    }
    return type(kind.__name__, (Rewarding, kind), own)
