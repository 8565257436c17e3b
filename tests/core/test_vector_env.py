"""The vector and single faces: Gymnasium's contract, statistics, seeds, state, replay, errors."""

import dataclasses
import functools

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium.utils.env_checker import check_env as gymnasium_check_env
from gymnasium.wrappers import vector as vector_wrappers
from stable_baselines3.common.env_checker import check_env as sb3_check_env
from toy_tasks import (
    REDUCTIONS,
    Boxes,
    BoxesConfig,
    Pendulum,
    PendulumConfig,
    ToyWeights,
    switched_on,
)

import proveout.envs
from proveout.envs.core.errors import (
    BadActionError,
    ConfigError,
    DeviceError,
    RenderError,
    StateError,
    UnknownNameError,
    WorkerError,
)
from proveout.envs.core.vector_env import WarpVectorEnv
from proveout.envs.factory.reach import ReachConfig, ReachWeights

REACH = "proveout/Reach-v0"
SHORT = PendulumConfig(episode_seconds=0.2)  # 10 control steps


def make(task=None, num_envs=4, workers=1, **kwargs):
    return WarpVectorEnv(task or Pendulum(SHORT), num_envs, device="cpu", workers=workers, **kwargs)


def actions(env, steps, seed=0):
    return (
        np.random.default_rng(seed)
        .uniform(-1, 1, (steps, *env.action_space.shape))
        .astype(np.float32)
    )


def roll(env, sequence):
    """Everything a step returns, stacked over the steps."""
    rows = []
    for action in sequence:
        obs, reward, terminated, truncated, info = env.step(action)
        rows.append((obs, reward, terminated, truncated, info["final_obs"], info["invalid"]))
    return [np.stack([np.asarray(row[i]) for row in rows]) for i in range(6)]


def same(a, b):
    return all(np.array_equal(x, y) for x, y in zip(a, b, strict=True))


def equal_states(a, b):
    return a.keys() == b.keys() and all(np.array_equal(a[k], b[k], equal_nan=True) for k in a)


@pytest.fixture(scope="module")
def env():
    made = make()
    yield made
    made.close()


@pytest.fixture(scope="module")
def boxes():
    # A push of 3 N moves 0.5 kg beyond the wall within an episode, so both kinds of end occur.
    made = make(Boxes(BoxesConfig(wall=0.1)), num_envs=6)
    yield made
    made.close()


@pytest.fixture(scope="module")
def reach():
    made = gymnasium.make_vec(
        REACH, num_envs=3, vectorization_mode="vector_entry_point", device="cpu", workers=1
    )
    yield made
    made.close()


def test_make_vec_gives_the_environment_as_described(reach):
    assert isinstance(reach.unwrapped, WarpVectorEnv)
    assert reach.num_envs == 3
    assert reach.metadata["autoreset_mode"] is gymnasium.vector.AutoresetMode.SAME_STEP
    assert reach.single_observation_space.shape == (36,)
    assert reach.single_action_space.shape == (6,)
    assert reach.action_space.shape == (3, 6)
    obs, info = reach.reset(seed=1)
    assert obs.shape == (3, 36)
    assert obs.dtype == np.float32
    assert info == {}
    obs, reward, terminated, truncated, info = reach.step(np.zeros((3, 6), np.float32))
    assert obs.dtype == reward.dtype == info["final_obs"].dtype == np.float32
    assert terminated.dtype == truncated.dtype == info["invalid"].dtype == bool
    assert reward.shape == terminated.shape == truncated.shape == (3,)
    assert set(info["episode_statistics"]) == {name for name, _ in reach.unwrapped.statistics}


def test_make_and_make_vec_take_config_and_episode_length():
    config = ReachConfig(max_increment=0.05)
    single = gymnasium.make(REACH, config=config)
    assert single.unwrapped.config.max_increment == 0.05
    single.close()
    vector = gymnasium.make_vec(
        REACH, num_envs=1, vectorization_mode="vector_entry_point", device="cpu", workers=1,
        config={"max_increment": 0.05, "reward_weights": {"near": 2.0}}, max_episode_steps=7,
    )  # fmt: skip
    config = vector.unwrapped.config
    assert (config.max_increment, config.reward_weights.near) == (0.05, 2.0)
    assert vector.unwrapped.task.max_episode_steps == 7
    vector.close()


