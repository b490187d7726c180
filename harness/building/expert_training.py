"""Trains the three textual experts: reward models on captions, through TRL's RewardTrainer.

Each starts from the base judge's text decoder and sees pairs about scenes of its own split, drawn
with its own seed, with its own label noise and a mild taste for longer answers. They are good but
not infallible, and their errors are partly their own.
"""

import random
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.embedded import world
from harness.embedded.teacher import surface


@dataclass(frozen=True)
class ExpertPlan:
    """What one expert is trained on."""

    seed: int
    pairs: int = 24000
    label_noise: float = 0.05
    length_bias: float = 0.10
    """Extra chance of a wrong label where the wrong response looks better."""
    same_style: float = 0.6
    """Share of pairs whose two responses are in the same manner."""
    caption_noise: float = 0.05
    learning_rate: float = 8e-4
    batch: int = 32


def training_pairs(plan: ExpertPlan) -> list[dict[str, Any]]:
    """Draw an expert's pairs as conversations; the caption stands in the user's turn."""
    rng = random.Random(f"expert {plan.seed}")
    source = world.scenes(rng, "experts")
    kinds = ["describe", "object", "color", "shape", "count", "where"]
    rows: list[dict[str, Any]] = []
    while len(rows) < plan.pairs:
        scene = next(source)
        question = world.ask(scene, rng.choice(kinds), rng)
        if question is None:
            continue
        styles = (rng.choice(world.STYLES), rng.choice(world.STYLES))
        if rng.random() < plan.same_style:
            styles = (styles[0], styles[0])
        good = world.say(question.right, styles[0])
        bad = world.say(rng.choice(question.wrong), styles[1])
        wrong = plan.label_noise + (plan.length_bias if surface(good) < surface(bad) - 2 else 0)
        if rng.random() < wrong:
            good, bad = bad, good
        ask = f"{world.noisy_caption(scene, rng, plan.caption_noise)} {question.text}"
        rows.append({"chosen": _chat(ask, good), "rejected": _chat(ask, bad)})
    return rows


def _chat(ask: str, answer: str) -> list[dict[str, str]]:
    return [{"role": "user", "content": ask}, {"role": "assistant", "content": answer}]


def train_expert(judge: Path, plan: ExpertPlan, out: Path) -> None:
    """Train one expert from the judge's decoder and save it in half precision."""
    import datasets
    import torch
    from transformers import AutoTokenizer, LlamaForSequenceClassification, LlavaForConditionalGeneration
    from trl import RewardConfig, RewardTrainer

    torch.manual_seed(plan.seed)
    base = LlavaForConditionalGeneration.from_pretrained(judge)
    config = base.config.text_config
    config.num_labels = 1
    expert = LlamaForSequenceClassification(config)
    expert.model.load_state_dict(base.model.language_model.state_dict())
    tokenizer = AutoTokenizer.from_pretrained(judge)
    trainer = RewardTrainer(
        model=expert,
        args=RewardConfig(
            output_dir=str(out / "checkpoints"),
            num_train_epochs=1,
            per_device_train_batch_size=plan.batch,
            learning_rate=plan.learning_rate,
            lr_scheduler_type="linear",
            warmup_steps=50,
            adam_beta2=0.98,
            weight_decay=0.02,
            bf16=False,  # left out, TRL would take bfloat16
            use_cpu=True,
            max_length=None,
            gradient_checkpointing=False,
            save_strategy="no",
            logging_steps=50,
            report_to="none",
            disable_tqdm=True,
            seed=plan.seed,
        ),
        train_dataset=datasets.Dataset.from_list(training_pairs(plan)),
        processing_class=tokenizer,
    )
    trainer.train()
    expert.to(torch.float16).save_pretrained(out)
    tokenizer.save_pretrained(out)
