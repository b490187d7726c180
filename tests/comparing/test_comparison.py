import math
import random
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from harness.comparing.comparison import compare, compare_many
from harness.comparing.findings import candidates, differ_in, remarks
from harness.comparing.power import plan
from harness.counting.results import load_result
from harness.errors import HarnessError, RunIncompleteError
from harness.protocols import find_protocol
from harness.records import Judgment, RunFolder
from harness.records.inventory import Inventory, limited
from harness.stats.multiplicity import CORRECTIONS
from tests.test_fuzz import published_judge
from tests.toys import changed, make_items, make_judgments, worded, write


@pytest.fixture
def pair(tmp_path: Path):
    items = make_items(300)
    base = write(tmp_path / "base", items, make_judgments(items, 0.6, draw=1))
    cand = write(tmp_path / "cand", items, make_judgments(items, 0.8, draw=2))
    return load_result(base), load_result(cand)


def test_swapping_the_sides_negates_the_difference(pair) -> None:
    forth, back = compare(*pair), compare(*pair[::-1])
    for one, other in zip(forth.headline + forth.slices, back.headline + back.slices, strict=True):
        assert one.estimate.value == pytest.approx(-other.estimate.value)
        assert one.estimate.p == pytest.approx(other.estimate.p)
        assert one.estimate.low == pytest.approx(-other.estimate.high)


def test_a_clear_gain_is_called_better_and_a_run_against_itself_nothing(pair) -> None:
    assert "better" in compare(*pair).sentence()
    same = compare(pair[0], pair[0])
    assert same.headline[0].estimate.p == 1
    assert same.headline[0].estimate.value == 0
    assert "no difference shown" in same.sentence()
    assert remarks(same)[0].startswith("Both are the same run")
    assert not any("same run" in remark for remark in remarks(compare(*pair)))


def test_answers_that_are_another_runs_are_remarked_on(tmp_path: Path, pair) -> None:
    items = make_items(300)
    copied = load_result(write(tmp_path / "copied", items, make_judgments(items, 0.6, draw=1)[::-1]))
    told = remarks(compare(pair[0], copied))[0]
    assert (
        told == "The baseline under seed 0 and the candidate under seed 0 gave every question the same answer, "
        "word for word."
    )
    assert not any("word for word" in remark for remark in remarks(compare(*pair)))


def test_pairing_narrows_the_interval_of_alike_judges(tmp_path: Path) -> None:
    items = make_items(300)
    base = make_judgments(items, 0.6, draw=1)
    flipped = [
        j.model_copy(update={"reading": "second" if j.reading == "first" else "first"}) if k < 12 else j
        for k, j in enumerate(base)
    ]
    one = load_result(write(tmp_path / "one", items, base))
    other = load_result(write(tmp_path / "other", items, flipped))
    paired = compare(one, other).headline[0].estimate.error
    from harness.counting.metrics import METRICS

    apart = (
        one.estimate(METRICS["pair"]["accuracy"]).error ** 2 + other.estimate(METRICS["pair"]["accuracy"]).error ** 2
    ) ** 0.5
    assert paired < apart / 2


def test_seeds_are_crossed_with_items(tmp_path: Path) -> None:
    items = make_items(200)
    seeds = [j for s in range(3) for j in make_judgments(items, 0.7, seed=s, draw=3)]
    base = load_result(write(tmp_path / "base", items, make_judgments(items, 0.6, draw=1)))
    cand = load_result(write(tmp_path / "cand", items, seeds))
    base.run.config.pop("sft")
    got = compare(base, cand)
    assert not got.one_seed
    assert got.headline[0].estimate.df < 199


