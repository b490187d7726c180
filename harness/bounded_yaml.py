"""YAML that anybody may have written: read safely, and only as much of it as any setting needs."""

import re
from pathlib import Path
from typing import Any

import yaml

from harness.errors import HarnessError

LONGEST = 2**20
"""Bytes of a file."""
MOST = 100_000
"""Values that it may hold, its aliases written out."""
DEEPEST = 50
"""Mappings and lists that may stand within one another."""


NUMBERS = ("tag:yaml.org,2002:int", "tag:yaml.org,2002:float", "tag:yaml.org,2002:timestamp")
LONGEST_NUMBER = 50
"""Characters of a number: Python takes long over those of thousands."""
MOST_NUMBERED = 1000
"""Keys of a mapping that has numbers for keys, which can be chosen so that each takes longer than the last."""


def read_yaml(path: Path) -> dict[str, Any]:
    """Read a YAML mapping.

    Raises:
        HarnessError: naming the file and what is wrong with it.
    """
    try:
        with path.open("rb") as file:
            text = file.read(LONGEST + 1)
        if len(text) > LONGEST:
            raise HarnessError(f"{path} is longer than {LONGEST // 2**20} MiB.", "Name a file of settings.")
        content = parse(text.decode("utf-8"))
    except FileNotFoundError:
        raise HarnessError(f"{path} does not exist.", "Check the path.") from None
    except OSError as error:
        raise HarnessError(f"{path} cannot be read: {error.strerror}.", "Check the path.") from None
    except ValueError as error:
        reason = " ".join(str(error).split())[:200]
        raise HarnessError(f"{path} is not valid YAML: {reason}.", "Mend the file.") from None
    if not isinstance(content, dict) or not all(isinstance(key, str) for key in content):
        raise HarnessError(f"{path} holds no mapping of settings.", "Start from a profile in recipes/profiles.")
    return content


def parse(text: str, kind: type[yaml.SafeLoader] = yaml.SafeLoader) -> Any:
    """Read YAML safely.

    Args:
        text: the YAML.
        kind: of the loader, one that is safe.

    Raises:
        ValueError: if it is no YAML, too much of it, or holds itself.
    """
    try:
        # brackets within brackets are told before the parser follows them
        if _depth(text) > DEEPEST:
            raise ValueError(f"more than {DEEPEST} brackets within one another")
        loader = kind(text)
        node = loader.get_single_node()
        if node is None:
            return None
        _measure(node, {}, [])
        return loader.construct_document(node)
    except yaml.YAMLError as error:
        raise ValueError(str(error)) from None
    except RecursionError:
        raise ValueError(f"more than {DEEPEST} levels") from None
    except (LookupError, AttributeError, TypeError, ArithmeticError) as error:
        # a value that is not of the kind its tag says
        raise ValueError(f"a value that cannot be read ({type(error).__name__})") from None


def _depth(text: str) -> int:
    """Count how deep brackets stand within one another; those within texts count too."""
    deepest = depth = 0
    for bracket in re.findall(r"[\[\]{}]", text):
        depth += 1 if bracket in "[{" else -1
        deepest = max(deepest, depth)
    return deepest


def _measure(node: yaml.Node, known: dict[int, int], above: list[int]) -> int:
    """Count the values of a node, its aliases written out."""
    if id(node) in above:
        raise ValueError("an alias that holds itself")
    if len(above) > DEEPEST:
        raise ValueError(f"more than {DEEPEST} levels")
    if node.tag in NUMBERS and len(str(node.value)) > LONGEST_NUMBER:
        raise ValueError(f"a number of {len(str(node.value))} characters")
    if id(node) not in known:
        inner: list[yaml.Node] = []
        if isinstance(node, yaml.MappingNode):
            inner = [part for pair in node.value for part in pair]
            if len(node.value) > MOST_NUMBERED and any(key.tag in NUMBERS for key, _ in node.value):
                raise ValueError(f"more than {MOST_NUMBERED} keys, of which some are numbers")
        elif isinstance(node, yaml.SequenceNode):
            inner = list(node.value)
        known[id(node)] = 1 + sum(_measure(part, known, [*above, id(node)]) for part in inner)
        if known[id(node)] > MOST:
            raise ValueError(f"more than {MOST} values, its aliases written out")
    return known[id(node)]
