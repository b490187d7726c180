from pathlib import Path

import pytest

from harness.config import RunConfig, redacted
from harness.errors import HarnessError
from harness.registry import content_roots, load_recipe
from harness.resolve import resolve_config
from tests.toys import ROOT


def resolve(*assignments: str, recipe: str = "carevl", **given) -> RunConfig:
    roots = content_roots()
    settings = {"recipe": recipe, "tasks": ["vlrewardbench"], **given}
    return resolve_config(settings, assignments, roots, load_recipe(recipe, roots))


@pytest.mark.parametrize(
    ("assignment", "says"),
    [
        ("dpo.bta=1", "Did you mean 'dpo.beta'"),
        ("dop.beta=1", "Did you mean 'dpo.beta'"),
        ("dpo.beta=-1", "dpo.beta = -1"),
        ("sft.epochs=many", "sft.epochs = 'many'"),
        ("nonsense", "--set section.key=value"),
        ("judge.lora.rnk=3", "Did you mean 'judge.lora.rank'"),
        ("confidence.rule=unanimos", "Did you mean 'unanimous'"),
        ("negatives.rule=best-wrst", "Did you mean 'best-worst'"),
        ("scoring.weights.brevty=1", "no scoring dimension is called 'brevty'"),
        ("scoring.weights.valid_format=-1", "negative weight"),
        ("sft.micro_batch_size=5", "no multiple"),
    ],
)
def test_a_wrong_setting_is_one_line_with_the_fix(assignment: str, says: str) -> None:
    with pytest.raises(HarnessError) as error:
        resolve(assignment)
    assert says in str(error.value)
    assert "\n" not in str(error.value)


def test_names_get_did_you_mean() -> None:
    for given, says in (
        ({"recipe": "carvl"}, "carevl"),
        ({"tasks": ["vlrewardbnch"]}, "vlrewardbench"),
        ({"profile": "embeded"}, "embedded"),
        ({"protocols": "both-order"}, "both-orders"),
    ):
        with pytest.raises(HarnessError, match=f"Did you mean '{says}'"):
            resolve(**given)


def test_settings_a_recipe_does_not_use_change_nothing_about_its_run() -> None:
    assert resolve("dpo.beta=0.3", recipe="distill") == resolve(recipe="distill")
    assert resolve("dpo.beta=0.3").run_name() != resolve().run_name()
    assert resolve("sft.epochs=2", recipe="distill") != resolve(recipe="distill")


def test_the_record_is_the_configuration() -> None:
    config = resolve("dpo.beta=1e-1", "scoring.weights.caption_support=0", seeds=[0, 1])
    assert RunConfig.model_validate(config.record()) == config
    assert config.dpo.beta == 0.1
    assert config.scoring.weights["caption_support"] == 0
    assert config.scoring.weights["valid_format"] == 1


def test_every_profile_resolves_for_every_recipe() -> None:
    profiles = [path.stem for path in (ROOT / "recipes/profiles").glob("*.yaml")]
    recipes = [path.parent.name for path in (ROOT / "recipes").glob("*/recipe.py")]
    assert {"embedded", "qwen2.5-vl-7b"} <= set(profiles)
    for profile in profiles:
        for recipe in recipes:
            if profile == "embedded" or not load_recipe(recipe, content_roots()).embedded_only:
                assert resolve(recipe=recipe, profile=profile).profile == profile


def test_a_changed_data_file_is_another_run(tmp_path: Path) -> None:
    path = tmp_path / "bench.jsonl"
    path.write_text("{}")
    first = resolve(data=str(path))
    path.write_text("{} ")
    assert resolve(data=str(path)).run_name() != first.run_name()


def test_a_given_model_takes_nothing_from_the_embedded_profile() -> None:
    config = resolve_config({"model": "dummy", "tasks": ["vlrewardbench"]}, [], content_roots(), None)
    assert config.profile == "as-is"
    assert config.judging.max_new_tokens is None
    assert resolve().judging.max_new_tokens == 48


