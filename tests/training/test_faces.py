"""What users import by short names."""

import subprocess
import sys
from pathlib import Path

import pytest

import proveout.envs
import proveout.training as training
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


def test_all_names_of_training_are_there():
    from proveout.training.evaluation.evaluate import evaluate

    assert training.evaluate is evaluate
    assert {"train", "load_policy", "VectorEnvSpec"} <= set(dir(training))
    for name in dir(training):
        assert getattr(training, name).__name__ == name
    with pytest.raises(AttributeError, match="has no attribute 'tran'"):
        _ = training.tran


def test_training_is_imported_with_nothing_heavy():
    code = (
        "import sys, proveout.training\n"
        "assert not {'torch', 'warp', 'numpy', 'gymnasium', 'proveout.envs'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)


def test_an_evaluation_brings_in_nothing_that_learns():
    code = (
        "import sys, fake_env\n"
        "from proveout.training import PolicySource, VectorEnvSpec, evaluate, play\n"
        "fake_env.install()\n"
        "spec = VectorEnvSpec(fake_env.ID, num_envs=2)\n"
        "assert evaluate(PolicySource('expert'), spec, episodes=2)['episodes'] == 2\n"
        "assert play(PolicySource('random'), spec, video=None, episodes=1)\n"
        "learns = ('proveout.training.learn', 'proveout.training.sb3', 'stable_baselines3')\n"
        "assert not [name for name in sys.modules if name.startswith(learns)]"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120, cwd=Path(__file__).parent)
