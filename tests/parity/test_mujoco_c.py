"""Our worlds against MuJoCo C: the same model, the same controls, the same motion."""

import mujoco
import numpy as np
import pytest
from toy_tasks import Boxes, BoxesConfig

from proveout.envs.core.vector_env import WarpVectorEnv
from proveout.envs.factory.reach import Reach, ReachConfig

PHYSICS_STEPS = 100
WORLDS = 6


def in_mujoco_c(task, state, world, commands, decimation):
    """qpos and qvel after each control step, (steps, nq + nv)."""
    model = task.model()
    data = mujoco.MjData(model)
    data.qpos[:] = state["engine/qpos"][world]
    data.qvel[:] = state["engine/qvel"][world]
    data.qacc_warmstart[:] = state["engine/qacc_warmstart"][world]
    rows = []
    for command in commands:
        data.ctrl[:] = command
        mujoco.mj_step(model, data, nstep=decimation)
        rows.append(np.concatenate([data.qpos, data.qvel]))
    return np.stack(rows)


def smooth(random, steps, shape):
    return np.clip(random.normal(size=(steps, *shape)).cumsum(axis=0) * 0.3, -1, 1)


@pytest.mark.parametrize("character", ["smooth", "jumping", "constant", "zero"])
def test_reach_moves_as_in_mujoco_c(character):
    """Joint angles within 1e-4 rad after 100 physics steps, for all worlds and joints.

    float32 against float64: an angle of 3 rad is known to 2e-7 rad, and servos pull errors
    together; what is seen is 1e-6 to 1e-5.
    """
    env = WarpVectorEnv(Reach(), WORLDS, device="cpu", workers=1)
    env.reset(seed=1)
    state = env.state_dict()
    decimation = env.config.decimation
    steps = PHYSICS_STEPS // decimation
    random = np.random.default_rng(2)
    shape = (WORLDS, 6)
    sequence = {
        "smooth": smooth(random, steps, shape),
        "jumping": random.choice([-1.0, 1.0], (steps, *shape)),
        "constant": np.tile(random.uniform(-1, 1, shape), (steps, 1, 1)),
        "zero": np.zeros((steps, *shape)),
    }[character].astype(np.float32)
    ours, commands = [], []
    for action in sequence:
        env.step(action)
        now = env.state_dict()
        commands.append(now["core/command"])
        ours.append(now["engine/qpos"])
    ours, commands = np.stack(ours), np.stack(commands)
    # The command is the sum of the increments, from the start angles on.
    summed = state["engine/qpos"] + 0.12 * sequence.cumsum(axis=0)
    limits = env.task.model().jnt_range
    np.testing.assert_allclose(commands, summed.clip(limits[:, 0], limits[:, 1]), atol=1e-5)
    for world in range(WORLDS):
        theirs = in_mujoco_c(env.task, state, world, commands[:, world], decimation)
        np.testing.assert_allclose(ours[:, world], theirs[:, :6], atol=1e-4)
    if character != "zero":
        assert np.abs(ours[-1] - state["engine/qpos"]).max() > 0.1
    env.close()


def test_the_model_of_reach_is_the_same_with_and_without_what_is_drawn():
    """Joints and servos of the scene are those of the physics: a pose means the same in both."""
    bare, scene = Reach(ReachConfig()).model(), Reach(ReachConfig()).scene()
    assert bare.nq == scene.nq
    for name in ("jnt_axis", "jnt_range", "dof_damping", "dof_armature", "actuator_gainprm"):
        np.testing.assert_array_equal(getattr(bare, name), getattr(scene, name), err_msg=name)
    n = bare.nbody
    for name in ("body_pos", "body_quat", "body_mass", "body_inertia", "body_ipos"):
        np.testing.assert_array_equal(getattr(bare, name), getattr(scene, name)[:n], err_msg=name)


