"""Surfaces and markings of a map as meshes, for pictures."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import numpy as np
import trimesh
from numpy.typing import NDArray

from proveout.assets.files.errors import ModelError
from proveout.assets.opendrive.cross_section import (
    lane_height,
    lane_width,
    outer_border,
    surface_point,
)
from proveout.assets.opendrive.elements import PAVED, Lane, LaneSection, Road, RoadMark, Stripe
from proveout.assets.opendrive.parse import Document
from proveout.assets.road import RoadMesh

Floats = NDArray[np.float64]

MAX_VERTICES = 4_000_000
"""No map is drawn with more."""

_SAG = 0.01  # m that a border may leave its chord by
_LONGEST, _SHORTEST = 5.0, 0.25  # m between two points along the road
_CHUNK = 100.0  # m of road in one mesh: small ones keep single precision accurate
_LIFT = 0.012  # m of markings above the road
_SKIPPED = 0.005  # m, a narrower lane is not drawn
# Dash and gap [m] where the file says none: of motorways and of other roads (RMS 1993, 2.1).
_DASHES = {"motorway": (6.0, 12.0), "": (3.0, 6.0)}
_LEAST_PERIOD = 0.2  # m, below it a dashed line is drawn as a whole one
_WALKED = ("sidewalk", "walking")

Part = tuple[str, Floats, NDArray[np.int64]]
"""Material, vertices, faces."""


def road_meshes(document: Document, origin: tuple[float, float]) -> tuple[RoadMesh, ...]:
    """Lanes and markings of all roads; coordinates minus `origin` [m].

    Raises:
        ModelError: There would be too many vertices.
    """
    if sum(map(_vertices, document.roads.values())) > MAX_VERTICES:
        raise ModelError(
            f"road file {document.reader.path} would need more than {MAX_VERTICES} vertices to be "
            "drawn; load it with surface=False."
        )
    meshes = []
    for road in document.roads.values():
        for section in road.sections:
            count = max(int(np.ceil((section.end - section.s) / _CHUNK)), 1)
            edges = np.linspace(section.s, section.end, count + 1)
            for a, b in pairwise(edges):
                for mesh in _chunk(road, section, float(a), float(b)):
                    mesh.vertices[:, :2] -= origin
                    meshes.append(mesh)
    return tuple(meshes)


def _vertices(road: Road) -> float:
    """About how many vertices a road has, from above."""
    total = 0.0
    for section in road.sections:
        length = section.end - section.s
        for lane in section.lanes.values():
            total += 2.0 * length / 2.0
            for mark in lane.marks:
                for stripe in _stripes(road, lane, mark, section.s):
                    total += 2.0 * length / 2.0
                    if stripe.space > 0.0:
                        total += 4.0 * length / max(stripe.length + stripe.space, _LEAST_PERIOD)
    return total


def _chunk(road: Road, section: LaneSection, a: float, b: float) -> list[RoadMesh]:
    """Meshes of a stretch of a section, one for each material."""
    parts: dict[str, list[trimesh.Trimesh]] = {}
    for material, vertices, faces in _parts(road, section, a, b):
        parts.setdefault(material, []).append(
            trimesh.Trimesh(vertices, faces, process=False, validate=False)
        )
    meshes = []
    for material, pieces in parts.items():
        whole: Any = trimesh.util.concatenate(pieces)
        # A lane that begins with no width has triangles without area there.
        whole.update_faces(whole.area_faces > 1e-9)
        whole.remove_unreferenced_vertices()
        if len(whole.faces):
            meshes.append(
                RoadMesh(material, np.array(whole.vertices), whole.faces.astype(np.int32))
            )
    return meshes


def _parts(road: Road, section: LaneSection, a: float, b: float) -> Iterator[Part]:
    s = _stations(road, section, a, b)
    for lane in section.lanes.values():
        if lane.id and lane_width(road, section, lane.id, s).max() > _SKIPPED:
            material = _material(lane)
            if material:
                yield material, *_lane_surface(road, section, lane, s)
        yield from _markings(road, section, lane, a, b)


def _material(lane: Lane) -> str:
    if lane.kind in PAVED or lane.kind == "restricted":
        return "asphalt"
    if lane.kind in _WALKED:
        return "pavement"
    return {"curb": "curb", "median": "verge"}.get(lane.kind, "")


def _stations(road: Road, section: LaneSection, a: float, b: float) -> Floats:
    """Where a stretch is cut across: the closer, the tighter it bends."""
    rough = np.linspace(a, b, max(int((b - a) / 2.0), 2) + 1)
    *_place, curvature, _rate = road.line.evaluate(rough)
    tightest = float(np.abs(curvature).max())
    step = _LONGEST if tightest == 0.0 else float(np.sqrt(8.0 * _SAG / tightest))
    curved = len(road.elevation.start) > 1 or len(road.superelevation.start) > 1
    varied = any(
        lane.widths is not None and np.any(lane.widths.coefficients[:, 1:])
        for lane in section.lanes.values()
    )
    longest = 2.0 if curved or varied or np.any(road.lane_offset.coefficients[:, 1:]) else _LONGEST
    step = min(max(step, _SHORTEST), longest)
    return np.linspace(a, b, max(int(np.ceil((b - a) / step)), 1) + 1)


def _lane_surface(
    road: Road, section: LaneSection, lane: Lane, s: Floats
) -> tuple[Floats, NDArray[np.int64]]:
    inside = np.minimum(s, np.nextafter(section.end, section.s))
    inner_id = lane.id - (1 if lane.id > 0 else -1)
    outer = outer_border(road, section, lane.id, inside)[0]
    inner = outer_border(road, section, inner_id, inside)[0]
    rows = [
        surface_point(road, inside, t, lane_height(section, lane.id, inside, across))
        for t, across in ((outer, 1.0), (inner, 0.0))
    ]
    left, right = rows if lane.id > 0 else reversed(rows)
    return _strip(left, right)


def _strip(left: Floats, right: Floats, every: int = 0) -> tuple[Floats, NDArray[np.int64]]:
    """Triangles between two borders of (n, 3) points each, their normals up.

    every: Points of each of several strips one behind the other; 0: all are one.
    """
    n = len(left)
    i = np.arange(n - 1)
    i = i[i % (every or n) != (every or n) - 1]
    faces = np.concatenate([np.stack([i, n + i, i + 1], 1), np.stack([n + i, n + i + 1, i + 1], 1)])
    return np.concatenate([left, right]), faces


def _markings(road: Road, section: LaneSection, lane: Lane, a: float, b: float) -> Iterator[Part]:
    marks = sorted(lane.marks, key=lambda mark: mark.s)
    for index, mark in enumerate(marks):
        start = section.s + mark.s
        end = section.s + marks[index + 1].s if index + 1 < len(marks) else section.end
        material = "yellow" if mark.color == "yellow" else "marking"
        for stripe in _stripes(road, lane, mark, start):
            spans = _painted(stripe, max(start, a), min(end, section.end, b), start + stripe.s)
            if len(spans):
                yield material, *_stripe(road, section, lane, stripe, spans)


def _stripes(road: Road, lane: Lane, mark: RoadMark, s: float) -> list[Stripe]:
    """The lines of a mark, by its type where it does not say them."""
    if mark.stripes:
        return [stripe for stripe in mark.stripes if stripe.width > 0.0]
    if mark.width <= 0.0:
        return []
    kind = ""
    for start, name, _limit in road.kinds:
        if start <= s and name == "motorway":
            kind = name
    words = [word for word in mark.kind.split() if word in ("solid", "broken")]
    # The first of two is the inner one; of lane 0, the left one.
    first = -1.0 if lane.id > 0 else 1.0
    offsets = [0.0] if len(words) == 1 else [first * mark.width, -first * mark.width]
    return [
        Stripe(*(_DASHES[kind] if word == "broken" else (0.0, 0.0)), offset, 0.0, mark.width)
        for word, offset in zip(words, offsets, strict=False)
    ]


def _painted(stripe: Stripe, low: float, high: float, first: float) -> Floats:
    """From where to where along the road a line is painted between two places, shape (n, 2)."""
    period = stripe.length + stripe.space
    if stripe.space == 0.0 or period < _LEAST_PERIOD:
        spans = np.array([[low, high]])
    else:
        dash = np.arange(np.floor((low - first) / period), np.floor((high - first) / period) + 1.0)
        begin = first + period * dash
        spans = np.clip(np.stack([begin, begin + stripe.length], 1), low, high)
    return spans[spans[:, 1] - spans[:, 0] > 0.01]


def _stripe(
    road: Road, section: LaneSection, lane: Lane, stripe: Stripe, spans: Floats
) -> tuple[Floats, NDArray[np.int64]]:
    step = np.diff(_stations(road, section, spans[0, 0], spans[-1, 1])[:2])[0]
    count = int(np.ceil((spans[:, 1] - spans[:, 0]).max() / step)) + 1
    s = (spans[:, :1] + np.linspace(0.0, 1.0, count) * (spans[:, 1:] - spans[:, :1])).ravel()
    inside = np.minimum(s, np.nextafter(section.end, section.s))
    middle = outer_border(road, section, lane.id, inside)[0] + stripe.t
    height = lane_height(section, lane.id, inside, 1.0) + _LIFT
    left, right = (
        surface_point(road, inside, middle + side * 0.5 * stripe.width, height)
        for side in (1.0, -1.0)
    )
    return _strip(left, right, count)
