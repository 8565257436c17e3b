"""Variables and parameters while a storyboard runs, in plain Python, one row."""

from __future__ import annotations

import math

from proveout.envs.driving.storyboard.program import Program
from proveout.envs.driving.storyboard.tables import NOTHING, Table

_DECLARATIONS = "VariableDeclaration"
# Of each class that names one: the field, and the prefix in `Program.variables`.
NAMED = {
    "VariableCondition": ("variable_ref", "variable"),
    "ParameterCondition": ("parameter_ref", "parameter"),
    "VariableAction": ("variable_ref", "variable"),
    "ParameterAction": ("parameter_ref", "parameter"),
}
_TRUE = {"true": 1.0, "false": 0.0}


class Variables:
    """Values of variables and parameters of one row.

    Args:
        program: The storyboard.
        row: Which of its rows.

    Attributes:
        values: By name, as in `Program.variables`: a number, 1 or 0 for a boolean, or a text.
    """

    def __init__(self, program: Program, row: int) -> None:
        self.program = program
        self.row = row
        self.values: dict[str, float | str] = {}
        for line, name in enumerate(program.variables):
            self.values[name] = self._value(program.tables.tables[_DECLARATIONS], line)

    def holds(self, table: str, line: int) -> bool:
        """Whether a VariableCondition or ParameterCondition holds; texts have no order."""
        own = self.program.tables.tables[table]
        value, limit = self.values[self._name(table, line)], self._value(own, line)
        rule = own.integer(line, "rule")
        if isinstance(value, str) or isinstance(limit, str):
            return (str(value) == str(limit)) == (rule == 0) and rule in (0, 5)
        return compare(value, rule, limit)

    def apply(self, table: str, line: int) -> None:
        """Do a VariableAction or ParameterAction."""
        tables, own = self.program.tables, self.program.tables.tables[table]
        name = self._name(table, line)
        kind = tables.names[own.integer(line, "change.table")]
        inner, at = tables.tables[kind], own.integer(line, "change.line")
        if kind.endswith("SetAction"):
            self.values[name] = self._value(inner, at)
            return
        rule = tables.names[inner.integer(at, "rule.table")]
        by = tables.tables[rule].number(self.row, inner.integer(at, "rule.line"), "value")
        before = self.values[name]
        if isinstance(before, str):
            return  # a text has no sum
        self.values[name] = before + by if "AddValue" in rule else before * by

    def _name(self, table: str, line: int) -> str:
        field, prefix = NAMED[table]
        text = self.program.tables.texts[self.program.tables.tables[table].integer(line, field)]
        return f"{prefix}:{text.lstrip('$')}"

    def _value(self, table: Table, line: int) -> float | str:
        number = table.number(self.row, line, "value")
        text = table.integer(line, "value.text")
        if not math.isnan(number) or text == NOTHING:
            return number
        told = self.program.tables.texts[text]
        return _TRUE.get(told, told)


def compare(value: float, rule: int, limit: float) -> bool:
    """Whether a value is in a relation of the standard (its place in `Rule`) to a limit."""
    return (
        value == limit, value > limit, value < limit, value >= limit, value <= limit,
        value != limit,
    )[rule]  # fmt: skip
