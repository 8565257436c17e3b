"""Mesh files of four kinds, and those that are refused."""

import json
import struct
import time
from pathlib import Path

import numpy as np
import pytest
import trimesh

from proveout.assets.files.errors import ModelError
from proveout.assets.mesh.read import MAX_FACES, read_mesh, read_pieces

COLLADA = """<?xml version="1.0"?>{doctype}
<COLLADA xmlns="http://www.collada.org/2005/11/COLLADASchema" version="1.4.1">
<asset><unit name="inch" meter="0.0254"/><up_axis>Z_UP</up_axis></asset>
<library_effects><effect id="fx"><profile_COMMON><technique sid="t"><lambert><diffuse>
<color>1 0 0 1</color></diffuse></lambert></technique></profile_COMMON></effect></library_effects>
<library_materials><material id="m"><instance_effect url="#fx"/></material></library_materials>
<library_geometries><geometry id="g"><mesh>
<source id="s"><float_array id="a" count="12">0 0 0 1 0 0 0 1 0 0 0 {z}</float_array>
<technique_common><accessor source="#a" count="4" stride="3"><param name="X" type="float"/>
<param name="Y" type="float"/><param name="Z" type="float"/></accessor></technique_common></source>
<vertices id="v"><input semantic="POSITION" source="#s"/></vertices>
<triangles count="4" material="red"><input semantic="VERTEX" source="#v" offset="0"/>
<p>0 2 1 0 1 3 1 2 3 0 3 2</p></triangles></mesh></geometry></library_geometries>
<library_nodes>{nodes}</library_nodes>
<library_visual_scenes><visual_scene id="scene"><node id="top">{content}</node></visual_scene>
</library_visual_scenes><scene><instance_visual_scene url="#scene"/></scene></COLLADA>"""
INSTANCE = """<instance_geometry url="#g"><bind_material><technique_common>
<instance_material symbol="red" target="#m"/></technique_common></bind_material>
</instance_geometry>"""


def collada(path: Path, **changes: str) -> Path:
    text = {"doctype": "", "z": "1", "nodes": "", "content": INSTANCE} | changes
    path.write_text(COLLADA.format(**text))
    return path


@pytest.mark.parametrize("kind", ["stl", "obj", "glb"])
def test_a_box_comes_back(tmp_path: Path, kind: str) -> None:
    path = tmp_path / f"box.{kind}"
    trimesh.creation.box((1.0, 2.0, 3.0)).export(path)
    mesh = read_mesh(path)
    assert mesh.is_watertight
    np.testing.assert_allclose(mesh.extents, [1.0, 2.0, 3.0])


def test_collada_brings_its_unit_and_its_colour(tmp_path: Path) -> None:
    (piece,), changes = read_pieces(collada(tmp_path / "t.dae"))
    assert piece.rgba == (1.0, 0.0, 0.0, 1.0)
    assert piece.mesh.volume == pytest.approx(0.0254**3 / 6.0)
    assert changes == ("scaled by 0.0254, as its unit says",)


def test_a_colour_for_each_material(tmp_path: Path) -> None:
    red, blue = trimesh.creation.box((1, 1, 1)), trimesh.creation.box((1, 1, 1))
    red.visual.face_colors, blue.visual.face_colors = [255, 0, 0, 255], [0, 0, 255, 255]
    trimesh.Scene([red, blue]).export(tmp_path / "two.glb")
    pieces, _ = read_pieces(tmp_path / "two.glb")
    assert {piece.rgba for piece in pieces} == {(1, 0, 0, 1), (0, 0, 1, 1)}


def test_entities_and_nodes_that_multiply_are_refused(tmp_path: Path) -> None:
    bomb = '<!DOCTYPE x [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;&a;">]>'
    with pytest.raises(ModelError, match="declares entities"):
        read_mesh(collada(tmp_path / "bomb.dae", doctype=bomb))
    nodes = f'<node id="n0">{INSTANCE}</node>' + "".join(
        f'<node id="n{i}">' + f'<instance_node url="#n{i - 1}"/>' * 10 + "</node>"
        for i in range(1, 12)
    )
    with pytest.raises(ModelError, match="uses more than 10000 geometries"):
        read_mesh(collada(tmp_path / "n.dae", nodes=nodes, content='<instance_node url="#n11"/>'))
    itself = '<node id="n"><instance_node url="#n"/></node>'
    with pytest.raises(ModelError, match="'n' within itself"):
        read_mesh(collada(tmp_path / "i.dae", nodes=itself, content='<instance_node url="#n"/>'))


def test_numbers_that_are_none_are_refused(tmp_path: Path) -> None:
    data = bytearray(trimesh.creation.box((1, 1, 1)).export(file_type="stl"))
    data[84 + 12 : 84 + 16] = struct.pack("<f", float("nan"))
    (tmp_path / "nan.stl").write_bytes(data)
    for path in (tmp_path / "nan.stl", collada(tmp_path / "nan.dae", z="NaN")):
        with pytest.raises(ModelError, match="vertex that is not finite"):
            read_mesh(path)


def test_ten_million_faces_are_refused_at_once(tmp_path: Path) -> None:
    faces = 10_000_000
    stl = tmp_path / "huge.stl"
    with stl.open("wb") as file:
        file.write(bytes(80) + struct.pack("<I", faces))
        file.truncate(84 + 50 * faces)
    claim = json.dumps(
        {"asset": {"version": "2.0"}, "accessors": [
            {"count": 3 * faces, "componentType": 5126, "type": "VEC3"}]}
    ).encode()  # fmt: skip
    claim += b" " * (-len(claim) % 4)
    glb = tmp_path / "huge.glb"
    glb.write_bytes(
        b"glTF" + struct.pack("<II", 2, 20 + len(claim)) + struct.pack("<I", len(claim))
        + b"JSON" + claim
    )  # fmt: skip
    start = time.process_time()
    for path in (stl, glb):
        with pytest.raises(ModelError, match="simplify it"):
            read_mesh(path)
    assert time.process_time() - start < 5.0
    few = tmp_path / "few.stl"
    with few.open("wb") as file:
        file.write(bytes(80) + struct.pack("<I", MAX_FACES + 1))
        file.truncate(84 + 50 * (MAX_FACES + 1))
    with pytest.raises(ModelError, match=f"has {MAX_FACES + 1} faces"):
        read_mesh(few)


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("a.stp", "", "not of a known kind"),
        ("a.stl", "no mesh", "cannot be read|no faces"),
        ("a.obj", "v 0 0 0\n", "cannot be read|no faces"),
        ("a.glb", "glTF", "no binary glTF"),
        ("a.dae", "<COLLADA", "not well-formed"),
        ("gone.stl", None, "No such file"),
    ],
)
def test_what_is_no_mesh_is_said_in_one_sentence(
    tmp_path: Path, name: str, content: str | None, reason: str
) -> None:
    if content is not None:
        (tmp_path / name).write_text(content)
    with pytest.raises(ModelError, match=reason) as error:
        read_mesh(tmp_path / name)
    assert name in str(error.value)
    assert "\n" not in str(error.value)
