"""Tokens and patches of an image are those that transformers' own processors make."""

import pytest
from transformers import (
    GotOcr2ImageProcessor,
    LlavaOnevisionImageProcessor,
    LlavaOnevisionProcessor,
    Qwen2VLImageProcessor,
)

from harness.errors import HarnessError
from harness.planning.architecture import find_config
from harness.planning.tokens import image_tokens

SIZES = [(800, 600), (640, 480), (480, 640), (500, 375), (333, 500), (448, 448), (2000, 1500), (300, 1000), (1600, 200)]


@pytest.mark.parametrize(("model", "patch"), [("Qwen/Qwen2.5-VL-7B-Instruct", 14), ("Qwen/Qwen3-VL-8B-Instruct", 16)])
@pytest.mark.parametrize("limit", [501_760, 100_000])
def test_qwen(model: str, patch: int, limit: int) -> None:
    theirs = Qwen2VLImageProcessor(patch_size=patch, size={"shortest_edge": 3136, "longest_edge": limit})
    for wide, high in SIZES:
        seen = image_tokens(find_config(model)[0], wide, high, limit)
        assert seen.patches == theirs.get_number_of_image_patches(high, wide, {}), (wide, high)
        assert seen.tokens == seen.patches // 4


def test_internvl() -> None:
    theirs = GotOcr2ImageProcessor(size={"height": 448, "width": 448})
    for wide, high in SIZES:
        tiles = theirs.get_number_of_image_patches(high, wide, {"crop_to_patches": True})
        seen = image_tokens(find_config("OpenGVLab/InternVL3_5-8B-HF")[0], wide, high)
        assert seen == (256 * tiles + 2, 1024 * tiles), (wide, high)


def test_llava_onevision() -> None:
    theirs = LlavaOnevisionProcessor.__new__(LlavaOnevisionProcessor)  # its tokenizer counts nothing
    theirs.image_processor = LlavaOnevisionImageProcessor()
    theirs.num_image_tokens, theirs.vision_aspect_ratio = 27 * 27, "anyres_max_9"
    for wide, high in SIZES:
        seen = image_tokens(find_config("llava-hf/llava-onevision-qwen2-7b-ov-hf")[0], wide, high)
        assert seen.tokens == theirs._get_number_of_features(high, wide, 384, 384), (wide, high)


def test_the_embedded_judge_sees_nine_tokens_and_a_stranger_is_refused() -> None:
    assert image_tokens(find_config("embedded:judge")[0], 48, 48) == (9, 9)
    with pytest.raises(HarnessError, match="'florence'"):
        image_tokens({"model_type": "florence"}, 48, 48)
