import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.cli import main
from harness.comparing.audit import (
    CATEGORIES,
    SPLITS,
    audited,
    chance,
    explanations,
    percent,
    possible,
    row_of,
    verdict,
)
from harness.records.published import read_published
from tests.toys import ROOT

PUBLISHED = ROOT / "results/published"


def explained(categories: str, overall: str, macro: str | None = None):
    return explanations(row_of(dict(zip(CATEGORIES, categories.split(), strict=True)), overall, macro))


@pytest.mark.parametrize(
    ("categories", "overall", "macro", "split", "exchanged", "left_out"),
    [
        ("63.84 85.71 64.78", "71.92", "71.44", "RLAIF-V and RLHF-V in General", False, 0),  # R1-Reward
        ("45.04 50.45 57.55", "50.15", "51.01", "RLAIF-V and RLHF-V in General", False, 0),  # MM-RLHF-Reward
        ("68.55 92.19 81.82", "82.16", "80.85", "RLAIF-V and RLHF-V in General", True, 0),  # BaseReward
        ("62.12 84.82 82.64", "78.53", "76.53", "RLAIF-V and RLHF-V in General", True, 25),  # BaseReward, Qwen2-VL
        ("78.1 72.7 66.0", "73.8", "72.3", "POVID in General", False, 0),  # UnifiedReward-Think
        ("50.8 89.3 60.4", "76.3", None, "correct", False, 0),  # Omni-Reward, corrected
    ],
)
def test_known_rows_are_explained(categories, overall, macro, split, exchanged, left_out) -> None:
    best = explained(categories, overall, macro)[0]
    assert (best.split, best.exchanged, best.left_out) == (split, exchanged, left_out)


def test_the_counts_behind_r1_reward_are_found() -> None:
    best = explained("63.84 85.71 64.78", "71.92")[0]
    assert best.right == (309, 384, 206)
    assert best.counted == (484, 448, 318)


def test_gpt4o_left_a_handful_out_and_full_denominators_do_not_fit() -> None:
    best = explained("49.1 67.6 70.5", "65.8")[0]
    assert best.split == "correct"
    assert 0 < best.left_out < 10
    assert round(100 * (90 + 506 + 224) / 1250, 1) == 65.6


@pytest.mark.parametrize("macro", [None, "44.0"])
def test_an_impossible_row_is_called_so(macro: str | None) -> None:
    row = row_of(dict(zip(CATEGORIES, ("54.6", "38.3", "59.1"), strict=True)), "41.2", macro)
    assert explanations(row) == []
    assert verdict(row, []).startswith("Impossible")


@settings(max_examples=60)
@given(st.data())
def test_a_row_made_from_counts_is_explained_by_their_split(data: st.DataObject) -> None:
    name = data.draw(st.sampled_from(list(SPLITS)))
    left = [data.draw(st.integers(0, 15)) for _ in range(3)]
    counted = [total - out for total, out in zip(SPLITS[name], left, strict=True)]
    right = [data.draw(st.integers(0, n)) for n in counted]
    decimals = data.draw(st.sampled_from([1, 2]))
    truncated = data.draw(st.booleans())

    def printed(r: int, n: int) -> str:
        value = 100 * 10**decimals * r // n if truncated else round(100 * 10**decimals * r / n)
        return f"{value / 10**decimals:.{decimals}f}"

    texts = " ".join(printed(r, n) for r, n in zip(right, counted, strict=True))
    found = [e for e in explained(texts, printed(sum(right), sum(counted))) if e.split == name and not e.exchanged]
    assert found
    assert possible(row_of(dict(zip(CATEGORIES, texts.split(), strict=True)), printed(sum(right), sum(counted)), None))
    assert found[0].left_out <= sum(left)
    shown = zip(found[0].right, found[0].counted, texts.split(), strict=True)
    assert all(abs(100 * r / n - float(text)) <= 10**-decimals + 1e-9 for r, n, text in shown)


def test_a_random_row_is_seldom_explained_to_two_decimals() -> None:
    row = row_of(dict(zip(CATEGORIES, ("63.84", "85.71", "64.78"), strict=True)), "71.92", None)
    assert chance(row, 0) < 0.02
    assert chance(row, 0) == chance(row, 0)


def test_every_published_row_is_valid_and_its_verdict_fresh() -> None:
    rows = [row for path in sorted(PUBLISHED.glob("*.jsonl")) for row in read_published(path)]
    assert len(rows) > 100
    for row in rows:
        assert row.audit == audited(row).audit, row.model
        for text in row.figures.values():
            assert -1 <= float(text) <= 100


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["63.84", "85.71", "--overall", "70"], "an audit needs three categories and --overall"),
        (["63.84", "85.71", "x", "--overall", "70"], "'x' is no percentage"),
        (["63.84", "85.71", "101", "--overall", "70"], "'101' is no percentage"),
        (["--task", "vlrewardbensh", "1", "2", "3", "--overall", "2"], "Did you mean 'vlrewardbench'"),
        (["--file", "nowhere.jsonl"], "nowhere.jsonl cannot be read"),
    ],
)
def test_bad_input_is_one_line(arguments, says, capsys) -> None:
    assert main(["audit", *arguments]) == 2
    error = capsys.readouterr().err
    assert says in error
    assert error.count("\n") == 1


def test_a_bad_row_of_a_file_is_named(tmp_path, capsys) -> None:
    path = tmp_path / "rows.jsonl"
    good = json.loads((PUBLISHED / "vlrewardbench.jsonl").read_text().splitlines()[0])
    path.write_text(json.dumps(good) + "\n" + json.dumps({**good, "unit": "yards"}) + "\n")
    assert main(["audit", "--file", str(path)]) == 2
    assert "rows.jsonl, line 2, field 'unit'" in capsys.readouterr().err


def test_percentages_keep_their_decimals() -> None:
    assert str(percent("63.80")) == "63.80"
    assert percent("63.8").decimals == 1


def test_in_a_narrow_terminal_columns_are_left_out_and_no_word_is_broken(capsys, monkeypatch) -> None:
    monkeypatch.setenv("COLUMNS", "50")
    assert main(["audit", "63.84", "85.71", "64.78", "--overall", "71.92"]) == 0
    out = capsys.readouterr().out
    assert "│ exchanged │" in out
    assert "309/484 │       384/448" in out
    assert "No room here for: reasoning, overall, categories are." in " ".join(out.split())
