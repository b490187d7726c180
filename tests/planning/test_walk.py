"""A walk through a recipe knows the keys of the real run, and stops where it must guess."""

import sys
from pathlib import Path

import pytest

from harness.config import RunConfig
from harness.errors import HarnessError
from harness.planning.forecast import FORECASTS, expected_pairs
from harness.planning.walk import walk
from harness.records import Run
from harness.registry import Recipe, content_roots, find_recipes, load_recipe
from harness.resolve import resolve_config
from harness.training.matching import matched
from tests.test_main_job import harness, runs, sets
from tests.toys import ROOT, SMALL

DISTILL = ["run", "--recipe", "distill", "--baseline", "none", "--tasks", "vlrewardbench", *sets(*SMALL)]


def resolved(name: str, *changes: str, roots: list[Path] | None = None) -> tuple[Recipe, RunConfig]:
    roots = roots or content_roots()
    recipe = load_recipe(name, roots)
    given = {"recipe": name, "tasks": ["vlrewardbench"]}
    return recipe, resolve_config(given, [*SMALL, *changes], roots, recipe)


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> Path:
    results = tmp_path_factory.mktemp("walk")
    harness(results, *DISTILL)
    return results


def test_what_a_run_has_computed_is_cached_under_the_keys_of_its_record(trained: Path) -> None:
    run = Run.model_validate_json((runs(trained)["distill"] / "run.json").read_text())
    steps = walk(*resolved("distill"), trained / "cache")
    assert [step.state for step in steps] == ["cached"] * 3
    recorded = {stage.stage: stage.key for stage in run.stages if not stage.stage.startswith("judge")}
    assert {step.stage: step.key for step in steps if step.stage in recorded} == {
        name: key for name, key in recorded.items() if name not in ("embedded-benchmark", "contamination")
    }
    sft = next(step for step in steps if step.stage == "sft")
    assert sft.info["updates"] == next(stage.info["updates"] for stage in run.stages if stage.stage == "sft")


def test_a_changed_setting_is_owed_and_what_does_not_hang_on_it_is_cached(trained: Path) -> None:
    steps = walk(*resolved("distill", "sft.learning_rate=1e-3"), trained / "cache")
    assert [(step.stage, step.state) for step in steps] == [
        ("base-judge", "cached"), ("embedded-preferences", "cached"), ("sft", "owed"),
    ]  # fmt: skip
    assert {name: steps[-1].info[name] for name in ("rows", "updates")} == {"rows": 192, "updates": 3}
    other = walk(*resolved("carevl"), trained / "cache")
    assert [step.state for step in other] == ["cached"] * 2 + ["owed"] * 10


def test_the_dry_run_says_so_without_loading_torch(trained: Path) -> None:
    screen = harness(trained, *DISTILL, "--dry-run")
    rows = [[cell.strip() for cell in line.strip("│").split("│")] for line in screen.splitlines() if "│" in line]
    states = {row[0]: row[1] for row in rows}
    assert states == {
        "base-judge": "cached", "embedded-preferences": "cached", "sft 0": "cached", "judge vlrewardbench 0": "cached",
    }  # fmt: skip
    screen = harness(trained, *DISTILL, "--dry-run", "--set", "sft.epochs=1")
    assert "~ 192 rows, 6 updates" in screen


@pytest.mark.parametrize("by", ["updates", "tokens"])
def test_where_a_recipe_looks_into_what_is_not_there_keys_are_not_known(tmp_path: Path, by: str) -> None:
    recipe, config = resolved("distill", "sft.match=carevl", f"sft.match_by={by}")
    steps = walk(matched(recipe, config, content_roots()), config, tmp_path)
    *before, last = steps
    assert [(step.stage, step.key) for step in before] == [
        (s.stage, s.key) for s in walk(*resolved("carevl"), tmp_path)
    ]
    made = sum(step.info.get(by, 0) for step in before)
    expected = pytest.approx(made, rel=0.2 if by == "tokens" else 0)
    assert (last.state, last.stage, last.key, last.info[by]) == ("not known", "sft", "", expected)


