"""A whole OpenDRIVE file: roads, junctions, controllers."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from proveout.assets.opendrive.cross_section import outer_border
from proveout.assets.opendrive.elements import (
    Connection,
    Controller,
    End,
    Junction,
    Road,
    RoadLink,
    Signal,
)
from proveout.assets.opendrive.lane_elements import cubics, read_sections, speed
from proveout.assets.opendrive.plan_view import read_plan_view
from proveout.assets.opendrive.reader import Element, Reader

_NEWEST, _OLDEST = 8, 4  # minor versions of 1.x
_ENDS = ("start", "end")
_WIDEST = 1000.0  # m from the reference line
_HIGHEST = 20_000.0  # m
_STEEPEST = 1.5  # rad, nearly upright
# Elements of a kind that are read, so that no file takes more than minutes.
_MOST = {"geometry": 100_000, "lane": 100_000}


@dataclass(frozen=True)
class Document:
    """What a file says.

    Attributes:
        name: Of the network, from the header.
        version: "1.4" to "1.8".
        geo_reference: Text of its projection, "" without one.
        offset: x, y, z [m] and heading [rad] to add to its coordinates for those of the projection.
        roads, junctions, controllers: By id.
        reader: Its file and warnings.
    """

    name: str
    version: str
    geo_reference: str
    offset: tuple[float, float, float, float]
    roads: dict[str, Road]
    junctions: dict[str, Junction]
    controllers: dict[str, Controller]
    reader: Reader


def read_document(path: Path) -> Document:
    """Read an OpenDRIVE file.

    Raises:
        ModelError: It is missing, no such file, or holds a number or an order that makes no road.
    """
    reader = Reader(path)
    if reader.root.tag != "OpenDRIVE":
        raise reader.error(reader.root, "is not <OpenDRIVE>; give a road file.")
    for name, most in _MOST.items():
        count = sum(1 for _ in reader.root.iter(name))
        if count > most:
            raise reader.error(
                reader.root, f"has {count} elements <{name}>; at most {most} are read."
            )
    header = reader.required(reader.root, "header")
    version = _version(reader, header)
    reference = reader.one(header, "geoReference")
    offset = reader.one(header, "offset")
    roads = _by_id(reader, "road", _road)
    if not roads:
        raise reader.error(reader.root, "has no <road>; add one.")
    return Document(
        name=reader.text(header, "name", ""),
        version=version,
        geo_reference="" if reference is None else (reference.text or "").strip(),
        offset=(0.0, 0.0, 0.0, 0.0) if offset is None else (
            reader.number(offset, "x", 0.0), reader.number(offset, "y", 0.0),
            reader.number(offset, "z", 0.0), reader.number(offset, "hdg", 0.0),
        ),
        roads=roads,
        junctions=_by_id(reader, "junction", _junction),
        controllers=_by_id(reader, "controller", _controller),
        reader=reader,
    )  # fmt: skip


def _by_id(reader: Reader, name: str, read: Any) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for element in reader.all(reader.root, name):
        number = reader.text(element, "id")
        if number in found:
            raise reader.error(element, f"is the second <{name}> with this id; give it another.")
        found[number] = read(reader, element, number)
    return found


def _version(reader: Reader, header: Element) -> str:
    major, minor = reader.text(header, "revMajor", "1"), reader.text(header, "revMinor", "4")
    if major != "1" or not minor.isdigit():
        raise reader.error(header, f"says version {major}.{minor}; 1.4 to 1.8 are read.")
    if not _OLDEST <= int(minor) <= _NEWEST:
        reader.warn(header, f"says version {major}.{minor}; 1.4 to 1.8 are known, and read as if")
    return f"{major}.{minor}"


def _road(reader: Reader, element: Element, number: str) -> Road:
    length = reader.number(element, "length", low=0.0)
    if length <= 0.0:
        raise reader.error(element, "has no length; give it one above 0.")
    junction = reader.text(element, "junction", "-1")
    link = reader.one(element, "link")
    lateral = reader.one(element, "lateralProfile")
    lanes = reader.one(element, "lanes")
    signals = reader.one(element, "signals")
    elevation = cubics(reader, reader.one(element, "elevationProfile"), "elevation", "s")
    for name in ("objects", "surface"):
        reader.one(element, name)  # their content is not: it is told
    superelevation = cubics(reader, lateral, "superelevation", "s")
    sections = read_sections(reader, element, length)
    level = [lane for section in sections for lane in section.lanes.values() if lane.level]
    if level and superelevation.coefficients.any():
        reader.warn_of(
            f"lane {level[0].id} of road {number!r}, line {level[0].line}:",
            "is level (level='true'), which is not supported: it is tilted as the road is",
        )
    road = Road(
        id=number,
        name=reader.text(element, "name", ""),
        length=length,
        junction=None if junction in ("-1", "") else junction,
        rule=reader.word(element, "rule", ("RHT", "LHT"), "RHT"),
        line=read_plan_view(reader, element, length),
        elevation=elevation,
        superelevation=superelevation,
        lane_offset=cubics(reader, lanes, "laneOffset", "s"),
        sections=sections,
        kinds=_kinds(reader, element),
        predecessor=_road_link(reader, link, "predecessor"),
        successor=_road_link(reader, link, "successor"),
        signals=tuple(_signal(reader, e, number) for e in reader.all(signals, "signal")),
        source_line=element.sourceline or 0,
    )
    _check_reach(reader, element, road)
    return road


def _check_reach(reader: Reader, element: Element, road: Road) -> None:
    """Refuse a road that is nowhere near its reference line."""
    for section in road.sections:
        s = np.linspace(section.s, np.nextafter(section.end, section.s), 17)
        aside = max(
            np.abs(outer_border(road, section, lane, s)[0]).max()
            for lane in (0, *(end for end in (min(section.lanes), max(section.lanes)) if end))
        )
        for what, found, most in (
            ("reaches {:.3g} m aside", aside, _WIDEST),
            ("is {:.3g} m high", np.abs(road.elevation(s)).max(), _HIGHEST),
            ("is tilted by {:.3g} rad", np.abs(road.superelevation(s)).max(), _STEEPEST),
        ):
            if not found <= most:
                raise reader.error(
                    element,
                    f"{what.format(found)} at s = {section.s:g} or behind; at most {most:g} is "
                    "read.",
                )


def _kinds(reader: Reader, road: Element) -> tuple[tuple[float, str, float | None], ...]:
    rows = []
    for element in reader.all(road, "type"):
        limit = reader.one(element, "speed")
        rows.append(
            (
                reader.number(element, "s", low=0.0),
                reader.text(element, "type", "unknown"),
                None if limit is None else speed(reader, limit),
            )
        )
    return tuple(sorted(rows, key=lambda row: row[0]))


def _road_link(reader: Reader, link: Element | None, name: str) -> RoadLink | None:
    element = reader.one(link, name)
    if element is None:
        return None
    kind = reader.word(element, "elementType", ("road", "junction"), "road")
    contact: End | None = None
    if kind == "road":
        text = element.get("contactPoint")
        if text == "start":
            contact = "start"
        elif text == "end":
            contact = "end"
        elif element.get("elementS") is not None:
            reader.warn(element, "links to the middle of a road, which is not supported")
            return None
        else:
            reader.warn(element, "has no contactPoint; the nearer end of that road is taken")
    return RoadLink(kind, reader.text(element, "elementId"), contact, element.sourceline or 0)


def _lanes_of(reader: Reader, element: Element) -> tuple[tuple[int, int], ...]:
    return tuple(
        (reader.integer(e, "fromLane"), reader.integer(e, "toLane"))
        for e in reader.all(element, "validity")
    )


def _signal(reader: Reader, element: Element, road: str) -> Signal:
    value = element.get("value")
    return Signal(
        id=reader.text(element, "id"),
        name=reader.text(element, "name", ""),
        road=road,
        s=reader.number(element, "s", low=0.0),
        t=reader.number(element, "t"),
        z=reader.number(element, "zOffset", 0.0),
        heading=reader.number(element, "hOffset", 0.0),
        orientation=reader.word(element, "orientation", ("+", "-", "none"), "none"),
        kind=reader.text(element, "type", "-1"),
        subtype=reader.text(element, "subtype", "-1"),
        country=reader.text(element, "country", ""),
        value=None if value in (None, "", "-1") else reader.number(element, "value"),
        unit=reader.text(element, "unit", ""),
        dynamic=reader.word(element, "dynamic", ("yes", "no"), "no") == "yes",
        width=reader.number(element, "width", 0.0, low=0.0),
        height=reader.number(element, "height", 0.0, low=0.0),
        lanes=_lanes_of(reader, element),
    )


def _junction(reader: Reader, element: Element, number: str) -> Junction:
    connections = []
    for e in reader.all(element, "connection"):
        road = e.get("connectingRoad") or e.get("linkedRoad")
        incoming = e.get("incomingRoad")
        if road is None or incoming is None:
            reader.warn(e, "has no incomingRoad or no connectingRoad and is left out")
            continue
        contact: End = "end" if reader.word(e, "contactPoint", _ENDS, "start") == "end" else "start"
        lanes = tuple(
            (reader.integer(link, "from"), reader.integer(link, "to"))
            for link in reader.all(e, "laneLink")
        )
        connections.append(Connection(incoming, road, contact, lanes, e.sourceline or 0))
    return Junction(
        id=number,
        name=reader.text(element, "name", ""),
        kind=reader.text(element, "type", "default"),
        connections=tuple(connections),
        priorities=tuple(
            (reader.text(e, "high"), reader.text(e, "low")) for e in reader.all(element, "priority")
        ),
        controllers=tuple(reader.text(e, "id") for e in reader.all(element, "controller")),
        line=element.sourceline or 0,
    )


def _controller(reader: Reader, element: Element, number: str) -> Controller:
    signals = tuple(reader.text(e, "signalId") for e in reader.all(element, "control"))
    return Controller(number, reader.text(element, "name", ""), signals)
