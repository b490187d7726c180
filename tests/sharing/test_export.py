"""A checkpoint as a folder for others: it answers as it did, its card is true and valid, nothing of others is lost."""

import contextlib
import errno
import html
import io
import json
import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from huggingface_hub import ModelCard, metadata_load, parse_eval_result_entries
from huggingface_hub.repocard_data import model_index_to_eval_results

from harness.cli import main
from harness.comparing.comparison import compare
from harness.counting.metrics import HEADLINES, METRICS, primary
from harness.counting.results import load_result
from harness.data.images import opened
from harness.embedded.data import benchmark_rows
from harness.engines.engine import Decoding, Question
from harness.engines.transformers_engine import TransformersEngine
from harness.judge.checkpoints import folder_fingerprint, resolve, write_base
from harness.judge.format import EMBEDDED, PLAIN, RewardFormat, load_format
from harness.judge.loading import load_model, load_processor
from harness.records import RunFolder
from harness.records.run import StageRecord
from harness.settings import JudgeSettings, WorldSettings
from harness.sharing.card import own_stages
from harness.training.keeping import check_whole, report_of, seal
from harness.verdicts import Judge
from tests.toy_qwen import save_tiny_qwen
from tests.toys import make_items, make_judgments, write

ITEMS = make_items(60)
CONFIG = {
    "recipe": "distill",
    "profile": "embedded",
    "seeds": [0, 1],
    "preferences": "embedded",
    "judge": {"model": "embedded:judge"},
    "sft": {"learning_rate": 0.5},
    "judging": {"max_new_tokens": 48, "precision": "float32"},
}


def stage(name: str, seed: int | None, key: str = "0" * 16, **info: Any) -> StageRecord:
    return StageRecord(stage=name, seed=seed, key=key, cached=False, seconds=1.5, peak_mb=1, info=info)


def plain(folder: Path) -> None:
    """Fill a folder with a whole judge."""
    shutil.copytree(resolve("embedded:judge").location, folder, dirs_exist_ok=True)
    (folder / "README.md").unlink()
    (folder / "log.json").write_text("{}")


def adapter(folder: Path, base: str = "embedded:judge") -> None:
    """Fill a folder with a judge's adapter whose weights say something."""
    import torch
    from peft import LoraConfig, get_peft_model

    torch.manual_seed(0)
    where = r".*language_model.*\.layers\.\d+\.self_attn\.(q|v)_proj"
    lora = LoraConfig(r=2, lora_alpha=64, target_modules=where, init_lora_weights=False)
    get_peft_model(load_model(JudgeSettings(), "float32"), lora).save_pretrained(folder)
    (folder / "README.md").unlink(missing_ok=True)
    write_base(folder, "embedded:judge", None)
    load_processor(JudgeSettings()).save_pretrained(folder)
    EMBEDDED.save(folder)
    if base != "embedded:judge":
        note = {"model": base, "revision": "abc", "fingerprint": f"hub:{base}@abc"}
        (folder / "adapter_base.json").write_text(json.dumps(note))


def rewarding(folder: Path) -> None:
    """Fill a folder with a judge that ends in a reward head."""
    import torch

    model = load_model(JudgeSettings(), "float32", heads=True)
    torch.manual_seed(0)
    torch.nn.init.normal_(model.reward_head.weight)
    model.save_pretrained(folder)
    load_processor(JudgeSettings()).save_pretrained(folder)
    RewardFormat().save(folder)


@pytest.fixture
def trained(tmp_path: Path, monkeypatch) -> Callable[..., RunFolder]:
    """Make a finished run of two seeds whose first checkpoint lies in the cache."""
    monkeypatch.setenv("HARNESS_RESULTS", str(tmp_path / "results"))

    def make(fill: Callable[[Path], None] = plain, name: str = "mine", **changes: Any) -> RunFolder:
        part = tmp_path / "results/cache/sft-aaaaaaaaaaaaaaaa.part"
        part.mkdir(parents=True)
        fill(part)
        done = part.with_suffix("")
        seal(part, done, {"seconds": 1, "peak_mb": 1, "info": {}})
        task = changes.pop("task", {})
        judgments = [j for seed, draw in ((0, 1), (1, 2)) for j in make_judgments(ITEMS, 0.8, seed, draw)]
        stages = [stage("embedded-preferences", None, pairs=2400), stage("sft", 0, "a" * 16, rows=96, loss=0.25)]
        stages.append(stage("sft", 1, "b" * 16, rows=97))
        run = write(tmp_path / "results/runs" / name, ITEMS, judgments, stages, CONFIG | changes, **task)
        record = run.read_run()
        record.checkpoints["0"] = folder_fingerprint(done)
        run.write_run(record)
        return run

    return make


