"""`SB3VecEnv` against Stable-Baselines3's own `DummyVecEnv`, and what is its own."""

from __future__ import annotations

import sys
import types
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from fake_env import PointConfig, PointExpert, PointVectorEnv
from gymnasium.vector import AutoresetMode, SyncVectorEnv
from stable_baselines3 import PPO
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.evaluation import evaluate_policy
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.vec_env import DummyVecEnv, VecMonitor, VecNormalize, VecVideoRecorder

from proveout.training.sb3.vec_env import BridgeError, SB3VecEnv


class Walk(gym.Env):
    """A random walk that ends at 3, or is truncated after 9 steps."""

    observation_space: gym.Space = gym.spaces.Box(-np.inf, np.inf, (2,), np.float32)
    action_space = gym.spaces.Box(-1.0, 1.0, (1,), np.float32)
    gain = 1.0

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[np.ndarray, dict]:
        super().reset(seed=seed)
        self.place, self.time = float(self.np_random.normal()), 0
        return self._look(), {}

    def step(self, action: np.ndarray) -> tuple[np.ndarray, float, bool, bool, dict]:
        self.place += self.gain * float(action[0]) + float(self.np_random.normal())
        self.time += 1
        ended = abs(self.place) > 3.0
        info = {"is_success": ended and self.place > 0.0} if ended or self.time == 9 else {}
        return self._look(), -abs(self.place), ended, self.time == 9, info

    def _look(self) -> np.ndarray:
        return np.array([self.place, self.time], np.float32)


class WalkDict(Walk):
    """The same with a dict of observations."""

    observation_space = gym.spaces.Dict(
        place=gym.spaces.Box(-np.inf, np.inf, (1,), np.float32),
        time=gym.spaces.Box(0.0, 9.0, (1,), np.float32),
    )

    def _look(self) -> Any:
        return {
            "place": np.array([self.place], np.float32),
            "time": np.array([self.time], np.float32),
        }


def same_step(kind: type[gym.Env], count: int) -> SyncVectorEnv:
    return SyncVectorEnv([kind] * count, autoreset_mode=AutoresetMode.SAME_STEP)


def equal(a: Any, b: Any) -> None:
    if isinstance(a, dict):
        assert a.keys() == b.keys()
        for key in a:
            equal(a[key], b[key])
    else:
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("kind", [Walk, WalkDict])
def test_steps_are_those_of_the_stock_vector_environment(kind: type[gym.Env]) -> None:
    ours = SB3VecEnv(same_step(kind, 5))
    stock = DummyVecEnv([lambda: Monitor(kind())] * 5)
    for venv in (ours, stock):
        venv.seed(3)
    equal(ours.reset(), stock.reset())
    draw = np.random.default_rng(0)
    ends = {"terminated": 0, "truncated": 0, "both": 0}
    for _ in range(300):
        actions = draw.uniform(-1.0, 1.0, (5, 1)).astype(np.float32)
        mine, theirs = ours.step(actions), stock.step(actions)
        equal(mine[0], theirs[0])
        np.testing.assert_array_equal(mine[1], theirs[1])
        np.testing.assert_array_equal(mine[2], theirs[2])
        assert mine[1].dtype == theirs[1].dtype == np.float32
        for done, told, wanted in zip(mine[2], mine[3], theirs[3], strict=True):
            if not done:
                assert told == {}
                continue
            equal(told["terminal_observation"], wanted["terminal_observation"])
            assert told["TimeLimit.truncated"] == wanted["TimeLimit.truncated"]
            assert told["is_success"] == wanted["is_success"]
            assert told["episode"]["l"] == wanted["episode"]["l"]
            assert told["episode"]["r"] == pytest.approx(wanted["episode"]["r"], abs=1e-5)
            ends["truncated" if told["TimeLimit.truncated"] else "terminated"] += 1
            ends["both"] += wanted["episode"]["l"] == 9 and not told["TimeLimit.truncated"]
    assert min(ends.values()) > 0, ends


def expert_steps(venv: Any, steps: int) -> list[Any]:
    observation = venv.reset()
    results = []
    for _ in range(steps):
        results.append(venv.step(PointExpert().predict(observation)))
        observation = results[-1][0]
    return results


