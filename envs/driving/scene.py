"""A road network and its agents as a MuJoCo scene, for the ray tracer only: nothing in it collides.

Every agent is a mocap body (`agent_0` ...) in the order of the agents, followed by one mocap body
`camera_rig` that carries the cameras `chase` and `overview`. Map frame: x, y as in the network, z
up, road surface at z = 0 or at the elevation of its lanes.
"""

import colorsys
from collections.abc import Sequence
from dataclasses import replace

import mujoco
import numpy as np
from numpy.typing import NDArray

from proveout.assets.road import RoadMesh, RoadNetwork, join
from proveout.envs.driving.bodies import BodyParameters
from proveout.envs.driving.car_shape import CarPart, body_parts

Floats = NDArray[np.float64]

# Markings of German motorways (RMS Teil 1): dash and gap, width of lane and of edge lines [m].
_DASH, _DASH_PERIOD = 6.0, 18.0
_LINE_WIDTH, _EDGE_LINE_WIDTH = 0.15, 0.3
_EDGE_INSET = 0.15  # [m] outer side of the edge line to the edge of the outer lane
_SHOULDER = 1.5  # [m] asphalt beyond the edge of the outer lane
_CHUNK = 96.0  # [m] of road per mesh: small meshes keep single precision accurate
_ASPHALT_DEPTH, _MARKING_HEIGHT = 0.3, 0.008  # [m]
_RAIL = (0.48, 0.75)  # [m] lower and upper edge of the guard rail
_GROUND = -0.06  # [m] height of the grass
_PARKED = -100.0  # [m] height of agents that take no part

_MATERIALS = {
    "asphalt": (0.23, 0.23, 0.245),
    "marking": (0.93, 0.93, 0.9),
    "yellow": (0.95, 0.75, 0.15),
    "pavement": (0.48, 0.47, 0.45),
    "curb": (0.62, 0.61, 0.59),
    "verge": (0.36, 0.46, 0.27),
    "steel": (0.6, 0.62, 0.64),
    "glass": (0.035, 0.045, 0.06),
    "tyre": (0.025, 0.025, 0.03),
    "rim": (0.62, 0.63, 0.66),
    "trim": (0.06, 0.06, 0.07),
    "headlight": (1.0, 0.98, 0.9),
    "taillight": (0.85, 0.04, 0.03),
    "learner": (1.0, 0.42, 0.02),
}
_EMISSION = {"headlight": 0.9, "taillight": 0.55}
_NUM_PAINTS = 8


def scene(
    maps: RoadNetwork | Sequence[RoadNetwork],
    bodies: Sequence[BodyParameters],
    wheelbase: float,
    num_learners: int = 1,
    resolution: tuple[int, int] = (1280, 720),
) -> mujoco.MjSpec:
    """Build the scene; `scene_state` gives the poses of its mocap bodies.

    Args:
        maps: the roads, or several networks of them.
        bodies: of all agents; the first `num_learners` are orange.
        wheelbase: of cars [m].
        num_learners: see above.
        resolution: width and height of both cameras [pixel].
    """
    spec = mujoco.MjSpec()
    spec.modelname = "road"
    _light(spec)
    _materials(spec)
    networks = [maps] if isinstance(maps, RoadNetwork) else list(maps)
    _ground(spec, join(*networks))
    for number, network in enumerate(networks):
        prefix = f"map_{number}_" if number else ""
        if network.meshes:
            _drawn(spec, network.meshes, prefix)
        else:
            _road(spec, network, prefix)
    shapes: dict[BodyParameters, list[CarPart]] = {}
    for agent, body in enumerate(bodies):
        if body not in shapes:
            shapes[body] = [
                replace(part, name=f"body_{len(shapes)}_{part.name}")
                for part in body_parts(body, wheelbase)
            ]
            for part in shapes[body]:
                _mesh(spec, part.name, part.vertices, part.faces)
        paint = "learner" if agent < num_learners else f"paint_{(agent * 5) % _NUM_PAINTS}"
        _body(spec, agent, paint, shapes[body])
    _cameras(spec, resolution)
    return spec