def baseline(results: Path, **changes: Any) -> RunFolder:
    judgments = [j for seed, draw in ((0, 3), (1, 4)) for j in make_judgments(ITEMS, 0.6, seed, draw)]
    return write(results / "runs/theirs", ITEMS, judgments, (), CONFIG | {"recipe": "zero-shot"} | changes)


def exported(tmp_path: Path, *more: str) -> Path:
    assert main(["export", "mine", str(tmp_path / "out"), *more]) == 0
    return tmp_path / "out"


def refused(capsys, *arguments: str) -> str:
    capsys.readouterr()
    assert main(["export", *arguments]) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    return said


def snippet(folder: Path) -> str:
    (code,) = re.findall(r"```python\n(.*?)```", (folder / "README.md").read_text(), flags=re.DOTALL)
    return str(code)


def page(folder: Path) -> str:
    return (folder / "README.md").read_text().split("\n---\n", 1)[1]


def answered_alike(folder: Path, original: Path, monkeypatch) -> None:
    """Run the card's own snippet on some items: it prints what the original answers in process."""
    engine, code = TransformersEngine(JudgeSettings(model=str(original)), "float32", 8), snippet(folder)
    format_ = load_format(original)
    assert format_ is not None
    monkeypatch.chdir(folder)
    for row in benchmark_rows(WorldSettings(items=3)):
        image, (first, second) = opened(row["image"]).convert("RGB"), row["response"]
        image.save(folder.parent / "image.png")
        asked = code.replace('"image.png"', '"../image.png"').replace(
            '"What is left of the cup?", "a dog", "a cat"', repr((row["query"], first, second))
        )
        assert asked.count(row["query"]) == 1
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            exec(asked, {})
        ((answer,),) = engine.answer([Question((image, format_.ask(row["query"], first, second)))], Decoding(48))
        assert printed.getvalue().strip() == answer.text


def test_plain_transformers_answers_as_the_original(trained, tmp_path: Path, monkeypatch) -> None:
    trained()
    out, artifact = exported(tmp_path), tmp_path / "results/cache/sft-aaaaaaaaaaaaaaaa"
    answered_alike(out, artifact, monkeypatch)
    assert folder_fingerprint(out) == folder_fingerprint(artifact)
    check_whole(out)
    assert report_of(out)["info"]["exported"]["run"] == "mine"
    assert not (out / "log.json").exists()


def test_a_real_class_is_asked_in_its_own_way(trained, tmp_path: Path, monkeypatch) -> None:
    def qwen(folder: Path) -> None:
        save_tiny_qwen(folder)
        PLAIN.save(folder)

    trained(qwen, judge={"model": "OWNER/QWEN"})
    out = exported(tmp_path, "--license", "apache-2.0")
    answered_alike(out, tmp_path / "results/cache/sft-aaaaaaaaaaaaaaaa", monkeypatch)
    assert "vllm serve FOLDER --served-model-name FOLDER --dtype float32 --host 127.0.0.1 --port 8000" in page(out)
    data = metadata_load(out / "README.md") or {}
    assert (data["base_model"], data["base_model_relation"]) == ("OWNER/QWEN", "finetune")


def test_an_adapter_is_merged_for_those_who_lack_its_base(trained, tmp_path: Path, monkeypatch, capsys) -> None:
    trained(adapter)
    assert "which is not on the hub: nobody else has it. Add --merge" in refused(capsys, "mine", str(tmp_path / "out"))
    out = exported(tmp_path, "--merge")
    assert not list(out.glob("adapter*"))
    assert "merged into its base in float32, then rounded to float32" in page(out)
    answered_alike(out, tmp_path / "results/cache/sft-aaaaaaaaaaaaaaaa", monkeypatch)


def test_an_adapter_names_its_base_on_the_hub(trained, tmp_path: Path, capsys) -> None:
    trained(lambda folder: adapter(folder, "OWNER/BASE"), judge={"model": "OWNER/BASE"})
    out = exported(tmp_path)
    data = metadata_load(out / "README.md")
    assert data is not None
    assert (data["base_model"], data["base_model_relation"]) == ("OWNER/BASE", "adapter")
    assert data["library_name"] == "peft"
    assert "license" not in data
    assert 'from_pretrained("OWNER/BASE", revision="abc"' in snippet(out)
    assert "vllm serve" not in page(out).replace("`vllm serve`", "")


