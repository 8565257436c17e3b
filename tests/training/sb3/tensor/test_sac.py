"""TensorSAC and TensorTD3 against the stock ones: parameters, zips, callbacks, no host read."""

import os
import signal
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import numpy as np
import pytest
import tensor_env
import torch
from stable_baselines3 import SAC, TD3, HerReplayBuffer
from stable_baselines3.common.callbacks import BaseCallback, CheckpointCallback, EvalCallback
from stable_baselines3.common.logger import configure
from stable_baselines3.common.noise import NormalActionNoise, OrnsteinUhlenbeckActionNoise
from stable_baselines3.common.vec_env import VecNormalize
from tensor_env import TensorPointVectorEnv
from test_ppo import _HostReads

from proveout.envs import make_vector
from proveout.envs.core.errors import DeviceError, StateError
from proveout.training.learn.settings import ResumeConfig, TrainConfig
from proveout.training.learn.train import resume, train
from proveout.training.run.networks import read_networks
from proveout.training.sb3.errors import BridgeError
from proveout.training.sb3.tensor.off_policy import STATISTICS_INTERVAL, random_actions, same_device
from proveout.training.sb3.tensor.sac import TensorSAC
from proveout.training.sb3.tensor.td3 import TensorTD3
from proveout.training.sb3.vec_env import SB3VecEnv

NUM = 8
PAIRS = {"sac": (SAC, TensorSAC), "td3": (TD3, TensorTD3)}


def kwargs(**changes) -> dict:
    """Arguments of an algorithm; made anew, as SB3 writes into `policy_kwargs`."""
    return {
        "learning_starts": 5 * NUM, "batch_size": 32, "buffer_size": 40 * NUM, "seed": 5,
        "device": "cpu", "policy_kwargs": {"net_arch": [16, 16]}, **changes,
    }  # fmt: skip


def points(**kwargs) -> SB3VecEnv:
    """Points whose episodes of 20 steps end at different times."""
    return SB3VecEnv(TensorPointVectorEnv(NUM, phase_spread=1.0, **kwargs))


def noise(sigma: float = 0.2, size: int = 2) -> NormalActionNoise:
    return NormalActionNoise(np.zeros(size), np.full(size, sigma))


@pytest.fixture(scope="module", params=["proveout/Reach-v0", "proveout/Highway-v0"])
def worlds(request):
    """Worlds whose short episodes time out at different steps; some of Highway terminate."""
    envs = make_vector(
        request.param, NUM, device="cpu", workers=1, phase_spread=1.0, max_episode_steps=12
    )
    venv = SB3VecEnv(envs)
    yield venv
    venv.close()


def parameters(model) -> torch.Tensor:
    networks = list(model.policy.parameters())
    if getattr(model, "log_ent_coef", None) is not None:
        networks.append(model.log_ent_coef)
    return torch.cat([p.detach().flatten() for p in networks])


def assert_same_run(stock, tensor) -> None:
    assert stock.num_timesteps == tensor.num_timesteps
    assert stock._n_updates == tensor._n_updates
    assert (parameters(stock) - parameters(tensor)).abs().max() < 1e-6
    assert stock._episode_num == tensor._episode_num > 0
    assert len(stock.ep_info_buffer) == len(tensor.ep_info_buffer) > 0
    for one, other in zip(stock.ep_info_buffer, tensor.ep_info_buffer, strict=True):
        assert one["l"] == other["l"]
        assert one["r"] == pytest.approx(other["r"], rel=1e-5, abs=1e-5)
    assert list(stock.ep_success_buffer) == list(tensor.ep_success_buffer)


@pytest.mark.parametrize("algo", PAIRS)
def test_equals_the_stock_algorithm_on_worlds(worlds, algo):
    models = []
    for algorithm in PAIRS[algo]:
        model = algorithm("MlpPolicy", worlds, gradient_steps=3, **kwargs())
        models.append(model.learn(75 * NUM))
    assert models[0]._n_updates >= 200
    assert models[0].replay_buffer.timeouts.any()  # the case that is easy to get wrong
    assert_same_run(*models)


