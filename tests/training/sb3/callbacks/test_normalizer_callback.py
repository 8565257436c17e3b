"""When the normaliser learns: between an update and the next roll-out, and at no other time."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from fake_env import ID, PointTask, PointVectorEnv
from stable_baselines3 import PPO
from stable_baselines3.common.callbacks import BaseCallback, CallbackList
from torch.utils._python_dispatch import TorchDispatchMode

from proveout.envs import make_vector
from proveout.policies.normalize import normalizers
from proveout.training.learn.settings import ResumeConfig, TrainConfig
from proveout.training.learn.train import resume, train
from proveout.training.presets import build_algorithm, make_preset
from proveout.training.run.networks import read_networks
from proveout.training.sb3.callbacks.normalizer import NormalizerCallback
from proveout.training.sb3.errors import BridgeError
from proveout.training.sb3.tensor.ppo import TensorPPO
from proveout.training.sb3.vec_env import SB3VecEnv

NUM, STEPS = 16, 8


def statistics(model: Any) -> dict[str, torch.Tensor]:
    (normalizer,) = normalizers(model.policy)
    return {name: value.clone() for name, value in normalizer.state_dict().items()}


class _Watch(BaseCallback):
    """Keeps every observation that the policy acts on, and the ratios that an update starts at."""

    def __init__(self, train_method: Any) -> None:
        super().__init__()
        self.seen: list[np.ndarray] = []
        self.furthest: list[float] = []
        self.shifted: list[float] = []
        self.before: dict[str, torch.Tensor] = {}
        self.train_method = train_method

    def _on_step(self) -> bool:
        self.seen.append(self.locals["obs_tensor"].clone().numpy())
        return True

    def _on_rollout_start(self) -> None:
        self.before = statistics(self.model)

    def train(self) -> None:
        model: Any = self.model
        for name, value in statistics(model).items():
            assert torch.equal(value, self.before[name])
        state = np.random.get_state()  # noqa: NPY002
        batch = next(iter(model.rollout_buffer.get(model.batch_size)))
        np.random.set_state(state)  # noqa: NPY002
        self.furthest.append(self._ratio(batch))
        # The same comparison, had the statistics changed before the update.
        (normalizer,) = normalizers(model.policy)
        kept = normalizer.running_mean.clone()
        normalizer.running_mean.add_(0.05)
        self.shifted.append(self._ratio(batch))
        normalizer.running_mean.copy_(kept)
        self.train_method()

    def _ratio(self, batch: Any) -> float:
        with torch.no_grad():
            _, log_prob, _ = self.model.policy.evaluate_actions(batch.observations, batch.actions)
        return float((torch.exp(log_prob - batch.old_log_prob) - 1.0).abs().max())


@pytest.mark.parametrize("algorithm", ["ppo", "tensor_ppo"])
def test_ppo_starts_every_update_at_ratio_one(algorithm: str) -> None:
    overrides = {
        **{"num_envs": NUM, "n_steps": STEPS, "batch_size": 32, "n_epochs": 2},
        **{"normalize_observations": True, "adaptive_kl": None},
        "policy_kwargs": {"net_arch": [32], "action_head_scale": 1.0},
    }
    preset = make_preset(algorithm, {}, overrides)
    env = make_vector("proveout/Highway-v0", NUM, device="cpu", workers=1, phase_spread=1.0)
    model = build_algorithm(preset, SB3VecEnv(env), seed=0, device="cpu")
    assert isinstance(model, TensorPPO if algorithm == "tensor_ppo" else PPO)
    watch = _Watch(model.train)
    model.train = watch.train
    model.learn(3 * NUM * STEPS, callback=CallbackList([NormalizerCallback(), watch]))
    model.env.close()
    assert len(watch.furthest) == 3
    # Another batch size, another order of summation: float32 rounding, no more.
    assert max(watch.furthest) < 1e-5
    assert min(watch.shifted) > 1e-4
    # The statistics are those of all that was observed.
    seen = np.concatenate(watch.seen).astype(np.float64)
    assert seen.shape[0] == 3 * NUM * STEPS
    (normalizer,) = normalizers(model.policy)
    alone = normalizer.running_count == len(seen)  # not in the set, which counts present rows
    assert 20 <= int(alone.sum()) < normalizer.size
    mean, var = normalizer.running_mean.numpy(), normalizer.running_var.numpy()
    np.testing.assert_allclose(mean[alone], seen.mean(0)[alone], rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(var[alone], seen.var(0)[alone], rtol=1e-4, atol=1e-7)


class _HostReads(TorchDispatchMode):
    """Counts the operations that make a host wait for a device."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[str] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func.overloadpacket.__name__
        if name in ("_local_scalar_dense", "nonzero", "masked_select", "equal", "is_nonzero"):
            self.seen.append(name)
        return func(*args, **(kwargs or {}))


