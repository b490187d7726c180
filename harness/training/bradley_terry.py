"""Bradley and Terry's loss on rewards: P(chosen is better) is the logistic function of the difference of rewards."""

from typing import Any

import torch
from torch.nn.functional import logsigmoid
from transformers import Trainer, set_seed
from trl.trainer.dpo_trainer import DataCollatorForVisionPreference

from harness.settings import RewardSettings
from harness.training.trainers import CheckedCollator


class PreferenceTrainer(Trainer):  # type: ignore[misc]
    """Trains a model whose output is one reward a sequence; logs how often the label has the greater one, too."""

    def __init__(
        self,
        model: Any,
        adapter: Any,
        arguments: Any,
        rows: Any,
        processor: Any,
        settings: RewardSettings,
        callbacks: list[Any],
    ) -> None:
        """Take what `harness.training.trainers` makes of a job; rows have image, prompt, chosen and rejected."""
        self.settings, self.seen = settings, list[torch.Tensor]()
        if adapter is not None:
            from peft import get_peft_model

            # half of an adapter is drawn
            set_seed(arguments.seed)
            model = get_peft_model(model, adapter)
        else:
            rest_unused(model)
        if arguments.gradient_checkpointing:
            # the inputs of a frozen model have no gradient, without which checkpoints give none
            model.enable_input_require_grads()
        collate = CheckedCollator(DataCollatorForVisionPreference(processor), processor)
        super().__init__(model, arguments, collate, rows, callbacks=callbacks)
        # the loss is a mean over a batch: it is ours to say so where an adapter hides the model's own word
        self.model_accepts_loss_kwargs = False

    def compute_loss(
        self, model: Any, inputs: dict[str, Any], return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        """Compute the loss of a batch of chosen rows, then the rejected ones in the same order."""
        rewards = model(**{name: value for name, value in inputs.items() if name != "completion_mask"})
        chosen, rejected = rewards.chunk(2)
        loss = bradley_terry(chosen, rejected, self.settings.margin, self.settings.label_smoothing)
        apart = (chosen - rejected).detach()
        self.seen.append(torch.stack([apart.mean(), (apart > 0).float().mean()]))
        return (loss, rewards) if return_outputs else loss

    def log(self, logs: dict[str, float], *arguments: Any, **named: Any) -> None:
        """Add to a training entry the mean difference of rewards, and the share of labels with the greater one."""
        if "loss" in logs and self.seen:
            seen = self.accelerator.gather(torch.stack(self.seen)).mean(0)
            logs |= {"margin": float(seen[0]), "right": float(seen[1])}
            self.seen.clear()
        super().log(logs, *arguments, **named)


def bradley_terry(chosen: torch.Tensor, rejected: torch.Tensor, margin: float, smoothing: float) -> torch.Tensor:
    """Return the mean loss of pairs.

    Args:
        chosen: rewards of the labelled responses, shape [pairs].
        rejected: of the others, likewise.
        margin: by which the labelled one's is to be the greater.
        smoothing: chance that a label is wrong.
    """
    apart = chosen - rejected
    right, wrong = logsigmoid(apart - margin), logsigmoid(-apart - margin)
    return -((1 - smoothing) * right + smoothing * wrong).mean()


def rest_unused(model: Any) -> None:
    """Do not train the weights that only writing uses; tied to those that read, they are used."""
    writes, reads = model.get_output_embeddings(), model.get_input_embeddings()
    if writes is not None and writes.weight is not reads.weight:
        writes.requires_grad_(False)
