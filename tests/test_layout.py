"""The tree that CONTRIBUTING shows is the one that stands, in the order that the import contract holds."""

import tomllib

from tests.toys import ROOT

HOUSE = ROOT / "harness"


def listed() -> list[str]:
    """The names at the beginning of the lines of CONTRIBUTING's tree."""
    text = (ROOT / "CONTRIBUTING.md").read_text()
    tree = text.split("```\nharness/\n")[1].split("```")[0]
    names = [word for line in tree.splitlines() for word in line.split("   ")[0].split()]
    return [name.rstrip("/").removesuffix(".py") for name in names]


def test_every_room_is_listed_once() -> None:
    there = {path.stem for path in HOUSE.iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()}
    assert sorted(listed()) == sorted(there - {"__init__", "__main__"})


def test_the_list_goes_as_imports_may() -> None:
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    layers = next(contract["layers"] for contract in contracts if contract["type"] == "layers")
    floors = [{name.strip().removeprefix("harness.") for name in layer.split("|")} for layer in reversed(layers)]
    floor_of = {name: number for number, names in enumerate(floors) for name in names}
    assert set(floor_of) == set(listed())
    order = [floor_of[name] for name in listed()]
    assert order == sorted(order)
