"""A scene as pieces that move as one: each set of identical rigid bodies is one model, drawn often.

Worlds of a batch are alike and so are many bodies in a world, such as cars: a page that is told
each model once and then only poses stays fast.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import mujoco
import numpy as np
import trimesh

from proveout.envs.core.render import CAMERA, write_pose
from proveout.envs.core.scene_pose import ScenePose
from proveout.training.view.shapes import geom_colour, geom_mesh

# The ray tracer draws these groups of geoms.
_DRAWN_GROUPS = 3
CELL = 100.0  # [m] side of the squares into which what never moves is divided
_LARGE = 400.0  # [m] a scene beyond this is shown around each world's focus only


@dataclass(frozen=True)
class Piece:
    """A model and the bodies that look like it.

    Attributes:
        name: Unique in its scene.
        glb: The model, binary glTF in the frame of the body.
        bodies: Of the scene's model, (B,); body 0 for what never moves.
        centre: Middle of what never moves [m], (2,); None for what moves.
    """

    name: str
    glb: bytes
    bodies: np.ndarray
    centre: np.ndarray | None = None


@dataclass(frozen=True)
class Ground:
    """The plane below everything: its height [m] and its colour, red, green and blue 0 to 255."""

    height: float
    colour: tuple[int, int, int]


@dataclass(frozen=True)
class Camera:
    """Where the scene's own camera stands at first, and what it looks at [m], (3,) each."""

    position: np.ndarray
    target: np.ndarray
    field_of_view: float  # [rad], vertical


