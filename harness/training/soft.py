"""Labels that may be wrong: at its verdict a judgment is trained towards both verdicts, each by its probability.

The loss of the verdict's token is the cross-entropy against P that each of the two responses is the better one; every
other token is trained as it stands. Smoothing as transformers has it (`label_smoothing_factor`) is another thing: it
spreads the probability of every token of the answer over the whole vocabulary, and so says nothing of the label.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch.nn.functional import cross_entropy, log_softmax
from trl import SFTTrainer

from harness.errors import HarnessError
from harness.judge.format import JudgeFormat
from harness.judge.loading import VerdictTokens
from harness.training.rows import P_SECOND

VERDICT_AT = "verdict_at"
"""In a batch: the place of each row's verdict token."""
IGNORED = -100


def check_last(verdicts: VerdictTokens, tokenizer: Any, format_: JudgeFormat) -> None:
    """Check that the last token of a judgment that names a response is its verdict.

    Raises:
        HarnessError: if the format's sentence names one again after its number.
    """
    for verdict, ids in ((verdicts[i], tokenizer(format_.judgment("x", i)).input_ids) for i in (0, 1)):
        if next(token for token in reversed(ids) if token in verdicts) != verdict:
            raise HarnessError(
                f"verdict {format_.verdict!r} names a response again after its number.",
                "Choose a sentence that names the better response last, or train without soft labels.",
            )


class SoftCollator:
    """Adds to a batch where each row's verdict stands, and P that it should be for the second response."""

    def __init__(self, collate: Callable[[list[Any]], Any], verdicts: VerdictTokens) -> None:
        self.collate, self.verdicts = collate, verdicts

    def __call__(self, rows: list[Any]) -> Any:
        """Collate; the verdict is the last token of an answer that names a response."""
        p_second = [row.pop(P_SECOND) for row in rows]
        batch = self.collate(rows)
        labels = batch["labels"]
        named = (labels == self.verdicts.first) | (labels == self.verdicts.second)
        batch[VERDICT_AT] = torch.where(named, torch.arange(labels.size(1)), -1).max(1).values
        batch[P_SECOND] = torch.tensor(p_second)
        return batch


class SoftTrainer(SFTTrainer):  # type: ignore[misc]
    """TRL's trainer with the soft verdict in its loss; a sum over tokens, divided and scaled as TRL does it.

    TRL's own forward gives the log-probability of the labels alone, so the model's is asked for its logits, only where
    some row of the batch is trained: a pass as long as TRL's, with more memory. As in TRL's own smoothing, what a
    mixture of experts adds to balance them is left out.
    """

    verdicts: VerdictTokens

    def compute_loss(
        self, model: Any, inputs: dict[str, Any], return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        """Compute the loss of a batch of `SoftCollator`.

        Args:
            model: as it is wrapped for training.
            inputs: the batch.
            return_outputs: whether the model's outputs are wanted too.
            num_items_in_batch: trained tokens of the whole update, over all processes.
        """
        known = (P_SECOND, VERDICT_AT, "labels")
        p_second, verdict_at, labels = (inputs[name] for name in known)
        following = labels[:, 1:]
        kept = (following != IGNORED).any(0).nonzero().flatten()
        asked = {name: value for name, value in inputs.items() if name not in known}
        outputs = model(**asked, use_cache=False, logits_to_keep=kept)
        # a place's logits are about the token after it
        place = torch.searchsorted(kept, verdict_at - 1)
        loss = soft_loss(outputs.logits.float(), following[:, kept], place, p_second, self.verdicts)
        if num_items_in_batch is None:
            loss = loss / (following != IGNORED).sum()
        else:
            loss = loss / num_items_in_batch
            if self.args.average_tokens_across_devices:
                # the count is of every process, and their gradients are averaged
                loss = loss * (self.accelerator.num_processes // self.get_tp_size())
        return (loss, outputs) if return_outputs else loss


def soft_loss(
    logits: torch.Tensor, labels: torch.Tensor, place: torch.Tensor, p_second: torch.Tensor, verdicts: VerdictTokens
) -> torch.Tensor:
    """Sum the loss of every trained token; at its verdict a row has the cross-entropy against both.

    Args:
        logits: in float32, shape [rows, tokens, vocabulary].
        labels: the token after each place, or -100; shape [rows, tokens].
        place: of each row's verdict, shape [rows].
        p_second: P that the second response is the better one, shape [rows].
        verdicts: the two tokens that name a response.
    """
    each = cross_entropy(logits.transpose(1, 2), labels, ignore_index=IGNORED, reduction="none")
    rows = torch.arange(len(labels), device=labels.device)
    told = log_softmax(logits[rows, place], dim=-1)
    at_verdict = -(1 - p_second) * told[:, verdicts.first] - p_second * told[:, verdicts.second]
    return each.sum() - each[rows, place].sum() + at_verdict.sum()