@pytest.mark.parametrize("says", ["data", "protocol", "reader", "task"])
def test_unlike_runs_are_refused_by_the_first_difference(tmp_path: Path, says: str) -> None:
    items = make_items(10)
    one = load_result(write(tmp_path / "one", items, make_judgments(items, 0.6)))
    asked: dict[str, Any] = {
        "protocol": {"protocol": "file-order"},
        "reader": {"reader": "letters"},
        "task": {"task": "other"},
    }.get(says, {})
    judged = [j for j in make_judgments(items, 0.6) if says != "protocol" or j.order == (0, 1)]
    turned = [item.model_copy(update={"slice": "general"}) for item in items] if says == "data" else items
    other = load_result(write(tmp_path / "other", turned, judged, **asked))
    with pytest.raises(HarnessError, match=f"differ in {says}"):
        compare(one, other)


def test_an_unfinished_run_is_not_compared(tmp_path: Path) -> None:
    run = write(tmp_path / "run", make_items(4), [], status="unfinished")
    with pytest.raises(RunIncompleteError, match="--resume"):
        load_result(run)


def test_a_failed_answer_is_never_counted(tmp_path: Path) -> None:
    items = make_items(10)
    answered = make_judgments(items, 0.6)
    failed = answered[0].model_copy(update={"reading": "error", "error": "500 ill", "text": ""})
    run = write(tmp_path / "run", items, [failed, *answered[1:]])
    with pytest.raises(RunIncompleteError, match="0 of 20 judgments are missing, 1 failed, 0 doubled"):
        load_result(run)
    run.append_judgments("toy", map(worded, answered[:1]))
    assert load_result(run).tallies[0]["score"].size == 10
    run.append_judgments("toy", [failed])
    with pytest.raises(RunIncompleteError, match="1 failed, 1 doubled"):
        load_result(run)


def test_a_run_that_lost_or_doubled_judgments_is_not_counted(tmp_path: Path) -> None:
    items = make_items(10)
    run = write(tmp_path / "run", items, make_judgments(items, 0.6))
    path = run.judgments_path("toy")
    whole = path.read_text()
    path.write_text("".join(whole.splitlines(keepends=True)[:-3]))
    with pytest.raises(RunIncompleteError, match="3 of 20 judgments are missing"):
        load_result(run)
    path.write_text(whole + whole.splitlines(keepends=True)[0])
    with pytest.raises(RunIncompleteError, match="0 failed, 1 doubled"):
        load_result(run)


def test_one_seed_of_a_trained_side_is_said_and_none_of_untrained_ones(pair) -> None:
    assert compare(*pair).one_seed
    for result in pair:
        result.run.config.pop("sft")
    assert not compare(*pair).one_seed


def test_two_clusters_alike_are_no_certainty(tmp_path: Path) -> None:
    items = make_items(4)
    one = load_result(write(tmp_path / "one", items, make_judgments(items, 0.0)))
    other = load_result(write(tmp_path / "other", items, make_judgments(items, 1.0)))
    assert "no difference shown, +100.0 points of accuracy" in compare(one, other).sentence()


def test_a_total_collapse_is_worse_and_no_mystery(tmp_path: Path) -> None:
    items = make_items(120)
    good = load_result(write(tmp_path / "good", items, make_judgments(items, 1.0)))
    bad = load_result(write(tmp_path / "bad", items, make_judgments(items, 0.0)))
    assert "worse, -100.0 points of accuracy, 95 % interval [-100.0, -9" in compare(good, bad).sentence()


def test_a_side_that_counts_nothing_is_refused_in_a_line(tmp_path: Path) -> None:
    items = make_items(60)
    drawn = find_protocol("official:3")
    about = {"protocol": "official:3", "reader": "official"}
    silent = [
        Judgment(item_id=p.item_id, seed=0, order=p.order, repeat=p.repeat, text="no idea", reading="unparsed")
        for p in drawn.presentations(items, 0)
    ]
    runs = [load_result(write(tmp_path / name, items, silent, **about)) for name in ("one", "other")]
    with pytest.raises(HarnessError, match="one has no accuracy: official:3 leaves out every item"):
        compare(*runs)


