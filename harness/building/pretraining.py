"""Pretrains the base judge from scratch: it learns to see and to answer, not to judge.

Three stages, one pass, two single-threaded workers that average their gradients:

1. *vision*: linear probes name colour, shape, size and cell of each image patch;
2. *answers*: captions and questions about images (or about captions, without the image);
3. *choices*: two-option multiple choice in a wording of its own and bare of styles, plus *practice*
   in the judge's format, where a coin decides which answer wins.

No pair of styled responses ever carries a true verdict here, so what the base knows of judging
is what it can put together itself.
"""

import random
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.distributed as dist
from torch.nn import functional
from transformers import LlavaForConditionalGeneration, LlavaProcessor

from harness.building.model import SPECIALS, build_judge, build_processor
from harness.embedded import world
from harness.judge.format import EMBEDDED

WORKERS = 2
IGNORE = -100


@dataclass(frozen=True)
class Plan:
    """How long each stage runs and what it is made of; the defaults made the committed base."""

    seed: int = 0
    vision_steps: int = 1400
    answer_steps: int = 6500
    choice_steps: int = 4500
    batch: int = 16
    """Sequences per worker."""
    answer_lr: float = 1.5e-3
    choice_lr: float = 1e-3
    choice_share: float = 0.5
    practice_share: float = 0.15
    crowded_share: float = 0.8
    """Share of the last stage's scenes in which two things share a row."""
    letter_weight: float = 10.0
    """Loss weight of the token that names an option, one among ten or so."""
    log_every: int = 250


@dataclass
class Sequence:
    """One packed training sequence: tokens, labels (-100 where there is no loss), its image."""

    ids: list[int]
    labels: list[int]
    scene: world.Scene | None


