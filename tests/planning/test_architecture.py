"""The committed configurations give the models that are published, and adapters go where they should."""

import re
from pathlib import Path

import pytest

from harness.errors import HarnessError
from harness.planning.architecture import COMMITTED, Architecture, build, find_config, trained
from harness.registry import content_roots, find_profiles, load_profile
from harness.settings import JudgeSettings, LoraSettings

PUBLISHED = {
    "Qwen/Qwen2.5-VL-3B-Instruct": 3.75e9,
    "Qwen/Qwen2.5-VL-7B-Instruct": 8.29e9,
    "Qwen/Qwen3-VL-8B-Instruct": 8.77e9,
    "OpenGVLab/InternVL3_5-8B-HF": 8.53e9,
    "llava-hf/llava-onevision-qwen2-7b-ov-hf": 8.03e9,
    "Skywork/Skywork-Reward-V2-Qwen3-4B": 4.02e9,
    "Skywork/Skywork-Reward-V2-Llama-3.2-3B": 3.21e9,
    "Skywork/Skywork-Reward-V2-Llama-3.1-8B": 7.50e9,
}
EXPERTS = {name for name in PUBLISHED if name.startswith("Skywork")}
LAYERS = {"3B": 36, "7B": 28, "8B": 36, "7b": 28}
PROFILES = sorted(set(find_profiles(content_roots())) - {"embedded"})
LORA = LoraSettings(rank=32, alpha=64)


@pytest.fixture(scope="module")
def architectures() -> dict[str, Architecture]:
    return {name: build(name, judges=name not in EXPERTS) for name in PUBLISHED}


def test_parameters_are_those_published(architectures) -> None:
    for name, count in PUBLISHED.items():
        assert architectures[name].parameters == pytest.approx(count, rel=5e-3), name


def test_every_model_of_a_profile_has_a_configuration_here() -> None:
    assert len(PROFILES) == 6
    named = set()
    for profile in PROFILES:
        settings = load_profile(profile, content_roots())
        named |= {settings["judge"]["model"], *settings["experts"]["models"]}
    assert named == set(PUBLISHED)
    assert {path.stem.replace("--", "/", 1) for path in COMMITTED.glob("*.json")} == named


@pytest.mark.parametrize("name", sorted(set(PUBLISHED) - EXPERTS))
def test_an_adapter_is_on_every_projection_of_the_language_model_and_on_nothing_that_sees(architectures, name) -> None:
    architecture = architectures[name]
    layers = architecture.language.layers
    assert layers == next(count for size, count in LAYERS.items() if size in name)
    part = trained(architecture, JudgeSettings(model=name, lora=LORA))
    assert part.modules == 7 * layers
    assert not part.vision
    matched = [key for key in architecture.linear if re.fullmatch(LORA.target_modules, key)]
    assert all("language_model" in key for key in matched)
    assert 0.009 < part.parameters / architecture.parameters < 0.017


def test_what_is_trained_is_what_peft_trains() -> None:
    import peft
    from transformers import AutoModelForImageTextToText

    from harness.judge.checkpoints import EMBEDDED
    from harness.training.trainers import freeze_vision, peft_config

    judge = JudgeSettings(lora=LoraSettings(rank=4, alpha=8))
    model = AutoModelForImageTextToText.from_pretrained(EMBEDDED / "judge")
    architecture = build("embedded:judge")
    assert architecture.parameters == model.num_parameters()
    freeze_vision(model)
    free = sum(p.numel() for p in model.parameters() if p.requires_grad)
    assert trained(architecture, JudgeSettings(freeze_vision=True)).parameters == free
    assert trained(architecture, JudgeSettings()).parameters == architecture.parameters
    adapted = peft.get_peft_model(model, peft_config(judge))
    assert trained(architecture, judge).parameters == adapted.get_nb_trainable_parameters()[0]


def test_an_expression_that_matches_nothing_shows_names_that_there_are() -> None:
    judge = JudgeSettings(lora=LoraSettings(rank=4, alpha=8, target_modules="q_proj|v_proj"))
    with pytest.raises(HarnessError) as told:
        trained(build("embedded:judge"), judge)
    assert "'q_proj|v_proj' matches no linear layer of embedded:judge" in str(told.value)
    assert "model.language_model.layers.0.self_attn.q_proj" in str(told.value)
    assert "vision" not in str(told.value)


def test_a_folder_comes_before_what_the_harness_has_and_a_stranger_is_refused(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "of my own"}')
    assert find_config(str(tmp_path)) == ({"model_type": "of my own"}, "its folder")
    assert find_config("Qwen/Qwen2.5-VL-3B-Instruct")[1] == "the harness"
    with pytest.raises(HarnessError, match="'of my own' cannot be built"):
        build(str(tmp_path))
    with pytest.raises(HarnessError, match=r"'no/where' is not on this machine.*hf download no/where config.json"):
        find_config("no/where")
