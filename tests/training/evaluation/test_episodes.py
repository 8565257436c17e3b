"""The table of episodes: every row is what happened, and runs again."""

from __future__ import annotations

import csv
import dataclasses
import json
import re
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import gymnasium
import numpy as np
import pyarrow.parquet
import pytest
from fake_env import ID, PointConfig, PointExpert, PointTask, PointVectorEnv

from proveout.envs.core.errors import ConfigError
from proveout.envs.core.task import Kpi
from proveout.training.cli.program import main
from proveout.training.evaluation.episodes import statistic_columns
from proveout.training.evaluation.evaluate import evaluate, evaluate_episodes
from proveout.training.evaluation.policy_source import PolicySource, expert, load_policy
from proveout.training.tasks import VectorEnvSpec, task_class

REACH = {
    "episode_seconds": 0.5,
    "randomization": {
        "joint_damping": {"low": 0.5, "high": 2.0},
        "joint_position_noise": {"high": 0.01},
    },
}
HIGHWAY = {"episode_seconds": 4.0, "gap": 15.0}


def configured(env_id: str, config: dict[str, Any]) -> Any:
    return task_class(env_id).config_class.from_dict(config)


def run_again(
    env_id: str, config: dict[str, Any], row: dict[str, Any], make_policy: Callable[[Any], Any]
) -> dict[str, Any]:
    """The statistics of an episode in an environment of one world."""
    env = gymnasium.make_vec(env_id, num_envs=1, config=config, device="cpu", workers=1)
    keys = {"world_ids": np.array([row["world"]]), "episodes": np.array([row["episode"]])}
    observation, _ = env.reset(seed=row["seed"], options=keys)
    policy = make_policy(env)
    over = False
    while not over:
        observation, _, terminated, truncated, info = env.step(policy.predict(observation))
        over = bool(terminated[0] or truncated[0])
    env.close()
    statistics = {name: float(values[0]) for name, values in info["episode_statistics"].items()}
    return {"terminated": bool(terminated[0]), **statistics}


@pytest.mark.parametrize(
    ("env_id", "config"), [("proveout/Reach-v0", REACH), ("proveout/Highway-v0", HIGHWAY)]
)
def test_any_row_runs_again_alone_bit_for_bit(env_id: str, config: dict[str, Any]) -> None:
    spec = VectorEnvSpec(env_id, configured(env_id, config), num_envs=4, device="cpu", workers=1)
    result, table = evaluate_episodes(PolicySource("expert"), spec, episodes=11, seed=5)
    rows = table.rows()
    assert [(row["world"], row["episode"]) for row in rows] == [
        (world, episode) for world in range(4) for episode in range(2 if world == 3 else 3)
    ]
    assert result["return_mean"] == pytest.approx(np.mean([row["return"] for row in rows]))
    for row in (rows[0], rows[4], rows[10]):
        again = run_again(env_id, config, row, expert)
        for name, value in again.items():
            assert row[name] == (None if not np.isfinite(value) else value), name


def test_rows_of_a_network_run_again_in_a_batch_of_the_same_size() -> None:
    """A matrix product of one row may be rounded differently from that of many."""
    env_id = "proveout/Reach-v0"
    spec = VectorEnvSpec(env_id, configured(env_id, REACH), num_envs=8, device="cpu", workers=1)
    _, table = evaluate_episodes(PolicySource("pretrained"), spec, episodes=16, seed=2)
    row = table.rows()[-1]

    class InItsPlace:
        def __init__(self, env: Any) -> None:
            self._policy = load_policy(PolicySource("pretrained"), env)

        def predict(self, observation: np.ndarray) -> np.ndarray:
            batch = np.zeros((8, observation.shape[1]), np.float32)
            batch[row["world"]] = observation[0]
            return self._policy.predict(batch)[row["world"] : row["world"] + 1]

    assert run_again(env_id, REACH, row, InItsPlace)["return"] == row["return"]


def test_invalid_episodes_are_rows_without_statistics() -> None:
    spec = VectorEnvSpec(ID, PointConfig(invalid_world=1), num_envs=4)
    result, table = evaluate_episodes(PointExpert(), spec, episodes=12, seed=9)
    rows = table.rows()
    assert (len(rows), len(table), result["episodes"]) == (12, 12, 9)
    for row in rows:
        assert row["seed"] == 9
        statistics = {k: v for k, v in row.items() if k not in ("seed", "world", "episode")}
        if row["world"] == 1:
            assert statistics.pop("valid") is False
            assert statistics.pop("reason") == "contact lost (arena full)"
            assert set(statistics.values()) == {None}
        else:
            assert (row["valid"], row["reason"], row["success"]) == (True, None, True)
            assert (row["length"], row["terminated"]) == (20, False)
            assert row["undefined"] is None
            assert row["reward/distance"] > 0.0


