"""Lanes and lane sections from <lanes>."""

from __future__ import annotations

from proveout.assets.opendrive.cubics import Cubics
from proveout.assets.opendrive.elements import LANE_TYPES, Lane, LaneSection, RoadMark, Stripe
from proveout.assets.opendrive.reader import Element, Reader

_SIDES = ("left", "center", "right")
_SPEED_UNITS = {"m/s": 1.0, "km/h": 1.0 / 3.6, "mph": 0.44704}
_MARKS = (
    "none", "solid", "broken", "solid solid", "solid broken", "broken solid", "broken broken",
    "botts dots", "grass", "curb", "custom", "edge",
)  # fmt: skip
_LANE_CHANGES = ("both", "increase", "decrease", "none")
# Widths of marks without one [m]: standard and bold, as of German roads (RMS 1993, 2.1).
_MARK_WIDTHS = {"standard": 0.12, "bold": 0.25}


def read_sections(reader: Reader, road: Element, length: float) -> tuple[LaneSection, ...]:
    """Read the lane sections of a road, each up to the start of the next.

    Raises:
        ModelError: There is none, two begin at one place, or a lane is there twice.
    """
    lanes = reader.required(road, "lanes")
    elements = reader.all(lanes, "laneSection")
    if not elements:
        raise reader.error(lanes, "has no <laneSection>; add one.")
    starts = [reader.number(element, "s", low=0.0) for element in elements]
    for element, before, start in zip(elements[1:], starts, starts[1:], strict=False):
        if start <= before:
            raise reader.error(element, "begins before the one above it; put them in order of s.")
    if starts[0] > 1e-6:
        reader.warn(elements[0], "is the first and does not begin at s = 0; it is read as if")
        starts[0] = 0.0
    sections = []
    for element, start, end in zip(elements, starts, [*starts[1:], length], strict=True):
        if start >= length:
            reader.warn(element, f"begins past the end of its road at {length:.6g} m; left out")
            continue
        sections.append(_section(reader, element, start, min(end, length)))
    return tuple(sections)


def cubics(
    reader: Reader, parent: Element | None, name: str, start: str, low: float = 0.0
) -> Cubics:
    """All records of a name: `start`, a, b, c, d."""
    return Cubics.of(
        [
            [reader.number(e, start, low=low), *(reader.number(e, k, 0.0) for k in "abcd")]
            for e in reader.all(parent, name)
        ]
    )


def speed(reader: Reader, element: Element) -> float | None:
    """The limit of a <speed> [m/s], None for none."""
    text = reader.text(element, "max")
    if text in ("no limit", "undefined"):
        return None
    unit = reader.word(element, "unit", tuple(_SPEED_UNITS), "m/s")
    limit = reader.number(element, "max", low=0.0) * _SPEED_UNITS[unit]
    if limit == 0.0:
        reader.warn(element, "is a speed limit of 0, read as none")
        return None
    return limit


def _section(reader: Reader, element: Element, start: float, end: float) -> LaneSection:
    found: dict[int, Lane] = {}
    for side in _SIDES:
        for lane_element in reader.all(reader.one(element, side), "lane"):
            lane = _lane(reader, lane_element)
            if lane.id in found:
                raise reader.error(lane_element, "is there twice in its section; number it anew.")
            if (lane.id > 0) - (lane.id < 0) != {"left": 1, "center": 0, "right": -1}[side]:
                raise reader.error(lane_element, f"is in <{side}>, where such a number is not.")
            found[lane.id] = lane
    for sign in (1, -1):
        numbers = sorted(sign * number for number in found if sign * number > 0)
        if numbers and numbers != list(range(1, len(numbers) + 1)):
            reader.warn(element, f"has lanes {[sign * k for k in numbers]}, not one after another")
    ordered = {number: found[number] for number in sorted(found, reverse=True)}
    return LaneSection(start, end, ordered, element.sourceline or 0)


def _lane(reader: Reader, element: Element) -> Lane:
    number = reader.integer(element, "id")
    kind = reader.text(element, "type", "none")
    if kind not in LANE_TYPES:
        reader.warn(element, f"has the unknown type {kind!r}; nobody drives there")
    link = reader.one(element, "link")
    widths = cubics(reader, element, "width", "sOffset") if number else None
    borders = cubics(reader, element, "border", "sOffset") if number else None
    if widths is not None and len(widths.start) == 0:
        widths = None
    if borders is not None and (len(borders.start) == 0 or widths is not None):
        if len(borders.start):
            reader.warn(element, "has widths and borders; the widths count")
        borders = None
    if number and widths is None and borders is None:
        reader.warn(element, "has neither <width> nor <border>, read as of width 0")
    if widths is not None and widths.start[0] > 1e-6:
        reader.warn(element, f"has no width before sOffset = {widths.start[0]:g} m, read as 0")
    speeds = [
        (reader.number(e, "sOffset", 0.0, low=0.0), limit)
        for e in reader.all(element, "speed")
        if (limit := speed(reader, e)) is not None
    ]
    heights = [
        (
            reader.number(e, "sOffset", low=0.0),
            reader.number(e, "inner", 0.0),
            reader.number(e, "outer", 0.0),
        )
        for e in reader.all(element, "height")
    ]
    return Lane(
        id=number,
        kind=kind,
        level=reader.word(element, "level", ("true", "false", "1", "0"), "false") in ("true", "1"),
        direction=reader.word(element, "direction", ("standard", "reversed", "both"), "standard"),
        widths=widths,
        borders=borders,
        heights=tuple(sorted(heights)),
        marks=tuple(_mark(reader, e) for e in reader.all(element, "roadMark")),
        speeds=tuple(sorted(speeds)),
        predecessors=tuple(reader.integer(e, "id") for e in reader.all(link, "predecessor")),
        successors=tuple(reader.integer(e, "id") for e in reader.all(link, "successor")),
        line=element.sourceline or 0,
    )


def _mark(reader: Reader, element: Element) -> RoadMark:
    kind = reader.text(element, "type", "none").replace("_", " ")
    if kind not in _MARKS:
        reader.warn(element, f"has the unknown type {kind!r} and is not drawn")
    weight = reader.word(element, "weight", tuple(_MARK_WIDTHS), "standard")
    width = reader.number(element, "width", _MARK_WIDTHS[weight], low=0.0)
    stripes = [
        Stripe(
            length=reader.number(e, "length", 0.0, low=0.0),
            space=reader.number(e, "space", 0.0, low=0.0),
            t=reader.number(e, "tOffset", 0.0),
            s=reader.number(e, "sOffset", 0.0),
            width=reader.number(e, "width", width, low=0.0),
        )
        for detail in reader.all(element, "type")
        for e in reader.all(detail, "line")
    ]
    return RoadMark(
        s=reader.number(element, "sOffset", 0.0, low=0.0),
        kind=kind,
        color=reader.text(element, "color", "standard"),
        width=width,
        lane_change=reader.word(element, "laneChange", _LANE_CHANGES, "both"),
        stripes=tuple(stripes),
    )
