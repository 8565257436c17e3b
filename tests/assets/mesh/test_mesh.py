"""Units, repair, mass, convex parts, simplification and distance, on solids with closed forms."""

from pathlib import Path

import numpy as np
import pytest
import trimesh

from proveout.assets.files.errors import ModelError, UnknownNameError
from proveout.assets.mesh import convex
from proveout.assets.mesh.convex import convex_parts
from proveout.assets.mesh.distance import signed_distance
from proveout.assets.mesh.mass import mass_properties
from proveout.assets.mesh.repair import repair, soundness
from proveout.assets.mesh.scale import scaled
from proveout.assets.mesh.simplify import simplify
from proveout.assets.mesh.units import guess_unit, to_metres


def box(x: float = 1.0, y: float = 2.0, z: float = 3.0) -> trimesh.Trimesh:
    return trimesh.creation.box((x, y, z))


def table() -> trimesh.Trimesh:
    """A top with a foot, as one closed surface: an L that is far from its hull."""
    outline = np.array([[0, 0], [0.1, 0], [0.1, 0.9], [1.0, 0.9], [1.0, 1.0], [0, 1.0]])
    n = len(outline)
    vertices = np.vstack([np.column_stack([outline, np.full(n, z)]) for z in (0.0, 0.5)])
    flat = [(0, 1, 2), (0, 2, 5), (2, 3, 4), (2, 4, 5)]
    faces = [(a, c, b) for a, b, c in flat] + [(a + n, b + n, c + n) for a, b, c in flat]
    for i in range(n):
        j = (i + 1) % n
        faces += [(i, j, j + n), (i, j + n, i + n)]
    return trimesh.Trimesh(vertices, faces, process=False)


def test_units_are_scaled_and_told() -> None:
    mesh, changes = to_metres(box(), "mm")
    np.testing.assert_allclose(mesh.extents, [0.001, 0.002, 0.003])
    assert changes == ("scaled by 0.001, from mm to m",)
    assert to_metres(box(), "m").changes == ()
    with pytest.raises(UnknownNameError, match="did you mean 'mm'"):
        to_metres(box(), "mmm")


@pytest.mark.parametrize(("size", "unit"), [(3.0, "m"), (0.0037, "mm"), (0.0951, "in")])
def test_the_unit_nearest_to_a_known_size_is_guessed(size: float, unit: str) -> None:
    assert guess_unit(box(), size) == unit


def test_a_hole_twisted_faces_and_double_vertices_are_mended_and_told() -> None:
    closed = box()
    faces = closed.faces.copy()
    faces[3] = faces[3][::-1]
    loose = closed.vertices[np.delete(faces, 0, axis=0)].reshape(-1, 3)
    broken = trimesh.Trimesh(loose, np.arange(len(loose)).reshape(-1, 3), process=False)
    assert not soundness(broken).watertight
    mended, changes = repair(broken)
    assert soundness(mended).solid
    assert mended.volume == pytest.approx(6.0)
    assert [change.split(" ", 1)[1] for change in changes] == [
        "double or unused vertices merged", "filled with 1 faces", "faces turned outwards",
    ]  # fmt: skip
    assert repair(mended).changes == ()


def test_an_inside_out_box_is_seen_and_turned() -> None:
    inside_out = trimesh.Trimesh(box().vertices, box().faces[:, ::-1], process=False)
    assert soundness(inside_out).inside_out
    assert soundness(repair(inside_out).mesh).solid


def test_mass_of_a_box_and_of_what_is_not_closed() -> None:
    body = box()
    body.apply_translation((1.0, 0.0, 0.0))
    found = mass_properties(body, density=500.0)
    assert found.mass == pytest.approx(3000.0)
    np.testing.assert_allclose(found.center, [1.0, 0.0, 0.0], atol=1e-12)
    # m (b^2 + c^2) / 12 of a cuboid.
    expected = 3000.0 / 12.0 * np.diag([4.0 + 9.0, 1.0 + 9.0, 1.0 + 4.0])
    np.testing.assert_allclose(found.inertia, expected, atol=1e-9)
    assert found.source == "mesh"

    open_box = trimesh.Trimesh(body.vertices, body.faces[1:], process=False)
    by_hull = mass_properties(open_box, mass=3000.0)
    assert by_hull.source == "hull"
    np.testing.assert_allclose(by_hull.inertia, expected, atol=1e-6)
    for wrong in ({}, {"density": 1.0, "mass": 1.0}, {"mass": -1.0}, {"density": np.nan}):
        with pytest.raises(ModelError, match="either a density or a mass"):
            mass_properties(body, **wrong)
    flat = trimesh.Trimesh([[0, 0, 0], [1, 0, 0], [0, 1, 0]], [[0, 1, 2]], process=False)
    with pytest.raises(ModelError, match="without volume"):
        mass_properties(flat, density=1.0)


