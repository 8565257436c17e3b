"""The adapter for rsl_rl: what a step says, what its runner learns from it."""

import math
import sys

import numpy as np
import pytest
import torch
from gymnasium.vector import VectorWrapper

from proveout.envs import make_vector
from proveout.training.bridges import rsl_rl as adapter
from proveout.training.bridges.rl_zoo import register
from proveout.training.presets import make_preset
from proveout.training.run.optional import MissingPackageError, optional_module
from proveout.training.sb3.errors import BridgeError

NUM = 8


@pytest.fixture
def needs_rsl_rl():
    pytest.importorskip("rsl_rl", reason="rsl_rl (PyPI: rsl-rl-lib) is not installed")


@pytest.fixture
def worlds():
    made = []

    def make(**kwargs):
        # A hold that fits into the short episodes of these tests.
        config = {"hold_seconds": 0.1}
        arguments = {"device": "cpu", "workers": 1, "config": config, **kwargs}
        made.append(make_vector("proveout/Reach-v0", NUM, **arguments))
        return made[-1]

    yield make
    for envs in made:
        envs.close()


def preset(**overrides):
    return make_preset(
        "ppo",
        {},
        {
            "num_envs": NUM,
            "n_steps": 16,
            "batch_size": 64,
            "n_epochs": 2,
            "policy_kwargs": {"net_arch": [16, 16]},
            **overrides,
        },
    )


@pytest.mark.usefixtures("needs_rsl_rl")
@pytest.mark.parametrize("wrapped", [False, True])
def test_a_step_says_what_the_environment_says(worlds, wrapped):
    """Against the same worlds stepped through Gymnasium's face."""
    import rsl_rl.env

    envs = worlds(max_episode_steps=5)
    env = adapter.RslRlVecEnv(VectorWrapper(envs) if wrapped else envs, seed=3)
    assert isinstance(env, rsl_rl.env.VecEnv)
    assert (env.num_envs, env.num_actions, env.max_episode_length) == (NUM, 6, 5)
    assert env.cfg["control_dt"] == envs.config.control_dt
    oracle = worlds(max_episode_steps=5)
    expected, _ = oracle.reset(seed=3)
    kept = env.get_observations()
    assert kept.batch_size == torch.Size([NUM])
    copies = [(kept["policy"], kept["policy"].clone())]
    draw = np.random.default_rng(0)
    for step in range(1, 8):
        assert np.array_equal(env.get_observations()["policy"].numpy(), expected)
        actions = draw.uniform(-1.0, 1.0, (NUM, 6)).astype(np.float32)
        observation, reward, done, extras = env.step(torch.from_numpy(actions))
        expected, wanted, terminated, truncated, _ = oracle.step(actions)
        assert np.array_equal(observation["policy"].numpy(), expected)
        assert np.array_equal(reward.numpy(), wanted)
        assert np.array_equal(done.numpy(), (terminated | truncated).astype(int))
        assert np.array_equal(extras["time_outs"].numpy(), truncated & ~terminated)
        assert truncated.all() == (step == 5)
        assert (env.episode_length_buf == step % 5).all()
        copies.append((reward, reward.clone()))
    # Later steps left alone what earlier ones returned.
    assert all(torch.equal(one, other) for one, other in copies)


@pytest.mark.usefixtures("needs_rsl_rl")
def test_statistics_of_ended_episodes_come_in_log(worlds):
    envs = worlds(max_episode_steps=5)
    env = adapter.RslRlVecEnv(envs, seed=0, statistics_interval=4)
    rewards = torch.zeros(NUM)
    logs = []
    for step in range(8):
        _, reward, _, extras = env.step(torch.zeros(NUM, 6))
        if step < 5:
            rewards += reward
        logs.append(extras.get("log"))
    assert [log is not None for log in logs] == [False] * 3 + [True] + [False] * 3 + [True]
    assert logs[3] == {}  # nothing has ended yet
    told = logs[7]
    assert set(told) >= {"episode/return", "episode/length", "episode/success"}
    assert torch.allclose(told["episode/return"], rewards, atol=1e-5)
    assert (told["episode/length"] == 5).all()
    assert (env.num_episodes, env.num_invalid) == (NUM, 0)


@pytest.mark.usefixtures("needs_rsl_rl")
def test_the_clocks_can_be_set(worlds):
    env = adapter.RslRlVecEnv(worlds(max_episode_steps=5), seed=0, statistics_interval=5)
    env.episode_length_buf = torch.arange(NUM) % 5
    ends = [env.step(torch.zeros(NUM, 6)) for _ in range(5)]
    for step, (_, _, done, _) in enumerate(ends):
        assert torch.equal(done.bool(), torch.arange(NUM) % 5 == 4 - step)
    # Shortened first episodes do not count.
    assert len(ends[-1][3]["log"]["episode/length"]) == 2


