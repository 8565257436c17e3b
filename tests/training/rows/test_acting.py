"""Actions do not depend on the company in which an observation comes."""

import numpy as np
import pytest

from proveout.policies.errors import PolicyError
from proveout.training.rows.acting import BLOCK, SteadyPolicy


class Network:
    """A product of matrices in float32, whose bits depend on the number of rows."""

    def __init__(self):
        self.weights = np.random.default_rng(1).normal(size=(20, 3)).astype(np.float32)

    def predict(self, observation):
        return observation @ self.weights


class ByPlace:
    """Gives the first row of a question another answer."""

    def predict(self, observation):
        answer = observation[:, :1].copy()
        answer[0] += 1.0
        return answer


@pytest.mark.parametrize("policy", [Network(), ByPlace()])
@pytest.mark.parametrize("number", [1, 3, 64, BLOCK, 2 * BLOCK + 5])
def test_each_row_has_the_bits_of_the_row_alone(policy, number):
    act = SteadyPolicy(policy, 20)
    observation = np.random.default_rng(2).normal(size=(number, 20)).astype(np.float32)
    together = act(observation)
    assert together.shape[0] == number
    for i in {0, number // 2, number - 1}:
        np.testing.assert_array_equal(together[i], act(observation[i : i + 1])[0])


def test_a_policy_of_which_place_matters_is_asked_row_by_row():
    assert SteadyPolicy(ByPlace(), 2).block == 1
    assert SteadyPolicy(Network(), 20).block == BLOCK


def test_a_policy_that_draws_is_refused():
    class Draws:
        def predict(self, observation):
            return np.random.default_rng().normal(size=(len(observation), 1))

    with pytest.raises(PolicyError, match="other actions for the same observations"):
        SteadyPolicy(Draws(), 2)
