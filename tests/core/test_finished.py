"""Who finished in a step, of our environments and of others."""

import numpy as np
import pytest
import torch

from proveout.envs.core.finished import Finished
from proveout.envs.core.invalid import Invalid

# World 0 goes on, 1 terminates, 2 is out of time, 3 does both, 4 is invalid, 5 began in its middle.
TERMINATED = np.array([0, 1, 0, 1, 0, 1], bool)
TRUNCATED = np.array([0, 0, 1, 1, 1, 0], bool)
INVALID = np.array([0, 0, 0, 0, 1, 0], bool)
FINAL = np.arange(12.0).reshape(6, 2)
RETURNS = np.arange(6, dtype=np.float32)
INFO = {
    "final_obs": FINAL,
    "episode_statistics": {"return": RETURNS, "length": RETURNS + 10.0},
    "_episode_statistics": np.array([0, 1, 1, 1, 0, 0], bool),
    "invalid": INVALID,
    "invalid_reason": INVALID * np.int32(Invalid.CONTACT_LOST),
}
TENSORS = {
    "terminated": TERMINATED,
    "truncated": TRUNCATED,
    "final_observation": FINAL,
    "statistics": np.stack([RETURNS, RETURNS + 10.0], axis=1),
    "statistics_mask": INFO["_episode_statistics"],
    "invalid_reason": INFO["invalid_reason"],
}


def torch_info():
    told = {name: torch.as_tensor(v) for name, v in INFO.items() if name != "episode_statistics"}
    statistics = {n: torch.as_tensor(v) for n, v in INFO["episode_statistics"].items()}
    return {**told, "episode_statistics": statistics}


def of_tensors(convert):
    tensors = {name: convert(value) for name, value in TENSORS.items()}
    return Finished.of_tensors(tensors, ["return", "length"])


@pytest.mark.parametrize(
    "finished",
    [
        Finished(TERMINATED, TRUNCATED, INFO),
        Finished(torch.as_tensor(TERMINATED), torch.as_tensor(TRUNCATED), torch_info()),
        of_tensors(np.asarray),
        of_tensors(torch.as_tensor),
    ],
    ids=["arrays", "torch", "host tensors", "tensors"],
)
def test_every_form_of_a_step_says_the_same(finished):
    assert np.array_equal(finished.worlds(), [1, 2, 3, 4, 5])
    assert np.array_equal(finished.timed_out, [0, 0, 1, 0, 1, 0])
    assert np.array_equal(finished.invalid, INVALID)
    assert np.array_equal(finished.counts, [0, 1, 1, 1, 0, 0])
    endings = finished.take(np.array([5, 1, 4]))
    assert endings.terminated.tolist() == [True, True, False]
    assert endings.timed_out.tolist() == [False, False, True]
    assert endings.invalid.tolist() == [False, False, True]
    assert endings.reason.tolist() == [0, 0, Invalid.CONTACT_LOST]
    assert endings.counts.tolist() == [False, True, False]
    assert np.array_equal(endings.final_observation, FINAL[[5, 1, 4]])
    assert endings.numbers(1) == {"return": 1.0, "length": 11.0}
    assert endings.statistics["return"].dtype == np.float32


def test_tensors_that_a_step_overwrites_show_the_last_step():
    tensors = {name: torch.as_tensor(value).clone() for name, value in TENSORS.items()}
    finished = Finished.of_tensors(tensors, ["return", "length"])
    tensors["terminated"].fill_(False)
    tensors["truncated"].fill_(False)
    tensors["truncated"][0] = True
    tensors["statistics"][0, 0] = 7.0
    assert finished.worlds().tolist() == [0]
    assert finished.take(np.array([0])).numbers(0) == {"return": 7.0, "length": 10.0}


def test_an_environment_that_tells_neither_invalid_nor_statistics():
    finished = Finished(TERMINATED, TRUNCATED, {"final_obs": FINAL})
    assert np.array_equal(finished.counts, TERMINATED | TRUNCATED)
    assert not finished.invalid.any()
    endings = finished.take(finished.worlds())
    assert (endings.statistics, endings.reason.tolist()) == ({}, [0] * 5)
    assert finished.table is None
    # Without a mask, what the guard threw out does not count.
    finished = Finished(TERMINATED, TRUNCATED, {"invalid": INVALID})
    assert np.array_equal(finished.counts, [0, 1, 1, 1, 0, 1])
    assert finished.take(finished.worlds()).final_observation is None


def test_final_observations_of_gymnasiums_own_environments():
    rows = np.empty(3, object)
    rows[1], rows[2] = np.array([1.0, 2.0]), np.array([3.0, 4.0])
    ends = np.array([False, True, True])
    finished = Finished(ends, ~ends, {"final_obs": rows})
    assert np.array_equal(finished.take(np.array([2, 1])).final_observation, [[3, 4], [1, 2]])
    dicts = np.empty(3, object)
    dicts[1] = {"a": np.zeros(2), "b": np.ones(1)}
    finished = Finished(ends, ~ends, {"final_obs": dicts})
    taken = finished.take(np.array([1])).final_observation
    assert {name: part.tolist() for name, part in taken.items()} == {"a": [[0, 0]], "b": [[1]]}
    finished = Finished(ends, ~ends, {"final_obs": {"a": torch.eye(3)}})
    assert finished.take(np.array([1])).final_observation["a"].tolist() == [[0, 1, 0]]
