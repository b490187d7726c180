"""What is asserted of every training row, on the real collators and the embedded judge."""

import io
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from peft import LoraConfig, get_peft_model
from PIL import Image
from trl.trainer.dpo_trainer import DataCollatorForVisionPreference
from trl.trainer.sft_trainer import DataCollatorForVisionLanguageModeling

from harness.embedded.data import preference_rows
from harness.errors import HarnessError
from harness.judge.format import EMBEDDED, PLAIN, JudgeFormat
from harness.judge.loading import load_model, load_processor, verdict_tokens
from harness.settings import DpoSettings, JudgeSettings, SftSettings, TrainingSettings, WorldSettings
from harness.training.jobs import Job
from harness.training.rows import conversation
from harness.training.stages import Artifact
from harness.training.trainers import CheckedCollator, CheckReference, common_arguments, spare_frozen_towers, thinned
from harness.training.updates import updates_for
from tests.toy_qwen import save_tiny_qwen


@pytest.fixture(scope="module")
def processor():
    return load_processor(JudgeSettings())


def rows(count: int, *answers: str):
    for pair in preference_rows(WorldSettings(pairs=count)):
        asked = EMBEDDED.ask(pair["question"], pair["chosen"], pair["rejected"])
        row = {"image": Image.open(io.BytesIO(pair["image"])), "prompt": conversation("user", asked)}
        judged = {name: EMBEDDED.judgment(pair["rationale"], i) for i, name in enumerate(answers)}
        yield row | {name: conversation("assistant", text) for name, text in judged.items()}


def collators(processor, max_length: int | None):
    tokens = verdict_tokens(processor.tokenizer, EMBEDDED)
    sft = DataCollatorForVisionLanguageModeling(processor, max_length=max_length, completion_only_loss=True)
    dpo = DataCollatorForVisionPreference(processor, max_length=max_length)
    return [
        (CheckedCollator(inner, processor, tokens), names)
        for inner, names in ((sft, ("completion",)), (dpo, ("chosen", "rejected")))
    ]


def test_whole_rows_pass_with_every_image_token_and_the_verdict_trained(processor) -> None:
    for collate, names in collators(processor, None):
        batch = collate(list(rows(4, *names)))
        images = (batch["input_ids"] == processor.image_token_id).sum(1)
        assert images.tolist() == [9] * 4 * len(names)


def test_rows_that_lost_their_answer_are_refused_where_trl_says_nothing(processor) -> None:
    for collate, names in collators(processor, 24):
        collate.collate(list(rows(4, *names)))  # TRL itself cuts the answer off without a word
        with pytest.raises(AssertionError, match="lost its"):
            collate(list(rows(4, *names)))


def test_verdicts_differ_in_one_token_or_are_refused(processor) -> None:
    tokens = verdict_tokens(processor.tokenizer, EMBEDDED)
    assert processor.tokenizer.convert_ids_to_tokens(list(tokens)) == ["1", "2"]
    assert verdict_tokens(processor.tokenizer, PLAIN)
    with pytest.raises(HarnessError, match="does not differ in one token"):
        verdict_tokens(processor.tokenizer, JudgeFormat("{question}", "always the same"))


def test_a_curve_keeps_its_ends_and_at_most_200_entries() -> None:
    log = [{"step": step, "loss": 1 / step} for step in range(1, 1001)]
    curve = thinned(log, ("step", "loss"))
    assert len(curve["step"]) == len(curve["loss"]) == 200
    assert (curve["step"][0], curve["step"][-1], curve["loss"][-1]) == (1, 1000, 0.001)
    assert thinned(log[:3], ("step",)) == {"step": [1, 2, 3]}


def test_updates_follow_rows_and_epochs() -> None:
    assert updates_for(4800, SftSettings(epochs=1.5, batch_size=32)) == 225
    assert updates_for(1, DpoSettings()) == 1


