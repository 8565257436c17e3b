"""Domain randomisation against MuJoCo C with the same changed model, and against closed forms."""

import dataclasses

import mujoco
import numpy as np
import pytest
from toy_tasks import Boxes, BoxesConfig, Pendulum, PendulumConfig, switched_on

from proveout.envs.core.errors import ConfigError, ModelError, UnknownNameError
from proveout.envs.core.randomize import Randomization
from proveout.envs.core.vector_env import WarpVectorEnv

LONG = {"episode_seconds": 2.0}


def make(task, num_envs, **kwargs):
    return WarpVectorEnv(task, num_envs, device="cpu", workers=1, **kwargs)


def pendulum(num_envs=4, config=None, **changes):
    config = switched_on(PendulumConfig, **changes)
    return make(Pendulum(dataclasses.replace(config, **LONG)), num_envs)


def drawn(env, name):
    column = [n for n, _ in env.task.randomizations].index(name)
    return env.state_dict()["core/drawn"][:, column]


def wander(env, steps, seed=0):
    """Controls that move slowly enough for the servos to follow."""
    random = np.random.default_rng(seed)
    return np.clip(
        np.cumsum(random.uniform(-0.2, 0.2, (steps, *env.action_space.shape)), axis=0), -1, 1
    ).astype(np.float32)


def in_mujoco_c(env, state, sequence, world, change=lambda model: None):
    """qpos after each control step of one world, from MuJoCo C with a changed model."""
    model = env.task.model()
    change(model)
    data = mujoco.MjData(model)
    data.qpos[:] = state["engine/qpos"][world]
    data.qvel[:] = state["engine/qvel"][world]
    rows = []
    for action in sequence:
        data.ctrl[:] = action[world]
        for _ in range(env.config.decimation):
            mujoco.mj_step(model, data)
        rows.append(data.qpos.copy())
    return np.stack(rows)


def qpos_over(env, sequence):
    rows = []
    for action in sequence:
        env.step(action)
        rows.append(env.state_dict()["engine/qpos"])
    return np.stack(rows)


@pytest.mark.parametrize(
    ("distribution", "quantiles"),
    [
        ("uniform", lambda q: 0.5 + 1.5 * q),
        ("loguniform", lambda q: 0.5 * 4.0**q),
        # Centred, standard deviation a quarter of the width: 0.375; clipped at two of them.
        ("normal", lambda q: 1.25 + 0.375 * np.array([-1.2816, -0.6745, 0.0, 0.6745, 1.2816])),
    ],
)
def test_drawn_values_follow_the_distribution(distribution, quantiles):
    env = pendulum(2000, mass={"low": 0.5, "high": 2.0, "distribution": distribution})
    env.reset(seed=0)
    values = drawn(env, "mass")
    assert values.min() >= 0.5
    assert values.max() <= 2.0
    q = np.array([0.1, 0.25, 0.5, 0.75, 0.9])
    # The standard error of a quantile of 2,000 draws is below 0.02 here.
    np.testing.assert_allclose(np.quantile(values, q), quantiles(q), atol=0.06)
    if distribution == "normal":
        assert np.mean((values == 0.5) | (values == 2.0)) == pytest.approx(0.0455, abs=0.02)
    env.reset()
    following = drawn(env, "mass")
    assert (following != values).mean() > 0.9
    assert abs(np.corrcoef(values, following)[0, 1]) < 0.1
    env.close()


def test_two_randomisations_are_independent():
    env = pendulum(2000, mass={"low": 0.5, "high": 2.0}, damping={"low": 0.5, "high": 2.0})
    env.reset(seed=0)
    assert abs(np.corrcoef(drawn(env, "mass"), drawn(env, "damping"))[0, 1]) < 0.1
    env.close()


def _scale(name, index=slice(None)):
    def change(model, value):
        getattr(model, name)[index] *= value

    return change


def _mass(model, value):
    model.body_mass[1:] *= value
    model.body_inertia[1:] *= value


def _gain(model, value):
    model.actuator_gainprm[:, 0] *= value
    model.actuator_biasprm[:, 1:3] *= value


def _set_mass(model, value):
    _mass(model, value / 0.4)


def _add_mass(model, value):
    _mass(model, (0.4 + value) / 0.4)


def _set_gain(model, value):
    _gain(model, value / 3.0)


