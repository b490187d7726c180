"""Published sources of preference pairs, on small files in their published layouts."""

import io
import json
import zipfile
from pathlib import Path

import huggingface_hub.constants
import pyarrow as pa
import pyarrow.parquet
import pytest
from PIL import Image

from harness.data.mapping import MISSING, parse_map, pick
from harness.data.preferences import is_source, stream_pairs
from harness.errors import HarnessError
from harness.registry import content_roots, find_preferences, load_preferences, load_recipe
from harness.resolve import resolve_config
from harness.settings import PreferenceSource
from harness.training.sources import PAIRS, open_pairs, source_preferences
from harness.training.stages import Silent, Stages

ROOTS = content_roots()
ASPECTS = ("Helpfulness", "Ethical Considerations", "Visual Faithfulness")


def png(color: str = "red") -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (8, 8), color).save(file, "PNG")
    return file.getvalue()


def image(color: str = "red") -> dict[str, object]:
    return {"bytes": png(color), "path": f"{color}.png"}


def parquet(path: Path, rows: list[dict]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pyarrow.parquet.write_table(pa.Table.from_pylist(rows), path)


def completions(*rated: tuple[str, tuple[str, str, str]]) -> dict[str, list]:
    """Answers as `datasets` stores a sequence of records: a list for each field."""
    told = [{a: {"Rating": r, "Rationale": "as it is"} for a, r in zip(ASPECTS, rs, strict=True)} for _, rs in rated]
    return {"annotations": told, "model": ["m"] * len(rated), "response": [text for text, _ in rated]}


def conversation(question: str, first: str, second: str, said: str, names: tuple[str, str]) -> list[dict[str, str]]:
    asked = f"<image>\nQuestion: [{question}]\n{names[0]}: [{first}]\n{names[1]}: [{second}]\nASSISTANT:\n"
    return [{"from": "human", "value": asked}, {"from": "gpt", "value": said}]


def write_rlaif_v(folder: Path) -> None:
    row = {"ds_name": "RLAIF-V", "image": image(), "question": "what?", "chosen": "red", "rejected": "blue"}
    row |= {"origin_dataset": "COCO", "origin_split": "{}", "idx": "0", "image_path": "a.jpg"}
    parquet(folder / "RLAIF-V-Dataset_000.parquet", [row, row | {"rejected": "red"}])
    parquet(folder / "RLAIF-V-Dataset_001.parquet", [row | {"question": "<image>\nwhere?"}])


def write_rlhf_v(folder: Path) -> None:
    texts = [
        {"question": "what?", "chosen": "red", "rejected": "blue"},
        {"question": "q", "chosen": "", "rejected": "r"},
    ]
    rows = [
        {"ds_name": "RLHF-V", "image": image(), "text": json.dumps(text), "origin_dataset": "coco"}
        | {"origin_split": "{}", "idx": number, "image_path": "a.jpg"}
        for number, text in enumerate(texts)
    ]
    parquet(folder / "RLHF-V-Dataset.parquet", rows)


def write_vlfeedback(folder: Path) -> None:
    rated = [
        ("a dog", ("3", "5", "2")),
        ("a cat", ("5", "5", "5")),
        ("bad", ("1", "N/A", "1")),
        ("none", ("2", "4", "1")),
    ]
    rows = [
        {"id": "svit-1", "prompt": "what?", "models": ["m"] * 4, "completions": completions(*rated)},
        {"id": "svit-2", "prompt": "tie?", "models": ["m"] * 2, "completions": completions(*rated[:1] * 2)},
        {"id": "svit-3", "prompt": "one?", "models": ["m"] * 2, "completions": completions(rated[0], rated[2])},
    ]
    parquet(folder / "data/train-00000-of-00001.parquet", [row | {"img_path": image()} for row in rows])


def write_llava_critic(folder: Path) -> None:
    talks = [
        conversation(
            "what?", "red [sic]", "blue", "It is red.\nThe better response: [first]", ("Response 1", "Response 2")
        ),
        conversation("what?", "red", "blue", "The better response: [B]", ("Response A", "Response B")),
        conversation("what?", "red", "blue", "Both are equally good.", ("The first response", "The second response")),
        [{"from": "human", "value": "Rate it."}, {"from": "gpt", "value": "90"}],
    ]
    rows = [{"id": f"{n}", "source": "vlfeedback", "conversations": t, "image": image()} for n, t in enumerate(talks)]
    parquet(folder / "pairwise/train-00000-of-00005.parquet", rows)


def write_mm_rlhf(folder: Path) -> None:
    row = {"prompt": "<image>\nwhat?", "chosen": "red", "rejected": "blue", "chosen_reason": "it is red"}
    rows = [
        row | {"image": "short/a.png"},
        row | {"video": "video/b"},
        row | {"image": "short/a.png", "is_tie": True},
        row | {"image": "long/deep/c.png", "is_tie": False},
    ]
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "dpo_pairs.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    for archive, member in (("short.zip", "short/a.png"), ("long.zip", "deep/c.png")):
        with zipfile.ZipFile(folder / archive, "w") as file:
            file.writestr(member, png())


LAYOUTS = {
    "rlaif-v": (
        write_rlaif_v,
        [("rlaif-v-1", "what?", "red", "blue", "COCO"), ("rlaif-v-3", "where?", "red", "blue", "COCO")],
        {"two equal responses": 1},
    ),
    "rlhf-v": (write_rlhf_v, [("rlhf-v-1", "what?", "red", "blue", "coco")], {"an empty chosen": 1}),
    "vlfeedback": (
        write_vlfeedback,
        [("vlfeedback-1", "what?", "a cat", "none", None)],
        {"a tie": 1, "fewer than two responses with every rating": 1},
    ),
    "llava-critic": (
        write_llava_critic,
        [
            ("llava-critic-1", "what?", "red [sic]", "blue", "vlfeedback"),
            ("llava-critic-2", "what?", "blue", "red", "vlfeedback"),
        ],
        {"a tie or no verdict": 1, "a prompt in other words": 1},
    ),
    "mm-rlhf": (
        write_mm_rlhf,
        [("mm-rlhf-1", "what?", "red", "blue", None), ("mm-rlhf-4", "what?", "red", "blue", None)],
        {"a video": 1, "a is_tie": 1},
    ),
}


def test_every_source_is_tried_below() -> None:
    assert set(find_preferences(ROOTS)) == set(LAYOUTS)


@pytest.mark.parametrize("name", LAYOUTS)
@pytest.mark.parametrize("hub", [True, False])
def test_a_source_in_its_published_layout(name: str, hub: bool, tmp_path: Path, monkeypatch) -> None:
    write, wanted, left_out = LAYOUTS[name]
    source = load_preferences(name, ROOTS)
    commit = source.revision or "c" * 40
    store = tmp_path / "hub" / f"datasets--{source.hub.replace('/', '--')}"
    folder = store / "snapshots" / commit
    write(folder)
    (store / "refs").mkdir()
    (store / "refs" / "main").write_text(commit)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    files = None if hub else sorted(path for pattern in source.files for path in folder.glob(pattern))
    out = tmp_path / "out"
    out.mkdir()
    info = source_preferences(out, files, source, name, progress=Silent())
    rows = list(stream_pairs(out / PAIRS))
    assert [(r["id"], r["question"], r["chosen"], r["rejected"], r["slice"]) for r in rows] == wanted
    assert [row["image"] for row in stream_pairs(out / PAIRS, ["image"])] == [png()] * len(wanted)
    assert (info["pairs"], info["left_out"]) == (len(wanted), left_out)
    assert info["revision"] == (commit if hub else None)
    assert info["hub"] == source.hub


def test_a_changed_layout_is_one_line_that_lists_the_columns(tmp_path: Path) -> None:
    parquet(tmp_path / "x.parquet", [{"picture": image(), "text": "no JSON", "origin_dataset": "coco"}])
    with pytest.raises(HarnessError, match=r"rlhf-v, row 1: no column 'image' .* Its columns: origin_dataset, picture"):
        source_preferences(
            tmp_path, [tmp_path / "x.parquet"], load_preferences("rlhf-v", ROOTS), "rlhf-v", progress=Silent()
        )


def test_a_source_without_one_pair_says_why(tmp_path: Path) -> None:
    (tmp_path / "dpo_pairs.jsonl").write_text('{"video": "v"}\n{"video": "v"}\n')
    with pytest.raises(HarnessError, match=r"no row of mm-rlhf gives a pair \(2 for a video\)"):
        source_preferences(
            tmp_path, [tmp_path / "dpo_pairs.jsonl"], load_preferences("mm-rlhf", ROOTS), "mm-rlhf", progress=Silent()
        )


def test_a_users_own_folder_adds_a_source_and_a_mistake_in_it_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "preferences").mkdir()
    file = tmp_path / "preferences" / "mine.yaml"
    told = "summary: s\nhub: a/b\nlicence: mit\nfiles: [x.jsonl]\ncolumns: {question: q}\n"
    file.write_text(told)
    roots = content_roots([tmp_path])
    assert load_preferences("mine=/data/copy", roots).folder == "/data/copy"
    assert isinstance(load_preferences("rlaif-v", roots), PreferenceSource)
    file.write_text(told + "verdicts: {asked: a, said: b, prompt: '(x', verdict: y, first: [], second: []}\n")
    with pytest.raises(HarnessError, match=r"mine.yaml, field verdicts.prompt: .*no regular expression"):
        load_preferences("mine", roots)
    with pytest.raises(HarnessError, match="Did you mean 'rlaif-v'"):
        load_preferences("rlaifv", roots)


