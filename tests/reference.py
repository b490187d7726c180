"""The pages of the reference that are made from the code: every setting, and every command.

`tests/test_readme.py` holds them against the code, and writes them anew with `--write`.
"""

import argparse
import ast
import inspect
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from harness import settings
from harness.arguments import build_parser
from harness.registry import content_roots, load_profile

ROOT = Path(__file__).resolve().parent.parent
BEGIN, END = "<!-- begin: tests/test_readme.py --write -->", "<!-- end -->"


def _between(text: str, lines: list[str]) -> str:
    """Put lines in the place of those that were made before."""
    before, rest = text.split(BEGIN)
    return before + BEGIN + "\n" + "\n".join(lines) + "\n" + END + rest.split(END)[1]


# --- settings ---------------------------------------------------------------------------------------------------

HEADING = "| setting | default | `qwen2.5-vl-7b` | what it is |"


def documented() -> dict[str, dict[str, str]]:
    """Read what the classes of `harness.settings` say below each of their fields."""
    found: dict[str, dict[str, str]] = {}
    for node in ast.parse(inspect.getsource(settings)).body:
        if isinstance(node, ast.ClassDef):
            fields = found[node.name] = {}
            for field, below in zip(node.body, node.body[1:], strict=False):
                if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name):
                    fields[field.target.id] = " ".join(_text(below).split("\n\n")[0].split())
    return found


def _text(node: ast.stmt) -> str:
    constant = node.value if isinstance(node, ast.Expr) else None
    return constant.value if isinstance(constant, ast.Constant) and isinstance(constant.value, str) else ""


def settings_table(kept: dict[str, str]) -> list[str]:
    """Write every setting with its default; `kept` says what is meant where the code says nothing."""
    texts = documented()
    real = load_profile("qwen2.5-vl-7b", content_roots())
    lines = []
    engines = {f"engine {kind.model_fields['name'].default}": kind for kind in settings.ENGINES}
    for name, kind in {**settings.SECTIONS, **engines}.items():
        said = " ".join((kind.__doc__ or "").split("\n\n")[0].split())
        lines += ["", f"### {name}", "", said, "", HEADING, "| --- | --- | --- | --- |"]
        owners = [base.__name__ for base in kind.__mro__ if base.__name__ in texts]
        for field, info in kind.model_fields.items():
            key = f"{name.partition(' ')[0]}.{field}"
            if name in engines and field == "name":
                continue
            text = next((texts[owner][field] for owner in owners if texts[owner].get(field)), "") or kept.get(key, "")
            default = _shown(info.get_default(call_default_factory=True))
            theirs = _shown(real[name][field]) if field in real.get(name, {}) else ""
            default = "" if info.is_required() else default
            lines.append(f"| `{key}` | {default} | {theirs} | {text.replace('|', chr(92) + '|')} |")
    return [*lines, ""]


def _shown(value: Any) -> str:
    if value is None:
        return "none"
    if isinstance(value, settings.EngineSettings):
        return f"`{value.name}`"  # type: ignore[attr-defined]
    if isinstance(value, dict):
        return ", ".join(f"`{key}` {_plain(inner)}" for key, inner in value.items())
    if isinstance(value, list):
        return ", ".join(f"`{inner}`" for inner in value)
    return f"`{_plain(value)}`"


def _plain(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def written_settings(text: str) -> str:
    """Put the table of today into the page."""
    table = text.split(BEGIN)[1].split(END)[0]
    rows = (re.split(r"(?<!\\) \| ", line.strip("| ")) for line in table.splitlines() if line.startswith("| `"))
    kept = {row[0].strip("`"): row[3].replace("\\|", "|") for row in rows if len(row) == 4}
    return _between(text, settings_table(kept))


# --- commands ---------------------------------------------------------------------------------------------------


def written_commands(text: str) -> str:
    """Put what each verb's parser knows into the page."""
    return _between(text, [line for path, parser in _verbs(build_parser()) for line in _verb(path, parser)])


def _verbs(parser: argparse.ArgumentParser, path: str = "harness") -> Iterator[tuple[str, argparse.ArgumentParser]]:
    """List the commands that can be typed, in the order in which `--help` has them."""
    inner = next((action for action in parser._actions if isinstance(action, argparse._SubParsersAction)), None)
    if inner is None:
        yield path, parser
    for name, below in inner.choices.items() if inner else ():
        yield from _verbs(below, f"{path} {name}")


def _verb(path: str, parser: argparse.ArgumentParser) -> list[str]:
    """Write a command's section: what it is for and how it is called, then its arguments as a table."""
    actions = [action for action in parser._actions if action.help != argparse.SUPPRESS and action.dest != "help"]
    called = [name for action in actions if (name := _call(action))]
    # what the description of a wheel adds is no part of the page
    said = (parser.description or "").strip().split("\ndocs/statistics.md is here")[0]
    return [
        f"\n## {path}\n",
        "<!-- not run: made from the code, which the tests of each verb run -->",
        *["```text", said, "```\n"],
        f"`{' '.join([path, *called])}`\n",
        "| argument | what it is |",
        "| --- | --- |",
        *(f"| {_name(action)} | {_cell(_told(action))} |" for action in actions),
        "",
    ]


def _call(action: argparse.Action) -> str:
    """Say how an argument that must be given is written; empty for one that may be left out."""
    if action.option_strings:
        return f"{action.option_strings[-1]} {action.metavar or action.dest}" if action.required else ""
    name = str(action.metavar or action.dest.upper())
    return {"+": f"{name} [{name} ...]", "*": f"[{name} ...]"}.get(str(action.nargs), name)


def _name(action: argparse.Action) -> str:
    value = "" if action.nargs == 0 else f" {_metavar(action)}"
    return ", ".join(f"`{option}{value}`" for option in action.option_strings) or f"`{_metavar(action)}`"


def _metavar(action: argparse.Action) -> str:
    return str(action.metavar or (action.dest.upper() if action.option_strings == [] else "X"))


def _told(action: argparse.Action) -> str:
    choices = f"One of {', '.join(f'`{choice}`' for choice in action.choices)}. " if action.choices else ""
    return f"{choices}{action.help or ''}".strip()


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


PAGES: dict[Path, Callable[[str], str]] = {
    ROOT / "docs/settings.md": written_settings,
    ROOT / "docs/commands.md": written_commands,
}
"""Each page that is made from the code, with what renews it."""