def test_what_was_drawn_for_an_invalid_episode_is_kept() -> None:
    """It may be why: a joint that is damped so little that no time step is small enough."""
    _, table = evaluate_episodes(PointExpert(), VectorEnvSpec(ID, num_envs=2), episodes=2)
    drawn = dataclasses.replace(table.columns[-1], name="randomization/mass")
    invalid = dataclasses.replace(
        table,
        valid=np.array([True, False]),
        reason=np.array([0, 1]),
        columns=(*table.columns[:-1], drawn),
        statistics=np.full_like(table.statistics, 2.0),
    )
    first, second = invalid.rows()
    assert (first["randomization/mass"], second["randomization/mass"]) == (2.0, 2.0)
    assert (first["return"], second["return"]) == (2.0, None)


def test_both_files_hold_what_the_rows_say(tmp_path: Path) -> None:
    spec = VectorEnvSpec(ID, PointConfig(invalid_world=1), num_envs=4)
    _, table = evaluate_episodes(PointExpert(), spec, episodes=8)
    rows = table.rows()
    for name in ("made/for/it/e.csv", "e.parquet"):
        result = evaluate(PointExpert(), spec, episodes=8, episodes_out=tmp_path / name)
        assert result["episodes"] == 6

    stored = pyarrow.parquet.read_table(tmp_path / "e.parquet")
    assert stored.to_pylist() == rows
    schema = stored.schema
    units = {field.name: field.metadata[b"unit"].decode() for field in schema}
    assert units["final_distance"] == "m"
    assert units["reward/distance"] == "m", "the inverse of the weight's unit"
    assert (units["reward/effort"], units["length"], units["return"]) == ("1", "steps", "1")
    about = schema.field("final_distance").metadata[b"description"].decode()
    assert about == "distance to the goal at the end (last over the episode)"
    assert schema.metadata[b"env_id"].decode() == ID
    assert json.loads(schema.metadata[b"config"])["invalid_world"] == 1

    with (tmp_path / "made/for/it/e.csv").open(newline="") as file:
        texts = list(csv.DictReader(file))
    assert list(texts[0]) == list(rows[0])
    for text, row in zip(texts, rows, strict=True):
        assert text["valid"] == str(row["valid"])
        for name in ("return", "final_distance", "reward/effort"):
            read = np.float32(text[name]) if text[name] else None
            assert read == row[name], "the text of a float32 gives the same float32"
    assert not list(tmp_path.rglob(".*")), "no temporary file is left"


@pytest.mark.parametrize(
    ("path", "named"),
    [
        ("e.xlsx", "ends in .csv or .parquet"),
        ("e", "ends in .csv or .parquet"),
        ("folder.csv", "folder.csv is a folder; name a file in it"),
        ("", "is a folder"),
        ("file/e.csv", "cannot be written"),
        ("a" * 255 + ".csv", "File name too long"),
    ],
)
def test_a_place_that_cannot_be_written_is_refused_before_any_episode(
    path: str,
    named: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "folder.csv").mkdir()
    (tmp_path / "file").write_text("")
    before = sorted(tmp_path.rglob("*"))

    def stepped(*_: object) -> None:
        raise AssertionError("an episode has begun")

    monkeypatch.setattr(PointVectorEnv, "step", stepped)
    with pytest.raises(ConfigError, match=re.escape(named)):
        evaluate(PointExpert(), VectorEnvSpec(ID), episodes=4, episodes_out=tmp_path / path)
    flags = ["--policy", "expert", "--episodes", "4", "--episodes-out", str(tmp_path / path)]
    assert main(["evaluate", ID, *flags]) == 2
    (told,) = capfd.readouterr().err.splitlines()
    assert told.startswith("proveout: error: ")
    assert str(tmp_path / path) in told
    assert named in told
    assert sorted(tmp_path.rglob("*")) == before


def test_a_disk_that_is_full_at_the_end_does_not_cost_the_result(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("proveout.training.evaluation.episodes.Episodes._write_csv", full)
    path = tmp_path / "e.csv"
    with pytest.raises(ConfigError, match=r"No space left on device.*Success 1\.000"):
        evaluate(PointExpert(), VectorEnvSpec(ID), episodes=4, episodes_out=path)
    assert not list(tmp_path.iterdir())


def test_a_kpi_with_the_name_of_a_column_is_refused() -> None:
    task = PointTask(None)
    task.kpis = (Kpi("world", "m", "last", "which"),)
    env = SimpleNamespace(unwrapped=SimpleNamespace(task=task, statistics=(("world", "m"),)))
    with pytest.raises(ConfigError, match=r"two columns .* 'world'; give the KPI another name"):
        statistic_columns(env)


def test_the_command_writes_the_table_beside_its_json(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "e.csv"
    flags = ["--policy", "expert", "--episodes", "6", "--episodes-out", str(path)]
    assert main(["evaluate", ID, *flags, "--json"]) == 0
    out = capfd.readouterr().out
    assert json.loads(out)["episodes"] == 6
    assert len(path.read_text().splitlines()) == 7
    assert main(["evaluate", ID, *flags]) == 0
    assert f"Episodes: {path}" in capfd.readouterr().out
