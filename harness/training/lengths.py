"""How many tokens a training row takes, counted before training without decoding or scaling an image."""

from typing import Any

from harness.errors import HarnessError

ROWS_AT_A_TIME = 512
SAMPLE = 256
"""Rows, evenly spaced, whose tokens stand for those of all."""
PROBES = 3
"""Image sizes at which what a processor tells is compared with what it makes."""


class ImageTokens:
    """Counts the tokens by which an image lengthens a prompt, from its size alone."""

    def __init__(self, processor: Any) -> None:
        self.processor = processor
        self.known: dict[tuple[int, int], int] = {}
        self.tells = hasattr(processor, "_get_num_multimodal_tokens")
        self.probed = 0

    def __call__(self, size: tuple[int, int]) -> int:
        """Return how many tokens an image of `size` (width, height) adds to its placeholder."""
        if size not in self.known:
            self.known[size] = self._count(size)
        return self.known[size]

    def _count(self, size: tuple[int, int]) -> int:
        """Ask the processor, which is quick; believe it once it was right at a few sizes."""
        if self.tells and self.probed >= PROBES:
            return self._told(size)
        made = self._made(size)
        if self.tells:
            self.probed += 1
            self.tells = self._told(size) == made
        return made

    def _told(self, size: tuple[int, int]) -> int:
        told = self.processor._get_num_multimodal_tokens(image_sizes=[(size[1], size[0])])
        return int(told["num_image_tokens"][0]) - 1

    def _made(self, size: tuple[int, int]) -> int:
        """Let the processor read a blank image of that size."""
        from PIL import Image

        text = prompts(self.processor, [""])
        read = self.processor(images=[Image.new("RGB", size)], text=text)["input_ids"][0]
        return len(read) - len(self.processor.tokenizer(text).input_ids[0])


def prompts(processor: Any, texts: list[str]) -> list[str]:
    """Write each text as the processor's model is asked it, after an image."""
    chats = [[{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": text}]}] for text in texts]
    written: list[str] = processor.apply_chat_template(chats, add_generation_prompt=True)
    return written


def fitting(processor: Any, rows: Any, max_tokens: int | None, answers: tuple[str, ...]) -> tuple[Any, int]:
    """Leave out rows longer than `max_tokens`; return the rest and how many were left out.

    Args:
        processor: of the model that is trained.
        rows: a data set with the columns `image` and `prompt`, and `answers`.
        max_tokens: of prompt, image and the longest answer together; None keeps every row.
        answers: columns of which each row trains one at a time.

    Raises:
        HarnessError: if no row is left.
    """
    if max_tokens is None:
        return rows, 0
    image_tokens = ImageTokens(processor)

    def lengths(texts: list[str]) -> list[int]:
        return [len(ids) for ids in processor.tokenizer(texts).input_ids]

    kept = []
    for start in range(0, len(rows), ROWS_AT_A_TIME):
        batch = rows[start : start + ROWS_AT_A_TIME]
        asked = lengths(prompts(processor, [prompt[0]["content"] for prompt in batch["prompt"]]))
        said = [lengths([answer[0]["content"] for answer in batch[name]]) for name in answers]
        for place, longest in enumerate(map(max, zip(*said, strict=True))):
            if asked[place] + image_tokens(batch["image"][place].size) + longest <= max_tokens:
                kept.append(start + place)
    if not kept:
        raise HarnessError(
            f"every one of {len(rows)} training rows is longer than max_tokens = {max_tokens}.", "Raise it."
        )
    return rows.select(kept), len(rows) - len(kept)


def mean_tokens(processor: Any, rows: Any) -> float:
    """Return the mean tokens of a row of supervised training: prompt, image and answer, as the collator makes them.

    Args:
        processor: of the model that is trained.
        rows: a data set with the columns `image`, `prompt` and `completion`.
    """
    from trl.trainer.sft_trainer import DataCollatorForVisionLanguageModeling

    collate = DataCollatorForVisionLanguageModeling(processor, max_length=None, completion_only_loss=True)
    places = sorted({round(k * (len(rows) - 1) / (SAMPLE - 1)) for k in range(SAMPLE)})
    return float(sum(collate([rows[place]])["attention_mask"].sum().item() for place in places) / len(places))
