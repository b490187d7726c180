from pathlib import Path

import pytest

from harness.compare import compare
from harness.errors import HarnessError, RunIncompleteError
from harness.records import Item, Judgment, Run, RunFolder
from harness.records.run import TaskRecord
from harness.results import load_result
from tests.toys import make_items, make_judgments


def write(folder: Path, items: list[Item], judgments: list[Judgment], status: str = "complete", **task) -> RunFolder:
    run = RunFolder(folder)
    record = TaskRecord(
        task="toy",
        protocol="both-orders",
        protocol_version=1,
        data="toy",
        data_fingerprint="f",
        data_items=len(items),
        items=len(items),
        data_slices={},
        slices=sorted({item.slice for item in items}),
        kind="pair",
        reader="strict",
        synthetic=True,
    )
    run.write_run(
        Run(
            name=folder.name,
            status=status,
            checkpoints={str(seed): "toy" for seed in {j.seed for j in judgments}},
            config={"recipe": folder.name, "seeds": [0], "sft": {}},
            packages={},
            revision=None,
            hardware={},
            started="now",
            tasks=[record.model_copy(update=task)],
        )
    )
    run.write_items("toy", items)
    run.write_presentations("toy", {j.presentation for j in judgments})
    run.append_judgments("toy", judgments)
    return run


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
    from harness.metrics import METRICS

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


@pytest.mark.parametrize(
    ("field", "value", "says"), [("data_fingerprint", "g", "data"), ("protocol", "official", "protocol")]
)
def test_unlike_runs_are_refused_by_the_first_difference(tmp_path: Path, field: str, value: str, says: str) -> None:
    items = make_items(10)
    one = load_result(write(tmp_path / "one", items, make_judgments(items, 0.6)))
    other = load_result(write(tmp_path / "other", items, make_judgments(items, 0.6), **{field: value}))
    with pytest.raises(HarnessError, match=f"differ in {says}"):
        compare(one, other)


def test_an_unfinished_run_is_not_compared(tmp_path: Path) -> None:
    run = write(tmp_path / "run", make_items(4), [], status="unfinished")
    with pytest.raises(RunIncompleteError, match="--resume"):
        load_result(run)


def test_a_failed_answer_is_never_counted(tmp_path: Path) -> None:
    items = make_items(10)
    answered = make_judgments(items, 0.6)
    failed = answered[0].model_copy(update={"reading": "error", "error": "500 ill"})
    run = write(tmp_path / "run", items, [failed, *answered[1:]])
    with pytest.raises(RunIncompleteError, match="0 of 20 judgments are missing, 1 failed, 0 doubled"):
        load_result(run)
    run.append_judgments("toy", answered[:1])
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
    assert "not estimable" in compare(one, other).sentence()


def test_runs_without_a_common_item_are_refused(tmp_path: Path) -> None:
    items = make_items(20)
    one = load_result(write(tmp_path / "one", items[:10], make_judgments(items[:10], 0.6)))
    other = load_result(write(tmp_path / "other", items[10:], make_judgments(items[10:], 0.6)))
    with pytest.raises(HarnessError, match="no item in common"):
        compare(one, other)
