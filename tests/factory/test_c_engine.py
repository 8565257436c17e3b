"""MuJoCo C as the engine: the library's own loop is the oracle, MuJoCo Warp the second opinion."""

import copy
import dataclasses

import mujoco
import numpy as np
import pytest
from toy_tasks import Boxes, BoxesConfig, Pendulum, PendulumConfig, switched_on

from proveout.envs.core.errors import (
    ConfigError,
    DeviceError,
    ModelError,
    StateError,
    UnknownNameError,
)
from proveout.envs.core.invalid import Invalid
from proveout.envs.core.registry import make_task, make_vector
from proveout.envs.core.vector_env import WarpVectorEnv

PICK_PLACE, HIGHWAY = "proveout/PickPlace-v0", "proveout/Highway-v0"
INTEGRATION = int(mujoco.mjtState.mjSTATE_INTEGRATION)


def make(task, num_envs, physics="c", workers=1):
    return WarpVectorEnv(task.with_physics(physics), num_envs, device="cpu", workers=workers)


def random_actions(env, steps, seed=0):
    random = np.random.default_rng(seed)
    return random.uniform(-1, 1, (steps, *env.action_space.shape)).astype(np.float32)


def roll_out(env, actions, seed=3, **options):
    """Observations of the reset and of each step, (steps + 1, N, size), and rewards."""
    observations, rewards = [env.reset(seed=seed, options=options)[0]], []
    for action in actions:
        observation, reward, *_ = env.step(action)
        observations.append(observation)
        rewards.append(reward)
    return np.stack(observations), np.stack(rewards)


def in_mujoco_c(model, state, world, commands, decimation):
    """The integration state after a plain loop of MuJoCo C from the start of a world."""
    data = mujoco.MjData(model)
    written = state["engine/qpos"][world]
    # What a task's reset does not touch is the model's own number, and no rounded one.
    data.qpos[:] = np.where(written == model.qpos0.astype(np.float32), model.qpos0, written)
    data.qvel[:] = state["engine/qvel"][world]
    for command in commands:
        data.ctrl[:] = command
        mujoco.mj_step(model, data, nstep=decimation)
    row = np.empty(mujoco.mj_stateSize(model, INTEGRATION))
    mujoco.mj_getState(model, data, row, INTEGRATION)
    return row, data


def test_a_world_is_a_plain_loop_of_mujoco_c_to_the_last_bit():
    """Also in float64 and with the warm start, however many worlds share its memory."""
    env = make(Boxes(BoxesConfig(episode_seconds=4.0)), 3)
    actions = random_actions(env, 30)
    env.reset(seed=5)
    start = env.state_dict()
    for action in actions:
        env.step(action)
    end, model = env.state_dict(), env.task.model()
    for world in range(3):
        row, data = in_mujoco_c(model, start, world, actions[:, world], env.config.decimation)
        np.testing.assert_array_equal(end["engine/integration"][world], row)
        np.testing.assert_array_equal(end["engine/qpos"][world], data.qpos.astype(np.float32))
        for name in ("qacc", "qfrc_actuator", "actuator_force"):
            measured = getattr(env._pool.engine.data, name).numpy()[world]
            np.testing.assert_array_equal(measured, getattr(data, name).astype(np.float32))
    assert env.contacts_per_world() > 4, "they lie on the floor"
    env.close()


def test_both_engines_move_a_part_and_an_arm_alike():
    """PickPlace with random actions over half a second, with arms of which some are worn.

    The tool within 1e-6 m and rad, ten times float32's rounding. The part begins exactly on the
    bench, so that rounding decides whether it touches in the first physics step: that is the way
    of one step of free fall, g dt^2, which the soft contact takes back within the half second.
    """
    task = make_task(PICK_PLACE)
    envs = {physics: make(task, 4, physics) for physics in ("warp", "c")}
    actions = random_actions(envs["c"], 10)
    worn = {"wear.joint_friction": [0.0, 2.0, 20.0, 100.0]}  # N m, written by the task's reset
    found = {physics: roll_out(env, actions, config=worn)[0] for physics, env in envs.items()}
    np.testing.assert_array_equal(found["c"][0], found["warp"][0])
    difference, slices = np.abs(found["c"] - found["warp"]), task.layout.slices
    for name in ("tool_position", "tool_turn", "opening"):
        assert difference[..., slices[name]].max() < 1e-6, name
    part = difference[..., slices["part_offset"]].max(axis=(1, 2))
    assert part.max() < 9.81 * task.config.physics_dt**2
    assert part[-1] < 1e-6
    assert np.abs(found["c"][-1] - found["c"][0])[:, slices["tool_position"]].max() > 0.02
    for env in envs.values():
        env.close()


