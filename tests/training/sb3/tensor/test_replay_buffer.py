"""The replay buffer of tensors: the stock buffers' samples, n-step oracle, memory, state."""

import numpy as np
import pytest
import torch
from gymnasium import spaces
from stable_baselines3.common.buffers import DictReplayBuffer, NStepReplayBuffer, ReplayBuffer

from proveout.envs.core.errors import DeviceError, StateError
from proveout.training.sb3.errors import BridgeError
from proveout.training.sb3.tensor import replay_buffer as tensor_replay
from proveout.training.sb3.tensor.replay_buffer import (
    TensorReplayBuffer,
    available_bytes,
    check_memory,
    transition_bytes,
)

NUM = 3
BOX = spaces.Box(-1.0, 1.0, (4,), np.float32)
NAMED = spaces.Dict(
    {"pose": spaces.Box(-1.0, 1.0, (3,)), "image": spaces.Box(0, 255, (2, 5), np.uint8)}
)
ACTION = spaces.Box(-1.0, 1.0, (2,), np.float32)


def some(space: spaces.Space, rng: np.random.Generator):
    if isinstance(space, spaces.Dict):
        return {name: some(part, rng) for name, part in space.spaces.items()}
    if space.dtype == np.uint8:
        return rng.integers(0, 256, (NUM, *space.shape), np.uint8)
    return rng.normal(size=(NUM, *space.shape)).astype(np.float32)


def fill(buffers, steps: int, seed: int = 0, ends: float = 0.35) -> list[dict]:
    """Add the same random steps, with terminations and timeouts, to all buffers; return them."""
    rng = np.random.default_rng(seed)
    kept = []
    for _ in range(steps):
        space = buffers[0].observation_space
        done = rng.random(NUM) < ends
        timeout = done & (rng.random(NUM) < 0.5)
        step = {
            "obs": some(space, rng),
            "next_obs": some(space, rng),
            "action": rng.uniform(-1, 1, (NUM, 2)).astype(np.float32),
            "reward": rng.normal(size=NUM).astype(np.float32),
            "done": done,
        }
        infos = [{"TimeLimit.truncated": True} if late else {} for late in timeout]
        for buffer in buffers:
            buffer.add(**step, infos=infos)
        kept.append({**step, "timeout": timeout})
    return kept


def same_samples(stock, tensor, seed: int, exact: bool = True) -> None:
    np.random.seed(seed)  # noqa: NPY002
    expected = stock.sample(40)
    np.random.seed(seed)  # noqa: NPY002
    got = tensor.sample(40)
    assert type(got) is type(expected)
    for name in expected._fields:
        one, other = getattr(expected, name), getattr(got, name)
        if isinstance(one, dict):
            assert set(one) == set(other)
            for key in one:
                assert one[key].dtype == other[key].dtype
                assert torch.equal(one[key], other[key])
        elif one is None:
            assert other is None
        else:
            assert one.shape == other.shape
            assert one.dtype == other.dtype
            if name == "rewards" and not exact:
                torch.testing.assert_close(other, one, rtol=1e-6, atol=1e-6)
            else:
                assert torch.equal(one, other), name


@pytest.mark.parametrize("steps", [4, 10, 27], ids=["part", "full", "over"])
@pytest.mark.parametrize("timeouts", [True, False])
def test_samples_are_those_of_the_stock_buffer(steps, timeouts):
    arguments = (10 * NUM, BOX, ACTION, "cpu", NUM, False, timeouts)
    stock, tensor = ReplayBuffer(*arguments), TensorReplayBuffer(*arguments)
    fill([stock, tensor], steps)
    assert (tensor.pos, tensor.full, tensor.size()) == (stock.pos, stock.full, stock.size())
    same_samples(stock, tensor, 7)


def test_samples_of_dict_observations_are_those_of_the_stock_buffer():
    arguments = (10 * NUM, NAMED, ACTION, "cpu", NUM)
    stock, tensor = DictReplayBuffer(*arguments), TensorReplayBuffer(*arguments)
    fill([stock, tensor], 17)
    same_samples(stock, tensor, 3)