def test_statistics_are_those_of_the_environment() -> None:
    env = PointVectorEnv(4)
    results = expert_steps(SB3VecEnv(env), env.max_steps)
    infos = results[-1][3]
    total = np.sum([rewards for _, rewards, _, _ in results], axis=0)
    for world, told in enumerate(infos):
        assert told["episode"]["r"] == pytest.approx(total[world], rel=1e-5)
        assert told["episode"]["l"] == 20
        assert told["is_success"] is True
        assert set(told["episode_statistics"]) == {name for name, _ in env.statistics}
        assert told["episode_statistics"]["final_distance"] < 0.2


def test_drained_statistics_are_means_since_the_last_time() -> None:
    env = PointVectorEnv(4)
    venv = SB3VecEnv(env)
    infos = expert_steps(venv, env.max_steps)[-1][3]
    means = venv.drain_statistics()
    distances = [told["episode_statistics"]["final_distance"] for told in infos]
    assert means["final_distance"] == pytest.approx(np.mean(distances))
    assert "undefined" not in means
    assert venv.drain_statistics() == {}


def test_observations_and_infos_are_never_changed_by_later_steps() -> None:
    venv = SB3VecEnv(PointVectorEnv(3))
    held = expert_steps(venv, 25)
    copies = [(o.copy(), r.copy(), d.copy(), [dict(i) for i in infos]) for o, r, d, infos in held]
    held[3][3][0]["mine"] = 1  # what a callback writes stays in that step
    expert_steps(venv, 25)
    for (o, r, d, infos), (o2, r2, d2, infos2) in zip(held, copies, strict=True):
        np.testing.assert_array_equal(o, o2)
        np.testing.assert_array_equal(r, r2)
        np.testing.assert_array_equal(d, d2)
        assert [set(i) - {"mine"} for i in infos] == [set(i) for i in infos2]
    assert all("mine" not in i for _, _, _, infos in expert_steps(venv, 3) for i in infos)


def test_an_invalid_world_is_told_and_nothing_is_learnt_from_it() -> None:
    env = PointVectorEnv(4, PointConfig(invalid_world=2))
    venv = SB3VecEnv(env)
    results = expert_steps(venv, 5)
    observation, rewards, dones, infos = results[-1]
    assert dones.tolist() == [False, False, True, False]
    assert infos[2]["invalid"] is True
    assert infos[2]["TimeLimit.truncated"] is True
    assert "episode" not in infos[2]
    assert rewards[2] == 0.0
    np.testing.assert_array_equal(infos[2]["terminal_observation"], results[-2][0][2])
    assert np.isfinite(observation).all()
    assert np.isfinite(rewards).all()
    assert (venv.num_invalid, venv.num_episodes) == (1, 0)


def test_episodes_shortened_by_the_phase_spread_do_not_count() -> None:
    env = PointVectorEnv(4, phase_spread=1.0)
    venv = SB3VecEnv(env)
    ends = [told for _, _, _, infos in expert_steps(venv, 20) for told in infos if told]
    assert len(ends) == 4
    assert sum("episode" in told for told in ends) == 1  # the world whose clock began at 0
    assert all("terminal_observation" in told for told in ends)


def test_torch_environments_give_the_same() -> None:
    plain = expert_steps(SB3VecEnv(PointVectorEnv(3)), 45)
    device = expert_steps(SB3VecEnv(PointVectorEnv(3, array_type="torch")), 45)
    for (o, r, d, infos), (o2, r2, d2, infos2) in zip(plain, device, strict=True):
        assert type(o2) is type(r2) is type(d2) is np.ndarray
        np.testing.assert_array_equal(o, o2)
        np.testing.assert_array_equal(r, r2)
        np.testing.assert_array_equal(d, d2)
        for told, told2 in zip(infos, infos2, strict=True):
            assert told.keys() == told2.keys()
            if told:
                equal(told["terminal_observation"], told2["terminal_observation"])


