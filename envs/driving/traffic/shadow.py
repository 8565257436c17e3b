"""What would have happened had the learner been an IDM driver: its lane, simulated beside.

Traffic that keeps its lanes is moved only by what is ahead in the same lane, so the counterfactual
is exact as long as no car but the learner changes lanes: each car follows the same leader for the
whole episode. Longitudinal motion only; on a bend that is arc length along the lane.
"""

from __future__ import annotations

import warp as wp

from proveout.envs.driving.agents import AgentArrays
from proveout.envs.driving.drivers.idm import idm_acceleration, limit_braking
from proveout.envs.driving.drivers.table import DriverColumn

wp.set_module_options({"enable_backward": False})

_DESIRED_SPEED = wp.constant(int(DriverColumn.DESIRED_SPEED))
_HEADWAY = wp.constant(int(DriverColumn.TIME_HEADWAY))
_MINIMUM_GAP = wp.constant(int(DriverColumn.MINIMUM_GAP))
_MAX_ACCELERATION = wp.constant(int(DriverColumn.MAX_ACCELERATION))
_COMFORTABLE = wp.constant(int(DriverColumn.COMFORTABLE_DECELERATION))
_HARDEST = wp.constant(int(DriverColumn.MAX_DECELERATION))


@wp.kernel
def _start_kernel(
    # In:
    mask_in: wp.array[wp.bool],
    agents: AgentArrays,
    # Out:
    leader_out: wp.array2d[int],
    s_out: wp.array2d[float],
    v_out: wp.array2d[float],
):
    worldid, agentid = wp.tid()
    if not mask_in[worldid]:
        return
    s = agents.s[worldid, agentid]
    leader = int(-1)
    nearest = float(1.0e9)
    for other in range(agents.active.shape[1]):
        if agents.active[worldid, other] and agents.lane[worldid, other] == agents.lane[worldid, agentid]:  # fmt: skip # noqa: E501
            ahead = agents.s[worldid, other] - s
            if ahead > 0.0 and ahead < nearest:
                nearest = ahead
                leader = other
    leader_out[worldid, agentid] = leader
    s_out[worldid, agentid] = s
    v_out[worldid, agentid] = agents.velocity[worldid, agentid]


def start_shadow(
    mask: wp.array, agents: AgentArrays, leader: wp.array, s: wp.array, v: wp.array
) -> None:
    """Copy lane positions and speeds of the worlds in the mask, and find everyone's leader.

    leader, s [m], v [m/s]: (num_worlds, num_agents), written.
    """
    wp.launch(
        _start_kernel, dim=s.shape, inputs=[mask, agents], outputs=[leader, s, v], device=s.device
    )


@wp.kernel
def _advance_kernel(
    # In:
    parameters_in: wp.array3d[float],
    leader_in: wp.array2d[int],
    length: float,
    dt: float,
    # In/out:
    s_out: wp.array2d[float],
    v_out: wp.array2d[float],
):
    worldid = wp.tid()
    # Only the learner's speed is asked for, so only the chain of cars ahead of it is moved. It is
    # walked from the learner forward; a car's leader has not moved yet when the car decides.
    agent = int(0)
    for _ in range(s_out.shape[1]):
        if agent >= 0:
            leader = leader_in[worldid, agent]
            v = v_out[worldid, agent]
            gap = float(wp.inf)
            leader_v = float(0.0)
            if leader >= 0:
                gap = s_out[worldid, leader] - s_out[worldid, agent] - length
                leader_v = v_out[worldid, leader]
            acceleration = idm_acceleration(
                v,
                gap,
                leader_v,
                parameters_in[worldid, agent, _DESIRED_SPEED],
                parameters_in[worldid, agent, _HEADWAY],
                parameters_in[worldid, agent, _MINIMUM_GAP],
                parameters_in[worldid, agent, _MAX_ACCELERATION],
                parameters_in[worldid, agent, _COMFORTABLE],
            )
            acceleration = limit_braking(
                acceleration, v, parameters_in[worldid, agent, _HARDEST], dt
            )
            s_out[worldid, agent] = s_out[worldid, agent] + v * dt + 0.5 * acceleration * dt * dt
            v_out[worldid, agent] = v + acceleration * dt
            agent = leader


def advance_shadow(
    parameters: wp.array, leader: wp.array, length: float, dt: float, s: wp.array, v: wp.array
) -> None:
    """One physics step of the learner's shadow and of everyone ahead of it in its first lane.

    Args:
        parameters: driver table, (num_worlds, num_agents, columns).
        leader: from `start_shadow`.
        length: of a car [m].
        dt: [s].
        s: [m]. v: [m/s]. Both written.
    """
    wp.launch(
        _advance_kernel, dim=s.shape[0], inputs=[parameters, leader, length, dt], outputs=[s, v],
        device=s.device,
    )  # fmt: skip
