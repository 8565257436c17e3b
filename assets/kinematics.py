"""Denavit-Hartenberg chains in numpy, in double precision: the oracle for simulated kinematics."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray


@dataclass(frozen=True, kw_only=True)
class DhLink:
    """One row of a table in the distal (standard) Denavit-Hartenberg convention.

    Attributes:
        a: Distance between consecutive z axes along x [m].
        d: Distance between consecutive x axes along z [m].
        alpha: Angle between consecutive z axes about x [rad].
    """

    a: float = 0.0
    d: float = 0.0
    alpha: float = 0.0


def dh_transform(link: DhLink, angle: float) -> NDArray[np.float64]:
    """Pose of the link's frame in the frame before it: Rz(angle) Tz(d) Tx(a) Rx(alpha).

    Formula: Denavit and Hartenberg (1955), distal variant as in Spong, Robot Modeling and
    Control, section 3.2.

    Args:
        link: The row of the table.
        angle: Joint angle theta [rad].

    Returns:
        Homogeneous transform, shape (4, 4).
    """
    cos_q, sin_q = np.cos(angle), np.sin(angle)
    cos_a, sin_a = np.cos(link.alpha), np.sin(link.alpha)
    return np.array(
        [
            [cos_q, -sin_q * cos_a, sin_q * sin_a, link.a * cos_q],
            [sin_q, cos_q * cos_a, -cos_q * sin_a, link.a * sin_q],
            [0.0, sin_a, cos_a, link.d],
            [0.0, 0.0, 0.0, 1.0],
        ]
    )


def forward_kinematics(chain: Sequence[DhLink], q: ArrayLike) -> NDArray[np.float64]:
    """Pose of the last frame of a chain in its base frame.

    Args:
        chain: Rows of the table, base to tool.
        q: Joint angles [rad], shape (len(chain),).

    Returns:
        Homogeneous transform, shape (4, 4).

    Raises:
        ValueError: `q` does not hold one angle for each link.
    """
    angles = np.asarray(q, dtype=np.float64)
    if angles.shape != (len(chain),):
        raise ValueError(f"q has shape {angles.shape}; the chain needs ({len(chain)},).")
    pose = np.eye(4)
    for link, angle in zip(chain, angles, strict=True):
        pose = pose @ dh_transform(link, float(angle))
    return pose