@pytest.mark.parametrize("steps", [5, 10, 27], ids=["part", "full", "over"])
@pytest.mark.parametrize("n_steps", [2, 3, 5])
def test_n_step_samples_are_those_of_the_stock_buffer(steps, n_steps):
    kwargs = {"device": "cpu", "n_envs": NUM, "n_steps": n_steps, "gamma": 0.9}
    stock = NStepReplayBuffer(10 * NUM, BOX, ACTION, **kwargs)
    tensor = TensorReplayBuffer(10 * NUM, BOX, ACTION, **kwargs)
    fill([stock, tensor], steps)
    for seed in range(3):
        same_samples(stock, tensor, seed, exact=False)


def test_n_step_returns_are_those_of_a_loop():
    """Oracle: walk from each transition to the end of its episode, of n steps or of the data."""
    n, gamma, size, steps = 4, 0.8, 20, 51
    buffer = TensorReplayBuffer(size * NUM, BOX, ACTION, "cpu", NUM, n_steps=n, gamma=gamma)
    history = fill([buffer], steps, ends=0.2)
    oldest = steps - size
    seen = {"terminated": 0, "timeout": 0, "newest": 0, "n": 0}
    for first in range(oldest, steps):
        for world in range(NUM):
            total, discount, at = 0.0, 1.0, first
            while True:
                total += discount * history[at]["reward"][world]
                discount *= gamma
                if history[at]["done"][world]:
                    seen["timeout" if history[at]["timeout"][world] else "terminated"] += 1
                    break
                if at == steps - 1 or at - first == n - 1:
                    seen["newest" if at == steps - 1 else "n"] += 1
                    break
                at += 1
            last = history[at]
            rows = torch.tensor([(first % size) * NUM + world])
            row, reward, factor = buffer._look_ahead(rows)
            assert reward.item() == pytest.approx(total, abs=1e-5)
            assert factor.item() == pytest.approx(discount, rel=1e-5)
            next_observation = buffer.next_observations.flatten(0, 1)[row[0]]
            assert np.array_equal(next_observation.numpy(), last["next_obs"][world])
    assert all(count > 3 for count in seen.values()), seen


