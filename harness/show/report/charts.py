"""The drawings of a report: SVG that needs no style of its own, with a title and a description each.

All are drawn 400 wide and scale with the page; the text in them stays readable on a phone.
Candidate and baseline differ in shape and dash, not in colour alone.
"""

import math
from collections.abc import Callable, Sequence
from xml.etree import ElementTree

from markupsafe import Markup

from harness.show.report.model import Apart, Bands, Curves, Intervals, Knot, Reliability, Scored
from harness.texts import harmless

Element = ElementTree.Element
Scale = Callable[[float], float]

WIDTH = 400
LEFT, RIGHT = 8, 392


def _tag(name: str, parent: Element | None = None, text: str | None = None, **attributes: float | str) -> Element:
    """Make an element; `class_` and `text_anchor` lose their underscores."""
    given = {
        key.rstrip("_").replace("_", "-"): f"{value:.2f}".rstrip("0").rstrip(".") if isinstance(value, float) else value
        for key, value in attributes.items()
    }
    element = Element(name, {key: harmless(str(value)) for key, value in given.items()})
    element.text = None if text is None else harmless(text)
    if parent is not None:
        parent.append(element)
    return element


def _drawing(name: str, title: str, about: str, height: float) -> Element:
    """Begin a drawing; `name` is its own on the page."""
    svg = _tag(
        "svg",
        viewBox=f"0 0 {WIDTH} {height:.0f}",
        role="img",
        aria_labelledby=f"{name}-title",
        aria_describedby=f"{name}-desc",
    )
    _tag("title", svg, title, id=f"{name}-title")
    _tag("desc", svg, about, id=f"{name}-desc")
    return svg


def _markup(svg: Element) -> Markup:
    # the serialiser escapes every text and attribute
    return Markup(ElementTree.tostring(svg, encoding="unicode"))  # noqa: S704


def _linear(low: float, high: float, start: float, end: float) -> Scale:
    return lambda value: start + (value - low) / ((high - low) or 1) * (end - start)


def ticks(low: float, high: float, about: int = 5) -> list[float]:
    """Return round numbers within [low, high], about so many."""
    span = high - low
    if not math.isfinite(span) or span <= 0:
        return [low]
    power = 10 ** math.floor(math.log10(span / about))
    step = next(m * power for m in (1, 2, 5, 10) if span / (m * power) <= about)
    return [k * step for k in range(math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9) + 1)]


def _number(value: float) -> str:
    return f"{value:.4g}".replace("-", "−")


