"""What drives an agent, as data: a kind and a record of parameters for each world and agent."""

from dataclasses import dataclass
from enum import IntEnum
from typing import Any

import numpy as np
import warp as wp

from proveout.envs.driving.records import columns_of, record, records

wp.set_module_options({"enable_backward": False})


class DriverKind(IntEnum):
    """Who gives an agent its inputs."""

    EXTERNAL = 0  # the learner, or commands written from outside
    IDM = 1  # Intelligent Driver Model, keeps its lane
    SCRIPTED = 2  # moved by a storyboard, not by a driver


@dataclass(frozen=True, kw_only=True)
class DriverParameters:
    """A driver's numbers; the defaults are those of Treiber, Hennecke, Helbing (2000), Table I, and
    for the last two our own."""

    desired_speed: float = 33.3  # [m/s]
    time_headway: float = 1.6  # [s]
    minimum_gap: float = 2.0  # [m]
    max_acceleration: float = 0.73  # [m/s^2]
    comfortable_deceleration: float = 1.67  # [m/s^2], positive
    exponent: float = 4.0  # [1]: of the speed in the free-road term
    max_deceleration: float = 9.0  # [m/s^2], positive: what the driver asks for at most
    preview_time: float = 1.2  # [s]: the lane-keeping steering returns to the centre over this time


Driver = record(DriverParameters)
"""`DriverParameters` for kernels."""


class DriverTable:
    """Driver of every agent on a device, as the engine's default until a task says otherwise.

    Args:
        num_worlds: Worlds N.
        num_agents: Agents A of a world.
        num_learners: The first so many are EXTERNAL, the others IDM.
        device: Where it lies.

    Attributes:
        kind: A `DriverKind`, (N, A) int.
        parameters: (N, A) `Driver`. columns: The same memory, (N, A, fields) float.
        default: What each driver has when an episode begins, (1,) `Driver`.
    """

    def __init__(self, num_worlds: int, num_agents: int, num_learners: int, device: Any) -> None:
        shape = (num_worlds, num_agents)
        kind = np.full(shape, int(DriverKind.IDM), np.int32)
        kind[:, :num_learners] = int(DriverKind.EXTERNAL)
        self.num_learners = num_learners
        self.kind = wp.array(kind, dtype=int, device=device)
        self.parameters = records(Driver, DriverParameters(), shape, device)
        self.columns = columns_of(self.parameters)
        self.default = records(Driver, DriverParameters(), (1,), device)

    def set(self, name: str, value: float | np.ndarray) -> None:
        """Write one parameter from the host; `value` broadcasts to (num_worlds, num_agents)."""
        table = self.parameters.numpy()
        table[name] = value
        self.parameters.assign(table)