@pytest.mark.parametrize(
    ("name", "named"),
    [
        ("embedded", False),
        ("hub:a/b@c", False),
        ("pairs.jsonl", False),
        ("data/pairs", False),
        ("rlaif-v", True),
        ("rlaif-v=/data/RLAIF", True),
        ("a/b=c/pairs.jsonl", False),
        ("rlaifv", True),
    ],
)
def test_names_are_told_from_files(name: str, named: bool) -> None:
    assert is_source(name) is named


def test_places_in_a_row() -> None:
    row = {"a.b": 1, "a": '{"b": 2, "c": [{"d": null}]}'}
    assert pick(row, "a.b") == 1
    assert pick(row, "a.c.0.d") is None
    assert pick(row, "a.c.1.d") is MISSING
    assert pick(row, "x.y") is MISSING
    assert parse_map("question=prompt, chosen=a.good") == {"question": "prompt", "chosen": "a.good"}
    for wrong in ("question", "question=", "=x", ","):
        with pytest.raises(HarnessError, match="is not understood"):
            parse_map(wrong)


def test_a_copy_counts_by_what_is_in_it_and_is_read_once(tmp_path: Path) -> None:
    opened = []
    for place in ("a", "b"):
        write_rlhf_v(tmp_path / place)
        given = {"recipe": "distill", "tasks": ["vlrewardbench"], "preferences": f"rlhf-v={tmp_path / place}"}
        config = resolve_config(given, [], ROOTS, load_recipe("distill", ROOTS))
        stages = Stages(tmp_path / "cache", Quiet())
        opened.append((open_pairs(stages, config), stages.records[0].cached, config.fingerprints["preferences"]))
    assert opened[0][0].key == opened[1][0].key
    assert [cached for _, cached, _ in opened] == [False, True]
    assert opened[0][2] == opened[1][2]
    assert config.record()["source"]["licence"] == "cc-by-nc-4.0"


class Quiet:
    """Watches stages and says nothing."""

    def remark(self, line: str) -> None:
        pass

    def begin(self, stage: str, seed: int | None) -> Silent:
        return Silent()

    def end(self, record: object) -> None:
        """Take no note."""
