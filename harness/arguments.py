"""The verbs of the `harness` command, and what each of them takes. Nothing is imported here that does the work."""

import argparse
import platform
from importlib.metadata import version
from pathlib import Path
from typing import NoReturn

from harness.errors import HarnessError
from harness.help_texts import (
    AUDIT_HELP,
    BASELINE_HELP,
    CACHE_HELP,
    COMPARE_HELP,
    CONTAMINATION_HELP,
    DIFF_HELP,
    EXPORT_HELP,
    GATE_HELP,
    JUDGE_HELP,
    LEADERBOARD_HELP,
    LS_HELP,
    POWER_HELP,
    REPORT_HELP,
    RM_HELP,
    RUN_HELP,
    SCORE_HELP,
    SERVE_HELP,
    SWEEP_HELP,
    VALIDATE_HELP,
    VIEW_HELP,
)

STATISTICS = Path(__file__).parent / "content/docs/statistics.md"
"""Where a wheel holds it; a clone has it where its name says."""

FORMATS = ("rich", "md", "latex", "csv", "json", "html")


class Parser(argparse.ArgumentParser):
    """Argument parsing whose errors are one line with a fix, like every other error here."""

    def error(self, message: str) -> NoReturn:
        """Raise instead of printing the whole usage; a choice that was left out is listed."""
        for action in self._actions:
            name = action.metavar if isinstance(action.metavar, str) else action.dest
            if action.choices and message == f"the following arguments are required: {name}":
                message = f"{self.prog} needs one of: {', '.join(map(str, action.choices))}"
        raise HarnessError(f"{message}.", f"`{self.prog} --help` shows examples.")


