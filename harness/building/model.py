"""The shapes of the tiny judge and of its tokenizer."""

import random

import torch
from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers
from transformers import (
    CLIPImageProcessor,
    CLIPVisionConfig,
    LlamaConfig,
    LlavaConfig,
    LlavaForConditionalGeneration,
    LlavaProcessor,
    PreTrainedTokenizerFast,
)

from harness.embedded import world

SPECIALS = ("<pad>", "<bos>", "<eos>", "<image>", "<user>", "<asst>", "[UNK]")
PHRASES = ("overall judgment: answer", "is better.")
"""Phrases of the judge's verdict that are one token each, so that a verdict costs three."""
EXTRA_WORDS = "caption choose pick judge says which or answer 1 2 better best true false : the a"

IMAGE_SIDE = 3 * world.CELL
CHAT_TEMPLATE = (
    "{{ bos_token }}{% for message in messages %}"
    "{% if message['role'] == 'assistant' %}<asst>{% else %}<user>{% endif %}"
    "{% if message['content'] is string %}{{ message['content'] }}"
    "{% else %}{% for part in message['content'] %}"
    "{% if part['type'] == 'image' %}<image>{% else %}{{ part['text'] }}{% endif %}"
    "{% endfor %}{% endif %}"
    "{% if message['role'] == 'assistant' %}{{ eos_token }}{% endif %}"
    "{% endfor %}{% if add_generation_prompt %}<asst>{% endif %}"
)


def _words() -> list[str]:
    """Every word the world can say, and every character, so that no text is unreadable."""
    rng = random.Random(0)
    split = pre_tokenizers.BertPreTokenizer()
    words = set(EXTRA_WORDS.split()) | set(world.NUMBERS)
    for scene, _ in zip(world.scenes(rng, "base"), range(4000), strict=False):
        texts = [world.caption(scene)]
        for kind in world.KINDS:
            if question := world.ask(scene, kind, rng):
                claim = rng.choice([question.right, *question.wrong])
                texts += [question.text, world.say(claim, rng.choice(world.STYLES))]
        words |= {word for text in texts for word, _ in split.pre_tokenize_str(text)}
    characters = [chr(c) for c in range(33, 127) if not chr(c).isupper()]
    return sorted(words | set(characters)) + ["##" + c for c in characters if c.isalnum()]


def build_tokenizer() -> PreTrainedTokenizerFast:
    """Build the tokenizer: the world's words whole, anything else spelled, lower case."""
    vocab = {word: i for i, word in enumerate([*SPECIALS, *_words()])}
    tokenizer = Tokenizer(models.WordPiece(vocab=vocab, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece(cleanup=True)
    tokenizer.add_special_tokens([AddedToken(token, special=True) for token in SPECIALS])
    tokenizer.add_tokens([AddedToken(phrase, normalized=True, lstrip=True) for phrase in PHRASES])
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="<pad>",
        bos_token="<bos>",
        eos_token="<eos>",
        unk_token="[UNK]",
        extra_special_tokens={"image_token": "<image>"},
        model_max_length=512,
        padding_side="left",
        clean_up_tokenization_spaces=False,
        chat_template=CHAT_TEMPLATE,
    )


def build_processor() -> LlavaProcessor:
    """Build the processor: a whole image squeezed into 48 x 48 pixels, nine image tokens."""
    side = {"height": IMAGE_SIDE, "width": IMAGE_SIDE}
    images = CLIPImageProcessor(
        size=side, do_center_crop=False, image_mean=[0.5] * 3, image_std=[0.3] * 3, do_convert_rgb=True
    )
    return LlavaProcessor(
        image_processor=images,
        tokenizer=build_tokenizer(),
        patch_size=world.CELL,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
        chat_template=CHAT_TEMPLATE,
    )


def build_judge(tokenizer: PreTrainedTokenizerFast, seed: int) -> LlavaForConditionalGeneration:
    """Build an untrained judge of about 1.2 M parameters: CLIP width 96, Llama width 128.

    The initial scales are larger than the library's: with its own, a model this small had
    not learned to see after 1,200 steps.
    """
    torch.manual_seed(seed)
    vision = CLIPVisionConfig(
        hidden_size=96,
        intermediate_size=288,
        num_hidden_layers=2,
        num_attention_heads=4,
        image_size=IMAGE_SIDE,
        patch_size=world.CELL,
        projection_dim=96,
        initializer_factor=3.0,
    )
    text = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=128,
        intermediate_size=384,
        num_hidden_layers=4,
        num_attention_heads=4,
        max_position_embeddings=512,
        tie_word_embeddings=True,
        pad_token_id=tokenizer.pad_token_id,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        initializer_range=128**-0.5,
    )
    config = LlavaConfig(
        vision_config=vision,
        text_config=text,
        image_token_id=tokenizer.convert_tokens_to_ids("<image>"),
        vision_feature_layer=-1,
        vision_feature_select_strategy="default",
        image_seq_length=9,
        tie_word_embeddings=True,
    )
    judge = LlavaForConditionalGeneration(config)
    with torch.no_grad():
        for name, weight in judge.named_parameters():
            if "position_embedding" in name:
                weight.normal_(0, 1)
            elif "embed_tokens" in name:
                weight.normal_(0, 0.05)
            elif "projector" in name and weight.dim() == 2:
                weight.normal_(0, weight.shape[1] ** -0.5)
    judge.generation_config.eos_token_id = tokenizer.eos_token_id
    judge.generation_config.pad_token_id = tokenizer.pad_token_id
    return judge