class SceneParts:
    """What there is to draw of a scene, and where it is.

    Args:
        model: The `mujoco.MjModel` of the scene.

    Attributes:
        pieces: What moves first.
        ground: None where the scene has no plane.
        focus: Body that the scene's camera rides on; 0 where it stands still.
        large: What never moves reaches so far that only a part of it is worth drawing.
    """

    def __init__(self, model: Any) -> None:
        self._model = model
        self._data = mujoco.MjData(model)
        mujoco.mj_kinematics(model, self._data)
        camera = max(0, mujoco.mj_name2id(model, mujoco.mjtObj.mjOBJ_CAMERA, CAMERA))
        self._camera = camera
        self.focus = int(model.cam_bodyid[camera]) if model.ncam else 0
        is_plane = model.geom_type == mujoco.mjtGeom.mjGEOM_PLANE
        drawn = (model.geom_group < _DRAWN_GROUPS) & ~is_plane
        carrier = model.body_weldid[model.geom_bodyid]
        still = np.flatnonzero(drawn & (carrier == 0))
        places = self._data.geom_xpos[still, :2]
        self.large = bool(len(still)) and bool(np.ptp(places, axis=0).max() > _LARGE)
        self.ground = self._ground(np.flatnonzero(is_plane))
        self.pieces = (*self._moving(drawn & (carrier != 0), carrier), *self._still(still))

    def body_poses(self, poses: Sequence[ScenePose]) -> tuple[np.ndarray, np.ndarray]:
        """Where every body is in every world.

        Args:
            poses: Of W worlds.

        Returns:
            Positions [m], (W, bodies, 3), and quaternions (w, x, y, z), (W, bodies, 4).
        """
        positions, quaternions = [], []
        for pose in poses:
            write_pose(self._model, self._data, pose)
            positions.append(self._data.xpos.copy())
            quaternions.append(self._data.xquat.copy())
        return np.stack(positions), np.stack(quaternions)

    def camera(self, pose: ScenePose) -> Camera:
        """The scene's camera in a world of this pose."""
        write_pose(self._model, self._data, pose)
        if not self._model.ncam:
            return Camera(np.array([2.0, 2.0, 1.5]), np.zeros(3), 0.8)
        position = self._data.cam_xpos[self._camera].copy()
        forward = -self._data.cam_xmat[self._camera].reshape(3, 3)[:, 2]
        # Down to the ground, or as far as the middle of what moves is.
        distance = 2.0 * float(self._model.stat.extent)
        moving = [body for piece in self.pieces for body in piece.bodies if body]
        if moving and not self.large:
            middle = self._data.xpos[moving].mean(axis=0)
            distance = float(np.linalg.norm(middle - position))
        elif forward[2] < -1e-3:
            distance = float((position[2] - self._height()) / -forward[2])
        field = float(np.deg2rad(self._model.cam_fovy[self._camera]))
        return Camera(position, position + distance * forward, field)

    def extent(self, poses: Sequence[ScenePose]) -> np.ndarray:
        """Size of what a world shows, over all poses, along x and y [m], (2,)."""
        low, high = np.full(2, np.inf), np.full(2, -np.inf)
        model = self._model
        shown = (model.geom_type != mujoco.mjtGeom.mjGEOM_PLANE) & (
            model.geom_group < _DRAWN_GROUPS
        )
        for pose in poses:
            write_pose(model, self._data, pose)
            places, radius = self._data.geom_xpos[shown, :2], model.geom_rbound[shown, None]
            low = np.minimum(low, (places - radius).min(axis=0, initial=0.0))
            high = np.maximum(high, (places + radius).max(axis=0, initial=0.0))
        return high - low

    def _height(self) -> float:
        return self.ground.height if self.ground else 0.0

    def _ground(self, planes: np.ndarray) -> Ground | None:
        if not len(planes):
            return None
        plane = min(planes, key=lambda geom: self._data.geom_xpos[geom, 2])
        red, green, blue, _ = (round(255 * c) for c in geom_colour(self._model, plane))
        return Ground(float(self._data.geom_xpos[plane, 2]), (red, green, blue))

    def _moving(self, chosen: np.ndarray, carrier: np.ndarray) -> list[Piece]:
        alike: dict[tuple[Any, ...], list[int]] = {}
        for body in np.unique(carrier[chosen]):
            geoms = np.flatnonzero(chosen & (carrier == body))
            look = tuple(self._look(int(geom), int(body)) for geom in geoms)
            alike.setdefault(look, []).append(int(body))
        pieces = []
        for bodies in alike.values():
            first = bodies[0]
            geoms = np.flatnonzero(chosen & (carrier == first))
            glb = self._glb(geoms, self._frame(first))
            pieces.append(Piece(f"bodies_{first}", glb, np.array(bodies)))
        return pieces

    def _still(self, geoms: np.ndarray) -> list[Piece]:
        if not len(geoms):
            return []
        cells = np.zeros((len(geoms), 2), int)
        if self.large:
            cells = np.floor(self._data.geom_xpos[geoms, :2] / CELL).astype(int)
        pieces = []
        for i, cell in enumerate(np.unique(cells, axis=0)):
            of_cell = geoms[(cells == cell).all(axis=1)]
            centre = self._data.geom_xpos[of_cell, :2].mean(axis=0)
            glb = self._glb(of_cell, np.eye(4), seen_from_above=self.large)
            pieces.append(Piece(f"still_{i}", glb, np.zeros(1, int), centre))
        return pieces

    def _frame(self, body: int) -> np.ndarray:
        frame = np.eye(4)
        frame[:3, :3] = self._data.xmat[body].reshape(3, 3)
        frame[:3, 3] = self._data.xpos[body]
        return frame

    def _geom_frame(self, geom: int, body: int) -> np.ndarray:
        """Of a geom in the frame of the body that carries it."""
        frame = np.eye(4)
        frame[:3, :3] = self._data.geom_xmat[geom].reshape(3, 3)
        frame[:3, 3] = self._data.geom_xpos[geom]
        return np.linalg.inv(self._frame(body)) @ frame

    def _look(self, geom: int, body: int) -> tuple[Any, ...]:
        """What two geoms share that look the same in their bodies' frames."""
        model = self._model
        frame = np.round(self._geom_frame(geom, body), 5) + 0.0
        return (
            int(model.geom_type[geom]), int(model.geom_dataid[geom]),
            tuple(np.round(model.geom_size[geom], 6)), geom_colour(model, geom), frame.tobytes(),
        )  # fmt: skip

    def _glb(self, geoms: np.ndarray, frame: np.ndarray, seen_from_above: bool = False) -> bytes:
        """A model of geoms in a frame, one mesh a colour."""
        inverse = np.linalg.inv(frame)
        by_colour: dict[tuple[float, ...], list[trimesh.Trimesh]] = {}
        for geom in geoms:
            mesh = geom_mesh(self._model, geom)
            if mesh is None:
                continue
            mesh.apply_transform(inverse @ self._geom_frame(geom, 0))
            if seen_from_above:
                mesh.update_faces(mesh.face_normals[:, 2] > -0.5)
            by_colour.setdefault(geom_colour(self._model, geom), []).append(mesh)
        scene = trimesh.Scene()
        for colour, meshes in by_colour.items():
            joined = trimesh.util.concatenate(meshes)
            # Edges sharper than this stay sharp.
            joined = trimesh.graph.smooth_shade(joined, angle=np.deg2rad(35.0))
            material = trimesh.visual.material.PBRMaterial(
                # glTF has linear colours, MuJoCo those of the screen.
                baseColorFactor=(*(c**2.2 for c in colour[:3]), colour[3]),
                metallicFactor=0.05, roughnessFactor=0.6,
                alphaMode="BLEND" if colour[3] < 1.0 else "OPAQUE",
            )  # fmt: skip
            joined.visual = trimesh.visual.TextureVisuals(material=material)
            scene.add_geometry(joined)
        exported = scene.export(file_type="glb", include_normals=True)
        assert isinstance(exported, bytes)
        return exported
