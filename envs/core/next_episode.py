"""Which episode a world takes next, where that is not simply its own next one.

A sweep streams its rows through the worlds: a world that ends an episode begins the one that waits
for it in the same step, so that no world waits for the slowest.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import warp as wp

wp.set_module_options({"enable_backward": False})

# Arrays of the exchange that say what an episode is; those that wait are named "next_...".
EPISODE = ("seed", "world_id", "episode", "parameter_override", "number_override")


@wp.struct
class Next:
    """Episodes that wait, and where they go, of all worlds (N).

    Attributes:
        waits: Whether one waits; false as soon as it has begun, (N,).
        next_seed, next_world_id, next_episode: Key of its random numbers, (N,).
        next_parameter, next_number: What replaces random draws and numbers of the config.
        seed, world_id, episode, parameter, number: Likewise, of the present episode.
    """

    waits: wp.array[wp.bool]
    next_seed: wp.array[wp.uint64]
    next_world_id: wp.array[int]
    next_episode: wp.array[int]
    next_parameter: wp.array2d[float]
    next_number: wp.array2d[float]
    seed: wp.array[wp.uint64]
    world_id: wp.array[int]
    episode: wp.array[int]
    parameter: wp.array2d[float]
    number: wp.array2d[float]


def make_next(exchange: Mapping[str, wp.array]) -> Next:
    """The struct on arrays of the exchange."""
    made = Next()
    made.waits = exchange["next_waits"]
    made.next_seed, made.next_world_id = exchange["next_seed"], exchange["next_world_id"]
    made.next_episode = exchange["next_episode"]
    made.next_parameter = exchange["next_parameter_override"]
    made.next_number = exchange["next_number_override"]
    made.seed, made.world_id, made.episode = (
        exchange[name] for name in ("seed", "world_id", "episode")
    )
    made.parameter, made.number = exchange["parameter_override"], exchange["number_override"]
    return made


@wp.func
def take_next(upcoming: Next, w: int):
    """Make the episode that waits the present one; without one, the next of the same key."""
    if not upcoming.waits[w]:
        upcoming.episode[w] = upcoming.episode[w] + 1
        return
    upcoming.waits[w] = False
    upcoming.seed[w] = upcoming.next_seed[w]
    upcoming.world_id[w] = upcoming.next_world_id[w]
    upcoming.episode[w] = upcoming.next_episode[w]
    for i in range(upcoming.parameter.shape[1]):
        upcoming.parameter[w, i] = upcoming.next_parameter[w, i]
    for i in range(upcoming.number.shape[1]):
        upcoming.number[w, i] = upcoming.next_number[w, i]


def merged(
    asked: Mapping[str, np.ndarray], waiting: Mapping[str, np.ndarray]
) -> dict[str, np.ndarray]:
    """What waits once a request is added to what waits already.

    Args:
        asked: `reset_mask` and `EPISODE` of the request, (N, ...).
        waiting: `waits` and `EPISODE` as they are, (N, ...).

    Returns:
        Arrays of the exchange, by name.
    """
    mask = asked["reset_mask"]
    result = {"next_waits": waiting["waits"] | mask}
    for name in EPISODE:
        values = waiting[name].copy()
        values[mask] = asked[name][mask]
        result[f"next_{name}"] = values
    return result
