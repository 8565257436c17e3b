"""A world that goes wrong is told, cut off and left out; the others do not notice a bit of it."""

import numpy as np
import pytest
import torch
from toy_tasks import LIMIT, Boxes, BoxesConfig, Pendulum, PendulumConfig, ToyWeights

from proveout.envs.core.invalid import Invalid
from proveout.envs.core.vector_env import WarpVectorEnv

WORLDS = 6
SICK = 2
HEALTHY = np.arange(WORLDS) != SICK


def make(task, num_envs=WORLDS, **kwargs):
    return WarpVectorEnv(task, num_envs, device="cpu", workers=1, **kwargs)


def actions(env, steps, seed=0):
    return (
        np.random.default_rng(seed)
        .uniform(-1, 1, (steps, *env.action_space.shape))
        .astype(np.float32)
    )


def roll(env, sequence):
    """Outputs of every step as a dict of arrays (steps, worlds, ...)."""
    rows = []
    for action in sequence:
        obs, reward, terminated, truncated, info = env.step(action)
        statistics = np.stack(list(info["episode_statistics"].values()), axis=1)
        counts = info["_episode_statistics"]
        rows.append(
            {
                "obs": obs,
                "reward": reward,
                "terminated": terminated,
                "truncated": truncated,
                "final": info["final_obs"],
                "reason": info["invalid_reason"],
                "invalid": info["invalid"],
                "counts": counts,
                "statistics": np.where(counts[:, None], statistics, 0.0),
            }
        )
    return {key: np.stack([row[key] for row in rows]) for key in rows[0]}


def assert_same(a, b, worlds):
    for key in a:
        np.testing.assert_array_equal(a[key][:, worlds], b[key][:, worlds], err_msg=key)


def assert_cut_off(disturbed, step, world, bit):
    """The world is reported in this step alone, without reward or statistics, and goes on."""
    assert disturbed["reason"][step, world] & bit
    assert disturbed["invalid"][:, world].nonzero()[0].tolist() == [step]
    assert disturbed["truncated"][step, world]
    assert not disturbed["terminated"][step, world]
    assert disturbed["reward"][step, world] == 0.0
    assert not disturbed["counts"][step, world]
    for key in ("obs", "final", "reward", "statistics"):
        assert np.isfinite(disturbed[key][:, world]).all(), key


@pytest.fixture(scope="module")
def pendulum():
    # Room for two joint limits of a world, which has three.
    env = make(Pendulum(PendulumConfig(constraints=2)))
    yield env
    env.close()


@pytest.fixture(scope="module")
def boxes():
    env = make(Boxes(BoxesConfig()))
    yield env
    env.close()


def planted(env, sequence, at, change):
    """A run without and a run with `change(state)` before step `at`."""
    env.reset(seed=4)
    undisturbed = roll(env, sequence)
    env.reset(seed=4)
    roll(env, sequence[:at])
    state = env.state_dict()
    expected = {key: value[at:] for key, value in undisturbed.items()}
    change(state)
    # What went wrong inside the engine; a saved state would be refused with it.
    simulation = env._pool
    for name, array in simulation._all_state().items():
        array.assign(state[name])
    simulation.engine.refresh(simulation._all)
    return expected, roll(env, sequence[at:])


@pytest.mark.parametrize("array", ["qpos", "qvel", "qacc_warmstart"])
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_planted_non_finite_state(boxes, array, value):
    def change(state):
        state[f"engine/{array}"][SICK, 3] = value

    before = boxes.invalid_worlds
    expected, disturbed = planted(boxes, actions(boxes, 60), 15, change)
    assert_cut_off(disturbed, 0, SICK, Invalid.NON_FINITE_STATE)
    assert_same(disturbed, expected, HEALTHY)
    assert not disturbed["invalid"][:, HEALTHY].any()
    assert boxes.invalid_worlds == before + 1
    # What is shown of the lost episode is its last valid observation.
    np.testing.assert_array_equal(
        disturbed["final"][0, SICK], boxes_observation_before(boxes, 15)[SICK]
    )
    # The next episode is a whole one: 40 steps, counted.
    assert disturbed["truncated"][40, SICK]
    assert disturbed["counts"][40, SICK]


