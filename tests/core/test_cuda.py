"""What holds on the CPU, asked of CUDA: same bits again, and world 3 of 8 is world 3 of 64.

Road worlds keep it. MuJoCo Warp adds up with atomics in an order that changes, so that Reach is
asked for nearness only; tasks with contacts, whose order changes as well, for nothing here.
"""

import numpy as np
import pytest
import torch

from proveout.envs import check_vector_env, make_vector
from proveout.envs.core.invalid import Invalid

pytestmark = pytest.mark.gpu

IDS = ["proveout/Highway-v0", "proveout/Reach-v0"]
STEPS = 50
OUTPUTS = ("observation", "final_observation", "reward", "terminated", "truncated", "statistics")


def make(env_id, num=8, device="cuda:0", array_type="torch", **arguments):
    # Short episodes: several end within the steps.
    arguments = {"max_episode_steps": 16, **arguments}
    return make_vector(env_id, num, device=device, workers=1, array_type=array_type, **arguments)


def actions_of(env, steps=STEPS, worlds=64):
    space = env.single_action_space
    draw = np.random.default_rng(3)
    shape = (steps, worlds, *space.shape)
    actions = draw.uniform(space.low, space.high, shape).astype(np.float32)
    return torch.as_tensor(actions[:, : env.num_envs], device=env.device)


def rows(env, actions):
    """Every output of every step, as NumPy arrays (steps, worlds, ...)."""
    told = []
    for action in actions:
        env.advance(action)
        t = {name: tensor.cpu().numpy().copy() for name, tensor in env.tensors().items()}
        # Rows of episodes that did not end are left over from earlier ones.
        t["statistics"] = np.where(t["statistics_mask"][:, None], t["statistics"], 0.0)
        told.append({name: t[name] for name in OUTPUTS})
    return {name: np.stack([row[name] for row in told]) for name in OUTPUTS}


def run(env, seed=7, steps=STEPS):
    env.reset(seed=seed)
    return rows(env, actions_of(env, steps))


# Twenty times what was seen over 50 steps of episodes of 16: float32 sums in another order.
NEAR = {"proveout/Highway-v0": 0.0, "proveout/Reach-v0": 1e-4}


def assert_same(env_id, a, b):
    for name in OUTPUTS:
        np.testing.assert_allclose(a[name], b[name], NEAR[env_id], NEAR[env_id], err_msg=name)


@pytest.mark.parametrize("env_id", IDS)
def test_the_same_bits_again(env_id):
    env = make(env_id)
    first, second = run(env), run(env)
    env.close()
    assert_same(env_id, first, second)
    assert first["truncated"].any()
    other = make(env_id)
    assert_same(env_id, first, run(other))
    other.close()


@pytest.mark.parametrize("env_id", IDS)
def test_a_world_does_not_depend_on_how_many_there_are(env_id):
    few, many = make(env_id, 8), make(env_id, 64)
    assert_same(env_id, run(few), {k: v[:, :8] for k, v in run(many).items()})
    few.close()
    many.close()


@pytest.mark.parametrize("env_id", IDS)
def test_a_saved_state_goes_on_with_the_same_bits(env_id):
    env = make(env_id)
    env.reset(seed=1)
    actions = actions_of(env)
    rows(env, actions[:20])
    state = env.state_dict()
    first = rows(env, actions[20:])
    env.load_state_dict(state)
    assert_same(env_id, first, rows(env, actions[20:]))
    env.close()


@pytest.mark.parametrize("env_id", IDS)
def test_close_to_the_cpu(env_id):
    """Rounding differs (fused multiply-add, other sines), so a few steps only."""
    here, there = make(env_id), make(env_id, device="cpu")
    a, b = run(here, steps=10), run(there, steps=10)
    here.close()
    there.close()
    for name in ("observation", "reward"):
        np.testing.assert_allclose(a[name], b[name], rtol=1e-3, atol=1e-3, err_msg=name)


@pytest.mark.parametrize("env_id", IDS)
def test_the_numpy_face_steps_the_same_worlds(env_id):
    tensors, arrays = make(env_id), make(env_id, array_type="numpy")
    expected = run(tensors, steps=20)
    arrays.reset(seed=7)
    for i, action in enumerate(actions_of(tensors, 20)):
        observation, reward, *_ = arrays.step(action.cpu().numpy())
        near = NEAR[env_id]
        np.testing.assert_allclose(observation, expected["observation"][i], near, near)
        np.testing.assert_allclose(reward, expected["reward"][i], near, near)
    tensors.close()
    arrays.close()


@pytest.mark.parametrize("env_id", IDS)
def test_a_non_finite_action_makes_its_world_invalid(env_id):
    env = make(env_id)
    env.reset(seed=7)
    action = actions_of(env, 1)[0].clone()
    action[3, 0] = float("nan")
    info = env.step(action)[4]
    reasons = info["invalid_reason"].cpu().numpy()
    assert reasons[3] == Invalid.NON_FINITE_ACTION
    assert (np.delete(reasons, 3) == 0).all()
    env.close()


@pytest.mark.parametrize("env_id", IDS)
def test_check_vector_env_finds_nothing(env_id):
    def factory(num_envs=4, workers=1):
        return make(env_id, num_envs)

    report = check_vector_env(factory, steps=60)
    assert report.ok, report.table()
