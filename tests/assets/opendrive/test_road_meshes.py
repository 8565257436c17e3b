import numpy as np
import pytest
import trimesh
from xodr_text import lane, road, section


def _merged(found, material):
    parts = [m for m in found.network.meshes if m.material == material]
    return trimesh.util.concatenate(
        [trimesh.Trimesh(m.vertices, m.faces, process=False) for m in parts]
    )


def test_surfaces_have_the_area_of_their_lanes_and_face_up(load):
    arc = '<geometry s="0" x="0" y="0" hdg="0" length="100"><arc curvature="0.02"/></geometry>'
    found = load(
        road(plan=arc, lanes=section(lane(-1) + lane(-2, 2.0, "sidewalk") + lane(-3, 1.0, "none")))
    )
    asphalt, pavement = _merged(found, "asphalt"), _merged(found, "pavement")
    # Rings of a circle of 50 m, to the outside.
    turn = 100.0 / 50.0
    assert asphalt.area == pytest.approx(0.5 * turn * (53.5**2 - 50.0**2), rel=1e-3)
    assert pavement.area == pytest.approx(0.5 * turn * (55.5**2 - 53.5**2), rel=1e-3)
    assert asphalt.face_normals[:, 2].min() > 0.999
    assert {m.material for m in found.network.meshes} == {"asphalt", "pavement"}


def test_height_and_bank_lift_the_surface(load):
    kerb = lane(-1, more='<height sOffset="0" inner="0.1" outer="0.2"/>')
    bank = '<lateralProfile><superelevation s="0" a="0.2" b="0" c="0" d="0"/></lateralProfile>'
    found = load(road(lanes=section(kerb), more=bank))
    vertices = _merged(found, "asphalt").vertices
    outer = vertices[np.argmin(vertices[:, 1])]
    assert outer[1] == pytest.approx(-3.5 * np.cos(0.2) - 0.2 * np.sin(0.2))
    assert outer[2] == pytest.approx(-3.5 * np.sin(0.2) + 0.2 * np.cos(0.2))
    assert found.network.elevation[0] == pytest.approx(-1.75 * np.sin(0.2) + 0.15 * np.cos(0.2))


@pytest.mark.parametrize(
    ("mark", "offsets", "share"),
    [
        ('type="solid" width="0.2"', [0.0], 1.0),
        ('type="broken" width="0.2"', [0.0], 1 / 3),
        ('type="solid broken" width="0.2"', [0.2, -0.2], 0.5 * (1 + 1 / 3)),
        ('type="broken_solid" width="0.2"', [0.2, -0.2], 0.5 * (1 + 1 / 3)),
        ('type="none"', [], 0.0),
    ],
)
def test_marks_lie_on_the_outer_border(load, mark, offsets, share):
    found = load(road(lanes=section(lane(-1, more=f'<roadMark sOffset="10" {mark}/>'))))
    parts = [m for m in found.network.meshes if m.material == "marking"]
    if not offsets:
        assert parts == []
        return
    merged = _merged(found, "marking")
    assert merged.area == pytest.approx(len(offsets) * 90.0 * 0.2 * share, rel=0.02)
    assert merged.bounds[0][:2] == pytest.approx([10.0, -3.5 + min(offsets) - 0.1])
    assert merged.bounds[1][1] == pytest.approx(-3.5 + max(offsets) + 0.1)
    assert merged.bounds[1][2] < 0.02
    # The first of two lines is the inner one.
    inner = merged.triangles_center[:, 1] > -3.5
    if mark.startswith('type="solid broken"'):
        assert merged.area_faces[inner].sum() == pytest.approx(90.0 * 0.2)
    if mark.startswith('type="broken_solid"'):
        assert merged.area_faces[~inner].sum() == pytest.approx(90.0 * 0.2)


def test_lines_of_a_mark_are_drawn_as_the_file_says(load):
    mark = (
        '<roadMark sOffset="0" type="broken" color="yellow"><type name="x" width="0.1">'
        '<line length="2" space="8" tOffset="0.5" sOffset="1" width="0.3"/></type></roadMark>'
    )
    found = load(road(lanes=section(lane(-1, more=mark))))
    merged = _merged(found, "yellow")
    assert merged.area == pytest.approx(10 * 2.0 * 0.3)
    assert merged.bounds[0][:2] == pytest.approx([1.0, -3.5 + 0.5 - 0.15])
    assert merged.bounds[1][:2] == pytest.approx([93.0, -3.5 + 0.5 + 0.15])


def test_pictures_are_left_out_on_request(load):
    assert load(road(), surface=False).network.meshes == ()
