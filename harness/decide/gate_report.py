"""A ruling for machines and for people who read it in a browser: JUnit, a Markdown step summary, JSON.

**JUnit**: a suite with a test case a metric. The deciding one is a `failure` with exit code 1 and an `error`
with 2, 3 and 4: a test that came to no result, which CI systems show as not passed, as the exit code does.
The others are `skipped`: reported, not gated.

**JSON**, schema `harness-gate/1`: its fields are in docs/json.md.
"""

import math
from dataclasses import replace
from xml.etree import ElementTree as Xml

from harness.comparing.comparison import Difference, format_p
from harness.comparing.fields import metric_fields, side, strict, task_fields
from harness.comparing.findings import differences, remarks, signed
from harness.decide.gate import Ruling
from harness.errors import ExitCode
from harness.sheets.formats import to_md
from harness.sheets.sheet import Sheet
from harness.texts import harmless

SCHEMA = "harness-gate/1"


def reports(ruling: Ruling) -> dict[str, str]:
    """Write every report, by the name of its option."""
    return {"junit": junit(ruling), "markdown": markdown(ruling), "json": as_json(ruling)}


def junit(ruling: Ruling) -> str:
    """Write the ruling as a JUnit suite."""
    suite = Xml.Element("testsuite", name=f"harness gate {harmless(_title(ruling))}".strip())
    if ruling.comparison is None or ruling.decisive is None:
        case = Xml.SubElement(suite, "testcase", classname="harness gate", name=ruling.terms.metric or "comparison")
        _outcome(case, ruling)
    else:
        comparison, decisive = ruling.comparison, ruling.decisive
        for difference in (decisive, *(d for d in comparison.differences if d is not decisive)):
            case = Xml.SubElement(suite, "testcase", name=harmless(difference.metric.name), time="0")
            case.set("classname", harmless(comparison.candidate.task.task))
            if difference is decisive:
                _outcome(case, ruling)
            else:
                Xml.SubElement(case, "skipped", message=f"reported, not gated: {_told(difference)}")
    for name, tag in (("tests", "testcase"), ("failures", "failure"), ("errors", "error"), ("skipped", "skipped")):
        suite.set(name, str(len(list(suite.iter(tag)))))
    suite.set("time", "0")
    suites = Xml.Element("testsuites")
    suites.append(suite)
    Xml.indent(suites)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + Xml.tostring(suites, encoding="unicode") + "\n"


def _outcome(case: Xml.Element, ruling: Ruling) -> None:
    lines = [harmless(line) for line in ruling.lines]
    if ruling.code is ExitCode.OK:
        Xml.SubElement(case, "system-out").text = "\n".join(lines)
    else:
        tag = "failure" if ruling.code is ExitCode.REGRESSION else "error"
        Xml.SubElement(case, tag, message=lines[0], type=ruling.verdict).text = "\n".join(lines)


def _told(difference: Difference) -> str:
    got, metric = difference.estimate, difference.metric
    if math.isnan(got.low):
        return f"{signed(metric, got.value)}, interval not estimable"
    return f"{signed(metric, got.value, got.low, got.high)}, p {format_p(got.p)}"


def markdown(ruling: Ruling) -> str:
    """Write the ruling as the summary of a CI step: the verdict, a table of all metrics, why, and its limits."""
    verdict, *others = ruling.lines
    if ruling.comparison is None:
        return to_md([Sheet(verdict, (), (), tuple(others))])
    table = differences(ruling.comparison, every_slice=True)
    title = f"{ruling.verdict.upper()}: {ruling.comparison.called}"
    return to_md([replace(table, title=title, notes=(verdict, *others, *remarks(ruling.comparison)))])


def as_json(ruling: Ruling) -> str:
    """Write the ruling in the schema above."""
    terms, comparison = ruling.terms, ruling.comparison
    record: dict[str, object] = {
        "schema": SCHEMA,
        "verdict": ruling.verdict,
        "exit_code": ruling.code,
        "why": ruling.lines,
        "terms": {
            "require": "improvement" if terms.improvement else "not-worse",
            "margin": terms.margin,
            "alpha": terms.alpha,
            "metric": terms.metric,
        },
        "task": None,
        "baseline": None,
        "candidate": None,
        "decisive": None,
        "metrics": [],
    }
    if comparison is not None and ruling.decisive is not None:
        record |= {
            "task": {
                **task_fields(comparison.candidate),
                "items": comparison.items,
                "unmatched": comparison.unmatched,
            },
            "baseline": side(comparison.baseline, comparison.names[0]),
            "candidate": side(comparison.candidate, comparison.names[1]),
            "decisive": ruling.decisive.metric.name,
            "metrics": [metric_fields(comparison, difference) for difference in comparison.differences],
        }
    return strict(record)


def _title(ruling: Ruling) -> str:
    if ruling.comparison is None:
        return ""
    task = ruling.comparison.candidate.task
    return f"{task.task}, {task.protocol}{', synthetic' if task.synthetic else ''}"
