import numpy as np
import pyclothoids
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import quad

from proveout.assets.opendrive.cubics import Cubics
from proveout.assets.opendrive.curves import (
    Arc,
    Line,
    ParamPoly,
    Piece,
    ReferenceLine,
    Spiral,
    poly3,
)

curvatures = st.floats(-0.1, 0.1)


@given(begin=curvatures, end=curvatures, length=st.floats(0.1, 500.0))
@settings(max_examples=200, deadline=None)
def test_spirals_are_those_of_pyclothoids(begin, end, length):
    u = np.linspace(0.0, length, 9)
    x, y, heading, curvature, _rate = Spiral(length, begin, end).evaluate(u)
    other = pyclothoids.Clothoid.StandardParams(0, 0, 0, begin, (end - begin) / length, length)
    np.testing.assert_allclose(x, [other.X(v) for v in u], atol=1e-8)
    np.testing.assert_allclose(y, [other.Y(v) for v in u], atol=1e-8)
    np.testing.assert_allclose(heading, [other.Theta(v) for v in u], atol=1e-12)
    np.testing.assert_allclose(curvature, [other.XDD(v) * -np.sin(other.Theta(v))
                                           + other.YDD(v) * np.cos(other.Theta(v)) for v in u],
                               atol=1e-9)  # fmt: skip


@given(begin=curvatures, change=st.floats(-1e-7, 1e-7), length=st.floats(1.0, 1000.0))
@settings(max_examples=100, deadline=None)
def test_spirals_that_are_nearly_arcs_keep_their_digits(begin, change, length):
    x, y, *_ = Spiral(length, begin, begin + change).evaluate(np.array([length]))

    def heading(u):
        return begin * u + 0.5 * change / length * u * u

    panels = np.linspace(0.0, length, 120)
    nodes, weights = np.polynomial.legendre.leggauss(8)
    half = 0.5 * np.diff(panels)[:, None]
    at = 0.5 * (panels[1:] + panels[:-1])[:, None] + half * nodes
    place = np.sum(half * weights * np.exp(1j * heading(at)))
    # Rounding of begin^2 / (2 rate), which may be 1e9 rad.
    assert abs(complex(x[0], y[0]) - place) < 1e-6


@pytest.mark.parametrize(
    "curve",
    [
        Line(80.0),
        Arc(80.0, 0.03),
        Arc(80.0, -0.2),
        Spiral(80.0, -0.01, 0.04),
        Spiral(80.0, 0.02, 0.02),
        ParamPoly(81.0, (0.0, 80.0, 0.0, 0.0), (0.0, 0.0, 20.0, -12.0), 1.0),
        ParamPoly(40.0, (0.0, 1.0, -0.001, 0.0), (0.0, 0.0, 0.01, 1e-4), 40.0),
        poly3(60.0, 0.5, 0.1, 0.004, -3e-5),
    ],
    ids=lambda curve: type(curve).__name__,
)
def test_headings_curvatures_and_their_rates_are_derivatives(curve):
    h = 1e-4
    u = np.linspace(0.5, curve.length - 0.5, 31)
    x, y, heading, curvature, rate = curve.evaluate(u)
    before, after = curve.evaluate(u - h), curve.evaluate(u + h)
    slope = [(b - a) / (2 * h) for a, b in zip(before, after, strict=True)]
    stretch = 1.0 + curve.stated_error / curve.length
    np.testing.assert_allclose(slope[0], np.cos(heading) * stretch, atol=1e-6)
    np.testing.assert_allclose(slope[1], np.sin(heading) * stretch, atol=1e-6)
    np.testing.assert_allclose(slope[2], curvature * stretch, atol=1e-6)
    np.testing.assert_allclose(slope[3], rate * stretch, atol=1e-6)
    assert x.shape == y.shape == u.shape


def test_poly3_is_as_long_as_it_says():
    a, b, c, d = 0.0, 0.2, 0.01, -1e-4
    x, y, *_ = poly3(50.0, a, b, c, d).evaluate(np.array([20.0, 50.0]))
    np.testing.assert_allclose(y, a + b * x + c * x**2 + d * x**3)
    for end, length in zip(x, (20.0, 50.0), strict=True):
        arc, _error = quad(lambda u: np.hypot(1.0, b + 2 * c * u + 3 * d * u * u), 0.0, end)
        assert arc == pytest.approx(length, abs=1e-7)


def test_a_reference_line_tells_gaps_and_goes_on_past_its_end():
    line = ReferenceLine(
        [Piece(0.0, 1.0, 2.0, 0.0, Line(10.0), 1), Piece(10.0, 11.0, 2.5, 0.1, Line(10.0), 2)]
    )
    np.testing.assert_allclose(line.joints(), [[0.5, 0.1]])
    x, y, *_ = line.evaluate(np.array([-1.0, 5.0, 25.0]))
    np.testing.assert_allclose(x, [0.0, 6.0, 11.0 + 15.0 * np.cos(0.1)])
    np.testing.assert_allclose(y, [2.0, 2.0, 2.5 + 15.0 * np.sin(0.1)])


def test_cubics_hold_from_their_start_and_are_zero_before():
    cubics = Cubics.of([(10.0, 1.0, 2.0, 3.0, 4.0), (5.0, 7.0, 0.0, 0.0, 0.0)])
    s = np.array([4.0, 5.0, 9.9, 10.0, 12.0])
    np.testing.assert_allclose(cubics(s), [0.0, 7.0, 7.0, 1.0, 1 + 4 + 12 + 32])
    np.testing.assert_allclose(cubics(s, 1), [0.0, 0.0, 0.0, 2.0, 2 + 12 + 48])
    np.testing.assert_allclose(cubics(s, 2), [0.0, 0.0, 0.0, 6.0, 6 + 48])