def intervals(name: str, drawn: Intervals) -> Markup:
    """Draw a line a metric or slice: its name, its figures, and each side's interval."""
    two = any(len(line.marks) > 1 for line in drawn.lines)
    step = 44 if two else 36
    breaks = sum(a.headline and not b.headline for a, b in zip(drawn.lines, drawn.lines[1:], strict=False))
    named = drawn.reference is not None
    head = 24 if named else 6
    height = head + step * len(drawn.lines) + 14 * breaks + 34
    about = "; ".join(
        f"{line.name}: {', '.join(f'{mark.role} {mark.shown}' if two else mark.shown for mark in line.marks)}"
        for line in drawn.lines
    )
    svg = _drawing(name, drawn.title, f"{drawn.about} {about}", height)
    ends = [x for line in drawn.lines for mark in line.marks for x in mark[1:4]]
    ends = [x for x in (*ends, *([] if drawn.reference is None else [drawn.reference])) if math.isfinite(x)] or [0, 1]
    margin = 0.06 * (max(ends) - min(ends)) or 1
    low, high = min(ends) - margin, max(ends) + margin
    # beside the names, as far as they are short
    x = _linear(low, high, min(112, LEFT + 8 + 7 * max(len(line.name) for line in drawn.lines)), RIGHT)
    bottom = height - 30
    for tick in ticks(low, high):
        _tag("line", svg, x1=x(tick), x2=x(tick), y1=head, y2=bottom, class_="grid")
        _tag("text", svg, _number(tick), x=x(tick), y=bottom + 15, text_anchor="middle", class_="tick")
    _tag("text", svg, drawn.unit, x=RIGHT, y=bottom + 28, text_anchor="end", class_="tick")
    if drawn.reference is not None:
        at = x(drawn.reference)
        anchor = "start" if at < WIDTH / 4 else "end" if at > WIDTH * 3 / 4 else "middle"
        _tag("line", svg, x1=at, x2=at, y1=head - 4, y2=bottom, class_="reference")
        _tag("text", svg, drawn.reference_name, x=at, y=14, text_anchor=anchor, class_="tick strong")
    top, was_headline = float(head), True
    for line in drawn.lines:
        if was_headline and not line.headline:
            top += 14
        was_headline = line.headline
        beside = sum(len(mark.shown) + 2 for mark in line.marks)
        shown_name = _shortened(line.name, max(24, 56 - beside))
        _tag("text", svg, shown_name, x=LEFT, y=top + 12, class_="name strong" if line.headline else "name")
        shown = _tag("text", svg, x=RIGHT, y=top + 12, text_anchor="end", class_="figure")
        for place, mark in enumerate(line.marks):
            if place:
                # the last piece has no room of its own
                _tag("tspan", shown, "\N{MIDDLE DOT}", dx=5, class_="quiet")
            _tag("tspan", shown, mark.shown, dx=5 if place else 0, class_=mark.role)
            _interval(svg, x, mark.value, mark.low, mark.high, top + 22 + 9 * place, mark.role)
        top += step
    return _markup(svg)


def _shortened(name: str, room: int) -> str:
    """Leave out the middle of a name that is too long: what sets names apart stands at their ends."""
    if len(name) <= room:
        return name
    return f"{name[: room // 2].rstrip()}…{name[-(room - room // 2 - 1) :].lstrip()}"


def _interval(svg: Element, x: Scale, value: float, low: float, high: float, y: float, role: str) -> None:
    if math.isfinite(low) and math.isfinite(high):
        _tag("line", svg, x1=x(low), x2=x(high), y1=y, y2=y, class_=f"interval {role}")
        for end in (low, high):
            _tag("line", svg, x1=x(end), x2=x(end), y1=y - 3, y2=y + 3, class_=f"interval {role}")
    if math.isfinite(value):
        _point(svg, x(value), y, role)


def _point(svg: Element, x: float, y: float, role: str) -> None:
    if role == "candidate":
        _tag("circle", svg, cx=x, cy=y, r=4, class_="point candidate")
    else:
        _tag("rect", svg, x=x - 3.5, y=y - 3.5, width=7, height=7, class_="point baseline")