VARIANTS: dict[str, dict] = {
    "sac": {},
    "sac_sde": {"use_sde": True, "sde_sample_freq": 2, "train_freq": 4, "gradient_steps": 2},
    "sac_sde_warm": {"use_sde": True, "use_sde_at_warmup": True, "train_freq": 2},
    "sac_noise": {"ent_coef": 0.02, "action_noise": noise()},
    "sac_n_steps": {"n_steps": 3},
    "sac_many": {
        "learning_starts": 45 * NUM,
        "train_freq": 5,
        "gradient_steps": -1,
        "target_update_interval": 2,
    },
    "td3": {"action_noise": noise()},
    "td3_n_steps": {"n_steps": 4, "gradient_steps": 2},
}


@pytest.mark.parametrize("variant", VARIANTS)
def test_equals_the_stock_algorithm_with(variant):
    models = []
    for algorithm in PAIRS[variant.partition("_")[0]]:
        model = algorithm("MlpPolicy", points(), **kwargs(**VARIANTS[variant]))
        models.append(model.learn(60 * NUM))
    assert models[0]._n_updates > 20
    assert_same_run(*models)


def test_equals_the_stock_algorithm_with_dict_observations():
    models = []
    for algorithm in PAIRS["sac"]:
        model = algorithm("MultiInputPolicy", points(named=True), **kwargs())
        models.append(model.learn(60 * NUM))
    assert_same_run(*models)
    model = TensorSAC("MultiInputPolicy", points(named=True), n_steps=3, **kwargs())
    model.learn(10 * NUM)  # which the stock algorithm cannot
    assert torch.isfinite(parameters(model)).all()


def test_random_actions_are_those_of_the_space():
    space = points().action_space
    space.seed(3)
    one_by_one = np.array([space.sample() for _ in range(50)])
    space.seed(3)
    assert np.array_equal(random_actions(space, 50), one_by_one)


@pytest.mark.parametrize("algo", PAIRS)
@pytest.mark.parametrize("n_steps", [1, 3])
def test_zips_open_both_ways_and_predict_the_same(tmp_path, algo, n_steps):
    observation = points().reset()
    for algorithm, other in (PAIRS[algo], PAIRS[algo][::-1]):
        model = algorithm("MlpPolicy", points(), n_steps=n_steps, **kwargs())
        model.learn(20 * NUM)
        path = tmp_path / "model.zip"
        model.save(path)
        assert path.stat().st_size < 300_000
        assert b"tensor_" not in zipfile.ZipFile(path).read("data")
        loaded = other.load(path, env=points(), device="cpu")
        expected = model.predict(observation, deterministic=True)[0]
        assert np.array_equal(loaded.predict(observation, deterministic=True)[0], expected)
        assert loaded.n_steps == loaded.replay_buffer.__dict__.get("n_steps", 1) == n_steps
        loaded.learn(10 * NUM)  # and it goes on learning
        assert not torch.equal(parameters(loaded), parameters(model))
        alone = other.load(path, device="cpu")
        assert np.array_equal(alone.predict(observation, deterministic=True)[0], expected)


class _Watch(BaseCallback):
    """Watches every roll-out of `steps` from its start to its last step."""

    def __init__(self, steps: int) -> None:
        super().__init__()
        self.mode = _HostReads()
        self.rollouts = 0
        self.steps = steps
        self._left = 0

    def _on_rollout_start(self) -> None:
        self.mode.__enter__()
        self.rollouts += 1
        self._left = self.steps

    def _on_step(self) -> bool:
        self._left -= 1
        if self._left == 0:
            self.mode.__exit__(None, None, None)
        return True