CHANGES = {
    "mass": ({"low": 0.3, "high": 3.0}, _mass),
    "mass set": ({"low": 0.3, "high": 1.0, "operation": "set", "unit": "kg"}, _set_mass),
    "mass add": ({"low": -0.2, "high": 0.5, "operation": "add", "unit": "kg"}, _add_mass),
    "damping": ({"low": 0.0, "high": 10.0}, _scale("dof_damping")),
    "damping of one": ({"low": 5.0, "high": 9.0, "target": "hinge1"}, _scale("dof_damping", 1)),
    "gain": ({"low": 0.3, "high": 3.0}, _gain),
    "gain set": ({"low": 1.0, "high": 6.0, "operation": "set", "unit": "N m/rad"}, _set_gain),
}


@pytest.mark.parametrize("name", CHANGES)
def test_the_motion_is_that_of_the_changed_model(name):
    changes, change = CHANGES[name]
    field = name.split()[0]
    env = pendulum(4, **{field: changes})
    env.reset(seed=1)
    sequence = wander(env, 50)
    state = env.state_dict()
    values = drawn(env, field)
    assert len(np.unique(values)) == 4
    got = qpos_over(env, sequence)
    for world, value in enumerate(values):
        value = float(value)
        expected = in_mujoco_c(env, state, sequence, world, lambda m, v=value: change(m, v))
        np.testing.assert_allclose(got[:, world], expected, atol=1e-4, err_msg=f"world {world}")
    nominal = in_mujoco_c(env, state, sequence, 0)
    assert np.abs(got[:, 0] - nominal).max() > 1e-2, "the randomisation must matter"
    env.close()


def test_friction_stops_a_box_as_coulomb_says():
    """A sliding box slows down by mu g, and just as in MuJoCo C with that friction."""
    config = switched_on(BoxesConfig, friction={"low": 0.1, "high": 0.5})
    config = dataclasses.replace(config, num_boxes=1, episode_seconds=4.0, spin=0.0)
    env = make(Boxes(config), 5)
    env.reset(seed=3, options={"parameters": {"friction": np.linspace(0.1, 0.5, 5)}})
    for _ in range(40):
        env.step(np.zeros((5, 2), np.float32))
    state = env.state_dict()
    state["engine/qvel"][:, 0] = 2.0
    env.load_state_dict(state)
    speeds = []
    for _ in range(18):
        obs = env.step(np.zeros((5, 2), np.float32))[0]
        speeds.append(env.layout.split(obs)["velocity"][:, 0, 0])
    # Over 0.3 s of sliding; the nominal friction is 1. The box rocks on its soft contacts, which
    # changes the load on the floor for moments.
    slowed = (speeds[2] - speeds[17]) / 0.3
    np.testing.assert_allclose(slowed, np.linspace(0.1, 0.5, 5) * 9.81, rtol=0.12)
    for world, value in enumerate(np.linspace(0.1, 0.5, 5)):
        model = env.task.model()
        model.geom_friction[:, 0] *= value
        data = mujoco.MjData(model)
        data.qpos[:], data.qvel[:] = state["engine/qpos"][world], state["engine/qvel"][world]
        data.qacc_warmstart[:] = state["engine/qacc_warmstart"][world]
        theirs = []
        for _ in range(18):
            mujoco.mj_step(model, data, nstep=4)
            theirs.append(data.qvel[0])
        np.testing.assert_allclose(np.array(speeds)[:, world], theirs, atol=0.02)
    env.close()


def test_a_resized_box_moves_as_one_of_that_size_in_mujoco_c():
    """Contacts, bounds and inertia follow the size, and inertia the mass besides."""
    sizes, masses = np.array([0.6, 0.8, 1.0, 1.25, 1.5]), np.array([1.0, 2.0, 0.5, 1.0, 3.0])
    config = switched_on(
        BoxesConfig, size={"low": 0.5, "high": 1.5}, mass={"low": 0.5, "high": 3.0}
    )
    env = make(Boxes(dataclasses.replace(config, num_boxes=1, episode_seconds=4.0)), 5)
    env.reset(seed=4, options={"parameters": {"size": sizes, "mass": masses}})
    state = env.state_dict()
    push = np.tile(np.array([0.3, -0.2], np.float32), (5, 1))
    heights = qpos_over(env, [push] * 120)
    for world, (size, mass) in enumerate(zip(sizes, masses, strict=True)):
        spec = env.task.spec(visual=False)
        spec.option.timestep = env.config.physics_dt
        spec.geom("box0").size *= size
        spec.geom("box0").mass *= mass
        model = spec.compile()
        assert model.body_inertia[1, 0] == pytest.approx(0.5 * mass * (0.1 * size) ** 2 / 6)
        data = mujoco.MjData(model)
        data.qpos[:], data.qvel[:] = state["engine/qpos"][world], state["engine/qvel"][world]
        data.ctrl[:] = push[0]
        # In the air, turning and pushed, until just before the first touch.
        step = 0
        while data.qpos[2] > 1.8 * 0.05 * size:
            mujoco.mj_step(model, data, nstep=4)
            np.testing.assert_allclose(heights[step, world], data.qpos, atol=2e-3)
            step += 1
        assert step > 1
        # And at rest on the plane at the end, on one of its faces.
        assert heights[-1, world, 2] == pytest.approx(0.05 * size, abs=2e-3)
    env.close()


