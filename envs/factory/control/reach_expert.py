"""Scripted expert of Reach: damped least-squares inverse kinematics from the observation alone."""

from __future__ import annotations

from typing import Any

import numpy as np

from proveout.assets.files.layout import Layout
from proveout.envs.factory.control.jacobian import ChainJacobian


class ReachExpert:
    """Moves the joint targets along the damped pseudo-inverse of the Jacobian.

    Source: Wampler, "Manipulator inverse kinematic solutions based on vector formulations and
    damped least-squares methods", IEEE Trans. SMC 16(1), 1986.

    Args:
        layout: Layout of the observations.
        jacobian: Of the tool.
        max_increment: Largest change of a joint target in one step [rad, m].
        damping: Damping factor of the least squares.
    """

    def __init__(
        self,
        layout: Layout,
        jacobian: ChainJacobian,
        max_increment: float,
        damping: float = 0.05,
    ) -> None:
        self._layout = layout
        self._jacobian = jacobian
        self._max_increment = max_increment
        self._damping = damping

    def predict(self, observations: np.ndarray, **_: Any) -> np.ndarray:
        """Actions, shape (N, joints), for observations, shape (N, size)."""
        entries = self._layout.split(np.asarray(observations))
        angles = entries["joint_position"].astype(np.float64)
        jacobian = self._jacobian(angles)
        error = np.concatenate([entries["goal_offset"], entries["goal_rotation"]], axis=1)
        square = jacobian @ jacobian.transpose(0, 2, 1) + self._damping**2 * np.eye(6)
        solved = np.linalg.solve(square, error[..., None])[..., 0]
        change = np.einsum("nji,nj->ni", jacobian, solved)
        # The targets lead the angles; what they already lead by is not asked for again.
        wanted = change - entries["joint_target_offset"]
        largest = np.abs(wanted).max(axis=1, keepdims=True)
        scale = np.minimum(1.0, self._max_increment / np.maximum(largest, 1e-9))
        return (wanted * scale / self._max_increment).astype(np.float32)