def test_an_episode_ends_and_begins_in_the_same_step(boxes):
    obs, _ = boxes.reset(seed=3)
    ends = {"terminated": 0, "truncated": 0}
    length = np.zeros(boxes.num_envs, int)
    for action in actions(boxes, 120) + np.array([0.8, 0.0], np.float32):
        obs, _, terminated, truncated, info = boxes.step(action)
        length += 1
        done = terminated | truncated
        assert not (terminated & truncated).any()
        np.testing.assert_array_equal(info["_final_obs"], done)
        # Where nothing ends, final_obs is the observation itself.
        np.testing.assert_array_equal(info["final_obs"][~done], obs[~done])
        # x of the first box decides the termination; the new episode starts on x = 0, at rest.
        x = boxes.layout.split(info["final_obs"])["position"][:, 0, 0]
        np.testing.assert_array_equal(terminated, np.abs(x) > 0.1)
        np.testing.assert_array_equal(truncated, ~terminated & (length == 40))
        fresh = boxes.layout.split(obs[done])
        assert (fresh["position"][:, 0, 0] == 0.0).all()
        assert (fresh["velocity"][..., :3] == 0.0).all()
        length[done] = 0
        ends["terminated"] += int(terminated.sum())
        ends["truncated"] += int(truncated.sum())
    assert min(ends.values()) > 0, ends


def test_statistics_are_the_sums_of_the_steps(boxes):
    boxes.reset(seed=4)
    n = boxes.num_envs
    rewards, heights = [[] for _ in range(n)], [[] for _ in range(n)]
    finished = 0
    weights = boxes.config.reward_weights
    for action in actions(boxes, 90, seed=1) + np.array([0.8, 0.0], np.float32):
        _, reward, terminated, truncated, info = boxes.step(action)
        np.testing.assert_array_equal(info["_episode_statistics"], terminated | truncated)
        z = info["final_obs"][:, 0]
        np.testing.assert_allclose(reward, weights.value * z + weights.square * z * z, rtol=1e-6)
        for w in range(n):
            rewards[w].append(reward[w])
            heights[w].append(z[w])
            if not (terminated | truncated)[w]:
                continue
            finished += 1
            h = np.array(heights[w])
            expected = {
                "return": np.sum(rewards[w], dtype=np.float64),
                "length": len(h),
                "success": h[-1] < 0.1,
                "reward/value": h.mean(dtype=np.float64),
                "reward/square": (h.astype(np.float64) ** 2).mean(),
            }
            reduced = (h.mean(dtype=np.float64), h[-1], h.min(), h.max(), h.sum(dtype=np.float64))
            for how, value in zip(REDUCTIONS, reduced, strict=True):
                expected[f"{how}_height"] = value
            assert set(expected) == set(info["episode_statistics"])
            for name, value in expected.items():
                got = info["episode_statistics"][name][w]
                assert got == pytest.approx(float(value), rel=2e-6), name
            rewards[w], heights[w] = [], []
    assert finished > 2 * n


def test_reset_mask_leaves_the_other_worlds_alone(env):
    sequence = actions(env, 14)
    env.reset(seed=5)
    undisturbed = roll(env, sequence)
    env.reset(seed=5)
    before = roll(env, sequence[:4])
    mask = np.array([False, True, False, True])
    obs, _ = env.reset(options={"reset_mask": mask})
    np.testing.assert_array_equal(obs[~mask], before[0][-1][~mask])
    assert (obs[mask] != before[0][-1][mask]).all(axis=1).all()
    after = roll(env, sequence[4:])
    for whole, first, second in zip(undisturbed, before, after, strict=True):
        np.testing.assert_array_equal(whole[:, ~mask], np.concatenate([first, second])[:, ~mask])
    # The reset worlds started to count anew: they end 4 steps later.
    assert after[3][5, ~mask].all()
    assert after[3][9, mask].all()
    nobody = np.zeros(4, bool)
    obs, _ = env.reset(options={"reset_mask": nobody})
    np.testing.assert_array_equal(obs, after[0][-1])


