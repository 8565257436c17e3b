"""Post-encroachment time.

Source: B. L. Allen, B. T. Shin, P. J. Cooper, "Analysis of traffic conflicts and collisions",
Transportation Research Record 667 (1978): from the first vehicle leaving the area where two paths
cross until the second one enters it.
"""

import warp as wp

wp.set_module_options({"enable_backward": False})


@wp.func
def post_encroachment_time(
    entered: float, left: float, other_entered: float, other_left: float
) -> float:
    """Time [s] between two vehicles in an area; 0 where both were in it at once, infinite where one
    of them never was.

    Args:
        entered: When the one came in [s], infinite for never. left: When it was out.
        other_entered: When the other came in [s]. other_left: When it was out.
    """
    if not (entered < wp.inf and other_entered < wp.inf):
        return wp.inf
    if entered <= other_entered:
        return wp.max(other_entered - left, 0.0)
    return wp.max(entered - other_left, 0.0)
