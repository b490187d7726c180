"""A judge that answers: batched generation with the probability of its verdict."""

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from PIL import Image
from transformers import LogitsProcessor, LogitsProcessorList

from harness.config import JudgeSettings
from harness.judge.checkpoints import resolve
from harness.judge.format import PLAIN, JudgeFormat, load_format
from harness.judge.loading import VerdictTokens, load_model, load_processor, verdict_tokens
from harness.protocols.reading import read_strict


class Question(NamedTuple):
    """One presentation: an image and the prompt about it."""

    image: Image.Image
    prompt: str


class Answer(NamedTuple):
    """One answer: its text, P(first) where a verdict was named, and its length in tokens."""

    text: str
    p_first: float | None
    tokens: int


class Decoding(NamedTuple):
    """How answers are drawn; temperature 0 is greedy."""

    max_new_tokens: int
    temperature: float = 0.0
    top_p: float = 1.0
    samples: int = 1


class _WatchVerdict(LogitsProcessor):  # type: ignore[misc]
    """Keeps, for each step, log-odds of the first verdict token against the second."""

    def __init__(self, tokens: VerdictTokens) -> None:
        self.tokens = tokens
        self.odds: list[torch.Tensor] = []

    def __call__(self, input_ids: torch.LongTensor, scores: torch.FloatTensor) -> torch.FloatTensor:
        self.odds.append((scores[:, self.tokens.first] - scores[:, self.tokens.second]).float().cpu())
        return scores


class Judge:
    """A vision-language model with its processor and format."""

    def __init__(self, settings: JudgeSettings, precision: str) -> None:
        ref = resolve(settings.model, settings.revision)
        self.fingerprint = ref.fingerprint
        self.processor = load_processor(settings)
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self.model = load_model(settings, precision).to(self.device).eval()
        self.format = load_format(Path(ref.location)) if Path(ref.location).is_dir() else None
        self.verdicts = verdict_tokens(self.processor.tokenizer, self.format or PLAIN)

    @classmethod
    def around(cls, model: Any, processor: Any, format_: JudgeFormat) -> "Judge":
        """Let a model that is already loaded answer, such as one in training."""
        judge = cls.__new__(cls)
        judge.fingerprint, judge.processor, judge.format = "", processor, format_
        judge.model, judge.device = model, model.device
        judge.verdicts = verdict_tokens(processor.tokenizer, format_)
        return judge

    def answer(
        self,
        questions: Sequence[Question],
        decoding: Decoding,
        batch_size: int,
        seed: int = 0,
        on_batch: Callable[[int], None] = lambda done: None,
    ) -> list[list[Answer]]:
        """Answer each question `decoding.samples` times.

        Args:
            questions: what is asked; the result keeps their order.
            decoding: greedy or sampled, and how long an answer may be.
            batch_size: sequences generated at once, samples included.
            seed: with the batch's content, decides what is drawn.
            on_batch: told how many questions each batch finished.
        """
        answers: list[list[Answer]] = [[] for _ in questions]
        per_batch = max(1, batch_size // decoding.samples)
        # long prompts together, so that little is padded
        order = sorted(range(len(questions)), key=lambda i: (len(questions[i].prompt), i))
        for start in range(0, len(order), per_batch):
            batch = order[start : start + per_batch]
            for place, drawn in zip(batch, self._answer([questions[i] for i in batch], decoding, seed), strict=True):
                answers[place] = drawn
            on_batch(len(batch))
        return answers

    def weigh(self, questions: Sequence[Question], batch_size: int) -> list[Answer]:
        """Return P(first) of each question from one forward pass, with no rationale before the verdict.

        An answer's text is the verdict that the larger probability names.
        """
        format_ = self.format or PLAIN
        tokenizer = self.processor.tokenizer
        one, two = (tokenizer(format_.judgment("", i), add_special_tokens=False).input_ids for i in (0, 1))
        shared = next(i for i, (a, b) in enumerate(zip(one, two, strict=True)) if a != b)
        opening = tokenizer.decode(one[:shared])
        answers: dict[int, Answer] = {}
        order = sorted(range(len(questions)), key=lambda i: (len(questions[i].prompt), i))
        for start in range(0, len(order), batch_size):
            batch = order[start : start + batch_size]
            _, odds = self._generate([questions[i] for i in batch], Decoding(1), opening)
            for place, p_first in zip(batch, torch.sigmoid(odds[:, 0].double()).tolist(), strict=True):
                answers[place] = Answer(format_.judgment("", int(p_first < 0.5)), p_first, 1)
        return [answers[place] for place in range(len(questions))]

    def _answer(self, questions: list[Question], decoding: Decoding, seed: int) -> list[list[Answer]]:
        if decoding.temperature > 0:
            content = hashlib.sha256("\0".join(q.prompt for q in questions).encode()).digest()
            torch.manual_seed((seed << 32) + int.from_bytes(content[:4], "big"))
        tokens, odds = self._generate(questions, decoding)
        texts = self.processor.batch_decode(tokens, skip_special_tokens=True)
        flat = [
            self._read(text, row, odds[i]) for i, (text, row) in enumerate(zip(texts, tokens.tolist(), strict=True))
        ]
        return [flat[i : i + decoding.samples] for i in range(0, len(flat), decoding.samples)]

    @torch.inference_mode()  # type: ignore[untyped-decorator]
    def _generate(
        self, questions: list[Question], decoding: Decoding, opening: str = ""
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return new tokens and, step by step, the log-odds of the two verdict tokens, both [sequences, steps]."""
        inputs = self._encode(questions, opening)
        watch = _WatchVerdict(self.verdicts)
        if decoding.temperature > 0:
            drawing: dict[str, Any] = {"do_sample": True, "top_k": 0, "top_p": decoding.top_p}
            drawing["temperature"] = decoding.temperature
        else:
            drawing = {"do_sample": False, "temperature": None, "top_p": None, "top_k": None}
        tokens = self.model.generate(
            **inputs,
            **drawing,
            num_beams=1,
            num_return_sequences=decoding.samples,
            max_new_tokens=decoding.max_new_tokens,
            logits_processor=LogitsProcessorList([watch]),
        )
        return tokens[:, inputs["input_ids"].shape[1] :], torch.stack(watch.odds, dim=1)

    def _encode(self, questions: list[Question], opening: str = "") -> Any:
        """Put questions to the model; `opening` is what its answer already begins with."""
        chats = [
            self.processor.apply_chat_template(
                [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": q.prompt}]}],
                add_generation_prompt=True,
            )
            + opening
            for q in questions
        ]
        images = [[q.image.convert("RGB")] for q in questions]
        encoded = self.processor(
            images=images, text=chats, padding=True, padding_side="left", add_special_tokens=False, return_tensors="pt"
        )
        return encoded.to(self.device, dtype=self.model.dtype)

    def _read(self, text: str, tokens: list[int], odds: torch.Tensor) -> Answer:
        """Find the token that named the verdict, and how sure it was."""
        length = next((i for i, t in enumerate(tokens) if t in self._ends), len(tokens))
        reading = read_strict(text)
        named = {"first": self.verdicts.first, "second": self.verdicts.second}.get(str(reading))
        steps = [i for i, token in enumerate(tokens[:length]) if token == named]
        p_first = torch.sigmoid(odds[steps[-1]].double()).item() if steps else None
        return Answer(text.strip(), p_first, length)

    @property
    def _ends(self) -> set[int]:
        ends = self.model.generation_config.eos_token_id
        ends = ends if isinstance(ends, list) else [ends]
        return {*ends, self.processor.tokenizer.pad_token_id} - {None}