def test_seeds(env):
    first, _ = env.reset(seed=7)
    again, _ = env.reset(seed=7)
    other, _ = env.reset(seed=8)
    following, _ = env.reset()
    assert np.array_equal(first, again)
    assert (first != other)[:, :3].all()
    assert (other != following)[:, :3].all()
    assert len(np.unique(first[:, 0])) == 4
    listed, _ = env.reset(seed=[7, 7, 9, 7])
    np.testing.assert_array_equal(listed[[0, 1, 3]], first[[0, 1, 3]])
    assert (listed[2] != first[2])[:3].all()
    # Without a seed the next episode of the same seed follows, as it does by itself.
    env.reset(seed=8)
    by_itself = roll(env, actions(env, 10))[0][-1]
    np.testing.assert_array_equal(by_itself, following)
    largest, _ = env.reset(seed=2**64 - 1)
    assert np.isfinite(largest).all()


def test_phase_spread_spreads_the_time_outs_and_leaves_short_episodes_out():
    env = make(num_envs=64, phase_spread=1.0)
    env.reset(seed=0)
    length = np.zeros(64, int)
    at = np.zeros(64, int)
    for step, action in enumerate(actions(env, 20), start=1):
        _, _, _, truncated, info = env.step(action)
        length += 1
        first = truncated & (at == 0)
        at[first] = step
        # Only a first episode of full length counts; its length is what was lived through.
        np.testing.assert_array_equal(info["_episode_statistics"], truncated & (length == 10))
        np.testing.assert_array_equal(
            info["episode_statistics"]["length"][truncated], length[truncated]
        )
        length[truncated] = 0
    counts = np.bincount(at, minlength=11)[1:]
    assert counts.min() >= 1, counts
    assert counts.max() <= 16, counts  # uniform: 6.4 expected
    half, _ = make(num_envs=64, phase_spread=1.0).reset(seed=0)
    plain, _ = make(num_envs=64).reset(seed=0)
    np.testing.assert_array_equal(half, plain)
    env.close()


def test_torch_equals_numpy_and_is_never_overwritten(env):
    tensors = make(array_type="torch")
    obs, _ = tensors.reset(seed=9)
    kept = [(obs, obs.clone())]
    env.reset(seed=9)
    for action in actions(env, 25):
        theirs = env.step(action)
        ours = tensors.step(torch.from_numpy(action))
        for a, b in zip(ours[:4], theirs[:4], strict=True):
            assert isinstance(a, torch.Tensor)
            assert a.device.type == "cpu"
            np.testing.assert_array_equal(a.numpy(), b)
            assert a.numpy().dtype == b.dtype
            kept.append((a, a.clone()))
        for key in ("final_obs", "_final_obs", "invalid", "invalid_reason", "_episode_statistics"):
            np.testing.assert_array_equal(ours[4][key].numpy(), theirs[4][key])
            kept.append((ours[4][key], ours[4][key].clone()))
        ended = theirs[4]["_episode_statistics"]  # the other rows mean nothing
        for name, value in theirs[4]["episode_statistics"].items():
            tensor = ours[4]["episode_statistics"][name]
            np.testing.assert_array_equal(tensor.numpy()[ended], value[ended])
            kept.append((tensor, tensor.clone()))
    assert all(torch.equal(now, then) for now, then in kept)
    tensors.close()


def test_numpy_data_is_never_overwritten(env):
    obs, _ = env.reset(seed=9)
    kept = [(obs, obs.copy())]
    for action in actions(env, 12):
        out = env.step(action)
        arrays = [*out[:4], out[4]["final_obs"], *out[4]["episode_statistics"].values()]
        kept += [(a, a.copy()) for a in arrays]
    assert all(np.array_equal(now, then, equal_nan=True) for now, then in kept)


