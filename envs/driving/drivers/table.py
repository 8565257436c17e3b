"""What drives an agent, as data: a kind and a row of parameters for each world and agent."""

from dataclasses import dataclass, field
from enum import IntEnum

import numpy as np
import warp as wp


class DriverKind(IntEnum):
    """Who gives an agent its inputs."""

    EXTERNAL = 0  # the learner, or commands written from outside
    IDM = 1  # Intelligent Driver Model, keeps its lane


class DriverColumn(IntEnum):
    """Columns of the parameter table, with their units."""

    DESIRED_SPEED = 0  # [m/s]
    TIME_HEADWAY = 1  # [s]
    MINIMUM_GAP = 2  # [m]
    MAX_ACCELERATION = 3  # [m/s^2]
    COMFORTABLE_DECELERATION = 4  # [m/s^2], positive
    MAX_DECELERATION = 5  # [m/s^2], positive: what tyres and driver give at most
    PREVIEW_TIME = 6  # [s]: the lane-keeping steering returns to the centre over this time


# Treiber, Hennecke, Helbing (2000), Table I; the last two are ours.
_DEFAULTS = (33.3, 1.6, 2.0, 0.73, 1.67, 9.0, 1.2)


@dataclass
class DriverTable:
    """Driver of every agent on a device.

    kind: (num_worlds, num_agents) int, a `DriverKind`.
    parameters: (num_worlds, num_agents, len(DriverColumn)) float, units as in `DriverColumn`.
    defaults: (len(DriverColumn),) float, what each driver has when an episode begins.
    """

    num_worlds: int
    num_agents: int
    num_learners: int
    device: str
    kind: wp.array = field(init=False)
    parameters: wp.array = field(init=False)
    defaults: wp.array = field(init=False)

    def __post_init__(self) -> None:
        shape = (self.num_worlds, self.num_agents)
        self.defaults = wp.array(np.array(_DEFAULTS, np.float32), dtype=float, device=self.device)
        kind = np.full(shape, int(DriverKind.IDM), np.int32)
        kind[:, : self.num_learners] = int(DriverKind.EXTERNAL)
        self.kind = wp.array(kind, dtype=int, device=self.device)
        parameters = np.broadcast_to(np.array(_DEFAULTS, np.float32), (*shape, len(_DEFAULTS)))
        self.parameters = wp.array(
            np.ascontiguousarray(parameters), dtype=float, device=self.device
        )

    def set(self, column: DriverColumn, value: float | np.ndarray) -> None:
        """Write one column from the host; `value` broadcasts to (num_worlds, num_agents)."""
        table = self.parameters.numpy()
        table[:, :, column] = value
        self.parameters.assign(table)
