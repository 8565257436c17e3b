"""Constraints of parameters over many rows.

A parameter with constraint groups is within them where in at least one group every constraint
holds (ASAM OpenSCENARIO XML 1.3, class ParameterDeclaration and section 9.1).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from proveout.assets.scenario.scope import Constraint, Declaration, Frame, Scope, leaves
from proveout.assets.scenario.types import to_number

_RULES: Mapping[str, Any] = {
    "equalTo": np.equal, "notEqualTo": np.not_equal, "greaterThan": np.greater,
    "lessThan": np.less, "greaterOrEqual": np.greater_equal, "lessOrEqual": np.less_equal,
}  # fmt: skip


@dataclass(frozen=True)
class Verdict:
    """Which rows are within the constraints.

    Attributes:
        within: Of shape (rows,): every parameter is within one of its groups.
        bounds: Of shape (rows,): every bound holds, that is every constraint other than equal and
            unequal, whatever its group.
    """

    within: np.ndarray
    bounds: np.ndarray


def judge(frame: Frame, names: list[str] | None = None) -> Verdict:
    """Return which rows of a frame are within the constraints of the scenario's parameters.

    Args:
        frame: Values of the rows.
        names: Parameters to judge; None: all.

    Raises:
        ScenarioError: A value cannot be evaluated or compared.
    """
    within = np.ones(frame.rows, bool)
    bounds = np.ones(frame.rows, bool)
    for name, declaration in frame.root.declarations.items():
        if not declaration.groups or (names is not None and name not in names):
            continue
        value = frame.parameter(name, frame.root, declaration.place)
        some = np.zeros(frame.rows, bool)
        for group in declaration.groups:
            every = np.ones(frame.rows, bool)
            for constraint in group:
                holds = _holds(frame, value, declaration, constraint)
                every &= holds
                if constraint.rule not in ("equalTo", "notEqualTo"):
                    bounds &= holds
            some |= every
        within &= some
    return Verdict(within, bounds)


def _holds(frame: Frame, value: Any, declaration: Declaration, constraint: Constraint) -> Any:
    limit = frame.value(constraint.value, declaration.kind, declaration.scope, constraint.place)
    if declaration.kind in ("boolean", "string") and constraint.rule not in (
        "equalTo", "notEqualTo",
    ):  # fmt: skip
        raise constraint.place.error(
            f"rule {constraint.rule} does not order values of type {declaration.kind}; use equalTo "
            f"or notEqualTo."
        )
    return _RULES[constraint.rule](np.asarray(value), np.asarray(limit))


def constrained(scope: Scope, varied: frozenset[str]) -> dict[str, frozenset[str]]:
    """Return, for each parameter with constraints, the varied ones on which they depend."""
    found = {}
    for name, declaration in scope.declarations.items():
        if declaration.groups:
            texts = [(f"${name}", scope)] + [
                (c.value, scope) for group in declaration.groups for c in group
            ]
            found[name] = frozenset(leaves(texts, scope, varied))
    return found


def refuse_contradictions(scope: Scope) -> None:
    """Check that some value is within the constraints of each parameter.

    Only limits that are numbers are looked at, not expressions.

    Raises:
        ScenarioError: There is none.
    """
    for declaration in scope.declarations.values():
        if declaration.groups and all(_is_empty(group) for group in declaration.groups):
            place = declaration.groups[0][0].place if declaration.groups[0] else declaration.place
            raise place.error(
                f"constraints of parameter {declaration.name} contradict each other, so that no "
                f"value is within them; correct them."
            )


def _is_empty(group: tuple[Constraint, ...]) -> bool:
    low, high = -np.inf, np.inf
    open_low = open_high = False
    for constraint in group:
        limit = to_number(constraint.value)
        if limit is None:
            continue
        if constraint.rule in ("greaterThan", "greaterOrEqual", "equalTo") and limit >= low:
            open_low = constraint.rule == "greaterThan" or (open_low and limit == low)
            low = limit
        if constraint.rule in ("lessThan", "lessOrEqual", "equalTo") and limit <= high:
            open_high = constraint.rule == "lessThan" or (open_high and limit == high)
            high = limit
    return low > high or (low == high and (open_low or open_high))
