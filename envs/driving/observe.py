"""What an agent sees of the others: a set of rows in its own frame, and gaps in its lanes.

A row is (present, x, y, vx, vy, cos heading, sin heading): the other body's centre, velocity and
heading relative to the agent's body, in its frame (x ahead, y left). Rows come nearest first, by
distance of the centres and then by index; rows without a neighbour are zero.
"""

import warp as wp

from proveout.envs.driving.agents import AgentArrays
from proveout.envs.driving.traffic.relative import neighbour

wp.set_module_options({"enable_backward": False})

NEIGHBOUR_FEATURES = wp.constant(7)
"""Columns of a neighbour's row."""
FARTHEST_GAP = wp.constant(100.0)
"""Gaps along a lane are observed up to here [m]."""


@wp.func
def nearest(
    agents: AgentArrays,
    world: int,
    agent: int,
    count: int,
    max_distance: float,
    distance_scale: float,
    speed_scale: float,
    row: int,
    start: int,
    out: wp.array2d[float],
):
    """Write the `count` nearest neighbours to out[row, start : start + 7 * count].

    Args:
        agents: their state and derived values.
        world: index. agent: index of the one that looks.
        count: number of rows K.
        max_distance: neighbours further away than this [m] are not seen.
        distance_scale: x and y are multiplied by it. speed_scale: vx and vy are.
        row: of `out`. start: first column of `out`.
        out: observations.
    """
    x = agents.centre_x[world, agent]
    y = agents.centre_y[world, agent]
    c = agents.cos_heading[world, agent]
    s = agents.sin_heading[world, agent]
    v = agents.velocity[world, agent]
    limit = max_distance * max_distance
    # Selection by repeated minimum above the last (distance, index): no storage, stable order.
    last_distance = wp.float32(-1.0)
    last_index = wp.int32(-1)
    for k in range(count):
        best = wp.int32(-1)
        best_distance = float(limit)
        for other in range(agents.active.shape[1]):
            dx = agents.centre_x[world, other] - x
            dy = agents.centre_y[world, other] - y
            distance = dx * dx + dy * dy
            after = distance > last_distance or (distance == last_distance and other > last_index)
            closer = distance < best_distance or (distance == best_distance and best < 0)
            if after and closer and other != agent and agents.active[world, other]:
                best = other
                best_distance = distance
        column = start + NEIGHBOUR_FEATURES * k
        if best < 0:
            for feature in range(NEIGHBOUR_FEATURES):
                out[row, column + feature] = 0.0
            # Nothing further away either: later rows stay empty too.
            last_distance = limit
            last_index = agents.active.shape[1]
        else:
            dx = agents.centre_x[world, best] - x
            dy = agents.centre_y[world, best] - y
            co = agents.cos_heading[world, best]
            so = agents.sin_heading[world, best]
            cos_between = c * co + s * so
            sin_between = c * so - s * co
            vo = agents.velocity[world, best]
            out[row, column] = 1.0
            out[row, column + 1] = distance_scale * (dx * c + dy * s)
            out[row, column + 2] = distance_scale * (dy * c - dx * s)
            out[row, column + 3] = speed_scale * (vo * cos_between - v)
            out[row, column + 4] = speed_scale * (vo * sin_between)
            out[row, column + 5] = cos_between
            out[row, column + 6] = sin_between
            last_distance = best_distance
            last_index = best


@wp.func
def lane_gaps(
    agents: AgentArrays,
    other_in: wp.array3d[int],
    gap_in: wp.array3d[float],
    world: int,
    has_left: bool,
    has_right: bool,
    start: int,
    out: wp.array2d[float],
):
    """Write agent 0's gaps in the own, left and right lane, and the speeds beyond them.

    Columns start to start + 2 of out[world]: gap / `FARTHEST_GAP`, 1 without a car, 0 without a
    lane. The next three: the other's speed minus the own [10 m/s], 0 beyond `FARTHEST_GAP`.

    Args:
        agents: their state.
        other_in: leaders or followers (world, agent, side), -1 where there is none.
        gap_in: bumper to bumper [m], likewise.
        world: index.
        has_left: whether there is a lane to the left. has_right: to the right.
        start: first column.
        out: observations.
    """
    for side in range(3):
        seen = neighbour(agents, other_in, gap_in, world, 0, side)
        there = (side == 0) or (side == 1 and has_left) or (side == 2 and has_right)
        gap = wp.clamp(seen.gap, 0.0, FARTHEST_GAP)
        speed = float(0.0)
        if seen.agent >= 0:
            if gap < FARTHEST_GAP:
                speed = seen.speed
        else:
            gap = wp.where(there, FARTHEST_GAP, 0.0)
        out[world, start + side] = gap / FARTHEST_GAP
        out[world, start + 3 + side] = speed / 10.0


@wp.kernel
def _observe_nearest(
    # In:
    agents: AgentArrays,
    agent: int,
    count: int,
    max_distance: float,
    # Out:
    rows_out: wp.array2d[float],
):
    worldid = wp.tid()
    nearest(agents, worldid, agent, count, max_distance, 1.0, 1.0, worldid, 0, rows_out)


def observe_nearest(
    agents: AgentArrays, agent: int, count: int, max_distance: float, rows: wp.array
) -> None:
    """Neighbours of one agent of each world, in SI units.

    rows: (num_worlds, 7 * count), written. The rest as in `nearest`.
    """
    wp.launch(
        _observe_nearest,
        dim=rows.shape[0],
        inputs=[agents, agent, count, max_distance],
        outputs=[rows],
        device=rows.device,
    )
