"""The engine of a judge with a reward head: questions with one response each in, rewards out."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from trl.trainer.sft_trainer import DataCollatorForVisionLanguageModeling

from harness.engines.engine import Done, nobody
from harness.engines.meter import meter
from harness.engines.transformers_engine import batches, device, free
from harness.errors import HarnessError
from harness.judge.checkpoints import resolve
from harness.judge.format import RewardFormat, load_reward_format
from harness.judge.loading import load_model, load_processor
from harness.judge.value_head import put_value_head
from harness.settings import JudgeSettings


class Response(NamedTuple):
    """One response to a question."""

    asked: tuple[Any, ...]
    """Texts and images (`PIL.Image.Image`) in the order in which they are shown, in the words of the judge's format."""
    text: str

    @property
    def images(self) -> list[Any]:
        """The images of the question."""
        return [part for part in self.asked if not isinstance(part, str)]

    @property
    def length(self) -> int:
        """Its characters, those of its question included."""
        return sum(len(part) for part in (*self.asked, self.text) if isinstance(part, str))


class RewardEngine:
    """A vision-language model with a reward head, and its processor.

    Args:
        settings: name the model.
        precision: of its weights.
        batch_size: responses computed at once.
        head: `value-head`, where the head is trl's; None for one of ours.
    """

    weighs = True
    # the last bits of a reward depend on how its batch is padded
    independent = False

    def __init__(self, settings: JudgeSettings, precision: str, batch_size: int, head: str | None = None) -> None:
        format_ = RewardFormat() if head else load_reward_format(Path(settings.model))
        assert format_ is not None, "a checkpoint without a reward head is asked in words"
        self.name, self.format, self.batch_size = settings.model, format_, batch_size
        # each part of a row is made into tokens as training did
        self.collate = DataCollatorForVisionLanguageModeling(load_processor(settings), completion_only_loss=True)
        self.device = device()
        self.model = load_model(settings, precision, heads=True)
        if head:
            put_value_head(self.model, resolve(settings.model, settings.revision))
        self.model.to(self.device).eval()

    @torch.inference_mode()  # type: ignore[untyped-decorator]
    def rewards(self, responses: Sequence[Response], done: Done = nobody) -> list[float]:
        """Return the reward of each response, those of about one length together.

        Raises:
            HarnessError: if a reward is no number.
        """
        rewards = [0.0] * len(responses)
        lengths, pictured = [one.length for one in responses], [bool(one.images) for one in responses]
        for places in batches(lengths, pictured, self.batch_size):
            batch = self.collate([self._row(responses[i]) for i in places])
            del batch["labels"]
            meter().sent(len(places))
            meter().came(int(batch["attention_mask"].sum()), None)
            found = self.model(**{name: self._placed(value) for name, value in batch.items()})
            for place, value in zip(places, found.float().cpu().tolist(), strict=True):
                rewards[place] = value
            done(len(places))
        if not all(map(math.isfinite, rewards)):
            fix = "Compute in float32 (--set judging.precision=float32), or train at a lower rate."
            raise HarnessError(f"{self.name} gives a reward that is no number.", fix)
        return rewards

    def _row(self, response: Response) -> dict[str, Any]:
        asked = [{"type": "text", "text": p} if isinstance(p, str) else {"type": "image"} for p in response.asked]
        turns = (("prompt", "user", asked), ("completion", "assistant", response.text))
        said = {name: [{"role": role, "content": content}] for name, role, content in turns}
        return {"images": response.images, **said}

    def _placed(self, value: torch.Tensor) -> torch.Tensor:
        return value.to(self.device, self.model.dtype if value.is_floating_point() else None)

    def close(self) -> None:
        """Free the model's memory."""
        del self.model
        free()