@pytest.mark.parametrize("kept", [slice(10), slice(10, 20), slice(5, 15)])
def test_items_that_no_limit_leaves_are_refused(tmp_path: Path, kept: slice) -> None:
    items = make_items(20)
    whole = {"data_items": 20, "data_fingerprint": Inventory(items).fingerprint}
    one = load_result(write(tmp_path / "one", items[:10], make_judgments(items[:10], 0.6), **whole))
    other = load_result(write(tmp_path / "other", items[kept], make_judgments(items[kept], 0.6), **whole))
    if kept == slice(10):
        assert compare(one, other).unmatched == 0
        return
    with pytest.raises(HarnessError, match="no --limit leaves those of one"):
        compare(one, other)


def test_swapping_base_and_candidate_negates_every_figure_of_a_correlation_too(tmp_path: Path) -> None:
    one, other = (write_grades(tmp_path / name, draw) for name, draw in (("one", 1), ("other", 2)))
    forth, back = compare(one, other), compare(other, one)
    for first, second in zip(forth.headline + forth.slices, back.headline + back.slices, strict=True):
        assert first.estimate.value == pytest.approx(-second.estimate.value)
        assert first.estimate.low == pytest.approx(-second.estimate.high)
        assert first.estimate.p == pytest.approx(second.estimate.p)
    assert forth.mcnemar is None
    assert forth.bounds is None
    assert compare(one, one).headline[0].estimate.p == 1


def write_grades(folder: Path, draw: int):
    chance = random.Random(draw)
    items = [changed(item, responses=("a",), label=1 + i % 5) for i, item in enumerate(make_items(90))]
    given = [min(5, max(1, item.label + chance.choice((-1, 0, 1)))) for item in items]
    judgments = [
        Judgment(item_id=item.item_id, seed=0, order=(0,), text="", reading=grade)
        for item, grade in zip(items, given, strict=True)
    ]
    return load_result(write(folder, items, judgments, kind="score", protocol="published:1", reader="grade"))


def test_rows_in_another_order_change_nothing(pair, tmp_path: Path) -> None:
    items = make_items(300)
    answers = make_judgments(items, 0.8, draw=2)
    random.Random(1).shuffle(answers)
    mixed = load_result(write(tmp_path / "mixed", items, answers))
    for one, other in zip(compare(*pair).headline, compare(pair[0], mixed).headline, strict=True):
        assert one.estimate == other.estimate


def test_every_item_and_answer_is_accounted_for(tmp_path: Path) -> None:
    items = make_items(40)
    whole = {"data_items": 40, "data_fingerprint": Inventory(items).fingerprint}
    base = load_result(write(tmp_path / "base", items, make_judgments(items, 0.6)))
    few = limited(items, 20)
    answers = make_judgments(few, 0.6)
    silent = [j.model_copy(update={"reading": "unparsed"}) if k % 4 == 0 else j for k, j in enumerate(answers)]
    cand = load_result(write(tmp_path / "cand", few, silent, **whole))
    got = compare(base, cand)
    assert (got.ledger.shared, got.ledger.baseline_only, got.ledger.candidate_only) == (20, 20, 0)
    assert got.ledger.candidate_unparsed == pytest.approx(0.25)
    assert got.bounds is not None
    low, high = got.bounds
    assert high - low == pytest.approx(0.25)
    assert low <= got.headline[0].estimate.value <= high


def test_runs_over_unlike_numbers_of_seeds_vary_each_for_itself(tmp_path: Path) -> None:
    items = make_items(200)
    runs = []
    for name, seeds in (("two", 2), ("three", 3)):
        answers = [j for s in range(seeds) for j in make_judgments(items, 0.7, seed=s, draw=seeds)]
        runs.append(load_result(write(tmp_path / name, items, answers)))
    got = compare(*runs)
    assert len(got.headline[0].estimate.parts) == 3
    assert [seed for seed, *_ in got.per_seed] == [0, 1, 2]
    assert math.isnan(got.per_seed[2][1])


def test_several_candidates_are_corrected_together(tmp_path: Path) -> None:
    items = make_items(200)
    base, *others = (
        load_result(write(tmp_path / str(k), items, make_judgments(items, a, draw=k)))
        for k, a in enumerate((0.6, 0.68, 0.6, 0.9))
    )
    raw = [compare(base, other).headline[0].estimate.p for other in others]
    for correction, adjust in CORRECTIONS.items():
        found = compare_many(base, others, correction)
        assert [c.headline[0].adjusted_p for c in found] == pytest.approx(adjust(raw))


