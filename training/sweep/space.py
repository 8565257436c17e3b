"""The space of a study: which values its parameters take, and which points that makes."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any

import numpy as np

from proveout.envs.core.errors import ConfigError, unknown

METHODS = ("random", "latin-hypercube", "sobol", "saltelli")
DISTRIBUTIONS = ("uniform", "log-uniform", "normal")
_KEYS = ("values", "low", "high", "count", "scale", "distribution", "mean", "std", "linked", "when")
_NORMAL = NormalDist()
# Closer to 0 and 1 the normal quantiles of a float64 are infinite.
_EDGE = 1e-12
_MOST_VALUES = 10**7


@dataclass(frozen=True, kw_only=True)
class Parameter:
    """One parameter and the values that it takes.

    Attributes:
        name: A number, weight or structural field of the config, or a randomisation.
        values: The values of a grid, in order; empty: drawn from `distribution`.
        distribution: "uniform", "log-uniform" (`first` to `second`) or "normal" (mean `first`,
            standard deviation `second`); "" for a grid.
        first, second: Of the distribution.
        linked: Parameters of the same group move together; "" for none.
        when: It exists only where other parameters have one of these values.
    """

    name: str
    values: tuple[Any, ...] = ()
    distribution: str = ""
    first: float = 0.0
    second: float = 0.0
    linked: str = ""
    when: tuple[tuple[str, tuple[Any, ...]], ...] = ()

    def __post_init__(self) -> None:
        if self.distribution:
            self._check_distribution()
        elif not self.values:
            raise ConfigError(f"parameter {self.name}: it has no values; give at least one")
        for value in self.values:
            if not isinstance(value, bool | int | float | str):
                raise ConfigError(
                    f"parameter {self.name}: numbers, text or truth values expected, got {value!r}"
                )
            if isinstance(value, float) and not math.isfinite(value):
                raise ConfigError(f"parameter {self.name}: finite numbers expected, got {value}")
        if len(set(map(repr, self.values))) < len(self.values):
            raise ConfigError(f"parameter {self.name}: a value is given twice")

    def _check_distribution(self) -> None:
        told = f"parameter {self.name}: {self.distribution}"
        if self.distribution not in DISTRIBUTIONS:
            raise unknown("distribution", self.distribution, DISTRIBUTIONS)
        if not (math.isfinite(self.first) and math.isfinite(self.second)):
            raise ConfigError(f"{told} needs finite numbers")
        if self.distribution == "normal":
            if self.second <= 0.0:
                raise ConfigError(f"{told} needs a standard deviation above 0, got {self.second:g}")
        elif not self.first < self.second:
            raise ConfigError(f"{told} needs low < high, got {self.first:g} and {self.second:g}")
        if self.distribution == "log-uniform" and self.first <= 0.0:
            raise ConfigError(f"{told} needs low above 0, got {self.first:g}")

    def at(self, quantiles: np.ndarray) -> np.ndarray:
        """Values at quantiles of the distribution, 0 to 1, (n,)."""
        if self.distribution == "normal":
            inside = np.clip(quantiles, _EDGE, 1.0 - _EDGE)
            return self.first + self.second * np.array([_NORMAL.inv_cdf(q) for q in inside])
        if self.distribution == "log-uniform":
            low, high = math.log(self.first), math.log(self.second)
            return np.clip(np.exp(low + quantiles * (high - low)), self.first, self.second)
        return self.first + quantiles * (self.second - self.first)

    def plain(self) -> dict[str, Any]:
        """As data, from which `parameter_from` makes it again."""
        if self.distribution == "normal":
            data: dict[str, Any] = {"mean": self.first, "std": self.second}
        elif self.distribution:
            data = {"low": self.first, "high": self.second}
        else:
            data = {"values": list(self.values)}
        if self.distribution:
            data["distribution"] = self.distribution
        if self.linked:
            data["linked"] = self.linked
        if self.when:
            data["when"] = {name: list(values) for name, values in self.when}
        return data


def parameter_from(name: str, data: Any) -> Parameter:
    """A parameter from its table in a study file, or from a list of values.

    Raises:
        ConfigError, UnknownNameError: As the message says.
    """
    if isinstance(data, list | tuple):
        data = {"values": list(data)}
    if not isinstance(data, Mapping):
        data = {"values": [data]}
    for key in data:
        if key not in _KEYS:
            raise unknown(f"key of parameter {name}", str(key), _KEYS)
    common: dict[str, Any] = {
        "name": name,
        "linked": _text(name, "linked", data.get("linked", "")),
        "when": _conditions(name, data.get("when", {})),
    }
    if "values" in data:
        _only(name, data, "values")
        values = data["values"]
        if not isinstance(values, list | tuple):
            raise ConfigError(f"parameter {name}: values is a list, got {values!r}")
        return Parameter(values=tuple(values), **common)
    if "mean" in data or "std" in data or data.get("distribution") == "normal":
        _only(name, data, "mean", "std", "distribution")
        first, second = (_number(name, key, data.get(key)) for key in ("mean", "std"))
        return Parameter(distribution="normal", first=first, second=second, **common)
    low, high = (_number(name, key, data.get(key)) for key in ("low", "high"))
    if "count" in data:
        _only(name, data, "low", "high", "count", "scale")
        return Parameter(
            values=spaced(name, low, high, data["count"], data.get("scale", "linear")), **common
        )
    _only(name, data, "low", "high", "distribution")
    kind = _text(name, "distribution", data.get("distribution", "uniform"))
    return Parameter(distribution=kind or "uniform", first=low, second=high, **common)


def spaced(name: str, low: float, high: float, count: Any, scale: Any) -> tuple[float, ...]:
    """Values from low to high, both included, on a linear or log scale."""
    if isinstance(count, bool) or not isinstance(count, int) or count < 1:
        raise ConfigError(f"parameter {name}: count is a whole number from 1, got {count!r}")
    if count > _MOST_VALUES:
        raise ConfigError(f"parameter {name}: at most {_MOST_VALUES} values, got {count}")
    if scale not in ("linear", "log"):
        raise unknown(f"scale of parameter {name}", str(scale), ("linear", "log"))
    if count > 1 and not low < high:
        raise ConfigError(f"parameter {name}: low < high expected, got {low:g} and {high:g}")
    if scale == "linear":
        values = np.linspace(low, high, count)
    elif low <= 0.0:
        raise ConfigError(f"parameter {name}: a log scale needs low above 0, got {low:g}")
    else:
        values = np.geomspace(low, high, count)
    # 0.1 instead of 0.10000000000000002: what is typed and what is counted are the same row.
    return tuple(float(f"{value:.12g}") for value in values)


def parse_vary(text: str) -> Parameter:
    """A parameter from the command line.

    `NAME=LOW:HIGH:COUNT` (`:log` for a log scale) and `NAME=V,V,V` are grids; `NAME=LOW:HIGH`,
    `NAME=log-uniform:LOW:HIGH` and `NAME=normal:MEAN:STD` are drawn.

    Raises:
        ConfigError: Another form.
    """
    name, sign, rest = text.partition("=")
    name, rest = name.strip(), rest.strip()
    forms = "NAME=LOW:HIGH:COUNT, NAME=V,V,V, NAME=LOW:HIGH, NAME=log-uniform:LOW:HIGH or "
    shape = ConfigError(f"--vary {text}: {forms}NAME=normal:MEAN:STD expected")
    if not sign or not re.fullmatch(r"[A-Za-z_][\w.]*", name) or not rest:
        raise shape
    parts = [part.strip() for part in rest.split(":")]
    if len(parts) == 1:
        return Parameter(name=name, values=tuple(_value(part) for part in rest.split(",")))
    try:
        if parts[0] in DISTRIBUTIONS and len(parts) == 3:
            first, second = float(parts[1]), float(parts[2])
            return Parameter(name=name, distribution=parts[0], first=first, second=second)
        if len(parts) == 2:
            low, high = float(parts[0]), float(parts[1])
            return Parameter(name=name, distribution="uniform", first=low, second=high)
        if len(parts) == 3 or (len(parts) == 4 and parts[3] in ("log", "linear")):
            low, high, count = float(parts[0]), float(parts[1]), int(parts[2])
            if not (math.isfinite(low) and math.isfinite(high)):
                raise shape
            scale = parts[3] if len(parts) == 4 else "linear"
            return Parameter(name=name, values=spaced(name, low, high, count, scale))
    except ValueError as error:
        if isinstance(error, ConfigError):
            raise
    raise shape


@dataclass(frozen=True, kw_only=True)
class Space:
    """All parameters, and how those that are drawn are drawn.

    Attributes:
        parameters: In order; the last of a grid changes fastest.
        method: "random", "latin-hypercube", "sobol", or "saltelli" (for Sobol indices: `points`
            times the number of drawn groups plus two).
        points: Points that are drawn; with a grid, at each of its points.
        seed: Of the draws.
    """

    parameters: tuple[Parameter, ...] = ()
    method: str = "latin-hypercube"
    points: int = 0
    seed: int = 0

    def __post_init__(self) -> None:
        names = [parameter.name for parameter in self.parameters]
        for name in names:
            if names.count(name) > 1:
                raise ConfigError(f"parameter {name} is given twice; give it once")
        if self.method not in METHODS:
            raise unknown("sampling method", self.method, METHODS)
        for group in self.groups():
            self._check_group(group)
        for parameter in self.parameters:
            for other, _ in parameter.when:
                if other not in names:
                    raise unknown(f"parameter that {parameter.name} waits for", other, names)
                if other == parameter.name or self._named(other).when:
                    raise ConfigError(
                        f"parameter {parameter.name}: `when` names another parameter, one that is "
                        "always there"
                    )
        drawn = self._drawn_groups()
        if drawn and self.points < 1:
            raise ConfigError(
                f"parameter {drawn[0][0].name} is drawn: say how many points (--points, or points "
                "in [sampling])"
            )

    def _named(self, name: str) -> Parameter:
        return next(parameter for parameter in self.parameters if parameter.name == name)

    def _check_group(self, group: Sequence[Parameter]) -> None:
        kinds = {bool(parameter.distribution) for parameter in group}
        lengths = {len(parameter.values) for parameter in group}
        if len(kinds) > 1 or len(lengths) > 1:
            told = ", ".join(parameter.name for parameter in group)
            raise ConfigError(
                f"parameters {told} are linked: all are drawn, or all have the same number of "
                "values"
            )

    def groups(self) -> list[tuple[Parameter, ...]]:
        """Parameters that move together, in order; one that is not linked is alone."""
        found: dict[str, list[Parameter]] = {}
        for parameter in self.parameters:
            key = f"group {parameter.linked}" if parameter.linked else f"alone {parameter.name}"
            found.setdefault(key, []).append(parameter)
        return [tuple(group) for group in found.values()]

    def _drawn_groups(self) -> list[tuple[Parameter, ...]]:
        return [group for group in self.groups() if group[0].distribution]

    def _grid_groups(self) -> list[tuple[Parameter, ...]]:
        return [group for group in self.groups() if not group[0].distribution]

    def count(self) -> int:
        """Points, without making them; where some exist only on a condition, at most so many."""
        total = math.prod(len(group[0].values) for group in self._grid_groups())
        drawn = len(self._drawn_groups())
        if not drawn:
            return total
        return total * self.points * (drawn + 2 if self.method == "saltelli" else 1)

    @property
    def is_full_grid(self) -> bool:
        """Whether every combination of values is there, once."""
        return not any(p.distribution or p.linked or p.when for p in self.parameters)

    def columns(self) -> dict[str, list[Any]]:
        """The points: name -> value at each, None where the parameter does not exist."""
        grid, drawn = self._grid_groups(), self._drawn_groups()
        unit = self._unit_points(len(drawn)) if drawn else np.zeros((1, 0))
        sizes = [len(group[0].values) for group in grid]
        places = np.indices(sizes).reshape(len(sizes), -1) if sizes else np.zeros((0, 1), int)
        made: dict[str, list[Any]] = {}
        for group, place in zip(grid, places, strict=True):
            for parameter in group:
                made[parameter.name] = [
                    value for i in place for value in [parameter.values[i]] * len(unit)
                ]
        repeats = places.shape[1]
        for group, quantiles in zip(drawn, unit.T, strict=True):
            for parameter in group:
                values = [float(f"{value:.12g}") for value in parameter.at(quantiles)]
                made[parameter.name] = values * repeats
        ordered = {parameter.name: made[parameter.name] for parameter in self.parameters}
        return self._with_conditions(ordered)

    def _with_conditions(self, columns: dict[str, list[Any]]) -> dict[str, list[Any]]:
        if not any(parameter.when for parameter in self.parameters):
            return columns
        met = {
            parameter.name: [
                all(columns[other][i] in values for other, values in parameter.when)
                for i in range(len(columns[parameter.name]))
            ]
            for parameter in self.parameters
        }
        rows: dict[tuple[Any, ...], None] = {}
        for i in range(len(next(iter(columns.values())))):
            rows[tuple(v[i] if met[name][i] else None for name, v in columns.items())] = None
        return {name: [row[k] for row in rows] for k, name in enumerate(columns)}

    def _unit_points(self, dimensions: int) -> np.ndarray:
        """Points of the unit cube, (n, dimensions)."""
        if self.method == "random":
            return np.random.default_rng(self.seed).random((self.points, dimensions))
        from scipy.stats import qmc

        if self.method == "latin-hypercube":
            hypercube: np.ndarray = qmc.LatinHypercube(dimensions, rng=self.seed).random(
                self.points
            )
            return hypercube
        if self.points & (self.points - 1):
            raise ConfigError(f"{self.method} needs a power of two of points, got {self.points}")
        if self.method == "sobol":
            sequence: np.ndarray = qmc.Sobol(dimensions, rng=self.seed).random(self.points)
            return sequence
        # Saltelli et al., Comput. Phys. Commun. 181 (2010), table 2: A, then A with one column of
        # B each, then B.
        pair = qmc.Sobol(2 * dimensions, rng=self.seed).random(self.points)
        a, b = pair[:, :dimensions], pair[:, dimensions:]
        mixed = [a]
        for column in range(dimensions):
            one = a.copy()
            one[:, column] = b[:, column]
            mixed.append(one)
        return np.stack([*mixed, b], axis=1).reshape(-1, dimensions)


def _value(text: str) -> Any:
    text = text.strip()
    if text in ("true", "false"):
        return text == "true"
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


def _number(name: str, key: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ConfigError(f"parameter {name}: {key} is a number, got {value!r}")
    if not math.isfinite(value):
        raise ConfigError(f"parameter {name}: {key} is a finite number, got {value}")
    return float(value)


def _text(name: str, key: str, value: Any) -> str:
    if not isinstance(value, str):
        raise ConfigError(f"parameter {name}: {key} is text, got {value!r}")
    return value


def _only(name: str, data: Mapping[str, Any], *keys: str) -> None:
    for key in data:
        if key not in (*keys, "linked", "when"):
            raise ConfigError(f"parameter {name}: {key} and {keys[0]} do not go together")


def _conditions(name: str, data: Any) -> tuple[tuple[str, tuple[Any, ...]], ...]:
    if not isinstance(data, Mapping):
        raise ConfigError(f"parameter {name}: when is a table of names and values, got {data!r}")
    return tuple(
        (str(other), tuple(values) if isinstance(values, list | tuple) else (values,))
        for other, values in data.items()
    )
