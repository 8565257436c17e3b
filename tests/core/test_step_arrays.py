"""Two ways to step: checked and copied, or straight through tensors on the device."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from toy_point import Point

from proveout.envs.core.errors import ConfigError
from proveout.envs.core.step_arrays import HostArrays
from proveout.envs.core.vector_env import WarpVectorEnv


def make(array_type="numpy", workers=1):
    return WarpVectorEnv(Point(), 4, device="cpu", workers=workers, array_type=array_type)


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("array_type", ["numpy", "torch"])
def test_both_ways_step_the_same_worlds(array_type, workers):
    checked, straight = make(array_type, workers), make(array_type, workers)
    draw = np.random.default_rng(0)
    checked.reset(seed=1)
    straight.reset(seed=1)
    told = straight.tensors()
    for _ in range(30):
        action = torch.as_tensor(draw.uniform(-1, 1, (4, 3)).astype(np.float32))
        given = action if array_type == "torch" else action.numpy()
        observation, reward, terminated, truncated, info = checked.step(given)
        straight.advance(action)
        for name, values in {
            "observation": observation, "reward": reward, "terminated": terminated,
            "truncated": truncated, "final_observation": info["final_obs"],
            "invalid_reason": info["invalid_reason"],
            "statistics_mask": info["_episode_statistics"],
        }.items():  # fmt: skip
            np.testing.assert_array_equal(told[name].numpy(), np.asarray(values), err_msg=name)
    checked.close()
    straight.close()


def test_tensors_do_not_go_through_the_host_in_silence():
    """As on CUDA, told by a device that is not the CPU."""
    env = make()
    device = SimpleNamespace(is_cpu=False, alias="cuda:0")
    pool = SimpleNamespace(device=device, read=env._pool.read)
    with pytest.raises(ConfigError, match="make it with array_type='torch', or call step"):
        HostArrays(pool, torch=False).advance(torch.zeros(4, 3))
    env.close()


@pytest.mark.parametrize("workers", [1, 2])
def test_invalid_worlds_are_counted_either_way_and_after_the_end(workers):
    env = make("torch", workers)
    env.reset(seed=0)
    bad = torch.zeros(4, 3)
    bad[[1, 3], 0] = torch.nan
    assert env.step(bad)[4]["invalid"].tolist() == [False, True, False, True]
    env.advance(bad)
    assert env.invalid_worlds == 4
    env.advance(torch.zeros(4, 3))
    assert env.invalid_worlds == 4
    env.close()
    assert env.invalid_worlds == 4
