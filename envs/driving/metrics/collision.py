"""Collisions: overlap of oriented boxes, by the separating axis theorem."""

# A struct made at run time is a variable to the checker.
# mypy: disable-error-code="valid-type"

import warp as wp

from proveout.envs.driving.agents import AgentArrays, threads_of_a_world
from proveout.envs.driving.bodies import Body

wp.set_module_options({"enable_backward": False})


@wp.func
def boxes_overlap(
    dx: float,
    dy: float,
    cos_a: float,
    sin_a: float,
    cos_b: float,
    sin_b: float,
    body_a: Body,
    body_b: Body,
) -> bool:
    """Whether two boxes overlap; touching counts.

    Args:
        dx: centre of b minus centre of a [m]. dy: likewise.
        cos_a: cosine of the heading of a. sin_a: its sine.
        cos_b: cosine of the heading of b. sin_b: its sine.
        body_a: length and width. body_b: likewise.
    """
    cos_between = wp.abs(cos_a * cos_b + sin_a * sin_b)
    sin_between = wp.abs(cos_a * sin_b - sin_a * cos_b)
    length_a = 0.5 * body_a.length
    width_a = 0.5 * body_a.width
    length_b = 0.5 * body_b.length
    width_b = 0.5 * body_b.width
    # In this order a difference of alike bodies adds nothing, not even a rounding.
    longer = length_a - length_b
    wider = width_a - width_b
    along = longer + (length_b * (1.0 + cos_between) + width_b * sin_between)
    across = wider + (width_b * (1.0 + cos_between) + length_b * sin_between)
    if wp.abs(dx * cos_a + dy * sin_a) > along or wp.abs(dy * cos_a - dx * sin_a) > across:
        return False
    along = length_a * (1.0 + cos_between) + width_a * sin_between - longer
    across = width_a * (1.0 + cos_between) + length_a * sin_between - wider
    return wp.abs(dx * cos_b + dy * sin_b) <= along and wp.abs(dy * cos_b - dx * sin_b) <= across


@wp.func
def _radius_squared(body: Body) -> float:
    """Of the circle around it [m^2]."""
    return 0.25 * (body.length * body.length + body.width * body.width)


@wp.func
def collision_partner(
    agents: AgentArrays, bodies: wp.array2d[Body], largest: float, world: int, agent: int
) -> int:
    """Lowest index of an active agent whose body overlaps that of `agent`, -1 for none.

    largest: At least the squared radius of the circle around any of the bodies [m^2].
    """
    row = world % bodies.shape[0]
    x = agents.centre_x[world, agent]
    y = agents.centre_y[world, agent]
    # (a + b)^2 <= 2 (a^2 + b^2)
    reach = 2.0 * (_radius_squared(bodies[row, agent]) + largest)
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
                bodies[row, agent],
                bodies[row, other],
            )
        ):
            return other
    return -1


@wp.kernel
def _latch_collisions(
    # In:
    mask_in: wp.array[wp.bool],
    bodies: wp.array2d[Body],
    stride: int,
    # Out:
    agents: AgentArrays,
):
    worldid, first = wp.tid()
    if not mask_in[worldid]:
        return
    largest = float(0.0)
    for agentid in range(bodies.shape[1]):
        largest = wp.max(largest, _radius_squared(bodies[worldid % bodies.shape[0], agentid]))
    for agentid in range(first, agents.active.shape[1], stride):
        if agents.active[worldid, agentid]:
            other = collision_partner(agents, bodies, largest, worldid, agentid)
            if other >= 0 and not agents.collided[worldid, agentid]:
                agents.collided[worldid, agentid] = True
                agents.collided_with[worldid, agentid] = other


def latch_collisions(mask: wp.array, agents: AgentArrays, bodies: wp.array) -> None:
    """Set `collided` and `collided_with` (the first one) where bodies overlap; clear nothing.

    Args:
        mask: (num_worlds,) bool, worlds to look at.
        agents: written: collided, collided_with.
        bodies: (1 or num_worlds, num_agents) `Body`.
    """
    num_worlds, num_agents = agents.collided.shape
    stride = threads_of_a_world(num_agents, mask.device)
    wp.launch(
        _latch_collisions,
        dim=(num_worlds, stride),
        inputs=[mask, bodies, stride],
        outputs=[agents],
        device=mask.device,
    )
