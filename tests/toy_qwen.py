"""A tiny random Qwen2.5-VL, the class of the real profile, saved with processor and chat template."""

from pathlib import Path

import torch
import trl
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import (
    PreTrainedTokenizerFast,
    Qwen2_5_VLConfig,
    Qwen2_5_VLForConditionalGeneration,
    Qwen2_5_VLProcessor,
    Qwen2VLImageProcessor,
    Qwen2VLVideoProcessor,
)

from harness.judge.format import PLAIN

SPECIALS = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|vision_start|>", "<|vision_end|>", "<|image_pad|>"]
SPECIALS += ["<|video_pad|>"]


def toy_processor(most_pixels: int = 12544) -> Qwen2_5_VLProcessor:
    """Build the processor of a Qwen2.5-VL, with a few hundred tokens."""
    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    bpe.train_from_iterator(
        [PLAIN.prompt, PLAIN.judgment("the circle is red.", 0)] * 4,
        trainers.BpeTrainer(vocab_size=500, special_tokens=SPECIALS, initial_alphabet=alphabet, show_progress=False),
    )
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=bpe, eos_token="<|im_end|>", pad_token="<|endoftext|>", extra_special_tokens=SPECIALS[3:]
    )
    images = Qwen2VLImageProcessor(
        patch_size=14, merge_size=2, size={"shortest_edge": 784, "longest_edge": most_pixels}
    )
    template = (Path(trl.__file__).parent / "chat_templates" / "qwen2_5_vl.jinja").read_text()
    return Qwen2_5_VLProcessor(
        image_processor=images, tokenizer=tokenizer, video_processor=Qwen2VLVideoProcessor(), chat_template=template
    )


def special_ids(tokenizer: PreTrainedTokenizerFast) -> dict[str, int]:
    """Return what a Qwen2.5-VL's configuration says of its special tokens."""
    names = zip(("vision_start", "vision_end", "image", "video"), SPECIALS[3:], strict=True)
    return {f"{name}_token_id": tokenizer.convert_tokens_to_ids(token) for name, token in names}


def save_tiny_qwen(folder: Path, width: int = 32) -> None:
    """Build and save the model; it knows nothing, and answers nothing readable. vLLM needs a width of 64 or more."""
    processor = toy_processor()
    tokenizer = processor.tokenizer
    mrope = [width // 16, width * 3 // 32, width * 3 // 32]
    text = {
        "vocab_size": len(tokenizer), "hidden_size": width, "intermediate_size": 2 * width, "num_hidden_layers": 2,
        "num_attention_heads": 2, "num_key_value_heads": 1, "max_position_embeddings": 4096, "bos_token_id": None,
        "eos_token_id": tokenizer.eos_token_id, "pad_token_id": tokenizer.pad_token_id,
        "rope_parameters": {"rope_type": "default", "mrope_section": mrope, "rope_theta": 10000.0},
    }  # fmt: skip
    vision = {
        "depth": 2, "hidden_size": 32, "intermediate_size": 64, "num_heads": 2, "patch_size": 14,
        "out_hidden_size": width, "fullatt_block_indexes": [1], "window_size": 56,
    }  # fmt: skip
    torch.manual_seed(0)
    config = Qwen2_5_VLConfig(
        text_config=text, vision_config=vision, tie_word_embeddings=True, **special_ids(tokenizer)
    )
    model = Qwen2_5_VLForConditionalGeneration(config)
    model.generation_config.eos_token_id = tokenizer.eos_token_id
    model.generation_config.pad_token_id = tokenizer.pad_token_id
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
