"""Fields of road worlds that can be randomised: of drivers, vehicles and bodies, and friction."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields

import numpy as np
import warp as wp

from proveout.envs.core.errors import ModelError, unknown
from proveout.envs.core.parameter_columns import ParameterColumns
from proveout.envs.driving.drivers.table import DriverParameters
from proveout.envs.driving.records import columns_of


@dataclass(frozen=True)
class _Field:
    """A randomised number of a record.

    Attributes:
        table: "driver", "vehicle" or "body". name: Of the number there.
        follows: Numbers that keep their proportion to it.
        positive: Zero is no value of it.
    """

    table: str
    name: str
    follows: tuple[str, ...] = ()
    positive: bool = True


FIELDS: Mapping[str, _Field] = {
    **{
        f"driver_{field.name}": _Field("driver", field.name, positive=field.name != "minimum_gap")
        for field in fields(DriverParameters)
    },
    **{
        f"vehicle_{name}": _Field("vehicle", name, follows)
        for name, follows in {
            "wheelbase": (),
            "steering_max": ("steering_min",),
            "steering_velocity_max": ("steering_velocity_min",),
            "velocity_max": (),
            "velocity_switch": (),
            "acceleration_max": (),
        }.items()
    },
    "friction": _Field("vehicle", "friction"),
    "body_length": _Field("body", "length", ("rear_axle_to_centre",)),
    "body_width": _Field("body", "width"),
}


def _field(name: str) -> _Field:
    if name not in FIELDS:
        raise unknown("randomisation field", name, tuple(FIELDS))
    return FIELDS[name]


def randomized_tables(names: Iterable[str]) -> set[str]:
    """The tables that hold the named fields; `UnknownNameError` for a field that is not there."""
    return {_field(name).table for name in names}


def parameter_columns(
    name: str, agents: Sequence[int], tables: Mapping[str, wp.array]
) -> list[ParameterColumns]:
    """Where a field of some agents lives.

    Args:
        name: Of the field.
        agents: Indices.
        tables: "driver", "vehicle", "body" -> records, (num_worlds, num_agents).

    Raises:
        UnknownNameError: No such field.
        ModelError: The vehicle gives no number that could be changed.
    """
    field = _field(name)
    table = tables[field.table]
    order = list(table.dtype.vars)
    view = columns_of(table)
    default = view.numpy()[0]
    nominal = default[list(agents), order.index(field.name)]
    if not np.isfinite(nominal).all():
        raise ModelError(
            f"randomisation of {name}: the vehicle has no limit of {field.name}; "
            f"give its VehicleParameters one"
        )
    return [
        ParameterColumns(
            array=view,
            element=np.array(agents, np.int32),
            component=np.full(len(agents), order.index(number), np.int32),
            nominal=default[list(agents), order.index(number)],
            reference=None if number == field.name else nominal,
            positive=field.positive,
            at_reset=field.table == "driver",
        )
        for number in (field.name, *field.follows)
    ]
