"""How an exported judge is asked: by plain transformers, by the harness, by a server. The words of its card."""

import json
from pathlib import Path

from harness.engines.vllm_servers import TOWER
from harness.sharing.subject import Subject
from harness.texts import visible

LONGEST = 512
"""Tokens that the snippet gives an answer, where the run says nothing."""


def how_to_ask(subject: Subject, name: str) -> str:
    """Write the card's section, in Markdown.

    Args:
        subject: what is exported.
        name: OWNER/NAME on the hub, or a dot for the folder itself.
    """
    place = name if name != "." else "FOLDER"
    told = [
        _rewarding(name) if subject.rewards else _in_words(subject, name),
        "With the harness, both orders are asked, and every verdict and its probability are written down:",
        fenced("sh", f"harness judge {place} pairs.jsonl -o verdicts.jsonl"),
    ]
    if not subject.rewards:
        told += [
            "An OpenAI-compatible address of it, for programs that speak to one:",
            fenced("sh", "\n".join([f"harness serve {place}", *_vllm(subject, place)])),
            _about_vllm(subject),
        ]
    return "\n\n".join(line for line in told if line) + "\n"


def _in_words(subject: Subject, name: str) -> str:
    """Show how plain transformers asks it."""
    format_ = subject.format
    prompt = format_.prompt if format_ else "{question}"
    tokens = (subject.config.get("judging") or {}).get("max_new_tokens") or LONGEST
    classes = "from transformers import AutoModelForImageTextToText, AutoProcessor"
    load = f"from_pretrained(name, dtype={quoted(subject.precision)})"
    imports, loading = [classes], [f"model = AutoModelForImageTextToText.{load}"]
    if base := subject.kept_adapter:
        which = quoted(base["model"]) + (f", revision={quoted(base['revision'])}" if base["revision"] else "")
        imports = ["from peft import PeftModel", classes]
        loading = [
            f"base = AutoModelForImageTextToText.from_pretrained({which}, dtype={quoted(subject.precision)})",
            "model = PeftModel.from_pretrained(base, name)",
        ]
    lines = [
        *sorted([*imports, "from PIL import Image"]),
        "",
        f"name = {quoted(name)}" + ("  # this folder" if name == "." else ""),
        "processor = AutoProcessor.from_pretrained(name)",
        *loading,
        "",
        'image = Image.open("image.png").convert("RGB")',
        'question, first, second = "What is left of the cup?", "a dog", "a cat"',
        f"prompt = {quoted(prompt)}",
        'for field, text in {"question": question, "first": first, "second": second}.items():',
        '    prompt = prompt.replace("{" + field + "}", text)',
        'content = [{"type": "image", "image": image}, {"type": "text", "text": prompt}]',
        "inputs = processor.apply_chat_template(",
        '    [{"role": "user", "content": content}],',
        '    add_generation_prompt=True, tokenize=True, return_dict=True, return_tensors="pt",',
        ").to(model.device, dtype=model.dtype)",
        f"answer = model.generate(**inputs, do_sample=False, max_new_tokens={tokens})",
        'print(processor.decode(answer[0, inputs["input_ids"].shape[1] :], skip_special_tokens=True))',
    ]
    verdict = format_.verdict.format(number=1) if format_ else ""
    told = f" Its answer ends like this: `{visible(verdict)}`" if verdict and "`" not in verdict else ""
    return (
        "With plain transformers, in the words that it was trained with (`judge_format.json` has them). Ask a second "
        f"time with the two responses exchanged: a judge may like whatever stands first.{told}\n\n"
        + fenced("python", "\n".join(lines))
    )


def _rewarding(name: str) -> str:
    """Show how a judge with a reward head is asked."""
    lines = [
        "import harness",
        "",
        f"with harness.Judge({quoted(name)}) as judge:",
        '    verdict = judge.judge("image.png", "What is left of the cup?", ["a dog", "a cat"])',
        "    print(verdict.scores)  # a reward for each response",
    ]
    return (
        "It ends in a reward head, a class that transformers does not have by itself, so it is asked by the harness:"
        "\n\n" + fenced("python", "\n".join(lines))
    )


def _vllm(subject: Subject, place: str) -> list[str]:
    if subject.kept_adapter or renamed_for_vllm(subject.checkpoint):
        return []
    return [vllm_line(place, place, subject.precision)]


def _about_vllm(subject: Subject) -> str:
    if subject.kept_adapter:
        return (
            "vLLM serves the adapter beside its base where its LoRA layers know the model; else export it merged "
            "(`harness export RUN FOLDER --merge`)."
        )
    if renamed_for_vllm(subject.checkpoint):
        return (
            "vLLM 0.32 looks for the weights of this model's vision tower under other names than transformers gives "
            "them: `harness serve --engine vllm` has it read them, plain `vllm serve` does not."
        )
    return "The second command needs vLLM and a GPU; nobody has run it on these very files unless it is said here."


def vllm_line(place: str, name: str, precision: str, host: str = "127.0.0.1", port: int = 8000) -> str:
    """Write the command by which vLLM serves a model under a name."""
    return f"vllm serve {place} --served-model-name {name} --dtype {precision} --host {host} --port {port}"


def renamed_for_vllm(checkpoint: Path) -> bool:
    """Tell whether vLLM would not find some weights under the names that transformers gives them."""
    from safetensors import safe_open

    for file in checkpoint.glob("*.safetensors"):
        with safe_open(file, "np") as weights:
            for name in weights.keys():  # noqa: SIM118 (it is no dictionary)
                _, tower, rest = name.partition("vision_tower.")
                if tower and rest.split(".")[0] in TOWER:
                    return True
    return False


def quoted(text: str) -> str:
    """Write a text as a literal of Python."""
    return json.dumps(text, ensure_ascii=False)


def fenced(language: str, text: str) -> str:
    """Put text into a block of code that nothing in it ends."""
    text = visible(text, "\n")
    fence = "```"
    while fence in text:
        fence += "`"
    return f"{fence}{language}\n{text}\n{fence}"
