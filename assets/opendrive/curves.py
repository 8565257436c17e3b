"""Curves of a plan view: line, arc, spiral, poly3 and paramPoly3, and the reference line of them.

Each curve is known in its own frame, from the origin along +x, by arc length. Sources: ASAM
OpenDRIVE 1.8, chapter "Geometry"; the clothoid by Fresnel integrals, Abramowitz and Stegun 7.3.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy.special import fresnel

Floats = NDArray[np.float64]
Points = tuple[Floats, Floats, Floats, Floats, Floats]
"""x [m], y [m], heading [rad], curvature [1/m], its derivative by arc length [1/m^2]."""

# Below this change of heading by the change of curvature [rad], the Fresnel integrals of a spiral
# lie so far out that their difference loses digits.
_NEARLY_ARC = 1e-5
_PANELS = 64  # of a polynomial, for its arc length
_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(8)
# Enough for a whole piece that turns by 100 rad.
_MANY_NODES, _MANY_WEIGHTS = np.polynomial.legendre.leggauss(96)


class Curve(ABC):
    """A piece of a reference line in its own frame.

    Attributes:
        length: Arc length [m].
    """

    length: float

    @abstractmethod
    def evaluate(self, u: Floats) -> Points:
        """Points at the arc lengths `u`; a curve goes on past its end."""

    @property
    def stated_error(self) -> float:
        """How much longer the curve is than its file says [m]."""
        return 0.0


@dataclass(frozen=True)
class Line(Curve):
    """Straight."""

    length: float

    def evaluate(self, u: Floats) -> Points:
        zero = np.zeros(u.shape)
        return u, zero, zero, zero, zero


@dataclass(frozen=True)
class Arc(Curve):
    """Of constant curvature [1/m]."""

    length: float
    curvature: float

    def evaluate(self, u: Floats) -> Points:
        zero = np.zeros(u.shape)
        heading = self.curvature * u
        # sin(k u) / k and (1 - cos(k u)) / k, which hold at k = 0 too.
        half = 0.5 * heading
        chord = u * np.sinc(half / np.pi)
        return chord * np.cos(half), chord * np.sin(half), heading, zero + self.curvature, zero


@dataclass(frozen=True)
class Spiral(Curve):
    """Clothoid: curvature from `begin` to `end` [1/m], linear in arc length."""

    length: float
    begin: float
    end: float

    def evaluate(self, u: Floats) -> Points:
        rate = (self.end - self.begin) / self.length
        heading = u * (self.begin + 0.5 * rate * u)
        nearly_arc = abs(rate) * self.length**2 < _NEARLY_ARC
        place = self._as_arc(u, rate) if nearly_arc else self._by_fresnel(u, rate)
        return place.real, place.imag, heading, self.begin + rate * u, np.full(u.shape, rate)

    def _by_fresnel(self, u: Floats, rate: float) -> NDArray[np.complex128]:
        # heading = rate / 2 (u + begin / rate)^2 - begin^2 / (2 rate)
        scale = np.sqrt(abs(rate) / np.pi)
        sine, cosine = fresnel(scale * (u + self.begin / rate))
        sine_0, cosine_0 = fresnel(scale * (self.begin / rate))
        turned = (cosine - cosine_0) + 1j * np.sign(rate) * (sine - sine_0)
        return turned / scale * np.exp(-0.5j * self.begin**2 / rate)

    def _as_arc(self, u: Floats, rate: float) -> NDArray[np.complex128]:
        """The arc of the same mean curvature, and what the change of curvature adds, to its first
        order: the second is below 1e-12 of the length."""
        mean = self.begin + 0.5 * rate * u
        half = 0.5 * u * mean
        arc = u * np.sinc(half / np.pi) * np.exp(1j * half)
        at = 0.5 * u[..., None] * (1.0 + _MANY_NODES)
        turn = 0.5 * rate * at * (at - u[..., None])
        added = 0.5j * u * ((turn * np.exp(1j * mean[..., None] * at)) @ _MANY_WEIGHTS)
        place: NDArray[np.complex128] = arc + added
        return place


@dataclass(frozen=True)
class ParamPoly(Curve):
    """u(p), v(p): cubic polynomials of a parameter from 0 to `p_end`, by arc length.

    Where the file's length is not the arc length, the arc length is stretched to it.
    """

    length: float
    u: tuple[float, float, float, float]
    v: tuple[float, float, float, float]
    p_end: float

    @cached_property
    def _knots(self) -> Floats:
        return np.linspace(0.0, self.p_end, _PANELS + 1)

    @cached_property
    def _arc(self) -> Floats:
        """Arc length at the knots [m]."""
        pieces = self._between(self._knots[:-1], self._knots[1:])
        return np.concatenate([[0.0], np.cumsum(pieces)])

    @property
    def stated_error(self) -> float:
        return float(self._arc[-1]) - self.length

    def _between(self, begin: Floats, end: Floats) -> Floats:
        half = 0.5 * (end - begin)
        p = 0.5 * (begin + end)[:, None] + half[:, None] * _NODES
        speed: Floats = half * (np.hypot(_cubic(self.u, p, 1), _cubic(self.v, p, 1)) @ _WEIGHTS)
        return speed

    def parameter(self, arc: Floats) -> Floats:
        """Parameter p at each arc length."""
        p = np.interp(arc, self._arc, self._knots)
        for _ in range(3):
            index = np.clip(np.searchsorted(self._knots, p, "right") - 1, 0, _PANELS - 1)
            at = self._arc[index] + self._between(self._knots[index], p)
            speed = np.hypot(_cubic(self.u, p, 1), _cubic(self.v, p, 1))
            p = p - (at - arc) / np.maximum(speed, 1e-9)
        return p

    def evaluate(self, u: Floats) -> Points:
        p = self.parameter(np.ravel(u) * (self._arc[-1] / self.length)).reshape(u.shape)
        du, dv = _cubic(self.u, p, 1), _cubic(self.v, p, 1)
        ddu, ddv = _cubic(self.u, p, 2), _cubic(self.v, p, 2)
        speed = np.maximum(np.hypot(du, dv), 1e-9)
        cross = du * ddv - dv * ddu
        # d(cross / speed^3) / dp / speed
        cross_rate = du * 6.0 * self.v[3] - dv * 6.0 * self.u[3]
        rate = cross_rate / speed**4 - 3.0 * cross * (du * ddu + dv * ddv) / speed**6
        return (
            _cubic(self.u, p, 0), _cubic(self.v, p, 0), np.arctan2(dv, du), cross / speed**3, rate,
        )  # fmt: skip


def poly3(length: float, a: float, b: float, c: float, d: float) -> ParamPoly:
    """v(u) = a + b u + c u^2 + d u^3, as long as the given arc length [m]."""
    v = (a, b, c, d)
    # The arc length is at least u, so u ends at `length` at the latest.
    whole = ParamPoly(length, (0.0, 1.0, 0.0, 0.0), v, length)
    end = float(whole.parameter(np.array([length]))[0])
    return ParamPoly(length, (0.0, 1.0, 0.0, 0.0), v, end)


def _cubic(k: tuple[float, float, float, float], p: Floats, order: int) -> Floats:
    if order == 0:
        return k[0] + p * (k[1] + p * (k[2] + p * k[3]))
    if order == 1:
        return k[1] + p * (2.0 * k[2] + p * (3.0 * k[3]))
    return 2.0 * k[2] + 6.0 * k[3] * p


@dataclass(frozen=True)
class Piece:
    """A curve at its place: where it begins on the road [m], x [m], y [m], heading [rad]."""

    s: float
    x: float
    y: float
    heading: float
    curve: Curve
    line: int

    def evaluate(self, u: Floats) -> Points:
        """Points in the map at arc lengths of the curve."""
        x, y, heading, curvature, rate = self.curve.evaluate(u)
        cos, sin = np.cos(self.heading), np.sin(self.heading)
        return (
            self.x + cos * x - sin * y, self.y + sin * x + cos * y, heading + self.heading,
            curvature, rate,
        )  # fmt: skip


class ReferenceLine:
    """Pieces one behind the other, by `s` along the road."""

    def __init__(self, pieces: Sequence[Piece]) -> None:
        self.pieces = tuple(pieces)
        self._start = np.array([piece.s for piece in pieces], np.float64)

    def evaluate(self, s: Floats) -> Points:
        """Points of the map at each s [m]; before the start and past the end it goes on."""
        s = np.asarray(s, np.float64)
        flat = s.ravel()
        index = np.clip(np.searchsorted(self._start, flat, "right") - 1, 0, None)
        out = np.empty((5, flat.size))
        for i in np.unique(index):
            on = index == i
            out[:, on] = self.pieces[i].evaluate(flat[on] - self._start[i])
        x, y, heading, curvature, rate = out.reshape(5, *s.shape)
        return x, y, heading, curvature, rate

    def joints(self) -> Floats:
        """Gap [m] and turn [rad] between the end of each piece and the next, shape (n - 1, 2)."""
        gaps = np.zeros((len(self.pieces) - 1, 2))
        for i, (before, after) in enumerate(zip(self.pieces, self.pieces[1:], strict=False)):
            x, y, heading, *_ = before.evaluate(np.array([after.s - before.s]))
            x1, y1, heading1, *_ = after.evaluate(np.zeros(1))
            turn = heading1[0] - heading[0]
            gaps[i] = np.hypot(x1[0] - x[0], y1[0] - y[0]), abs(np.angle(np.exp(1j * turn)))
        return gaps
