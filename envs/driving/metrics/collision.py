"""Collisions: overlap of oriented boxes, by the separating axis theorem."""

import warp as wp

from proveout.envs.driving.agents import AgentArrays, threads_of_a_world

wp.set_module_options({"enable_backward": False})


@wp.func
def boxes_overlap(
    dx: float,
    dy: float,
    cos_a: float,
    sin_a: float,
    cos_b: float,
    sin_b: float,
    half_length: float,
    half_width: float,
) -> bool:
    """Whether two boxes of the same size overlap; touching counts.

    Args:
        dx: centre of b minus centre of a [m]. dy: likewise.
        cos_a: cosine of the heading of a. sin_a: its sine.
        cos_b: cosine of the heading of b. sin_b: its sine.
        half_length: [m]. half_width: [m].
    """
    cos_between = wp.abs(cos_a * cos_b + sin_a * sin_b)
    sin_between = wp.abs(cos_a * sin_b - sin_a * cos_b)
    along = half_length * (1.0 + cos_between) + half_width * sin_between
    across = half_width * (1.0 + cos_between) + half_length * sin_between
    if wp.abs(dx * cos_a + dy * sin_a) > along or wp.abs(dy * cos_a - dx * sin_a) > across:
        return False
    return wp.abs(dx * cos_b + dy * sin_b) <= along and wp.abs(dy * cos_b - dx * sin_b) <= across


@wp.func
def collision_partner(
    agents: AgentArrays, half_length: float, half_width: float, world: int, agent: int
) -> int:
    """Lowest index of an active agent whose body overlaps that of `agent`, -1 for none."""
    x = agents.centre_x[world, agent]
    y = agents.centre_y[world, agent]
    reach = 4.0 * (half_length * half_length + half_width * half_width)
    for other in range(agents.active.shape[1]):
        dx = agents.centre_x[world, other] - x
        dy = agents.centre_y[world, other] - y
        if (
            dx * dx + dy * dy <= reach
            and other != agent
            and agents.active[world, other]
            and boxes_overlap(
                dx,
                dy,
                agents.cos_heading[world, agent],
                agents.sin_heading[world, agent],
                agents.cos_heading[world, other],
                agents.sin_heading[world, other],
                half_length,
                half_width,
            )
        ):
            return other
    return -1


@wp.kernel
def _latch_collisions(
    # In:
    mask_in: wp.array[wp.bool],
    half_length: float,
    half_width: float,
    stride: int,
    # Out:
    agents: AgentArrays,
):
    worldid, first = wp.tid()
    if not mask_in[worldid]:
        return
    for agentid in range(first, agents.active.shape[1], stride):
        if agents.active[worldid, agentid]:
            other = collision_partner(agents, half_length, half_width, worldid, agentid)
            if other >= 0 and not agents.collided[worldid, agentid]:
                agents.collided[worldid, agentid] = True
                agents.collided_with[worldid, agentid] = other


def latch_collisions(
    mask: wp.array, agents: AgentArrays, half_length: float, half_width: float
) -> None:
    """Set `collided` and `collided_with` (the first one) where bodies overlap; clear nothing.

    Args:
        mask: (num_worlds,) bool, worlds to look at.
        agents: written: collided, collided_with.
        half_length: of every body [m]. half_width: likewise.
    """
    num_worlds, num_agents = agents.collided.shape
    stride = threads_of_a_world(num_agents, mask.device)
    wp.launch(
        _latch_collisions,
        dim=(num_worlds, stride),
        inputs=[mask, half_length, half_width, stride],
        outputs=[agents],
        device=mask.device,
    )