def test_latency_gives_each_physics_step_its_own_command():
    """A latency that is no multiple of the control step, against Warp: 1e-5 rad of rounding."""
    latency = {"latency": {"low": 0.007, "high": 0.031}}
    config = dataclasses.replace(switched_on(PendulumConfig, **latency), episode_seconds=1.0)
    envs = [make(Pendulum(config), 4, physics) for physics in ("warp", "c")]
    actions = random_actions(envs[0], 20)
    (warp, _), (c, _) = (roll_out(env, actions) for env in envs)
    np.testing.assert_allclose(c[..., :3], warp[..., :3], atol=1e-5)
    prompt = make(
        Pendulum(dataclasses.replace(config, randomization=PendulumConfig().randomization)), 4
    )
    assert np.abs(roll_out(prompt, actions)[0] - c).max() > 0.01
    for env in (*envs, prompt):
        env.close()


DRAWN = switched_on(
    BoxesConfig,
    mass={"low": 0.5, "high": 2.0},
    friction={"low": 0.3, "high": 1.5},
    size={"low": 0.8, "high": 1.3},
)


@pytest.mark.parametrize(("num_envs", "workers"), [(1, 1), (8, 2)])
def test_bits_depend_on_neither_worlds_nor_workers(num_envs, workers):
    env = make(Boxes(DRAWN), 8)
    actions = random_actions(env, 60)  # beyond the end of an episode
    expected = roll_out(env, actions)
    env.close()
    other = make(Boxes(DRAWN), num_envs, workers=workers)
    found = roll_out(other, actions[:, :num_envs])
    other.close()
    for ours, theirs in zip(found, expected, strict=True):
        np.testing.assert_array_equal(ours, theirs[:, :num_envs])
    assert np.ptp(expected[0][-1, :, 0]) > 1e-3, "the worlds differ"


def test_numbers_of_a_world_are_those_of_a_model_made_with_them():
    """Mass, friction and size, with what follows them; 1e-6 m as they are float32 in the worlds.

    The regularisation of constraints (invweight0) is that of the task's own model.
    """
    env = make(Boxes(dataclasses.replace(DRAWN, episode_seconds=4.0)), 2)
    options = {"parameters": {"mass": [0.6, 1.8], "friction": [0.4, 1.2], "size": [0.85, 1.25]}}
    env.reset(seed=7, options=options)
    start = env.state_dict()
    actions = random_actions(env, 25)
    for action in actions:
        env.step(action)
    end, nominal = env.state_dict(), env.task.model()
    for world, (mass, friction, size) in enumerate(
        zip(*options["parameters"].values(), strict=True)
    ):
        spec = env.task.spec(visual=False)
        spec.option.timestep = env.config.physics_dt
        for geom in spec.geoms:
            geom.friction[0] *= friction
            if geom.name != "floor":
                geom.size, geom.mass = geom.size * size, geom.mass * mass
        model = spec.compile()
        assert model.body_inertia[1, 0] != nominal.body_inertia[1, 0]
        for name in ("body_invweight0", "dof_invweight0"):
            getattr(model, name)[:] = getattr(nominal, name)
        _, data = in_mujoco_c(model, start, world, actions[:, world], env.config.decimation)
        np.testing.assert_allclose(end["engine/qpos"][world], data.qpos, atol=1e-6)
        height = end["engine/qpos"][world, 9]
        assert abs(height - size * 0.05) < 0.002, "the other box lies on a side"
    env.close()


