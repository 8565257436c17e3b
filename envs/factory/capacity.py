"""How much room a task's worlds need: measured by a roll-out in worlds with ample room."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import warp as wp

from proveout.envs.core.errors import BadActionError, ConfigError, ModelError
from proveout.envs.core.exchange import device_exchange
from proveout.envs.core.invalid import Invalid
from proveout.envs.core.simulation import Simulation
from proveout.envs.factory.engine import Capacities
from proveout.envs.factory.task import ArticulatedTask
from proveout.envs.factory.warp_engine import WarpEngine

wp.set_module_options({"enable_backward": False})

# Room of one world at first, and where the search for ample room gives up.
_FIRST_ROOM = 128
_LARGEST_ROOM = 8192


def measure_capacities(
    task: ArticulatedTask,
    num_worlds: int = 64,
    episodes: int = 4,
    margin: float = 1.5,
    seed: int = 0,
    act: Callable[[np.ndarray], np.ndarray] | None = None,
) -> Capacities:
    """Roll out a policy on the CPU and note the peaks over all physics steps.

    Random actions seldom push, grasp or stack: measure with an expert or a trained policy too.

    Constraint rows are those of the fullest world. Contacts are those of the fullest world too,
    although worlds share their arena, so that worlds which all meet their worst moment together
    still fit; or the broad phase's candidate pairs for each world, where these are more.

    Args:
        task: The task; it is not touched.
        num_worlds: Worlds.
        episodes: Full episodes of each world; those that end early are followed by others.
        margin: Factor on the peaks.
        seed: Seed of the worlds and of random actions.
        act: Gives actions (worlds, A) for observations (worlds, O), as `predict` of an expert
            does; None: uniform random actions.

    Raises:
        ConfigError: An argument is out of its range.
        BadActionError: `act` gave another shape, or a number that is not finite.
        ModelError: A world needs more room than can be reserved.
    """
    if num_worlds < 1 or episodes < 1 or not (math.isfinite(margin) and margin >= 1.0):
        raise ConfigError(
            "num_worlds and episodes must be at least 1, and margin at least 1.0, got "
            f"{num_worlds}, {episodes} and {margin}"
        )
    contacts = constraints = _FIRST_ROOM
    while True:
        room = Capacities(contacts=contacts, constraints=constraints)
        peaks = _roll_out(task, room, num_worlds, episodes, seed, act)
        if not peaks.overflow:
            return Capacities(
                contacts=math.ceil(margin * max(peaks.contacts, peaks.pairs / num_worlds)),
                constraints=math.ceil(margin * peaks.constraints),
            )
        contacts *= 2 if peaks.overflow & Invalid.CONTACT_LOST else 1
        constraints *= 2 if peaks.overflow & Invalid.CONSTRAINT_OVERFLOW else 1
        if max(contacts, constraints) > _LARGEST_ROOM:
            raise ModelError(
                f"a world of {task.id or type(task).__name__} needs more than {_LARGEST_ROOM} "
                "contacts or constraint rows: simplify its collision geometry"
            )


@dataclass(frozen=True)
class _Peaks:
    contacts: int
    """Contacts of the fullest world."""
    pairs: int
    """Candidate pairs of all worlds together."""
    constraints: int
    """Constraint rows of the fullest world."""
    overflow: int
    """Reason bits of what did not fit."""


def _roll_out(
    task: ArticulatedTask,
    room: Capacities,
    num_worlds: int,
    episodes: int,
    seed: int,
    act: Callable[[np.ndarray], np.ndarray] | None,
) -> _Peaks:
    watched: Any = type(task)(task.config)
    watched.capacities, watched.warp_engine = room, _WatchedEngine
    device = wp.get_device("cpu")
    exchange = device_exchange(watched, num_worlds, device)
    host = {name: array.numpy() for name, array in exchange.items()}
    simulation = Simulation(watched, exchange, device)
    worlds: Any = simulation.engine

    host["reset_mask"][...] = True
    host["seed"][...] = seed
    host["world_id"][...] = np.arange(num_worlds)
    host["parameter_override"][...] = np.nan
    simulation.reset()
    worlds.peaks.zero_()
    space = task.action_layout.space()
    random = np.random.default_rng(seed)
    overflow = 0
    for _ in range(episodes * task.max_episode_steps):
        if act is None:
            host["action"][...] = random.uniform(space.low, space.high, host["action"].shape)
        else:
            host["action"][...] = _checked(act(host["observation"].copy()), host["action"].shape)
        simulation.step()
        overflow |= int(np.bitwise_or.reduce(host["invalid_reason"]))
    contacts, pairs, constraints = (int(peak) for peak in worlds.peaks.numpy())
    return _Peaks(
        contacts,
        pairs,
        constraints,
        overflow & (Invalid.CONTACT_LOST | Invalid.CONSTRAINT_OVERFLOW),
    )


def _checked(actions: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Return actions; ones that NumPy would spread, or the core call invalid, measure nothing."""
    actions = np.asarray(actions)
    if actions.shape != shape:
        raise BadActionError(
            f"actions of shape {shape} (worlds, action size) expected, got {actions.shape}"
        )
    if not np.isfinite(actions).all():
        raise BadActionError("the policy to measure with gave an action that is not finite")
    return actions


class _WatchedEngine(WarpEngine):
    """Articulated worlds that note what they need in every physics step."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.peaks = wp.zeros(3, dtype=int, device=self.device)
        self._counts = wp.zeros(self.num_worlds, dtype=int, device=self.device)

    def physics(self, first: bool = False) -> None:
        """One physics step, then a look at its contacts and constraint rows."""
        super().physics(first)
        data = self.data
        self._counts.zero_()
        wp.launch(
            _count_kernel,
            dim=data.naconmax,
            inputs=[data.naconmax, data.nacon, data.contact.worldid],
            outputs=[self._counts],
            device=self.device,
        )
        wp.launch(
            _peak_kernel,
            dim=self.num_worlds,
            inputs=[self._counts, data.ncollision, data.nefc],
            outputs=[self.peaks],
            device=self.device,
        )


@wp.kernel
def _count_kernel(
    # Data in:
    naconmax: int,
    nacon_in: wp.array[int],
    contact_worldid_in: wp.array[int],
    # Out:
    count_out: wp.array[int],
):
    conid = wp.tid()
    if conid < wp.min(nacon_in[0], naconmax):
        wp.atomic_add(count_out, contact_worldid_in[conid], 1)


@wp.kernel
def _peak_kernel(
    # In:
    count_in: wp.array[int],
    # Data in:
    ncollision_in: wp.array[int],
    nefc_in: wp.array[int],
    # Out:
    peaks_out: wp.array[int],
):
    worldid = wp.tid()
    wp.atomic_max(peaks_out, 0, count_in[worldid])
    wp.atomic_max(peaks_out, 1, ncollision_in[0])
    wp.atomic_max(peaks_out, 2, nefc_in[worldid])