def test_a_reward_head_is_asked_by_the_harness(trained, tmp_path: Path) -> None:
    trained(rewarding)
    out = exported(tmp_path)
    assert "pipeline_tag" not in (metadata_load(out / "README.md") or {})
    assert "harness.Judge" in snippet(out)
    (row,) = benchmark_rows(WorldSettings(items=1))
    given = []
    for folder in (out, tmp_path / "results/cache/sft-aaaaaaaaaaaaaaaa"):
        with Judge(str(folder)) as judge:
            given.append(judge.judge(row["image"], row["query"], row["response"]).scores)
    assert given[0] == given[1]
    assert given[0][0] != given[0][1]


def test_the_card_is_what_the_hub_reads(trained, tmp_path: Path) -> None:
    run = trained()
    card = ModelCard.load(exported(tmp_path, "--license", "mit") / "README.md")
    data = card.data.to_dict()
    assert (data["license"], data["library_name"], data["pipeline_tag"]) == (
        "mit",
        "transformers",
        "image-text-to-text",
    )
    assert "synthetic" in data["tags"]
    name, results = model_index_to_eval_results(data["model-index"])
    whole = load_result(run)
    alone = replace(whole, tallies={0: whole.tallies[0]})
    assert name == "mine"
    assert [result.metric_type for result in results] == list(HEADLINES["pair"])
    for result in results:
        estimate = alone.estimate(METRICS["pair"][result.metric_type])
        assert result.metric_value == round(float(estimate.value), 4)
        assert result.metric_args["confidence_interval_95"] == [
            round(float(e), 4) for e in (estimate.low, estimate.high)
        ]
        assert "synthetic" in result.dataset_type


def test_the_card_compares_with_the_runs_baseline(trained, tmp_path: Path, capsys) -> None:
    run = trained()
    assert "It is not compared with a baseline here." in page(exported(tmp_path))
    other = baseline(tmp_path / "results")
    told = page(exported(tmp_path))
    assert compare(load_result(other), load_result(run)).sentence() in html.unescape(told.replace("\\", ""))
    assert "compared with theirs." in capsys.readouterr().out
    assert "It is not compared" in page(exported(tmp_path, "--baseline", "none"))
    # another setting makes it another experiment's
    shutil.rmtree(other.path)
    baseline(tmp_path / "results", sft={"learning_rate": 0.25})
    assert "It is not compared" in page(exported(tmp_path))
    assert "zero-shot baseline" in page(exported(tmp_path, "--baseline", "theirs"))


def test_the_card_says_what_it_must(trained, tmp_path: Path) -> None:
    trained()
    told = page(exported(tmp_path))
    assert told.index("**Synthetic.**") < told.index("A **judge**")
    for part in (
        "2,400 preference pairs of the embedded synthetic world",
        "| sft.learning_rate ",
        "96 rows",
        "this checkpoint, seed 0",
        "distill (2 seeds)",
        "harness serve",
        "@misc{mine,",
        "Another protocol",
    ):
        assert part in told
    assert "97 rows" not in told


def test_texts_of_others_stay_text_and_paths_stay_here(trained, tmp_path: Path) -> None:
    trained(
        preferences="/home/me/secret/pairs.parquet",
        profile="~/secret/mine.yaml",
        experts={"models": ["/home/me/secret/expert", "a<script>alert(1)</script>"]},
        captions={"prompt": "# heading\n```\n| x"},
    )
    out = exported(tmp_path)
    told = page(out)
    assert "secret" not in told
    assert "pairs.parquet" in told
    assert "<script" not in told
    assert not re.search(r"^# heading", told, flags=re.MULTILINE)
    assert "nobody else can repeat the training" in told
    assert "license" not in (metadata_load(out / "README.md") or {})


def test_eval_results_are_for_whole_benchmarks_of_the_hub(trained, tmp_path: Path) -> None:
    data = {"task": {"data": "OWNER/BENCH@abc", "synthetic": False}, "data": {"toy": "hub"}}
    run = trained(**data)
    out = exported(tmp_path)
    (entry,) = parse_eval_result_entries(yaml.safe_load((out / ".eval_results/toy.yaml").read_text()))
    alone = replace(load_result(run), tallies={0: load_result(run).tallies[0]})
    assert (entry.dataset_id, entry.dataset_revision, entry.task_id) == ("OWNER/BENCH", "abc", "default")
    assert entry.value == pytest.approx(100 * alone.estimate(primary("pair")).value, abs=1e-3)
    assert "both-orders, training seed 0, 95 % interval [" in str(entry.notes)
    check_whole(out)