def reliability(name: str, found: Sequence[Reliability]) -> Markup:
    """Draw how often verdicts of about the same P are right, over the diagonal on which they ought to lie."""
    told = "; ".join(f"{r.name}: expected calibration error {100 * r.error:.1f} points" for r in found)
    svg = _drawing(name, "Share of right verdicts by P(verdict)", told, 396)
    bins = [b for one in found for b in one.bins]
    # only where there are judgments: a verdict mostly has a P above one half
    left = min(9, *(math.floor(10 * b.stated) for b in bins)) / 10
    low = min(left, *(math.floor(10 * min(b.right, b.low if math.isfinite(b.low) else b.right)) / 10 for b in bins))
    x, y = _linear(left, 1, 44, RIGHT - 14), _linear(low, 1, 290, 14)
    for tick in ticks(low, 1):
        _tag("line", svg, x1=x(left), x2=x(1), y1=y(tick), y2=y(tick), class_="grid")
        _tag("text", svg, f"{100 * tick:.0f} %", x=x(left) - 5, y=y(tick) + 4, text_anchor="end", class_="tick")
    for tick in ticks(left, 1):
        _tag("line", svg, x1=x(tick), x2=x(tick), y1=y(low), y2=y(1), class_="grid")
        _tag("text", svg, _number(tick), x=x(tick), y=306, text_anchor="middle", class_="tick")
    _tag("line", svg, x1=x(left), x2=x(1), y1=y(left), y2=y(1), class_="reference")
    _tag("text", svg, "P(verdict)", x=x(1), y=322, text_anchor="end", class_="tick")
    shares = {one.role: sum(b.judgments for b in one.bins) for one in found}
    most = max(b.judgments / shares[one.role] for one in found for b in one.bins)
    width = (x(1) - x(left)) / (20 * (1 - left)) / len(found)
    for place, one in enumerate(found):
        shift = (place - (len(found) - 1) / 2) * 5
        for b in one.bins:
            at = x(b.stated) + shift
            if math.isfinite(b.low):
                _tag("line", svg, x1=at, x2=at, y1=y(b.low), y2=y(b.high), class_=f"interval {one.role}")
            _point(svg, at, y(b.right), one.role)
            start = x(min(int(b.stated * 20), 19) / 20) + place * width
            share = b.judgments / shares[one.role]
            tall = max(1.0, 40 * share / most)
            _tag("rect", svg, x=start, y=386 - tall, width=max(1.0, width - 1), height=tall, class_=f"bar {one.role}")
    _tag("line", svg, x1=x(left), x2=x(1), y1=386, y2=386, class_="axis")
    told = f"share of a judge's judgments; the highest bar: {100 * most:.0f} %"
    _tag("text", svg, told, x=x(left), y=338, class_="tick")
    return _markup(svg)


def curves(name: str, found: Curves) -> Markup:
    """Draw a figure over an axis, such as the updates of each training; logarithmic where it spans decades."""
    values = [v for curve in found.curves for v in curve.values if math.isfinite(v)]
    logarithmic = min(values) > 0 and max(values) / min(values) > 30
    scaled = math.log10 if logarithmic else float
    said = f"{len(found.curves)} trainings, over {max(curve.steps[-1] for curve in found.curves):.0f} updates"
    svg = _drawing(name, found.title, found.about or f"{said}{', logarithmic' if logarithmic else ''}.", 230)
    low, high = scaled(min(values)), scaled(max(values))
    low, high = (low - 0.5, high + 0.5) if low == high else (low, high)
    steps = max(max(curve.steps) for curve in found.curves)
    x, y = _linear(0, steps, 46, RIGHT - 4), _linear(low, high, 190, 10)
    marks = [10.0**p for p in range(math.ceil(low), math.floor(high) + 1)] if logarithmic else ticks(low, high)
    for tick in marks:
        _tag("line", svg, x1=x(0), x2=x(steps), y1=y(scaled(tick)), y2=y(scaled(tick)), class_="grid")
        _tag("text", svg, _number(tick), x=x(0) - 5, y=y(scaled(tick)) + 4, text_anchor="end", class_="tick")
    for tick in ticks(0, steps):
        _tag("text", svg, _number(tick), x=x(tick), y=206, text_anchor="middle", class_="tick")
    _tag("text", svg, found.axis, x=x(steps), y=222, text_anchor="end", class_="tick")

    def line(steps: Sequence[float], values: Sequence[float], kind: str) -> None:
        places = [(step, v) for step, v in zip(steps, values, strict=True) if math.isfinite(v)]
        if len(places) <= FEW:
            for step, value in places:
                _tag("circle", svg, cx=x(step), cy=y(scaled(value)), r=2.5, class_=f"dot {kind}")
        _tag("polyline", svg, points=" ".join(f"{x(s):.1f},{y(scaled(v)):.1f}" for s, v in places), class_=kind)

    for role in ("baseline", "candidate"):
        seeds = [curve for curve in found.curves if curve.role == role]
        for curve in seeds:
            line(curve.steps, curve.values, f"curve {role}")
        if seeds:
            # trainings of one recipe may differ by an update or two; their mean ends with the shortest
            shared = min((curve.steps for curve in seeds), key=len)
            mean = [sum(column) / len(seeds) for column in zip(*(c.values for c in seeds), strict=False)]
            line(shared, smoothed(mean, _reach(found)), f"curve mean {role}")
    return _markup(svg)


