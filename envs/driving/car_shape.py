"""Low-poly shapes of bodies, a passenger car's above all, as parts of one material each."""

from dataclasses import dataclass

import numpy as np
import trimesh
from numpy.typing import NDArray

from proveout.envs.driving.bodies import BodyKind, BodyParameters

Floats = NDArray[np.float64]

_WHEEL_RADIUS, _WHEEL_WIDTH = 0.32, 0.22  # [m]

# Side view of the body below the windows: fraction of length (front 0.5, rear -0.5), height [m].
_BODY = (
    (-0.5, 0.3),
    (-0.492, 0.66),
    (-0.47, 0.88),
    (-0.33, 0.93),
    (0.17, 0.9),
    (0.36, 0.8),
    (0.465, 0.68),
    (0.5, 0.52),
    (0.497, 0.28),
    (0.47, 0.2),
    (-0.47, 0.2),
)
# Rows of the cabin from belt line to roof: rear and front end as fractions of length, height [m],
# half width as a fraction of half the car's width.
_BELT = (-0.4, 0.2, 0.9, 0.93)
_ROOF = (-0.25, 0.045, 1.38, 0.72)
_ROOF_TOP = (-0.22, 0.015, 1.43, 0.66)


@dataclass(frozen=True)
class CarPart:
    """One mesh of one material; origin at the geometric centre on the ground, x ahead, y left.

    vertices: (n, 3) [m]. faces: (m, 3). material: a name of the scene, or `paint` for the car's
    own colour.
    """

    name: str
    material: str
    vertices: Floats
    faces: NDArray[np.int64]


def _part(name: str, material: str, *meshes: trimesh.Trimesh) -> CarPart:
    # Every face with vertices of its own: flat shading, as the edges of a low-poly car should be.
    corners = np.concatenate([mesh.vertices[mesh.faces].reshape(-1, 3) for mesh in meshes])
    return CarPart(name, material, corners, np.arange(len(corners)).reshape(-1, 3))


def _box(centre: tuple[float, float, float], size: tuple[float, float, float]) -> trimesh.Trimesh:
    box = trimesh.creation.box(extents=size)
    box.apply_translation(centre)
    return box


def _hull(points: list[tuple[float, float, float]]) -> trimesh.Trimesh:
    """Convex hull without scipy: the parts given to it are convex prisms of two equal outlines."""
    half = len(points) // 2
    faces: list[tuple[int, int, int]] = []
    for i in range(1, half - 1):
        faces += [(0, i, i + 1), (half, half + i + 1, half + i)]
    for i in range(half):
        j = (i + 1) % half
        faces += [(i, half + i, half + j), (i, half + j, j)]
    mesh = trimesh.Trimesh(np.array(points), np.array(faces), process=False)
    if mesh.volume < 0.0:
        mesh.invert()
    return mesh


def _frustum(low: tuple, high: tuple, length: float, half_width: float) -> trimesh.Trimesh:
    """Block between two rectangles, each (rear, front, height, share of half width)."""

    def row(level: tuple) -> list[tuple[float, float, float]]:
        rear, front, z, share = level
        y = share * half_width
        return [
            (rear * length, -y, z),
            (front * length, -y, z),
            (front * length, y, z),
            (rear * length, y, z),
        ]

    return _hull(row(low) + row(high))


def _beam(a: Floats, b: Floats, width: float) -> trimesh.Trimesh:
    """Square bar from a to b, a window pillar."""
    x = np.array([0.5 * width, 0.0, 0.0])
    y = np.array([0.0, 0.5 * width, 0.0])
    corners = [-x - y, x - y, x + y, -x + y]
    return _hull([tuple(a + c) for c in corners] + [tuple(b + c) for c in corners])


def _wheel(x: float, y: float, radius: float, width: float) -> trimesh.Trimesh:
    wheel = trimesh.creation.cylinder(radius=radius, height=width, sections=20)
    wheel.apply_transform(trimesh.transformations.rotation_matrix(np.pi / 2, [1.0, 0.0, 0.0]))
    wheel.apply_translation([x, y, _WHEEL_RADIUS])
    return wheel


