"""Sweeps of the tasks that ship: numbers, physics, noise and latency, replayed to the bit."""

import numpy as np
import pytest

from proveout.training.sweep import Study, execute, read_results, replay, run_study

MACHINE = execute.Machine(num_envs=12, device="cpu", workers=1)


def run(folder, **study):
    told = run_study(Study(**study), folder, machine=MACHINE)
    return told, read_results(folder)


def test_reach_over_config_and_physics(tmp_path):
    told, table = run(
        tmp_path,
        env="proveout/Reach-v0",
        config={"episode_seconds": 1.0},
        parameters={
            "max_increment": [0.06, 0.2, -1.0],
            "joint_damping": [0.5, 8.0, -2.0],
            "latency": {"values": [0.0, 0.12], "when": {"joint_damping": [0.5]}},
            "joint_position_noise": [0.0, 0.05],
        },
        episodes=2,
    )
    cells = 3 * (2 + 1 + 1) * 2  # latency doubles the points with the first damping alone
    assert told["rows"] == 2 * cells
    valid = np.array(table.column("valid").to_pylist())
    increment = table.column("parameter/max_increment").to_numpy()
    damping = table.column("parameter/joint_damping").to_numpy()
    np.testing.assert_array_equal(valid, (increment > 0) & (damping > 0))
    # What was asked for is what the worlds had.
    for name in ("joint_damping", "latency", "joint_position_noise"):
        asked = table.column(f"parameter/{name}").to_pylist()
        had = table.column(f"randomization/{name}").to_pylist()
        for a, h, v in zip(asked, had, valid, strict=True):
            if v:
                assert h == pytest.approx(0.0 if a is None else a)
    reasons = set(table.column("reason").to_pylist()) - {None}
    assert any("turns the sign of joint_damping" in reason for reason in reasons)
    assert any("max_increment must be greater than 0" in reason for reason in reasons)
    for row in np.array(table.column("row").to_pylist())[valid][::5]:
        assert replay(tmp_path, str(row))["different"] == []


def test_highway_over_traffic_with_two_policies(tmp_path):
    told, table = run(
        tmp_path,
        env="proveout/Highway-v0",
        config={"episode_seconds": 3.0},
        policies=["pretrained", "expert"],
        parameters={"gap": [20.0, 50.0], "reward_weights.alive": [0.0, 1.0], "num_agents": [2, 16]},
        episodes=2,
    )
    assert (told["rows"], told["invalid"]) == (32, 0)
    key = ("parameter/gap", "parameter/num_agents", "parameter/reward_weights.alive", "episode")
    rows = {(r["policy"], *(r[name] for name in key)): r for r in table.to_pylist()}
    # Both policies begin in the same states.
    for (policy, *point), row in rows.items():
        if policy == "expert":
            other = rows[("pretrained", *point)]
            assert (row["world"], row["seed"]) == (other["world"], other["seed"])
    for row in table.column("row").to_pylist()[::7]:
        assert replay(tmp_path, row)["different"] == []
