"""Kernels around MuJoCo Warp's step: masked reset, guard, attribution of lost contacts."""

from __future__ import annotations

from typing import Any

import numpy as np
import warp as wp

wp.set_module_options({"enable_backward": False})

# Beyond this a position or speed is nonsense: mjMAXVAL, MuJoCo C's own bound (mj_checkPos).
_MAX_VALUE = wp.constant(1.0e10)


@wp.func
def _sound(row: wp.array2d[float], worldid: int) -> bool:
    for i in range(row.shape[1]):
        # A NaN compares false.
        if not (wp.abs(row[worldid, i]) <= _MAX_VALUE):
            return False
    return True


@wp.kernel
def _note_unsound_kernel(
    # In:
    non_finite: int,
    # Data in:
    qpos_in: wp.array2d[float],
    qvel_in: wp.array2d[float],
    act_in: wp.array2d[float],
    # Out:
    reason_out: wp.array[int],
):
    worldid = wp.tid()
    sound = _sound(qpos_in, worldid) and _sound(qvel_in, worldid) and _sound(act_in, worldid)
    if not sound:
        reason_out[worldid] = reason_out[worldid] | non_finite


def note_unsound(data: Any, non_finite: int, reason: wp.array) -> None:
    """Note the worlds whose state is not finite or beyond all bounds."""
    wp.launch(
        _note_unsound_kernel,
        dim=reason.shape[0],
        inputs=[non_finite, data.qpos, data.qvel, data.act],
        outputs=[reason],
        device=reason.device,
    )


@wp.kernel
def _reset_kernel(
    # In:
    qpos0: wp.array[float],
    mask_in: wp.array[wp.bool],
    # Data out:
    time_out: wp.array[float],
    qpos_out: wp.array2d[float],
    qvel_out: wp.array2d[float],
    act_out: wp.array2d[float],
    ctrl_out: wp.array2d[float],
    qacc_out: wp.array2d[float],
    qacc_warmstart_out: wp.array2d[float],
    qfrc_applied_out: wp.array2d[float],
    xfrc_applied_out: wp.array2d[wp.spatial_vector],
    sensordata_out: wp.array2d[float],
    overflow_out: wp.array[int],
    # Out:
    reason_out: wp.array[int],
):
    worldid = wp.tid()
    if not mask_in[worldid]:
        return
    time_out[worldid] = 0.0
    overflow_out[worldid] = 0
    reason_out[worldid] = 0
    for i in range(qpos_out.shape[1]):
        qpos_out[worldid, i] = qpos0[i]
    for i in range(qvel_out.shape[1]):
        qvel_out[worldid, i] = 0.0
        qacc_out[worldid, i] = 0.0
        qacc_warmstart_out[worldid, i] = 0.0
        qfrc_applied_out[worldid, i] = 0.0
    for i in range(act_out.shape[1]):
        act_out[worldid, i] = 0.0
    for i in range(ctrl_out.shape[1]):
        ctrl_out[worldid, i] = 0.0
    for i in range(xfrc_applied_out.shape[1]):
        xfrc_applied_out[worldid, i] = wp.spatial_vector()
    # Read next before the physics has measured anything in this episode.
    for i in range(sensordata_out.shape[1]):
        sensordata_out[worldid, i] = 0.0


def reset_state(data: Any, qpos0: wp.array, reason: wp.array, mask: wp.array) -> None:
    """Initial state of the worlds in the mask, without what their guard has gathered so far;
    mocap bodies stay where they are."""
    wp.launch(
        _reset_kernel,
        dim=mask.shape[0],
        inputs=[qpos0, mask],
        outputs=[
            data.time, data.qpos, data.qvel, data.act, data.ctrl, data.qacc,
            data.qacc_warmstart, data.qfrc_applied, data.xfrc_applied, data.sensordata,
            data.overflow, reason,
        ],
        device=mask.device,
    )  # fmt: skip


