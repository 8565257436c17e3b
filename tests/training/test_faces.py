"""What users import by short names."""

import subprocess
import sys

import pytest

import proveout.envs
import proveout.training.sb3 as sb3


def test_the_algorithms_are_found_under_their_package():
    from proveout.training.sb3.tensor.ppo import TensorPPO

    assert sb3.TensorPPO is TensorPPO
    assert {"SB3VecEnv", "TensorSAC", "TensorTD3"} <= set(dir(sb3))
    for name in dir(sb3):
        assert getattr(sb3, name).__name__ == name
    with pytest.raises(AttributeError, match="has no attribute 'TensorDQN'"):
        _ = sb3.TensorDQN


def test_all_names_of_envs_are_there():
    assert all(hasattr(proveout.envs, name) for name in proveout.envs.__all__)


def test_environments_are_imported_without_torch_and_stable_baselines():
    code = (
        "import sys, proveout.envs, proveout.training.sb3\n"
        "assert not {'torch', 'stable_baselines3'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)
