"""Published judges: their files, and the authors' words found in a script that is never run."""

import hashlib
from pathlib import Path

import pytest

from harness.errors import HarnessError
from harness.judge.published import authors_words, saved_at
from harness.protocols.forms import reader_in
from harness.published_judges import PublishedJudge
from harness.registry import content_roots, find_judges, load_judge
from harness.show.printed import beside
from tests.toys import ROOT

OURS = "Look.\n\nQ: {question}\nA: {first}\nB: {second}\n{literal} End with A or B."
FIELDS = {"asked": "question", "one": "first", "two": "second"}
TEMPLATE = """
raise SystemExit("this line is never run")
def ask(asked, one, two):
    words = (
        "Look.\\n\\nQ: {asked}\\n"
        "A: {one}\\nB: {two}\\n{{literal}} End with A or B."
    )
    return words.format(asked=asked, one=one, two=two)
"""
FILLED = """
def ask(asked, one, two):
    return ("Look.\\n\\n" f"Q: {asked}\\nA: {one}\\n" f"B: {two}\\n" "{literal} End with A or B.")
"""


def judge(**changes) -> PublishedJudge:
    about = {"repository": "OWNER/NAME", "commit": "0" * 40, "path": "eval/ask.py", "fields": FIELDS}
    words = about | {"sha256": hashlib.sha256(OURS.encode()).hexdigest()}
    verdict = {"sentences": [{"form": "{verdict}", "take": "last"}], "first": ["A"], "second": ["B"]}
    told = {"summary": "s", "hub": "OWNER/NAME", "licence": "mit", "parameters": "1"}
    return PublishedJudge.model_validate(told | {"words": words, "verdict": verdict} | changes)


@pytest.mark.parametrize("text", [TEMPLATE, FILLED, OURS])
def test_the_words_are_found_in_the_authors_file_or_stand_alone(text: str, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("HARNESS_RESULTS", str(tmp_path))
    asked = judge()
    assert asked.words
    place = saved_at("judge:mine", asked.words)
    assert place == tmp_path / "judges/mine.py"
    with pytest.raises(HarnessError) as caught:
        authors_words("judge:mine", asked)
    command = f"curl --create-dirs -o {place} https://raw.githubusercontent.com/OWNER/NAME/{'0' * 40}/eval/ask.py"
    assert str(caught.value).endswith(f"{place} is not there. Save them: {command}")
    place.parent.mkdir()
    place.write_text(text)
    assert authors_words("judge:mine", asked) == OURS
    place.write_text(text.replace("Look", "Peek"))
    with pytest.raises(HarnessError, match="does not hold the words"):
        authors_words("judge:mine", asked)
    (tmp_path / "elsewhere.txt").write_text(text)
    assert authors_words("judge:mine", asked, str(tmp_path / "elsewhere.txt")) == OURS


def test_ours_are_read_and_each_that_runs_says_how_it_is_asked() -> None:
    found = {name: load_judge(name, content_roots()) for name in find_judges(content_roots())}
    run = {name for name, one in found.items() if not one.cannot}
    assert run == {"r1-reward", "unified-reward", "skywork-vl-reward"}
    page = (ROOT / "judges/README.md").read_text()
    assert all(f"`{name}.yaml`" in page for name in found)
    assert set(PublishedJudge.model_fields) - {"scores"} <= {word.strip("`|,.:") for word in page.split()}


def test_the_example_of_the_readme_is_one(tmp_path: Path) -> None:
    page = (ROOT / "judges/README.md").read_text()
    (tmp_path / "judges").mkdir()
    (tmp_path / "judges/mine.yaml").write_text(page.split("```yaml\n")[1].split("```")[0])
    form = load_judge("mine", [tmp_path]).verdict
    assert form
    assert reader_in(form)("A is long. [B]", 2) == "second"


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("colour: red", "field colour: Extra inputs are not permitted"),
        ("hub: a folder", "field hub: String should match pattern"),
        ("prompt: '{question} {first}'", "field prompt: it must hold {second} once"),
        ("max_pixels: 0", "field max_pixels: Input should be greater than or equal to 1"),
        ("cannot: it is too large", "it must have one of cannot, words, prompt and head, and has cannot and prompt"),
        ("verdict: null", "a judge that writes needs the field verdict"),
    ],
)
def test_a_wrong_field_is_one_line(line: str, told: str, tmp_path: Path) -> None:
    (tmp_path / "judges").mkdir()
    path = tmp_path / "judges/mine.yaml"
    field = line.partition(":")[0]
    good = {
        "summary": "summary: mine",
        "hub": "hub: OWNER/NAME",
        "licence": "licence: mit",
        "parameters": "parameters: few",
        "prompt": "prompt: '{question} {first} {second}'",
        "verdict": "verdict: {sentences: [{form: '{verdict}', take: last}]}",
    }
    path.write_text("\n".join((good | {field: line}).values()))
    with pytest.raises(HarnessError) as caught:
        load_judge("mine", [tmp_path])
    assert told in str(caught.value)
    assert str(path) in str(caught.value)
    path.write_text("\n".join(good.values()))
    assert load_judge("mine", [tmp_path]).prompt


def test_printed_figures_stand_beside_those_of_the_same_judge() -> None:
    r1 = load_judge("r1-reward", content_roots())
    lines = list(beside(r1, "vlrewardbench", synthetic=True))
    assert "overall 71.92" in lines[0]
    assert "2505.02835" in lines[0]
    assert "always" in lines[1]
    assert "no measure" in lines[2]
    assert not list(beside(r1, "mllm_judge_pair", synthetic=True))