def test_a_timeout_is_bootstrapped_and_an_end_is_not():
    buffer = TensorReplayBuffer(4 * NUM, BOX, ACTION, "cpu", NUM)
    history = fill([buffer], 4)
    samples = buffer._get_samples(np.repeat(np.arange(4), 50))
    for row in range(200):
        step = history[row // 50]
        world = int(np.flatnonzero((step["action"] == samples.actions[row].numpy()).all(axis=1))[0])
        expected = step["done"][world] and not step["timeout"][world]
        assert samples.dones[row].item() == expected


def test_unwritten_memory_never_reaches_a_sample():
    buffer = TensorReplayBuffer(50 * NUM, BOX, ACTION, "cpu", NUM, n_steps=5)
    buffer.allocate()
    buffer.rewards.fill_(torch.nan)
    buffer.next_observations.fill_(torch.nan)
    fill([buffer], 3)
    samples = buffer.sample(200)
    assert all(torch.isfinite(part).all() for part in samples)


def test_n_step_returns_do_not_cross_a_reset():
    buffer = TensorReplayBuffer(8 * NUM, BOX, ACTION, "cpu", NUM, n_steps=3, gamma=0.5)
    one = np.ones(NUM, np.float32)
    step = {"obs": np.zeros((NUM, 4)), "next_obs": np.zeros((NUM, 4)), "action": np.zeros((NUM, 2))}
    for cut in (False, True, False):
        buffer.add(**step, reward=one, done=np.zeros(NUM, bool), infos=[{}] * NUM)
        if cut:
            buffer.cut()
    lengths = [buffer._look_ahead(torch.tensor([row * NUM]))[1].item() for row in range(3)]
    assert lengths == [1.5, 1.0, 1.0]
    assert buffer._get_samples(np.array([0, 1, 2])).dones.sum() == 0.0


def test_memory_is_said_before_it_is_taken(capsys):
    buffer = TensorReplayBuffer(1000 * NUM, NAMED, ACTION, "cpu", NUM)
    assert capsys.readouterr().err == ""
    buffer.allocate()
    line = capsys.readouterr().err
    assert line.startswith("Replay buffer: 3,000 transitions (1000 steps of 3 worlds), ")
    assert line.endswith("GiB on cpu.\n")
    taken = sum(tensor.nbytes for _, tensor in buffer._named_tensors())
    assert taken == 3000 * transition_bytes(NAMED, ACTION) == 3000 * (2 * (12 + 10) + 8 + 6)
    buffer.allocate()
    assert capsys.readouterr().err == ""


def test_too_large_a_buffer_is_refused(monkeypatch):
    free = available_bytes(torch.device("cpu"))
    assert free is not None
    assert 2**20 < free < 2**50
    check_memory(1000, 46, 46_000, "cuda:0")
    check_memory(1000, 46, None, "cuda:0")
    with pytest.raises(
        DeviceError, match=r"cuda:0 has .* free; lower buffer_size to less than 999"
    ):
        check_memory(1000, 46, 45_999, "cuda:0")
    buffer = TensorReplayBuffer(10**13, BOX, ACTION, "cpu", NUM)
    with pytest.raises(DeviceError, match="cpu has"):
        buffer.allocate()
    monkeypatch.setattr(tensor_replay, "available_bytes", lambda device: 1000)
    with pytest.raises(DeviceError, match=r"lower buffer_size to less than 21\."):
        TensorReplayBuffer(100, BOX, ACTION, "cpu", 1).allocate()


@pytest.mark.parametrize("space", [BOX, NAMED], ids=["box", "dict"])
@pytest.mark.parametrize("steps", [0, 4, 13])
def test_state_goes_round(space, steps):
    arguments = (10 * NUM, space, ACTION, "cpu", NUM)
    one, other = (TensorReplayBuffer(*arguments, n_steps=3) for _ in range(2))
    fill([one], steps)
    state = one.state_dict()
    assert all(isinstance(array, np.ndarray) for array in state.values())
    other.load_state_dict(state)
    fill([one, other], 3, seed=1)
    same_samples(one, other, 5)


def test_a_state_that_does_not_fit_is_refused():
    buffer = TensorReplayBuffer(10 * NUM, BOX, ACTION, "cpu", NUM)
    fill([buffer], 4)
    state = buffer.state_dict()
    for other, words in (
        (TensorReplayBuffer(10 * NUM, BOX, ACTION, "cpu", 5), "of 3 worlds, this one of 5"),
        (TensorReplayBuffer(20 * NUM, BOX, ACTION, "cpu", NUM), "room for 30 transitions"),
        (TensorReplayBuffer(10 * NUM, NAMED, ACTION, "cpu", NUM), "observations/image must be"),
    ):
        with pytest.raises(StateError, match=words):
            other.load_state_dict(state)
        assert other.size() == 0
    with pytest.raises(StateError, match="not the state"):
        buffer.load_state_dict({})


def test_what_it_cannot_do_is_refused():
    with pytest.raises(BridgeError, match="optimize_memory_usage"):
        TensorReplayBuffer(10, BOX, ACTION, "cpu", 1, optimize_memory_usage=True)
    with pytest.raises(BridgeError, match="n_steps"):
        TensorReplayBuffer(10, BOX, ACTION, "cpu", 1, n_steps=0)
    buffer = TensorReplayBuffer(10 * NUM, BOX, ACTION, "cpu", NUM)
    fill([buffer], 2)
    with pytest.raises(BridgeError, match="VecNormalize"):
        buffer.sample(4, env=object())