@pytest.mark.parametrize("steps", [0, 1, 3, 4, 5, 8, 10])
def test_latency_of_n_physics_steps_delays_the_command_by_n(steps):
    """Four physics steps in a control step. The first command takes effect n physics steps late,
    which MuJoCo C shows with the same commands shifted by n."""
    latency = {"low": 0.0, "high": 10 * 0.005}
    env = pendulum(2, latency=latency)
    env.reset(seed=2, options={"parameters": {"latency": steps * 0.005}})
    state = env.state_dict()
    np.testing.assert_allclose(drawn(env, "latency"), steps * 0.005, rtol=1e-6)
    sequence = wander(env, 20, seed=5)
    got = qpos_over(env, sequence)
    model = env.task.model()
    data = mujoco.MjData(model)
    data.qpos[:] = state["engine/qpos"][1]
    commands = np.repeat(sequence[:, 1], 4, axis=0)
    for k in range(len(commands)):
        # Before the first command arrives, the one of the reset holds: zero.
        data.ctrl[:] = commands[k - steps] if k >= steps else 0.0
        mujoco.mj_step(model, data)
        if k % 4 == 3:
            np.testing.assert_allclose(got[k // 4, 1], data.qpos, atol=1e-4)
    env.close()


def test_each_world_has_its_own_latency_and_forgets_it_at_a_reset():
    env = pendulum(64, latency={"low": 0.01, "high": 0.05})
    env.reset(seed=0)
    env.step(np.ones((64, 3), np.float32))
    values = drawn(env, "latency")
    speed = np.abs(env.state_dict()["engine/qvel"] - _free(env)).max(axis=1)
    # Commands later than the first control step (0.02 s) have not moved anything yet.
    np.testing.assert_array_equal(speed < 1e-4, values > 0.015)
    env.reset()
    history = env.state_dict()["core/command_history"]
    assert (history == 0.0).all()
    env.close()


def _free(env):
    """Speeds after one control step without a command: the same worlds, command zero."""
    other = pendulum(64, latency={"low": 0.01, "high": 0.05})
    other.reset(seed=0)
    other.step(np.zeros((64, 3), np.float32))
    return other.state_dict()["engine/qvel"]


def test_noise_has_the_declared_deviation_and_does_not_touch_the_world():
    noisy = pendulum(300, noise={"low": 0.05, "high": 0.05})
    clean = pendulum(300)
    few = pendulum(5, noise={"low": 0.05, "high": 0.05})
    first = [env.reset(seed=4)[0] for env in (noisy, clean, few)]
    rows = [first[0] - first[1]]
    np.testing.assert_array_equal(first[0][:5], first[2])
    for action in wander(noisy, 30):
        out, plain = noisy.step(action), clean.step(action)
        np.testing.assert_array_equal(out[0][:5], few.step(action[:5])[0])
        np.testing.assert_array_equal(out[1], plain[1])
        np.testing.assert_array_equal(out[0], out[4]["final_obs"])
        rows.append(out[0] - plain[0])
    noise = np.stack(rows)
    assert (noise[..., 3:] == 0.0).all()  # the speeds are not noisy
    angles = noise[..., :3]
    # 27,900 numbers: the standard error of the deviation is 0.4 %.
    assert angles.std() == pytest.approx(0.05, rel=0.02)
    assert abs(angles.mean()) < 0.001
    white = [angles[1:] * angles[:-1], angles[..., 1:] * angles[..., :-1]]
    white.append(angles[:, 1:] * angles[:, :-1])
    for product in white:
        assert abs(product.mean()) / 0.05**2 < 0.03
    for env in (noisy, clean, few):
        env.close()


def test_values_are_reported_and_can_be_given():
    env = pendulum(3, mass={"low": 0.5, "high": 2.0}, damping={"low": 1.0, "high": 3.0})
    assert ("randomization/mass", "1") in env.statistics
    given = np.array([0.7, np.nan, 1.3], np.float32)
    env.reset(seed=5)
    random = drawn(env, "mass")
    env.reset(seed=5, options={"parameters": {"mass": given}})
    values = drawn(env, "mass")
    np.testing.assert_array_equal(values, [given[0], random[1], given[2]])
    np.testing.assert_allclose(
        env.state_dict()["core/parameter/mass/0"][:, 1, 0], 0.4 * values, rtol=1e-6
    )
    for _ in range(2):
        for _ in range(env.task.max_episode_steps):
            info = env.step(np.zeros((3, 3), np.float32))[4]
        reported = info["episode_statistics"]["randomization/mass"]
        np.testing.assert_array_equal(reported[[0, 2]], given[[0, 2]])
        assert info["_episode_statistics"].all()
    # The override lasted over the autoreset; the world without one drew anew.
    assert reported[1] != random[1]
    # Only the reset world loses its override.
    env.reset(seed=5, options={"reset_mask": np.array([True, False, False])})
    values = drawn(env, "mass")
    assert values[0] == random[0]
    assert values[2] == given[2]
    with pytest.raises(ConfigError, match="shape"):
        env.reset(options={"parameters": {"mass": np.ones(2)}})
    with pytest.raises(ConfigError, match="finite"):
        env.reset(options={"parameters": {"mass": np.inf}})
    with pytest.raises(UnknownNameError, match=r"'mas'; did you mean 'mass'"):
        env.reset(options={"parameters": {"mas": 1.0}})
    env.close()


def test_a_latency_beyond_the_declared_range_is_refused():
    env = pendulum(2, latency={"low": 0.0, "high": 0.03})
    with pytest.raises(ConfigError, match=r"at most 0\.03 s"):
        env.reset(options={"parameters": {"latency": 0.05}})
    with pytest.raises(ConfigError, match="not below 0"):
        env.reset(options={"parameters": {"latency": -0.01}})
    env.close()


def test_the_neutral_range_switches_a_randomisation_off():
    assert Pendulum().randomizations == ()
    assert not Randomization(field="body_mass").active
    assert Randomization(field="body_mass", high=1.1).active
    assert Randomization(field="body_mass", operation="set").active
    off = Randomization(field="observation_noise", operation="set", low=0.0, high=0.0)
    assert not off.active


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"low": 2.0, "high": 1.0}, ConfigError, "low <= high"),
        ({"low": float("nan")}, ConfigError, "finite number"),
        ({"low": 0.0, "high": 1.0, "distribution": "loguniform"}, ConfigError, "low > 0"),
        ({"distribution": "gaussian"}, UnknownNameError, "distribution"),
        ({"operation": "scales"}, UnknownNameError, "did you mean 'scale'"),
        ({"field": "observation_noise", "low": 0.1}, ConfigError, "'set'"),
        ({"field": "control_latency", "operation": "set", "low": -1.0}, ConfigError, "low >= 0"),
    ],
)
def test_bad_declarations(changes, error, message):
    with pytest.raises(error, match=message):
        Randomization(**{"field": "body_mass", **changes})


