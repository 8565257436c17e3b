"""Solids of revolution against their volumes in closed form."""

import numpy as np
import pytest

from proveout.assets.mesh.revolve import rounded_cylinder, tube

FINE = 256  # Facets, so that a volume is within a thousandth of the round body's.


def test_plain_cylinder_along_any_axis() -> None:
    mesh = rounded_cylinder((0.1, 0.0, 0.0), (0.1, 0.5, 0.0), 0.04, sections=FINE)
    assert mesh.is_watertight
    assert mesh.volume == pytest.approx(np.pi * 0.04**2 * 0.5, rel=1e-3)
    np.testing.assert_allclose(mesh.bounds, [[0.06, 0.0, -0.04], [0.14, 0.5, 0.04]], atol=1e-5)


def test_rounding_only_takes_away_at_the_rim() -> None:
    sharp = rounded_cylinder((0, 0, 0), (0, 0, -0.1), 0.05)
    rounded = rounded_cylinder((0, 0, 0), (0, 0, -0.1), 0.05, start_fillet=0.01, end_fillet=0.02)
    assert rounded.is_watertight
    assert 0.8 * sharp.volume < rounded.volume < sharp.volume
    np.testing.assert_allclose(rounded.bounds, sharp.bounds, atol=1e-9)


def test_tube_has_its_radius_in_the_middle_and_swells_at_the_ends() -> None:
    mesh = tube(
        (0, 0, 0), (0.4, 0, 0), 0.03, start_radius=0.05, end_radius=0.04, blend=0.1, sections=FINE
    )
    assert mesh.is_watertight
    radius = np.hypot(mesh.vertices[:, 1], mesh.vertices[:, 2])
    x = mesh.vertices[:, 0]
    assert radius[np.isclose(x, 0.0)].max() == pytest.approx(0.05)
    assert radius[np.isclose(x, 0.4)].max() == pytest.approx(0.04)
    assert radius[np.isclose(x, 0.1) | np.isclose(x, 0.3)].max() == pytest.approx(0.03)


def test_shapes_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match="do not fit"):
        rounded_cylinder((0, 0, 0), (0, 0, 0.01), 0.05, start_fillet=0.006, end_fillet=0.006)
    with pytest.raises(ValueError, match="overlap"):
        tube((0, 0, 0), (0, 0, 0.1), 0.01, start_radius=0.02, end_radius=0.02, blend=0.06)