@wp.kernel
def _guard_kernel(
    # In:
    constraint_bits: int,
    other_bits: int,
    non_finite: int,
    constraint_reason: int,
    other_reason: int,
    # Data in:
    qpos_in: wp.array2d[float],
    qvel_in: wp.array2d[float],
    act_in: wp.array2d[float],
    # Data in/out:
    overflow: wp.array[int],
    # In/out:
    reason: wp.array[int],
    invalid: wp.array[int],
):
    worldid = wp.tid()
    found = reason[worldid]
    bits = overflow[worldid]
    if (bits & constraint_bits) != 0:
        found = found | constraint_reason
    if (bits & other_bits) != 0:
        found = found | other_reason
    if not (_sound(qpos_in, worldid) and _sound(qvel_in, worldid) and _sound(act_in, worldid)):
        found = found | non_finite
    invalid[worldid] = invalid[worldid] | found
    reason[worldid] = 0
    overflow[worldid] = 0


def guard(
    data: Any,
    bits: tuple[int, int],
    non_finite: int,
    constraint_reason: int,
    other_reason: int,
    reason: wp.array,
    invalid: wp.array,
) -> None:
    """Or into `invalid` the reasons gathered in this control step, the engine's sticky overflow
    bits, and whether the state is not finite or beyond all bounds; forget reasons and bits."""
    wp.launch(
        _guard_kernel,
        dim=reason.shape[0],
        inputs=[
            bits[0], bits[1], non_finite, constraint_reason, other_reason, data.qpos, data.qvel,
            data.act, data.overflow, reason, invalid,
        ],
        device=reason.device,
    )  # fmt: skip


@wp.kernel
def _attribute_kernel(
    # Model:
    geom_type: wp.array[int],
    geom_rbound: wp.array2d[float],
    geom_margin: wp.array2d[float],
    geom_gap: wp.array2d[float],
    pair_margin: wp.array2d[float],
    pair_gap: wp.array2d[float],
    pairs: wp.array[wp.vec2i],
    pair_ids: wp.array[wp.vec2i],
    nflex: int,
    # Data in:
    naconmax: int,
    nacon_in: wp.array[int],
    ncollision_in: wp.array[int],
    geom_xpos_in: wp.array2d[wp.vec3],
    geom_xmat_in: wp.array2d[wp.mat33],
    # In:
    contact_lost: int,
    # Out:
    reason_out: wp.array[int],
):
    worldid = wp.tid()
    if nacon_in[0] <= naconmax and ncollision_in[0] <= naconmax:
        return
    concerned = nflex > 0
    for p in range(pairs.shape[0]):
        a = pairs[p][0]
        b = pairs[p][1]
        explicit = pair_ids[p][0]
        if explicit >= 0:
            margin = (
                pair_margin[worldid % pair_margin.shape[0], explicit]
                + pair_gap[worldid % pair_gap.shape[0], explicit]
            )
        else:
            margin = (
                geom_margin[worldid % geom_margin.shape[0], a]
                + geom_margin[worldid % geom_margin.shape[0], b]
                + geom_gap[worldid % geom_gap.shape[0], a]
                + geom_gap[worldid % geom_gap.shape[0], b]
            )
        ra = geom_rbound[worldid % geom_rbound.shape[0], a]
        rb = geom_rbound[worldid % geom_rbound.shape[0], b]
        xa = geom_xpos_in[worldid, a]
        xb = geom_xpos_in[worldid, b]
        if geom_type[a] == 0:
            # A plane has no bounding sphere: distance of the other's centre above it.
            rot = geom_xmat_in[worldid, a]
            normal = wp.vec3(rot[0, 2], rot[1, 2], rot[2, 2])
            distance = wp.dot(normal, xb - xa) - rb
        elif geom_type[b] == 0:
            rot = geom_xmat_in[worldid, b]
            normal = wp.vec3(rot[0, 2], rot[1, 2], rot[2, 2])
            distance = wp.dot(normal, xa - xb) - ra
        elif ra == 0.0 or rb == 0.0:
            distance = 0.0  # unbounded (height field, SDF): may touch
        else:
            distance = wp.length(xa - xb) - ra - rb
        # Not less-than, so that a NaN counts as concerned; the engine squares its distances, so
        # rounding needs some room.
        if not (distance > margin + 1.0e-5):
            concerned = True
    if concerned:
        reason_out[worldid] = reason_out[worldid] | contact_lost