def test_set_goes_before_a_record_and_a_profile_may_be_a_file(tmp_path: Path) -> None:
    record = resolve("dpo.beta=0.3").record() | {"fingerprints": {}}
    roots = content_roots()
    again = resolve_config(record, ["dpo.beta=0.7"], roots, load_recipe("carevl", roots))
    assert again.dpo.beta == 0.7
    path = tmp_path / "mine.yaml"
    path.write_text("dpo:\njudging: {max_new_tokens: 9}\n")
    mine = resolve("dpo.beta=0.7", profile=str(path))
    assert (mine.dpo.beta, mine.judging.max_new_tokens) == (0.7, 9)
    assert mine.run_name().startswith("carevl-mine-vlrewardbench-")


def test_a_run_is_named_by_its_whole_profile(tmp_path: Path) -> None:
    assert resolve(profile="qwen2.5-vl-7b").run_name().startswith("carevl-qwen2.5-vl-7b-vlrewardbench-")
    for name in ("qwen2.5-mine.yaml", "qwen2.5-mine.yml"):
        path = tmp_path / name
        path.write_text("dpo:\n")
        assert resolve(profile=str(path)).run_name().startswith("carevl-qwen2.5-mine-vlrewardbench-")


def test_secrets_stay_out_of_records() -> None:
    assert redacted(["http://me:abc@host/v1"]) == ["http://[redacted]@host/v1"]
    record = redacted({"model_args": {"api_key": "abc", "nested": [{"hf_token": "abc", "model": "m"}]}})
    assert "abc" not in str(record)
    assert record["model_args"]["nested"][0]["model"] == "m"


def test_the_oracle_is_refused_where_nobody_knows_the_truth(tmp_path: Path) -> None:
    path = tmp_path / "pairs.jsonl"
    path.write_text("{}")
    with pytest.raises(HarnessError, match="embedded world only"):
        resolve(recipe="oracle", preferences=str(path))


def test_one_line_sets_the_engine_of_all_and_a_section_may_have_its_own() -> None:
    config = resolve("engine=ray", "engine.workers=3", "judging.engine=transformers", "sampling.engine.shard_size=8")
    assert config.judging.engine.name == "transformers"
    assert None not in (config.captions, config.experts, config.sampling)
    assert {section.engine.name for section in (config.captions, config.experts, config.sampling)} == {"ray"}
    assert (config.captions.engine.workers, config.sampling.engine.shard_size) == (3, 8)
    assert config.captions.engine.version
    assert RunConfig.model_validate(config.record()) == config


def test_answers_of_two_engines_share_no_key_and_patience_is_none_of_it() -> None:
    names = {resolve(f"engine={engine}").run_name() for engine in ("transformers", "ray")}
    assert len(names) == 2
    assert resolve("engine=ray", "engine.workers=3").run_name() in names
    other = resolve("engine=ray", "engine.shard_size=3")
    assert other.run_name() not in names
    assert other.sampling.decisive() != resolve("engine=ray").sampling.decisive()
    assert resolve("engine=ray", "engine.workers=9").sampling.decisive() == resolve("engine=ray").sampling.decisive()


@pytest.mark.parametrize(
    ("assignments", "says"),
    [
        (["engine=vlm"], "no engine is called 'vlm'. Did you mean 'vllm'?"),
        (["engine=transformers", "engine.replicas=2"], "no setting of engine transformers is called 'replicas'"),
        (["engine.pyton=x"], "Did you mean 'engine.python'"),
        (["engine=server"], "base_url"),
        (["engine=server", "engine.base_url=http://h/v1", "engine.model=m"], "sampling.engine = 'server'"),
        (["captions.engine=server", "captions.engine.base_url=http://h/v1"], "names no model"),
        (["engine=vllm", "engine.python=/nowhere/python"], "/nowhere/python is no interpreter"),
    ],
)
def test_an_engine_that_cannot_be_is_one_line(assignments: list[str], says: str) -> None:
    with pytest.raises(HarnessError) as error:
        resolve(*assignments)
    assert says in str(error.value)
    assert "\n" not in str(error.value)


def test_data_that_is_not_there_is_said_before_a_run_begins() -> None:
    for data in ("missing", "missing.parquet", "folder/missing.jsonl"):
        with pytest.raises(HarnessError, match="does not exist"):
            resolve(data=data)
