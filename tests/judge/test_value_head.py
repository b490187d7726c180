"""Another's reward head: a tiny Qwen2.5-VL in Skywork-VL-Reward's layout against its card's way of scoring it."""

from pathlib import Path

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("trl")

from PIL import Image  # noqa: E402
from safetensors.torch import save_file  # noqa: E402
from transformers import AutoProcessor, Qwen2_5_VLForConditionalGeneration  # noqa: E402

from harness.engines.reward_engine import Response, RewardEngine  # noqa: E402
from harness.errors import HarnessError  # noqa: E402
from harness.settings import JudgeSettings  # noqa: E402
from tests.toy_qwen import save_tiny_qwen  # noqa: E402

ASKED = [("What is red?", "the circle"), ("What is left of the square, and how many are there?", "two small circles")]


def test_a_reward_is_the_value_of_the_last_token_of_the_reply(tmp_path: Path) -> None:
    save_tiny_qwen(tmp_path)
    torch.manual_seed(1)
    weight, bias = torch.randn(1, 32), torch.tensor([0.75])
    image = Image.new("RGB", (56, 56), "red")
    responses = [Response((image, question), text) for question, text in ASKED]
    settings = JudgeSettings(model=str(tmp_path))
    with pytest.raises(HarnessError, match="value_head"):
        RewardEngine(settings, "float32", 2, "value-head")
    save_file(
        {"v_head.summary.weight": weight.squeeze(), "v_head.summary.bias": bias}, tmp_path / "value_head.safetensors"
    )
    with pytest.raises(HarnessError, match=r"v_head.summary.weight of shape \[32\]; \[1, 32\] is wanted"):
        RewardEngine(settings, "float32", 2, "value-head")
    save_file({"v_head.summary.weight": weight, "v_head.summary.bias": bias}, tmp_path / "value_head.safetensors")
    engine = RewardEngine(settings, "float32", 2, "value-head")
    rewards = engine.rewards(responses)
    engine.close()

    model = Qwen2_5_VLForConditionalGeneration.from_pretrained(tmp_path, dtype=torch.float32).eval()
    processor = AutoProcessor.from_pretrained(tmp_path)
    wanted = []
    for question, text in ASKED:
        content = [{"type": "image"}, {"type": "text", "text": question}]
        messages = [{"role": "user", "content": content}, {"role": "assistant", "content": text}]
        chat = processor.apply_chat_template(messages, tokenize=False)
        inputs = processor(text=[chat], images=[image], return_tensors="pt")
        with torch.no_grad():
            hidden = model(**inputs, output_hidden_states=True, use_cache=False).hidden_states[-1]
        values = torch.nn.functional.linear(hidden, weight, bias).squeeze(-1)
        place = inputs["attention_mask"].sum(dim=-1, keepdim=True) - 1
        wanted.append(values.gather(dim=-1, index=place).item())
    assert rewards == pytest.approx(wanted, abs=1e-5)
    assert abs(wanted[0] - wanted[1]) > 1e-3
