"""Pieces of a scene are where MuJoCo has its geoms."""

from __future__ import annotations

import io

import mujoco
import numpy as np
import pytest
import trimesh
from scipy.spatial import cKDTree
from toy_tasks import Boxes, BoxesConfig

import proveout.envs
from proveout.envs.core.registry import make_task
from proveout.envs.core.scene_pose import ScenePose
from proveout.training.view.pieces import SceneParts
from proveout.training.view.placement import grid, turned
from proveout.training.view.shapes import geom_mesh

assert proveout.envs.task_ids()


def pose_of(model: mujoco.MjModel) -> ScenePose:
    data = mujoco.MjData(model)
    rng = np.random.default_rng(0)
    qpos = model.qpos0 + 0.2 * rng.normal(size=model.nq)
    for joint in np.flatnonzero(model.jnt_type == mujoco.mjtJoint.mjJNT_FREE):
        at = model.jnt_qposadr[joint] + 3
        qpos[at : at + 4] /= np.linalg.norm(qpos[at : at + 4])
    return ScenePose(qpos, data.mocap_pos + 1.0, data.mocap_quat)


def corners(glb: bytes) -> np.ndarray:
    scene = trimesh.load(io.BytesIO(glb), file_type="glb")
    return np.concatenate([mesh.vertices for mesh in scene.geometry.values()])


@pytest.mark.parametrize("task", ["Reach", "PickPlace", "boxes"])
def test_every_vertex_is_where_mujoco_has_it(task: str) -> None:
    """The oracle is MuJoCo's own place of each geom, in a random pose."""
    made = Boxes(BoxesConfig()) if task == "boxes" else make_task(f"proveout/{task}-v0")
    model = made.scene()
    parts, pose = SceneParts(model), pose_of(model)
    data = mujoco.MjData(model)
    data.qpos[:], data.mocap_pos[:] = pose.qpos, pose.mocap_pos
    mujoco.mj_kinematics(model, data)
    expected = []
    for geom in range(model.ngeom):
        mesh = geom_mesh(model, geom)
        if mesh is None or model.geom_group[geom] > 2:
            continue
        turn = data.geom_xmat[geom].reshape(3, 3)
        expected.append(mesh.vertices @ turn.T + data.geom_xpos[geom])
    positions, quaternions = parts.body_poses([pose])
    found = []
    for piece in parts.pieces:
        for body in piece.bodies:
            turn = np.zeros(9)
            mujoco.mju_quat2Mat(turn, quaternions[0, body])
            found.append(corners(piece.glb) @ turn.reshape(3, 3).T + positions[0, body])
    here, there = np.concatenate(found), np.concatenate(expected)
    # Vertices are shared differently: each has its counterpart.
    for one, other in ((here, there), (there, here)):
        distance, _ = cKDTree(other).query(one)
        assert distance.max() < 1e-5


def test_alike_bodies_are_one_piece() -> None:
    parts = SceneParts(Boxes(BoxesConfig()).scene())
    (boxes,) = parts.pieces
    assert len(boxes.bodies) == BoxesConfig().num_boxes
    assert parts.ground is not None
    assert parts.ground.height == 0.0


def test_primitives_have_mujocos_size() -> None:
    """Volumes by their formulas; meshes of round things are a little inside."""
    model = mujoco.MjModel.from_xml_string(
        """<mujoco><worldbody>
        <geom type="box" size=".1 .2 .3"/><geom type="sphere" size=".1"/>
        <geom type="capsule" size=".1 .2"/><geom type="cylinder" size=".1 .2"/>
        <geom type="ellipsoid" size=".1 .2 .3"/><geom type="plane" size="1 1 .1"/>
        </worldbody></mujoco>"""
    )
    ball = 4.0 / 3.0 * np.pi
    volumes = [0.048, ball * 1e-3, ball * 1e-3 + np.pi * 0.004, np.pi * 0.004, ball * 0.006]
    for geom, volume in enumerate(volumes):
        mesh = geom_mesh(model, geom)
        assert mesh is not None
        assert mesh.volume == pytest.approx(volume, rel=0.07)
        assert np.allclose(mesh.bounds.mean(axis=0), 0.0, atol=1e-6)
    assert geom_mesh(model, 5) is None


def test_a_road_is_cut_and_each_world_stays_in_its_cell() -> None:
    task = make_task("proveout/Highway-v0")
    model = task.scene()
    parts = SceneParts(model)
    assert parts.large
    assert model.body(parts.focus).name == "camera_rig"
    poses = []
    for shift in (0.0, 500.0):
        pose = pose_of(model)
        pose.mocap_pos[:, 0] += shift
        poses.append(pose)
    poses[1].mocap_quat[:] = [np.cos(0.4), 0.0, 0.0, np.sin(0.4)]
    placement = grid(parts, poses)
    positions, quaternions = parts.body_poses(poses)
    angles, offsets = placement.motions(positions, quaternions)
    np.testing.assert_allclose(angles, [0.0, -0.8], atol=1e-9)
    where = turned(angles, positions) + offsets[:, None]
    np.testing.assert_allclose(where[:, parts.focus, :2], placement.cells[:, :2], atol=1e-9)
    # What is ahead of the second car, in its direction, is ahead of it on the page.
    ahead = positions[1, parts.focus] + [np.cos(0.8), np.sin(0.8), 0.0]
    moved = turned(angles[1:], ahead[None]) + offsets[1]
    np.testing.assert_allclose((moved[0] - where[1, parts.focus])[:2], [1.0, 0.0], atol=1e-9)
    assert np.abs(np.diff(placement.cells[:, 1])) >= 30.0
    free = grid(parts, poses, follow=False)
    angles, offsets = free.motions(positions, quaternions)
    assert not angles.any()
    np.testing.assert_array_equal(offsets, free.cells)