def attribute_lost_contacts(model: Any, data: Any, reason: wp.array, contact_lost: int) -> None:
    """When the shared arena was too small, mark every world that may have lost a contact.

    The engine says only that contacts were lost, not whose. A world in which no pair of geoms that
    may collide comes within its bounding spheres, margins and gaps cannot have had one (these are
    the engine's own broad-phase bounds); all others are marked.
    """
    wp.launch(
        _attribute_kernel,
        dim=reason.shape[0],
        inputs=[
            model.geom_type, model.geom_rbound, model.geom_margin, model.geom_gap,
            model.pair_margin, model.pair_gap, model.nxn_geom_pair_filtered,
            model.nxn_pairid_filtered, model.nflex, data.naconmax, data.nacon, data.ncollision,
            data.geom_xpos, data.geom_xmat, contact_lost,
        ],
        outputs=[reason],
        device=reason.device,
    )  # fmt: skip


@wp.kernel
def _subtree_mass_kernel(
    # Model:
    body_parentid: wp.array[int],
    body_mass: wp.array2d[float],
    # In:
    mask_in: wp.array[wp.bool],
    # Model out:
    body_subtreemass_out: wp.array2d[float],
):
    worldid = wp.tid()
    if not mask_in[worldid]:
        return
    nbody = body_parentid.shape[0]
    for b in range(nbody):
        body_subtreemass_out[worldid, b] = body_mass[worldid, b]
    for back in range(nbody - 1):
        b = nbody - 1 - back
        parent = body_parentid[b]
        body_subtreemass_out[worldid, parent] = (
            body_subtreemass_out[worldid, parent] + body_subtreemass_out[worldid, b]
        )


def subtree_mass(model: Any, mask: wp.array) -> None:
    """Masses of the subtrees of the worlds in the mask, from their body masses."""
    wp.launch(
        _subtree_mass_kernel,
        dim=mask.shape[0],
        inputs=[model.body_parentid, model.body_mass, mask],
        outputs=[model.body_subtreemass],
        device=mask.device,
    )


@wp.struct
class NominalBodies:
    """What the model itself says of its bodies.

    Attributes:
        geom: The only geom of a body, -1 where it has none or several, (bodies,).
        size: First size of that geom [m], (bodies,).
        mass: [kg], (bodies,). inertia: [kg m2], (bodies,).
    """

    geom: wp.array[int]
    size: wp.array[float]
    mass: wp.array[float]
    inertia: wp.array[wp.vec3]


def nominal_bodies(model: Any, device: wp.Device) -> NominalBodies:
    """The struct of a `mujoco.MjModel`."""
    single = model.body_geomnum == 1
    geom = np.where(single, model.body_geomadr, -1)
    # A body without a geom of its own takes any size, which is not used.
    size = model.geom_size[np.maximum(geom, 0), 0] if model.ngeom else np.ones(model.nbody)
    bodies = NominalBodies()
    bodies.geom = wp.array(geom.astype(np.int32), dtype=int, device=device)
    bodies.size = wp.array(size.astype(np.float32), dtype=float, device=device)
    bodies.mass = wp.array(model.body_mass.astype(np.float32), dtype=float, device=device)
    bodies.inertia = wp.array(model.body_inertia.astype(np.float32), dtype=wp.vec3, device=device)
    return bodies


@wp.kernel
def _size_inertia_kernel(
    # Model:
    geom_size: wp.array2d[wp.vec3],
    body_mass: wp.array2d[float],
    # In:
    nominal: NominalBodies,
    mask_in: wp.array[wp.bool],
    # Model out:
    body_inertia_out: wp.array2d[wp.vec3],
):
    worldid, body = wp.tid()
    geom = nominal.geom[body]
    if not mask_in[worldid] or geom < 0 or nominal.mass[body] <= 0.0:
        return
    scale = geom_size[worldid, geom][0] / nominal.size[body]
    mass = body_mass[worldid % body_mass.shape[0], body] / nominal.mass[body]
    body_inertia_out[worldid, body] = mass * scale * scale * nominal.inertia[body]


def size_inertia(model: Any, nominal: NominalBodies, mask: wp.array) -> None:
    """Launch: inertias of bodies of one geom from their mass and the size of the geom, which is
    that of the model in all proportions, of the worlds in the mask."""
    wp.launch(
        _size_inertia_kernel,
        dim=(mask.shape[0], nominal.geom.shape[0]),
        inputs=[model.geom_size, model.body_mass, nominal, mask],
        outputs=[model.body_inertia],
        device=mask.device,
    )