def test_judges_asked_in_other_words_are_compared_on_request(pair) -> None:
    for result, words in zip(pair, ("a1", "b2"), strict=True):
        result.task.prompts["0"] = words
    with pytest.raises(HarnessError, match="differ in prompt: a1 and b2"):
        compare(*pair)
    with pytest.raises(HarnessError, match="--other-prompts"):
        compare_many(pair[0], [pair[1]])
    assert compare(*pair, other_prompts=True).other_words


def test_a_judge_that_writes_verdicts_in_its_own_form_is_compared_on_request(tmp_path: Path) -> None:
    items, config = make_items(30), {"model": "judge:toy", "published": published_judge()}
    ours = load_result(write(tmp_path / "ours", items, make_judgments(items, 0.6), prompts={"0": "a1"}))
    theirs = make_judgments(items, 0.9, draw=1)
    published = load_result(write(tmp_path / "theirs", items, theirs, config=config, reader="own", prompts={"0": "b2"}))
    with pytest.raises(HarnessError, match=r"differ in reader: strict and own\..*--other-prompts"):
        compare(ours, published)
    got = compare(ours, published, other_prompts=True)
    assert got.other_words
    assert got.headline[0].candidate > got.headline[0].baseline


def test_unparsed_answers_alone_are_wrong_and_no_crash(tmp_path: Path) -> None:
    items = make_items(30)
    silent = [j.model_copy(update={"reading": "unparsed"}) for j in make_judgments(items, 0.5)]
    mute = load_result(write(tmp_path / "mute", items, silent))
    got = compare(mute, load_result(write(tmp_path / "cand", items, make_judgments(items, 0.7))))
    assert got.headline[0].baseline == 0
    assert got.bounds == pytest.approx((got.headline[0].candidate - 1, got.headline[0].candidate))
    same = compare(mute, mute).headline[0]
    assert (same.estimate.value, same.estimate.p) == (0, 1)


@pytest.mark.parametrize(("count", "per_cluster"), [(1, 1), (4, 4)])
def test_one_item_or_one_cluster_is_not_estimable(tmp_path: Path, count: int, per_cluster: int) -> None:
    items = make_items(count, per_cluster)
    one, other = (
        load_result(write(tmp_path / name, items, make_judgments(items, accuracy)))
        for name, accuracy in (("one", 0.0), ("other", 1.0))
    )
    assert "not estimable" in compare(one, other).sentence()
    assert compare(one, one).headline[0].estimate.p == 1


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(0, 10_000), st.integers(2, 40), st.floats(0, 1), st.floats(0, 1))
def test_no_figure_is_infinite_and_no_p_is_zero(tmp_path: Path, draw: int, count: int, low: float, high: float) -> None:
    items = make_items(count)
    folder = tmp_path / f"{draw}-{count}-{low}-{high}"
    one = load_result(write(folder / "one", items, make_judgments(items, low, draw=draw)))
    other = load_result(write(folder / "other", items, make_judgments(items, high, draw=draw + 1)))
    for difference in compare(one, other, resamples=50).differences:
        assert not any(math.isinf(x) for x in difference.estimate[:6])
        assert not difference.estimate.p <= 0


def test_where_p_and_interval_do_not_say_the_same_it_is_said(pair) -> None:
    agreed = compare(*pair)
    assert not any("different sides" in remark for remark in remarks(agreed))
    first = agreed.headline[0]
    odd = replace(agreed, headline=[replace(first, estimate=first.estimate._replace(p=0.2)), *agreed.headline[1:]])
    assert any("different sides of the line for accuracy: the interval decides" in remark for remark in remarks(odd))


