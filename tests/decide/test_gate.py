"""The gate's rule over all intervals, what it says, and its reports under hostile names."""

import json
import math
import re
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree as Xml

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.comparing.comparison import Comparison, compare
from harness.counting.results import load_result
from harness.decide.gate import Terms, Verdict, decide, no_ruling, rule
from harness.decide.gate_report import reports
from harness.errors import ExitCode, HarnessError
from harness.stats.intervals import Estimate
from harness.stats.mixture import Part
from tests.toys import make_items, make_judgments, write

figures = st.floats(-2, 2)
intervals = st.tuples(figures, figures).map(sorted)
margins = st.floats(0, 0.99)
settings = st.builds(Terms, margin=margins, improvement=st.booleans())
ORDER = {ExitCode.REGRESSION: 0, ExitCode.INCONCLUSIVE: 1, ExitCode.OK: 2}


@given(intervals, settings)
def test_each_interval_has_the_one_verdict_of_the_written_rule(interval, terms) -> None:
    low, high = interval
    bar = 0 if terms.improvement else -terms.margin
    passes, fails = low > bar, (high <= bar if terms.improvement else high < bar)
    assert not (passes and fails)
    assert rule(low, high, terms).code == (0 if passes else 1 if fails else 3)


@given(intervals, settings, st.floats(0, 1), st.floats(0, 1))
def test_a_better_interval_is_never_judged_worse(interval, terms, by, further) -> None:
    low, high = interval
    before, after = rule(low, high, terms), rule(low + by, max(low + by, high + by + further), terms)
    assert ORDER[after.code] >= ORDER[before.code]


@given(intervals, margins, st.floats(0, 1))
def test_a_wider_margin_never_judges_worse(interval, margin, by) -> None:
    before, after = (rule(*interval, Terms(m)) for m in (margin, margin + by))
    assert ORDER[after.code] >= ORDER[before.code]


@given(settings)
def test_without_an_interval_nothing_is_passed_and_nothing_failed(terms) -> None:
    assert rule(math.nan, math.nan, terms) is Verdict.INCONCLUSIVE


@pytest.fixture
def even(tmp_path: Path) -> Comparison:
    """Two judges of the same skill."""
    items = make_items(300)
    base = write(tmp_path / "base", items, make_judgments(items, 0.7, draw=1))
    cand = write(tmp_path / "cand", items, make_judgments(items, 0.7, draw=2))
    return compare(load_result(base), load_result(cand))


def with_gain(comparison: Comparison, value: float, half: float, **metric) -> Comparison:
    first = comparison.headline[0]
    parts = (Part((half / 2) ** 2, 100),)
    estimate = Estimate(value, half / 2, 100, value - half, value + half, 0.5, parts)
    return replace(comparison, headline=[replace(first, estimate=estimate, metric=first.metric._replace(**metric))])


@pytest.mark.parametrize(
    ("value", "half", "terms", "code", "first", "second"),
    [
        (0.03, 0.01, Terms(), 0, "PASS: ", "+2.0, is above the margin, -2.0, and above zero: better."),
        (0.00, 0.01, Terms(), 0, "PASS: ", "-1.0, is above the margin, -2.0."),
        (-0.01, 0.005, Terms(), 0, "PASS, worse but within the margin: ", "Worse: the upper end of the interval, -0.5"),
        (-0.05, 0.01, Terms(), 1, "REGRESSION: ", "-4.0, is below the margin, -2.0."),
        (-0.02, 0.01, Terms(), 3, "INCONCLUSIVE: ", "[-3.0, -1.0] holds the margin, -2.0"),
        (0.02, 0.01, Terms(improvement=True), 0, "PASS: ", "+1.0, is above zero."),
        (-0.01, 0.01, Terms(improvement=True), 1, "NO IMPROVEMENT: ", "+0.0, is not above zero."),
        (0.005, 0.01, Terms(improvement=True), 3, "INCONCLUSIVE: ", "holds zero"),
        # ends so near the bar that one decimal would hide which side they are on
        (-0.0099, 0.01, Terms(), 0, "PASS: ", "-1.99, is above the margin, -2.00"),
    ],
)
def test_three_lines_say_the_verdict_and_why(even, value, half, terms, code, first, second) -> None:
    ruling = decide(with_gain(even, value, half), terms)
    assert ruling.code == code
    assert len(ruling.lines) == 3
    assert ruling.lines[0].startswith(first)
    assert second in ruling.lines[1]
    assert all("\n" not in line for line in ruling.lines)


def test_lower_is_better_turns_the_rule_round(even) -> None:
    distance = {"percent": False, "lower_is_better": True}
    worse = decide(with_gain(even, 0.05, 0.01, **distance), Terms())
    assert worse.verdict is Verdict.REGRESSION
    assert "+0.050, 95 % interval [+0.040, +0.060], margin 0.020, lower is better" in worse.lines[0]
    assert worse.lines[1] == "The lower end of the interval, +0.040, is above the margin, +0.020."
    better = decide(with_gain(even, -0.05, 0.01, **distance), Terms(improvement=True))
    assert better.verdict is Verdict.PASS
    assert better.lines[1] == "The upper end of the interval, -0.040, is below zero."


