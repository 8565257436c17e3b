"""Where the worlds stand on the page: side by side in a grid."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from proveout.envs.core.scene_pose import ScenePose
from proveout.training.view.pieces import SceneParts

# Of a scene in which a camera follows one body: how far around it things are drawn [m].
NEAR = 140.0
_WIDE, _DEEP = 2.6 * NEAR, 45.0  # [m] a cell of such a scene, along x and y
_GAP = 1.15  # times what a world shows


@dataclass(frozen=True)
class Placement:
    """A grid of worlds.

    Attributes:
        cells: Where each world's origin, or the body that is followed, goes [m], (W, 3).
        size: Of a cell [m], (2,).
        follows: Number of the followed body; 0 where worlds stay where they are.
    """

    cells: np.ndarray
    size: np.ndarray
    follows: int

    def motions(
        self, positions: np.ndarray, quaternions: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """How everything in each world is moved: by an angle about z, then by an offset.

        A followed body stays in its cell and looks along x, so that roads that bend do not cross
        those of the next world.

        Args:
            positions: Of the bodies [m], (W, bodies, 3).
            quaternions: Likewise, (W, bodies, 4).

        Returns:
            Angles [rad], (W,), and offsets [m], (W, 3).
        """
        angles, offsets = np.zeros(len(self.cells)), self.cells.copy()
        if self.follows:
            w, x, y, z = quaternions[:, self.follows].T
            angles = -np.arctan2(2.0 * (w * z + x * y), 1.0 - 2.0 * (y * y + z * z))
            followed = turned(angles, positions[:, self.follows])
            offsets[:, :2] -= followed[:, :2]
        return angles, offsets

    @property
    def middle(self) -> np.ndarray:
        """Centre of the grid [m], (3,)."""
        centre: np.ndarray = self.cells.mean(axis=0)
        return centre

    @property
    def span(self) -> np.ndarray:
        """Size of the whole grid [m], (2,)."""
        span: np.ndarray = np.ptp(self.cells[:, :2], axis=0) + self.size
        return span


def grid(parts: SceneParts, poses: Sequence[ScenePose], follow: bool = True) -> Placement:
    """Place worlds side by side, in a grid about as wide as it is deep.

    Args:
        parts: The scene.
        poses: Of the worlds at first, W of them.
        follow: In a large scene, keep the followed body of each world in its cell.
    """
    count = len(poses)
    follows = parts.focus if follow and parts.large else 0
    if parts.large:
        size = np.array([_WIDE, _DEEP])
    else:
        size = np.maximum(_GAP * parts.extent(poses), 0.2)
    columns = max(1, min(count, round(math.sqrt(count * size[1] / size[0]))))
    if count == 1:
        return Placement(np.zeros((1, 3)), size, follows)
    rows = -(-count // columns)
    cells = np.zeros((count, 3))
    for world in range(count):
        row, column = divmod(world, columns)
        cells[world, 0] = (column - (columns - 1) / 2) * size[0]
        # The first world is the farthest row's, as one reads.
        cells[world, 1] = ((rows - 1) / 2 - row) * size[1]
    return Placement(cells, size, follows)


def turned(angles: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Points (W, ..., 3) turned about z by angles (W,) [rad]."""
    shape = (len(angles), *[1] * (points.ndim - 2))
    c, s = np.cos(angles).reshape(shape), np.sin(angles).reshape(shape)
    x, y, z = np.moveaxis(points, -1, 0)
    return np.stack([c * x - s * y, s * x + c * y, z], axis=-1)
