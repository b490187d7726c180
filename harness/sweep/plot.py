"""The plot of a sweep: the metric over a setting where the file names one, else each cell's difference."""

import re
from collections.abc import Sequence
from pathlib import Path
from xml.etree import ElementTree

from markupsafe import Markup

from harness.comparing.findings import difference_text
from harness.counting.metrics import primary
from harness.show.report import charts
from harness.show.report.model import Bands, Intervals, Knot, Line, Mark
from harness.sweep.file import Sweep
from harness.sweep.table import Row

STYLE = (Path(__file__).parent / "plot.css").read_text(encoding="utf-8")
EDGE = 12
"""Room around a drawing."""


def written_out(style: str) -> str:
    """Write a style in its light colours, for viewers and typesetters that know no custom properties."""
    light, _, rest = style.partition("@media")
    plain = light.partition("{")[0] + "{ display: block; }" + rest.partition("}\n}")[2]
    colours = dict(re.findall(r"--(\w+): (#[0-9a-f]{6})", light))
    plain = re.sub(r"var\(--(\w+)\)", lambda name: colours.get(name[1], name[0]), plain)
    lines = [(name, colour) for name, colour in colours.items() if name.startswith("line")]
    for rule in re.findall(r"^\.plot \.\w+ \{[^}]*var\(--line\)[^}]*\}$", plain, re.MULTILINE):
        each = (rule.replace("var(--line)", colour).replace(" {", f".{name} {{", 1) for name, colour in lines)
        plain = plain.replace(rule, "\n".join(each))
    return re.sub(r"--line: #[0-9a-f]{6};? ?", "", plain)


def plot(name: str, sweep: Sweep, rows: Sequence[Row]) -> Markup | None:
    """Draw finished cells; None where nothing is there to be drawn.

    Args:
        name: of the drawing, its own on the page.
        sweep: whose.
        rows: of one task.
    """
    if sweep.file.plot:
        return _framed(charts.bands(name, _curves(sweep, rows)))
    if any(row.comparison for row in rows):
        drawn = _differences(sweep, rows)
        return _framed(charts.intervals(name, drawn), drawn.about)
    return None


def alone(drawing: Markup) -> str:
    """Make a drawing a file of its own, with its style inside."""
    svg = ElementTree.fromstring(drawing)  # noqa: S314  (our own)
    svg.set("xmlns", "http://www.w3.org/2000/svg")
    style = ElementTree.Element("style")
    style.text = written_out(STYLE)
    svg.insert(0, style)
    return ElementTree.tostring(svg, encoding="unicode") + "\n"


def _framed(drawing: Markup, about: str = "") -> Markup:
    """Put a drawing on a ground of its own, with its title above, so that it can be read on any page."""
    svg = ElementTree.fromstring(drawing)  # noqa: S314  (our own)
    _, _, width, height = map(int, svg.attrib["viewBox"].split())
    left, top, wide, high = -EDGE, -EDGE - 20, width + 2 * EDGE, height + 2 * EDGE + 20
    svg.set("viewBox", f"{left} {top} {wide} {high}")
    svg.set("class", "plot")
    place = {"x": str(left), "y": str(top), "width": str(wide), "height": str(high)}
    svg.insert(2, ElementTree.Element("rect", {"class": "paper", **place}))
    for told, style, y in ((svg[0].text, "strong", top + 20), (about, "tick", 8)):
        line = ElementTree.Element("text", {"class": style, "x": "8", "y": str(y)})
        line.text = told
        svg.insert(3, line)
    # the serialiser escapes every text and attribute
    return Markup(ElementTree.tostring(svg, encoding="unicode"))  # noqa: S704


def _title(sweep: Sweep, rows: Sequence[Row]) -> str:
    task = rows[0].result.task
    return f"{sweep.name} · {task.task}, {task.items:,} {'synthetic ' if task.synthetic else ''}items"


def _curves(sweep: Sweep, rows: Sequence[Row]) -> Bands:
    assert sweep.file.plot
    axis = sweep.file.plot
    metric = primary(rows[0].result.kind)
    scale = 100 if metric.percent else 1
    curves: dict[str, list[Knot]] = {}
    for row in sorted(rows, key=lambda row: float(row.cell.chosen[axis.x])):
        found = row.result.estimate(metric)
        knot = Knot(float(row.cell.chosen[axis.x]), *(scale * v for v in (found.value, found.low, found.high)))
        curves.setdefault(sweep.curve(row.cell), []).append(knot)
    order = dict.fromkeys(sweep.curve(row.cell) for row in rows)
    return Bands(
        _title(sweep, rows),
        f"{metric.unit} with 95 % intervals.",
        {name: curves[name] for name in order},
        axis.xlabel or axis.x,
        f"{metric.unit}, {'%, ' if metric.percent else ''}with 95 % intervals",
    )


def _differences(sweep: Sweep, rows: Sequence[Row]) -> Intervals:
    first = primary(rows[0].result.kind)
    scale = 100 if first.percent else 1
    compared = [(row.cell, row.comparison.headline[0]) for row in rows if row.comparison]
    references = {cell.reference for cell, _ in compared}
    # a setting that all are named by is named once too often
    keys = {cell.label.partition("=")[0] for cell, _ in compared if "=" in cell.label.partition(":")[0]}
    named = f"{next(iter(keys))}=" if len(keys) == 1 and len(compared) > 1 else ""
    lines = []
    for cell, difference in compared:
        value, low, high = (scale * v for v in (difference.estimate[0], *difference.estimate[3:5]))
        mark = Mark("candidate", value, low, high, difference_text(difference))
        lines.append(Line(cell.label.removeprefix(named), False, [mark]))
    which = f"“{references.pop()}”" if len(references) == 1 else "each cell's reference"
    return Intervals(
        _title(sweep, rows),
        f"{first.unit} minus that of {which}, with 95 % intervals.",
        lines,
        0,
        "no difference",
        "points" if first.percent else first.unit,
    )
