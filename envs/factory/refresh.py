"""Kinematics of chosen worlds in one kernel: what MuJoCo Warp computes for all worlds in five.

Observing needs poses of the new state twice in a control step: for every world after the physics,
and once more for the few worlds that were reset. The engine's own function has no mask, so its
second call would cost as much as its first.
"""

from __future__ import annotations

from typing import Any

import warp as wp

wp.set_module_options({"enable_backward": False})

# Values of mujoco.mjtJoint.
_FREE = wp.constant(0)
_BALL = wp.constant(1)
_SLIDE = wp.constant(2)


@wp.struct
class Frames:
    """Arrays of the engine's Model and Data that the kernel reads and writes."""

    # Model:
    qpos0: wp.array2d[float]
    body_parentid: wp.array[int]
    body_rootid: wp.array[int]
    body_weldid: wp.array[int]
    body_mocapid: wp.array[int]
    body_jntnum: wp.array[int]
    body_jntadr: wp.array[int]
    body_pos: wp.array2d[wp.vec3]
    body_quat: wp.array2d[wp.quat]
    body_ipos: wp.array2d[wp.vec3]
    body_iquat: wp.array2d[wp.quat]
    jnt_type: wp.array[int]
    jnt_qposadr: wp.array[int]
    jnt_pos: wp.array2d[wp.vec3]
    jnt_axis: wp.array2d[wp.vec3]
    geom_bodyid: wp.array[int]
    geom_pos: wp.array2d[wp.vec3]
    geom_quat: wp.array2d[wp.quat]
    site_bodyid: wp.array[int]
    site_pos: wp.array2d[wp.vec3]
    site_quat: wp.array2d[wp.quat]
    # Data in:
    qpos: wp.array2d[float]
    mocap_pos: wp.array2d[wp.vec3]
    mocap_quat: wp.array2d[wp.quat]
    # Data out:
    xpos: wp.array2d[wp.vec3]
    xquat: wp.array2d[wp.quat]
    xmat: wp.array2d[wp.mat33]
    xipos: wp.array2d[wp.vec3]
    ximat: wp.array2d[wp.mat33]
    xanchor: wp.array2d[wp.vec3]
    xaxis: wp.array2d[wp.vec3]
    geom_xpos: wp.array2d[wp.vec3]
    geom_xmat: wp.array2d[wp.mat33]
    site_xpos: wp.array2d[wp.vec3]
    site_xmat: wp.array2d[wp.mat33]


def frames(model: Any, data: Any) -> Frames:
    """The arrays of an engine's Model and Data as one kernel argument."""
    result = Frames()
    for name in Frames.vars:  # type: ignore[attr-defined]
        setattr(result, name, getattr(model if hasattr(model, name) else data, name))
    return result


# The engine stores quaternions as w, x, y, z in Warp's type, whose own order is x, y, z, w.


@wp.func
def _from_engine(q: wp.quat) -> wp.quat:
    return wp.quat(q[1], q[2], q[3], q[0])


@wp.func
def _to_engine(q: wp.quat) -> wp.quat:
    return wp.quat(q[3], q[0], q[1], q[2])


@wp.func
def _qpos_quat(qpos: wp.array2d[float], worldid: int, adr: int) -> wp.quat:
    """Unit quaternion from four numbers of qpos (w, x, y, z)."""
    return wp.normalize(
        wp.quat(
            qpos[worldid, adr + 1],
            qpos[worldid, adr + 2],
            qpos[worldid, adr + 3],
            qpos[worldid, adr],
        )
    )


