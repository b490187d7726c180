"""The engine in this process: batched generation by transformers, with the probability of each verdict."""

import gc
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import AutoModelForSequenceClassification, LogitsProcessor, LogitsProcessorList

from harness.engines.engine import Answer, Decoding, Done, Question, nobody, seed_of
from harness.engines.meter import meter
from harness.errors import HarnessError
from harness.judge.checkpoints import loading, resolve, revised
from harness.judge.format import PLAIN, JudgeFormat, load_format
from harness.judge.loading import VerdictTokens, load_model, load_processor, verdict_tokens
from harness.protocols.reading import read_strict
from harness.settings import JudgeSettings


def device() -> torch.device:
    """Return what models run on here."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def free() -> None:
    """Give back the memory of what is no longer held."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


class _WatchVerdict(LogitsProcessor):  # type: ignore[misc]
    """Keeps, for each step, log-odds of the first verdict token against the second."""

    def __init__(self, tokens: VerdictTokens) -> None:
        self.tokens = tokens
        self.odds: list[torch.Tensor] = []

    def __call__(self, input_ids: torch.LongTensor, scores: torch.FloatTensor) -> torch.FloatTensor:
        self.odds.append((scores[:, self.tokens.first] - scores[:, self.tokens.second]).float().cpu())
        return scores


class _Draw(LogitsProcessor):  # type: ignore[misc]
    """Leaves each sequence one token, drawn by its own stream of uniform numbers.

    The library draws a whole batch from one stream, so that an answer depends on its neighbours; here a
    question's draws are its own, in whatever batch it stands.
    """

    def __init__(self, uniform: torch.Tensor, decoding: Decoding) -> None:
        """Take `uniform`, [sequences, steps] in [0, 1)."""
        self.uniform, self.decoding = uniform, decoding
        self.step = 0

    def __call__(self, input_ids: torch.LongTensor, scores: torch.FloatTensor) -> torch.FloatTensor:
        p = torch.softmax(scores.double() / self.decoding.temperature, dim=-1)
        p, tokens = p.sort(dim=-1, descending=True, stable=True)
        total = p.cumsum(dim=-1)
        if self.decoding.top_p < 1:
            # the token that crosses top_p still belongs to the nucleus
            p = p.masked_fill(total - p >= self.decoding.top_p, 0)
            total = p.cumsum(dim=-1)
        wanted = self.uniform[:, self.step : self.step + 1] * total[:, -1:]
        place = (total <= wanted).sum(dim=-1, keepdim=True).clamp(max=p.shape[-1] - 1)
        self.step += 1
        return torch.full_like(scores, -torch.inf).scatter(1, tokens.gather(1, place), 0.0)