def boxes_observation_before(env, at):
    env.reset(seed=4)
    return roll(env, actions(env, 60)[:at])["obs"][-1]


def test_a_whole_world_of_nan(boxes):
    def change(state):
        for name in ("qpos", "qvel", "qacc_warmstart", "ctrl"):
            state[f"engine/{name}"][SICK] = np.nan

    expected, disturbed = planted(boxes, actions(boxes, 60), 15, change)
    assert_cut_off(disturbed, 0, SICK, Invalid.NON_FINITE_STATE)
    assert_same(disturbed, expected, HEALTHY)


def test_a_planted_constraint_overflow(pendulum):
    def change(state):
        state["engine/qpos"][SICK] = LIMIT + 0.2
        state["engine/qpos"][4, :2] = LIMIT + 0.2  # two limits still fit

    expected, disturbed = planted(pendulum, actions(pendulum, 40), 8, change)
    assert_cut_off(disturbed, 0, SICK, Invalid.CONSTRAINT_OVERFLOW)
    assert disturbed["reason"][0, SICK] == Invalid.CONSTRAINT_OVERFLOW
    assert not disturbed["invalid"][:, HEALTHY].any()
    untouched = [0, 1, 3, 5]
    assert_same(disturbed, expected, untouched)
    assert not np.array_equal(disturbed["obs"][0, 4], expected["obs"][0, 4])


def test_an_overflow_that_is_over_before_the_step_ends(pendulum):
    """Only the first of four physics steps has three angles beyond their limits."""

    def change(state):
        state["engine/qpos"][SICK] = LIMIT + 0.002
        state["engine/qvel"][SICK] = -5.0

    _, disturbed = planted(pendulum, actions(pendulum, 20), 8, change)
    assert (np.abs(disturbed["final"][0, SICK][:3]) <= LIMIT).all()
    assert_cut_off(disturbed, 0, SICK, Invalid.CONSTRAINT_OVERFLOW)


def test_a_non_finite_action_on_torch_data():
    env = make(Pendulum(), array_type="torch")
    sequence = torch.from_numpy(actions(env, 30))

    def run(sequence):
        env.reset(seed=1)
        rows = [env.step(action) for action in sequence]
        return [torch.stack([row[i] for row in rows]).numpy() for i in range(4)], torch.stack(
            [row[4]["invalid_reason"] for row in rows]
        ).numpy()

    expected, reasons = run(sequence)
    assert not reasons.any()
    for value in (float("nan"), float("inf"), float("-inf")):
        bad = sequence.clone()
        bad[5, SICK, 1] = value
        got, reasons = run(bad)
        assert np.argwhere(reasons).tolist() == [[5, SICK]]
        assert reasons[5, SICK] == Invalid.NON_FINITE_ACTION
        assert got[3][5, SICK]
        assert got[1][5, SICK] == 0.0
        for a, b in zip(got, expected, strict=True):
            np.testing.assert_array_equal(a[:, HEALTHY], b[:, HEALTHY])
            assert np.isfinite(a).all()
    assert env.invalid_worlds == 3
    env.close()


def test_a_reward_that_overflows_is_no_result():
    env = make(Pendulum(PendulumConfig(reward_weights=ToyWeights(value=3e38, square=3e38))))
    env.reset(seed=0)
    # Angles beyond one radian: value + square exceeds float32.
    data = roll(env, np.ones((25, WORLDS, 3), np.float32) * 1.0)
    overflowing = np.isinf(
        np.float32(3e38) * data["final"][..., 0] + np.float32(3e38) * data["final"][..., 0] ** 2
    )
    assert np.isfinite(data["reward"]).all()
    assert (data["reason"][overflowing] == Invalid.NON_FINITE_REWARD).all()
    env.close()