def test_unknown_fields_and_targets_are_told_with_names():
    with pytest.raises(UnknownNameError, match=r"'body_mas'; did you mean 'body_mass'"):
        pendulum(2, mass={"field": "body_mas", "high": 2.0})
    with pytest.raises(ModelError, match=r"'bobby' matches none of: .*bob0, bob1, bob2"):
        pendulum(2, mass={"target": "bobby", "high": 2.0})
    with pytest.raises(ModelError, match="no expression"):
        pendulum(2, mass={"target": "(", "high": 2.0})
    with pytest.raises(ConfigError, match=r"'angel'; the entries are angle, speed"):
        pendulum(2, noise={"target": "angel", "high": 0.1})


@pytest.mark.parametrize(
    ("name", "changes", "message"),
    [
        ("mass", {"low": -1.0, "high": 2.0}, r"scale -1 turns the sign of body_mass, 0\.4"),
        ("mass", {"operation": "add", "low": -0.5, "high": 0.0}, r"0\.4 becomes -0\.1"),
        ("damping", {"operation": "set", "low": -0.1, "high": 0.1}, "sign of joint_damping"),
    ],
)
def test_a_range_that_turns_a_sign_is_refused(name, changes, message):
    with pytest.raises(ConfigError, match=message):
        pendulum(2, **{name: changes})
