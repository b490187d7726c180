"""What a release needs: one version everywhere, a citation that is read, records whose versions are told."""

import re
import tomllib
from importlib.metadata import version

import pytest
import yaml

from harness.comparing.fields import COMPARE, POWER_PLAN
from harness.decide.gate_report import SCHEMA as GATE
from harness.protocols import PROTOCOLS
from harness.records import Run
from harness.sheets.formats import SCHEMA as TABLE
from harness.show.leaderboard_fields import SCHEMA as LEADERBOARD
from tests.toys import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
CITATION = yaml.safe_load((ROOT / "CITATION.cff").read_text())
TEMPLATES = sorted((ROOT / ".github/ISSUE_TEMPLATE").glob("[!c]*.yml"))


def test_one_version() -> None:
    assert PROJECT["version"] == CITATION["version"] == version("vlrm-harness")
    newest = re.search(r"^## (.+)", (ROOT / "CHANGELOG.md").read_text(), flags=re.MULTILINE)[1]
    assert PROJECT["version"] in newest


def test_the_citation_has_what_the_format_requires() -> None:
    assert {"cff-version", "message", "title", "authors"} <= set(CITATION)
    assert CITATION["license"] == PROJECT["license"]
    assert CITATION["authors"] == PROJECT["authors"]
    [paper] = CITATION["references"]
    assert {"type", "title", "authors"} <= set(paper)
    assert paper["url"] == PROJECT["urls"]["CAREVL paper"]


def test_versions_of_records_are_told() -> None:
    told = (ROOT / "docs/results-folder.md").read_text().split("## Versions of the records")[1]
    for schema in (COMPARE, POWER_PLAN, LEADERBOARD, GATE, TABLE):
        assert f"`{schema}`" in told
    assert f"the field `version`: {Run.model_fields['version'].default} " in told
    assert {protocol.version for kind in PROTOCOLS.values() for protocol in kind.values()} == {1}
    assert "`protocol_version` in `run.json`: 1 for all protocols" in told


@pytest.mark.parametrize("template", TEMPLATES, ids=lambda path: path.stem)
def test_issue_templates_are_forms(template) -> None:
    form = yaml.safe_load(template.read_text())
    assert form["name"]
    assert form["description"]
    for field in form["body"]:
        assert field["type"] in {"markdown", "textarea", "input", "dropdown", "checkboxes"}
        assert field["type"] == "markdown" or field["attributes"]["label"]
