"""Token counts of training rows, against what the processors themselves make of every row."""

import io
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image, ImageFile

from harness.data.preferences import write_preferences
from harness.errors import HarnessError
from harness.judge.format import PLAIN
from harness.judge.loading import load_processor
from harness.settings import JudgeSettings
from harness.training.lengths import ImageTokens, fitting
from harness.training.rows import Presented, conversation, present, present_as, training_rows
from harness.training.sources import PAIRS
from harness.training.stages import Artifact
from tests.toy_qwen import save_tiny_qwen

SIZES = [(28, 28), (100, 60), (60, 100), (112, 112), (300, 40), (56, 57)]


def picture(size: tuple[int, int], color: str = "red", **how: object) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", size, color).save(file, **{"format": "PNG", **how})
    return file.getvalue()


@pytest.fixture(scope="module", params=["embedded:judge", "qwen"])
def processor(request, tmp_path_factory):
    name = request.param
    if name == "qwen":
        name = str(tmp_path_factory.mktemp("qwen"))
        save_tiny_qwen(Path(name))
    return load_processor(JudgeSettings(model=name))


def processed(processor, row: dict, answers: tuple[str, ...]) -> int:
    """The length of a row as the processor makes it, image and all."""
    chat = [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": row["prompt"][0]["content"]}]}]
    text = processor.apply_chat_template(chat, add_generation_prompt=True)
    prompt = len(processor(images=[row["image"]], text=[text])["input_ids"][0])
    return prompt + max(len(processor.tokenizer(row[a][0]["content"]).input_ids) for a in answers)


class Rows(list):
    """A list as a data set: columns by slice, and a selection."""

    def __getitem__(self, where):
        if isinstance(where, slice):
            part = list(self)[where]
            return {name: [row[name] for row in part] for name in part[0]}
        return super().__getitem__(where)

    def select(self, places: list[int]) -> "Rows":
        return Rows(self[place] for place in places)


texts = st.text(st.sampled_from('abc z.,?\n"{}<é日'), max_size=40)
drawn = st.lists(st.tuples(texts, texts, texts, st.sampled_from(SIZES)), min_size=1, max_size=6)


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(drawn, st.data())
def test_the_rows_kept_are_those_that_the_processor_finds_short_enough(processor, drawn, data) -> None:
    rows = Rows(
        {
            "prompt": conversation("user", asked),
            "chosen": conversation("assistant", chosen),
            "rejected": conversation("assistant", rejected),
            "image": Image.new("RGB", size),
        }
        for asked, chosen, rejected, size in drawn
    )
    answers = ("chosen", "rejected")
    lengths = [processed(processor, row, answers) for row in rows]
    limit = data.draw(st.sampled_from(lengths))
    kept, left = fitting(processor, rows, limit, answers)
    assert kept == [row for row, length in zip(rows, lengths, strict=True) if length <= limit]
    assert left == len(rows) - len(kept)
    assert fitting(processor, rows, None, answers) == (rows, 0)
    with pytest.raises(HarnessError, match="longer than max_tokens"):
        fitting(processor, rows, min(lengths) - 1, answers)


def test_what_a_processor_tells_is_believed_only_where_it_is_right(processor) -> None:
    made = ImageTokens(processor)
    wanted = {size: made._made(size) for size in SIZES}
    count = ImageTokens(processor)
    assert {size: count(size) for size in SIZES} == wanted
    # LLaVA's tells a number of another model's; Qwen's tells the right one
    assert count.tells == (type(processor).__name__ != "LlavaProcessor")
    liar = ImageTokens(processor)
    liar._told = lambda size: 7 if size == SIZES[0] else -1  # type: ignore[method-assign]
    assert {size: liar(size) for size in SIZES} == wanted
    assert not liar.tells


@pytest.fixture
def pairs(tmp_path: Path) -> Artifact:
    rows = (
        {"id": f"p{n}", "image": picture(size), "question": f"what {n}?", "chosen": f"red {n}", "rejected": f"blue {n}"}
        for n, size in enumerate(SIZES)
    )
    write_preferences(tmp_path / PAIRS, rows, "toy", tmp_path)
    return Artifact("pairs", "key", tmp_path)


def say(number: int, shown: Presented) -> str:
    return f"{number} {shown.pair['chosen']} {shown.chosen_second}"


def test_rows_are_made_when_they_are_read_and_no_image_is_decoded_to_count(pairs, processor, monkeypatch) -> None:
    decoded = []
    monkeypatch.setattr(ImageFile.ImageFile, "load", lambda image: decoded.append(image))
    rows = training_rows(pairs, present(pairs, PLAIN), {"completion": say})
    kept, left = fitting(processor, rows, 10_000, ("completion",))
    assert (len(kept), left, decoded) == (2 * len(SIZES), 0, [])
    monkeypatch.undo()
    assert rows.data.nbytes <= 3 * 8 * len(rows)
    row = kept[3]
    assert row["completion"] == [{"role": "assistant", "content": "3 red 1 True"}]
    assert row["prompt"] == [{"role": "user", "content": PLAIN.ask("what 1?", "blue 1", "red 1")}]
    assert row["image"].convert("RGB").tobytes() == Image.new("RGB", SIZES[1], "red").tobytes()


def test_presentations_are_in_the_tables_order_or_in_the_one_asked_for(pairs) -> None:
    shown = present(pairs, PLAIN, ["p4", "p1"])
    assert [(p.place, p.pair["id"], p.chosen_second) for p in shown] == [
        (1, "p1", False),
        (1, "p1", True),
        (4, "p4", False),
        (4, "p4", True),
    ]
    assert shown[1:3] == list(shown)[1:3]
    assert shown[-1] == list(shown)[-1]
    with pytest.raises(IndexError):
        shown[4]
    asked = [("p4", True), ("p0", False), ("p4", True)]
    assert [(p.pair["id"], p.chosen_second) for p in present_as(pairs, PLAIN, asked)] == asked


def test_an_image_that_lies_on_its_side_is_set_upright(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    for kind in ("JPEG", "PNG"):
        row = {"id": "a", "image": picture((40, 20), format=kind, exif=exif), "question": "q"}
        write_preferences(tmp_path / PAIRS, [row | {"chosen": "a", "rejected": "b"}], "toy", tmp_path)
        for copy in ("pairs.arrow", "pairs.ends.npy"):
            (tmp_path / copy).unlink(missing_ok=True)
        artifact = Artifact("pairs", "key", tmp_path)
        rows = training_rows(artifact, present(artifact, PLAIN), {"completion": say})
        assert rows[0]["image"].size == (20, 40)
