"""What UN Regulation 157 asks of a system that keeps its lane."""

import warp as wp

wp.set_module_options({"enable_backward": False})

_SHORTEST = wp.constant(2.0)  # m, which also holds below 2 m/s
_FIRST_SPEED, _FIRST_HEADWAY = wp.constant(2.0), wp.constant(1.0)  # m/s, s
_SECOND_SPEED, _SECOND_HEADWAY = wp.constant(10.0 / 3.6), wp.constant(1.1)  # m/s, s
_BRAKING, _DELAY = wp.constant(6.0), wp.constant(0.35)  # m/s^2, s
_VISIBLE = wp.constant(0.72)  # s


@wp.func
def minimum_following_distance(velocity: float) -> float:
    """Least gap [m] to the vehicle ahead, paragraph 5.2.3.3: speed times a headway.

    The table's headway, 1.0 s at 7.2 km/h and 1.1, 1.2, ... 1.6 s at 10, 20, ... 60 km/h, linear in
    between and on above 60 km/h (ours there: the table ends). Never below 2 m.

    Args:
        velocity: Of the system's vehicle [m/s].
    """
    if velocity <= _FIRST_SPEED:
        return _SHORTEST
    headway = 1.0 + 0.036 * velocity
    if velocity < _SECOND_SPEED:
        share = (velocity - _FIRST_SPEED) / (_SECOND_SPEED - _FIRST_SPEED)
        headway = _FIRST_HEADWAY + share * (_SECOND_HEADWAY - _FIRST_HEADWAY)
    return wp.max(velocity * headway, _SHORTEST)


@wp.func
def cut_in_threshold(closing: float) -> float:
    """Time to collision [s] above which a cut-in must be avoided, paragraph 5.2.5.2: enough to
    brake with 6 m/s^2 after 0.35 s.

    Args:
        closing: The own speed minus that of the vehicle that cuts in [m/s].
    """
    return closing / (2.0 * _BRAKING) + _DELAY


@wp.func
def must_avoid_cut_in(time_to_collision: float, closing: float, visible: float) -> wp.bool:
    """Whether the regulation asks that a collision is avoided, paragraph 5.2.5.2.

    All at the lane intrusion: where the outside of the tyre of the intruder's nearer front wheel
    crosses a line 0.3 m beyond the outside edge of the lane marking.

    Args:
        time_to_collision: [s].
        closing: The own speed minus that of the vehicle that cuts in [m/s].
        visible: For how long its lateral movement was visible before [s].
    """
    return closing > 0.0 and visible >= _VISIBLE and time_to_collision > cut_in_threshold(closing)
