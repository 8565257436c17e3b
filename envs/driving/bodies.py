"""Bodies of road agents: what they are and how much room they take.

A body is a box. The agent's reference point, the rear axle of a car, lies on its axis.
"""

# A struct made at run time is a variable to the checker.
# mypy: disable-error-code="valid-type,attr-defined"

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum

import numpy as np
import warp as wp

from proveout.envs.core.errors import ModelError
from proveout.envs.driving.records import record

wp.set_module_options({"enable_backward": False})


class BodyKind(IntEnum):
    """What an agent is."""

    CAR = 0
    VAN = 1
    TRUCK = 2
    BUS = 3
    MOTORCYCLE = 4
    BICYCLE = 5
    PEDESTRIAN = 6


@dataclass(frozen=True, kw_only=True)
class BodyParameters:
    """A box of some kind; the defaults are CommonRoad's vehicle 2 (BMW 320i).

    Numbers: `vehiclemodels/parameters/parameters_vehicle2.yaml` of commonroad-vehicle-models 3.0.2,
    which places the geometric centre at the centre of gravity, so that `rear_axle_to_centre` is its
    distance `b`; the height is that of the published car.
    """

    kind: int = BodyKind.CAR  # a `BodyKind`
    length: float = 4.508  # [m]
    width: float = 1.61  # [m]
    height: float = 1.43  # [m], of pictures alone
    rear_axle_to_centre: float = 1.4227170936  # [m], of the centre ahead of the reference point


Body = record(BodyParameters)
"""`BodyParameters` for kernels."""


@wp.func
def bumper_distance(behind: Body, ahead: Body) -> float:
    """Distance of two reference points [m] at which the front of one body touches the other's rear:
    the gap between them is the distance of the points less this."""
    # In this order it is the length itself where both are alike.
    centres = behind.rear_axle_to_centre - ahead.rear_axle_to_centre
    return 0.5 * (behind.length + ahead.length) + centres


def one_for_each(
    bodies: Sequence[BodyParameters] | None, num_agents: int
) -> tuple[BodyParameters, ...]:
    """The bodies of all agents: those given, default ones for None; `ModelError` for another number
    of them."""
    if bodies is None:
        return (BodyParameters(),) * num_agents
    if len(bodies) != num_agents:
        raise ModelError(f"{len(bodies)} bodies for {num_agents} agents; give one for each")
    return tuple(bodies)


def body_records(bodies: Sequence[BodyParameters], rows: int, device: wp.Device) -> wp.array:
    """Bodies of agents on a device, the same in every row: (rows, len(bodies)) `Body`.

    Raises:
        ModelError: A length, width or height that is not positive, or a kind that is not there.
    """
    table = np.zeros((rows, len(bodies)), dtype=Body.numpy_dtype())
    for agent, body in enumerate(bodies):
        if not min(body.length, body.width, body.height) > 0.0 or body.kind not in list(BodyKind):
            raise ModelError(
                f"body of agent {agent}: {body} has no size or kind; give it a length, width and "
                f"height above 0 m and a BodyKind"
            )
        for name in Body.vars:
            table[name][:, agent] = getattr(body, name)
    return wp.array(table, dtype=Body, device=device)
