import base64
import io
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet
import pytest
from PIL import Image

from harness.data.benchmark import PAIR_FIELDS, Benchmark, Entry, read_items, write_benchmark
from harness.data.images import image_hash
from harness.data.preferences import COLUMNS, exchanged, stream_pairs, write_preferences
from harness.data.tables import read_rows
from harness.errors import DataError


def png(color: str = "red", kind: str = "PNG") -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (8, 8), color).save(file, kind)
    return file.getvalue()


def pair(**changes):
    row = {"id": "1", "image": png(), "question": "what?", "chosen": "red", "rejected": "blue", "caption": "red square"}
    return {**row, **changes}


def item(**changes):
    row = {"id": "a-1", "image": png(), "query": "what?", "response": ["x", "y"], "human_ranking": [1, 0]}
    return {**row, "category": "general", **changes}


def load_pairs(tmp_path: Path, *rows):
    return write_preferences(tmp_path / "out.parquet", iter(rows), "pairs.jsonl", tmp_path)


TOY = Benchmark(
    "toy",
    "",
    PAIR_FIELDS,
    lambda row: Entry(row["id"], row["query"], tuple(row["response"]), row["human_ranking"].index(0), "none"),
)


def load_items(tmp_path: Path, *rows):
    return write_benchmark(tmp_path / "out.parquet", iter(rows), "bench.jsonl", tmp_path, TOY)


BAD_PAIRS = [
    (pair(chosen=None), "field 'chosen': None"),
    (pair(chosen="  "), "field 'chosen'"),
    (pair(rejected=3), "field 'rejected': 3"),
    (pair(image=b"no image"), "field 'image'"),
    (pair(image="missing.png"), "field 'image': 'missing.png'"),
    ({k: v for k, v in pair().items() if k != "question"}, "no field 'question'"),
    (pair(p_chosen=1.5), "field 'p_chosen': 1.5 is not a number from 0 to 1. Mend the row."),
    (pair(p_chosen=float("nan")), "field 'p_chosen': nan"),
    (pair(p_chosen=True), "field 'p_chosen': True"),
    (pair(p_chosen="0.5"), "field 'p_chosen': '0.5'"),
]


@pytest.mark.parametrize(("row", "says"), BAD_PAIRS)
def test_a_bad_pair_is_named_by_row_and_field(tmp_path: Path, row, says: str) -> None:
    with pytest.raises(DataError) as error:
        load_pairs(tmp_path, pair(id="0"), row)
    assert "pairs.jsonl, row 2" in str(error.value)
    assert says in str(error.value)
    assert "\n" not in str(error.value)


BAD_ITEMS = [
    (item(human_ranking=[1, 1]), "field 'human_ranking': [1, 1]"),
    (item(human_ranking="01"), "field 'human_ranking'"),
    (item(response=["only one"]), "field 'response'"),
    (item(query=""), "field 'query'"),
]


@pytest.mark.parametrize(("row", "says"), BAD_ITEMS)
def test_a_bad_item_is_named_by_row_and_field(tmp_path: Path, row, says: str) -> None:
    with pytest.raises(DataError) as error:
        load_items(tmp_path, row)
    assert "bench.jsonl, row 1" in str(error.value)
    assert says in str(error.value)


def test_an_empty_file_and_doubled_ids_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="holds no rows"):
        load_pairs(tmp_path)
    with pytest.raises(DataError, match="row 2, field 'id': '1' was used before"):
        load_pairs(tmp_path, pair(), pair(chosen="green"))
    assert load_pairs(tmp_path, pair(), pair())["pairs"] == 1


def test_a_probability_is_kept_and_goes_with_the_side_it_speaks_of(tmp_path: Path) -> None:
    load_pairs(tmp_path, pair(id="0", p_chosen=0), pair(id="1", p_chosen=0.75, rationale="it is red."), pair(id="2"))
    rows = list(stream_pairs(tmp_path / "out.parquet"))
    assert [row["p_chosen"] for row in rows] == [0.0, 0.75, None]
    other = exchanged(rows[1])
    assert (other["chosen"], other["rejected"], other["p_chosen"], other["rationale"]) == ("blue", "red", 0.25, None)
    assert exchanged(other, "it is red.") == rows[1]
    assert exchanged(rows[2])["p_chosen"] is None


def test_the_truth_in_a_file_never_reaches_training(tmp_path: Path) -> None:
    load_pairs(tmp_path, pair(label_is_correct=False, rater_share_true=0.2))
    assert pyarrow.parquet.read_schema(tmp_path / "out.parquet").names == list(COLUMNS)


def test_image_placeholders_in_text_are_taken_out(tmp_path: Path) -> None:
    load_pairs(tmp_path, pair(question="<image>\nwhat?", chosen="red <image>"))
    (row,) = stream_pairs(tmp_path / "out.parquet")
    assert (row["question"], row["chosen"]) == ("what?", "red")


