"""What an OpenDRIVE file says, as it says it. Lengths in m, angles in rad, speeds in m/s."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from proveout.assets.opendrive.cubics import Cubics
from proveout.assets.opendrive.curves import ReferenceLine

End = Literal["start", "end"]

DRIVABLE = frozenset(
    {
        "driving", "entry", "exit", "onRamp", "offRamp", "connectingRamp", "slipLane",
        "bidirectional", "bus", "taxi", "HOV", "mwyEntry", "mwyExit", "special1", "special2",
        "special3", "roadWorks", "shared",
    }
)  # fmt: skip
"""Types of lanes on which cars drive."""

PAVED = DRIVABLE | {"shoulder", "border", "stop", "parking", "biking", "tram"}
"""Types of lanes that a car rolls over without leaving the paved road."""

LANE_TYPES = PAVED | {"none", "sidewalk", "walking", "curb", "median", "restricted", "rail"}
"""All types of lanes of OpenDRIVE 1.4 to 1.8."""


@dataclass(frozen=True)
class Stripe:
    """A line of a road mark, repeated: `length` painted, then `space` empty.

    Attributes:
        length: Painted [m]; 0 with `space` 0: without end.
        space: [m].
        t: Of its middle from the lane's border, left positive [m].
        s: Where the first one begins, from the mark's start [m].
        width: [m].
    """

    length: float
    space: float
    t: float
    s: float
    width: float


@dataclass(frozen=True)
class RoadMark:
    """Marking on the outer border of a lane (of lane 0: on its centre), from `s` of its section.

    Attributes:
        s: Where it begins, from the start of the lane section [m].
        kind: As in the file: "solid", "broken", "solid broken", ...
        color: As in the file. width: [m].
        lane_change: "increase", "decrease", "both" or "none": which lane numbers it may be crossed
            towards.
        stripes: Its lines, where the file says them.
    """

    s: float
    kind: str
    color: str
    width: float
    lane_change: str
    stripes: tuple[Stripe, ...]


@dataclass(frozen=True)
class Lane:
    """A lane of a section.

    Attributes:
        id: Positive to the left of the reference line, negative to the right, 0 the middle.
        kind: Its type, "driving" and so on.
        level: Whether the file wants it horizontal across, whatever the superelevation.
        direction: "standard", "reversed" or "both" (OpenDRIVE 1.8).
        widths: Its width by s of the section; None where `borders` say it.
        borders: Its outer border, distance from the reference line [m].
        heights: Rows (s, inner, outer): above the road [m], from s of the section.
        marks: Road marks of its outer border.
        speeds: Rows (s, limit [m/s]), from s of the section.
        predecessors: Lanes of the section before. successors: Of the section behind.
        line: In the file.
    """

    id: int
    kind: str
    level: bool
    direction: str
    widths: Cubics | None
    borders: Cubics | None
    heights: tuple[tuple[float, float, float], ...]
    marks: tuple[RoadMark, ...]
    speeds: tuple[tuple[float, float], ...]
    predecessors: tuple[int, ...]
    successors: tuple[int, ...]
    line: int


@dataclass(frozen=True)
class LaneSection:
    """Lanes side by side from `s` to `end` of the road [m]; lanes by id."""

    s: float
    end: float
    lanes: Mapping[int, Lane]
    line: int


@dataclass(frozen=True)
class RoadLink:
    """What a road goes on to, or comes from: a road ("road") at its start or end, or a junction."""

    kind: str
    id: str
    contact: End | None
    line: int


@dataclass(frozen=True)
class Signal:
    """A sign or a light.

    Attributes:
        id: As in the file. name: Likewise.
        road: Id of its road. s, t: Where it stands [m].
        z: Height above the road [m].
        heading: From the road's heading [rad].
        orientation: "+" for traffic along s, "-" against it, "none" for both.
        kind, subtype, country: What it is, in the words of the country's catalogue.
        value: Such as a speed, or None. unit: Of it.
        dynamic: Whether its state changes, as that of a light.
        width, height: [m].
        lanes: First and last lane it is for, or None: all.
    """

    id: str
    name: str
    road: str
    s: float
    t: float
    z: float
    heading: float
    orientation: str
    kind: str
    subtype: str
    country: str
    value: float | None
    unit: str
    dynamic: bool
    width: float
    height: float
    lanes: tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class Road:
    """A road.

    Attributes:
        id: As in the file. name: Likewise.
        length: [m].
        junction: Id of the junction it is part of, or None.
        rule: "RHT" or "LHT": traffic keeps right or left.
        line: Its reference line.
        elevation: Height by s [m]. superelevation: Angle by s [rad].
        lane_offset: Of lane 0 from the reference line, by s [m].
        sections: Of lanes, by s.
        kinds: Rows (s, type, speed limit [m/s] or None).
        predecessor, successor: What it is linked to.
        signals: On it.
        source_line: In the file.
    """

    id: str
    name: str
    length: float
    junction: str | None
    rule: str
    line: ReferenceLine
    elevation: Cubics
    superelevation: Cubics
    lane_offset: Cubics
    sections: tuple[LaneSection, ...]
    kinds: tuple[tuple[float, str, float | None], ...]
    predecessor: RoadLink | None
    successor: RoadLink | None
    signals: tuple[Signal, ...]
    source_line: int

    def travels(self, lane: Lane) -> int:
        """+1 where traffic on the lane goes along s, -1 where against it."""
        along = (lane.id < 0) == (self.rule == "RHT")
        return 1 if along != (lane.direction == "reversed") else -1

    def section_at(self, s: float) -> int:
        """Index of the section at s."""
        for index in range(len(self.sections) - 1, 0, -1):
            if s >= self.sections[index].s:
                return index
        return 0


@dataclass(frozen=True)
class Connection:
    """A way through a junction: from a road onto its connecting road, or straight onto another.

    Attributes:
        incoming: Id of the road that leads in.
        road: Id of the connecting road, or of the linked road of a direct junction.
        contact: The end of `road` that touches the incoming one.
        lanes: Pairs of lanes: of the incoming road, of `road`.
        line: In the file.
    """

    incoming: str
    road: str
    contact: End
    lanes: tuple[tuple[int, int], ...]
    line: int


@dataclass(frozen=True)
class Junction:
    """A junction.

    Attributes:
        id: As in the file. name: Likewise.
        kind: "default", "direct", ...
        connections: Ways through it.
        priorities: Pairs of roads: the first has right of way over the second.
        controllers: Ids of its controllers.
    """

    id: str
    name: str
    kind: str
    connections: tuple[Connection, ...]
    priorities: tuple[tuple[str, str], ...]
    controllers: tuple[str, ...]
    line: int


@dataclass(frozen=True)
class Controller:
    """Signals that change together: ids of them."""

    id: str
    name: str
    signals: tuple[str, ...]
