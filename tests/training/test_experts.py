"""Experts on the embedded models: their words, what is cut, what is refused, and the two controls."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from harness.config import validated
from harness.data.canonical import row_count
from harness.data.preferences import write_preferences
from harness.embedded.data import preference_rows
from harness.embedded.teacher import surface
from harness.errors import HarnessError
from harness.judge.checkpoints import EMBEDDED
from harness.settings import ExpertSettings, WorldSettings
from harness.training import experts
from harness.training.experts import Expert, Words, control_pairs, expert_scores, finite, read_scores
from harness.training.sources import PAIRS, embedded_preferences
from harness.training.stages import Artifact, Silent

ONE = ExpertSettings(models=["embedded:expert-0"], precision="float32", controls=8)


@pytest.fixture(scope="module")
def pairs(tmp_path_factory) -> Artifact:
    folder = tmp_path_factory.mktemp("pairs")
    embedded_preferences(folder, WorldSettings(pairs=24), progress=Silent())
    return Artifact("pairs", "key", folder)


@pytest.fixture(scope="module")
def expert() -> Expert:
    return Expert("embedded:expert-0", ONE, Path())


def test_the_default_words_are_caption_and_question_side_by_side(expert: Expert) -> None:
    ids = expert.words.ids("a red circle", "what is it?", "a circle")
    chat = [
        {"role": "user", "content": "a red circle what is it?"},
        {"role": "assistant", "content": "a circle"},
    ]
    text = expert.words.tokenizer.apply_chat_template(chat, tokenize=False)
    assert ids == expert.words.tokenizer(text, add_special_tokens=False).input_ids


def test_words_around_caption_and_question_are_a_setting(expert: Expert) -> None:
    asked = ExpertSettings(prompt="image: {caption}\nquestion: {question} {x}")
    words = Words("toy", expert.words.tokenizer, asked)
    plain = Words("toy", expert.words.tokenizer, ExpertSettings())
    assert words.ids("a {question}", "q?", "r") == plain.ids("image: a {question}\nquestion:", "q? {x}", "r")
    for prompt in ("{caption}", "{caption} {question} {caption}"):
        with pytest.raises(HarnessError, match=r"experts.prompt .*it must hold"):
            validated({"tasks": ["t"], "experts": {"prompt": prompt}})


def test_of_a_long_text_the_end_of_the_caption_is_cut_and_counted(expert: Expert) -> None:
    caption, question, response = " ".join(["red circle"] * 20), "what is it?", "a blue circle is it"
    whole = Words("toy", expert.words.tokenizer, ExpertSettings())
    bare = len(whole.ids("", question, response))
    for room in (0, 1, 7, 39, 40):
        words = Words("toy", expert.words.tokenizer, ExpertSettings(max_length=bare + room))
        ids = words.ids(caption, question, response)
        kept = next(n for n in range(41) if ids == whole.ids(" ".join(caption.split()[:n]), question, response))
        assert len(ids) <= bare + room
        assert len(whole.ids(" ".join(caption.split()[: kept + 1]), question, response)) > bare + room or kept == 40
        assert (words.cut, words.longer) == (int(kept < 40), 0)
    words = Words("toy", expert.words.tokenizer, ExpertSettings(max_length=bare - 1))
    assert words.ids(caption, question, response) == whole.ids("", question, response)
    assert (words.cut, words.longer) == (1, 1)
    with pytest.raises(
        HarnessError, match=rf"reads {bare - 1} tokens, and a question and its response alone are {bare}"
    ):
        Words("toy", expert.words.tokenizer, ExpertSettings(), reach=bare - 1).ids(caption, question, response)


def test_cut_texts_are_in_the_stages_report(pairs: Artifact, tmp_path: Path) -> None:
    info = expert_scores(tmp_path, pairs, ONE.model_copy(update={"max_length": 30, "controls": 0}), progress=Silent())
    assert 0 < info["captions_cut"][0] <= info["texts"] == 48
    assert "controls" not in info


def test_the_controls_are_pairs_without_caption_and_with_anothers(pairs: Artifact) -> None:
    controls = control_pairs(pairs.path / PAIRS, 8)
    assert controls == control_pairs(pairs.path / PAIRS, 8)
    own = {row["id"]: row for row in control_pairs(pairs.path / PAIRS, 24).no_caption}
    assert len(own) == 24
    assert [row["caption"] for row in controls.no_caption] == [""] * 8
    captions = {row["id"]: row["caption"] for row in experts.stream_pairs(pairs.path / PAIRS)}
    assert {row["id"] for row in controls.other_caption} == {row["id"] for row in controls.no_caption}
    for row in controls.other_caption:
        assert row["caption"] != captions[row["id"]]
        assert row["caption"] in captions.values()
    assert control_pairs(pairs.path / PAIRS, 0).places == []


def test_equal_captions_leave_no_other_one(tmp_path: Path) -> None:
    from tests.data.test_tables import pair

    write_preferences(tmp_path / PAIRS, [pair(id=str(n)) for n in range(3)], "toy", tmp_path)
    assert control_pairs(tmp_path / PAIRS, 3).other_caption == []
    info = expert_scores(tmp_path, Artifact("p", "k", tmp_path), ONE, progress=Silent())
    assert info["controls"]["other_caption"] == [None]
    assert info["controls"]["of_other_caption"] == 0


def test_the_embedded_experts_need_the_right_caption(tmp_path: Path) -> None:
    embedded_preferences(tmp_path, WorldSettings(pairs=240), progress=Silent())
    info = expert_scores(
        tmp_path, Artifact("p", "k", tmp_path), ONE.model_copy(update={"controls": 240}), progress=Silent()
    )
    controls = info["controls"]
    ids, chosen, rejected = read_scores(Artifact("p", "k", tmp_path))
    assert controls["own_caption"] == [round(float((chosen > rejected).mean()), 4)]
    assert controls["own_caption"][0] > max(controls["no_caption"][0], controls["other_caption"][0]) + 0.05
    assert len(ids) == row_count(tmp_path / PAIRS) == controls["pairs"] == 240


def test_scores_do_not_depend_on_the_controls_nor_on_the_parts(pairs: Artifact, tmp_path: Path, monkeypatch) -> None:
    found = []
    for controls, part in ((0, 4096), (8, 4096), (8, 7)):
        monkeypatch.setattr(experts, "PAIRS_AT_A_TIME", part)
        expert_scores(tmp_path, pairs, ONE.model_copy(update={"controls": controls}), progress=Silent())
        found.append(read_scores(Artifact("scores", "key", tmp_path)))
    assert found[0][0] == found[1][0] == found[2][0]
    assert (found[0][1] == found[1][1]).all()
    assert abs(found[0][1] - found[2][1]).max() < 1e-5
    assert abs(found[0][2] - found[2][2]).max() < 1e-5


def test_a_score_that_is_none_names_expert_and_pair() -> None:
    assert finite([1.0, -2.0], "e", ["a", "b"]) == [1.0, -2.0]
    for wrong in (float("nan"), float("inf")):
        with pytest.raises(HarnessError, match=r"expert 'e' gives (nan|inf) to a response of pair 'b'"):
            finite([1.0, wrong], "e", ["a", "b"])


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    shutil.copytree(EMBEDDED / "expert-0", tmp_path / "expert")
    return tmp_path / "expert"


def test_an_expert_with_weights_that_are_none_is_one_line(copy: Path, pairs: Artifact, tmp_path: Path) -> None:
    import safetensors.torch

    weights = safetensors.torch.load_file(copy / "model.safetensors")
    weights["score.weight"][:] = float("nan")
    safetensors.torch.save_file(weights, copy / "model.safetensors", {"format": "pt"})
    with pytest.raises(HarnessError, match=r"expert '.*expert' gives nan to a response of pair 'pair-00000'"):
        expert_scores(tmp_path, pairs, ONE.model_copy(update={"models": [str(copy)]}), progress=Silent())


def test_an_expert_without_chat_template_is_one_line(copy: Path) -> None:
    for file in (copy / "tokenizer_config.json", copy / "chat_template.jinja"):
        if file.suffix == ".json":
            told = json.loads(file.read_text())
            told.pop("chat_template", None)
            file.write_text(json.dumps(told))
        else:
            file.unlink(missing_ok=True)
    with pytest.raises(HarnessError, match="has no chat template"):
        Expert(str(copy), ONE, copy)


def test_an_expert_with_code_of_its_own_is_refused_in_one_line(copy: Path) -> None:
    told = json.loads((copy / "config.json").read_text())
    told |= {
        "model_type": "mine",
        "auto_map": {"AutoConfig": "mine.Config", "AutoModelForSequenceClassification": "m.M"},
    }
    (copy / "config.json").write_text(json.dumps(told))
    (copy / "mine.py").write_text("raise SystemExit('ran')")
    with pytest.raises(HarnessError, match=r"wants code of its own to be run .* never does"):
        Expert(str(copy), ONE, copy)


def test_a_pair_without_caption_is_not_read_and_no_expert_confirms_it(tmp_path: Path) -> None:
    embedded_preferences(tmp_path, WorldSettings(pairs=24, captioned=0.5), progress=Silent())
    info = expert_scores(tmp_path, Artifact("p", "k", tmp_path), ONE, progress=Silent())
    _, chosen, rejected = read_scores(Artifact("scores", "k", tmp_path))
    unread = (chosen == 0) & (rejected == 0)
    assert info["unread"] == int(unread.sum()) > 0
    assert ((chosen != rejected) | unread).all()


def test_what_an_expert_says_without_caption_can_be_subtracted(pairs: Artifact, tmp_path: Path) -> None:
    scores = []
    for name, settings in (("as-is", ONE), ("without", ONE.model_copy(update={"subtract_blind": True}))):
        (tmp_path / name).mkdir()
        expert_scores(tmp_path / name, pairs, settings, progress=Silent())
        scores.append(read_scores(Artifact("scores", "k", tmp_path / name))[1])
    row = next(iter(preference_rows(WorldSettings(pairs=24))))
    with_caption, blind = Expert("embedded:expert-0", ONE, Path()).score(
        [(row["caption"], row["question"], row["chosen"]), ("", row["question"], row["chosen"])], lambda count: None
    )
    assert scores[0][0, 0] == pytest.approx(with_caption, abs=1e-4)
    assert scores[1][0, 0] == pytest.approx(with_caption - blind, abs=1e-4)


def test_the_teachers_taste_weighs_as_much_as_is_said(pairs: Artifact, tmp_path: Path) -> None:
    margins = []
    for taste in (0.0, 1.0):
        folder = tmp_path / str(taste)
        folder.mkdir()
        expert_scores(folder, pairs, ONE.model_copy(update={"teacher_taste": taste}), progress=Silent())
        _, chosen, rejected = read_scores(Artifact("scores", "k", folder))
        margins.append((chosen - rejected)[:, 0])
    sounds = [surface(row["chosen"]) - surface(row["rejected"]) for row in preference_rows(WorldSettings(pairs=24))]
    added = margins[1] - margins[0]
    assert (added**2).mean() == pytest.approx((margins[0] ** 2).mean(), rel=1e-6)
    assert np.corrcoef(added, sounds)[0, 1] == pytest.approx(1)
