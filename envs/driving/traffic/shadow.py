"""What would have happened had the learner been an IDM driver: its lane, simulated beside.

Traffic that keeps its lanes is moved only by what is ahead in the same lane, so the counterfactual
is exact as long as no car but the learner changes lanes: each car follows the same leader for the
whole episode. Longitudinal motion only; on a bend that is arc length along the lane.
"""

from __future__ import annotations

import warp as wp

from proveout.envs.driving.bodies import bumper_distance
from proveout.envs.driving.drivers.idm import idm_acceleration, limit_braking
from proveout.envs.driving.road import Road, body_of

wp.set_module_options({"enable_backward": False})


@wp.func
def start_shadow(
    road: Road, w: int, leader: wp.array2d[int], s: wp.array2d[float], v: wp.array2d[float]
):
    """Copy lane positions [m] and speeds [m/s] of a world, and find everyone's leader.

    leader, s, v: (worlds, agents), row w is written.
    """
    agents = road.agents
    for agent in range(agents.active.shape[1]):
        here = agents.s[w, agent]
        found = int(-1)
        nearest = float(1.0e9)
        for other in range(agents.active.shape[1]):
            if agents.active[w, other] and agents.lane[w, other] == agents.lane[w, agent]:
                ahead = agents.s[w, other] - here
                if ahead > 0.0 and ahead < nearest:
                    nearest = ahead
                    found = other
        leader[w, agent] = found
        s[w, agent] = here
        v[w, agent] = agents.velocity[w, agent]


@wp.func
def advance_shadow(
    road: Road, w: int, leader: wp.array2d[int], s: wp.array2d[float], v: wp.array2d[float]
):
    """One physics step of the learner's shadow and of everyone ahead of it in its first lane.

    leader, s, v: From `start_shadow`; s and v are written.
    """
    # Only the learner's speed is asked for, so only the chain of cars ahead of it is moved. It is
    # walked from the learner forward; a car's leader has not moved yet when the car decides.
    dt = road.physics_dt
    agent = int(0)
    for _ in range(s.shape[1]):
        if agent >= 0:
            ahead = leader[w, agent]
            speed = v[w, agent]
            gap = float(wp.inf)
            relative_speed = float(0.0)
            if ahead >= 0:
                gap = s[w, ahead] - s[w, agent]
                gap -= bumper_distance(body_of(road, w, agent), body_of(road, w, ahead))
                relative_speed = v[w, ahead] - speed
            driver = road.driver[w, agent]
            acceleration = idm_acceleration(speed, gap, relative_speed, driver)
            acceleration = limit_braking(acceleration, speed, driver.max_deceleration, dt)
            s[w, agent] = s[w, agent] + speed * dt + 0.5 * acceleration * dt * dt
            v[w, agent] = speed + acceleration * dt
            agent = ahead
