"""RL Zoo with the tensor algorithms and our environments, in processes of its own."""

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

from proveout.training.bridges.rl_zoo import _translate, main, zoo_hyperparameters
from proveout.training.sb3.errors import BridgeError

needs_zoo = pytest.mark.skipif(
    importlib.util.find_spec("rl_zoo3") is None, reason="rl_zoo3 is not installed"
)


def run(*arguments: str, code: str | None = None) -> subprocess.CompletedProcess[str]:
    command = ["-c", code] if code else ["-m", "proveout.training.bridges.rl_zoo"]
    return subprocess.run(
        [sys.executable, *command, *arguments], capture_output=True, text=True, timeout=120
    )


def run_folder(logs: Path, algo: str) -> Path:
    (folder,) = (logs / algo).glob("proveout-Reach-v0_*")
    return folder


@needs_zoo
def test_train_and_enjoy_with_tensor_ppo(tmp_path):
    """Two iterations with the task's preset, evaluated, saved; then the model is played."""
    where = ("--algo", "tensor_ppo", "--env", "proveout/Reach-v0", "-f", str(tmp_path))
    told = run(
        "train", *where, "--seed", "1", "--device", "cpu", "--eval-freq", "512",
        "--eval-episodes", "2", "-n", "1024", "--save-freq", "512",
        "-params", "n_envs:32", "batch_size:128", "--env-kwargs", "workers:1",
    )  # fmt: skip
    assert told.returncode == 0, told.stderr
    # Sixteen steps of 32 worlds, twice, with the preset's learning rate adapted to the KL.
    assert "total_timesteps      | 1024" in told.stdout
    assert "success_rate" in told.stdout
    folder = run_folder(tmp_path, "tensor_ppo")
    assert (folder / "proveout-Reach-v0.zip").is_file()
    assert (folder / "best_model.zip").is_file()
    assert (folder / "rl_model_512_steps.zip").is_file()
    kept = (folder / "proveout-Reach-v0" / "config.yml").read_text()
    assert "adaptive_kl" in kept
    assert "action_head_scale" in kept
    (folder / "proveout-Reach-v0" / "args.yml").write_text("env_kwargs: null\n")
    told = run("enjoy", *where, "--no-render", "-n", "70", "--device", "cpu")
    assert told.returncode == 0, told.stderr
    assert "Success rate" in told.stdout


@needs_zoo
def test_train_in_a_script_of_ones_own_with_tensor_sac(tmp_path):
    code = (
        "import sys\n"
        "from proveout.training.bridges.rl_zoo import register; register(); register()\n"
        "import rl_zoo3.train, rl_zoo3\n"
        "from stable_baselines3 import PPO\n"
        "assert rl_zoo3.ALGOS['ppo'] is PPO\n"
        "rl_zoo3.train.train()"
    )
    told = run(
        "--algo", "tensor_sac", "--env", "proveout/Reach-v0", "-f", str(tmp_path),
        "--device", "cpu", "--eval-freq", "-1", "-n", "256", "--num-threads", "1",
        "-params", "n_envs:16", "learning_starts:64", "batch_size:64", "buffer_size:2048",
        "--env-kwargs", "workers:1", code=code,
    )  # fmt: skip
    assert told.returncode == 0, told.stderr
    assert (run_folder(tmp_path, "tensor_sac") / "proveout-Reach-v0.zip").is_file()


def test_a_preset_becomes_plain_hyperparameters():
    import yaml

    told = zoo_hyperparameters("proveout/Reach-v0", "tensor_ppo")
    assert yaml.safe_load(yaml.safe_dump(told)) == told
    assert (told["n_envs"], told["n_timesteps"], told["policy"]) == (512, 1_200_000, "MlpPolicy")
    assert told["policy_kwargs"]["activation_fn"] == "elu"


def test_our_keys_become_what_the_zoo_knows():
    from torch import nn

    told = zoo_hyperparameters("proveout/Reach-v0", "ppo")
    told.update(normalize_observations=True, callback="a.Callback")
    preset = _translate("proveout/Reach-v0", "ppo", told)
    assert preset.policy["action_head_scale"] == 0.05
    assert told["policy_kwargs"]["activation_fn"] is nn.ELU
    assert "action_head_scale" not in told["policy_kwargs"]
    assert not {"adaptive_kl", "normalize_observations", "network"} & set(told)
    normalizer, given, adaptive = told["callback"]
    assert normalizer.endswith("NormalizerCallback")
    assert given == "a.Callback"
    assert list(adaptive.values()) == [{"kl_low": 0.008, "kl_high": 0.025}]


def test_the_zoos_own_form_stays_as_it_is():
    told = {"policy_kwargs": "dict(net_arch=[64])", "n_envs": 4}
    assert _translate("proveout/Reach-v0", "ppo", told) is None
    assert told == {"policy_kwargs": "dict(net_arch=[64])", "n_envs": 4}
    told["normalize_observations"] = True
    with pytest.raises(BridgeError, match="as a mapping"):
        _translate("proveout/Reach-v0", "ppo", told)


def test_noise_for_td3():
    told = {"exploration_noise": 0.2}
    _translate("proveout/Reach-v0", "tensor_td3", told)
    assert (told["noise_type"], told["noise_std"]) == ("normal", 0.2)


def test_an_unknown_script_is_one_sentence(capfd):
    assert main(["trian"]) == 2
    assert "did you mean 'train'?" in capfd.readouterr().err