def test_environments_that_would_be_misunderstood_are_refused() -> None:
    with pytest.raises(BridgeError, match="SAME_STEP"):
        SB3VecEnv(SyncVectorEnv([Walk] * 2, autoreset_mode=AutoresetMode.NEXT_STEP))
    with pytest.raises(BridgeError, match="DummyVecEnv"):
        SB3VecEnv(Walk())  # type: ignore[arg-type]
    with pytest.raises(BridgeError, match="as it is"):
        SB3VecEnv(DummyVecEnv([Walk]))  # type: ignore[arg-type]


def test_a_second_monitor_is_refused_also_around_other_wrappers() -> None:
    venv = SB3VecEnv(PointVectorEnv(2))
    with pytest.raises(BridgeError, match="built in"):
        VecMonitor(venv)
    with pytest.raises(BridgeError, match="built in"):
        VecMonitor(VecNormalize(venv))


def test_attributes_and_methods() -> None:
    env = PointVectorEnv(3)
    venv = SB3VecEnv(env)
    assert venv.get_attr("workers") == [1, 1, 1]
    assert venv.get_attr("workers", indices=[0, 2]) == [1, 1]
    assert venv.env_method("bytes_per_world", indices=1) == [env.bytes_per_world()]
    assert venv.env_is_wrapped(Monitor) == [True] * 3
    assert venv.env_is_wrapped(gym.wrappers.TimeLimit, indices=[0]) == [False]
    venv.set_attr("mark", 7)
    assert env.mark == 7  # type: ignore[attr-defined]
    with pytest.raises(BridgeError, match="one object"):
        venv.set_attr("mark", 8, indices=[1])
    with pytest.raises(AttributeError):
        venv.get_attr("nothing")
    assert not venv.has_attr("nothing")
    separate = SB3VecEnv(same_step(Walk, 3))
    separate.set_attr("gain", 0.5, indices=[1])
    assert separate.get_attr("gain") == [1.0, 0.5, 1.0]


def test_seeds_and_options() -> None:
    venv = SB3VecEnv(PointVectorEnv(3))
    venv.seed(5)
    first = venv.reset()
    assert not np.array_equal(first, venv.reset())
    venv.seed(5)
    np.testing.assert_array_equal(first, venv.reset())
    venv.set_options([{"a": 1}, {}, {}])
    with pytest.raises(BridgeError, match="one dict"):
        venv.reset()


def test_state_is_restored() -> None:
    venv = SB3VecEnv(PointVectorEnv(3, PointConfig(invalid_world=1)))
    expert_steps(venv, 7)
    state = venv.state_dict()
    actions = np.full((3, 2), 0.3, np.float32)
    after = [venv.step(actions) for _ in range(30)]
    other = SB3VecEnv(PointVectorEnv(3, PointConfig(invalid_world=1)))
    other.load_state_dict(state)
    for expected in after:
        got = other.step(actions)
        for a, b in zip(expected[:3], got[:3], strict=True):
            np.testing.assert_array_equal(a, b)
    assert other.num_invalid == venv.num_invalid > 0


class _Recorder(BaseCallback):
    """Keeps what a roll-out saw."""

    def __init__(self) -> None:
        super().__init__()
        self.rows: list[dict[str, Any]] = []

    def _on_step(self) -> bool:
        kept = {key: np.array(self.locals[key]) for key in ("rewards", "dones", "new_obs")}
        self.rows.append({**kept, "infos": self.locals["infos"]})
        return True


def test_timeouts_are_bootstrapped_and_ends_are_not() -> None:
    """Advantages of a roll-out against generalised advantage estimation written out.

    Schulman et al., High-dimensional continuous control using GAE (2015), eq. 16; the value of
    the final observation is added where an episode was cut off by time.
    """
    gamma, lam, steps, worlds = 0.9, 0.8, 30, 6
    venv = SB3VecEnv(same_step(Walk, worlds))
    model = PPO(
        "MlpPolicy", venv, n_steps=steps, batch_size=30, gamma=gamma, gae_lambda=lam, seed=1
    )
    recorder = _Recorder()
    _, callback = model._setup_learn(steps * worlds, recorder)
    first = np.array(model._last_obs)
    assert model.collect_rollouts(venv, callback, model.rollout_buffer, steps)

    def value(observation: np.ndarray) -> np.ndarray:
        with torch.no_grad():
            return model.policy.predict_values(torch.as_tensor(observation)).numpy()[:, 0]

    advantage = np.zeros(worlds)
    timeouts = ends = 0
    for t in reversed(range(steps)):
        row = recorder.rows[t]
        now = first if t == 0 else recorder.rows[t - 1]["new_obs"]
        after = gamma * value(row["new_obs"])
        for world in np.flatnonzero(row["dones"]):
            told = row["infos"][world]
            timeouts += told["TimeLimit.truncated"]
            ends += not told["TimeLimit.truncated"]
            final = value(told["terminal_observation"][None])[0]
            after[world] = gamma * final if told["TimeLimit.truncated"] else 0.0
        carried = np.where(row["dones"], 0.0, gamma * lam * advantage)
        advantage = row["rewards"] + after - value(now) + carried
        np.testing.assert_allclose(model.rollout_buffer.advantages[t], advantage, atol=2e-5)
    assert timeouts > 0
    assert ends > 0


