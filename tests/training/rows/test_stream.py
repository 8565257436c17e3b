"""Rows stream through worlds: each comes out once, with the bits of the row alone."""

from types import SimpleNamespace

import numpy as np
import pytest
import swept_task

from proveout.training.rows.stream import RowStream, Starts
from proveout.training.tasks import VectorEnvSpec, make_vector_env

BAD = 1e39  # beyond float32: no weight


class Table:
    """Row r: world 7 r, episode r, and a weight of its own by its kind."""

    def __init__(self, weights):
        self.weights = np.array(weights, float)

    def starts(self, rows):
        kind = rows % len(self.weights)
        return Starts(
            seed=(rows // 50).astype(np.uint64),
            world_id=(7 * rows).astype(np.int32),
            episode=rows.astype(np.int32),
            kind=kind,
            config={"reward_weights.place": self.weights[kind]},
            parameters={},
        )


def run(num_envs, rows, weights=(1.0, 2.0, 3.0), act=None, workers=1):
    config = swept_task.LineConfig()
    env = make_vector_env(
        VectorEnvSpec(swept_task.ID, config, num_envs=num_envs, device="cpu", workers=workers)
    )
    act = act or swept_task.LineExpert().predict
    ended = list(RowStream(env, act, Table(weights), np.asarray(rows)))
    env.close()
    return SimpleNamespace(
        order=np.concatenate([batch.row for batch in ended]).tolist(),
        valid={int(r): bool(v) for b in ended for r, v in zip(b.row, b.valid, strict=True)},
        reason={int(r): why for b in ended for r, why in zip(b.row, b.reason, strict=True)},
        values={int(r): s for b in ended for r, s in zip(b.row, b.statistics, strict=True)},
    )


def test_every_row_comes_out_once_and_short_ones_do_not_wait():
    told = run(8, range(200))
    assert sorted(told.order) == list(range(200))
    assert told.order != sorted(told.order)
    assert all(told.valid.values())


@pytest.mark.parametrize("num_envs", [1, 64, 4096])
def test_a_row_has_the_same_bits_in_every_batch(num_envs):
    wanted = run(5, range(40)).values
    rows = range(max(40, num_envs // 2)) if num_envs > 1 else (3, 17, 39)
    told = run(num_envs, rows).values
    for row in set(wanted) & set(told):
        np.testing.assert_array_equal(wanted[row], told[row])


def test_rows_that_the_config_refuses_say_why_and_the_rest_runs():
    told = run(6, range(100), weights=(1.0, BAD, 3.0, -BAD))
    assert sorted(told.order) == list(range(100))
    for row in range(100):
        assert told.valid[row] == (row % 2 == 0)
        assert ("at most 3.403e+38" in told.reason[row]) == (row % 2 == 1)
    wanted = run(6, range(0, 100, 4), weights=(1.0, BAD, 3.0, -BAD))
    for row in range(0, 100, 4):
        np.testing.assert_array_equal(told.values[row], wanted.values[row])


def test_all_rows_can_be_refused():
    told = run(4, range(10), weights=(BAD,))
    assert sorted(told.order) == list(range(10))
    assert not any(told.valid.values())


def test_an_action_that_is_no_number_spoils_its_row_alone():
    def act(observation):
        actions = swept_task.LineExpert().predict(observation)
        actions[observation[:, 1] > 0.9] = np.nan
        return actions

    told, clean = run(8, range(60), act=act), run(8, range(60))
    bad = [row for row, valid in told.valid.items() if not valid]
    assert 0 < len(bad) < 40
    assert {told.reason[row] for row in bad} == {"non-finite action"}
    for row in set(range(60)) - set(bad):
        np.testing.assert_array_equal(told.values[row], clean.values[row])
