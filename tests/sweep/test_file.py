"""The file of a sweep is read as it is meant, or refused in one line that names file, field, value and fix."""

from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.cli import main
from harness.config import parse_assignment
from harness.errors import HarnessError
from harness.registry import content_roots, find_sweep, find_sweeps, load_recipe
from harness.resolve import resolve_config
from harness.sweep.file import as_yaml, asks, read_sweep

HEAD = "recipe: carevl\ntasks: [vlrewardbench]\n"
GRID = HEAD + "grid: {dpo.beta: [0.1, 0.5], recipe: [carevl, distill]}\n"


def write(folder: Path, text: str) -> Path:
    path = folder / "mine.yaml"
    path.write_text(text)
    return path


def test_a_grid_is_the_product_of_its_values(tmp_path: Path) -> None:
    sweep = read_sweep(write(tmp_path, "# Why?\n" + GRID + "set: {world.split: dev}\nseeds: [3, 4]\n"))
    assert [cell.label for cell in sweep.cells] == [
        "beta=0.1, carevl", "beta=0.1, distill", "beta=0.5, carevl", "beta=0.5, distill",
    ]  # fmt: skip
    assert {cell.reference for cell in sweep.cells} == {"beta=0.1, carevl"}
    assert sweep.cells[3].command == [
        "run", "--baseline", "none", "--resume", "--recipe=distill", "--tasks=vlrewardbench", "--seeds=3,4",
        "--set=world.split=dev", "--set=dpo.beta=0.5",
    ]  # fmt: skip
    assert asks(sweep.path) == "Why?"


def test_a_reference_may_be_like_each_cell_but_for_one_value(tmp_path: Path) -> None:
    sweep = read_sweep(write(tmp_path, GRID + "baseline: {recipe: distill}\n"))
    assert [cell.reference for cell in sweep.cells] == 2 * ["beta=0.1, distill"] + 2 * ["beta=0.5, distill"]


def test_each_combination_of_a_grid_may_have_cells_and_its_own_reference(tmp_path: Path) -> None:
    grid = "grid: {world.seed: [0, 1]}\n"
    cells = "cells: {filter: {recipe: high-confidence}, weak: {dpo.beta: 0.5}}\n"
    sweep = read_sweep(write(tmp_path, HEAD + grid + cells))
    assert [(cell.label, cell.reference) for cell in sweep.cells] == [
        (f"seed={seed}: {name}", f"seed={seed}: filter") for seed in (0, 1) for name in ("filter", "weak")
    ]
    assert sweep.cells[3].assignments == ("world.seed=1", "dpo.beta=0.5")
    assert sweep.cells[2].given["recipe"] == "high-confidence"
    named = read_sweep(write(tmp_path, HEAD + grid + cells + "baseline: weak\n"))
    assert {cell.reference for cell in named.cells} == {"seed=0: weak", "seed=1: weak"}