class TransformersEngine:
    """A vision-language model with its processor and format."""

    weighs = True
    # the last bits of an answer depend on how its batch is padded
    independent = False
    at_once = 128

    def __init__(self, settings: JudgeSettings, precision: str, batch_size: int) -> None:
        ref = resolve(settings.model, settings.revision)
        self.fingerprint = ref.fingerprint
        self.batch_size = batch_size
        self.processor = load_processor(settings)
        self.device = device()
        self.model = load_model(settings, precision).to(self.device).eval()
        self.format = load_format(Path(ref.location)) if Path(ref.location).is_dir() else None
        self.verdicts = verdict_tokens(self.processor.tokenizer, self.format or PLAIN)

    @classmethod
    def around(cls, model: Any, processor: Any, format_: JudgeFormat, batch_size: int) -> "TransformersEngine":
        """Let a model that is already loaded answer, such as one in training."""
        engine = cls.__new__(cls)
        engine.fingerprint, engine.batch_size = "", batch_size
        engine.processor, engine.format = processor, format_
        engine.model, engine.device = model, model.device
        engine.verdicts = verdict_tokens(processor.tokenizer, format_)
        return engine

    def answer(
        self, questions: Sequence[Question], decoding: Decoding, seed: int = 0, done: Done = nobody
    ) -> list[list[Answer]]:
        """Answer each question `decoding.samples` times; samples of one question share its prefill."""
        answers: list[list[Answer]] = [[] for _ in questions]
        for batch in _alike(questions, max(1, self.batch_size // decoding.samples)):
            for place, drawn in zip(batch, self._answer([questions[i] for i in batch], decoding, seed), strict=True):
                answers[place] = drawn
                meter().asked(drawn)
            done(len(batch))
        return answers

    def weigh(self, questions: Sequence[Question], done: Done = nobody) -> list[Answer]:
        """Return P(first) of each question from one forward pass."""
        format_ = self.format or PLAIN
        tokenizer = self.processor.tokenizer
        one, two = (tokenizer(format_.judgment("", i), add_special_tokens=False).input_ids for i in (0, 1))
        shared = next(i for i, (a, b) in enumerate(zip(one, two, strict=True)) if a != b)
        opening = tokenizer.decode(one[:shared])
        answers: dict[int, Answer] = {}
        for batch in _alike(questions, self.batch_size):
            inputs = self._encode([questions[i] for i in batch], opening)
            _, odds = self._generate(inputs, Decoding(1))
            p = torch.sigmoid(odds[:, 0].double()).tolist()
            for place, p_first, read in zip(batch, p, _lengths(inputs), strict=True):
                text = format_.judgment("", int(p_first < 0.5))
                answers[place] = Answer(text, p_first, 1, prompt_tokens=read, requests=1)
                meter().asked([answers[place]])
            done(len(batch))
        return [answers[place] for place in range(len(questions))]

    def close(self) -> None:
        """Free the model's memory, lest the next stage finds it taken."""
        del self.model
        free()

    def _answer(self, questions: list[Question], decoding: Decoding, seed: int) -> list[list[Answer]]:
        drawing: LogitsProcessor | None = None
        if decoding.temperature > 0:
            shape = (decoding.samples, decoding.max_new_tokens)
            numbers = [np.random.default_rng(seed_of(q, seed)).random(shape) for q in questions]
            drawing = _Draw(torch.from_numpy(np.concatenate(numbers)).to(self.device), decoding)
        inputs = self._encode(questions)
        tokens, odds = self._generate(inputs, decoding, drawing)
        texts = self.processor.batch_decode(tokens, skip_special_tokens=True)
        flat = [
            self._read(text, row, odds[i]) for i, (text, row) in enumerate(zip(texts, tokens.tolist(), strict=True))
        ]
        drawn = [flat[i : i + decoding.samples] for i in range(0, len(flat), decoding.samples)]
        # a question is read once, for its first answer
        return [
            [first._replace(prompt_tokens=read, requests=1), *(a._replace(prompt_tokens=0, requests=0) for a in others)]
            for (first, *others), read in zip(drawn, _lengths(inputs), strict=True)
        ]

    @torch.inference_mode()  # type: ignore[untyped-decorator]
    def _generate(
        self, inputs: Any, decoding: Decoding, drawing: LogitsProcessor | None = None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return new tokens and, step by step, the log-odds of the two verdict tokens, both [sequences, steps]."""
        length = inputs["input_ids"].shape[1]
        if decoding.samples > 1:
            inputs = self._prefilled(inputs, decoding.samples)
        watch = _WatchVerdict(self.verdicts)
        tokens = self.model.generate(
            **inputs,
            **GREEDY,
            max_new_tokens=decoding.max_new_tokens,
            logits_processor=LogitsProcessorList([watch] if drawing is None else [watch, drawing]),
            **({"stop_strings": list(decoding.stop), "tokenizer": self.processor.tokenizer} if decoding.stop else {}),
        )
        return tokens[:, length:], torch.stack(watch.odds, dim=1)

    def _prefilled(self, inputs: Any, samples: int) -> dict[str, Any]:
        """Read all of each prompt but its last token once, and repeat what was read for each sample."""
        along = [key for key, value in inputs.items() if value.shape[:2] == inputs["input_ids"].shape]
        head = {key: value[:, :-1] if key in along else value for key, value in inputs.items()}
        read = self.model.generate(**head, **GREEDY, max_new_tokens=1, return_dict_in_generate=True)
        cache = read.past_key_values
        cache.batch_repeat_interleave(samples)
        inner = self.model.model
        if getattr(inner, "rope_deltas", None) is not None:
            # Qwen's models keep the shift of positions behind an image apart from the cache
            inner.rope_deltas = inner.rope_deltas.repeat_interleave(samples, dim=0)
        again = ("input_ids", "attention_mask")
        return {key: inputs[key].repeat_interleave(samples, dim=0) for key in again} | {"past_key_values": cache}

    def _encode(self, questions: list[Question], opening: str = "") -> Any:
        """Put questions to the model; `opening` is what its answer already begins with."""
        chats = [
            self.processor.apply_chat_template(
                [{"role": "user", "content": [_content(part) for part in q.parts]}], add_generation_prompt=True
            )
            + opening
            for q in questions
        ]
        images = [[image.convert("RGB") for image in q.images] for q in questions]
        encoded = self.processor(
            images=images if any(images) else None,
            text=chats,
            padding=True,
            padding_side="left",
            add_special_tokens=False,
            return_tensors="pt",
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


GREEDY: dict[str, Any] = {"do_sample": False, "temperature": None, "top_p": None, "top_k": None, "num_beams": 1}
"""Sampling is ours (`_Draw`), so the library always takes the likeliest token."""


def _lengths(inputs: Any) -> list[int]:
    """Count the tokens of each prompt, those of its images included, padding not."""
    lengths: list[int] = inputs["attention_mask"].sum(dim=1).tolist()
    return lengths


def _content(part: Any) -> dict[str, str]:
    return {"type": "text", "text": part} if isinstance(part, str) else {"type": "image"}


def batches(lengths: Sequence[int], pictured: Sequence[bool], size: int) -> Iterator[list[int]]:
    """Yield places in batches, long texts together, so that little is padded; those without images apart.

    Args:
        lengths: of the texts, in any unit.
        pictured: whether images stand with each.
        size: the most in a batch.
    """
    for kind in (True, False):
        order = sorted((i for i, there in enumerate(pictured) if there == kind), key=lambda i: (lengths[i], i))
        for start in range(0, len(order), size):
            yield order[start : start + size]


def _alike(questions: Sequence[Question], size: int) -> Iterator[list[int]]:
    return batches([len(q.text) for q in questions], [bool(q.images) for q in questions], size)


class TransformersScorer:
    """A sequence-classification reward model with a single label."""

    def __init__(self, name: str, precision: str, batch_size: int) -> None:
        name, revision = revised(name)
        ref = resolve(name, revision)
        self.batch_size = batch_size
        with loading(name):
            self.model, loaded = AutoModelForSequenceClassification.from_pretrained(
                ref.location,
                revision=ref.revision,
                num_labels=1,
                dtype=getattr(torch, precision),
                use_safetensors=True,
                output_loading_info=True,
            )
        if missing := [key for key in loaded["missing_keys"] if key.startswith(("score", "classifier"))]:
            # it would be drawn at random, and filter the data with noise
            raise HarnessError(
                f"expert {name!r} is no reward model: it lacks {missing[0]}.", "Name one with a score head."
            )
        self.device = device()
        self.model.to(self.device).eval()
        self.config = self.model.config.get_text_config()
        self.padding = self.config.pad_token_id

    @torch.inference_mode()  # type: ignore[untyped-decorator]
    def score(self, texts: Sequence[Sequence[int]], done: Done = nobody) -> list[float]:
        """Score texts, the long ones together."""
        order = sorted(range(len(texts)), key=lambda i: (len(texts[i]), i))
        scores = [0.0] * len(texts)
        if self.padding is None:
            # the model takes its score from the last token that is no padding, so padding must be in no text
            used = {token for text in texts for token in text}
            self.config.pad_token_id = next(i for i in range(self.config.vocab_size) if i not in used)
        for start in range(0, len(order), self.batch_size):
            batch = order[start : start + self.batch_size]
            meter().sent(len(batch))
            meter().came(sum(len(texts[place]) for place in batch), None)
            longest = len(texts[batch[-1]])
            ids = torch.full((len(batch), longest), self.config.pad_token_id)
            mask = torch.zeros_like(ids)
            for row, place in enumerate(batch):
                ids[row, : len(texts[place])] = torch.tensor(texts[place])
                mask[row, : len(texts[place])] = 1
            logits = self.model(input_ids=ids.to(self.device), attention_mask=mask.to(self.device)).logits
            for place, value in zip(batch, logits[:, 0].float().cpu().tolist(), strict=True):
                scores[place] = value
            done(len(batch))
        return scores

    def close(self) -> None:
        """Free the model's memory."""
        del self.model
        free()