def body_parts(body: BodyParameters, wheelbase: float) -> list[CarPart]:
    """Parts of a body at its size: a car for a car, for any other kind a box.

    wheelbase: of a car [m].
    """
    if body.kind == BodyKind.CAR:
        return _car_parts(body, wheelbase)
    box = _box((0.0, 0.0, 0.5 * body.height), (body.length, body.width, body.height))
    return [_part("body", "paint", box)]


def _car_parts(body_parameters: BodyParameters, wheelbase: float) -> list[CarPart]:
    """Parts of a car that fills a body's length and width."""
    length, half = body_parameters.length, 0.5 * body_parameters.width
    # Shoulders lean in: the outline is full width low down and a little narrower at the belt line.
    outline = [(f * length, z) for f, z in _BODY]
    right = [(x, -half * (1.0 - 0.07 * max(z - 0.5, 0.0) / 0.4), z) for x, z in outline]
    body = _hull(right + [(x, -y, z) for x, y, z in right])
    glass = _frustum(_BELT, _ROOF, length, half)
    roof = _frustum(_ROOF, _ROOF_TOP, length, half)

    pillars = []
    for side in (-1.0, 1.0):
        for low, high in ((0, 0), (1, 1)):
            a = np.array([_BELT[low] * length, side * half * _BELT[3] * 0.985, _BELT[2]])
            b = np.array([_ROOF[high] * length, side * half * _ROOF[3] * 0.985, _ROOF[2]])
            pillars.append(_beam(a, b, 0.09))
        a = np.array([-0.11 * length, side * half * _BELT[3] * 0.985, _BELT[2]])
        b = np.array([-0.11 * length, side * half * _ROOF[3] * 0.985, _ROOF[2]])
        pillars.append(_beam(a, b, 0.08))

    rear_axle = -body_parameters.rear_axle_to_centre
    axles = (rear_axle, rear_axle + wheelbase)
    hub = half - 0.5 * _WHEEL_WIDTH + 0.012
    wheels, rims, arches = [], [], []
    for x in axles:
        for side in (-1.0, 1.0):
            wheels.append(_wheel(x, side * hub, _WHEEL_RADIUS, _WHEEL_WIDTH))
            rims.append(_wheel(x, side * (hub + 0.008), 0.2, _WHEEL_WIDTH))
            arches.append(_wheel(x, side * (half - 0.1), _WHEEL_RADIUS + 0.06, 0.205))

    mirrors = [
        _box((0.155 * length, side * (half + 0.02), 0.95), (0.12, 0.2, 0.11)) for side in (-1, 1)
    ]
    front, rear = 0.5 * length, -0.5 * length
    headlights = [
        _box((front - 0.07, side * 0.7 * half, 0.585), (0.13, 0.36, 0.1)) for side in (-1, 1)
    ]
    taillights = [
        _box((rear + 0.06, side * 0.74 * half, 0.74), (0.14, 0.36, 0.13)) for side in (-1, 1)
    ]
    trim = [
        _box((rear + 0.04, 0.0, 0.33), (0.1, 1.5 * half, 0.14)),
        _box((front - 0.03, 0.0, 0.4), (0.08, 1.2 * half, 0.16)),
        *arches,
    ]
    plate = _box((rear + 0.005, 0.0, 0.56), (0.03, 0.5, 0.11))
    return [
        _part("body", "paint", body, *mirrors),
        _part("glass", "glass", glass),
        _part("roof", "paint", roof, *pillars),
        _part("trim", "trim", *trim),
        _part("wheels", "tyre", *wheels),
        _part("rims", "rim", *rims),
        _part("headlights", "headlight", *headlights),
        _part("taillights", "taillight", *taillights),
        _part("plate", "marking", plate),
    ]
