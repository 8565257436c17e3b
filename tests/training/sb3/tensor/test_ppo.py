"""TensorPPO against stock PPO: the same parameters, zips, callbacks; and no host read inside."""

import numpy as np
import pytest
import torch
from stable_baselines3 import PPO
from stable_baselines3.common.callbacks import BaseCallback, EvalCallback
from stable_baselines3.common.vec_env import VecNormalize
from torch.utils._python_dispatch import TorchDispatchMode

from proveout.envs import make_vector
from proveout.training.sb3.errors import BridgeError
from proveout.training.sb3.tensor.ppo import TensorPPO
from proveout.training.sb3.vec_env import SB3VecEnv

NUM, STEPS = 16, 8
KWARGS = {
    "n_steps": STEPS, "batch_size": 32, "n_epochs": 3, "seed": 5, "device": "cpu",
    "policy_kwargs": {"net_arch": [32, 32]},
}  # fmt: skip


@pytest.fixture(params=["proveout/Reach-v0", "proveout/Highway-v0"])
def venv(request):
    """Worlds whose short episodes time out at different steps, many of them in a roll-out."""
    made = []

    def make() -> SB3VecEnv:
        envs = make_vector(
            request.param, NUM, device="cpu", workers=1, phase_spread=1.0, max_episode_steps=12
        )
        made.append(SB3VecEnv(envs))
        return made[-1]

    yield make
    for one in made:
        one.close()


def parameters(model) -> torch.Tensor:
    return torch.cat([p.detach().flatten() for p in model.policy.parameters()])


@pytest.mark.parametrize("extra", [{}, {"target_kl": 0.002}, {"use_sde": True}])
def test_equals_stock_ppo(venv, extra):
    models = []
    for algorithm in (PPO, TensorPPO):
        model = algorithm("MlpPolicy", venv(), **{**KWARGS, **extra})
        model.learn(5 * NUM * STEPS)
        models.append(model)
    stock, tensor = models
    assert stock.num_timesteps == tensor.num_timesteps
    # Values of final observations are computed in one batch instead of one by one: float32
    # rounding, a few 1e-7.
    assert (parameters(stock) - parameters(tensor)).abs().max() < 1e-6
    assert len(stock.ep_info_buffer) == len(tensor.ep_info_buffer) > 0
    for one, other in zip(stock.ep_info_buffer, tensor.ep_info_buffer, strict=True):
        assert one["l"] == other["l"]
        assert one["r"] == pytest.approx(other["r"], rel=1e-5, abs=1e-5)
    assert list(stock.ep_success_buffer) == list(tensor.ep_success_buffer)


def test_zips_open_both_ways_and_predict_the_same(venv, tmp_path):
    observation = venv().reset()
    for algorithm, other in ((PPO, TensorPPO), (TensorPPO, PPO)):
        model = algorithm("MlpPolicy", venv(), **KWARGS)
        model.learn(NUM * STEPS)
        model.save(tmp_path / "model.zip")
        loaded = other.load(tmp_path / "model.zip", env=venv(), device="cpu")
        expected = model.predict(observation, deterministic=True)[0]
        assert np.array_equal(loaded.predict(observation, deterministic=True)[0], expected)
        loaded.learn(NUM * STEPS)  # and it goes on learning
        assert not torch.equal(parameters(loaded), parameters(model))


class _HostReads(TorchDispatchMode):
    """Counts the operations that make a host wait for a device."""

    WAITING = ("_local_scalar_dense", "nonzero", "masked_select", "equal", "is_nonzero")

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[str] = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        name = func.overloadpacket.__name__
        if name in self.WAITING or (name == "index" and _boolean(args)):
            self.seen.append(name)
        return func(*args, **(kwargs or {}))


def _boolean(args) -> bool:
    return any(t is not None and t.dtype == torch.bool for t in args[1])


class _Watch(BaseCallback):
    """Watches from the start of a roll-out to its last step."""

    def __init__(self) -> None:
        super().__init__()
        self.mode = _HostReads()
        self.steps = 0

    def _on_rollout_start(self) -> None:
        self.mode.__enter__()
        self.steps = 0

    def _on_step(self) -> bool:
        self.steps += 1
        if self.steps == STEPS:
            self.mode.__exit__(None, None, None)
        return True


def test_a_rollout_reads_nothing_on_the_host(venv):
    watch = _Watch()
    model = TensorPPO("MlpPolicy", venv(), **KWARGS)
    model.learn(2 * NUM * STEPS, callback=watch)
    assert watch.mode.seen == []


def test_the_watch_sees_a_host_read():
    with _HostReads() as mode:
        x = torch.ones(3)
        x.sum().item()
        x[x > 0]
    assert mode.seen == ["_local_scalar_dense", "index"]


class _Reader(BaseCallback):
    """Reads a step's locals as callbacks for stock PPO do."""

    def __init__(self) -> None:
        super().__init__()
        self.ended: list[tuple[int, int, float]] = []

    def _on_step(self) -> bool:
        infos, dones = self.locals["infos"], self.locals["dones"]
        assert len(infos) == NUM
        for world in np.flatnonzero(np.asarray(dones)):
            info = infos[world]
            assert info["terminal_observation"].shape == self.model.observation_space.shape
            if "episode" in info:
                self.ended.append((self.num_timesteps, int(world), round(info["episode"]["r"], 4)))
        return True


def test_callbacks_read_the_same_locals_as_with_stock_ppo(venv):
    ended = []
    for algorithm in (PPO, TensorPPO):
        reader = _Reader()
        algorithm("MlpPolicy", venv(), **KWARGS).learn(4 * NUM * STEPS, callback=reader)
        ended.append(reader.ended)
    assert ended[0] == ended[1]
    assert ended[0]


def test_eval_callback_works(venv, tmp_path):
    callback = EvalCallback(
        venv(), n_eval_episodes=4, eval_freq=STEPS, best_model_save_path=str(tmp_path), verbose=0
    )
    TensorPPO("MlpPolicy", venv(), **KWARGS).learn(2 * NUM * STEPS, callback=callback)
    assert (tmp_path / "best_model.zip").is_file()
    assert np.isfinite(callback.best_mean_reward)


def test_a_wrapper_that_would_be_bypassed_raises(venv):
    with pytest.raises(BridgeError, match="would bypass VecNormalize"):
        TensorPPO("MlpPolicy", VecNormalize(venv()), **KWARGS)
    model = TensorPPO("MlpPolicy", venv(), **KWARGS)
    with pytest.raises(BridgeError, match="VecNormalize"):
        model.set_env(VecNormalize(venv()))


def test_a_stopping_callback_stops(venv):
    class Stop(BaseCallback):
        def _on_step(self) -> bool:
            return False

    model = TensorPPO("MlpPolicy", venv(), **KWARGS)
    model.learn(10_000, callback=Stop())
    assert model.num_timesteps == NUM