def test_a_saved_state_goes_on_and_fits_its_own_physics_alone():
    env = make(Boxes(DRAWN), 4)
    actions = random_actions(env, 30)
    roll_out(env, actions[:10])
    saved = env.state_dict()
    expected = [env.step(action)[0] for action in actions[10:]]
    other = make(Boxes(DRAWN), 4, workers=2)
    other.load_state_dict(saved)
    for action, observation in zip(actions[10:], expected, strict=True):
        np.testing.assert_array_equal(other.step(action)[0], observation)
    warp = make(Boxes(DRAWN), 4, "warp")
    with pytest.raises(StateError, match="engine/integration"):
        warp.load_state_dict(saved)
    for one in (env, other, warp):
        one.close()


def test_a_world_that_diverges_is_told_and_harms_no_other(tmp_path, monkeypatch, capfd):
    """Nor does MuJoCo write its warning anywhere."""
    monkeypatch.chdir(tmp_path)
    env = make(Boxes(BoxesConfig(episode_seconds=4.0)), 3)
    actions = random_actions(env, 12)
    expected = roll_out(env, actions)[0]
    env.reset(seed=3)
    for step, action in enumerate(actions):
        if step == 4:
            env._pool.engine.data.qvel.numpy()[1, 0] = np.nan
        if step == 8:  # the next episode, of finite numbers that are none
            env._pool.engine.data.qfrc_applied.numpy()[1, 0] = 1e30
        observation, *_, info = env.step(action)
        wrong = [0, Invalid.NON_FINITE_STATE * (step in (4, 8)), 0]
        np.testing.assert_array_equal(info["invalid_reason"] & Invalid.NON_FINITE_STATE, wrong)
        np.testing.assert_array_equal(observation[[0, 2]], expected[step + 1, [0, 2]])
        assert np.isfinite(observation).all()
    assert env.invalid_worlds == 2
    assert not list(tmp_path.iterdir())
    assert "WARNING" not in "".join(capfd.readouterr())
    env.close()


class Cramped(Boxes):
    """Boxes whose model has little memory for contacts."""

    memory = 0

    def spec(self, *, visual):
        spec = super().spec(visual=visual)
        spec.memory = self.memory
        return spec


@pytest.mark.parametrize(
    ("memory", "reason"),
    [
        (3_000, Invalid.CONTACT_LOST | Invalid.CONSTRAINT_OVERFLOW),
        (10_000, Invalid.CONSTRAINT_OVERFLOW),
        (15_000, Invalid.ENGINE_OVERFLOW),
    ],
)
def test_a_full_memory_is_told(memory, reason, monkeypatch):
    monkeypatch.setattr(Cramped, "memory", memory)
    config = BoxesConfig(spin=0.0, lowest_start=0.06, highest_start=0.06, airborne=1)
    env = make(Cramped(config), 2)
    env.reset(seed=0)
    seen = np.zeros(2, int)
    for _ in range(8):
        *_, info = env.step(np.zeros((2, 2), np.float32))
        seen |= info["invalid_reason"]
    assert seen[0] == reason
    assert seen[1] == 0, "nothing touches in the world that is still in the air"
    env.close()


def test_what_physics_c_is_not_for():
    with pytest.raises(UnknownNameError, match="unknown physics 'd'"):
        make_task(PICK_PLACE, physics="d")
    with pytest.raises(ConfigError, match="Highway-v0 cannot run with physics 'c'"):
        make_vector(HIGHWAY, 2, physics="c", device="cpu")
    for device in ("cuda", "cuda:0"):
        with pytest.raises(DeviceError, match=f"physics 'c' runs on the CPU and not on '{device}'"):
            make_vector(PICK_PLACE, 2, physics="c", device=device)


class Nosy(Boxes):
    """Boxes that look at contacts, which MuJoCo C keeps to itself."""

    def build(self, sim):
        super().build(sim)
        self._contacts = sim.engine.data.nacon


def test_what_only_one_engine_fills_is_refused():
    make(Nosy(BoxesConfig()), 1, "warp").close()
    with pytest.raises(ModelError, match=r"data\.nacon is not filled with physics 'c'"):
        make(Nosy(BoxesConfig()), 1)


def test_the_task_itself_keeps_its_physics():
    task = Boxes(BoxesConfig())
    twin = task.with_physics("c")
    assert (task.physics, twin.physics, twin.config) == ("warp", "c", task.config)
    assert twin.with_physics("c") is twin
    assert copy.copy(twin).physics == "c"