def test_reasons_in_words():
    assert Invalid(0).words == "valid"
    assert (Invalid.CONTACT_LOST | Invalid.NON_FINITE_STATE).words == (
        "non-finite state, contact lost (arena full)"
    )


class Overflow:
    """One run with ample room for contacts and one with too little, of the same worlds."""

    def __init__(self, contacts, worlds=8, airborne=3, steps=60, **config):
        self.airborne = airborne
        ample = make(Boxes(BoxesConfig(contacts=64, airborne=airborne, **config)), worlds)
        tight = make(Boxes(BoxesConfig(contacts=contacts, airborne=airborne, **config)), worlds)
        sequence = actions(ample, steps)
        ample.reset(seed=2)
        self.ample = roll(ample, sequence)
        tight.reset(seed=2)
        self.tight = roll(tight, sequence)
        ample.close()
        tight.close()
        self.differs = np.zeros(self.tight["invalid"].shape, bool)
        for key in self.ample:
            if key not in ("invalid", "reason"):
                different = self.ample[key] != self.tight[key]
                self.differs |= different.reshape(*self.differs.shape, -1).any(axis=2)
        reported = self.tight["invalid"]
        # From its first report on, a world lives another episode than in the ample run.
        self.reported_so_far = np.logical_or.accumulate(reported, axis=0)


@pytest.mark.parametrize("contacts", [1, 2, 4, 6])
def test_a_planted_contact_overflow(contacts):
    """Two boxes need 8 contacts of a world; less than that is reserved for each."""
    run = Overflow(contacts)
    assert not run.ample["invalid"].any()
    assert (run.tight["reason"][run.tight["invalid"]] == Invalid.CONTACT_LOST).all()
    assert run.tight["invalid"].any()
    silent = run.differs & ~run.reported_so_far
    assert not silent.any(), np.argwhere(silent)[:5]
    # The world that can touch nothing is never accused, and lives as if it were alone.
    assert not run.tight["invalid"][:, run.airborne].any()
    assert not run.differs[:, run.airborne].any()
    # Before the first box lands nobody is accused.
    first = int(run.tight["invalid"].any(axis=1).argmax())
    assert first >= 3
    for step, world in np.argwhere(run.tight["invalid"]):
        assert run.tight["reward"][step, world] == 0.0
        assert run.tight["truncated"][step, world]
        assert not run.tight["counts"][step, world]


def test_candidate_pairs_can_overflow_before_contacts_do():
    """Five boxes side by side: the broad phase lists pairs that do not touch in the end.

    Balls of 9 cm around boxes of 5 cm come near the floor before any box lands, so the list of
    candidates overflows while the arena of contacts is empty.
    """
    run = Overflow(1, num_boxes=5, lowest_start=0.12, highest_start=0.125, steps=30)
    first = int(run.tight["invalid"].any(axis=1).argmax())
    heights = run.ample["final"][first, :, 1:16].reshape(-1, 5, 3)[..., 2]
    assert heights.min() > 0.051
    silent = run.differs & ~run.reported_so_far
    assert not silent.any(), np.argwhere(silent)[:5]
    assert not run.differs[:, run.airborne].any()


def test_enough_room_accuses_nobody():
    run = Overflow(10)
    assert not run.tight["invalid"].any()
    assert not run.differs.any()


def test_no_room_declared_does_not_lose_contacts_silently():
    run = Overflow(0, steps=40)
    silent = run.differs & ~run.reported_so_far
    assert not silent.any(), np.argwhere(silent)[:5]
    assert (run.tight["reason"][run.tight["invalid"]] == Invalid.CONTACT_LOST).all()


def test_bare_physics_leaves_no_accusation_behind():
    env = make(Boxes(BoxesConfig(contacts=1, airborne=0)), 2)
    env.reset(seed=0)
    env.bare_physics(20)
    env.reset(seed=0)
    assert not env.step(np.zeros((2, 2), np.float32))[4]["invalid"].any()
    env.close()
