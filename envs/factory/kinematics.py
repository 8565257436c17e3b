"""Forward kinematics of one serial chain inside a kernel, from the compiled model's own numbers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import mujoco
import numpy as np
import warp as wp

from proveout.envs.core.errors import ModelError

wp.set_module_options({"enable_backward": False})

_KINDS = {int(mujoco.mjtJoint.mjJNT_HINGE): 1, int(mujoco.mjtJoint.mjJNT_SLIDE): 2}


@wp.struct
class Chain:
    """Hinges and slides from the world to a site, one after the other.

    Attributes:
        pos, quat: Pose of each link in the frame of the one before, shape (links,).
        anchor, axis: Joint in the link's frame, shape (links,).
        kind: 0 where the link has no joint, 1 for a hinge, 2 for a slide, shape (links,).
        joints: How many joints there are.
        site_pos, site_quat: Pose of the site in the last link.
    """

    pos: wp.array[wp.vec3]
    quat: wp.array[wp.quat]
    anchor: wp.array[wp.vec3]
    axis: wp.array[wp.vec3]
    kind: wp.array[int]
    joints: int
    site_pos: wp.vec3
    site_quat: wp.quat


def _to_quat(wxyz: np.ndarray) -> Any:
    w, x, y, z = (float(value) for value in wxyz)
    return wp.quat(x, y, z, w)


@dataclass(frozen=True)
class ChainLinks:
    """The links from the world to a site of a compiled model, on the host.

    Attributes:
        site: Number of the site.
        bodies: Their numbers, from the base outwards, (links,).
        kinds: 0 for a link without a joint, 1 for a hinge, 2 for a slide, (links,).
        anchors, axes: Of each joint in its link's frame [m], (links, 3).
    """

    site: int
    bodies: tuple[int, ...]
    kinds: tuple[int, ...]
    anchors: np.ndarray
    axes: np.ndarray

    @property
    def joints(self) -> int:
        """How many joints there are."""
        return sum(kind > 0 for kind in self.kinds)


def chain_links(model: Any, site: str) -> ChainLinks:
    """The links that carry a site of a compiled model.

    Raises:
        ModelError: The site is missing, a joint on the way is neither hinge nor slide, or the
            joints on the way are not the first of the model.
    """
    site_id = mujoco.mj_name2id(model, mujoco.mjtObj.mjOBJ_SITE, site)
    if site_id < 0:
        raise ModelError(f"the model has no site named {site!r}; add one at the tool centre point")
    bodies = []
    body = int(model.site_bodyid[site_id])
    while body > 0:
        bodies.append(body)
        body = int(model.body_parentid[body])
    bodies.reverse()
    anchors, axes, kinds = [], [], []
    joints = 0
    for body in bodies:
        count, first = int(model.body_jntnum[body]), int(model.body_jntadr[body])
        if count > 1 or (count and int(model.jnt_type[first]) not in _KINDS):
            raise ModelError(
                f"body {model.body(body).name!r}: one hinge or slide expected in the chain"
            )
        if count and first != joints:
            raise ModelError(
                f"joint {model.joint(first).name!r} is number {first} of the model and {joints} of "
                "the chain: the joints of the arm must be the first"
            )
        joints += count
        kinds.append(_KINDS[int(model.jnt_type[first])] if count else 0)
        anchors.append(model.jnt_pos[first] if count else np.zeros(3))
        axes.append(model.jnt_axis[first] if count else np.array([0.0, 0.0, 1.0]))
    return ChainLinks(
        site_id,
        tuple(bodies),
        tuple(kinds),
        np.reshape(anchors, (-1, 3)),
        np.reshape(axes, (-1, 3)),
    )


def make_chain(model: Any, site: str, device: wp.Device) -> Chain:
    """The chain that carries a site of a compiled model.

    Raises:
        ModelError: As `chain_links`.
    """
    links = chain_links(model, site)
    bodies, site_id = list(links.bodies), links.site
    quats = np.stack([model.body_quat[b][[1, 2, 3, 0]] for b in bodies]).astype(np.float32)
    chain = Chain()
    chain.pos = wp.array(model.body_pos[bodies].astype(np.float32), dtype=wp.vec3, device=device)
    chain.quat = wp.array(quats, dtype=wp.quat, device=device)
    chain.anchor = wp.array(links.anchors.astype(np.float32), dtype=wp.vec3, device=device)
    chain.axis = wp.array(links.axes.astype(np.float32), dtype=wp.vec3, device=device)
    chain.kind = wp.array(np.array(links.kinds, np.int32), dtype=int, device=device)
    chain.joints = links.joints
    chain.site_pos = wp.vec3(*(float(value) for value in model.site_pos[site_id]))
    chain.site_quat = _to_quat(model.site_quat[site_id])
    return chain


@wp.func
def chain_pose(chain: Chain, qpos: wp.array2d[float], worldid: int) -> wp.transform:
    """Pose of the site in the world frame [m] for the joint positions qpos[worldid] [rad, m].

    Not a number without a chain, as of a task that names no tool: its worlds are told as invalid.
    """
    pos = wp.vec3(0.0, 0.0, 0.0)
    if chain.pos.shape[0] == 0:
        pos = wp.vec3(wp.nan, wp.nan, wp.nan)
    quat = wp.quat(0.0, 0.0, 0.0, 1.0)
    joint = int(0)
    for link in range(chain.pos.shape[0]):
        pos = pos + wp.quat_rotate(quat, chain.pos[link])
        quat = quat * chain.quat[link]
        if chain.kind[link] == 1:
            anchor = pos + wp.quat_rotate(quat, chain.anchor[link])
            quat = quat * wp.quat_from_axis_angle(chain.axis[link], qpos[worldid, joint])
            pos = anchor - wp.quat_rotate(quat, chain.anchor[link])
            joint += 1
        elif chain.kind[link] == 2:
            pos = pos + qpos[worldid, joint] * wp.quat_rotate(quat, chain.axis[link])
            joint += 1
    pos = pos + wp.quat_rotate(quat, chain.site_pos)
    return wp.transform(pos, quat * chain.site_quat)


@wp.func
def rotation_vector(source: wp.quat, target: wp.quat) -> wp.vec3:
    """Rotation that takes `source` to `target`, as axis times angle [rad] in the world frame."""
    q = target * wp.quat_inverse(source)
    v = wp.vec3(q[0], q[1], q[2])
    w = q[3]
    if w < 0.0:
        v = -v
        w = -w
    length = wp.length(v)
    if length < 1.0e-6:
        return 2.0 * v
    return (2.0 * wp.atan2(length, w) / length) * v


@wp.func
def matrix_to_quat(m: wp.mat33) -> wp.quat:
    """Quaternion (x, y, z, w) of a rotation matrix."""
    return wp.quat_from_matrix(m)