def scene_state(
    x: np.ndarray,
    y: np.ndarray,
    heading: np.ndarray,
    centre: np.ndarray,
    active: np.ndarray | None = None,
    learner: int = 0,
    height: np.ndarray | None = None,
) -> tuple[Floats, Floats]:
    """Poses of one world: mocap_pos (num_agents + 1, 3) [m], mocap_quat (num_agents + 1, 4) wxyz.

    Args:
        x: rear axles, (num_agents,) [m]. y: likewise. heading: likewise [rad].
        centre: of the bodies ahead of the rear axles, (num_agents,) [m].
        active: (num_agents,) bool; the others are out of sight. All by default.
        learner: agent that the cameras follow.
        height: of the road under each, (num_agents,) [m]; 0 by default.
    """
    heading = np.append(np.asarray(heading, np.float64), heading[learner])
    centre = np.append(centre, centre[learner])
    position = np.zeros((len(heading), 3))
    position[:, 0] = np.append(x, x[learner]) + centre * np.cos(heading)
    position[:, 1] = np.append(y, y[learner]) + centre * np.sin(heading)
    if height is not None:
        position[:, 2] = np.append(height, height[learner])
    if active is not None:
        position[:-1, 2] = np.where(active, position[:-1, 2], _PARKED)
    quaternion = np.zeros((len(heading), 4))
    quaternion[:, 0] = np.cos(0.5 * heading)
    quaternion[:, 3] = np.sin(0.5 * heading)
    return position, quaternion


def heights(network: RoadNetwork, lane: np.ndarray, s: np.ndarray) -> Floats:
    """Elevation [m] of lanes at arc lengths [m], shape of `lane`; nearest where there is none."""
    lane = np.clip(lane, 0, network.num_lanes - 1)
    at = np.nan_to_num(np.clip(s, 0.0, network.length[lane])) / network.step[lane]
    index = np.clip(at.astype(np.int64), 0, network.num_points[lane] - 2)
    point = network.first_point[lane] + index
    low, high = network.elevation[point], network.elevation[point + 1]
    return low + (at - index) * (high - low)


def _light(spec: mujoco.MjSpec) -> None:
    spec.visual.headlight.ambient = [0.34, 0.36, 0.4]
    spec.visual.headlight.diffuse = [0.0, 0.0, 0.0]
    spec.visual.headlight.specular = [0.0, 0.0, 0.0]
    spec.worldbody.add_light(
        name="sun",
        type=mujoco.mjtLightType.mjLIGHT_DIRECTIONAL,
        pos=[0.0, 0.0, 300.0],
        dir=[0.45, 0.35, -0.82],
        diffuse=[0.85, 0.82, 0.75],
        specular=[0.3, 0.3, 0.3],
        castshadow=True,
    )
    spec.add_texture(
        name="sky",
        type=mujoco.mjtTexture.mjTEXTURE_SKYBOX,
        builtin=mujoco.mjtBuiltin.mjBUILTIN_GRADIENT,
        rgb1=[0.42, 0.62, 0.86],
        rgb2=[0.86, 0.9, 0.93],
        width=128,
        height=768,
    )


def _materials(spec: mujoco.MjSpec) -> None:
    colours = dict(_MATERIALS)
    for i in range(_NUM_PAINTS):
        # Greys and blues, light and dark in turn.
        value = 0.3 + 0.5 * ((i * 3) % _NUM_PAINTS) / (_NUM_PAINTS - 1)
        saturation = 0.06 if i % 2 == 0 else 0.5
        colours[f"paint_{i}"] = colorsys.hsv_to_rgb(0.6, saturation, value)
    for name, colour in colours.items():
        shiny = name.startswith("paint") or name in ("learner", "glass")
        spec.add_material(
            name=name,
            rgba=[*colour, 1.0],
            emission=_EMISSION.get(name, 0.0),
            specular=0.6 if shiny else 0.05,
            shininess=0.7 if shiny else 0.1,
        )