class ShowVersion(argparse.Action):
    """Prints the version, and on what it runs: what a bug report should name."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        """Print, and exit."""
        from harness.provenance import hardware, packages, revision

        print(f"harness {version('vlrm-harness')}")
        print(f"revision: {revision() or 'installed, not a checkout'}")
        print(f"python: {platform.python_version()} on {platform.platform()}")
        for name, value in hardware().items():
            print(f"{name}: {value}")
        print(f"packages: {', '.join(f'{name} {value}' for name, value in packages().items())}")
        parser.exit()


def build_parser() -> Parser:
    """Build the command line."""
    raw = argparse.RawDescriptionHelpFormatter
    parser = Parser(
        prog="harness",
        formatter_class=raw,
        description="Train vision-language reward models, judge them on benchmarks, compare them honestly.\n\n"
        "  harness run --recipe carevl --tasks vlrewardbench     the main job; runs offline on a CPU in minutes\n"
        "  harness sweep ablation                                one setting changed at a time: which matter?\n"
        "  harness validate qwen2.5-vl-7b                        what a profile needs: memory, tokens, GPU hours\n"
        "  harness compare BASE CAND                             paired differences, intervals, p; `power` plans\n"
        "  harness judge run:NAME pairs.jsonl -o out.jsonl       the judge that was trained, on your own responses\n"
        "  harness export RUN DIR                                a folder with its card, to share; or `serve` it\n"
        "  harness gate BASE CAND                                one verdict, one exit code, for CI\n"
        "  harness report BASE CAND                              one page to look at\n"
        "  harness view                                          all runs as pages, on this machine alone\n"
        "  harness leaderboard                                   every finished run, with ties\n"
        "  harness ls recipes                                    what else can be trained",
    )
    parser.add_argument("--version", action=ShowVersion, nargs=0, help="with what a bug report should name, and exit")
    verbs = parser.add_subparsers(dest="verb", metavar="VERB", required=True, parser_class=Parser)

    run = verbs.add_parser("run", help="train, judge and compare", description=RUN_HELP, formatter_class=raw)
    what = run.add_argument_group("what is judged (one of)")
    what.add_argument("--recipe", metavar="R", help="a recipe; `harness ls recipes` lists them")
    what.add_argument(
        "--model", metavar="NAME", help="`openai` (a server), judge:NAME (`harness ls judges`) or an lmms-eval model"
    )
    what.add_argument("--config", metavar="FILE", type=Path, help="the config.yaml of an earlier run, taken whole")
    run.add_argument("--model-args", metavar="K=V,...", default="", help="arguments of --model")
    run.add_argument("--tasks", metavar="T[,T]", help="benchmarks; `harness ls tasks` lists them")
    run.add_argument("--profile", metavar="P", help="models, data and sizes: a name or a YAML file (default: embedded)")
    run.add_argument("--seeds", metavar="N[,N]", help="training seeds (default: 0)")
    run.add_argument("--limit", metavar="N", type=int, help="ask only N items, drawn by their hash")
    run.add_argument("--protocol", metavar="P", help="`harness ls tasks` lists each task's; P, or TASK=P,...")
    run.add_argument("--baseline", metavar="R", help="recipe to compare with, or `none` (default: the recipe's own)")
    run.add_argument(
        "--preferences",
        metavar="P",
        help="training pairs: parquet, JSONL, hub:NAME@REVISION, or a source by name (`harness ls preferences`)",
    )
    run.add_argument("--map", metavar="F=C,...", help="columns of --preferences, such as question=prompt,chosen=good")
    run.add_argument(
        "--data",
        metavar="FILE",
        help="the benchmark: parquet, JSONL, folder, hub:NAME@REVISION, `hub`; or TASK=...,...",
    )
    run.add_argument("--prompt-file", metavar="FILE", help="words in place of the task's own; or TASK=FILE,...")
    run.add_argument("--out", metavar="DIR", type=Path, help="the run's folder (default: results/runs/NAME)")
    run.add_argument("--resume", action="store_true", help="go on with an unfinished run")
    run.add_argument("--retry-errors", action="store_true", help="... and ask again what a server refused")
    run.add_argument("--first-seed", metavar="N", type=int, help="train this one of the seeds first; no figure changes")
    run.add_argument("--dry-run", action="store_true", help="check settings and data, and say what would be done")
    run.add_argument("--set", metavar="A.B=C", action="append", default=[], help="override one setting; repeatable")
    run.add_argument("--ray-address", metavar="HOST:PORT", help="the Ray cluster that an engine `ray` works on")
    _limits(run)
    _include(run)

    sweep = verbs.add_parser("sweep", help="vary settings over cells", description=SWEEP_HELP, formatter_class=raw)
    sweep.add_argument("sweep", metavar="SWEEP", help="a name or a YAML file; `harness ls sweeps` lists them")
    sweep.add_argument("--workers", metavar="N", type=_count, default=1, help="cells at a time (default: 1)")
    sweep.add_argument("--on", choices=("here", "ray"), default="here", help="where they run (default: here)")
    sweep.add_argument("--ray-address", metavar="HOST:PORT", help="the Ray cluster that they run on")
    sweep.add_argument("--gpus-per-cell", metavar="G", type=_gpus, default=0.0, help="that Ray gives each (default: 0)")
    sweep.add_argument("--dry-run", action="store_true", help="list cells, what is done and what is owed")
    sweep.add_argument("--show", action="store_true", help="run nothing; show what is finished")
    _output(sweep)
    _include(sweep)

    ls = verbs.add_parser("ls", help="list tasks, recipes, runs, ...", description=LS_HELP, formatter_class=raw)
    ls.add_argument(
        "kind", choices=("tasks", "recipes", "sweeps", "profiles", "preferences", "judges", "runs", "baselines")
    )
    ls.add_argument(
        "words", nargs="*", default=[], metavar="WORD", help="only runs with it in their name or status, as `complete`"
    )
    ls.add_argument("--format", choices=("lines", "json"), default="lines", help="of runs (default: lines)")
    _include(ls)

    check = verbs.add_parser("validate", help="what a profile needs", description=VALIDATE_HELP, formatter_class=raw)
    check.add_argument("profile", metavar="PROFILE", help="a name or a YAML file; `harness ls profiles` lists them")
    check.add_argument("--recipe", metavar="R", default="carevl", help="whose stages (default: carevl)")
    check.add_argument("--tasks", metavar="T[,T]", default="vlrewardbench", help="benchmarks (default: vlrewardbench)")
    check.add_argument("--gpu", metavar="NAME", help="in place of the profile's own, such as a100-80gb")
    check.add_argument("--memory", metavar="GIB", type=_gib, help="of each GPU, in place of the card's own")
    check.add_argument("--set", metavar="A.B=C", action="append", default=[], help="override one setting; repeatable")
    _include(check)

    told = COMPARE_HELP + (f"docs/statistics.md is here: {STATISTICS}\n" if STATISTICS.exists() else "")
    compare = verbs.add_parser("compare", help="compare runs", description=told, formatter_class=raw)
    compare.add_argument("baseline", metavar="BASE", help="name or folder of the baseline's run")
    compare.add_argument("candidates", metavar="CAND", nargs="+", help="names or folders of the candidates' runs")
    compare.add_argument("--task", metavar="T", help="which task, if the runs have several")
    compare.add_argument("--correct", choices=("holm", "bh"), default="holm", help="over several candidates")
    compare.add_argument("--other-prompts", action="store_true", help="compare judges asked in different words")
    compare.add_argument("--bootstrap", action="store_true", help="give the bootstrap's interval (BCa) beside")
    compare.add_argument("--resamples", metavar="N", type=_count, default=10_000, help="swaps drawn (default: 10000)")
    compare.add_argument("--seed", metavar="N", type=int, default=0, help="of the draws (default: 0)")
    _level(compare)
    _output(compare)

    power = verbs.add_parser(
        "power", help="plan what would show an effect", description=POWER_HELP, formatter_class=raw
    )
    power.add_argument("baseline", metavar="BASE", help="name or folder of the baseline's run")
    power.add_argument("candidate", metavar="CAND", help="name or folder of the candidate's run")
    power.add_argument("--effect", metavar="D", type=float, default=0.02, help="in the metric's unit (default: 0.02)")
    power.add_argument("--metric", metavar="M", help="a metric or a slice (default: the task's first)")
    power.add_argument("--task", metavar="T", help="which task, if the runs have several")
    _level(power)
    _output(power)

    gate = verbs.add_parser("gate", help="judge a run by a baseline", description=GATE_HELP, formatter_class=raw)
    gate.add_argument("baseline", metavar="BASE", help="name or folder of the baseline's run")
    gate.add_argument("candidate", metavar="CAND", help="name or folder of the candidate's run")
    gate.add_argument("--task", metavar="T", help="which task, if the runs have several")
    gate.add_argument("--metric", metavar="M", help="what decides, a slice too (default: the comparison's first)")
    gate.add_argument(
        "--margin",
        metavar="m",
        type=_margin,
        default=0.02,
        help="in the metric's own unit; 0.02 of a share: two points",
    )
    gate.add_argument(
        "--require", choices=("not-worse", "improvement"), default="not-worse", help="(default: not-worse)"
    )
    gate.add_argument(
        "--alpha", metavar="a", type=_alpha, default=0.05, help="1 - level of the interval (default: 0.05)"
    )
    gate.add_argument("--other-prompts", action="store_true", help="judge it though asked in different words")
    gate.add_argument("--same", action="store_true", help="judge it though both gave the same answers")
    gate.add_argument("--imported", action="store_true", help="judge it though its judgments were made elsewhere")
    gate.add_argument("--junit", metavar="FILE", type=Path, help="write the ruling there, as a test report")
    gate.add_argument("--markdown", metavar="FILE", type=Path, help="... as the summary of a CI step")
    gate.add_argument("--json", metavar="FILE", type=Path, help="... in the schema harness-gate/1")

    baseline = verbs.add_parser(
        "baseline", help="keep a run as baseline", description=BASELINE_HELP, formatter_class=raw
    )
    action = baseline.add_subparsers(dest="action", metavar="ACTION", required=True, parser_class=Parser)
    accept = action.add_parser("accept", help="keep RUN", description=BASELINE_HELP, formatter_class=raw)
    accept.add_argument("run", metavar="RUN", help="name or folder of a finished run")
    accept.add_argument("--reason", metavar="TEXT", required=True, help="why; kept for good")
    accept.add_argument("--name", metavar="NAME", help="of the baseline (default: the run's recipe or model)")
    accept.add_argument("--replace-data", action="store_true", help="even if asked on other data, or in another way")
    check = action.add_parser(
        "check", help="are they what was accepted?", description=BASELINE_HELP, formatter_class=raw
    )
    check.add_argument("--since", metavar="DIR", type=Path, help="their folder before, such as the base branch's")

    diff = verbs.add_parser("diff", help="settings in which runs differ", description=DIFF_HELP, formatter_class=raw)
    diff.add_argument("runs", metavar="RUN", nargs="+", help="names or folders, finished or not")
    _output(diff)

    rm = verbs.add_parser("rm", help="remove runs", description=RM_HELP, formatter_class=raw)
    rm.add_argument("runs", metavar="RUN", nargs="+", help="names, as `harness ls runs` lists them")
    rm.add_argument("--yes", action="store_true", help="do not ask")

    cache = verbs.add_parser("cache", help="what is computed already", description=CACHE_HELP, formatter_class=raw)
    action = cache.add_subparsers(dest="action", metavar="ACTION", required=True, parser_class=Parser)
    listed = action.add_parser("ls", help="what lies there", description=CACHE_HELP, formatter_class=raw)
    listed.add_argument("--every", action="store_true", help="each artifact, with the runs that name it")
    action.add_parser("check", help="is it what was written?", description=CACHE_HELP, formatter_class=raw)
    prune = action.add_parser("prune", help="remove some of it", description=CACHE_HELP, formatter_class=raw)
    prune.add_argument("--unused", action="store_true", help="all that no run names")
    prune.add_argument("--older-than", metavar="DAYS", dest="days", type=_days, help="what was not used for so long")
    prune.add_argument(
        "--down-to", metavar="GIB", dest="gib", type=_gib, help="the longest unused, until so much is left"
    )
    prune.add_argument("--used-too", action="store_true", help="also what a run names, checkpoints among it")
    prune.add_argument("--dry-run", action="store_true", help="only say what would go")

    report = verbs.add_parser("report", help="one page about a run", description=REPORT_HELP, formatter_class=raw)
    report.add_argument("runs", metavar="RUN", nargs="+", help="the run; or, as for compare, its baseline and the run")
    report.add_argument("--task", metavar="T", help="which task, if the runs have several")
    default = Path("report.html")
    report.add_argument("-o", "--output", metavar="FILE", type=Path, default=default, help=f"default: {default}")
    _include(report)

    view = verbs.add_parser("view", help="all runs as pages", description=VIEW_HELP, formatter_class=raw)
    view.add_argument("runs", metavar="RUN", nargs="*", help="names or folders (default: every run and baseline)")
    view.add_argument("--port", metavar="N", type=_port, default=8765, help="0 takes a free one (default: 8765)")
    view.add_argument("--open", action="store_true", help="open the first page in the browser")
    _include(view)

    audit = verbs.add_parser(
        "audit", help="check a published row for whole numbers", description=AUDIT_HELP, formatter_class=raw
    )
    audit.add_argument("categories", metavar="PERCENT", nargs="*", help="General, Hallucination, Reasoning, as printed")
    audit.add_argument("--task", metavar="T", default="vlrewardbench", help="the benchmark (only vlrewardbench so far)")
    audit.add_argument("--overall", metavar="PERCENT", help="overall accuracy, as printed")
    audit.add_argument("--macro", metavar="PERCENT", help="mean of the categories, as printed")
    audit.add_argument("--file", metavar="FILE", type=Path, help="a JSONL file of published rows")
    audit.add_argument("--write", action="store_true", help="keep each verdict in --file")
    score = verbs.add_parser("score", help="read judgments made elsewhere", description=SCORE_HELP, formatter_class=raw)
    score.add_argument("file", metavar="FILE", type=Path, help="the judgments: JSONL or parquet")
    score.add_argument("--task", metavar="T", required=True, help="whose; `harness ls tasks` lists them")
    score.add_argument("--protocol", metavar="P", help="how they are counted (default: told from the file)")
    score.add_argument("--data", metavar="FILE", help="the benchmark they are about (default: the items in the file)")
    score.add_argument("--format", metavar="F", help="official, lmms-eval or plain (default: told from the file)")
    score.add_argument("--name", metavar="NAME", help="of the judge and its run (default: told from the file)")
    score.add_argument("--out", metavar="DIR", type=Path, help="the run's folder (default: results/runs/NAME)")
    _include(score)

    judge = verbs.add_parser(
        "judge", help="a judge's verdicts on your own responses", description=JUDGE_HELP, formatter_class=raw
    )
    judge.add_argument(
        "model", metavar="JUDGE", help="run:NAME[:SEED], judge:NAME, a checkpoint's folder, or OWNER/NAME"
    )
    judge.add_argument("file", metavar="FILE", type=Path, help="what is judged: JSONL or parquet")
    judge.add_argument("-o", "--output", metavar="FILE", type=Path, required=True, help="the verdicts: JSONL")
    judge.add_argument(
        "--as-preferences", metavar="FILE", type=Path, dest="labels", help="also pairs to train with: parquet"
    )
    judge.add_argument("--limit", metavar="N", type=int, help="only the first N rows")
    judge.add_argument("--set", metavar="K=V", action="append", default=[], help="judging.X or engine.X; repeatable")
    judge.add_argument("--resume", action="store_true", help="go on with a file that was begun")
    _limits(judge)
    _include(judge)

    export = verbs.add_parser(
        "export", help="a judge as a folder to share", description=EXPORT_HELP, formatter_class=raw
    )
    export.add_argument("run", metavar="RUN", help="name or folder of a finished run, or run:NAME[:SEED]")
    export.add_argument("folder", metavar="DIR", type=Path, help="where to; an earlier export there is replaced")
    export.add_argument("--seed", metavar="N", type=int, help="which checkpoint of the run (default: the first)")
    export.add_argument("--merge", action="store_true", help="merge a LoRA adapter into its base model")
    export.add_argument(
        "--baseline", metavar="RUN", help="what the card compares with, or `none` (default: told below)"
    )
    export.add_argument("--license", metavar="ID", help="the model's licence, as the hub names it, such as apache-2.0")
    export.add_argument("--push-to-hub", metavar="OWNER/NAME", dest="repo", help="send it there, once you said yes")
    export.add_argument("--public", action="store_true", help="let everybody see it there (default: private)")
    export.add_argument("--yes", action="store_true", help="do not ask before it is sent")
    _include(export)

    serve = verbs.add_parser("serve", help="a judge at an address", description=SERVE_HELP, formatter_class=raw)
    serve.add_argument("model", metavar="JUDGE", help="run:NAME[:SEED], a checkpoint's folder, or OWNER/NAME")
    serve.add_argument("--engine", choices=("transformers", "vllm", "ray"), help="who answers (default: transformers)")
    serve.add_argument("--host", metavar="HOST", default="127.0.0.1", help="address to listen at (default: 127.0.0.1)")
    serve.add_argument("--port", metavar="PORT", type=_port, default=8000, help="0 for a free one (default: 8000)")
    serve.add_argument("--token", metavar="VARIABLE", help="the environment variable that holds the token to be shown")
    serve.add_argument("--set", metavar="K=V", action="append", default=[], help="judging.X or engine.X; repeatable")

    board = verbs.add_parser(
        "leaderboard", help="tables of finished runs", description=LEADERBOARD_HELP, formatter_class=raw
    )
    board.add_argument("runs", metavar="RUN", nargs="*", help="names or folders (default: every finished run)")
    board.add_argument("--task", metavar="T", help="a task or a group (default: every task of the runs)")
    board.add_argument("--published", action="store_true", help="add what others printed, set apart, never ranked")
    _output(board)
    _include(board)

    overlap = verbs.add_parser(
        "contamination",
        help="training pairs that a benchmark holds",
        description=CONTAMINATION_HELP,
        formatter_class=raw,
    )
    overlap.add_argument("preferences", metavar="PREFERENCES", help="training pairs, as `harness run` takes them")
    overlap.add_argument("tasks", metavar="TASKS", help="benchmarks; `harness ls tasks` lists them")
    overlap.add_argument("--data", metavar="FILE", help="the benchmark, as `harness run` takes it; or TASK=...,...")
    overlap.add_argument("--map", metavar="F=C,...", help="columns of PREFERENCES, such as question=prompt")
    overlap.add_argument("--fail", action="store_true", help="exit with 1 where a pair is found")
    overlap.add_argument("--set", metavar="A.B=C", action="append", default=[], help="such as world.seed=1; repeatable")
    _output(overlap)
    _include(overlap)
    return parser


def _count(text: str) -> int:
    """Read a number of at least 1."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number above 0")
    return int(text)