def test_a_mirror_keeps_outside_outside() -> None:
    mirrored = scaled(box(), (-1.0, 1.0, 2.0))
    assert soundness(mirrored).solid
    assert mirrored.volume == pytest.approx(12.0)


def test_simplifying_keeps_the_volume_and_tells() -> None:
    sphere = trimesh.creation.icosphere(subdivisions=4)
    mesh, changes = simplify(sphere, 500)
    assert len(mesh.faces) <= 500
    assert mesh.volume == pytest.approx(sphere.volume, rel=0.02)
    assert changes == (f"simplified from 5120 to {len(mesh.faces)} faces",)
    assert simplify(box(), 500).changes == ()


def test_distance_from_a_box_by_hand() -> None:
    points = [[0, 0, 0], [0.4, 0, 0], [0.6, 0, 0], [3.5, 4.0, 1.5], [0.5, 1.0, 2.5]]
    expected = [-0.5, -0.1, 0.1, np.hypot(3.0, 3.0), 1.0]
    np.testing.assert_allclose(signed_distance(box(), points), expected, atol=1e-12)
    with pytest.raises(ModelError, match="has no inside"):
        signed_distance(trimesh.Trimesh(box().vertices, box().faces[1:], process=False), points)
    with pytest.raises(ModelError, match="must be finite"):
        signed_distance(box(), [[0.0, np.nan, 0.0]])


def test_distance_from_a_concave_body_has_the_right_sign() -> None:
    points = np.array([[0.5, 0.5, 0.25], [0.05, 0.5, 0.25], [0.5, 0.95, 0.25]])
    # Below the top and beside the foot: the hull's inside, the body's outside.
    np.testing.assert_allclose(signed_distance(table(), points), [0.4, -0.05, -0.05], atol=1e-12)


def test_convex_parts_fill_the_body_and_come_from_the_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    body = table()
    parts, changes = convex_parts(body, cache=tmp_path)
    assert len(parts) >= 2
    assert changes == (f"decomposed into {len(parts)} convex parts",)
    assert all(part.is_convex for part in parts)
    # The hull has three times the volume of the body.
    assert sum(part.volume for part in parts) == pytest.approx(body.volume, rel=0.15)
    assert body.convex_hull.volume > 2.5 * body.volume

    def never(*_: object) -> None:
        raise AssertionError("decomposed again")

    (kept,) = (tmp_path / "convex").iterdir()
    with monkeypatch.context() as patch:
        patch.setattr(convex, "_decompose", never)
        again, _ = convex_parts(body, cache=tmp_path)
        for one, two in zip(parts, again, strict=True):
            np.testing.assert_array_equal(one.vertices, two.vertices)
        moved = body.copy()
        moved.vertices[0, 0] -= 1e-3
        with pytest.raises(AssertionError, match="decomposed again"):
            convex_parts(moved, cache=tmp_path)
    kept.write_bytes(b"damaged")
    assert len(convex_parts(body, cache=tmp_path).parts) == len(parts)


def test_what_is_convex_flat_or_takes_too_long_is_not_decomposed(tmp_path: Path) -> None:
    (hull,), changes = convex_parts(box(), cache=tmp_path)
    assert changes == ()
    assert hull.volume == pytest.approx(6.0)
    flat = trimesh.Trimesh([[0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0]], [[0, 1, 2], [0, 2, 3]])
    (slab,), changes = convex_parts(flat, cache=tmp_path)
    np.testing.assert_allclose(slab.extents, [1.0, 1.0, 0.001])
    assert changes == ("flat, a box of at least 1 mm taken",)
    (hull,), changes = convex_parts(table(), cache=tmp_path, seconds=0.01)
    assert "its convex hull taken" in changes[0]
    assert hull.volume == pytest.approx(table().convex_hull.volume)
