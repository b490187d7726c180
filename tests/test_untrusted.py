"""Files, configurations and settings that others wrote: what they may not do."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from harness.bounded_yaml import parse, read_yaml
from harness.cli import main
from harness.config import redacted, without_secrets
from harness.data.benchmark import Entry, make_item
from harness.data.images import image_bytes, image_of
from harness.data.tables import read_rows
from harness.errors import DataError, HarnessError
from harness.protocols import find_protocol
from harness.registry import described_recipe, find_recipes, load_recipe
from tests.test_fuzz import published_judge, said_by
from tests.toys import ROOT, make_items, make_judgments, write

LAUGHS = "a: &a [x, x]\n" + "".join(
    f"{c}: &{c} [*{b}, *{b}, *{b}, *{b}]\n" for b, c in zip("abcdefghi", "bcdefghij", strict=True)
)
PIXEL = (
    b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR\x00\x00\x00\x01\x00\x00\x00\x01\x08\x02\x00\x00\x00\x90wS\xde\x00\x00\x00\x0cIDATx\x9cc"
    b"\xf8\xcf\xc0\x00\x00\x03\x01\x01\x00\xc9\xfe\x92\xef\x00\x00\x00\x00IEND\xaeB`\x82"
)


@pytest.mark.parametrize(
    "text",
    [LAUGHS, "a: &a\n  b: *a\n", "a: " + "[" * 20_000, "a: " + "{b: " * 60, "a: " + "9" * 5000,
     "a: !!python/object:os.system x", "a: !!timestamp 2020-99-99", "- a", "a", "", "1: 2", "a: \x00", "a: [",
     "? [a]\n: b", "a: \ud83d", "a: !!bool maybe", 'a: !!int ""', 'a: !!float ""', "a: !!timestamp x",
     "a: 0x" + "f" * 4000, "a: " + "1:" * 50_000 + "1",
     "a: {" + ", ".join(f"{k * (2**61 - 1)}: 1" for k in range(1, 5000)) + "}"],
)  # fmt: skip
def test_a_hostile_configuration_is_one_line_at_once(tmp_path: Path, text: str, capsys) -> None:
    path = tmp_path / "config.yaml"
    path.write_bytes(text.encode("utf-8", "surrogatepass"))
    started = time.monotonic()
    with pytest.raises(HarnessError):
        read_yaml(path)
    assert main(["run", "--config", str(path)]) == 2
    assert time.monotonic() - started < 5
    told = capsys.readouterr().err
    assert told.count("\n") == 1
    assert len(told) < 1000


def test_what_people_write_is_read() -> None:
    assert parse("a: &x {b: [1, 2.5]}\nc: *x\n") == {"a": {"b": [1, 2.5]}, "c": {"b": [1, 2.5]}}


@pytest.mark.parametrize(
    "field",
    ["recipe: 2020-01-01", "recipe: [a]", "data: [1]", "prompts: 3", "profile: 3", "tasks: vlrewardbench", "seeds: 1",
     "model: {}", "preferences: 1", "columns: a", "sft: {learning_rate: .inf}", "scoring: {weights: {format: .nan}}",
     "judge: {model: x, trust_remote_code: true}"],
)  # fmt: skip
def test_a_setting_of_another_kind_is_named(tmp_path: Path, field: str, capsys) -> None:
    path = tmp_path / "config.yaml"
    whole = {"recipe": "recipe: carevl", "tasks": "tasks: [vlrewardbench]"}
    whole[field.partition(":")[0]] = field
    path.write_text("\n".join(whole.values()) + "\n")
    assert main(["run", "--config", str(path), "--dry-run"]) == 2
    told = capsys.readouterr().err
    assert told.count("\n") == 1
    assert field.partition(":")[0] in told


def test_code_of_a_models_own_is_run_only_when_the_command_line_says_so(tmp_path: Path, capsys) -> None:
    path = tmp_path / "profile.yaml"
    path.write_text("judge: {model: 'embedded:judge', trust_remote_code: true}\n")
    command = ["run", "--recipe", "zero-shot", "--tasks", "vlrewardbench", "--profile", str(path), "--dry-run"]
    assert main(command) == 2
    assert "--set judge.trust_remote_code=true" in capsys.readouterr().err
    assert main([*command, "--set", "judge.trust_remote_code=true"]) == 0


@pytest.mark.parametrize("prompts", [[1], {"vlrewardbench": "fifo"}])
def test_a_strangers_record_of_a_published_judge_neither_ends_nor_holds_up_a_command(
    tmp_path: Path, monkeypatch, prompts: Any
) -> None:
    monkeypatch.chdir(tmp_path)
    os.mkfifo("fifo")
    items = make_items(20)
    # no name of the model
    config = {"published": published_judge(), "prompts": prompts}
    write(tmp_path / "run", items, make_judgments(items, 0.7), config=config, reader="own", task="vlrewardbench")
    for command in (["report", "run", "-o", "page.html"], ["leaderboard", "run", "--published"]):
        code, _, err = said_by(*command)
        assert code == 0, err


@pytest.mark.parametrize("model", ["harness_judge", "qwen2_5_vl"])
def test_a_file_alone_runs_no_code_of_a_named_models_own(tmp_path: Path, model: str, capsys) -> None:
    path = tmp_path / "config.yaml"
    arguments = "{pretrained: 'embedded:judge', trust_remote_code: true}"
    path.write_text(f"model: {model}\nmodel_args: {arguments}\ntasks: [vlrewardbench]\n")
    command = ["run", "--config", str(path), "--dry-run"]
    assert main(command) == 2
    assert "model_args.trust_remote_code is True" in capsys.readouterr().err
    assert main([*command, "--model-args", "pretrained=embedded:judge,trust_remote_code=true"]) == 0


def test_a_key_is_sent_to_no_address_that_a_file_alone_names(tmp_path: Path, monkeypatch, capsys) -> None:
    path = tmp_path / "config.yaml"
    address = "http://127.0.0.1:9/v1"
    path.write_text(f"model: openai\nmodel_args: {{base_url: '{address}', model: m}}\ntasks: [vlrewardbench]\n")
    monkeypatch.setenv("OPENAI_API_KEY", "sk-mine")
    assert main(["run", "--config", str(path), "--dry-run"]) == 2
    assert f"would send your OPENAI_API_KEY to {address}" in capsys.readouterr().err
    assert main(["run", "--config", str(path), "--dry-run", "--model-args", f"base_url={address},model=m"]) == 0
    monkeypatch.delenv("OPENAI_API_KEY")
    assert main(["run", "--config", str(path), "--dry-run"]) == 0


def test_listing_recipes_runs_none_of_them(tmp_path: Path, capsys) -> None:
    folder = tmp_path / "recipes/mine"
    folder.mkdir(parents=True)
    (folder / "recipe.py").write_text(
        '"""Mine."""\n\nfrom pathlib import Path\n\nPath(__file__).with_name("ran").touch()\n'
    )
    assert main(["ls", "recipes", "--include-path", str(tmp_path)]) == 0
    assert "Mine." in capsys.readouterr().out
    assert not (folder / "ran").exists()
    for name in find_recipes([ROOT]):
        recipe = load_recipe(name, [ROOT])
        assert described_recipe(name, [ROOT]) == (recipe.summary, recipe.baseline)


def test_images_lie_with_the_data_or_where_the_user_says(tmp_path: Path, monkeypatch) -> None:
    data, other = tmp_path / "set/data", tmp_path / "other"
    for folder in (data / "images", tmp_path / "set/images", other):
        folder.mkdir(parents=True)
        (folder / "x.png").write_bytes(PIXEL)
    (data / "link.png").symlink_to(other / "x.png")
    assert image_of("images/x.png", data) == image_of("x.png", data) == PIXEL
    for outside in (str(other / "x.png"), "../../other/x.png", "link.png"):
        with pytest.raises(ValueError, match="HARNESS_IMAGES"):
            image_of(outside, data)
    monkeypatch.setenv("HARNESS_IMAGES", str(other))
    for outside in (str(other / "x.png"), "../../other/x.png", "link.png"):
        assert image_of(outside, data) == PIXEL


@pytest.mark.parametrize(
    "name", ["/dev/zero", "fifo", "big.png", "x" * 5000, "\0", "a/" * 3000, "https://example.org/x.png"]
)
def test_what_is_no_image_file_is_refused_at_once(tmp_path: Path, name: str, monkeypatch) -> None:
    os.mkfifo(tmp_path / "fifo")
    with (tmp_path / "big.png").open("wb") as file:
        file.truncate(2**27)
    monkeypatch.setenv("HARNESS_IMAGES", "/dev")
    started = time.monotonic()
    with pytest.raises((ValueError, OSError)):
        image_bytes(image_of(name, tmp_path))
    assert time.monotonic() - started < 2


def test_base64_is_an_image_with_and_without_data() -> None:
    import base64

    text = base64.b64encode(PIXEL).decode()
    assert image_of(text, Path()) == image_of(f"data:image/png;base64,{text}", Path()) == PIXEL


@pytest.mark.parametrize(
    "line", ['{"id": ' + "9" * 5000 + "}", "[" * 100_000, '{"id": 1, "id": 2}', '{"a": {"b": 1, "b": 2}}']
)
def test_a_hostile_line_is_named(tmp_path: Path, line: str) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text('{"id": 0}\n' + line + "\n")
    with pytest.raises(DataError, match="row 2"):
        list(read_rows(path))


@pytest.mark.parametrize(
    "spec", ["official:²", "official:99999999999999999999", "official:0", "official:-1", "official:١"]
)
def test_a_number_of_repeats_is_one(spec: str) -> None:
    with pytest.raises(HarnessError, match="is not understood"):
        find_protocol(spec)


@pytest.mark.parametrize("name", ["x" * 300, "a\x00b", "\ud83d", "a\nb", ""])
def test_a_name_that_is_none_is_refused(tmp_path: Path, name: str, monkeypatch, capsys) -> None:
    monkeypatch.setenv("HARNESS_RESULTS", str(tmp_path))
    row = {"id": "1", "query": "q", "response": ["a", "b"], "human_ranking": [0, 1], "order": [0, 1], "text": "x"}
    file = tmp_path / "f.jsonl"
    file.write_text("".join(json.dumps(row | {"order": order}) + "\n" for order in ([0, 1], [1, 0])))
    assert main(["score", str(file), "--task", "vlrewardbench", "--name", name]) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_secrets_are_told_by_their_names_and_in_addresses() -> None:
    names = ("api_key", "apikey", "api-key", "API-KEY", "x_auth", "access-token", "passwd", "credentials", "hf_token")
    assert set(redacted(dict.fromkeys(names, "s3cret")).values()) == {"[redacted]"}
    kept = {"max_new_tokens": 5, "keys": "a", "tokenizer": "b", "weights": {"token": 0.5}, "columns": {"chosen": "c"}}
    assert redacted(kept) == kept
    assert without_secrets("at http://u:k@h/v1?key=k&a=b.") == "at http://[redacted]@h/v1?key=[redacted]&a=[redacted]"
    assert without_secrets("http://h:8000/v1 and more = 3") == "http://h:8000/v1 and more = 3"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_a_command_in_a_line_with_code_4(tmp_path: Path, number: int) -> None:
    code = (
        "import time, harness.verbs as v; v.ls = lambda o: (print('on', flush=True), time.sleep(30)); "
        "from harness.cli import main; raise SystemExit(main(['ls', 'runs']))"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "on\n"
        process.send_signal(number)
        _, said = process.communicate(timeout=20)
    assert process.returncode == 4
    assert said == f"harness: stopped by {signal.Signals(number).name}; what is done is kept.\n"


@pytest.mark.parametrize("name", ["source_id", "slice"])
def test_a_name_longer_than_a_record_holds_is_a_line(name: str) -> None:
    entry = Entry("a", "q", ("x", "y"), 0, "general")._replace(**{name: "x" * 2000})
    with pytest.raises(DataError, match="Shorten it"):
        make_item(entry, SimpleNamespace(task="toy"), "hash")


def test_a_folder_that_is_called_blobs_is_no_hub(tmp_path: Path) -> None:
    private, repo = tmp_path / "private/blobs", tmp_path / "hub/datasets--x"
    for folder in (private, repo / "blobs", repo / "snapshots/1", tmp_path / "data"):
        folder.mkdir(parents=True)
    for photo in (private / "photo", repo / "blobs/photo"):
        photo.write_bytes(PIXEL)
    (repo / "snapshots/1/a.png").symlink_to("../../blobs/photo")
    assert image_of("a.png", repo / "snapshots/1") == PIXEL
    for name in (str(private / "photo"), "../private/blobs/photo", str(repo / "blobs/photo")):
        with pytest.raises(ValueError, match="it lies outside"):
            image_of(name, tmp_path / "data")