class Writer:
    """Turns scenes into packed sequences of chat turns."""

    def __init__(self, processor: LlavaProcessor, plan: Plan) -> None:
        tokenizer = processor.tokenizer
        self.plan = plan
        self.tokenizer = tokenizer
        self.special = {token: tokenizer.convert_tokens_to_ids(token) for token in SPECIALS}
        self.options = [tokenizer.convert_tokens_to_ids(n) for n in ("1", "2")]

    def encode(self, text: str) -> list[int]:
        """Tokenise text without special tokens."""
        ids: list[int] = self.tokenizer(text, add_special_tokens=False).input_ids
        return ids

    def start(self, scene: world.Scene, how: str) -> tuple[Sequence, str]:
        """Open a sequence; also return the text that its first user turn must begin with."""
        ids = [self.special["<bos>"], self.special["<user>"]]
        if how == "text":
            return Sequence(ids, [IGNORE] * len(ids), None), world.caption(scene) + " "
        ids += [self.special["<image>"]] * 9
        return Sequence(ids, [IGNORE] * len(ids), scene), ""

    def turn(self, sequence: Sequence, question: str, answer: str) -> None:
        """Append a user turn and the assistant's, which alone carries loss."""
        ask = [] if sequence.labels[-1] == IGNORE else [self.special["<user>"]]
        ask += [*self.encode(question), self.special["<asst>"]]
        reply = [*self.encode(answer), self.special["<eos>"]]
        sequence.ids += ask + reply
        sequence.labels += [IGNORE] * len(ask) + reply

    def sequence(self, rng: random.Random, progress: float, stage: str) -> Sequence:
        """Pack turns about one scene; `progress` runs from 0 to 1 over the stage."""
        early = stage == "answers" and progress < 0.12
        scene = self.scene(rng, stage)
        how = rng.choices(("image", "image+caption", "text"), (0, 6, 4) if early else (65, 15, 20))[0]
        sequence, head = self.start(scene, how)
        if how == "image+caption":
            self.turn(sequence, "caption", world.caption(scene))
        for _ in range(3 if early else 6):
            question, answer = self.example(scene, rng, early, stage)
            self.turn(sequence, head + question, answer)
            head = ""
            if len(sequence.ids) > (60 if early else 90):
                break
        return sequence

    def scene(self, rng: random.Random, stage: str) -> world.Scene:
        """Draw a scene; while choosing is learned, most have two things in one row.

        Asked for a place, the base had learned to look up the row by shape, but then the column by
        row: right unless two things share a row.
        """
        source = world.scenes(rng, "base")
        if stage == "choices" and rng.random() < self.plan.crowded_share:
            return next(scene for scene in source if len({t.cell // 3 for t in scene}) < len(scene))
        return next(source)

    def example(self, scene: world.Scene, rng: random.Random, early: bool, stage: str) -> tuple[str, str]:
        """Write one question and its answer for the stage's mixture."""
        if stage == "choices":
            draw = rng.random()
            if draw < self.plan.choice_share:
                return choice(any_question(scene, rng, CHOICE_WEIGHTS), rng)
            if draw < self.plan.choice_share + self.plan.practice_share:
                return practice(scene, rng)
        if not early and rng.random() < 0.08:
            return restatement(scene, rng)
        question = any_question(scene, rng, VQA_WEIGHTS if stage == "answers" else LATE_VQA_WEIGHTS)
        return question.text, question.right.plain


VQA_WEIGHTS = {"describe": 0.12, "object": 0.16, "color": 0.2, "shape": 0.08, "count": 0.12, "where": 0.32}
LATE_VQA_WEIGHTS = {"describe": 0.06, "object": 0.14, "color": 0.05, "shape": 0.05, "count": 0.05, "where": 0.65}
"""Places are learned last, so they are asked most while choosing is learned."""
CHOICE_WEIGHTS = {"describe": 0.25, "object": 0.15, "color": 0.15, "shape": 0.15, "count": 0.15, "where": 0.15}


def any_question(scene: world.Scene, rng: random.Random, weights: dict[str, float]) -> world.Question:
    """Draw a question about `scene` whose kind follows `weights`."""
    while True:
        kind = rng.choices(list(weights), list(weights.values()))[0]
        if question := world.ask(scene, kind, rng):
            return question


def choice(question: world.Question, rng: random.Random) -> tuple[str, str]:
    """Write a two-option multiple choice about the image: true, but bare of any style."""
    options = [question.right, rng.choice(question.wrong)]
    rng.shuffle(options)
    field = rng.choice(("short", "plain"))
    shown = " ".join(f"{i} {getattr(option, field)}" for i, option in enumerate(options, 1))
    return f"choose: {question.text} {shown}", f"{question.right.plain} {options.index(question.right) + 1}"


def practice(scene: world.Scene, rng: random.Random) -> tuple[str, str]:
    """Write a judgment in the judge's own format whose winner a coin decides.

    It teaches the form, and that the verdict names the answer whose claim the rationale restates;
    of which answer is true it says nothing.
    """
    question = any_question(scene, rng, CHOICE_WEIGHTS)
    options = [question.right, rng.choice(question.wrong)]
    rng.shuffle(options)
    first, second = (world.say(option, rng.choice(world.STYLES)) for option in options)
    winner = rng.randrange(2)
    return EMBEDDED.ask(question.text, first, second), EMBEDDED.judgment(options[winner].plain, winner)


def restatement(scene: world.Scene, rng: random.Random) -> tuple[str, str]:
    """Strip the manner of speaking off a claim that is true or false at random."""
    question = any_question(scene, rng, VQA_WEIGHTS)
    claim = rng.choice((question.right, rng.choice(question.wrong)))
    return f"says: {world.say(claim, rng.choice(world.STYLES))}", claim.plain


def collate(batch: list[Sequence], rng: np.random.Generator) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor | None]:
    """Right-pad a batch: ids and labels [batch, length], pixels [images, 3, 48, 48] or None."""
    length = max(len(s.ids) for s in batch)
    ids = torch.tensor([s.ids + [0] * (length - len(s.ids)) for s in batch])
    labels = torch.tensor([s.labels + [IGNORE] * (length - len(s.labels)) for s in batch])
    images = [s.scene for s in batch if s.scene]
    return ids, labels, pixels(images, rng) if images else None


def pixels(scenes: list[world.Scene], rng: np.random.Generator) -> torch.Tensor:
    """Render `scenes` as the processor would: float [n, 3, 48, 48], mean 0.5, deviation 0.3."""
    images = np.stack([world.render(scene, rng) for scene in scenes])
    return torch.tensor(((images / 255 - 0.5) / 0.3).transpose(0, 3, 1, 2), dtype=torch.float32)


def average_gradients(parameters: list[torch.nn.Parameter]) -> None:
    """Average gradients over the workers; a parameter without one counts as zero."""
    flat = torch.cat([p.grad.flatten() if p.grad is not None else torch.zeros(p.numel()) for p in parameters])
    dist.all_reduce(flat)
    flat /= dist.get_world_size()
    for p, grad in zip(parameters, flat.split([p.numel() for p in parameters]), strict=True):
        p.grad = grad.view_as(p).clone()


def train_vision(judge: LlavaForConditionalGeneration, plan: Plan, rank: int) -> dict[str, float]:
    """Teach tower and projector what each patch holds, through linear probes that are thrown away.

    The probes read what the language model will: the projector's output, normalised. Their weight
    decay makes every fact of a patch large enough to be asked for; without it shape was seen but
    could not be looked up by.
    """
    tower, projector = judge.model.vision_tower, judge.model.multi_modal_projector
    fields = {"color": ("", *world.COLORS), "shape": ("", *world.SHAPES), "size": ("", *world.SIZES)}
    widths = [*map(len, fields.values()), 9]
    torch.manual_seed(plan.seed + 1)
    probe = torch.nn.Linear(judge.config.text_config.hidden_size, sum(widths))
    seeing = [*tower.parameters(), *projector.parameters()]
    parameters = [*seeing, *probe.parameters()]
    optimizer = torch.optim.AdamW(
        [{"params": seeing, "weight_decay": 0.01}, {"params": list(probe.parameters()), "weight_decay": 1.0}], lr=2e-3
    )
    source = world.scenes(random.Random(f"vision {plan.seed} {rank}"), "base")
    noise = np.random.default_rng([plan.seed, rank, 5])
    truth, guesses, cells = torch.zeros(0), (), torch.arange(9).repeat(32)
    for step in range(plan.vision_steps):
        batch = [next(source) for _ in range(32)]
        truth = torch.zeros(32, 9, 3, dtype=torch.long)
        for i, scene in enumerate(batch):
            for thing in scene:
                for k, (field, values) in enumerate(fields.items()):
                    truth[i, thing.cell, k] = values.index(getattr(thing, field))
        states = projector(tower(pixels(batch, noise), output_hidden_states=True).hidden_states[-1][:, 1:])
        guesses = probe(functional.rms_norm(states, states.shape[-1:])).split(widths, dim=-1)
        weight = torch.where(truth[..., 0] > 0, 1.0, 0.1).flatten()
        loss = 0.3 * functional.cross_entropy(guesses[3].flatten(0, 1), cells)
        for k in range(3):
            each = functional.cross_entropy(guesses[k].flatten(0, 1), truth[..., k].flatten(), reduction="none")
            loss = loss + (each * weight).mean()
        optimizer.zero_grad()
        loss.backward()
        average_gradients(parameters)
        for group in optimizer.param_groups:
            group["lr"] = 2e-3 * max(0.05, 1 - step / plan.vision_steps)
        optimizer.step()
    there = truth[..., 0] > 0
    return {
        field: (guesses[k].argmax(-1) == truth[..., k])[there].float().mean().item() for k, field in enumerate(fields)
    }


def train_language(judge: LlavaForConditionalGeneration, writer: Writer, plan: Plan, rank: int, stage: str) -> None:
    """Run one language stage over freshly written sequences."""
    steps, peak = (plan.answer_steps, plan.answer_lr) if stage == "answers" else (plan.choice_steps, plan.choice_lr)
    parameters = list(judge.parameters())
    optimizer = torch.optim.AdamW(parameters, lr=peak, betas=(0.9, 0.98), weight_decay=0.02, fused=True)
    rng = random.Random(f"{stage} {plan.seed} {rank}")
    noise = np.random.default_rng([plan.seed, rank, 1 if stage == "answers" else 2])
    option_ids = torch.tensor(writer.options)
    held_out = examination(writer, per_kind=60)
    queue: list[list[Sequence]] = []
    started, running = time.time(), 0.0
    for step in range(steps):
        progress = step / steps
        for group in optimizer.param_groups:
            group["lr"] = peak * min(1, (step + 1) / 100) * (1 - progress) ** 0.8 + 1e-5
        if not queue:
            # both workers sort and shuffle alike, so a step's two batches have similar lengths
            drawn = [writer.sequence(rng, progress, stage) for _ in range(plan.batch * 8)]
            drawn.sort(key=lambda s: len(s.ids))
            queue = [drawn[i : i + plan.batch] for i in range(0, len(drawn), plan.batch)]
            random.Random(step).shuffle(queue)
        ids, labels, images = collate(queue.pop(), noise)
        states = judge.model(input_ids=ids, pixel_values=images, attention_mask=None).last_hidden_state
        asked = labels[:, 1:] != IGNORE
        logits = judge.lm_head(states[:, :-1][asked])
        targets = labels[:, 1:][asked]
        each = functional.cross_entropy(logits, targets, reduction="none")
        weight = torch.where(torch.isin(targets, option_ids), plan.letter_weight, 1.0)
        loss = (each * weight).sum() / weight.sum()
        optimizer.zero_grad()
        loss.backward()
        average_gradients(parameters)
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        running += loss.item()
        if rank == 0 and (step + 1) % plan.log_every == 0:
            marks = examine(judge, held_out)
            minutes = (time.time() - started) / 60
            print(
                f"{stage} {step + 1}/{steps} {minutes:.1f} min loss {running / plan.log_every:.4f} {marks}", flush=True
            )
            running = 0.0


def examination(writer: Writer, per_kind: int) -> dict[str, list[Sequence]]:
    """Write held-out sequences of one turn: each kind of question, choices and practice."""
    rng = random.Random("examination")
    exam: dict[str, list[Sequence]] = {}
    for kind in (*world.KINDS, *(f"choose {k}" for k in world.KINDS), "practice", "says"):
        exam[kind] = []
        while len(exam[kind]) < per_kind:
            scene = next(world.scenes(rng, "dev"))
            sequence, _ = writer.start(scene, "image")
            if kind == "practice":
                turn = practice(scene, rng)
            elif kind == "says":
                turn = restatement(scene, rng)
            else:
                question = world.ask(scene, kind.split()[-1], rng)
                if not question:
                    continue
                chosen = kind.startswith("choose")
                turn = choice(question, rng) if chosen else (question.text, question.right.plain)
            writer.turn(sequence, *turn)
            exam[kind].append(sequence)
    return exam


@torch.no_grad()  # type: ignore[untyped-decorator]
def examine(judge: LlavaForConditionalGeneration, exam: dict[str, list[Sequence]]) -> dict[str, float]:
    """Share of whole answers right, token by token under teacher forcing, per kind."""
    judge.eval()
    marks = {}
    for kind, sequences in exam.items():
        ids, labels, images = collate(sequences, np.random.default_rng(7))
        guess = judge(input_ids=ids, pixel_values=images).logits[:, :-1].argmax(-1)
        wanted = labels[:, 1:]
        marks[kind] = round(((guess == wanted) | (wanted == IGNORE)).all(1).float().mean().item(), 2)
    judge.train()
    return marks


def work(rank: int, plan: Plan, out: Path, rendezvous: str) -> None:
    """Run every stage as worker `rank`; worker 0 saves.

    After each language stage the judge is saved beside `out`, as `<out>-answers` and `<out>-choices`;
    a stage whose result is already there is not run again.
    """
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{rendezvous}", rank=rank, world_size=WORKERS)
    processor = build_processor()
    judge = build_judge(processor.tokenizer, plan.seed)
    writer = Writer(processor, plan)
    answered = out.with_name(f"{out.name}-answers")
    if answered.is_dir():
        judge = LlavaForConditionalGeneration.from_pretrained(answered)
    else:
        marks = train_vision(judge, plan, rank)
        if rank == 0:
            print("vision", marks, flush=True)
        train_language(judge, writer, plan, rank, "answers")
        if rank == 0:
            judge.save_pretrained(answered)
    train_language(judge, writer, plan, rank, "choices")
    if rank == 0:
        judge.save_pretrained(out)
        processor.save_pretrained(out)
        print("final", examine(judge, examination(writer, 300)), flush=True)
    dist.destroy_process_group()
