"""Rows of a scenario: what its distribution file makes of its parameters, one concrete case a row.

Rows are numbered and made in blocks; nothing holds all of them. A scenario without a distribution
has one row.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from proveout.assets.files.errors import ScenarioError
from proveout.assets.scenario.axes import Axis, axes_of, declared_parameter
from proveout.assets.scenario.constraints import constrained, judge, refuse_contradictions
from proveout.assets.scenario.node import Node, read_node
from proveout.assets.scenario.random_numbers import uniform
from proveout.assets.scenario.scenario import Scenario, load_scenario, version_of
from proveout.assets.scenario.scope import Frame
from proveout.assets.scenario.stochastic import Draw, draw_of, number_of

BLOCK = 65_536  # rows at a time
LIMIT = 10_000_000  # rows whose constraints are counted without being asked to


@dataclass(frozen=True)
class Counts:
    """How many rows a file expands to.

    Attributes:
        rows: All of them.
        within: Within the constraints of the parameters, as the standard has them; None: there are
            more than the limit, so that they were not counted.
        breaking: Of all rows, those that break a single bound: a constraint other than equal or
            unequal, even of a group to which there is an alternative. None as above.
    """

    rows: int
    within: int | None
    breaking: int | None


@dataclass(eq=False)
class Rows:
    """Rows of a scenario.

    Attributes:
        path: Of the distribution file, or of the scenario where it has none.
        scenario: That they belong to.
        axes: Of a deterministic distribution; empty for a stochastic one.
        draws: Of a stochastic distribution, by parameter.
        seed: Of these.
        size: How many rows there are.
    """

    path: Path
    scenario: Scenario
    axes: tuple[Axis, ...] = ()
    draws: Mapping[str, Draw] = field(default_factory=dict)
    seed: int = 0
    size: int = 1

    @property
    def varied(self) -> frozenset[str]:
        """Names of the parameters that differ by row."""
        return frozenset(self.draws) | {name for axis in self.axes for name in axis.names}

    def columns(self, first: int, count: int) -> dict[str, np.ndarray]:
        """Return the varied parameters of some rows, each of shape (count,).

        Raises:
            ScenarioError: There are no such rows.
        """
        if not 0 <= first <= first + count <= self.size:
            asked = f"row {first}" if count == 1 else f"rows {first} to {first + count - 1}"
            raise ScenarioError(
                f"{self.path} has {self.size} rows, from 0 to {self.size - 1}, so there is no "
                f"{asked}; ask for one of them."
            )
        return self._at(np.arange(first, first + count))

    def frame(self, first: int, count: int) -> Frame:
        """Return the values of all parameters in some rows."""
        return self.scenario.frame(self.columns(first, count), count, first)

    def row(self, number: int) -> dict[str, Any]:
        """Return the varied parameters of one row: float, bool or text."""
        return {name: column[0].item() for name, column in self.columns(number, 1).items()}

    def blocks(self, size: int = BLOCK) -> Iterator[tuple[int, dict[str, np.ndarray]]]:
        """Yield the number of a first row, and the parameters of it and those after it."""
        for first in range(0, self.size, size):
            yield first, self.columns(first, min(size, self.size - first))

    def first_within(self) -> int:
        """Return the first row within the constraints, or 0 where none of the first block is."""
        if self.size == 0:
            return 0
        count = min(BLOCK, self.size)
        return int(np.argmax(judge(self.frame(0, count)).within))

    def count(self, limit: int = LIMIT) -> Counts:
        """Return how many rows there are, and how many within the constraints.

        Axes that no constraint links are counted apart and multiplied, so that most products are
        counted without being listed.

        Args:
            limit: Most rows that are looked at.

        Raises:
            ScenarioError: A constraint cannot be evaluated for some row.
        """
        within = sound = 1
        links = constrained(self.scenario.scope, self.varied)
        for axes, names in self._parts(links):
            size = math.prod(axis.size for axis in axes) if self.axes else self.size
            if size > limit:
                return Counts(self.size, None, None)
            kept = kept_sound = 0
            for first in range(0, size, BLOCK):
                count = min(BLOCK, size - first)
                numbers = np.arange(first, first + count)
                columns = _product(axes, numbers) if self.axes else self._drawn(numbers)
                frame = self._completed(columns, count, first)
                verdict = judge(frame, names)
                kept += int(verdict.within.sum())
                kept_sound += int(verdict.bounds.sum())
            within *= kept
            sound *= kept_sound
        if self.axes:
            counted = {id(axis) for axes, _ in self._parts(links) for axis in axes}
            free = math.prod(axis.size for axis in self.axes if id(axis) not in counted)
            within, sound = within * free, sound * free
        elif not links:
            within = sound = self.size
        return Counts(self.size, within, self.size - sound)

    def _parts(self, links: Mapping[str, frozenset[str]]) -> list[tuple[list[Axis], list[str]]]:
        """Axes that constraints link, with the parameters whose constraints they are."""
        if not self.axes:
            return [([], list(links))] if links else []
        parts: list[tuple[set[int], list[str]]] = []
        for name, needs in links.items():
            mine = {i for i, axis in enumerate(self.axes) if needs & set(axis.names)}
            names = [name]
            apart = []
            for indices, others in parts:
                if indices & mine:
                    mine |= indices
                    names += others
                else:
                    apart.append((indices, others))
            parts = [*apart, (mine, names)]
        return [([self.axes[i] for i in sorted(indices)], names) for indices, names in parts]

    def _at(self, numbers: np.ndarray) -> dict[str, np.ndarray]:
        if not self.axes:
            return self._drawn(numbers)
        given = _product(list(self.axes), numbers)
        return self._filled(given, len(numbers), int(numbers[0]) if len(numbers) else 0)

    def _drawn(self, numbers: np.ndarray) -> dict[str, Any]:
        return {name: draw(uniform(self.seed, name, numbers)) for name, draw in self.draws.items()}

    def _completed(self, given: dict[str, Any], count: int, first: int) -> Frame:
        return self.scenario.frame(self._filled(given, count, first), count, first)

    def _filled(self, given: dict[str, Any], count: int, first: int) -> dict[str, np.ndarray]:
        """Columns, with the defaults of parameters where a set leaves them out."""
        columns = {n: v[0] if isinstance(v, tuple) else v for n, v in given.items()}
        partial = {
            name: value[1]
            for name, value in given.items()
            if isinstance(value, tuple) and not np.all(value[1])
        }
        for name, there in partial.items():
            others = {n: c for n, c in columns.items() if n not in partial}
            frame = self.scenario.frame(others, count, first)
            declaration = self.scenario.parameters[name]
            default = frame.parameter(name, self.scenario.scope, declaration.place)
            columns[name] = np.where(there, columns[name], default)
        return columns


def _product(axes: list[Axis], numbers: np.ndarray) -> dict[str, Any]:
    """Values and masks of rows of a product of axes, the last of which varies fastest."""
    found: dict[str, Any] = {}
    rest = numbers
    for axis in reversed(axes):
        rest, index = np.divmod(rest, axis.size)
        for name in axis.names:
            found[name] = axis.at(name, index)
    return found


def load_rows(
    path: Path | str,
    *,
    seed: int | None = None,
    user: Mapping[str, Callable[[str], Any]] | None = None,
) -> Rows:
    """Read a distribution file and its scenario, or a scenario alone.

    Args:
        path: Of the file.
        seed: Of a stochastic distribution; None: its randomSeed, or 0 where it has none.
        user: What user-defined distributions mean: by the name of their type, a function of their
            text that returns values (deterministic), or a function from uniform numbers to values
            (stochastic).

    Raises:
        ScenarioError: A file is missing or not as the standard has it, a parameter is unknown, or
            constraints contradict each other.
    """
    path = Path(path)
    root = read_node(path)
    node = root.child("ParameterValueDistribution")
    if node is None:
        scenario = load_scenario(path)
        refuse_contradictions(scenario.scope)
        return Rows(path, scenario)
    version_of(root)
    file = node.need("ScenarioFile")
    target = path.parent / file.attribute("filepath").replace("\\", "/")
    if not target.is_file():
        raise file.place.error(
            f"scenario file {target} is missing; put it there or correct the path."
        )
    scenario = load_scenario(target)
    refuse_contradictions(scenario.scope)
    stochastic, deterministic = node.child("Stochastic"), node.child("Deterministic")
    if stochastic is not None:
        return _stochastic(path, scenario, stochastic, seed, user or {})
    if deterministic is None:
        raise node.place.error("it needs <Deterministic> or <Stochastic>; add one.")
    axes = axes_of(deterministic, scenario.parameters, user or {})
    return Rows(path, scenario, tuple(axes), size=math.prod(axis.size for axis in axes))


def _stochastic(
    path: Path, scenario: Scenario, node: Node, seed: int | None, user: Mapping[str, Any]
) -> Rows:
    runs = number_of(node, "numberOfTestRuns")
    if runs != int(runs) or runs < 0:
        raise node.place.error(f"numberOfTestRuns is {runs:g}; give a whole number.")
    if seed is None:
        seed = int(number_of(node, "randomSeed")) if "randomSeed" in node.attributes else 0
    draws: dict[str, Draw] = {}
    for part in node.all("StochasticDistribution"):
        parameter = declared_parameter(part, "parameterName", scenario.parameters)
        if parameter.name in draws:
            raise part.place.error(f"parameter {parameter.name} is varied twice; leave one.")
        draws[parameter.name] = draw_of(part, parameter.kind, user)
    return Rows(path, scenario, (), draws, seed, int(runs))
