"""Which ends of lanes meet, of all roads and junctions of a file."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from proveout.assets.opendrive.elements import (
    Connection,
    End,
    Junction,
    LaneSection,
    Road,
    RoadLink,
)
from proveout.assets.opendrive.parse import Document


@dataclass(frozen=True, order=True)
class LaneEnd:
    """One end of a lane of a section; "start" and "end" by s of its road."""

    road: str
    section: int
    lane: int
    end: End


@dataclass(frozen=True)
class Joint:
    """Two ends that meet, and the line of the file that says so."""

    a: LaneEnd
    b: LaneEnd
    line: int


def joints(document: Document) -> list[Joint]:
    """All pairs of ends that the file joins, each once; what leads nowhere becomes a warning."""
    found: dict[frozenset[LaneEnd], Joint] = {}
    for joint in _all(document):
        if joint.a != joint.b:
            found.setdefault(frozenset((joint.a, joint.b)), joint)
    return list(found.values())


def _all(document: Document) -> Iterator[Joint]:
    for road in document.roads.values():
        yield from _within(document, road)
        for end in ("start", "end"):
            yield from _past(document, road, end)
    for junction in document.junctions.values():
        for connection in junction.connections:
            yield from _through(document, junction, connection)


def _within(document: Document, road: Road) -> Iterator[Joint]:
    for index in range(len(road.sections) - 1):
        here, there = road.sections[index], road.sections[index + 1]
        pairs = [(k, to, lane.line) for k, lane in here.lanes.items() for to in lane.successors]
        pairs += [(of, k, lane.line) for k, lane in there.lanes.items() for of in lane.predecessors]
        for before, after, line in pairs:
            if _both_there(document, road, index, before, road, index + 1, after, line):
                a = LaneEnd(road.id, index, before, "end")
                b = LaneEnd(road.id, index + 1, after, "start")
                yield Joint(a, b, line)


def _past(document: Document, road: Road, end: End) -> Iterator[Joint]:
    """Over the start or the end of a road, onto another road."""
    link = road.predecessor if end == "start" else road.successor
    if link is None:
        return
    known = document.roads if link.kind == "road" else document.junctions
    if link.id not in known:
        document.reader.warn_of(
            f"road {road.id!r}, line {link.line}:",
            f"leads to the {link.kind} {link.id!r}, which is not there",
        )
        return
    if link.kind != "road":
        return
    other = document.roads[link.id]
    contact = link.contact or _nearer_end(road, end, other)
    index, section = _outermost(road, end)
    other_index, _section = _outermost(other, contact)
    for number, lane in section.lanes.items():
        for to in lane.predecessors if end == "start" else lane.successors:
            if _both_there(document, road, index, number, other, other_index, to, lane.line):
                yield Joint(
                    LaneEnd(road.id, index, number, end),
                    LaneEnd(other.id, other_index, to, contact),
                    lane.line,
                )


def _through(document: Document, junction: Junction, connection: Connection) -> Iterator[Joint]:
    """From the incoming road of a connection onto its connecting road."""
    named = f"junction {junction.id!r}, <connection> in line {connection.line}:"
    for number in (connection.incoming, connection.road):
        if number not in document.roads:
            document.reader.warn_of(named, f"names the road {number!r}, which is not there")
            return
    incoming, road = document.roads[connection.incoming], document.roads[connection.road]
    index, section = _outermost(road, connection.contact)
    end = _end_at(incoming, junction.id, road, connection.contact)
    if end is None:
        document.reader.warn_of(named, f"road {incoming.id!r} has no link to that junction")
        return
    in_index, in_section = _outermost(incoming, end)
    # Without <laneLink>, lanes of one number belong together.
    pairs = connection.lanes or [(k, k) for k in in_section.lanes if k and k in section.lanes]
    for of, to in pairs:
        if _both_there(document, incoming, in_index, of, road, index, to, connection.line):
            yield Joint(
                LaneEnd(incoming.id, in_index, of, end),
                LaneEnd(road.id, index, to, connection.contact),
                connection.line,
            )


def _both_there(
    document: Document, a: Road, i: int, of: int, b: Road, k: int, to: int, line: int
) -> bool:
    for road, index, lane in ((a, i, of), (b, k, to)):
        if lane not in road.sections[index].lanes:
            document.reader.warn_of(
                f"line {line}:",
                f"links to lane {lane} of road {road.id!r} at s = {road.sections[index].s:g}, "
                "which is not there",
            )
            return False
    return of != 0 and to != 0


def _outermost(road: Road, end: End) -> tuple[int, LaneSection]:
    index = 0 if end == "start" else len(road.sections) - 1
    return index, road.sections[index]


def _end_at(incoming: Road, junction: str, road: Road, contact: End) -> End | None:
    """The end of a road that leads to a junction; of two, the one nearer to the connecting road."""
    ends: list[End] = []
    if _is(incoming.predecessor, junction):
        ends.append("start")
    if _is(incoming.successor, junction):
        ends.append("end")
    if len(ends) == 2:
        return _nearer_end(road, contact, incoming)
    return ends[0] if ends else None


def _is(link: RoadLink | None, junction: str) -> bool:
    return link is not None and link.kind == "junction" and link.id == junction


def _nearer_end(road: Road, end: End, other: Road) -> End:
    x, y, *_ = road.line.evaluate(np.array([0.0 if end == "start" else road.length]))
    x1, y1, *_ = other.line.evaluate(np.array([0.0, other.length]))
    start, far = np.hypot(x1 - x, y1 - y)
    return "start" if start <= far else "end"