def test_a_slice_may_decide_at_the_level_of_the_comparison(even) -> None:
    strict = compare(even.baseline, even.candidate, level=0.99)
    ruling = decide(strict, Terms(metric="reasoning", alpha=0.01))
    assert ruling.decisive.metric.slice == "reasoning"
    assert "reasoning" in ruling.lines[0]
    assert "99 % interval" in ruling.lines[0]
    assert ruling.decisive.estimate.low < even.find("reasoning").estimate.low


def test_a_typo_in_the_metric_and_a_margin_in_points_are_refused(even) -> None:
    with pytest.raises(HarnessError, match="Did you mean 'reasoning'"):
        decide(even, Terms(metric="reasonning"))
    with pytest.raises(HarnessError, match=r"--margin 2 lets everything through.*0\.02 for two points"):
        decide(even, Terms(margin=2))


def test_inconclusive_says_what_would_settle_it(even) -> None:
    def said(comparison: Comparison, **changed) -> str:
        task = comparison.candidate.task.model_copy(update=changed)
        return decide(replace(comparison, candidate=replace(comparison.candidate, task=task)), Terms()).lines[2]

    open_ = with_gain(even, 0.0, 0.03)
    assert "Seeds: one a side, so what another would buy is not known" in said(open_)
    # 2.8 errors of 1.5 points at 300 items are 2 points at about 1,320
    assert re.search(r"--limit 1400 in place of 300 of the 3000 items", said(open_, data_items=3000))
    assert "all 400 items in place of 300; if they are not enough, more seeds" in said(open_, data_items=400)
    seeds = open_.headline[0].estimate._replace(parts=(Part(0.004**2, 100), Part(0.011**2, 4)))
    varying = replace(open_, headline=[replace(open_.headline[0], estimate=seeds)])
    assert re.search(r"Seeds: \d+ instead of 1\.", said(varying))
    on_the_line = with_gain(even, -0.02, 0.03)
    assert "no amount of data does" in said(on_the_line)


def test_without_image_ids_it_is_inconclusive_and_says_what_is_missing(tmp_path: Path) -> None:
    items = [item.model_copy(update={"cluster_id": None, "image_hash": None}) for item in make_items(50)]
    sides = [write(tmp_path / n, items, make_judgments(items, s, draw=1)) for n, s in (("base", 0.9), ("cand", 0.2))]
    ruling = decide(compare(*map(load_result, sides)), Terms())
    assert ruling.code is ExitCode.INCONCLUSIVE
    assert "interval not estimable" in ruling.lines[0]
    assert "image ids" in ruling.lines[2]
    assert json.loads(reports(ruling)["json"])["metrics"][0]["low"] is None


HOSTILE = [
    "<script>alert(1)</script>", "a|b", "a&b", "a_b*c*`d`", "=cmd()", "two\nlines", "| --- |", "\x00\x1b[31m",
    "שלום\u202egnp.exe", "]]>", '"\'', "[x](javascript:1)", "![i](//h/x.png)", "https://h.example", "@someone #1",
    "\ud800", "\u2028", "accuracy",
]  # fmt: skip
texts = st.one_of(st.sampled_from(HOSTILE), st.text(max_size=40), st.text("|`_*[]<>&\\\n#", max_size=20))


def renamed(comparison: Comparison, name: str) -> Comparison:
    run = comparison.candidate.run.model_copy(update={"name": name, "config": {"recipe": name, "seeds": [0]}})
    slices = [replace(d, metric=d.metric._replace(name=name, title=name)) for d in comparison.slices]
    return replace(comparison, candidate=replace(comparison.candidate, run=run), slices=slices)


@pytest.fixture(scope="module")
def pair(tmp_path_factory) -> Comparison:
    folder, items = tmp_path_factory.mktemp("pair"), make_items(60)
    sides = [write(folder / n, items, make_judgments(items, 0.7, draw=d)) for n, d in (("base", 1), ("cand", 2))]
    return compare(*map(load_result, sides))


@given(name=texts, terms=settings)
def test_hostile_names_come_out_harmless_in_every_report(pair, name: str, terms: Terms) -> None:
    ruling = decide(renamed(pair, name), terms)
    assert ruling.decisive.metric.slice is None
    texts = reports(ruling)
    for text in texts.values():
        text.encode()
    suite = Xml.fromstring(texts["junit"])[0]
    assert len(suite.findall("testcase")) == 6
    assert int(suite.get("failures")) == (ruling.code == 1)
    assert int(suite.get("errors")) == (ruling.code == 3)
    table = [line for line in texts["markdown"].splitlines() if line.startswith("|")]
    assert len(table) == 2 + 6
    assert len({line.count("|") for line in table}) == 1
    assert not re.search(r"<[A-Za-z/!?]", texts["markdown"]), "a tag"
    assert json.loads(texts["json"])["candidate"]["run"] == name


def test_no_ruling_is_an_error_in_every_report() -> None:
    ruling = no_ruling(HarnessError("no run is called 'a'.", "Did you mean 'b'?"), Terms())
    assert ruling.code == 2
    written = reports(ruling)
    assert 'errors="1"' in written["junit"]
    assert "NO RULING" in written["markdown"]
    assert json.loads(written["json"])["verdict"] == "none"