def test_evaluate_policy_sees_raw_returns_through_normalisation() -> None:
    venv = SB3VecEnv(PointVectorEnv(4))
    normalised = VecNormalize(venv, norm_obs=False, norm_reward=True)

    class Expert:
        def predict(self, observation: np.ndarray, **_: Any) -> tuple[np.ndarray, None]:
            return PointExpert().predict(observation), None

    normalised.seed(7)
    mean, _ = evaluate_policy(Expert(), normalised, n_eval_episodes=8)  # type: ignore[arg-type]
    raw = SB3VecEnv(PointVectorEnv(4))
    raw.seed(7)
    results = expert_steps(raw, 40)
    told = [i["episode"]["r"] for _, _, _, infos in results for i in infos if i]
    assert len(told) == 8
    assert mean == pytest.approx(np.mean(told), rel=1e-6)


def test_normalised_terminal_observations() -> None:
    venv = VecNormalize(SB3VecEnv(PointVectorEnv(4)))
    draw = np.random.default_rng(1)
    venv.reset()
    for _ in range(20):
        _, _, dones, infos = venv.step(draw.uniform(-1, 1, (4, 2)).astype(np.float32))
    assert dones.all()
    for told in infos:
        assert np.abs(told["terminal_observation"]).max() <= venv.clip_obs
    statistics: Any = venv.obs_rms
    original = infos[0]["terminal_observation"] * np.sqrt(statistics.var + 1e-8)
    assert np.abs(original + statistics.mean).max() < 4.0


def test_rendering_is_one_tiled_frame() -> None:
    venv = SB3VecEnv(PointVectorEnv(4, render_mode="rgb_array", render_worlds=(0, 1, 3)))
    venv.reset()
    frame = venv.render()
    assert frame is not None
    assert frame.dtype == np.uint8
    assert frame.shape == (66, 70, 3)  # two by two, one cell blank


def test_video_recorder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """VecVideoRecorder gives its frames to moviepy; where that is missing, a stand-in counts."""
    written: list[tuple[int, float]] = []

    class Clip:
        def __init__(self, frames: list[np.ndarray], fps: float) -> None:
            written.append((len(frames), fps))

        def write_videofile(self, path: str) -> None:
            Path(path).write_bytes(b"video")

    names = ("moviepy", "moviepy.video", "moviepy.video.io", "moviepy.video.io.ImageSequenceClip")
    for name in names:
        monkeypatch.setitem(sys.modules, name, types.ModuleType(name))
    sys.modules[names[-1]].ImageSequenceClip = Clip  # type: ignore[attr-defined]
    venv = SB3VecEnv(PointVectorEnv(2, render_mode="rgb_array"))
    recorder = VecVideoRecorder(venv, str(tmp_path), lambda step: step == 0, video_length=6)
    recorder.reset()
    for _ in range(8):
        recorder.step(np.zeros((2, 2), np.float32))
    recorder.close()
    assert written == [(7, 10.0)]
    assert len(list(tmp_path.glob("*.mp4"))) == 1


def test_closing_twice_closes_once() -> None:
    class Counted(PointVectorEnv):
        closes = 0

        def close_extras(self, **kwargs: Any) -> None:
            self.closes += 1

    env = Counted(2)
    venv = SB3VecEnv(env)
    venv.close()
    venv.close()
    assert env.closes == 1
