"""The worlds in viser's scene: models once, then poses."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from proveout.envs.core.scene_pose import ScenePose
from proveout.training.view.pieces import CELL, Piece, SceneParts
from proveout.training.view.placement import NEAR, Placement, grid, turned

_LABEL_HEIGHT = 0.02  # [m] above the ground
_SKY = (214, 226, 238)


class Stage:
    """Draws the poses of several worlds side by side.

    Args:
        server: A `viser.ViserServer`.
        model: The scene of one world, a `mujoco.MjModel`.

    Attributes:
        parts: The scene's pieces.
        placement: Of the worlds that are shown; None before the first ones.
    """

    def __init__(self, server: Any, model: Any) -> None:
        self.parts = SceneParts(model)
        self.placement: Placement | None = None
        self._server, self._scene = server, server.scene
        self._handles: dict[str, Any] = {}
        self._sent: dict[str, tuple[bytes, bytes]] = {}
        self._others: list[Any] = []
        self._worlds: tuple[int, ...] = ()
        self._follow = True
        self._scene.set_up_direction("+z")
        # Several maps of shadows a frame are more than a weak graphics card can do.
        self._scene.configure_default_lights(cast_shadow=False)
        self._scene.set_background_image(np.full((2, 2, 3), _SKY, np.uint8))

    def show(self, worlds: tuple[int, ...], poses: list[ScenePose], follow: bool = True) -> None:
        """Draw these worlds; the first time, or when others are meant, place them anew.

        Args:
            worlds: Their numbers, (W,).
            poses: Of them, W.
            follow: Keep what the scene's camera rides on in its cell, in a large scene.
        """
        if worlds != self._worlds or self.placement is None or follow != self._follow:
            self._worlds, self._follow = worlds, follow
            self._place(poses)
        assert self.placement is not None
        positions, quaternions = self.parts.body_poses(poses)
        motions = self.placement.motions(positions, quaternions)
        centres = positions[:, self.parts.focus, :2]
        with self._server.atomic():
            for piece in self.parts.pieces:
                at, turn = self._instances(piece, positions, quaternions, motions, centres)
                self._put(piece, at.astype(np.float32), turn.astype(np.float32))

    def clear(self) -> None:
        """Take everything away."""
        for handle in (*self._handles.values(), *self._others):
            handle.remove()
        self._handles, self._others, self._sent = {}, [], {}
        self._worlds, self.placement = (), None

    def handle(self, piece: Piece) -> Any:
        """viser's handle of a piece's copies, with what it was told last.

        Raises:
            KeyError: None of it has been drawn yet.
        """
        return self._handles[piece.name]

    def view_of(self, pose: ScenePose, row: int) -> tuple[np.ndarray, np.ndarray, float]:
        """From where to look at one world: position, target [m] and vertical field of view [rad].

        Args:
            pose: Of that world.
            row: Its place among those that are shown.
        """
        assert self.placement is not None
        camera = self.parts.camera(pose)
        alone = replace(self.placement, cells=self.placement.cells[row : row + 1])
        angles, offsets = alone.motions(*self.parts.body_poses([pose]))
        position, target = (
            turned(angles, point[None])[0] + offsets[0]
            for point in (camera.position, camera.target)
        )
        return position, target, camera.field_of_view

    def overview(self, pose: ScenePose) -> tuple[np.ndarray, np.ndarray, float]:
        """From where to look at all worlds, as `view_of`."""
        assert self.placement is not None
        position, target, field = self.view_of(pose, 0)
        if len(self._worlds) == 1:
            return position, target, field
        middle = self.placement.middle + np.array([0.0, 0.0, target[2]])
        wide, deep = self.placement.span
        if self.parts.large:
            # Across the roads all of them, along them what fits.
            wide = 0.0
        reach = 0.5 * max(0.8 * float(wide), float(deep)) / np.tan(0.5 * field)
        away = np.array([0.0, -0.6, 0.8]) * reach * (1.0 if self.parts.large else 1.4)
        return middle + away, middle, field

    def _place(self, poses: list[ScenePose]) -> None:
        self.placement = grid(self.parts, poses, self._follow)
        for handle in self._others:
            handle.remove()
        self._others = []
        ground, span, middle = self.parts.ground, self.placement.span, self.placement.middle
        if ground is not None:
            size = 2.5 * max(float(span.max()), 4.0 if not self.parts.large else 1500.0)
            corners = np.array([[-1, -1, 0], [1, -1, 0], [1, 1, 0], [-1, 1, 0]]) * 0.5 * size
            self._others.append(
                self._scene.add_mesh_simple(
                    "/ground", corners.astype(np.float32), np.array([[0, 1, 2], [0, 2, 3]]),
                    color=ground.colour, position=(*middle[:2], ground.height - 1e-3),
                    cast_shadow=False, receive_shadow=True, side="double",
                )
            )  # fmt: skip
            if not self.parts.large:
                self._others.append(
                    self._scene.add_grid(
                        "/grid", size, size, cell_size=0.25, section_size=1.0,
                        cell_color=(150, 157, 167), section_color=(165, 172, 182),
                        position=(*middle[:2], ground.height), fade_distance=2.0 * size,
                    )
                )  # fmt: skip
        if len(poses) > 1:
            height = (ground.height if ground else 0.0) + _LABEL_HEIGHT
            for world, cell in zip(self._worlds, self.placement.cells, strict=True):
                at = cell - np.array([0.0, 0.42 * self.placement.size[1], 0.0])
                if self.parts.large:
                    at = cell + np.array([-14.0, 0.0, 0.0])
                self._others.append(
                    self._scene.add_label(
                        f"/labels/{world}", str(world), position=(*at[:2], at[2] + height)
                    )
                )

    def _instances(
        self,
        piece: Piece,
        positions: np.ndarray,
        quaternions: np.ndarray,
        motions: tuple[np.ndarray, np.ndarray],
        centres: np.ndarray,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Where the copies of a piece go: positions (I, 3) and quaternions (I, 4)."""
        angles, offsets = motions
        about_z = np.zeros((len(angles), 4))
        about_z[:, 0], about_z[:, 3] = np.cos(0.5 * angles), np.sin(0.5 * angles)
        if piece.centre is not None:
            if not self.parts.large:
                return offsets, about_z
            near = np.abs(centres - piece.centre).max(axis=1) < NEAR + 0.5 * CELL
            return offsets[near], about_z[near]
        at = turned(angles, positions[:, piece.bodies]) + offsets[:, None, :]
        turn = _after(about_z[:, None, :], quaternions[:, piece.bodies])
        if self.parts.large:
            away = np.abs(positions[:, piece.bodies, :2] - centres[:, None, :]).max(axis=2)
            return at[away < NEAR], turn[away < NEAR]
        return at.reshape(-1, 3), turn.reshape(-1, 4)

    def _put(self, piece: Piece, at: np.ndarray, turn: np.ndarray) -> None:
        """Send what has changed."""
        told = (at.tobytes(), turn.tobytes())
        if self._sent.get(piece.name) == told:
            return
        handle = self._handles.get(piece.name)
        if handle is None:
            if not len(at):
                return
            self._handles[piece.name] = self._scene.add_batched_glb(
                f"/pieces/{piece.name}", piece.glb, turn, at, lod="off",
                cast_shadow=piece.centre is None or not self.parts.large,
                receive_shadow=True,
            )  # fmt: skip
        else:
            before = self._sent[piece.name]
            handle.visible = bool(len(at))
            if len(at):
                if before[1] != told[1]:
                    handle.batched_wxyzs = turn
                if before[0] != told[0]:
                    handle.batched_positions = at
        self._sent[piece.name] = told


def _after(about_z: np.ndarray, turns: np.ndarray) -> np.ndarray:
    """Quaternions (..., 4), followed by others that turn about z."""
    c, s = about_z[..., 0], about_z[..., 3]
    w, x, y, z = np.moveaxis(turns, -1, 0)
    return np.stack([c * w - s * z, c * x - s * y, c * y + s * x, c * z + s * w], axis=-1)