def test_a_label_has_as_much_of_a_key_as_it_needs(tmp_path: Path) -> None:
    grid = "grid: {sft.epochs: [1, 2], dpo.epochs: [1], sampling.samples: [4]}\n"
    first = read_sweep(write(tmp_path, HEAD + grid)).cells[0]
    assert first.label == "sft.epochs=1, dpo.epochs=1, samples=4"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[]", "holds no mapping"),
        ("a: [", "is not valid YAML"),
        ("[" * 5000, "is not valid YAML"),
        ("a: 2020-99-99", "is not valid YAML"),
        ("# " + "x" * 70_000, "is larger than 64 KiB"),
        ("a: &a [1]\nb: *a", "an alias"),
        (HEAD + "recipe: distill", "'recipe' comes twice"),
        (HEAD + "cells: {a: {}, a: {}}", "'a' comes twice"),
        ("x: !!python/object/apply:os.getcwd []", "is not valid YAML"),
        (HEAD + "gird: {}", "mine.yaml is called 'gird'. Did you mean 'grid'?"),
        (HEAD, "neither cells nor a grid"),
        ("recipe: carevl\ncells: {a: {}}", "field tasks: Field required"),
        (HEAD + "seeds: [x]\ncells: {a: {}}", "field seeds.0 = 'x'"),
        (HEAD + "grid: {dpo.beta: []}", "0 cells"),
        (HEAD + "grid: {dpo.beta: [1, 1]}", "a value comes twice"),
        (HEAD + f"grid: {{dpo.beta: {list(range(1, 1002))}}}", "1,001 cells"),
        (HEAD + "grid: {dpo.bta: [1]}", "cell 'bta=1': no setting is called 'dpo.bta'. Did you mean 'dpo.beta'?"),
        (HEAD + "set: {recipe: distill}\ncells: {a: {}}", "set: no setting is called 'recipe'"),
        (HEAD + "cells: {a: {recipe: 3}}", "cell 'a', recipe = 3"),
        ("tasks: [vlrewardbench]\ncells: {a: {}}", "cell 'a' has no recipe"),
        (HEAD + "cells: {a: {}}\nbaseline: b", "no cell of"),
        (GRID + "baseline: {recipe: oracle}", "cell 'beta=0.1, carevl' has no such reference"),
        (HEAD + "cells: {a: {}}\nplot: {x: dpo.beta}", "field plot.x = 'dpo.beta': cell 'a' has no number there"),
        (GRID + "plot: {x: recipe}", "has no number there"),
        (GRID + "plot: {x: dpo.beta, y: recipe}", "is called 'y'"),
    ],
)  # fmt: skip
def test_a_mistake_is_one_line(text: str, says: str, tmp_path: Path, capsys) -> None:
    assert main(["sweep", str(write(tmp_path, text)), "--dry-run"]) == 2
    error = capsys.readouterr().err
    assert says in error
    assert "mine.yaml" in error
    assert len(error.splitlines()) == 1


def test_a_wrong_value_is_told_with_its_cell_before_anything_runs(tmp_path: Path, capsys, results) -> None:
    path = write(tmp_path, HEAD + "cells: {good: {}, bad: {negatives.rule: bes-worst}}")
    assert main(["sweep", str(path)]) == 2
    error = capsys.readouterr().err
    assert f"{path}, cell 'bad': " in error
    assert "best-worst" in error


def test_a_name_that_is_not_known_gets_the_nearest(capsys) -> None:
    assert main(["sweep", "ablaton", "--show"]) == 2
    assert "Did you mean 'ablation'?" in capsys.readouterr().err
    assert main(["sweep", "nowhere.yaml", "--show"]) == 2
    assert "nowhere.yaml cannot be read" in capsys.readouterr().err


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


@given(values)
def test_what_a_cell_sets_is_what_the_run_reads(value: object) -> None:
    assert parse_assignment(f"dpo.beta={as_yaml(value)}") == ("dpo.beta", value)


@given(st.binary(max_size=300) | st.text(max_size=300).map(str.encode))
def test_any_bytes_are_a_sweep_or_one_line(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    path = tmp_path_factory.getbasetemp() / "any.yaml"
    path.write_bytes(content)
    with suppress(HarnessError):
        read_sweep(path)


ON_TEST_SCENES = ("regimes", "regimes-unseen", "negatives", "baselines", "few-captions")
"""Sweeps whose settings were fixed before; all others choose, and choose on dev scenes."""


@pytest.mark.parametrize("name", sorted(find_sweeps(content_roots())))
def test_every_sweep_that_comes_with_the_harness_can_be_run(name: str) -> None:
    roots = content_roots()
    sweep = read_sweep(find_sweep(name, roots))
    assert sweep.asks.endswith((".", "?"))
    for cell in sweep.cells:
        recipe = load_recipe(cell.given["recipe"], roots)
        config = resolve_config(dict(cell.given), cell.assignments, roots, recipe)
        assert len(config.seeds) >= 3 or not recipe.seeded
        assert config.world
        # what is chosen is chosen on dev scenes
        assert (config.world.split == "dev") != (name in ON_TEST_SCENES)
