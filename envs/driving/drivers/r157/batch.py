"""Outcomes of the published scenario families on a device: every case is a thread, in float32.

The same outcomes as `outcomes`, from the functions that drive agents in worlds. The other vehicles'
trajectories come from the host, as distances from the ego's preset; what the ego falls behind it is
integrated here.
"""

from enum import IntEnum
from typing import Any

import numpy as np
import warp as wp

from proveout.envs.driving.drivers.r157 import constants as c
from proveout.envs.driving.drivers.r157.constants import ReferenceModel
from proveout.envs.driving.drivers.r157.control import (
    ReferenceMemory,
    Situation,
    check_situation,
    gap_of,
    next_speed,
)
from proveout.envs.driving.drivers.r157.families import (
    Presets,
    car_following,
    cut_in,
    cut_out,
)
from proveout.envs.driving.drivers.r157.models import Floats, following_distance
from proveout.envs.driving.drivers.r157.outcomes import CarFollowing, CutIn, CutOut

wp.set_module_options({"enable_backward": False})


class _Family(IntEnum):
    CUT_IN = 0
    CUT_OUT = 1
    CAR_FOLLOWING = 2


_CUT_IN, _CUT_OUT = wp.constant(int(_Family.CUT_IN)), wp.constant(int(_Family.CUT_OUT))
_CAR_FOLLOWING = wp.constant(int(_Family.CAR_FOLLOWING))
_STEP, _LENGTH, _WIDTH = wp.constant(c.STEP), wp.constant(c.LENGTH), wp.constant(c.WIDTH)
_TO_STOPPED = wp.constant(0.5 * (c.LENGTH + c.STOPPED_LENGTH))  # m: half of both lengths
# Between the sides of ego and lead where the lead has wandered so far [m].
_WANDERED = wp.constant(c.CUT_OUT_WANDER - c.WIDTH)


@wp.struct
class _Cases:
    """Presets: time first, (samples, cases), or (cases,)."""

    ahead: wp.array2d[float]  # centre of the other vehicle minus the ego's [m]
    stopped: wp.array2d[float]  # likewise of the stopped one; (samples, 0) without one
    side: wp.array2d[float]  # between the sides of ego and other [m]
    v: wp.array2d[float]  # [m/s]
    lateral: wp.array2d[float]  # [m/s]
    ego_v: wp.array[float]  # [m/s]
    samples: wp.array[int]


@wp.struct
class _Results:
    """What came out, (cases,) each."""

    crash_type: wp.array[int]
    front_crash: wp.array[int]
    min_ttc: wp.array[float]
    speed_difference: wp.array[float]
    cfs: wp.array[float]
    pfs: wp.array[float]


@wp.func
def planar_ttc(ahead: float, side: float, velocity: float, other_velocity: float, lateral: float):
    """Time [s] until two boxes of the published size overlap both along and across, at most 4.

    Args:
        ahead: Centre of the other minus the ego's [m].
        side: Between their sides [m], negative where they overlap.
        velocity: Of the ego [m/s]. other_velocity: [m/s].
        lateral: Speed of the other [m/s], negative towards the ego.
    """
    gap = ahead - _LENGTH
    closing = velocity - other_velocity
    along = float(4.0)
    if closing > 0.0:
        along = wp.min(gap / closing, 4.0)
    if gap < -2.0 * _LENGTH:
        along = 10.0
    elif gap <= 0.0 and gap > -2.0 * _LENGTH:
        along = 0.0
    across = float(0.0)
    if side >= 0.0:
        towards = -lateral
        if lateral == 0.0:
            towards = 0.001
        across = wp.min(side / towards, 4.0)
    return wp.max(along, across)