@pytest.mark.parametrize("extra", [{}, {"use_sde": True}, {"action_noise": noise(0.1, 6)}])
def test_a_step_reads_nothing_on_the_host(extra):
    envs = make_vector("proveout/Reach-v0", NUM, device="cpu", workers=1, max_episode_steps=6)
    venv = SB3VecEnv(envs)
    watch = _Watch(STATISTICS_INTERVAL)
    model = TensorSAC("MlpPolicy", venv, train_freq=STATISTICS_INTERVAL, **kwargs(**extra))
    model.learn(4 * STATISTICS_INTERVAL * NUM, callback=watch)
    venv.close()
    assert watch.rollouts == 4
    assert watch.mode.seen == []
    assert model._episode_num == NUM * (4 * STATISTICS_INTERVAL // 6)


class _Reader(BaseCallback):
    """Reads a step's locals as callbacks for the stock algorithms do."""

    def __init__(self) -> None:
        super().__init__()
        self.told: list[object] = []

    def _on_step(self) -> bool:
        infos, dones = self.locals["infos"], self.locals["dones"]
        assert len(infos) == NUM
        self.told.append(np.asarray(self.locals["rewards"]).round(4).tolist())
        self.told.append(np.asarray(self.locals["new_obs"]).round(4).tolist())
        for world in np.flatnonzero(np.asarray(dones)):
            info = infos[world]
            assert info["terminal_observation"].shape == self.model.observation_space.shape
            if "episode" in info:
                self.told.append((int(world), round(info["episode"]["r"], 4)))
        return True


def test_callbacks_read_the_same_locals_as_with_stock_sac(tmp_path):
    told = []
    for algorithm in PAIRS["sac"]:
        reader = _Reader()
        # Saving fetches the statistics in the middle of a step; its infos must stay readable.
        saver = CheckpointCallback(save_freq=7, save_path=str(tmp_path / algorithm.__name__))
        model = algorithm("MlpPolicy", points(), **kwargs())
        model.learn(40 * NUM, callback=[saver, reader])
        told.append(reader.told)
    assert told[0] == told[1]
    assert len(list(tmp_path.glob("*/*.zip"))) == 10


def test_eval_callback_works(tmp_path):
    callback = EvalCallback(
        points(), n_eval_episodes=4, eval_freq=10, best_model_save_path=str(tmp_path), verbose=0
    )
    TensorSAC("MlpPolicy", points(), **kwargs()).learn(30 * NUM, callback=callback)
    assert (tmp_path / "best_model.zip").is_file()
    assert np.isfinite(callback.best_mean_reward)


def test_a_stopping_callback_stops():
    class Stop(BaseCallback):
        def _on_step(self) -> bool:
            return self.n_calls < 25

    model = TensorSAC("MlpPolicy", points(), **kwargs())
    model.learn(10_000, callback=Stop())
    assert model.num_timesteps == 25 * NUM
    assert model._episode_num > 0
    model.learn(40 * NUM)  # and begins anew
    assert model.num_timesteps == 40 * NUM


def test_logs_what_the_stock_algorithm_logs(tmp_path):
    written = []
    for algorithm in PAIRS["sac"]:
        folder = tmp_path / algorithm.__name__
        model = algorithm("MlpPolicy", points(), **kwargs())
        model.set_logger(configure(str(folder), ["csv"]))
        model.learn(64 * NUM, log_interval=16)
        model.logger.close()
        written.append((folder / "progress.csv").read_text().splitlines())
    assert set(written[0][0].split(",")) == set(written[1][0].split(","))
    assert 2 <= len(written[1]) <= len(written[0])


def test_last_observation_is_fetched_when_asked_for():
    venv = points()
    model = TensorSAC("MlpPolicy", venv, **kwargs())
    seen = []

    class Ask(BaseCallback):
        def _on_step(self) -> bool:
            seen.append(np.array_equal(self.model._last_obs, self.locals["new_obs"].numpy()))
            return True

    model.learn(6 * NUM, callback=Ask())
    assert seen == [True] * 6


def test_replay_buffer_is_saved_without_pickle(tmp_path):
    saver = CheckpointCallback(
        save_freq=15, save_path=str(tmp_path), save_replay_buffer=True, verbose=0
    )
    model = TensorSAC("MlpPolicy", points(), **kwargs())
    model.learn(30 * NUM, callback=saver)
    saved = sorted(tmp_path.glob("*replay_buffer*"))
    assert len(saved) == 2
    with np.load(saved[-1], allow_pickle=False) as arrays:
        assert arrays["rewards"].shape == (29, NUM)  # the step of the callback is not in yet
    model.save_replay_buffer(tmp_path / "buffer")
    other = TensorSAC("MlpPolicy", points(), **kwargs())
    other.load_replay_buffer(tmp_path / "buffer")
    for (name, one), (_, two) in zip(
        model.replay_buffer._named_tensors(), other.replay_buffer._named_tensors(), strict=True
    ):
        assert torch.equal(one[:30], two[:30]), name
    other.learn(10 * NUM)
    assert other.replay_buffer.size() == 40
    stock = SAC("MlpPolicy", points(), **kwargs())
    stock.save_replay_buffer(tmp_path / "stock.pkl")
    (tmp_path / "short.npz").write_bytes((tmp_path / "buffer.npz").read_bytes()[:500])
    for bad in ("stock.pkl", "short.npz"):
        with pytest.raises(StateError, match="not a replay buffer saved by TensorSAC"):
            other.load_replay_buffer(tmp_path / bad)


def test_what_would_be_wrong_without_a_word_is_refused():
    with pytest.raises(BridgeError, match="would bypass VecNormalize"):
        TensorSAC("MlpPolicy", VecNormalize(points()), **kwargs())
    model = TensorSAC("MlpPolicy", points(), **kwargs())
    with pytest.raises(BridgeError, match="VecNormalize"):
        model.set_env(VecNormalize(points()))
    with pytest.raises(BridgeError, match="not in episodes"):
        TensorSAC("MlpPolicy", points(), train_freq=(1, "episode"), **kwargs())
    ornstein = OrnsteinUhlenbeckActionNoise(np.zeros(2), np.ones(2))
    with pytest.raises(BridgeError, match="OrnsteinUhlenbeckActionNoise would"):
        TensorTD3("MlpPolicy", points(), action_noise=ornstein, **kwargs())
    with pytest.raises(BridgeError, match="HerReplayBuffer"):
        TensorSAC("MlpPolicy", points(), replay_buffer_class=HerReplayBuffer, **kwargs())
    with pytest.raises(BridgeError, match="optimize_memory_usage"):
        TensorSAC("MlpPolicy", points(), optimize_memory_usage=True, **kwargs())
    with pytest.raises(DeviceError, match="lower buffer_size"):
        TensorSAC("MlpPolicy", points(), **kwargs(buffer_size=10**13))
    assert same_device(torch.device("cpu"), torch.device("cpu", 0))
    assert not same_device(torch.device("cpu"), torch.device("cuda", 0))
    assert not same_device(torch.device("cuda", 1), torch.device("cuda", 0))


SMALL = (
    "buffer_size=1600", "batch_size=32", "learning_starts=64", "gradient_steps=2",
    "policy_kwargs.net_arch=[8]",
)  # fmt: skip


def settings(runs: Path, algo: str, samples: int, **changes) -> TrainConfig:
    return TrainConfig(
        algo=algo, total_timesteps=samples, num_envs=16, hyperparameters=SMALL, runs=runs,
        evaluation_episodes=0, video=False, **changes,
    )  # fmt: skip


def assert_same_policy(one: Path, other: Path) -> None:
    networks, _ = read_networks(one / "policy.zip", "cpu")
    again, _ = read_networks(other / "policy.zip", "cpu")
    for name, value in networks["policy"].items():
        assert torch.equal(value, again["policy"][name]), name


def test_td3_resumed_is_the_same_as_undisturbed(tmp_path):
    tensor_env.install()
    whole = train(tensor_env.ID, None, settings(tmp_path / "whole", "tensor_td3", 1600))
    half = train(tensor_env.ID, None, settings(tmp_path / "half", "tensor_td3", 800))
    again = resume(half.folder, ResumeConfig(total_timesteps=1600))
    assert_same_policy(whole.folder, again.folder)


def test_sac_killed_and_resumed_is_the_same_as_undisturbed(tmp_path):
    tensor_env.install()
    whole = train(tensor_env.ID, None, settings(tmp_path / "whole", "tensor_sac", 1600))
    command = [sys.executable, "-m", "proveout.training.cli", "train", tensor_env.ID]
    command += ["--algo", "tensor_sac", "--num-envs", "16", "--total-timesteps", "1600"]
    command += ["--runs", str(tmp_path / "killed"), "--evaluation-episodes", "0", "--no-video"]
    command += ["--checkpoint-interval", "0.2", "--env.step-seconds", "0.005"]
    command += ["--hyperparameters", *SMALL]
    environment = {**os.environ, "PROVEOUT_TASKS": tensor_env.__file__}
    process = subprocess.Popen(command, env=environment, stderr=subprocess.PIPE)
    deadline = time.monotonic() + 60.0
    pattern = "killed/*/*/checkpoints/[0-9]*"
    while len(list(tmp_path.glob(pattern))) < 1 and time.monotonic() < deadline:
        assert process.poll() is None, process.stderr.read().decode()
        time.sleep(0.02)
    process.kill()
    assert process.wait(10) == -signal.SIGKILL
    process.stderr.close()
    (folder,) = (tmp_path / "killed").glob("*/*")
    assert not (folder / "policy.zip").exists()
    run = resume(folder)
    assert run.manifest["resumed"][0]["from"].isdigit()
    assert_same_policy(whole.folder, run.folder)
