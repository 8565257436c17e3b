"""Runs and studies are found, compared, tagged and pruned, and a policy has a card."""

import hashlib
import json

import pytest
import swept_task
from fake_env import ID

from proveout.envs.core.errors import ConfigError, RunError
from proveout.training.cli import main
from proveout.training.learn.seeds import train_seeds
from proveout.training.learn.settings import TrainConfig
from proveout.training.learn.train import train
from proveout.training.registry import card as cards
from proveout.training.registry.differences import differences
from proveout.training.registry.entries import entries, tag, the_entry
from proveout.training.run.lock import working_on
from proveout.training.sweep import Study, execute, run_study
from proveout.training.tasks import task_class


def quick(runs, **changes):
    settings = {"total_timesteps": 2560, "evaluation_episodes": 10, "video": False}
    return TrainConfig(runs=runs, **{**settings, **changes})


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    import fake_env

    fake_env.install()
    top = tmp_path_factory.mktemp("runs")
    config = task_class(ID).config_class()
    train(ID, config, quick(top, seed=5))
    train_seeds(ID, config, quick(top, hyperparameters=("learning_rate=0.001",)), [0, 1])
    study = Study(env=swept_task.ID, policies=["expert"], episodes=3)
    machine = execute.Machine(num_envs=3, device="cpu", workers=1)
    run_study(study, top / "sweeps" / "first", machine=machine)
    (top / "else").mkdir()
    (top / "else" / "manifest.json").write_text('{"name": "of another program"}')
    return top


def of_kind(folder, kind):
    return [one for one in entries(folder) if one.kind == kind]


def test_all_kinds_are_found(folder):
    found = entries(folder)
    assert sorted(one.kind for one in found) == ["run", "run", "run", "seeds", "sweep"]
    assert all(one.state == "complete" for one in found)
    assert [one.created for one in found] == sorted(one.created for one in found)
    (sweep,) = of_kind(folder, "sweep")
    assert (sweep.env_id, sweep.what) == (swept_task.ID, "3 rows, expert")
    assert of_kind(folder, "seeds")[0].figure.startswith("success ")
    first = of_kind(folder, "run")[0]
    assert (first.what, first.figure[:8]) == ("ppo, seed 5", "success ")


def test_what_cannot_be_read_is_left_out_with_a_warning(folder, tmp_path):
    (tmp_path / "manifest.json").write_text("{")
    with pytest.warns(UserWarning, match=r"left out: .*manifest\.json is not valid JSON"):
        assert entries(tmp_path) == []
    with pytest.raises(RunError, match="is no folder"):
        entries(tmp_path / "none")
    with pytest.raises(RunError, match="is no run, sweep, search"):
        the_entry(folder / "else")


def test_what_differs_is_shown_side_by_side(folder):
    first, second = of_kind(folder, "run")[:2]
    rows = {name: values for name, *values in differences(first, second)}
    assert rows["seed"] == ["5", "0"]
    assert rows["preset.learning_rate"] == ["0.003", "0.001"]
    assert "result.return_mean" in rows
    assert not any("created" in name or "packages" in name for name in rows)
    assert differences(first, first) == []


def test_tags_are_given_and_taken(folder):
    path = of_kind(folder, "run")[0].path
    assert tag(path, ["best", "paper"], []) == ["best", "paper"]
    assert the_entry(path).tags == ("best", "paper")
    assert tag(path, [], ["best", "paper"]) == []
    with pytest.raises(ConfigError, match="has no tag 'best'"):
        tag(path, [], ["best"])
    with pytest.raises(ConfigError, match="without a comma"):
        tag(path, ["a,b"], [])


def test_a_card_tells_where_a_policy_comes_from(folder, monkeypatch):
    run = of_kind(folder, "seeds")[0].path
    one = next(path for path in (run / "fake-Point-v0").iterdir())
    digest = hashlib.sha256((one / "policy.zip").read_bytes()).hexdigest()
    # A sweep that ran this very policy.
    manifest = folder / "sweeps" / "first" / "manifest.json"
    before = manifest.read_text()
    told = json.loads(before)
    told["policies"] = {"somewhere": digest}
    manifest.write_text(json.dumps(told))
    monkeypatch.setattr(cards, "policy_card", lambda run, saved, env: {"env_id": run.env_id})
    path, card = cards.write_card(one, folder)
    manifest.write_text(before)
    assert json.loads(path.read_text())["policy_sha256"] == card["policy_sha256"] == digest
    assert card["lineage"]["part_of"] == [str(run)]
    assert [study["rows"] for study in card["lineage"]["studies"]] == [3]
    assert card["lineage"]["started_from"] == "nothing"
    assert card["cost"]["steps"] >= 2560
    assert card["limits"]["invalid_episodes"] == 0


def test_on_the_command_line(folder, capfd):
    def told(*arguments):
        status = main(["runs", "--runs", str(folder), *map(str, arguments)])
        captured = capfd.readouterr()
        return status, captured.out, captured.err

    status, out, _ = told()
    assert (status, len(out.splitlines())) == (0, 6)
    runs = json.loads(told("--kind", "run", "--env", ID, "--json")[1])["entries"]
    assert [run["what"] for run in runs] == ["ppo, seed 5", "ppo, seed 0", "ppo, seed 1"]
    assert told("--tag", "best", "--of", runs[1]["path"])[0] == 0
    assert len(told("--tagged", "best")[1].splitlines()) == 2
    status, out, _ = told("--diff", runs[1]["path"], runs[2]["path"])
    assert (status, out.splitlines()[1].split()) == (0, ["seed", "0", "1"])
    # The tag keeps its run, and the folder of seeds around it.
    status, out, _ = told("--env", ID, "--prune")
    assert (status, "2 would be deleted" in out) == (0, True)
    assert told("--env", ID, "--prune")[1] == out
    with working_on(of_kind(folder, "run")[2].path):
        status, _, err = told("--env", ID, "--prune", "--yes")
    assert (status, "is being worked on" in err) == (2, True)
    assert told("--env", ID, "--prune", "--yes")[0] == 0
    assert sorted(one.kind for one in entries(folder)) == ["run", "seeds", "sweep"]
    assert told("--untag", "best", "--of", runs[1]["path"])[1].strip().endswith("no tag")
    for arguments, why in [
        (["--prune"], "give one, such as --state failed"),
        (["--kind", "runs"], "did you mean 'run'"),
        (["--tag", "best"], "which one?"),
        (["--card", folder / "none"], "no such folder"),
    ]:
        status, _, err = told(*arguments)
        assert (status, why in err) == (2, True), err