def boxes_against_c(sequence, config):
    env = WarpVectorEnv(Boxes(config), sequence.shape[1], device="cpu", workers=1)
    env.reset(seed=5)
    state = env.state_dict()
    ours = []
    for action in sequence:
        env.step(action)
        now = env.state_dict()
        ours.append(np.concatenate([now["engine/qpos"], now["engine/qvel"]], axis=1))
    ours = np.stack(ours)
    theirs = np.stack(
        [
            in_mujoco_c(env.task, state, w, sequence[:, w], config.decimation)
            for w in range(sequence.shape[1])
        ],
        axis=1,
    )
    env.close()
    return ours, theirs


def test_free_fall_differs_by_rounding_alone():
    """Before any contact: 2e-5 m, m/s and rad/s after 100 physics steps of tumbling."""
    config = BoxesConfig(lowest_start=2.0, highest_start=3.0)
    random = np.random.default_rng(3)
    sequence = random.uniform(-1, 1, (25, WORLDS, 2)).astype(np.float32)
    ours, theirs = boxes_against_c(sequence, config)
    np.testing.assert_allclose(ours, theirs, atol=2e-5)
    # And the closed form: z = z0 - g dt^2 n (n + 1) / 2, semi-implicit Euler, for the free box.
    start = ours[0, :, 9] + 9.81 * 0.005**2 * 4 * 5 / 2
    fallen = 9.81 * 0.005**2 * 100 * 101 / 2
    np.testing.assert_allclose(start - ours[-1, :, 9], fallen, atol=2e-5)


def test_boxes_that_land_flat():
    """Four corners meet the floor together, so only rounding separates the two: 1e-5."""
    config = BoxesConfig(episode_seconds=4.0, spin=0.0)
    ours, theirs = boxes_against_c(np.zeros((100, WORLDS, 2), np.float32), config)
    np.testing.assert_allclose(ours, theirs, atol=1e-5)
    assert np.abs(ours[-1, :, 14:]).max() < 1e-3, "they rest at the end"


def test_boxes_that_tumble():
    """1e-5 until the first corner touches, then 0.1 mm and 1 mrad over 0.8 s of fall and bounces.

    What is seen is 1e-6: contacts are soft and damped, so a difference from rounding dies away. The
    bound leaves room for a corner that float32 puts below the floor one physics step (5 ms) sooner
    or later: contacts are soft, so the force of that step is small, of the order of the depth. Over
    a long time a tumbling box amplifies differences at each bounce, and there is no bound.
    """
    config = BoxesConfig(episode_seconds=4.0)
    ours, theirs = boxes_against_c(np.zeros((40, WORLDS, 2), np.float32), config)
    difference = np.abs(ours - theirs)[..., :14]
    place = difference[..., [0, 1, 2, 7, 8, 9]].max(axis=(1, 2))
    turn = 2.0 * difference[..., [3, 4, 5, 6, 10, 11, 12, 13]].max(axis=(1, 2))
    # The lowest start, 0.12 m less half a diagonal of 0.087 m, is fallen through in 82 ms.
    assert difference[:4].max() < 1e-5
    assert place.max() < 1e-4, place
    assert turn.max() < 1e-3, turn
    assert np.abs(ours[-1, :, 2] - ours[0, :, 2]).max() > 0.05


def test_a_pushed_box_creeps_as_in_mujoco_c():
    """3 N on a box of 0.5 kg is less than friction (4.9 N): soft contacts let it creep."""
    config = BoxesConfig(episode_seconds=4.0, lowest_start=0.052, highest_start=0.055, spin=0.0)
    sequence = np.zeros((60, WORLDS, 2), np.float32)
    sequence[20:, :, 0] = np.linspace(0.2, 1.0, WORLDS)
    ours, theirs = boxes_against_c(sequence, config)
    np.testing.assert_allclose(ours[..., 0], theirs[..., 0], atol=1e-5)
    assert (ours[-1, :, 0] > 1e-4).all()
