"""Two policies from the same start states: the difference, and how sure it is."""

import json

import numpy as np
import pytest
import swept_task

from proveout.envs.core.errors import ConfigError
from proveout.training.cli import main
from proveout.training.evaluation.compare import _of_means, _of_rates, compare, difference_lines
from proveout.training.evaluation.compare import differences as differences_of
from proveout.training.evaluation.evaluate import evaluate_episodes
from proveout.training.evaluation.policy_source import PolicySource
from proveout.training.tasks import VectorEnvSpec

SPEC = VectorEnvSpec(swept_task.ID, device="cpu", workers=1)


class Towards:
    """Every world the same way."""

    def __init__(self, action):
        self.action = action

    def predict(self, observation, **_):
        return np.full((len(observation), 3), self.action, np.float32), None


def test_a_policy_does_not_differ_from_itself():
    told = compare(PolicySource("expert"), PolicySource("expert"), SPEC, episodes=200)
    assert told["pairs"] == 200
    success = told["differences"]["success"]
    assert success["difference"] == 0.0
    assert success["interval"][0] < 0.0 < success["interval"][1]
    assert told["differences"]["far"] == {
        "difference": 0.0, "interval": [0.0, 0.0], "pairs": 200, "unit": "m",
    }  # fmt: skip


def test_pairs_tell_more_than_two_samples():
    told = compare(Towards(0.5), Towards(0.45), SPEC, episodes=200)
    one = told["differences"]["place"]
    low, high = one["interval"]
    assert low < one["difference"] < high
    means = [told[name]["kpis"]["place"]["mean"] for name in ("policy", "other")]
    assert one["difference"] == pytest.approx(means[0] - means[1], abs=1e-5)
    deviations = [told[name]["kpis"]["place"]["std"] for name in ("policy", "other")]
    assert high - low < 2 * 1.96 * np.hypot(*deviations) / np.sqrt(200)
    assert any("place" in line and "higher" in line for line in difference_lines(told))


def test_other_start_states_are_refused():
    tables = [evaluate_episodes(Towards(0.0), SPEC, episodes=8, seed=s)[1] for s in (0, 1)]
    with pytest.raises(ConfigError, match="another seed"):
        differences_of(*tables, {})


def test_the_interval_of_rates_covers_the_truth():
    draw = np.random.default_rng(0)
    covered = []
    for _ in range(1000):
        kinds = draw.choice(4, 60, p=[0.8, 0.12, 0.03, 0.05])  # both, first, second, none
        low, high = _of_rates(kinds <= 1, (kinds == 0) | (kinds == 2))["interval"]
        covered.append(low <= 0.09 <= high)
    assert 0.93 < np.mean(covered) < 0.99


def test_too_few_pairs_have_no_interval():
    assert _of_rates(np.array([True]), np.array([False]))["interval"] is None
    assert _of_means(np.array([1.0, np.nan]))["interval"] is None


def test_on_the_command_line(capfd):
    command = ["evaluate", swept_task.ID, "--policy", "expert", "--vs", "random"]
    command += ["--episodes", "40", "--workers", "1"]
    assert main(command) == 0
    out = capfd.readouterr().out
    assert "Difference over 40 pairs of the same start state" in out
    assert main([*command, "--json"]) == 0
    told = json.loads(capfd.readouterr().out)
    assert (told["policy"]["policy"], told["other"]["policy"]) == ("expert", "random")
    assert main([*command, "--episodes-out", "a.csv"]) == 2
    assert "do not go together" in capfd.readouterr().err
