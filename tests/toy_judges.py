"""Tiny random judges of the profiles' other classes, each saved with its processor and chat template."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import (
    GotOcr2ImageProcessor,
    InternVLConfig,
    InternVLForConditionalGeneration,
    InternVLProcessor,
    InternVLVideoProcessor,
    LlavaOnevisionConfig,
    LlavaOnevisionForConditionalGeneration,
    LlavaOnevisionImageProcessor,
    LlavaOnevisionProcessor,
    LlavaOnevisionVideoProcessor,
    PreTrainedTokenizerFast,
    Qwen2VLImageProcessor,
    Qwen3VLConfig,
    Qwen3VLForConditionalGeneration,
    Qwen3VLProcessor,
    Qwen3VLVideoProcessor,
)

from harness.judge.format import PLAIN

GRID = [[28 * rows, 28 * columns] for rows in (1, 2) for columns in (1, 2)]


def tokenizer(special: list[str], named: dict[str, str] | None = None) -> PreTrainedTokenizerFast:
    """Learn a few hundred tokens from the prompt of general models."""
    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    kept = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", *special]
    bpe.train_from_iterator(
        [PLAIN.prompt, PLAIN.judgment("the circle is red.", 0)] * 4,
        trainers.BpeTrainer(
            vocab_size=500,
            special_tokens=kept,
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        ),
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=bpe, eos_token="<|im_end|>", pad_token="<|endoftext|>", extra_special_tokens=named or special
    )


def template(image: str) -> str:
    """Write a chat template in which an image is the token `image` on a line of its own."""
    return (
        "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{% if m['content'] is string %}{{ m['content'] }}"
        "{% else %}{% for part in m['content'] %}{% if part['type'] == 'image' %}" + image + "\n"
        "{% else %}{{ part['text'] }}{% endif %}{% endfor %}{% endif %}<|im_end|>\n{% endfor %}"
        "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
    )


def text_config(tokens: PreTrainedTokenizerFast, **more: Any) -> dict[str, Any]:
    return {
        "vocab_size": len(tokens), "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "head_dim": 16,
        "num_attention_heads": 2, "num_key_value_heads": 1, "max_position_embeddings": 8192, "bos_token_id": None,
        "eos_token_id": tokens.eos_token_id, "pad_token_id": tokens.pad_token_id, **more,
    }  # fmt: skip


TOWER = {"hidden_size": 32, "intermediate_size": 64}


def qwen3_vl() -> tuple[Any, Any]:
    special = ["<|vision_start|>", "<|vision_end|>", "<|image_pad|>", "<|video_pad|>"]
    tokens = tokenizer(special)
    ids = {
        f"{name}_token_id": tokens.convert_tokens_to_ids(token)
        for name, token in zip(("vision_start", "vision_end", "image", "video"), special, strict=True)
    }
    rope = {"rope_type": "default", "mrope_section": [2, 3, 3], "mrope_interleaved": True, "rope_theta": 1e4}
    config = Qwen3VLConfig(
        text_config=text_config(tokens, rope_parameters=rope),
        vision_config={**TOWER, "depth": 2, "num_heads": 2, "out_hidden_size": 32, "deepstack_visual_indexes": [0, 1]},
        **ids,
    )
    processor = Qwen3VLProcessor(
        image_processor=Qwen2VLImageProcessor(patch_size=16, size={"shortest_edge": 1024, "longest_edge": 16384}),
        tokenizer=tokens,
        video_processor=Qwen3VLVideoProcessor(),
        chat_template=template("<|vision_start|><|image_pad|><|vision_end|>"),
    )
    return Qwen3VLForConditionalGeneration(config), processor


def internvl() -> tuple[Any, Any]:
    named = {
        "start_image_token": "<img>",
        "end_image_token": "</img>",
        "context_image_token": "<IMG_CONTEXT>",
        "video_token": "<video>",
    }
    tokens = tokenizer(list(named.values()), named)
    config = InternVLConfig(
        text_config={"model_type": "qwen3", **text_config(tokens)},
        vision_config={**TOWER, "num_hidden_layers": 2, "num_attention_heads": 2, "image_size": [28, 28],
                       "patch_size": [14, 14], "attention_bias": True},
        image_token_id=tokens.convert_tokens_to_ids("<IMG_CONTEXT>"),
        image_seq_length=1,
    )  # fmt: skip
    processor = InternVLProcessor(
        image_processor=GotOcr2ImageProcessor(size={"height": 28, "width": 28}),
        tokenizer=tokens,
        video_processor=InternVLVideoProcessor(),
        image_seq_length=1,
        chat_template=template("<IMG_CONTEXT>"),
    )
    return InternVLForConditionalGeneration(config), processor


def llava_onevision() -> tuple[Any, Any]:
    tokens = tokenizer(["<image>", "<video>"])
    config = LlavaOnevisionConfig(
        text_config={"model_type": "qwen2", **text_config(tokens)},
        vision_config={**TOWER, "model_type": "siglip_vision_model", "num_hidden_layers": 2, "num_attention_heads": 2,
                       "image_size": 28, "patch_size": 14, "vision_use_head": False},
        image_token_id=tokens.convert_tokens_to_ids("<image>"),
        video_token_id=tokens.convert_tokens_to_ids("<video>"),
        image_grid_pinpoints=GRID,
    )  # fmt: skip
    processor = LlavaOnevisionProcessor(
        image_processor=LlavaOnevisionImageProcessor(size={"height": 28, "width": 28}, image_grid_pinpoints=GRID),
        tokenizer=tokens,
        video_processor=LlavaOnevisionVideoProcessor(),
        num_image_tokens=4,
        vision_feature_select_strategy="full",
        chat_template=template("<image>"),
    )
    return LlavaOnevisionForConditionalGeneration(config), processor


JUDGES: dict[str, Callable[[], tuple[Any, Any]]] = {
    "qwen3-vl-8b": qwen3_vl,
    "internvl3.5-8b": internvl,
    "llava-onevision-7b": llava_onevision,
}
"""By the profile whose class each has."""


def save_toy_judge(profile: str, folder: Path) -> None:
    """Build and save the small judge of a profile's class; it knows nothing."""
    torch.manual_seed(0)
    model, processor = JUDGES[profile]()
    model.generation_config.eos_token_id = processor.tokenizer.eos_token_id
    model.generation_config.pad_token_id = processor.tokenizer.pad_token_id
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