FEW = 15
"""Values that are drawn as points, since a line alone would look like a trend."""


def _reach(found: Curves) -> int:
    """Say over how many values to each side a course is smoothed; 0 where they are few."""
    longest = max(len(curve.values) for curve in found.curves)
    return 0 if not found.smooth or longest <= FEW else max(2, longest // 30)


def smoothed(values: Sequence[float], reach: int) -> list[float]:
    """Return the means over `reach` values to each side, and over fewer, but as many, near the ends."""
    means = []
    for i in range(len(values)):
        near = min(reach, i, len(values) - 1 - i)
        around = values[i - near : i + near + 1]
        means.append(sum(around) / len(around))
    return means


def how_drawn(found: Curves) -> str:
    """Say in words what the lines are."""
    reach, several = _reach(found), len({curve.seed for curve in found.curves}) > 1
    bold = "the mean over seeds" if several else "the same" if reach else ""
    bold += f", smoothed over {2 * reach + 1} updates" if reach else ""
    pale = "one line for each seed" if several else "what was recorded"
    return f"Pale: {pale}. Bold: {bold}." if bold else "Each point is an update."


def apart(row: Apart, rows: Sequence[Apart]) -> Markup:
    """Draw the shares of items that only one judge has right: the baseline's to the left, the candidate's right."""
    most = max(max(one.candidate, one.baseline) / one.items for one in rows) or 1
    svg = _tag("svg", viewBox="0 0 200 14", class_="inline", aria_hidden="true", preserveAspectRatio="none")
    for role, count, side in (("baseline", row.baseline, -1), ("candidate", row.candidate, 1)):
        wide = 98 * count / row.items / most
        _tag("rect", svg, x=min(100, 100 + side * wide), y=1, width=wide, height=12, class_=f"bar {role}")
    _tag("line", svg, x1=100, x2=100, y1=0, y2=14, class_="middle")
    return _markup(svg)


def histogram(name: str, found: Scored) -> Markup:
    """Draw how the scores of sampled judgments spread, stacked by what their verdict is for."""
    bins = max(map(len, found.counts.values()))
    columns = [[counts[i] for counts in found.counts.values()] for i in range(bins)]
    most = max(1, *(sum(column) for column in columns))
    told = "; ".join(f"{verdict}: {sum(counts):,}" for verdict, counts in found.counts.items())
    svg = _drawing(name, f"Scores of {found.judgments:,} sampled judgments", told, 210)
    x, y = _linear(0, 1, 46, RIGHT - 4), _linear(0, most, 172, 10)
    for tick in ticks(0, most, 4):
        _tag("line", svg, x1=x(0), x2=x(1), y1=y(tick), y2=y(tick), class_="grid")
        _tag("text", svg, f"{tick:,.0f}", x=x(0) - 5, y=y(tick) + 4, text_anchor="end", class_="tick")
    for i, column in enumerate(columns):
        base = 0.0
        for part, number in enumerate(column):
            if number:
                top, end = y(base + number), y(base)
                _tag(
                    "rect", svg, x=x(i / bins) + 0.5, y=top, width=x(1 / bins) - x(0) - 1, height=end - top,
                    class_=f"part{part}",
                )  # fmt: skip
            base += number
    for tick in (0, 0.25, 0.5, 0.75, 1):
        _tag("text", svg, _number(tick), x=x(tick), y=188, text_anchor="middle", class_="tick")
    _tag("text", svg, "score", x=x(1), y=204, text_anchor="end", class_="tick")
    return _markup(svg)


def bar(share: float) -> Markup:
    """Draw a share of the widest as a bar in a table."""
    svg = _tag("svg", viewBox="0 0 100 8", class_="inline", aria_hidden="true", preserveAspectRatio="none")
    _tag("rect", svg, x=0, y=0, width=max(0.5, 100 * share), height=8, class_="bar candidate")
    return _markup(svg)


LINES = 6
"""Curves that a style tells apart; a seventh looks like the first."""


def bands(name: str, drawn: Bands) -> Markup:
    """Draw curves over a setting, each within the band of its intervals; a legend below names them."""
    knots = [knot for curve in drawn.curves.values() for knot in curve]
    told = "; ".join(
        f"{curve}: {', '.join(f'{_number(knot.value)} at {_number(knot.x)}' for knot in of)}"
        for curve, of in drawn.curves.items()
    )
    svg = _drawing(name, drawn.title, f"{drawn.about} {told}", 276 + 18 * len(drawn.curves))
    ends = [value for knot in knots for value in knot[1:] if math.isfinite(value)] or [0, 1]
    margin = 0.06 * (max(ends) - min(ends)) or 1
    left, right = min(knot.x for knot in knots), max(knot.x for knot in knots)
    left, right = (left - 0.5, right + 0.5) if left == right else (left, right)
    low, high = min(ends) - margin, max(ends) + margin
    x, y = _linear(left, right, 46, RIGHT - 10), _linear(low, high, 222, 24)
    _tag("text", svg, drawn.unit, x=LEFT, y=12, class_="tick")
    for tick in ticks(low, high):
        _tag("line", svg, x1=x(left), x2=x(right), y1=y(tick), y2=y(tick), class_="grid")
        _tag("text", svg, _number(tick), x=x(left) - 8, y=y(tick) + 4, text_anchor="end", class_="tick")
    for tick in ticks(left, right):
        _tag("text", svg, _number(tick), x=x(tick), y=240, text_anchor="middle", class_="tick")
    _tag("text", svg, drawn.xlabel, x=(x(left) + x(right)) / 2, y=258, text_anchor="middle", class_="tick")
    for place, (curve, of) in enumerate(drawn.curves.items()):
        style, key = f"line{place % LINES}", 278 + 18 * place
        _band(svg, x, y, [knot for knot in of if math.isfinite(knot.value)], style)
        for knot in of:
            if math.isfinite(knot.value):
                _mark(svg, place, x(knot.x), y(knot.value), style)
        _tag("line", svg, x1=x(left), x2=x(left) + 26, y1=key - 4, y2=key - 4, class_=f"curve {style}")
        _mark(svg, place, x(left) + 13, key - 4, style)
        _tag("text", svg, curve if len(curve) <= 48 else f"{curve[:47]}…", x=x(left) + 34, y=key, class_="name")
    return _markup(svg)


def _band(svg: Element, x: Scale, y: Scale, knots: Sequence[Knot], style: str) -> None:
    """Draw one curve, and behind it what its intervals enclose."""
    inside = [knot for knot in knots if math.isfinite(knot.low) and math.isfinite(knot.high)]
    edge = [(knot.x, knot.high) for knot in inside] + [(knot.x, knot.low) for knot in reversed(inside)]
    if len(inside) == 1:
        # a band of one point is a line
        (at, top), (_, bottom) = edge
        _tag("line", svg, x1=x(at), x2=x(at), y1=y(top), y2=y(bottom), class_=f"curve {style}")
    _tag("polygon", svg, points=" ".join(f"{x(a):.1f},{y(b):.1f}" for a, b in edge), class_=f"band {style}")
    line = " ".join(f"{x(knot.x):.1f},{y(knot.value):.1f}" for knot in knots)
    _tag("polyline", svg, points=line, class_=f"curve {style}")


def _mark(svg: Element, place: int, x: float, y: float, style: str) -> None:
    """Mark a point: curves differ in shape too, not in colour alone."""
    shapes = ("", "M-4-4h8v8h-8Z", "M0-5L5 4H-5Z", "M0-5L5 0L0 5L-5 0Z", "M-5-4H5L0 5Z", "M-4-4L4 4M4-4L-4 4")
    if shape := shapes[place % LINES]:
        _tag("path", svg, d=shape, transform=f"translate({x:.1f} {y:.1f})", class_=f"mark {style}")
    else:
        _tag("circle", svg, cx=x, cy=y, r=4, class_=f"mark {style}")
