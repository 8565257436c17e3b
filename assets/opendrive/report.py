"""What is on a map, as numbers for programs and as a table for people."""

from __future__ import annotations

from typing import Any

import numpy as np

from proveout.assets.opendrive.curves import Arc, Line, ParamPoly, Spiral
from proveout.assets.opendrive.elements import Road, RoadLink
from proveout.assets.opendrive.road_map import RoadMap

_MOST_ROWS = 60
_SHAPES: dict[type, str] = {Line: "line", Arc: "arc", Spiral: "spiral", ParamPoly: "poly"}


def describe(road_map: RoadMap) -> dict[str, Any]:
    """Return everything that a person asks of an unknown map, ready for JSON.

    Lengths in m, speeds in m/s, angles in rad; `continuity` is the worst of all joints of lanes
    that are driven on, and of all others.
    """
    network = road_map.network
    driven = {(o.road, o.section, o.lane) for o in road_map.origins}
    gaps = road_map.continuity()
    worst = {}
    for name, kept in (("driven", True), ("others", False)):
        of_kind = [
            gap
            for gap in gaps
            if all((e.road, e.section, e.lane) in driven for e in (gap.joint.a, gap.joint.b))
            is kept
        ]
        worst[name] = {
            "joints": len(of_kind),
            "gap": max((gap.position for gap in of_kind), default=0.0),
            "turn": max((gap.heading for gap in of_kind), default=0.0),
        }
    return {
        "file": str(road_map.path),
        "name": road_map.name,
        "version": road_map.version,
        "geo_reference": road_map.geo_reference,
        "origin": list(road_map.origin),
        "length": sum(road.length for road in road_map.roads.values()),
        "roads": [_road(road, driven) for road in road_map.roads.values()],
        "junctions": [
            {
                "id": junction.id, "name": junction.name, "type": junction.kind,
                "connections": len(junction.connections),
                "priorities": len(junction.priorities),
            }
            for junction in road_map.junctions.values()
        ],
        "signals": sum(len(road.signals) for road in road_map.roads.values()),
        "lanes": {
            "count": network.num_lanes, "length": float(network.length.sum()),
            "points": int(network.x.size), "links": sum(map(len, network.successors)),
            "slowest": float(network.speed_limit.min()),
            "fastest": float(network.speed_limit.max()),
            "without_limit": sum(not origin.limited for origin in road_map.origins),
        },
        "continuity": worst,
        "warnings": list(road_map.warnings),
    }  # fmt: skip


def table(road_map: RoadMap) -> str:
    """Return the same as lines of text."""
    told = describe(road_map)
    lanes = told["lanes"]
    lines = [
        f"{told['file']}: OpenDRIVE {told['version']}{_quoted(told['name'])}, "
        f"{_count(len(told['roads']), 'road')} of {told['length']:.1f} m, "
        f"{_count(len(told['junctions']), 'junction')}, {_count(told['signals'], 'signal')}",
        f"to drive on: {_count(lanes['count'], 'lane')} of {lanes['length']:.1f} m with "
        f"{_count(lanes['links'], 'link')}, as {lanes['points']} points; {_speeds(lanes)}",
    ]
    if told["geo_reference"]:
        lines.append(f"projection: {told['geo_reference'][:100]}")
    if any(told["origin"]):
        lines.append("arrays begin at x = {:.0f} m, y = {:.0f} m".format(*told["origin"]))
    rows: list[tuple[str, ...]] = [
        (
            road["id"], road["name"][:24], f"{road['length']:.1f}", road["junction"] or "",
            road["rule"], str(road["sections"]), str(road["driven"]), road["lanes"], road["shapes"],
            f"{road['lowest']:.1f} to {road['highest']:.1f}" if road["highest"] else "",
            road["before"], road["behind"],
        )
        for road in told["roads"][:_MOST_ROWS]
    ]  # fmt: skip
    head = (
        "road", "name", "length [m]", "junction", "rule", "sections", "driven", "lanes",
        "plan view", "height [m]", "from", "to",
    )  # fmt: skip
    lines += ["", *_columns(head, rows)]
    if len(told["roads"]) > _MOST_ROWS:
        lines.append(f"... and {len(told['roads']) - _MOST_ROWS} more roads; --json has them all")
    if told["junctions"]:
        lines += ["", *_columns(
            ("junction", "name", "type", "connections", "priorities"),
            [
                (j["id"], j["name"], j["type"], str(j["connections"]), str(j["priorities"]))
                for j in told["junctions"]
            ],
        )]  # fmt: skip
    lines.append("")
    for name, words in (("driven", "lanes to drive on"), ("others", "other lanes")):
        worst = told["continuity"][name]
        if worst["joints"]:
            lines.append(
                f"{worst['joints']} joints of {words} meet within {1e3 * worst['gap']:.3g} mm and "
                f"{1e3 * worst['turn']:.3g} mrad"
            )
    warnings = [f"  {warning}" for warning in told["warnings"]]
    lines += ["odd or left out:" if warnings else "nothing is odd or left out", *warnings]
    return "\n".join(lines)


def _road(road: Road, driven: set[tuple[str, int, int]]) -> dict[str, Any]:
    names = [_SHAPES[type(piece.curve)] for piece in road.line.pieces]
    s = np.linspace(0.0, road.length, 101)
    height = road.elevation(s)
    lanes = {lane.id for section in road.sections for lane in section.lanes.values() if lane.id}
    return {
        "id": road.id,
        "name": road.name,
        "length": road.length,
        "junction": road.junction,
        "rule": road.rule,
        "sections": len(road.sections),
        "driven": len({lane for name, _section, lane in driven if name == road.id}),
        "lanes": f"{min(lanes, default=0)} to {max(lanes, default=0)}",
        "shapes": " ".join(f"{names.count(name)} {name}" for name in dict.fromkeys(names)),
        "lowest": float(height.min()),
        "highest": float(height.max()),
        "before": _link(road.predecessor),
        "behind": _link(road.successor),
        "signals": len(road.signals),
    }  # fmt: skip


def _link(link: RoadLink | None) -> str:
    if link is None:
        return ""
    return link.id if link.kind == "road" else f"junction {link.id}"


def _quoted(name: str) -> str:
    return f" {name!r}" if name else ""


def _count(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def _speeds(lanes: dict[str, Any]) -> str:
    low, high = f"{3.6 * lanes['slowest']:.0f}", f"{3.6 * lanes['fastest']:.0f}"
    limits = f"{high} km/h" if low == high else f"{low} to {high} km/h"
    if lanes["without_limit"] == 0:
        return limits
    if lanes["without_limit"] == lanes["count"]:
        return f"no speed limit in the file, {limits} taken"
    return f"{limits}, {lanes['without_limit']} without a limit in the file"


def _columns(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> list[str]:
    """Columns side by side, each as wide as its widest entry; empty ones left out."""
    kept = [i for i in range(len(head)) if any(row[i] for row in rows)]
    widths = {i: max(len(row[i]) for row in (head, *rows)) for i in kept}
    return ["  ".join(row[i].ljust(widths[i]) for i in kept).rstrip() for row in (head, *rows)]
