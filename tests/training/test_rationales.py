"""What the judge learns to say before its verdict."""

from pathlib import Path

import pytest

from harness.errors import DataError
from harness.settings import CaptionSettings, SftSettings
from harness.training.rationales import explain, rationale_of, read_rationales
from harness.training.rows import Presented
from harness.training.stages import Artifact, Silent
from tests.training.test_sampling import JUDGE, given  # noqa: F401


def pair(rationale: str | None) -> Presented:
    return Presented(0, {"id": "p", "chosen": "a red circle here", "rationale": rationale}, False, "")


@pytest.mark.parametrize(
    ("source", "rationale", "said"),
    [
        ("auto", "it is red.", "it is red."),
        ("auto", None, "a red"),
        ("response", "it is red.", "a red"),
        ("none", "it is red.", ""),
        ("data", "it is red.", "it is red."),
    ],
)
def test_what_is_said_is_a_choice(source: str, rationale: str | None, said: str) -> None:
    assert rationale_of(SftSettings(rationale=source, rationale_words=2))(pair(rationale)) == said


def test_data_without_rationales_are_refused_where_those_were_asked_for() -> None:
    with pytest.raises(DataError, match="pair 'p' brings no rationale"):
        rationale_of(SftSettings(rationale="data"))(pair(None))


def test_the_base_judge_argues_for_the_label_where_it_would_choose_it_unasked(given, tmp_path: Path) -> None:  # noqa: F811
    judge, pairs, _ = given
    info = explain(
        tmp_path, pairs, judge, None, JUDGE, CaptionSettings(precision="float32", max_new_tokens=48), progress=Silent()
    )
    said = read_rationales(Artifact("r", "r", tmp_path))
    # each presentation is asked with and without the hint
    assert info.pop("usage")["requests"] == 64
    assert info == {"presentations": 32, "kept": sum(map(bool, said.values()))}
    assert 0 < info["kept"] < 32
    settings = SftSettings(rationale="model")
    shown = Presented(0, {"id": "pair-00003"}, True, "")
    assert rationale_of(settings, Artifact("r", "r", tmp_path))(shown) == said["pair-00003", True]
    assert "judgment" not in " ".join(said.values())