def test_an_update_reads_nothing_on_the_host() -> None:
    overrides = {"num_envs": NUM, "n_steps": STEPS, "batch_size": 64}
    preset = make_preset(
        "tensor_ppo", {}, {**overrides, "normalize_observations": True, "network": "auto"}
    )
    env = make_vector("proveout/Highway-v0", NUM, device="cpu", workers=1)
    model = build_algorithm(preset, SB3VecEnv(env), seed=0, device="cpu")
    callback = NormalizerCallback()
    model.learn(NUM * STEPS, callback=callback)
    callback._seen -= NUM * STEPS
    with _HostReads() as reads:
        callback._on_rollout_end()
        callback._on_rollout_start()
        model.policy.extract_features(model.rollout_buffer.data["observation"][0])
    model.env.close()
    assert reads.seen == []
    assert statistics(model)["running_count"][0] == 2 * NUM * STEPS


@pytest.mark.parametrize("algo", ["sac", "td3"])
def test_off_policy_networks_share_the_statistics(algo: str) -> None:
    small = {
        **{"num_envs": 8, "buffer_size": 160, "batch_size": 32, "learning_starts": 40},
        **{"gradient_steps": 1, "normalize_observations": True, "train_freq": 3},
        "policy_kwargs": {"net_arch": [8]},
    }
    model = build_algorithm(make_preset(algo, {}, small), SB3VecEnv(PointVectorEnv(8)), seed=0)
    model.learn(8 * 33, callback=NormalizerCallback())
    found = normalizers(model.policy)
    assert len(found) == (3 if algo == "sac" else 4)
    for other in found[1:]:
        for name, value in other.state_dict().items():
            assert torch.equal(value, found[0].state_dict()[name])
    # The buffer is a ring of 20 steps, written round; all 33 steps were counted.
    assert found[0].running_count.tolist() == [8.0 * 33] * 6
    held = model.replay_buffer.observations.reshape(-1, 6)
    np.testing.assert_allclose(found[0].running_mean, held.mean(0), atol=0.35)


def test_off_policy_on_the_device_counts_every_step() -> None:
    small = {
        **{"num_envs": NUM, "buffer_size": 20 * NUM, "batch_size": 32, "learning_starts": 40},
        **{"gradient_steps": 1, "normalize_observations": True, "network": "set"},
        "policy_kwargs": {"net_arch": [8]},
    }
    env = make_vector("proveout/Highway-v0", NUM, device="cpu", workers=1)
    model = build_algorithm(
        make_preset("tensor_sac", {}, small), SB3VecEnv(env), seed=0, device="cpu"
    )
    model.learn(NUM * 33, callback=NormalizerCallback())
    model.env.close()
    for normalizer in normalizers(model.policy):
        assert float(normalizer.running_count[0]) == NUM * 33
        assert torch.isfinite(normalizer.running_var).all()


def quick(runs: Path, **changes: Any) -> TrainConfig:
    settings: dict[str, Any] = {"total_timesteps": 2560, "evaluation_episodes": 0, "video": False}
    # An adaptive learning rate is annealed to the end of the run, which is another for a half.
    hyperparameters = ("normalize_observations=True", "adaptive_kl=None")
    return TrainConfig(runs=runs, hyperparameters=hyperparameters, **{**settings, **changes})


def test_a_run_resumes_with_its_statistics(tmp_path: Path) -> None:
    whole = train(ID, None, quick(tmp_path / "whole"))
    half = train(ID, None, quick(tmp_path / "half", total_timesteps=1024))
    again = resume(half.folder, ResumeConfig(total_timesteps=2560))
    first, second = (
        read_networks(run.folder / "policy.zip", "cpu")[0]["policy"] for run in (whole, again)
    )
    counts = [name for name in first if name.endswith("normalizer.running_count")]
    assert counts
    assert first[counts[0]].tolist() == [2560.0] * 6
    for name, value in first.items():
        assert torch.equal(value, second[name]), name
    assert whole.manifest["preset"]["normalize_observations"] is True


def test_ranks_are_summed() -> None:
    overrides = {"num_envs": 4, "normalize_observations": True}
    preset = make_preset("ppo", PointTask.presets, overrides)
    # Two ranks with the same worlds: each sees the double.
    doubled = NormalizerCallback(reduce=lambda state: state.mul_(2.0))
    found = []
    for callback in (NormalizerCallback(), doubled):
        model = build_algorithm(preset, SB3VecEnv(PointVectorEnv(4)), seed=0, device="cpu")
        model.learn(64, callback=callback)
        found.append(statistics(model))
    one, two = found
    assert torch.equal(2.0 * one["running_count"], two["running_count"])
    assert torch.allclose(one["running_var"], two["running_var"], rtol=1e-6)


def test_a_policy_without_normaliser_is_refused() -> None:
    preset = make_preset("ppo", PointTask.presets, {"num_envs": 4})
    model = build_algorithm(preset, SB3VecEnv(PointVectorEnv(4)), device="cpu")
    with pytest.raises(BridgeError, match="normalize_observations=True"):
        model.learn(64, callback=NormalizerCallback())