def _port(text: str) -> int:
    """Read the number of a port; 0 is any that is free."""
    if not text.isdecimal() or int(text) > 65535:
        raise argparse.ArgumentTypeError(f"{text!r} is no port; write a number up to 65535")
    return int(text)


def _more_than_nothing(text: str) -> float:
    """Read a number above 0."""
    if not 0 < (value := _number(text)) < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r} is no number above 0")
    return value


def _days(text: str) -> float:
    """Read a number of days, 0 or more."""
    if not 0 <= (days := _number(text)) < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r} is no number of days; write 30")
    return days


def _gib(text: str) -> float:
    """Read an amount of memory, above 0."""
    if not 0 < (gib := _number(text)) < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r} is no amount of memory; write GiB, such as 24")
    return gib


def _gpus(text: str) -> float:
    """Read a number of GPUs, or a share of one."""
    if not 0 <= (gpus := _number(text)) < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r} is no number of GPUs; write 1, or 0.5 for half of one")
    return gpus


def _share(text: str) -> float:
    """Read a level, above 0 and below 1."""
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no level between 0 and 1, such as 0.95")
    return value


def _limits(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("where this call stops, keeping what is done (exit code 4; --resume goes on)")
    group.add_argument("--max-minutes", metavar="N", type=_more_than_nothing, help="after N minutes")
    group.add_argument("--max-requests", metavar="N", type=_count, help="after N requests to models")
    group.add_argument("--max-cost", metavar="X", type=_more_than_nothing, help="once X is spent, by a server's prices")


def _level(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--level", metavar="L", type=_share, default=0.95, help="of the intervals (default: 0.95)")


def _output(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--format", choices=FORMATS, default="rich", help="default: a terminal's, or told from -o")
    parser.add_argument("-o", "--output", metavar="FILE", type=Path, help="write there instead of printing")


def _margin(text: str) -> float:
    if not 0 <= (margin := _number(text)) < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r} is no margin; write 0 or more, such as 0.02")
    return margin


def _alpha(text: str) -> float:
    if not 0 < (alpha := _number(text)) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not between 0 and 1; write 0.05 for a 95 % interval")
    return alpha


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return float("nan")


def _include(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--include-path",
        metavar="DIR",
        type=Path,
        action="append",
        default=[],
        help="a folder of your own with tasks/, recipes/, preferences/ or judges/; repeatable",
    )
