"""Distance of two bodies."""

# A struct made at run time is a variable to the checker.
# mypy: disable-error-code="valid-type"

import warp as wp

from proveout.envs.driving.bodies import Body
from proveout.envs.driving.metrics.collision import boxes_overlap

wp.set_module_options({"enable_backward": False})


@wp.func
def _corner_to_box(
    dx: float,
    dy: float,
    cos_a: float,
    sin_a: float,
    cos_b: float,
    sin_b: float,
    body_a: Body,
    body_b: Body,
) -> float:
    """Least squared distance [m^2] of a corner of b from the box a."""
    x = dx * cos_a + dy * sin_a
    y = dy * cos_a - dx * sin_a
    c = 0.5 * (cos_a * cos_b + sin_a * sin_b)
    s = 0.5 * (cos_a * sin_b - sin_a * cos_b)
    least = float(wp.inf)
    for corner in range(4):
        along = wp.where(corner < 2, body_b.length, -body_b.length)
        across = wp.where(corner % 2 == 0, body_b.width, -body_b.width)
        right = wp.max(wp.abs(x + along * c - across * s) - 0.5 * body_a.length, 0.0)
        up = wp.max(wp.abs(y + along * s + across * c) - 0.5 * body_a.width, 0.0)
        least = wp.min(least, right * right + up * up)
    return least


@wp.func
def box_distance(
    dx: float,
    dy: float,
    cos_a: float,
    sin_a: float,
    cos_b: float,
    sin_b: float,
    body_a: Body,
    body_b: Body,
) -> float:
    """Distance [m] between two boxes, 0 where they overlap.

    Boxes that do not overlap are nearest at a corner of one of them.

    Args:
        dx: Centre of b minus centre of a [m]. dy: Likewise.
        cos_a: Cosine of the heading of a. sin_a: Its sine.
        cos_b: Cosine of the heading of b. sin_b: Its sine.
        body_a: Length and width. body_b: Likewise.
    """
    if boxes_overlap(dx, dy, cos_a, sin_a, cos_b, sin_b, body_a, body_b):
        return 0.0
    there = _corner_to_box(dx, dy, cos_a, sin_a, cos_b, sin_b, body_a, body_b)
    back = _corner_to_box(-dx, -dy, cos_b, sin_b, cos_a, sin_a, body_b, body_a)
    return wp.sqrt(wp.min(there, back))