def test_a_saved_state_goes_on_with_the_same_bits(boxes):
    """Also in a new environment, and in one with another number of workers."""
    config = dataclasses.replace(
        switched_on(
            BoxesConfig,
            mass={"target": "box.*", "low": 0.5, "high": 2.0},
            friction={"low": 0.2, "high": 1.5},
        ),
        wall=0.1,
    )
    sequence = np.clip(actions(boxes, 60, seed=2) + np.array([0.8, 0], np.float32), -1, 1)
    first = make(Boxes(config), num_envs=6)
    first.reset(seed=6)
    roll(first, sequence[:23])
    state = first.state_dict()
    assert all(value.shape[0] == 6 for value in state.values())
    kept = {name: value.copy() for name, value in state.items()}
    expected = roll(first, sequence[23:])
    assert equal_states(kept, state)
    roll(first, sequence[:5])
    obs = first.load_state_dict(state)
    np.testing.assert_array_equal(obs, state["exchange/observation"])
    assert same(roll(first, sequence[23:]), expected)
    first.close()
    other = make(Boxes(config), num_envs=6, workers=2)
    other.load_state_dict(state)
    assert same(roll(other, sequence[23:]), expected)
    restored = other.state_dict()
    assert state.keys() == restored.keys()
    with pytest.raises(StateError, match="rows"):
        other.load_state_dict({name: value[:3] for name, value in state.items()})
    with pytest.raises(StateError, match="core/action"):
        other.load_state_dict({k: v for k, v in state.items() if k != "core/action"})
    wrong = {**state, "engine/qvel": state["engine/qvel"][:, :-1]}
    with pytest.raises(StateError, match="engine/qvel"):
        other.load_state_dict(wrong)
    # A refused state has changed nothing and lost no worker.
    assert equal_states(restored, other.state_dict())
    other.close()


def test_a_world_is_replayed_alone_with_the_same_bits():
    config = dataclasses.replace(
        switched_on(
            PendulumConfig,
            mass={"low": 0.5, "high": 2.0},
            noise={"low": 0.01, "high": 0.05},
            latency={"low": 0.0, "high": 0.05},
        ),
        episode_seconds=0.2,
    )
    batch = make(Pendulum(config), num_envs=5)
    start, _ = batch.reset(seed=11)
    sequence = actions(batch, 30)
    data = roll(batch, sequence)
    # Episode 2 of world 3 lasts from step 20 to step 29.
    alone = make(Pendulum(config), num_envs=1)
    options = {"world_ids": np.array([3]), "episodes": np.array([2])}
    obs, _ = alone.reset(seed=11, options=options)
    np.testing.assert_array_equal(obs[0], data[0][19, 3])
    replay = roll(alone, sequence[20:, 3:4])
    for theirs, ours in zip(data[:-1], replay[:-1], strict=True):
        if ours is not replay[0]:
            np.testing.assert_array_equal(theirs[20:, 3:4], ours)
    np.testing.assert_array_equal(data[0][20:29, 3:4], replay[0][:-1])
    assert not np.array_equal(start[3], obs[0])
    with pytest.raises(ConfigError, match="integers"):
        alone.reset(options={"world_ids": np.array([0.5])})
    with pytest.raises(ConfigError, match="episodes"):
        alone.reset(options={"episodes": np.array([-1])})
    batch.close()
    alone.close()


def test_the_single_env_is_world_0_of_a_vector_env(env):
    single = proveout.envs.WarpEnv(Pendulum(SHORT))
    vector_obs, _ = env.reset(seed=12)
    obs, _ = single.reset(seed=12)
    np.testing.assert_array_equal(obs, vector_obs[0])
    for action in actions(env, 25):
        vector_obs, reward, terminated, truncated, info = env.step(action)
        obs, r, te, tr, single_info = single.step(action[0])
        np.testing.assert_array_equal(obs, info["final_obs"][0])
        assert (r, te, tr) == (reward[0], terminated[0], truncated[0])
        if te or tr:
            statistics = single_info["episode_statistics"]
            assert statistics == {k: v[0] for k, v in info["episode_statistics"].items()}
            with pytest.raises(gymnasium.error.ResetNeeded):
                single.step(action[0])
            obs, _ = single.reset()
            np.testing.assert_array_equal(obs, vector_obs[0])
        else:
            assert "episode_statistics" not in single_info
    single.close()


@pytest.mark.filterwarnings("ignore")
def test_gymnasium_and_sb3_accept_the_single_env():
    env = gymnasium.make(REACH, render_mode="rgb_array", render_size=(32, 24))
    gymnasium_check_env(env.unwrapped, skip_render_check=True)  # a window needs a display
    sb3_check_env(env.unwrapped)
    env.close()