def test_synthetic_figures_never_stand_among_others(trained, tmp_path: Path) -> None:
    trained(data={"toy": "hub"}, task={"data": "OWNER/BENCH"})
    assert not (exported(tmp_path) / ".eval_results").exists()


def test_nothing_else_is_ever_overwritten(trained, tmp_path: Path, capsys) -> None:
    trained()
    out = tmp_path / "out"
    out.write_text("mine")
    assert "is a file" in refused(capsys, "mine", str(out))
    out.unlink()
    out.mkdir()
    (out / "notes.txt").write_text("mine")
    assert "is not empty and holds no exported judge" in refused(capsys, "mine", str(out))
    cached = tmp_path / "results/cache/sft-aaaaaaaaaaaaaaaa"
    assert "holds something else than an exported judge" in refused(capsys, "mine", str(cached))
    shutil.rmtree(out)
    out.mkdir()
    exported(tmp_path)
    exported(tmp_path)
    (out / "README.md").write_text("my own words")
    assert "was changed since it was exported" in refused(capsys, "mine", str(out))
    assert (out / "README.md").read_text() == "my own words"


def test_a_full_disk_leaves_nothing_half(trained, tmp_path: Path, capsys, monkeypatch) -> None:
    trained()

    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(shutil, "copyfile", full)
    assert "Free some space" in refused(capsys, "mine", str(tmp_path / "out"))
    assert {path.name for path in tmp_path.iterdir()} == {"results"}


def test_a_damaged_checkpoint_is_not_exported(trained, tmp_path: Path, capsys) -> None:
    trained()
    artifact = tmp_path / "results/cache/sft-aaaaaaaaaaaaaaaa"
    (artifact / "log.json").write_text("[]")
    assert "its log.json is not what was written): it is not exported" in refused(capsys, "mine", str(tmp_path / "out"))
    weights = artifact / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"\0")
    assert "is damaged (its" in refused(capsys, "mine", str(tmp_path / "out"))
    shutil.rmtree(artifact)
    assert "is not in the cache" in refused(capsys, "mine", str(tmp_path / "out"))


@pytest.mark.parametrize(
    ("judged", "says"),
    [
        ("experts:0123", "judged by its experts alone: nothing was trained"),
        ("named:0123", "judged 'qwen' as it is: nothing was trained"),
        ("base", "judged its base model as it is: nothing was trained"),
    ],
)
def test_what_was_not_trained_is_not_exported(trained, tmp_path: Path, capsys, judged: str, says: str) -> None:
    run = trained(fingerprints={"judge": "base"}, model="qwen")
    record = run.read_run()
    record.checkpoints["0"] = judged
    run.write_run(record)
    assert says in refused(capsys, "mine", str(tmp_path / "out"))


def test_seeds_and_names(trained, tmp_path: Path, capsys) -> None:
    trained()
    out = str(tmp_path / "out")
    assert "is not in the cache" in refused(capsys, "run:mine:1", out)
    assert "no seed of mine is called '7'" in refused(capsys, "mine", out, "--seed", "7")
    assert "names seed 1, and --seed 0" in refused(capsys, "run:mine:1", out, "--seed", "0")
    assert "there is no adapter. Drop --merge" in refused(capsys, "mine", out, "--merge")
    assert "Add --push-to-hub OWNER/NAME" in refused(capsys, "mine", out, "--public")
    assert "'mine' is no name on the hub" in refused(capsys, "mine", out, "--push-to-hub", "mine")
    assert "told to be offline" in refused(capsys, "mine", out, "--push-to-hub", "OWNER/mine")
    assert main(["export", "run:mine:0", out]) == 0


def test_stages_of_one_checkpoint() -> None:
    ran = [("pairs", None), ("sft", 0), ("score", None), ("dpo", 0), ("sft", 1), ("score", None), ("dpo", 1)]
    stages = [stage(name, seed, str(place)) for place, (name, seed) in enumerate(ran)]
    assert [one.key for one in own_stages(stages, 0)] == ["0", "1", "2", "3"]
    assert [one.key for one in own_stages(stages, 1)] == ["0", "4", "5", "6"]