@wp.func
def _body(f: Frames, worldid: int, body: int):
    """Write the pose of a body whose parent's pose is there."""
    pos = wp.vec3(0.0, 0.0, 0.0)
    quat = wp.quat(0.0, 0.0, 0.0, 1.0)
    first = f.body_jntadr[body]
    count = f.body_jntnum[body]
    mocap = f.body_mocapid[body]
    if mocap >= 0:
        pos = f.mocap_pos[worldid, mocap]
        quat = wp.normalize(_from_engine(f.mocap_quat[worldid, mocap]))
    elif count > 0 and f.jnt_type[first] == _FREE:
        adr = f.jnt_qposadr[first]
        pos = wp.vec3(f.qpos[worldid, adr], f.qpos[worldid, adr + 1], f.qpos[worldid, adr + 2])
        quat = _qpos_quat(f.qpos, worldid, adr + 3)
        f.xanchor[worldid, first] = pos
        f.xaxis[worldid, first] = f.jnt_axis[worldid % f.jnt_axis.shape[0], first]
    else:
        parent = f.body_parentid[body]
        parent_quat = _from_engine(f.xquat[worldid, parent])
        local = f.body_pos[worldid % f.body_pos.shape[0], body]
        pos = f.xpos[worldid, parent] + wp.quat_rotate(parent_quat, local)
        quat = parent_quat * _from_engine(f.body_quat[worldid % f.body_quat.shape[0], body])
        for k in range(count):
            joint = first + k
            adr = f.jnt_qposadr[joint]
            kind = f.jnt_type[joint]
            joint_pos = f.jnt_pos[worldid % f.jnt_pos.shape[0], joint]
            joint_axis = f.jnt_axis[worldid % f.jnt_axis.shape[0], joint]
            anchor = pos + wp.quat_rotate(quat, joint_pos)
            axis = wp.quat_rotate(quat, joint_axis)
            if kind == _BALL:
                quat = quat * _qpos_quat(f.qpos, worldid, adr)
                pos = anchor - wp.quat_rotate(quat, joint_pos)
            else:
                moved = f.qpos[worldid, adr] - f.qpos0[worldid % f.qpos0.shape[0], adr]
                if kind == _SLIDE:
                    pos = pos + moved * axis
                else:
                    quat = quat * wp.quat_from_axis_angle(joint_axis, moved)
                    pos = anchor - wp.quat_rotate(quat, joint_pos)
            f.xanchor[worldid, joint] = anchor
            f.xaxis[worldid, joint] = axis
        quat = wp.normalize(quat)
    f.xpos[worldid, body] = pos
    f.xquat[worldid, body] = _to_engine(quat)
    f.xmat[worldid, body] = wp.quat_to_matrix(quat)
    inertial = _from_engine(f.body_iquat[worldid % f.body_iquat.shape[0], body])
    f.xipos[worldid, body] = pos + wp.quat_rotate(
        quat, f.body_ipos[worldid % f.body_ipos.shape[0], body]
    )
    f.ximat[worldid, body] = wp.quat_to_matrix(quat * inertial)


@wp.kernel
def _refresh_kernel(
    # In:
    mask_in: wp.array[wp.bool],
    # In/out:
    f: Frames,
):
    worldid = wp.tid()
    if not mask_in[worldid]:
        return
    # Parents come before their children; body 0 is the world and never moves.
    for body in range(1, f.body_parentid.shape[0]):
        _body(f, worldid, body)
    for geom in range(f.geom_bodyid.shape[0]):
        body = f.geom_bodyid[geom]
        if f.body_weldid[body] == 0 and f.body_mocapid[f.body_rootid[body]] == -1:
            continue  # static: the engine has placed it once and for all
        quat = _from_engine(f.xquat[worldid, body])
        local = _from_engine(f.geom_quat[worldid % f.geom_quat.shape[0], geom])
        f.geom_xpos[worldid, geom] = f.xpos[worldid, body] + wp.quat_rotate(
            quat, f.geom_pos[worldid % f.geom_pos.shape[0], geom]
        )
        f.geom_xmat[worldid, geom] = wp.quat_to_matrix(quat * local)
    for site in range(f.site_bodyid.shape[0]):
        body = f.site_bodyid[site]
        quat = _from_engine(f.xquat[worldid, body])
        local = _from_engine(f.site_quat[worldid % f.site_quat.shape[0], site])
        f.site_xpos[worldid, site] = f.xpos[worldid, body] + wp.quat_rotate(
            quat, f.site_pos[worldid % f.site_pos.shape[0], site]
        )
        f.site_xmat[worldid, site] = wp.quat_to_matrix(quat * local)


def refresh_kinematics(arrays: Frames, mask: wp.array) -> None:
    """Launch: poses of bodies, joints, geoms and sites of the worlds in the mask, from qpos."""
    wp.launch(_refresh_kernel, dim=mask.shape[0], inputs=[mask, arrays], device=mask.device)