def test_check_vector_env_finds_nothing_in_reach():
    config = ReachConfig(episode_seconds=0.5)

    def factory(num_envs, workers=1):
        return gymnasium.make_vec(
            REACH, num_envs=num_envs, vectorization_mode="vector_entry_point", device="cpu",
            workers=workers, config=config,
        )  # fmt: skip

    report = proveout.envs.check_vector_env(factory, steps=25)
    assert report.findings == [], report.table()


def test_record_episode_statistics_agrees_with_ours(env):
    wrapped = vector_wrappers.RecordEpisodeStatistics(env)
    wrapped.reset(seed=1)
    seen = 0
    for action in actions(env, 30):
        _, _, terminated, truncated, info = wrapped.step(action)
        done = terminated | truncated
        if done.any():
            seen += int(done.sum())
            np.testing.assert_array_equal(info["_episode"], done)
            ours = info["episode_statistics"]
            np.testing.assert_allclose(info["episode"]["r"][done], ours["return"][done], rtol=1e-5)
            np.testing.assert_array_equal(info["episode"]["l"][done], ours["length"][done])
    assert seen == 12


def test_clip_reward_and_rescale_action(env):
    clipped = vector_wrappers.ClipReward(env, -0.01, 0.01)
    clipped.reset(seed=1)
    rewards = np.stack([clipped.step(a)[1] for a in actions(env, 10)])
    assert np.abs(rewards).max() == np.float32(0.01)
    rescaled = vector_wrappers.RescaleAction(env, 0.0, 2.0)
    sequence = actions(env, 8)
    env.reset(seed=2)
    plain = roll(env, sequence)
    rescaled.reset(seed=2)
    ours = roll(rescaled, sequence + np.float32(1.0))
    np.testing.assert_allclose(ours[0], plain[0], atol=1e-5)


@pytest.mark.filterwarnings("ignore")
def test_record_video_writes_what_was_rendered(tmp_path):
    pytest.importorskip("moviepy")
    import imageio.v3 as iio

    env = gymnasium.make_vec(
        REACH, num_envs=2, vectorization_mode="vector_entry_point", device="cpu", workers=1,
        render_mode="rgb_array", render_size=(64, 48),
    )  # fmt: skip
    video = vector_wrappers.RecordVideo(
        env, str(tmp_path), step_trigger=lambda step: step == 0, video_length=5
    )
    video.reset(seed=0)
    for _ in range(6):
        video.step(np.zeros((2, 6), np.float32))
    video.close()
    (path,) = tmp_path.glob("*.mp4")
    frames = iio.imread(path)
    assert len(frames) == 6  # the one of the reset and those of five steps
    assert frames.std() > 5.0
    assert iio.immeta(path)["fps"] == pytest.approx(20.0)


BAD_ACTIONS = {
    "shape": (np.zeros((3, 3), np.float32), "shape"),
    "flat": (np.zeros(12, np.float32), "shape"),
    "integer": (np.zeros((4, 3), int), "floating"),
    "bool": (np.zeros((4, 3), bool), "floating"),
    "object": (np.full((4, 3), None), "floating"),
    "ragged": ([[0.0, 0.0, 0.0], [0.0]] * 2, "shape"),
    "none": (None, "shape"),
    "nan": (np.array([[0, 0, 0]] * 2 + [[0, np.nan, 0]] + [[0, 0, 0]]), "world 2 is not finite"),
    "infinite": (np.full((4, 3), np.inf, np.float32), "world 0 is not finite"),
    "beyond float32": (np.full((4, 3), 1e300), "not finite"),
}


@pytest.mark.parametrize("name", BAD_ACTIONS)
def test_bad_actions_are_refused_without_a_step(env, name):
    action, message = BAD_ACTIONS[name]
    env.reset(seed=1)
    before = env.state_dict()
    with pytest.raises(BadActionError, match=message):
        env.step(action)
    after = env.state_dict()
    assert equal_states(before, after)


def test_float64_actions_are_taken_and_clipped(env):
    env.reset(seed=1)
    one = roll(env, [np.full((4, 3), 1.0)] * 3)
    env.reset(seed=1)
    beyond = roll(env, [np.full((4, 3), 50.0)] * 3)
    assert same(one, beyond)