def test_a_match_that_cannot_be_is_one_line() -> None:
    for name, match, says in (
        ("high-confidence", "zero-shot", "does not train by SFT"),
        ("dpo-labels", "distill", "dpo-labels goes on after it"),
        ("distill", "carvel", "'carvel'"),
    ):
        with pytest.raises(HarnessError, match=says):
            resolved(name, f"sft.match={match}")
    assert resolved("carevl", "sft.match=carevl", "sft.match_by=tokens")[1] == resolved("carevl")[1]
    assert resolved("zero-shot", "sft.match=carevl")[1].sft is None


def test_a_recipe_that_reads_a_file_of_a_result_to_come_is_walked_so_far(tmp_path: Path) -> None:
    own = tmp_path / "recipes/curious/recipe.py"
    own.parent.mkdir(parents=True)
    own.write_text(
        "from harness.training import sources\nSECTIONS, BASELINE = {'world', 'sft'}, None\n"
        "def train(run, config, seed):\n    pairs = sources.open_pairs(run, config)\n"
        "    (pairs.path / 'info.json').read_text()\n    raise AssertionError('not reached')\n"
    )
    steps = walk(*resolved("curious", roots=[tmp_path, *content_roots()]), tmp_path / "cache")
    assert [step.stage for step in steps] == ["embedded-preferences"]


def test_seeds_share_what_they_share(tmp_path: Path) -> None:
    recipe, config = resolved("carevl")
    steps = walk(recipe, config.model_copy(update={"seeds": [0, 1]}), tmp_path)
    stages = [step.stage for step in steps]
    assert (stages.count("expert-scores"), stages.count("sft"), stages.count("dpo")) == (1, 2, 2)


def test_what_comes_after_a_recipes_own_stage_is_walked_though_nothing_is_foretold(tmp_path: Path) -> None:
    own = tmp_path / "recipes/halved/recipe.py"
    own.parent.mkdir(parents=True)
    own.write_text(
        "from harness.training import sft, sources\n"
        "SECTIONS = {'world', 'sft'}\n"
        "def halve(out, pairs, *, progress): ...\n"
        "def train(run, config, seed):\n"
        "    base, pairs = sources.open_judge(run, config), sources.open_pairs(run, config)\n"
        "    return sft.fine_tune(run, config, base, run(halve, pairs), seed=seed)\n"
    )
    steps = walk(*resolved("halved", roots=[tmp_path, *content_roots()]), tmp_path / "cache")
    assert [(step.stage, step.loads) for step in steps[-2:]] == [("halve", ()), ("sft", ())]


def test_every_stage_of_our_recipes_is_foretold_or_costs_nothing(tmp_path: Path) -> None:
    nothing = {
        "base-judge",
        "embedded-truth",
        "filter-accuracy",
        "experts-judge",
        "scorer-accuracy",
        "source-preferences",
        "file-preferences",
        "hub-preferences",
    }
    for name in find_recipes(content_roots()):
        for step in walk(*resolved(name), tmp_path):
            assert step.stage in nothing or step.stage.replace("-", "_") in FORECASTS


def test_the_size_of_a_source_is_read_where_it_can_be(tmp_path: Path) -> None:
    (tmp_path / "pairs.jsonl").write_text('{"id": 1}\n{"id": 2}\n')
    assert expected_pairs(str(tmp_path / "pairs.jsonl")) == 2
    assert expected_pairs("hub:openbmb/RLAIF-V-Dataset@abc") == expected_pairs("rlaif-v") == 83_132
    assert expected_pairs("embedded", 96) == 96


def test_a_reward_head_is_asked_for_rewards_and_read_by_transformers_alone() -> None:
    recipe, roots = load_recipe("scalar-head", content_roots()), content_roots()
    config = resolve_config({"recipe": recipe.name, "tasks": ["mllm_judge"]}, SMALL, roots, recipe)
    assert list(config.protocols.values()) == ["rewards", "both-orders", "round-robin"]
    for wrong, told in (
        ("judging.engine=vllm", "read by transformers only"),
        ("training.liger=true", "no reward head"),
    ):
        with pytest.raises(HarnessError, match=told):
            resolve_config({"recipe": recipe.name, "tasks": ["mllm_judge"]}, [wrong], roots, recipe, here=False)


def test_a_walk_needs_no_torch() -> None:
    import subprocess

    code = (
        "import sys\nfrom pathlib import Path\nfrom harness.planning.walk import walk\n"
        "from tests.planning.test_walk import resolved\nwalk(*resolved('carevl'), Path('nowhere'))\n"
        "print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
