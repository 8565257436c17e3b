"""One graph for acting and stepping: recorded by a stand-in here, on CUDA where there is one."""

import warnings

import numpy as np
import pytest
import torch

from proveout.envs import make_vector
from proveout.envs.core.errors import ConfigError
from proveout.training.sb3.tensor import ppo as tensor_ppo
from proveout.training.sb3.tensor.acting_graph import ActingGraph
from proveout.training.sb3.tensor.ppo import TensorPPO
from proveout.training.sb3.vec_env import SB3VecEnv

NUM, STEPS = 8, 8


def make(env_id="proveout/Highway-v0", workers=1, **kwargs):
    arguments = {"device": "cpu", "phase_spread": 1.0, "max_episode_steps": 12, **kwargs}
    return SB3VecEnv(make_vector(env_id, NUM, workers=workers, **arguments))


def learn(venv, device="cpu", iterations=4):
    model = TensorPPO(
        "MlpPolicy", venv, n_steps=STEPS, batch_size=32, n_epochs=2, seed=5, device=device,
        policy_kwargs={"net_arch": [16]},
    )  # fmt: skip
    model.learn(iterations * NUM * STEPS)
    venv.close()
    return model


def parameters(model):
    return torch.cat([p.detach().flatten() for p in model.policy.parameters()])


class Recorded(TensorPPO):
    """Takes the graph's path on the CPU, where a replay runs the launches themselves."""

    replays = 0

    def _acting_graph(self, face):
        if self._graph is None or not self._graph.fits(self.policy):
            low, high = self._action_bounds()
            self._graph = ActingGraph(
                self.policy, face.env, lambda a: self._to_environment(a, low, high), self.record
            )
        return self._graph

    def record(self, launches):
        def replay():
            self.replays += 1
            launches()

        return replay


@pytest.mark.parametrize("env_id", ["proveout/Highway-v0", "proveout/Reach-v0"])
def test_the_path_of_the_graph_gives_the_same_parameters(env_id, monkeypatch):
    plain = learn(make(env_id))
    monkeypatch.setitem(globals(), "TensorPPO", Recorded)
    recorded = learn(make(env_id))
    # Two trial steps, then every step of every roll-out: nothing was recorded anew.
    assert recorded.replays == 2 + 4 * STEPS
    assert torch.equal(parameters(plain), parameters(recorded))
    assert len(plain.ep_info_buffer) == len(recorded.ep_info_buffer) > 0


def test_another_policy_is_recorded_anew():
    venv = make()
    model = TensorPPO("MlpPolicy", venv, n_steps=STEPS, batch_size=32, device="cpu", seed=0)
    venv.reset()
    graph = ActingGraph(model.policy, venv.env, lambda a: a.clamp(-1, 1), lambda launches: launches)
    assert graph.fits(model.policy)
    model.policy.optimizer.step()
    assert graph.fits(model.policy)
    model.policy.log_std = torch.nn.Parameter(model.policy.log_std.detach().clone())
    assert not graph.fits(model.policy)
    venv.close()


def stale(launches):
    """Replays the first step's numbers for ever, as a graph does that reads other memory."""
    launches()
    return lambda: None


def refused(launches):
    raise RuntimeError("operation not permitted when stream is capturing\nmore")


@pytest.mark.parametrize(
    ("record", "told"), [(stale, "came out differently"), (refused, "operation not permitted")]
)
def test_what_cannot_be_recorded_falls_back_and_says_why(record, told, monkeypatch):
    class Failing(TensorPPO):
        def _acting_graph(self, face):
            if not self._no_graph:
                low, high = self._action_bounds()
                self._graph = tensor_ppo.acting_graph(
                    self.policy, face.env, lambda a: self._to_environment(a, low, high), record
                )
                self._no_graph = self._graph is None
            return self._graph

    plain = learn(make())
    monkeypatch.setitem(globals(), "TensorPPO", Failing)
    with pytest.warns(UserWarning, match=f"one CUDA graph.*{told}"):
        failing = learn(make())
    assert torch.equal(parameters(plain), parameters(failing))


def test_a_trial_leaves_worlds_and_generators_as_they_were():
    venv = make()
    model = TensorPPO("MlpPolicy", venv, n_steps=STEPS, batch_size=32, device="cpu", seed=0)
    venv.reset()
    before, numbers = venv.env.state_dict(), torch.get_rng_state()
    ActingGraph(model.policy, venv.env, lambda a: a.clamp(-1, 1), lambda launches: launches)
    after = venv.env.state_dict()
    assert all(np.array_equal(before[name], after[name], equal_nan=True) for name in before)
    assert torch.equal(numbers, torch.get_rng_state())
    venv.close()


def test_worlds_in_other_processes_are_refused():
    venv = make(workers=2)
    venv.reset()
    with pytest.raises(ConfigError, match="use workers=1"):
        venv.env.launch_step(torch.zeros(NUM, 2))
    venv.close()


@pytest.mark.gpu
@pytest.mark.parametrize("env_id", ["proveout/Highway-v0", "proveout/Reach-v0"])
def test_recorded_on_cuda(env_id):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model = learn(make(env_id, device="cuda:0", array_type="torch"), "cuda:0")
    assert model._graph is not None
    assert torch.isfinite(parameters(model)).all()