BAD_RESETS = {
    "unknown option": ({"reset_maks": None}, UnknownNameError, "did you mean 'reset_mask'"),
    "mask shape": ({"reset_mask": np.ones(3, bool)}, ConfigError, "reset_mask"),
    "mask dtype": ({"reset_mask": np.ones(4)}, ConfigError, "bool"),
    "unknown parameter": ({"parameters": {"mas": 1.0}}, UnknownNameError, "'mas'"),
}


@pytest.mark.parametrize("name", BAD_RESETS)
def test_bad_reset_options(env, name):
    options, error, message = BAD_RESETS[name]
    with pytest.raises(error, match=message):
        env.reset(options=options)


@pytest.mark.parametrize("seed", [-1, 0.5, [1, 2, 3], [1, 2, 3, -4], 2**64])
def test_bad_seeds(env, seed):
    with pytest.raises(ConfigError, match="seed"):
        env.reset(seed=seed)


BAD_ARGUMENTS = {
    "no worlds": ({"num_envs": 0}, ConfigError, "num_envs"),
    "device": ({"device": "cuda:7"}, DeviceError, "this machine has"),
    "device name": ({"device": "gpu"}, DeviceError, "'gpu'"),
    "more workers than worlds": ({"workers": 5}, WorkerError, "at most 4"),
    "no workers": ({"workers": 0}, ConfigError, "at least 1"),
    "array type": ({"array_type": "jax"}, ConfigError, "'jax'"),
    "phase": ({"phase_spread": 1.5}, ConfigError, "phase_spread"),
    "render mode": ({"render_mode": "human"}, RenderError, "gymnasium.make"),
    "render worlds": ({"render_worlds": (4,)}, RenderError, "below 4"),
}


@pytest.mark.parametrize("name", BAD_ARGUMENTS)
def test_bad_arguments(name):
    arguments, error, message = BAD_ARGUMENTS[name]
    with pytest.raises(error, match=message):
        WarpVectorEnv(Pendulum(), **{"num_envs": 4, "device": "cpu", "workers": 1, **arguments})


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (functools.partial(ReachConfig, control_dt=0.0), "control_dt"),
        (functools.partial(ReachConfig, episode_seconds=float("nan")), "episode_seconds"),
        (functools.partial(ReachConfig, decimation=0), "decimation"),
        (functools.partial(ReachConfig, decimation=2.5), "decimation"),
        (functools.partial(ReachConfig, max_increment=-0.1), "max_increment"),
        (functools.partial(ReachConfig, position_tolerance=0.0), "position_tolerance"),
        (functools.partial(ReachConfig, min_height=float("inf")), "min_height"),
        (functools.partial(ReachConfig, hold_seconds=9.0), "hold_seconds"),
        (lambda: ReachConfig(reward_weights=ReachWeights(near=float("nan"))), "near"),
        (lambda: PendulumConfig(reward_weights=ToyWeights(value=float("inf"))), "value"),
    ],
)
def test_config_out_of_range(build, message):
    with pytest.raises(ConfigError, match=message):
        build()


def test_unknown_names_are_told_with_the_nearest():
    with pytest.raises(UnknownNameError, match=r"did you mean 'max_increment'"):
        ReachConfig.from_dict({"max_incremnt": 0.1})
    with pytest.raises(UnknownNameError, match=r"did you mean 'distance'"):
        ReachConfig.from_dict({"reward_weights": {"distanse": 0.1}})
    with pytest.raises(UnknownNameError, match=r"did you mean 'proveout/Reach-v0'"):
        proveout.envs.make_vector("proveout/Reech-v0")


def test_config_survives_plain_data():
    config = switched_on(PendulumConfig, mass={"low": 0.5, "high": 2.0})
    assert PendulumConfig.from_dict(config.to_dict()) == config


def test_order_of_calls():
    env = make()
    with pytest.raises(gymnasium.error.ResetNeeded):
        env.step(np.zeros((4, 3), np.float32))
    with pytest.raises(gymnasium.error.ResetNeeded):
        env.state_dict()
    with pytest.raises(ConfigError, match="first reset"):
        env.reset(options={"reset_mask": np.array([True, False, True, True])})
    with pytest.raises(RenderError, match="render_mode"):
        env.render()
    env.reset()
    env.close()
    env.close()
    with pytest.raises((gymnasium.error.ResetNeeded, gymnasium.error.ClosedEnvironmentError)):
        env.step(np.zeros((4, 3), np.float32))
