"""Jacobians of many configurations of one arm at once, on the host, in double precision."""

from __future__ import annotations

from typing import Any

import mujoco
import numpy as np

from proveout.envs.factory.kinematics import chain_links


class ChainJacobian:
    """Geometric Jacobian of a site at the end of hinges and slides.

    Args:
        model: `mujoco.MjModel` that begins with the joints of the arm.
        site: Name of the site.

    Raises:
        ModelError: As `kinematics.chain_links`.
    """

    def __init__(self, model: Any, site: str) -> None:
        links = chain_links(model, site)
        bodies = list(links.bodies)
        self.joints = links.joints
        self._kinds, self._anchors, self._axes = links.kinds, links.anchors, links.axes
        self._positions = np.array(model.body_pos[bodies])
        self._rotations = np.stack([_matrix(model.body_quat[body]) for body in bodies])
        self._site = np.array(model.site_pos[links.site])

    def __call__(self, positions: np.ndarray) -> np.ndarray:
        """The Jacobians.

        Args:
            positions: Joint positions [rad, m], (N, joints).

        Returns:
            (N, 6, joints): velocity [m] and rotation [rad] of the site in the world frame for each
            unit of each joint.
        """
        count = len(positions)
        rotation = np.tile(np.eye(3), (count, 1, 1))
        origin = np.zeros((count, 3))
        axes: list[np.ndarray] = []
        anchors: list[np.ndarray] = []
        turning: list[bool] = []
        for i, kind in enumerate(self._kinds):
            origin = origin + rotation @ self._positions[i]
            rotation = rotation @ self._rotations[i]
            if kind == 0:
                continue
            axis = rotation @ self._axes[i]
            q = positions[:, len(axes)]
            axes.append(axis)
            anchor = origin + rotation @ self._anchors[i]
            anchors.append(anchor)
            turning.append(kind == 1)
            if kind == 1:
                rotation = rotation @ _about(self._axes[i], q)
                origin = anchor - rotation @ self._anchors[i]
            else:
                origin = origin + axis * q[:, None]
        tip = origin + rotation @ self._site
        parts = [
            np.concatenate([np.cross(axis, tip - anchor), axis], axis=1)
            if turns
            else np.concatenate([axis, np.zeros_like(axis)], axis=1)
            for axis, anchor, turns in zip(axes, anchors, turning, strict=True)
        ]
        return np.stack(parts, axis=2)


def _matrix(quat: np.ndarray) -> np.ndarray:
    matrix = np.zeros(9)
    mujoco.mju_quat2Mat(matrix, quat)
    return matrix.reshape(3, 3)


def _about(axis: np.ndarray, angles: np.ndarray) -> np.ndarray:
    """Rotations about a unit axis, (N, 3, 3): Rodrigues' formula."""
    x, y, z = axis
    cross = np.array([[0.0, -z, y], [z, 0.0, -x], [-y, x, 0.0]])
    sines, cosines = np.sin(angles)[:, None, None], np.cos(angles)[:, None, None]
    return np.eye(3) + sines * cross + (1.0 - cosines) * (cross @ cross)