@pytest.mark.usefixtures("needs_rsl_rl")
def test_an_invalid_world_is_a_time_out_without_reward(worlds):
    env = adapter.RslRlVecEnv(worlds(), seed=0, statistics_interval=1)
    actions = torch.zeros(NUM, 6)
    actions[2] = torch.nan
    _, reward, done, extras = env.step(actions)
    assert done.tolist() == [0, 0, 1, 0, 0, 0, 0, 0]
    assert extras["time_outs"][2]
    assert reward[2] == 0.0
    assert env.num_invalid == 1


@pytest.mark.usefixtures("needs_rsl_rl")
def test_its_runner_learns(worlds, tmp_path, capsys):
    """A few iterations on Reach, its clocks spread by the runner itself."""
    envs = worlds(max_episode_steps=20)
    env = adapter.RslRlVecEnv(envs, seed=0)
    checks = torch.distributions.Distribution._validate_args
    runner = adapter.make_runner(env, preset(), log_dir=str(tmp_path))
    assert torch.distributions.Distribution._validate_args == checks
    assert "MLP" not in capsys.readouterr().out
    before = [p.clone() for p in runner.alg.actor.parameters()]
    runner.learn(3, init_at_random_ep_len=True)
    torch.distributions.Distribution.set_default_validate_args(checks)
    after = list(runner.alg.actor.parameters())
    assert all(torch.isfinite(p).all() for p in after)
    assert any(not torch.equal(one, other) for one, other in zip(before, after, strict=True))
    assert (tmp_path / "model_2.pt").is_file()
    assert env.num_episodes > 0
    told = capsys.readouterr().out
    assert "episode/success" in told
    # Samples, and the world still steps outside of the runner's inference mode.
    assert f"{3 * 16 * NUM}" in told
    env.step(torch.zeros(NUM, 6))


@pytest.mark.usefixtures("needs_rsl_rl")
def test_making_the_runner_prints_nothing(worlds, capfd):
    env = adapter.RslRlVecEnv(worlds())
    capfd.readouterr()
    adapter.make_runner(env, preset())
    told = capfd.readouterr()
    assert (told.out, told.err) == ("", "")


@pytest.mark.usefixtures("needs_rsl_rl")
def test_the_runner_has_the_presets_network_and_updates(worlds):
    env = adapter.RslRlVecEnv(worlds(), seed=0)
    runner = adapter.make_runner(env, preset(policy_kwargs={"net_arch": [32, 16]}))
    widths = [tuple(p.shape) for p in runner.alg.critic.parameters() if p.ndim == 2]
    assert widths == [(32, 36), (16, 32), (1, 16)]
    assert runner.alg.num_mini_batches == 16 * NUM // 64
    assert runner.alg.num_learning_epochs == 2
    # The default preset has a standard deviation of exp(-0.5).
    assert torch.allclose(runner.alg.actor.distribution.log_std_param, torch.full((6,), -0.5))
    # and a small last layer
    heads = [m for m in runner.alg.actor.mlp if isinstance(m, torch.nn.Linear)]
    assert heads[-1].weight.abs().max() <= 0.05 / math.sqrt(16)  # torch's bound, scaled
    with pytest.raises(BridgeError, match="16 worlds and the environment has 8"):
        adapter.make_runner(env, preset(num_envs=16, batch_size=64))


def test_a_preset_becomes_the_runners_settings():
    config = adapter.runner_config(preset(adaptive_kl=(0.008, 0.02), clip_range=0.1))
    assert config["num_steps_per_env"] == 16
    assert config["algorithm"]["schedule"] == "adaptive"
    assert config["algorithm"]["desired_kl"] == pytest.approx(math.sqrt(0.008 * 0.02))
    assert config["algorithm"]["clip_param"] == 0.1
    assert config["actor"]["activation"] == "elu"
    assert adapter.runner_config(preset(adaptive_kl=None))["algorithm"]["schedule"] == "fixed"


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"use_sde": True}, "no use_sde"),
        ({"target_kl": 0.01}, "no target_kl"),
        ({"network": "set"}, "no network 'set'"),
        ({"sde_sample_freq": 4}, "no sde_sample_freq"),
        ({"policy_kwargs": {"squash_output": True}}, "no squash_output"),
    ],
)
def test_a_preset_that_it_cannot_have_is_refused(overrides, message):
    with pytest.raises(BridgeError, match=message):
        adapter.runner_config(preset(**overrides))


def test_a_missing_package_is_one_sentence(worlds, monkeypatch):
    envs = worlds()
    for name in ("rsl_rl", "rsl_rl.env", "rl_zoo3"):
        monkeypatch.setitem(sys.modules, name, None)  # as if it were not installed
    with pytest.raises(MissingPackageError, match=r"rsl-rl-lib .* 'proveout\[rsl-rl\]'"):
        adapter.RslRlVecEnv(envs)
    with pytest.raises(MissingPackageError, match=r"rl_zoo3 is not .* 'proveout\[rl-zoo\]'"):
        register()


def test_a_fault_inside_an_installed_package_is_not_hidden(monkeypatch, tmp_path):
    (tmp_path / "broken_package.py").write_text("import there_is_no_such_module\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ModuleNotFoundError, match="there_is_no_such_module"):
        optional_module("broken_package", "broken", "broken-package")