def _ground(spec: mujoco.MjSpec, network: RoadNetwork) -> None:
    spec.add_texture(
        name="grass",
        type=mujoco.mjtTexture.mjTEXTURE_2D,
        builtin=mujoco.mjtBuiltin.mjBUILTIN_CHECKER,
        rgb1=[0.315, 0.44, 0.21],
        rgb2=[0.33, 0.46, 0.22],
        width=256,
        height=256,
    )
    textures = ["" for _ in range(mujoco.mjtTextureRole.mjNTEXROLE)]
    textures[mujoco.mjtTextureRole.mjTEXROLE_RGB] = "grass"
    spec.add_material(
        name="grass", textures=textures, texrepeat=[0.1, 0.1], texuniform=True, specular=0.0
    )
    low = np.array([network.x.min(), network.y.min()])
    high = np.array([network.x.max(), network.y.max()])
    centre = 0.5 * (low + high)
    extent = float((high - low).max())
    _geom(
        spec.worldbody,
        type=mujoco.mjtGeom.mjGEOM_PLANE,
        pos=[*centre, _GROUND + min(float(network.elevation.min()), 0.0)],
        size=[extent + 1000.0, extent + 1000.0, 1.0],
        material="grass",
    )


def _drawn(spec: mujoco.MjSpec, meshes: Sequence[RoadMesh], prefix: str) -> None:
    """The meshes of a map, each placed near its own vertices."""
    for number, mesh in enumerate(meshes):
        origin = mesh.vertices.mean(0)
        name = f"{prefix}road_{number}"
        _mesh(spec, name, mesh.vertices - origin, mesh.faces)
        _geom(
            spec.worldbody,
            type=mujoco.mjtGeom.mjGEOM_MESH,
            meshname=name,
            pos=list(origin),
            material=mesh.material,
        )