@wp.kernel
def run_kernel(
    # In:
    model: int,
    family: int,
    cases: _Cases,
    # Out:
    memory: ReferenceMemory,
    results: _Results,
):
    case = wp.tid()
    wanted = cases.ego_v[case]
    velocity = float(wanted)
    before = float(wanted)
    behind = float(0.0)  # m that the ego is short of its preset
    ended = bool(False)
    front = bool(False)
    asked = bool(False)
    frozen = float(0.0)  # m from the front crash to the stopped vehicle
    frozen_side = float(0.0)
    crash = int(0)
    least = float(4.0)
    difference = float(0.0)
    for i in range(cases.samples[case]):
        v = cases.v[i, case]
        if family == _CUT_IN:
            # Where a run has ended, its samples are those of an ego that never braked.
            least = wp.min(
                least,
                planar_ttc(
                    cases.ahead[i, case] + behind,
                    cases.side[i, case],
                    velocity,
                    v,
                    cases.lateral[i, case],
                ),
            )
            if ended:
                behind = 0.0
                velocity = wanted
                continue
        elif ended:
            break
        if i == cases.samples[case] - 1:
            break
        seen = Situation()
        seen.distance = cases.ahead[i, case] + behind
        seen.half_lengths = _LENGTH
        seen.side = cases.side[i, case]
        seen.other_velocity = v
        seen.lateral = cases.lateral[i, case]
        seen.velocity = velocity
        seen.acceleration = (velocity - before) / _STEP
        before = velocity
        sees = bool(True)
        if family == _CUT_OUT:
            between = cases.stopped[i, case] - cases.ahead[i, case]
            if not front and seen.side < 0.0 and wp.abs(between) < _TO_STOPPED:
                front = True
                frozen = between
                frozen_side = seen.side
            seen.other_velocity = 0.0
            seen.lateral = 0.0
            seen.distance = cases.stopped[i, case] + behind
            if front:
                seen.distance = seen.distance - frozen
                seen.side = frozen_side
            else:
                seen.half_lengths = _TO_STOPPED
                sees = seen.side > _WANDERED
                seen.side = -_WIDTH
        if sees:
            found = check_situation(model, seen, family == _CUT_IN, memory, case, 0)
            velocity = next_speed(model, velocity, wanted, found == 1, _STEP, memory, case, 0)
            ended = found == 2
            if crash == 0 and seen.side < 0.0 and gap_of(seen) < 0.0:
                crash = wp.where(seen.distance < 0.0, 1, 2)
            cfs = memory.cfs[case, 0]
            pfs = memory.pfs[case, 0]
            if family == _CUT_OUT:
                if not front and not asked:
                    asked = True
                    results.cfs[case] = cfs
                    results.pfs[case] = pfs
            else:
                results.cfs[case] = wp.max(results.cfs[case], cfs)
                results.pfs[case] = wp.max(results.pfs[case], pfs)
        if family != _CUT_IN and before == 0.0:
            ended = True
        elif family == _CAR_FOLLOWING and crash != 0:
            ended = True
            difference = before - v
        behind += (wanted - velocity) * _STEP
    if front:
        results.cfs[case] = 0.0
        results.pfs[case] = 0.0
    results.crash_type[case] = crash
    results.front_crash[case] = wp.where(front, 1, 0)
    results.min_ttc[case] = least
    results.speed_difference[case] = difference


def _run(model: ReferenceModel, family: _Family, presets: Presets, device: Any) -> dict[str, Any]:
    count = presets.x.shape[1]
    cases, memory, results = _Cases(), ReferenceMemory(), _Results()

    def put(values: Any, dtype: Any = np.float32) -> wp.array:
        return wp.array(np.ascontiguousarray(values, dtype), device=device)

    cases.ahead = put(presets.x - presets.ego_x)
    none = np.zeros((len(presets.x), 0))
    cases.stopped = put(none if presets.stopped_x is None else presets.stopped_x - presets.ego_x)
    cases.side = put(np.abs(presets.y) - c.WIDTH / 2.0 - c.WIDTH / 2.0)
    cases.v, cases.lateral = put(presets.v), put(presets.lateral)
    cases.ego_v, cases.samples = put(presets.ego_v[0]), put(presets.samples, np.int32)
    kinds: tuple[Any, Any] = (ReferenceMemory, _Results)  # the checker sees no struct there
    for kind, struct, shape in zip(kinds, (memory, results), ((count, 1), (count,)), strict=True):
        for name, variable in kind.vars.items():
            setattr(struct, name, wp.zeros(shape, dtype=variable.type.dtype, device=device))
    wp.launch(
        run_kernel,
        dim=count,
        inputs=[int(model), int(family), cases],
        outputs=[memory, results],
        device=device,
    )
    return {name: getattr(results, name).numpy() for name in kinds[1].vars}


def run_cut_in_on(
    device: Any,
    model: ReferenceModel,
    ego_v: Floats,
    other_v: Floats,
    gap: Floats,
    lateral: Floats,
) -> CutIn:
    """`outcomes.run_cut_in` on a device."""
    out = _run(model, _Family.CUT_IN, cut_in(ego_v, other_v, gap, lateral), device)
    return CutIn(out["crash_type"], out["min_ttc"], out["cfs"], out["pfs"])


def run_cut_out_on(
    device: Any, model: ReferenceModel, v: Floats, front_gap: Floats, lateral: Floats
) -> CutOut:
    """`outcomes.run_cut_out` on a device."""
    gap = following_distance(model, v)
    out = _run(model, _Family.CUT_OUT, cut_out(v, gap, front_gap, lateral), device)
    return CutOut(out["crash_type"] > 0, out["front_crash"] > 0, gap, out["cfs"], out["pfs"])


def run_car_following_on(
    device: Any, model: ReferenceModel, v: Floats, deceleration: Floats
) -> CarFollowing:
    """`outcomes.run_car_following` on a device."""
    gap = following_distance(model, v)
    out = _run(model, _Family.CAR_FOLLOWING, car_following(v, gap, deceleration), device)
    return CarFollowing(out["crash_type"] > 0, gap, out["speed_difference"], out["cfs"], out["pfs"])