@pytest.mark.parametrize("how", ["parquet", "jsonl path", "jsonl data url"])
def test_every_way_of_giving_an_image(tmp_path: Path, how: str) -> None:
    row = item()
    if how == "parquet":
        path = tmp_path / "bench.parquet"
        table = pa.Table.from_pylist([{**row, "image": {"bytes": row["image"], "path": None}}])
        pyarrow.parquet.write_table(table, path)
    else:
        path = tmp_path / "bench.jsonl"
        (tmp_path / "image.png").write_bytes(row["image"])
        url = "data:image/png;base64," + base64.b64encode(row["image"]).decode()
        path.write_text(json.dumps({**row, "image": "image.png" if how == "jsonl path" else url}) + "\n")
    info = write_benchmark(tmp_path / "out.parquet", read_rows(path), path.name, tmp_path, TOY)
    items = read_items(tmp_path / "out.parquet")
    assert info["items"] == 1
    assert items[0].label == 1
    assert items[0].cluster_id == image_hash(row["image"])


def test_the_same_pixels_are_one_cluster_however_encoded() -> None:
    assert image_hash(png()) == image_hash(png(kind="BMP"))
    assert image_hash(png()) != image_hash(png("blue"))


def test_a_corrected_label_changes_the_fingerprint_but_no_item_id(tmp_path: Path) -> None:
    before = load_items(tmp_path, item())
    first = read_items(tmp_path / "out.parquet")[0]
    after = load_items(tmp_path, item(human_ranking=[0, 1]))
    second = read_items(tmp_path / "out.parquet")[0]
    assert before["fingerprint"] != after["fingerprint"]
    assert first.item_id == second.item_id
    assert (first.label, second.label) == (1, 0)


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("rows.jsonl", b'{"id": 1}\n{"id": ', "row 2: not valid JSON.*torn"),
        ("rows.jsonl", b"[1]\n", "row 1: .* is no JSON object"),
        ("rows.jsonl", b"\xff\xfe", "not UTF-8"),
        ("rows.parquet", b"PAR1 torn", "not a whole parquet file"),
        ("rows.csv", b"id\n", "neither parquet nor JSONL"),
    ],
)
def test_a_torn_or_strange_file_is_one_line(tmp_path: Path, name: str, content: bytes, says: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=says):
        list(read_rows(tmp_path / name))


def test_a_missing_file_is_one_line(tmp_path: Path) -> None:
    for name in ("no.jsonl", "no.parquet"):
        with pytest.raises(DataError, match="does not exist"):
            list(read_rows(tmp_path / name))


def test_one_part_of_a_data_set_is_read_with_lists_of_images_as_they_are(tmp_path: Path) -> None:
    """As MMRB2's parts lie on the hub: a folder each, named in the card's header."""
    import datasets

    from harness.data.tables import hub_rows

    picture = io.BytesIO()
    Image.new("RGB", (4, 4), (9, 8, 7)).save(picture, "PNG")
    features = datasets.Features(
        {"pair_id": datasets.Value("string"), "prompt_images": datasets.List(datasets.Image())}
    )
    configs = []
    for part in ("t2i", "edit"):
        (tmp_path / part).mkdir()
        row = {"pair_id": part, "prompt_images": [{"bytes": picture.getvalue(), "path": None}] * 2}
        datasets.Dataset.from_list([row], features).to_parquet(str(tmp_path / part / "test-0.parquet"))
        configs.append(f"- config_name: {part}\n  data_files:\n  - split: test\n    path: {part}/test-*\n")
    (tmp_path / "README.md").write_text(f"---\nconfigs:\n{''.join(configs)}---\n")
    (row,) = hub_rows(str(tmp_path), "test", "edit")
    assert row["pair_id"] == "edit"
    assert [image["bytes"] for image in row["prompt_images"]] == [picture.getvalue()] * 2


@pytest.mark.parametrize(
    "row",
    [
        {"image": "a.png"},
        {"image_path": "a.png"},
        {"prompt_images": ["b.png", "a.png"]},
        {"response_a": {"response_content": [["text", "x"], ["image", "a.png"]]}},
        {"video": "film"},
    ],
)
def test_a_changed_image_changes_the_data_wherever_a_row_names_it(tmp_path: Path, row: dict) -> None:
    from harness.data.tables import data_fingerprint

    (tmp_path / "film").mkdir()
    for name in ("a.png", "film/0.png"):
        (tmp_path / name).write_bytes(png("red"))
    (tmp_path / "rows.jsonl").write_text(json.dumps(row) + "\n")
    before = data_fingerprint(tmp_path / "rows.jsonl")
    for name in ("a.png", "film/0.png"):
        (tmp_path / name).write_bytes(png("blue") + b"other")
    assert data_fingerprint(tmp_path / "rows.jsonl") != before


def test_what_a_killed_process_left_of_a_copy_goes_and_what_another_writes_stays(tmp_path: Path) -> None:
    import os

    from harness.data.canonical import open_images, write_rows
    from harness.scratch import part_of

    write_rows(tmp_path / "t.parquet", [{"image": png()}], {"image": "image"})
    own = part_of(tmp_path / "t.ends.npy")
    dead = own.with_name(own.name.replace(f".{os.getpid()}-", f".{2**22 + 1}-"))
    other = own.with_name(own.name.replace(f".{os.getpid()}-", ".1-"))
    for path in (dead, other):
        path.write_bytes(b"half")
    assert open_images(tmp_path / "t.parquet")(0) == png()
    assert sorted(path.name for path in tmp_path.glob("*.part")) == [other.name]
