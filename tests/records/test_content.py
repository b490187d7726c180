from hypothesis import given
from hypothesis import strategies as st

from harness.records import Item, item_id
from harness.records.content import mark, marked, parts
from harness.records.inventory import Inventory

PAIR = {
    "source_id": "1",
    "question": "<image_0>\nwhat?",
    "responses": ("yes <image_1>", "no"),
    "label": 0,
    "slice": "s",
    "cluster_id": "group/1",
    "image_hash": None,
}


def test_images_stand_where_their_marks_are() -> None:
    assert list(parts("one <image_1> two\n<image_0>", 2)) == ["one", 1, "two", 0]
    assert marked("<image_1> <image_0> <image_1>", 2) == [1, 0]
    assert list(parts("  as it is <image_0> ", 0)) == ["  as it is <image_0> "]


def test_a_mark_of_an_image_that_the_item_has_not_is_text() -> None:
    assert list(parts("<image_2> <image_02> <image_-1> <image>", 2)) == ["<image_2> <image_02> <image_-1> <image>"]


@given(st.lists(st.one_of(st.integers(0, 3), st.text(st.characters(exclude_characters="<>"), min_size=1)), max_size=8))
def test_every_image_and_every_word_is_kept_in_its_order(pieces: list[int | str]) -> None:
    text = "".join(mark(piece) if isinstance(piece, int) else piece for piece in pieces)
    found = list(parts(text, 4))
    assert [part for part in found if isinstance(part, int)] == [piece for piece in pieces if isinstance(piece, int)]
    words = "".join(part for part in found if isinstance(part, str)).split()
    assert "".join(words) == "".join("".join(piece for piece in pieces if isinstance(piece, str)).split())


def test_an_item_is_named_by_the_pixels_of_its_marked_images_and_not_by_their_places() -> None:
    named = item_id("t/1", "<image_0> what?", ("<image_1>", "<image_2>"), ("a", "b", "c"))
    assert named == item_id("t/1", "<image_2> what?", ("<image_0>", "<image_1>"), ("b", "c", "a"))
    assert named != item_id("t/1", "<image_0> what?", ("<image_1>", "<image_2>"), ("a", "c", "b"))
    # what looks like a mark is text where there is no image, as in every record before there were marks
    assert item_id("t/1", "<image_0> what?", ("x",)) == "t/1#e0170556f6"


def test_images_and_named_clusters_are_part_of_a_fingerprint() -> None:
    def fingerprint(**changes: object) -> str:
        return Inventory([Item(item_id="t/1#0", images=("a", "b"), **PAIR).model_copy(update=changes)]).fingerprint

    assert len({fingerprint(), fingerprint(images=("b", "a")), fingerprint(cluster_id="group/2")}) == 3


def test_an_item_without_marked_images_is_written_as_it_always_was() -> None:
    item = Item(item_id="t/1#0", **PAIR)
    assert "images" not in item.model_dump_json(exclude_defaults=True)
    assert Item.model_validate_json(item.model_dump_json(exclude_defaults=True)) == item
