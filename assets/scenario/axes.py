"""Deterministic distributions: axes whose product are the rows."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import numpy as np

from proveout.assets.files.errors import nearest
from proveout.assets.scenario.node import Node
from proveout.assets.scenario.scope import Declaration
from proveout.assets.scenario.stochastic import number_of, range_of, value_of, values_of
from proveout.assets.scenario.types import NUMERIC, TypeFault, check

# From the text of a <UserDefinedDistribution> to its values.
UserValues = Callable[[str], Any]


@dataclass(frozen=True, eq=False)
class Axis:
    """Parameters that vary together.

    Attributes:
        names: Of the parameters.
        size: How many values it takes.
        at: From a name and indices of shape (rows,) to values of shape (rows,), and where they are
            given: elsewhere the parameter keeps its default.
    """

    names: tuple[str, ...]
    size: int
    at: Callable[[str, np.ndarray], tuple[Any, Any]]


def axes_of(
    node: Node, parameters: Mapping[str, Declaration], user: Mapping[str, UserValues]
) -> list[Axis]:
    """Return the axes of a `<Deterministic>`, in the order of the file.

    Raises:
        ScenarioError: A parameter is unknown or varied twice, or an axis has no value.
    """
    axes = []
    varied: set[str] = set()
    for part in node.children:
        if part.tag == "DeterministicSingleParameterDistribution":
            axis = _single(part, parameters, user)
        elif part.tag == "DeterministicMultiParameterDistribution":
            axis = _sets(part.need("ValueSetDistribution"), parameters)
        else:
            raise part.place.error("it is not a deterministic distribution; remove it.")
        for name in axis.names:
            if name in varied:
                raise part.place.error(f"parameter {name} is varied twice; leave one.")
            varied.add(name)
        axes.append(axis)
    return axes


def declared_parameter(
    node: Node, attribute: str, parameters: Mapping[str, Declaration]
) -> Declaration:
    """Return the declaration of a parameter that a distribution names.

    Raises:
        ScenarioError: The scenario does not declare it.
    """
    name = node.attribute(attribute).lstrip("$")
    if name not in parameters:
        match = nearest(name, parameters)
        hint = f"did you mean {match}?" if match else "declare it in the scenario."
        raise node.place.error(f"the scenario does not declare parameter {name}; {hint}")
    return parameters[name]


def _single(
    node: Node, parameters: Mapping[str, Declaration], user: Mapping[str, UserValues]
) -> Axis:
    parameter = declared_parameter(node, "parameterName", parameters)
    if len(node.children) != 1:
        raise node.place.error(f"it needs one distribution, not {len(node.children)}.")
    inner = node.children[0]
    if inner.tag == "DistributionRange":
        return _range(inner, parameter)
    if inner.tag == "DistributionSet":
        values = values_of(list(inner.all("Element")), parameter.kind)
    elif inner.tag == "UserDefinedDistribution":
        name = inner.attribute("type")
        if name not in user:
            raise inner.place.error(
                f"user-defined distribution {name!r} is not known; give load_rows a function of "
                f"that name, or use a set or a range."
            )
        values = np.asarray(user[name](inner.text))
    else:
        raise inner.place.error("it is not a distribution of one parameter; use a set or a range.")
    if not len(values):
        raise inner.place.error("it is empty; give it values.")
    return Axis((parameter.name,), len(values), lambda _, index: (values[index], True))


def _range(node: Node, parameter: Declaration) -> Axis:
    """Values from the lower limit in steps up to the upper limit, which counts where it is met.

    In decimal arithmetic: from 0.1 to 0.5 in steps of 0.2 are three values, and the second is 0.3.
    """
    if parameter.kind not in NUMERIC:
        raise node.place.error(
            f"parameter {parameter.name} is of type {parameter.kind}, which has no range; use a "
            f"DistributionSet."
        )
    limits = node.need("Range")
    low, high = range_of(node)
    if not number_of(node, "stepWidth") > 0:
        raise node.place.error("stepWidth must be positive; correct it.")
    start, end = (_decimal(limits, name) for name in ("lowerLimit", "upperLimit"))
    step = _decimal(node, "stepWidth")
    digits = max(0, *(-int(number.as_tuple().exponent) for number in (start, end, step)))
    # Whole multiples of the last digit, exact in float64.
    if digits > 22 or any(
        number and number.adjusted() + digits > 14 for number in (start, end, step)
    ):
        raise node.place.error("its numbers have too many digits; round them.")
    whole_start, whole_end, whole_step = (int(n.scaleb(digits)) for n in (start, end, step))
    count = (whole_end - whole_start) // whole_step + 1
    scale = 10**digits

    def values(_: str, index: np.ndarray) -> tuple[np.ndarray, bool]:
        return (whole_start + whole_step * index.astype(np.int64)) / float(scale), True

    try:
        check(values("", np.array([0, min(1, count - 1)]))[0], parameter.kind)
        check(np.float64(high if count == 1 else low), parameter.kind)
    except TypeFault as fault:
        raise node.place.error(
            f"{fault}, as parameter {parameter.name} of type {parameter.kind} needs."
        ) from fault
    return Axis((parameter.name,), count, values)


def _decimal(node: Node, name: str) -> Decimal:
    """A number as it is written, or as it is computed where it is an expression."""
    text = node.attribute(name).strip()
    return Decimal(repr(number_of(node, name)) if text.startswith("$") else text)


def _sets(node: Node, parameters: Mapping[str, Declaration]) -> Axis:
    """Sets of values; a set may leave a parameter out."""
    sets = list(node.all("ParameterValueSet"))
    if not sets:
        raise node.place.error("it is empty; give it sets of values.")
    given: dict[str, dict[int, Any]] = {}
    for number, one in enumerate(sets):
        for assignment in one.all("ParameterAssignment"):
            parameter = declared_parameter(assignment, "parameterRef", parameters)
            value = value_of(assignment, parameter.kind)
            if number in given.setdefault(parameter.name, {}):
                raise assignment.place.error(
                    f"parameter {parameter.name} is in the set twice; leave one."
                )
            given[parameter.name][number] = value
    columns = {}
    for name, values in given.items():
        filler = next(iter(values.values()))
        column = np.array([values.get(number, filler) for number in range(len(sets))])
        there = np.array([number in values for number in range(len(sets))])
        columns[name] = (column, there)
    return Axis(
        tuple(columns), len(sets),
        lambda name, index: (columns[name][0][index], columns[name][1][index]),
    )  # fmt: skip