def test_image_tokens_are_counted_against_what_the_processor_makes_of_the_image(processor) -> None:
    collate, names = collators(processor, None)[0]
    collate.wanted[48, 48] = 8
    with pytest.raises(AssertionError, match="image tokens wanted"):
        collate(list(rows(2, *names)))


def test_a_reference_that_is_not_the_policy_stops_dpo_at_once() -> None:
    state = SimpleNamespace(global_step=1)
    check = CheckReference()
    check.on_log(None, state, None, {"rewards/chosen": 0.0, "rewards/rejected": 0.0})
    with pytest.raises(AssertionError, match="not its policy"):
        check.on_log(None, state, None, {"rewards/chosen": 0.2, "rewards/rejected": 0.0})


def test_nothing_is_cut_and_an_update_has_as_many_rows_on_any_number_of_processes(tmp_path) -> None:
    def arguments(**training):
        job = Job(
            name="sft",
            out=tmp_path,
            judge=JudgeSettings(),
            pairs=Artifact("pairs", "", tmp_path),
            settings=SftSettings(precision="float32", batch_size=32, micro_batch_size=4),
            training=TrainingSettings(**training),
            seed=0,
        )
        return common_arguments(job, 10)

    assert arguments()["max_length"] is None
    for training in ({}, {"strategy": "ddp", "processes": 4}, {"strategy": "ddp", "processes": 4, "machines": 2}):
        given = arguments(**training)
        per_process = given["per_device_train_batch_size"] * given["gradient_accumulation_steps"]
        assert per_process * TrainingSettings(**training).world == 32
    with pytest.raises(HarnessError, match="no multiple"):
        arguments(strategy="ddp", processes=3)


def test_a_response_with_braces_is_shown_as_it_is() -> None:
    assert EMBEDDED.ask("{first}?", "{second}", "{x}") == "{first}? answer 1: {second} answer 2: {x} which is better?"
    judgment = PLAIN.judgment("The circle is red.", 1)
    assert PLAIN.rationale(judgment) == "The circle is red."


@pytest.fixture(scope="module")
def tiny(tmp_path_factory) -> str:
    folder = tmp_path_factory.mktemp("tiny")
    save_tiny_qwen(folder)
    return str(folder)


def adapted(model: str, adapter: LoraConfig):
    """Load a judge with an adapter and checkpointed activations, as TRL has it; note what its tower gives."""
    ready = get_peft_model(load_model(JudgeSettings(model=model), "float32"), adapter)
    ready.enable_input_require_grads()
    ready.gradient_checkpointing_enable()
    ready.train()
    seen: list[bool] = []
    tower = ready.get_base_model().model.visual
    tower.register_forward_hook(lambda module, given, out: seen.append(out.pooler_output.requires_grad))
    return ready, seen


def gradients(model: Any, processor: Any) -> dict[str, torch.Tensor]:
    image = Image.linear_gradient("L").resize((112, 84)).convert("RGB")
    shown = [{"type": "image"}, {"type": "text", "text": "which?"}]
    text = processor.apply_chat_template([{"role": "user", "content": shown}], tokenize=False)
    inputs = processor(text=[text], images=[image], return_tensors="pt")
    model(**inputs, labels=inputs["input_ids"]).loss.backward()
    return {name: weight.grad.clone() for name, weight in model.named_parameters() if weight.grad is not None}


@pytest.mark.parametrize(("target", "through"), [(r".*language_model.*q_proj", False), (r".*visual.*qkv", True)])
def test_a_tower_of_which_nothing_is_trained_is_not_differentiated(tiny, target, through) -> None:
    adapter = LoraConfig(r=2, target_modules=target, init_lora_weights=False)
    processor, found = load_processor(JudgeSettings(model=tiny)), []
    for spared in (False, True):
        torch.manual_seed(1)
        model, seen = adapted(tiny, adapter)
        if spared:
            spare_frozen_towers(model)
        found.append(gradients(model, processor))
        assert seen == [through or not spared]
    plain, sparing = found
    assert plain.keys() == sparing.keys() != set()
    for name in plain:
        torch.testing.assert_close(plain[name], sparing[name])
