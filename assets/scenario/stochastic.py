"""Stochastic distributions of a parameter: values from uniform numbers by the inverse of the CDF.

A `Range` cuts a distribution off: values outside it are as if they had been drawn anew. For the
log-normal distribution, `expectedValue` and `variance` are those of the parameter itself, as the
standard says of every distribution, not those of its logarithm.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from scipy import special, stats

from proveout.assets.files.errors import unknown
from proveout.assets.scenario.node import Node
from proveout.assets.scenario.scope import Frame, Scope
from proveout.assets.scenario.types import NUMERIC

# From uniform numbers in (0, 1) of shape (rows,) to values of shape (rows,).
Draw = Callable[[np.ndarray], np.ndarray]
# From the text of a <UserDefinedDistribution> to such a function.
UserDistribution = Callable[[str], Draw]
_ALONE = Frame(Scope(), {}, 1)  # a distribution file sees no parameters


def draw_of(node: Node, kind: str, user: Mapping[str, UserDistribution]) -> Draw:
    """Return how values of a parameter are drawn.

    Args:
        node: The `<StochasticDistribution>`.
        kind: Type of the parameter, of `types.TYPES`.
        user: What the names of user-defined distributions mean.

    Raises:
        ScenarioError: Its numbers make no distribution.
    """
    if len(node.children) != 1:
        raise node.place.error(f"it needs one distribution, not {len(node.children)}.")
    inner = node.children[0]
    if inner.tag == "ProbabilityDistributionSet":
        return _weighted_set(inner, kind)
    if inner.tag == "UserDefinedDistribution":
        name = inner.attribute("type")
        if name not in user:
            raise inner.place.error(
                f"user-defined distribution {name!r} is not known; give load_rows a function of "
                f"that name, or use a distribution of the standard."
            )
        return user[name](inner.text)
    if inner.tag not in _NUMBERS:
        known = [*_NUMBERS, "ProbabilityDistributionSet", "UserDefinedDistribution"]
        raise inner.place.error(str(unknown("distribution", inner.tag, known)))
    if kind not in NUMERIC:
        raise inner.place.error(
            f"it draws numbers for a parameter of type {kind}; use a ProbabilityDistributionSet."
        )
    draw = _NUMBERS[inner.tag](inner)
    if kind != "double" and inner.tag != "PoissonDistribution":
        return lambda u: np.round(draw(u))
    return draw


def number_of(node: Node, name: str) -> float:
    """Return an attribute as a finite number.

    Raises:
        ScenarioError: It is none.
    """
    text = node.attribute(name)
    number = float(_ALONE.value(text, "double", None, node.place))
    if not np.isfinite(number):
        raise node.place.error(f"{name} is {text!r}, not a number; correct it.")
    return number


def value_of(node: Node, kind: str) -> Any:
    """Return the attribute `value` of a node as a value of a type.

    Raises:
        ScenarioError: It is not of that type.
    """
    return _ALONE.value(node.attribute("value"), kind, None, node.place)


def range_of(node: Node) -> tuple[float, float]:
    """Return the limits in the `<Range>` of a node, infinite where it has none.

    Raises:
        ScenarioError: They are in the wrong order.
    """
    inner = node.child("Range")
    if inner is None:
        return -np.inf, np.inf
    low, high = number_of(inner, "lowerLimit"), number_of(inner, "upperLimit")
    if low > high:
        raise inner.place.error(f"lowerLimit {low:g} is above upperLimit {high:g}; swap them.")
    return low, high


def _spread(node: Node) -> float:
    variance = number_of(node, "variance")
    if variance < 0:
        raise node.place.error(f"variance is {variance:g}; it cannot be negative.")
    return float(np.sqrt(variance))


def _empty_range(node: Node, low: float, high: float) -> Exception:
    return node.place.error(
        f"the distribution has no value between {low:g} and {high:g}; widen its <Range>."
    )


def _uniform(node: Node) -> Draw:
    node.need("Range")
    low, high = range_of(node)
    return lambda u: low + (high - low) * u


def _normal_between(node: Node, mean: float, sigma: float, low: float, high: float) -> Draw:
    """Normal numbers between limits."""
    if sigma == 0.0:
        if not low <= mean <= high:
            raise _empty_range(node, low, high)
        return lambda u: np.full(u.shape, mean)
    a, b = (low - mean) / sigma, (high - mean) / sigma
    # In the upper tail the CDF is 1 to the last bit: mirrored, it keeps its digits.
    mirrored = a > 0
    if mirrored:
        a, b = -b, -a
    start, end = special.ndtr(a), special.ndtr(b)
    if not end > start:
        raise _empty_range(node, low, high)

    def draw(u: np.ndarray) -> np.ndarray:
        z = special.ndtri(start + (end - start) * u)
        value: np.ndarray = mean + sigma * (-z if mirrored else z)
        return np.clip(value, low, high)

    return draw


def _normal(node: Node) -> Draw:
    low, high = range_of(node)
    return _normal_between(node, number_of(node, "expectedValue"), _spread(node), low, high)


def _log_normal(node: Node) -> Draw:
    mean, sigma = number_of(node, "expectedValue"), _spread(node)
    if mean <= 0:
        raise node.place.error(f"expectedValue is {mean:g}; it must be positive.")
    low, high = range_of(node)
    if high <= 0:
        raise _empty_range(node, low, high)
    shape = float(np.sqrt(np.log1p((sigma / mean) ** 2)))
    centre = float(np.log(mean) - shape**2 / 2)
    bottom = float(np.log(low)) if low > 0 else -np.inf
    draw = _normal_between(node, centre, shape, bottom, float(np.log(high)))
    return lambda u: np.clip(np.exp(draw(u)), low, high)


def _poisson(node: Node) -> Draw:
    mean = number_of(node, "expectedValue")
    if mean <= 0:
        raise node.place.error(f"expectedValue is {mean:g}; it must be positive.")
    low, high = range_of(node)
    start = float(stats.poisson.cdf(np.ceil(low) - 1, mean)) if np.isfinite(low) else 0.0
    end = float(stats.poisson.cdf(np.floor(high), mean)) if np.isfinite(high) else 1.0
    if not end > start:
        raise _empty_range(node, low, high)

    def draw(u: np.ndarray) -> np.ndarray:
        value: np.ndarray = stats.poisson.ppf(start + (end - start) * u, mean)
        return np.clip(value, np.ceil(max(low, 0.0)), np.floor(high))

    return draw


def _cumulative(nodes: list[Node], place: Node) -> np.ndarray:
    """Shares of weights, added up; the last is 1."""
    if not nodes:
        raise place.place.error("it is empty; give it values with weights.")
    weights = np.array([number_of(node, "weight") for node in nodes])
    if np.any(weights < 0) or not weights.sum() > 0:
        raise place.place.error("its weights must not be negative, and one must be positive.")
    shares: np.ndarray = np.cumsum(weights) / weights.sum()
    shares[-1] = 1.0
    return shares


def _histogram(node: Node) -> Draw:
    bins = list(node.all("Bin"))
    edges = np.array([range_of(one) for one in bins])
    shares = _cumulative(bins, node)
    for one in bins:
        one.need("Range")

    def draw(u: np.ndarray) -> np.ndarray:
        index = np.searchsorted(shares, u, side="right")
        below = np.where(index > 0, shares[index - 1], 0.0)
        part = (u - below) / (shares[index] - below)
        low, high = edges[index].T
        value: np.ndarray = low + (high - low) * part
        return value

    return draw


def _weighted_set(node: Node, kind: str) -> Draw:
    elements = list(node.all("Element"))
    values = values_of(elements, kind)
    shares = _cumulative(elements, node)
    return lambda u: values[np.searchsorted(shares, u, side="right")]


def values_of(nodes: list[Node], kind: str) -> Any:
    """Return the values of elements as an array of a type.

    Raises:
        ScenarioError: One is not of that type.
    """
    return np.array([value_of(node, kind) for node in nodes])


_NUMBERS: Mapping[str, Callable[[Node], Draw]] = {
    "UniformDistribution": _uniform, "NormalDistribution": _normal,
    "LogNormalDistribution": _log_normal, "PoissonDistribution": _poisson,
    "Histogram": _histogram,
}  # fmt: skip