def _road(spec: mujoco.MjSpec, network: RoadNetwork, prefix: str) -> None:
    for lane in range(network.num_lanes):
        points = network.points(lane)
        s = np.linspace(0.0, network.length[lane], network.num_points[lane])
        half = 0.5 * network.width[points]
        left_shoulder = _SHOULDER if network.left[lane] < 0 else 0.0
        right_shoulder = _SHOULDER if network.right[lane] < 0 else 0.0
        for chunk in range(int(np.ceil(network.length[lane] / _CHUNK))):
            begin, end = chunk * _CHUNK, min((chunk + 1) * _CHUNK, network.length[lane])
            slab = _strip(
                network, lane, s, (begin, end), half + left_shoulder, -half - right_shoulder
            )
            name = f"{prefix}lane_{lane}_{chunk}"
            _slab(spec, name, [slab], -_ASPHALT_DEPTH, 0.0, "asphalt")
            lines = []
            if network.left[lane] < 0:
                outer = half - _EDGE_INSET
                lines.append(
                    _strip(network, lane, s, (begin, end), outer, outer - _EDGE_LINE_WIDTH)
                )
            else:
                # The dashes between two lanes belong to the right one of them.
                for k in range(int(begin // _DASH_PERIOD), int(end // _DASH_PERIOD) + 1):
                    a = max(k * _DASH_PERIOD, begin)
                    b = min(k * _DASH_PERIOD + _DASH, end)
                    if b - a > 0.1:
                        lines.append(
                            _strip(
                                network,
                                lane,
                                s,
                                (a, b),
                                half + 0.5 * _LINE_WIDTH,
                                half - 0.5 * _LINE_WIDTH,
                            )
                        )
            if network.right[lane] < 0:
                outer = -half + _EDGE_INSET
                lines.append(
                    _strip(network, lane, s, (begin, end), outer + _EDGE_LINE_WIDTH, outer)
                )
            rails = []
            if network.left[lane] < 0:
                edge = half + _SHOULDER
                rails.append(_strip(network, lane, s, (begin, end), edge + 0.1, edge))
            if network.right[lane] < 0:
                edge = -half - _SHOULDER
                rails.append(_strip(network, lane, s, (begin, end), edge, edge - 0.1))
            if rails:
                _slab(spec, f"{name}_rails", rails, *_RAIL, "steel")
            if lines:
                _slab(spec, f"{name}_lines", lines, -0.02, _MARKING_HEIGHT, "marking")


def _strip(
    network: RoadNetwork,
    lane: int,
    s: Floats,
    span: tuple[float, float],
    left: Floats,
    right: Floats,
) -> tuple[Floats, Floats]:
    """Left and right border, each (n, 2), of a band along a lane over the arc lengths `span`."""
    points = network.points(lane)
    inside = s[(s > span[0] + 1e-6) & (s < span[1] - 1e-6)][::2]
    at = np.concatenate([[span[0]], inside, [span[1]]])

    def value(array: Floats) -> Floats:
        return np.interp(at, s, array)

    heading = value(network.heading[points])
    centre = np.stack([value(network.x[points]), value(network.y[points])], 1)
    normal = np.stack([-np.sin(heading), np.cos(heading)], 1)
    return centre + value(left)[:, None] * normal, centre + value(right)[:, None] * normal


def _slab(
    spec: mujoco.MjSpec,
    name: str,
    strips: list[tuple[Floats, Floats]],
    bottom: float,
    top: float,
    material: str,
) -> None:
    """One static mesh of closed slabs between two heights, placed near its own vertices."""
    origin = strips[0][0][0]
    vertices, faces, base = [], [], 0
    for left, right in strips:
        n = len(left)
        ring = np.stack([left, right, right, left], 1).reshape(-1, 2) - origin
        height = np.tile([top, top, bottom, bottom], n)
        vertices.append(np.column_stack([ring, height]))
        quads = [[0, 1, 2, 3], [4 * n - 1, 4 * n - 2, 4 * n - 3, 4 * n - 4]]
        for i in range(0, 4 * (n - 1), 4):
            quads += [[i + k, i + 4 + k, i + 4 + (k + 1) % 4, i + (k + 1) % 4] for k in range(4)]
        quad = np.array(quads) + base
        # Left border first: this order makes the normals of the top point up.
        faces.append(np.vstack([quad[:, [0, 3, 2]], quad[:, [0, 2, 1]]]))
        base += 4 * n
    _mesh(spec, name, np.vstack(vertices), np.vstack(faces))
    _geom(
        spec.worldbody,
        type=mujoco.mjtGeom.mjGEOM_MESH,
        meshname=name,
        pos=[*origin, 0.0],
        material=material,
    )


def _mesh(spec: mujoco.MjSpec, name: str, vertices: Floats, faces: NDArray) -> None:
    spec.add_mesh(
        name=name,
        uservert=np.asarray(vertices, np.float32).ravel(),
        userface=np.asarray(faces, np.int32).ravel(),
        inertia=mujoco.mjtMeshInertia.mjMESH_INERTIA_SHELL,
    )


def _geom(body: mujoco.MjsBody, **attributes: object) -> None:
    body.add_geom(contype=0, conaffinity=0, mass=0.0, group=1, **attributes)


def _body(spec: mujoco.MjSpec, agent: int, paint: str, parts: list[CarPart]) -> None:
    body = spec.worldbody.add_body(name=f"agent_{agent}", mocap=True)
    for part in parts:
        _geom(
            body,
            type=mujoco.mjtGeom.mjGEOM_MESH,
            meshname=part.name,
            material=paint if part.material == "paint" else part.material,
        )


def _cameras(spec: mujoco.MjSpec, resolution: tuple[int, int]) -> None:
    rig = spec.worldbody.add_body(name="camera_rig", mocap=True)
    for name, eye, target, fovy in (
        ("chase", (-11.0, 0.0, 4.6), (14.0, 0.0, 0.0), 50.0),
        ("overview", (-45.0, 0.0, 55.0), (25.0, 0.0, 0.0), 45.0),
    ):
        forward = np.subtract(target, eye)
        forward = forward / np.linalg.norm(forward)
        # The camera looks along its -z; its x axis points to the right of the car.
        up = np.cross(np.array([0.0, -1.0, 0.0]), forward)
        axes = np.column_stack([[0.0, -1.0, 0.0], up, -forward])
        quaternion = np.zeros(4)
        mujoco.mju_mat2Quat(quaternion, axes.ravel())
        rig.add_camera(
            name=name,
            pos=list(eye),
            quat=quaternion,
            fovy=fovy,
            resolution=list(resolution),
        )
