"""The report says what the comparison says, about every kind of task, and hostile texts stay texts."""

import html
import json
import math
import shlex
from html.parser import HTMLParser
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.cli import main
from harness.comparing.comparison import compare
from harness.comparing.findings import differences, remarks
from harness.counting.results import load_result
from harness.errors import DataError
from harness.evaluate.hooks import load_hooks
from harness.judge.format import EMBEDDED
from harness.records import Item, Judgment
from harness.records.judgment import words_hash
from harness.records.run import StageRecord
from harness.registry import content_roots, load_task
from harness.show.report import items as table_of_items
from harness.show.report.charts import smoothed
from harness.show.report.gather import gather
from harness.show.report.model import Items
from harness.show.report.page import data_block, render
from harness.texts import harmless
from tests.show.report.runs import HOSTILE, answers, embedded_pair, trained
from tests.toys import ROOT, changed, make_items, write

ROOTS = content_roots()
FIRST = "Overall Judgment: Answer 1 is better."


@pytest.fixture(autouse=True)
def _results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HARNESS_RESULTS", str(tmp_path / "results"))


class Reader(HTMLParser):
    """Reads a page as a browser does: its tags, its text, and its data block."""

    def __init__(self, page: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[str] = []
        self.handlers: list[str] = []
        self.text = ""
        self.data = ""
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.handlers += [name for name, _ in attrs if name.startswith("on") or name == "style"]

    def handle_data(self, data: str) -> None:
        if self.lasttag == "script" and data.startswith("{"):
            self.data = data
        elif self.lasttag not in ("script", "style"):
            self.text += data


def test_the_figures_are_those_of_compare(tmp_path: Path) -> None:
    candidate, baseline = embedded_pair(tmp_path)
    page = gather(candidate, baseline, None, ROOTS)
    comparison = compare(load_result(baseline), load_result(candidate))
    assert page.verdict == comparison.sentence()
    assert page.table == differences(comparison, every_slice=True)
    rows = [*comparison.headline, *comparison.slices]
    for line, row in zip(page.intervals.lines, rows, strict=True):
        assert line.marks[0][1:4] == pytest.approx([100 * x for x in row.estimate[:1] + row.estimate[3:5]])
    text = " ".join(Reader(render(page)).text.split())
    assert " ".join(page.verdict.split()) in text.replace("\xa0", " ")
    assert "Synthetic: embedded synthetic world, not the published benchmark." in text
    for row in page.table.rows:
        assert all(harmless(cell.shown) in text for cell in row)
    assert all(remark in text for remark in remarks(comparison))


def test_items_on_which_the_two_differ_come_first_with_image_and_every_seeds_answers(tmp_path: Path) -> None:
    page = gather(*embedded_pair(tmp_path), None, ROOTS)
    gains = [row.gain for row in page.items.rows]
    assert gains == sorted(gains, key=lambda gain: -abs(gain or 0))
    assert gains[0] == 1
    assert gains[-1] == 0
    first = page.items.rows[0]
    assert page.items.images[first.images[0]].startswith("data:image/webp;base64,")
    assert page.items.no_image == ""
    assert [(a.seed, a.order) for a in first.answers[1]] == [(s, o) for s in range(3) for o in ("AB", "BA")]
    assert all(a.said == first.label for a in first.answers[0])
    assert not any(a.right for a in first.answers[1])
    texts = [page.items.texts[a.text] for a in first.answers[0]]
    assert all(any(text.startswith(hostile) for text in texts) for hostile in HOSTILE[:6])


def test_where_the_two_disagree_is_counted_by_slice(tmp_path: Path) -> None:
    page = gather(*embedded_pair(tmp_path), None, ROOTS)
    places = [(place % 10 != 1, place % 3 != 1) for place in range(60)]
    everything, *slices = page.apart
    counted = [places.count(pair) for pair in ((True, False), (False, True), (True, True), (False, False))]
    assert [*everything[2:]] == counted
    assert [sum(column) for column in zip(*(row[2:] for row in slices), strict=True)] == counted
    assert [row.name for row in slices] == page.items.slices
    text = " ".join(Reader(render(page)).text.split())
    assert f"only candidate is right on {counted[0]} and only baseline on {counted[1]}." in text
    assert text.index("Where the two judges disagree") < text.index("To the right of the line")
    alone = gather(embedded_pair(tmp_path / "again")[0], None, None, ROOTS)
    assert alone.apart == []


def test_the_words_of_a_judge_are_those_whose_hash_is_recorded(tmp_path: Path) -> None:
    recorded = json.loads((ROOT / "results/baselines/carevl/run.json").read_text())["tasks"][0]["prompts"]["0"]
    assert recorded == words_hash(EMBEDDED.prompt)
    items = make_items(4)

    def found(words: str, **task: str) -> dict[str, object]:
        run = write(
            tmp_path / words_hash(words), items, answers(items, [True] * 4), prompts={"0": words_hash(words)}, **task
        )
        return gather(run, None, None, ROOTS).items.sides[0]

    assert found(EMBEDDED.prompt)["prompt"] == EMBEDDED.prompt
    told = load_hooks("vlrewardbench", load_task("vlrewardbench", ROOTS).hooks)
    benchmark = told.prompt("{question}", ["{first}", "{second}"], True)
    assert found(benchmark, task="vlrewardbench")["prompt"] == benchmark
    assert "only their hash" in str(found("words of nobody")["unknown"])


def test_the_words_of_a_published_judge_are_shown_and_its_verdicts_read_by_its_form(tmp_path: Path) -> None:
    words = "{question} 1: {first} 2: {second}"
    form = {"sentences": [{"form": "Answer {verdict} is better", "take": "last"}]}
    about = {"summary": "s", "hub": "OWNER/NAME", "licence": "mit", "parameters": "few", "prompt": words}
    items = make_items(4)
    run = write(
        tmp_path / "run",
        items,
        answers(items, [True] * 4),
        config={"model": "judge:mine", "published": about | {"verdict": form}},
        prompts={"0": words_hash(words)},
        reader="own",
    )
    page = gather(run, None, None, ROOTS)
    assert page.items.sides[0]["prompt"] == words
    assert "100.0" in page.verdict


def test_a_run_in_which_no_verdict_was_read_gives_a_page(tmp_path: Path) -> None:
    items = make_items(6)
    silent = [j.model_copy(update={"text": "no idea", "reading": "unparsed"}) for j in answers(items, [True] * 6)]
    page = gather(write(tmp_path / "silent", items, silent), None, None, ROOTS)
    assert page.position is None
    assert "accuracy" in Reader(render(page)).text


def test_a_position_bias_is_said_and_none_is_not_claimed(tmp_path: Path) -> None:
    items = make_items(240)
    # every third item is answered by its place; which one is right does not matter
    lost = [place % 3 > 0 for place in range(240)]
    fair = answers(items, [True] * 240)
    biased = [
        j if lost[place // 2] else j.model_copy(update={"reading": "first", "p_first": 0.9, "text": FIRST})
        for place, j in enumerate(fair)
    ]
    (told,) = gather(write(tmp_path / "biased", items, biased), None, None, ROOTS).position_said
    assert told.startswith("biased has a position bias: it prefers the response shown first (66.7 %")
    (told,) = gather(write(tmp_path / "fair", items, fair), None, None, ROOTS).position_said
    assert told.startswith("No position bias of fair is shown")


def test_a_record_says_how_the_run_is_repeated_and_its_judge_asked(tmp_path: Path) -> None:
    items = make_items(4)
    run = write(tmp_path / "results/runs/a run", items, answers(items, [True] * 4, (0, 3)))
    (record,) = gather(run, None, None, ROOTS, tmp_path / "pages").records
    assert record.link == "../results/runs/a%20run/"
    assert record.checkpoints == [("run:a run:0", "print 0"), ("run:a run:3", "print 3")]
    assert record.command == ""
    (run.path / "config.yaml").write_text("")
    (record,) = gather(run, None, None, ROOTS).records
    assert record.link == ""
    words = shlex.split(record.command)
    assert words[:3] == ["harness", "run", "--config"]
    assert words[3] == str(run.path / "config.yaml")


def test_a_smoothed_course_keeps_its_ends_and_its_level() -> None:
    assert smoothed([3, 0, 0, 3, 9], 1) == [3, 1, 1, 4, 9]
    assert smoothed([1, 2, 3], 0) == [1, 2, 3]


def test_what_stages_recorded_is_drawn_and_what_they_did_not_is_said(tmp_path: Path) -> None:
    candidate, baseline = embedded_pair(tmp_path)
    page = render(gather(candidate, baseline, None, ROOTS))
    assert "the course of" not in page
    for words in (
        "Confidence split of",
        "SFT: loss",
        "DPO: reward margin",
        "Sampled judgments of",
        "the best-scored judgment",
        "87.5",
        "0.25",
    ):
        assert words in page
    controls = " ".join(Reader(page).text.split()).partition("Agreement with the label on 3 pairs")[2]
    for words in ("its own caption66.7100.0", "no caption33.312.3", "another image’s––", "off by 57 points"):
        assert words in controls
    assert "3 for expert 0, 0 for expert 1, of 52 texts each; 1 too long even without a caption." in controls
    items = make_items(8)
    old = [stage.model_copy(update={"info": {**stage.info}}) for stage in trained()]
    for stage in old:
        stage.info.pop("curve", None)
        stage.info.pop("scores", None)
    run = write(tmp_path / "old", items, answers(items, [True] * 8), old)
    page = Reader(render(gather(run, None, None, ROOTS))).text
    assert "the course of SFT is not recorded by this run; last losses 0.01." in page
    assert "The spread of the scores is not recorded by this run." in page
    bare = write(tmp_path / "bare", items, answers(items, [True] * 8))
    assert "Nothing was trained in this run." in Reader(render(gather(bare, None, None, ROOTS))).text


def test_a_reward_heads_training_and_what_answers_took_are_shown(tmp_path: Path) -> None:
    items = make_items(8)
    curve = {"step": [1, 2], "loss": [0.7, 0.5], "margin": [0.0, 0.9], "right": [0.5, 0.8]}
    usage = {"requests": 16, "prompt_tokens": 1200, "completion_tokens": 160, "items_per_second": 2.5, "cost": 0.5}
    stages = [
        StageRecord(stage=name, seed=seed, key=f"{name}{seed}", cached=False, seconds=1, peak_mb=1, info=info)
        for seed in (0, 1)
        for name, info in (("reward", {"updates": 2, "loss": 0.5, "curve": curve}), ("judge toy", {"usage": usage}))
    ]
    run = write(tmp_path / "head", items, answers(items, [True] * 8, (0, 1)), stages, {"reward": {}})
    page = " ".join(Reader(render(gather(run, None, None, ROOTS))).text.split())
    for title in ("Reward head: loss", "Reward head: reward margin", "Reward head: reward accuracy"):
        assert title in page
    assert "judge toy: 32 requests, 2,400 tokens read, 320 tokens written, 2.5 items a second, cost 1." in page
    spoilt = stages[1].model_copy(update={"info": {"usage": {"requests": "many"}}})
    bad = write(tmp_path / "bad", items, answers(items, [True] * 8), [spoilt])
    with pytest.raises(DataError, match=r"stage 'judge toy', field 'usage.requests'"):
        gather(bad, None, None, ROOTS)


def test_a_run_alone_has_its_headline_figure(tmp_path: Path) -> None:
    items = make_items(40)
    run = write(tmp_path / "alone", items, answers(items, [place % 4 > 0 for place in range(40)]))
    page = gather(run, None, None, ROOTS)
    assert page.verdict.startswith("alone: accuracy 75.0 % over 40 synthetic items, 95 % interval [")
    assert [cell.shown for cell in page.table.rows[0]][:3] == ["accuracy", "40", "75.0"]
    # the items that the run gets wrong come first
    assert [row.gain for row in page.items.rows[:11]] == [0] * 10 + [1]
    assert page.intervals.reference == 50
    assert page.items.no_image == "No image: the data are toy, and the stage cache holds them no more."


def test_reliability_by_hand(tmp_path: Path) -> None:
    items = make_items(4, per_cluster=1)

    def judged(place: int, p: float, right: bool) -> Judgment:
        item = items[place]
        first = right == (item.label == 0)
        reading, p_first = ("first", p) if first else ("second", 1 - p)
        return Judgment(item_id=item.item_id, seed=0, order=(0, 1), text="", reading=reading, p_first=p_first)

    told = [judged(0, 0.92, True), judged(1, 0.94, False), judged(2, 0.62, True), judged(3, 0.62, True)]
    both = told + [j.model_copy(update={"order": (1, 0), "p_first": None}) for j in told]
    (found,) = gather(write(tmp_path / "r", items, both), None, None, ROOTS).reliability
    assert [(b.judgments, round(b.stated, 9), b.right) for b in found.bins] == [(2, 0.62, 1), (2, 0.93, 0.5)]
    assert found.error == pytest.approx((2 * 0.38 + 2 * 0.43) / 4)
    assert found.brier == pytest.approx((2 * 0.38**2 + 0.08**2 + 0.94**2) / 4)
    assert all(b.low <= b.right <= b.high for b in found.bins)


def graded(number: int, label: object, responses: int) -> Item:
    bare = Item(
        item_id="new",
        source_id=str(number),
        question=f"what {number}?",
        responses=tuple("abcd"[:responses]),
        label=label,
        slice=("COCO", "Math")[number % 2],
        cluster_id=str(number),
        image_hash=None,
    )
    return changed(bare)


@pytest.mark.parametrize("kind", ["score", "batch", "pair-ties"])
def test_other_kinds_give_a_page(tmp_path: Path, kind: str, capsys) -> None:
    labels: dict[str, list[object]] = {
        "score": [1, 2, 3, 4, 5, 3, 2, 4],
        "batch": [(0, 1, 2), (2, 0, 1)] * 4,
        "pair-ties": [0, 1, "tie", 0] * 2,
    }
    responses = {"score": 1, "batch": 3, "pair-ties": 2}[kind]
    items = [graded(n, label, responses) for n, label in enumerate(labels[kind])]

    def said(shift: int) -> list[Judgment]:
        readings = {
            "score": [1 + (int(str(item.label)) + shift) % 5 if kind == "score" else 0 for item in items],
            "batch": [(0, 1, 2) if shift else (1, 0, 2)] * 8,
            "pair-ties": ["first", "tie", "unparsed", "second"] * 2,
        }[kind]
        orders = [(0, 1), (1, 0)] if kind == "pair-ties" else [tuple(range(responses))]
        return [
            Judgment(item_id=item.item_id, seed=0, order=order, text="", reading=reading)
            for item, reading in zip(items, readings, strict=True)
            for order in orders
        ]

    protocol = {"score": "published:1", "batch": "published:1", "pair-ties": "both-orders"}[kind]
    reader = {"score": "grade", "batch": "order", "pair-ties": "letters"}[kind]
    runs = [
        write(tmp_path / name, items, said(n), kind=kind, protocol=protocol, reader=reader)
        for n, name in enumerate("ab")
    ]
    out = tmp_path / "page.html"
    assert main(["report", str(runs[1].path), str(runs[0].path), "-o", str(out)]) == 0
    assert main(["report", str(runs[0].path), "-o", str(out)]) == 0
    assert "a: " in capsys.readouterr().out
    read = Reader(out.read_text())
    assert ("Position bias" in read.text) == (kind == "pair-ties")
    rows = json.loads(read.data)["rows"]
    assert len(rows) == 8
    assert {row[5] for row in rows} == {
        "score": {"1", "2", "3", "4", "5"},
        "batch": {"A > B > C", "C > A > B"},
        "pair-ties": {"A", "B", "tie"},
    }[kind]


def test_hostile_names_and_answers_are_text(tmp_path: Path) -> None:
    items = [changed(item, slice=HOSTILE[n % 7], question=HOSTILE[n % 7]) for n, item in
             enumerate(make_items(14, per_cluster=1))]  # fmt: skip
    config = {"recipe": HOSTILE[6], "seeds": [0], "confidence": {"rule": HOSTILE[0]}}
    run = write(tmp_path / "hostile", items, answers(items, [True, False] * 7, text=HOSTILE[1]), trained(), config)
    page = render(gather(run, None, None, ROOTS))
    read = Reader(page)
    assert read.tags.count("script") == 2
    assert "img" not in read.tags
    assert read.handlers == []
    assert set(HOSTILE) <= set(json.loads(read.data)["texts"])
    assert harmless(HOSTILE[6]) in read.text
    assert "\u202e" not in page
    assert html.escape(HOSTILE[0], quote=False) in page


texts = st.text(st.characters(), max_size=40) | st.sampled_from(HOSTILE) | st.just("\ud800 lone")


@given(st.lists(texts, max_size=4))
def test_any_text_stays_within_the_data_block(told: list[str]) -> None:
    block = data_block(Items("pair", "task", [], [], told, [], "", "", []))
    assert block.isascii()
    page = Reader(f"<!doctype html><script type='application/json'>{block}</script><p>after</p>")
    assert page.tags == ["script", "p"]
    assert json.loads(page.data)["texts"] == told


def test_texts_beyond_the_budget_are_cut_and_it_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(table_of_items, "BUDGET", 2_000)
    items = make_items(4)
    long = [
        j.model_copy(update={"text": f"{'x' * 900}{k} {j.text}"})
        for k, j in enumerate(answers(items, [True] * 4, (0, 1)))
    ]
    found = gather(write(tmp_path / "long", items, long), None, None, ROOTS).items
    assert "only the first seed's raw answers" in found.left_out
    for row in found.rows:
        for answer in row.answers[0]:
            assert (answer.text < 0) == (answer.seed == 1)
    cut = found.texts[found.rows[0].answers[0][0].text]
    assert len(cut) < 500
    assert cut.endswith("is better.")
    assert "characters left out" in cut


def test_a_report_is_replaced_and_another_file_never(tmp_path: Path, capsys) -> None:
    items = make_items(6)
    run = write(tmp_path / "run", items, answers(items, [True, False] * 3))
    out = tmp_path / "page.html"
    for _ in range(2):
        assert main(["report", str(run.path), "-o", str(out)]) == 0
    capsys.readouterr()
    notes = tmp_path / "notes.html"
    notes.write_text("mine")
    for target, says in ((notes, "is no report of ours"), (tmp_path, "is a folder"), (tmp_path / "no" / "x", "cannot")):
        assert main(["report", str(run.path), "-o", str(target)]) == 2
        error = capsys.readouterr().err
        assert says in error
        assert len(error.splitlines()) == 1
    assert notes.read_text() == "mine"


def test_agreement_is_told_in_full_and_no_more_than_was_recorded(tmp_path: Path) -> None:
    items, config = make_items(6), {"experts": {"models": ["one", "other"]}}
    stages = trained()
    run = write(tmp_path / "run", items, answers(items, [True] * 6), stages, config)
    told = Reader(render(gather(run, None, None, ROOTS)))
    words = " ".join(told.text.split())
    for line in (
        "labels that are right: 95.0 % to 90.0 %; a left-out expert that agrees: 75.0 % to 50.0 %.",
        "the experts prefer the right response: 50.0 % to 100.0 %",
        "0 and 10.25–10.0 (6.0)0.500.4020.0 (12.0)",
        "all sources90.0100.066.760.070.0",
        "general90.0–66.760.070.0",
    ):
        assert line in words
    unknown = [stage for stage in stages if stage.stage != "filter-accuracy"]
    run = write(tmp_path / "unknown", items, answers(items, [True] * 6), unknown, config)
    words = " ".join(Reader(render(gather(run, None, None, ROOTS))).text.split())
    assert "a left-out expert that agrees: 75.0 % to 50.0 %." in words
    assert "0 and 10.25–10.0 (6.0)" in words
    assert "the truth of the embedded world" not in words
    assert "labels that are right" not in words


def test_a_stage_that_recorded_something_else_is_one_line(tmp_path: Path, capsys) -> None:
    items = make_items(6)
    split = next(stage for stage in trained() if stage.stage == "split-by-confidence")
    odd = split.model_copy(update={"info": {"kept": "many"}})
    run = write(tmp_path / "run", items, answers(items, [True, False] * 3), [odd])
    assert main(["report", str(run.path), "-o", str(tmp_path / "page.html")]) == 2
    error = capsys.readouterr().err
    assert "stage 'split-by-confidence', field 'kept'" in error
    assert len(error.splitlines()) == 1


def test_without_images_a_figure_has_no_interval_and_the_page_says_why(tmp_path: Path) -> None:
    items = [item.model_copy(update={"cluster_id": None, "image_hash": None}) for item in make_items(6)]
    page = gather(write(tmp_path / "run", items, answers(items, [True, False] * 3)), None, None, ROOTS)
    assert "not estimable: no image ids" in page.verdict
    assert "names no images" in page.items.no_image
    assert all(math.isnan(line.marks[0].low) for line in page.intervals.lines)
    assert "nan" not in render(page)
