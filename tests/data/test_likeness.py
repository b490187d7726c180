import io
import string

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageDraw

from harness.data.likeness import Looks, alike, looks, normalised, see, small_copy
from harness.embedded.data import benchmark_rows, preference_rows
from harness.settings import WorldSettings
from tests.data.copies import reencoded, resized, rewritten


def images(rows) -> list[bytes]:
    return list(dict.fromkeys(row["image"] for row in rows))


@pytest.fixture(scope="module")
def scenes() -> list[bytes]:
    return images(benchmark_rows(WorldSettings(items=200)))


@pytest.mark.parametrize("copy", [reencoded, resized, lambda data: resized(data, format_="JPEG")])
def test_a_copy_is_alike_to_its_original_and_to_no_other(scenes: list[bytes], copy) -> None:
    found = alike(see(map(copy, scenes)).looks, see(scenes).looks)
    own = [match for match in found if match.one == match.other]
    assert len(own) >= 0.99 * len(scenes)
    assert found == own


def test_scenes_of_other_worlds_and_splits_are_not_alike(scenes: list[bytes]) -> None:
    pairs = see(images(preference_rows(WorldSettings(pairs=600)))).looks
    other = see(images(benchmark_rows(WorldSettings(seed=1, items=200)))).looks
    assert alike(pairs, other) == []
    assert alike(pairs, see(scenes).looks) == []


def drawing(colour: str, at: int, background: str = "white") -> bytes:
    image = Image.new("RGB", (400, 300), background)
    ImageDraw.Draw(image).line((at, 20, 380, 280), fill=colour, width=3)
    file = io.BytesIO()
    image.save(file, "PNG")
    return file.getvalue()


def test_pale_drawings_and_other_colours_are_told_apart() -> None:
    others = [drawing("black", 20), drawing("black", 360), drawing("grey", 20, "black"), drawing("black", 200)]
    seen = see(others).looks
    assert {(match.one, match.other) for match in alike(seen, seen)} == {(i, i) for i in range(len(others))}
    squares = []
    for colour in ("#0099ff", "#ff5050"):
        image = Image.new("RGB", (400, 300), "#808080")
        image.paste(colour, (100, 100, 200, 200))
        file = io.BytesIO()
        image.save(file, "PNG")
        squares.append(file.getvalue())
    seen = see(squares).looks
    assert len(alike(seen, seen)) == 2


def test_a_photograph_is_seen_upright() -> None:
    scene = next(benchmark_rows(WorldSettings(items=1)))["image"]
    image = Image.open(io.BytesIO(scene)).resize((480, 480))
    upright, turned = io.BytesIO(), io.BytesIO()
    image.save(upright, "JPEG", quality=95)
    exif = Image.Exif()
    exif[0x0112] = 6
    image.rotate(90).save(turned, "JPEG", quality=95, exif=exif)
    assert len(alike(see([upright.getvalue()]).looks, see([turned.getvalue()]).looks)) == 1


def test_each_file_is_looked_at_once_and_rows_keep_their_order(scenes: list[bytes]) -> None:
    done: list[int] = []
    seen = see([scenes[1], scenes[0], scenes[1]] * 100, done.append)
    assert seen.place.tolist() == [0, 1, 0] * 100
    assert seen.looks.tones.shape == (2, 256)
    assert sum(done) == 300


def test_blocks_find_what_one_by_one_finds(scenes: list[bytes]) -> None:
    seen = see(scenes).looks
    many = Looks(*(np.concatenate([part] * (6000 // len(scenes))) for part in seen))
    found = alike(many, seen)
    assert {(match.one % len(scenes)) - match.other for match in found} == {0}
    assert len(found) == len(many.bits)


def test_small_copies_have_one_size_whatever_the_mode() -> None:
    for mode in ("1", "L", "P", "RGBA", "CMYK", "I;16"):
        file = io.BytesIO()
        Image.new(mode, (50, 20)).save(file, "TIFF" if mode == "CMYK" else "PNG")
        assert looks(small_copy(file.getvalue())[None]).bits.shape == (1, 63)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("What colour is it?", "  what  COLOUR is\nit "),
        ("Is it a cat, or a dog?", "is it a cat or a dog"),
        ("\uff37hat's this", "what\u2019s this"),
        ("caf\u00e9?", "cafe\u0301"),
    ],
)
def test_questions_are_the_same_in_other_writing(one: str, other: str) -> None:
    assert normalised(one) == normalised(other) == normalised(rewritten(one))


def test_other_questions_stay_others() -> None:
    for one, other in (("1 + 2", "1 \u2212 2"), ("a < b", "a > b"), ("???", "!!!"), ("is it?", "it is")):
        assert normalised(one) != normalised(other)


@given(st.text(string.printable).filter(lambda text: any(sign.isalnum() for sign in text)))
def test_any_question_is_known_again_in_other_writing(question: str) -> None:
    assert normalised(rewritten(question)) == normalised(question)