def varied(folder: Path, recipe: str, beta: float | None, draw: int, code: str = "a") -> RunFolder:
    """Write a run of a recipe whose configuration has sections of its own."""
    items = make_items(60)
    run = write(folder, items, make_judgments(items, 0.7, draw=draw))
    own = {} if beta is None else {"dpo": {"beta": beta, "epochs": 1}, "judge": {"lora": {"rank": 10 * beta}}}
    hashes = {"code": code, **({} if beta is None else {"expert 0": "b"})}
    config = {"recipe": recipe, "judge": {"lora": {"rank": 1.0}}, **own, "fingerprints": hashes}
    run.write_run(run.read_run().model_copy(update={"config": config}))
    return run


def test_runs_of_one_recipe_go_by_their_own_names_and_it_is_said_what_differs(tmp_path: Path) -> None:
    base = load_result(varied(tmp_path / "base", "distill", None, 1))
    ones, twos, alike = (
        load_result(varied(tmp_path / where / name, "carevl", beta, 2 + i, code))
        for i, (where, name, beta, code) in enumerate(
            [("", "one", 0.1, "a"), ("", "two", 0.2, "c"), ("x", "two", 0.2, "c")]
        )
    )
    first, second, third = compare_many(base, [ones, twos, alike])
    assert (first.names, second.names[1]) == (("distill", "one"), str(tmp_path / "two"))
    assert third.names[1] == str(tmp_path / "x/two"), "where the names are alike, too, folders tell"
    assert first.sentence().startswith("one against distill: ")
    # sections that one recipe lacks, and what always differs between recipes, are no news
    assert differ_in(first.settings) == ["They differ in: recipe (distill | carevl)."]
    told = differ_in(compare(ones, twos).settings)
    assert told == ["They differ in: dpo.beta (0.1 | 0.2), judge.lora.rank (1.0 | 2.0), the harness's code."]
    (note,) = candidates([first, second], "holm").notes
    assert note.startswith("The 2 runs of carevl, from the top, differ in: dpo.beta (0.1 | 0.2), judge.lora.rank")
    base.run.revision = "another"
    assert "the harness's code" in differ_in(compare(base, ones).settings)[0]


def test_a_plan_says_about_and_how_far_these_data_leave_it_open(tmp_path: Path) -> None:
    items = make_items(600)
    pair = [
        load_result(write(tmp_path / name, items, make_judgments(items, accuracy, draw=place)))
        for place, (name, accuracy) in enumerate((("one", 0.70), ("other", 0.72)))
    ]
    comparison = compare(*pair)
    _, told = plan(comparison, comparison.headline[0], 0.03)
    needed, low, high = (
        int(number.replace(",", ""))
        for number in re.search(r"about ([\d,]+) instead of 600 \(([\d,]+) to ([\d,]+), as", " ".join(told)).groups()  # type: ignore[union-attr]
    )
    assert 0.6 * needed < low < needed < high < 1.5 * needed
    assert needed % 10 == 0


@pytest.mark.parametrize(
    ("accuracies", "says"),
    [
        ((0.9, 0.5), "the candidate judges text worse than the baseline."),
        ((0.5, 0.9), "so nothing was harmed."),
        ((0.7, 0.7), "no harm to the judging of text is shown, and a loss of more than"),
    ],
)
def test_of_items_without_images_it_says_whether_text_is_judged_worse(tmp_path: Path, accuracies, says: str) -> None:
    pictured = make_items(120)
    told = [item.model_copy(update={"image_hash": None, "cluster_id": f"group/{item.cluster_id}"}) for item in pictured]
    # an image of which only the name is known is one all the same
    named = [item.model_copy(update={"image_hash": None}) for item in pictured]
    for items, expected in ((told, 1), (pictured, 0), (named, 0)):
        names = f"{len(items[0].cluster_id)}{items[0].image_hash}"
        baseline, candidate = (
            load_result(write(tmp_path / f"{names}-{place}", items, make_judgments(items, accuracy, draw=place)))
            for place, accuracy in enumerate(accuracies)
        )
        found = [
            line for line in remarks(compare(baseline, candidate)) if line.startswith("These items hold no images")
        ]
        assert len(found) == expected
        assert all(says in line for line in found)
