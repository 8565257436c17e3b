"""`proveout benchmark training`: what it measures, and that it measures the same work."""

import json
import sys

import numpy as np
import pytest
import tensor_env
import torch
from stable_baselines3 import PPO
from stable_baselines3.common.vec_env import VecMonitor
from tensor_env import TensorPointVectorEnv

from proveout.envs import make_vector
from proveout.training.benchmark import training as module
from proveout.training.benchmark.training import (
    CONTESTANTS,
    FIGURES,
    NaiveVecEnv,
    TrainingLoad,
    benchmark_training,
    table,
)
from proveout.training.cli.program import main
from proveout.training.sb3.vec_env import SB3VecEnv
from proveout.training.tasks import VectorEnvSpec

SMALL = ["--num-envs", "16", "--n-steps", "4", "--epochs", "1", "--minibatches", "2"]


@pytest.fixture(autouse=True)
def _point():
    tensor_env.install()


def test_json_has_five_contestants_with_four_figures(capfd):
    arguments = ["--env", "proveout/Highway-v0", *SMALL, "--rounds", "2", "--json"]
    assert main(["benchmark", "training", *arguments, "--workers", "1"]) == 0
    out = capfd.readouterr().out
    assert out.count("\n") == 1
    result = json.loads(out)
    head = {"device": "cpu", "workers": 1, "num_envs": 16, "n_steps": 4, "epochs": 1,
            "minibatches": 2, "torch_threads": 1, "rounds": 2, "invalid_worlds": 0}  # fmt: skip
    assert head.items() <= result.items()
    floor = result["floor"]
    for name in CONTESTANTS:
        values = result[name]
        if values is None:
            assert name == "rsl_rl"
            continue
        assert tuple(values) == FIGURES
        assert values["overhead_ms"] == pytest.approx(values["ms_per_step"] - floor["ms_per_step"])
        rate = 4 * 16 / values["ms_per_iteration"] * 1e3
        assert values["steps_per_s"] == pytest.approx(rate)
        if name == "floor":
            assert values["ms_per_iteration"] == pytest.approx(4 * values["ms_per_step"])
        else:  # it learns, too
            assert values["ms_per_iteration"] > 4 * values["ms_per_step"]
    assert table(result).splitlines()[2].startswith("floor")


def test_every_contestant_steps_and_learns_the_same(monkeypatch):
    """Counts steps of the worlds and updates of the networks in every turn."""
    made = []

    class Counted(TensorPointVectorEnv):
        steps = 0

        def step(self, actions):
            type(self).steps += 1
            return super().step(actions)

    def make_vector_env(spec):
        made.append(Counted(spec.num_envs, phase_spread=spec.phase_spread))
        return made[-1]

    updates = []
    adam = torch.optim.Adam.step
    monkeypatch.setattr(
        torch.optim.Adam, "step", lambda self, *a, **k: updates.append(1) or adam(self, *a, **k)
    )
    monkeypatch.setattr(module, "make_vector_env", make_vector_env)
    seen = {}
    measure = module._measure

    def watched(contestants, rounds):
        def watch(name, turn):
            def run():
                steps, before = Counted.steps, len(updates)
                told = turn()
                seen.setdefault(name, []).append((Counted.steps - steps, len(updates) - before))
                return told

            return run

        return measure({name: watch(name, turn) for name, turn in contestants.items()}, rounds)

    monkeypatch.setattr(module, "_measure", watched)
    load = TrainingLoad(n_steps=8, epochs=3, minibatches=2, rounds=2)
    result = benchmark_training(VectorEnvSpec(tensor_env.ID, num_envs=16), load)
    assert len(made) == 1  # one set of worlds for all
    assert seen.pop("floor") == [(8, 0)] * 3
    assert set(seen) == {name for name in CONTESTANTS[1:] if result[name] is not None}
    for name, turns in seen.items():
        assert turns == [(8, 6)] * 3, name


def test_rsl_rl_is_null_with_a_reason_where_it_is_missing(monkeypatch, capfd):
    for name in ("rsl_rl", "rsl_rl.env"):
        monkeypatch.setitem(sys.modules, name, None)  # as if it were not installed
    assert main(["benchmark", "training", "--env", tensor_env.ID, *SMALL, "--rounds", "1"]) == 0
    told = capfd.readouterr()
    assert "rsl_rl is left out: rsl-rl-lib is not installed" in told.err
    assert "not installed" in told.out
    assert torch.get_num_threads() == 1


def test_the_naive_adapter_learns_what_ours_learns():
    """It is slow, not wrong: the same parameters as stock PPO through SB3VecEnv."""
    parameters = []
    for naive in (True, False):
        envs = make_vector("proveout/Highway-v0", 8, device="cpu", workers=1, max_episode_steps=6)
        venv = VecMonitor(NaiveVecEnv(envs)) if naive else SB3VecEnv(envs)
        model = PPO("MlpPolicy", venv, n_steps=8, batch_size=32, n_epochs=2, seed=1, device="cpu")
        model.learn(3 * 64)
        envs.close()
        parameters.append(torch.cat([p.detach().flatten() for p in model.policy.parameters()]))
        assert model.ep_info_buffer
    assert np.array_equal(parameters[0].numpy(), parameters[1].numpy())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "which environment? proveout benchmark training --env ENV"),
        (["--env", "proveout/Raech-v0"], "did you mean 'proveout/Reach-v0'?"),
        (["--env", "proveout/Reach-v0", "--rounds", "0"], "rounds must be at least 1"),
        (["--env", "proveout/Reach-v0", "--num-envs", "3"], "use a divisor of 48"),
        (["--env", "fake/Point-v0"], "PointVectorEnv has no tensors() and advance()"),
    ],
)
def test_bad_input_is_one_sentence(arguments, message, capfd):
    if message.startswith("use a divisor"):
        arguments = [*arguments, "--minibatches", "5"]
    assert main(["benchmark", "training", *arguments]) == 2
    assert message in capfd.readouterr().err


def test_help_shows_its_flags_and_an_example(capfd):
    with pytest.raises(SystemExit) as stop:
        main(["benchmark", "training", "--help"])
    assert stop.value.code == 0
    out = capfd.readouterr().out
    assert "proveout benchmark training --env proveout/Reach-v0" in out
    assert "--minibatches" in out
