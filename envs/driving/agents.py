"""State of all agents of all worlds: structure of arrays, each (num_worlds, num_agents)."""

from typing import Any

import warp as wp

wp.set_module_options({"enable_backward": False})


@wp.struct
class AgentArrays:
    """Arrays of `RoadEngine` under the same names, for kernels. Map frame, SI units."""

    # State. Reference point: rear axle.
    active: wp.array2d[wp.bool]  # takes part: moves, is seen, collides
    x: wp.array2d[float]  # [m]
    y: wp.array2d[float]  # [m]
    heading: wp.array2d[float]  # [rad]
    velocity: wp.array2d[float]  # [m/s]
    steering: wp.array2d[float]  # [rad]
    acceleration: wp.array2d[float]  # [m/s^2] in the last physics step
    lane: wp.array2d[int]
    s: wp.array2d[float]  # arc length along the lane [m]
    d: wp.array2d[float]  # lateral offset from the lane's centre line, left positive [m]
    # Latched until `clear`:
    collided: wp.array2d[wp.bool]
    collided_with: wp.array2d[int]  # agent, -1 for none
    off_road: wp.array2d[wp.bool]
    # Derived from the state:
    centre_x: wp.array2d[float]  # geometric centre of the body [m]
    centre_y: wp.array2d[float]  # [m]
    cos_heading: wp.array2d[float]
    sin_heading: wp.array2d[float]
    station: wp.array2d[float]  # of the rear axle along the road's reference line [m]
    stretch: wp.array2d[float]  # ds / dstation of the lane
    lateral: wp.array2d[float]  # of the body's centre from the reference line [m]
    reach: wp.array2d[float]  # half the lateral extent of the body [m]


def threads_of_a_world(num_agents: int, device: Any) -> int:
    """Threads of a kernel that goes through a world's agents; each takes every so many-th of them.

    On CUDA one for each. On the CPU, where a single thread runs them all anyway, one: calling a
    kernel's body, with its structs as arguments, costs as much as it does for half an agent.
    """
    return 1 if device.is_cpu else num_agents
