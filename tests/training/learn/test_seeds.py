"""A training from several seeds: a run for each, on again after a stop, summed up."""

import json

import numpy as np
import pytest
from fake_env import ID
from scipy import stats

from proveout.envs.core.errors import ConfigError, RunError
from proveout.training.cli import main
from proveout.training.evaluation import seeds as sums
from proveout.training.learn import seeds as learn_seeds
from proveout.training.learn.seeds import parse_seeds, resume_seeds, train_seeds
from proveout.training.learn.settings import TrainConfig
from proveout.training.learn.train import TrainingInterrupted
from proveout.training.run.seed_folder import SeedFolder
from proveout.training.tasks import task_class


def quick(runs, **changes):
    settings = {"total_timesteps": 2560, "evaluation_episodes": 20, "video": False}
    return TrainConfig(runs=runs, **{**settings, **changes})


def config():
    return task_class(ID).config_class()


@pytest.mark.parametrize(
    ("text", "seeds"),
    [("0..3", [0, 1, 2, 3]), ("7", [7]), ("0,3,7", [0, 3, 7]), ("0..1, 5", [0, 1, 5])],
)
def test_seeds_are_read(text, seeds):
    assert parse_seeds(text) == seeds


@pytest.mark.parametrize("text", ["", "3..1", "a", "1,1", "0..5000", "-1", "1..", "0..1..2"])
def test_what_is_no_seed_is_refused(text):
    with pytest.raises(ConfigError, match="seeds"):
        parse_seeds(text)


def test_each_seed_has_a_run_and_they_are_summed_up(tmp_path):
    group = train_seeds(ID, config(), quick(tmp_path), [4, 2, 3])
    assert group.folder.parent == tmp_path / "fake-Point-v0"
    runs = group.runs()
    assert {seed: run.manifest["seed"] for seed, run in runs.items()} == {2: 2, 3: 3, 4: 4}
    assert all(run.manifest["state"] == "complete" for run in runs.values())
    told = json.loads((group.folder / "summary.json").read_text())
    rates = [runs[seed].evaluation()["success_rate"] for seed in (2, 3, 4)]
    assert [run["success_rate"] for run in told["runs"]] == rates
    figure = told["figures"]["success"]
    assert figure["mean"] == pytest.approx(np.mean(rates))
    low, high = figure["interval"]
    assert figure["lowest"] - 1e-9 <= low <= high <= figure["highest"] + 1e-9
    lines = learn_seeds.summary_lines(told)
    assert lines[0].startswith("Over 3 seeds")


def test_a_stop_is_gone_on_from(tmp_path, monkeypatch):
    train = learn_seeds.train

    def stopping(env_id, config, settings, *, argv=()):
        run = train(env_id, config, settings, argv=argv)
        if settings.seed == 1:
            run.update(state="interrupted")
            (run.folder / "policy.zip").unlink()
            raise TrainingInterrupted(run, 2, "proveout train --resume ONE")
        return run

    monkeypatch.setattr(learn_seeds, "train", stopping)
    with pytest.raises(TrainingInterrupted, match=r"--resume .*-seeds0-2"):
        train_seeds(ID, config(), quick(tmp_path), [0, 1, 2])
    (folder,) = (tmp_path / "fake-Point-v0").iterdir()
    monkeypatch.undo()
    assert sorted(SeedFolder.open(folder).runs()) == [0, 1]
    assert main(["train", "--resume", str(folder)]) == 0
    group = SeedFolder.open(folder)
    assert sorted(group.runs()) == [0, 1, 2]
    whole = train_seeds(ID, config(), quick(tmp_path / "whole"), [0, 1, 2])
    for seed, run in whole.runs().items():
        own, other = run.evaluation(), group.runs()[seed].evaluation()
        assert own["return_mean"] == other["return_mean"]
    before = (folder / "summary.json").read_text()
    resume_seeds(folder)
    assert (folder / "summary.json").read_text() == before


def test_on_the_command_line(tmp_path, capfd):
    flags = ["--total-timesteps", "2560", "--evaluation-episodes", "10", "--no-video"]
    status = main(["train", ID, "--seeds", "0..1", *flags, "--runs", str(tmp_path)])
    err = capfd.readouterr().err
    assert status == 0
    assert "Seed 1, 2 of 2" in err
    assert "Over 2 seeds: interquartile mean" in err
    for more, told in [
        (["--seeds", "0..1", "--seed", "3"], "do not go together"),
        (["--seeds", "x"], "0..9 or 0,3,7 expected"),
        (["--seeds"], "needs seeds"),
    ]:
        assert main(["train", ID, *more]) == 2
        assert told in capfd.readouterr().err


def test_a_damaged_folder_is_named(tmp_path):
    (tmp_path / "seeds.json").write_text('{"env_id": "fake/Point-v0"}')
    with pytest.raises(RunError, match="'algo' is missing or wrong"):
        SeedFolder.open(tmp_path)
    with pytest.raises(RunError, match=r"has no seeds\.json"):
        SeedFolder.open(tmp_path / "none")


def test_interquartile_means_are_those_of_scipy():
    draw = np.random.default_rng(0).normal(size=(5, 11))
    wanted = stats.trim_mean(draw, 0.25, axis=-1)
    np.testing.assert_allclose(sums.interquartile_mean(draw), wanted, rtol=1e-12)
    # One run that failed does not move it.
    told = sums.interquartile_mean(np.array([1.0, 1.0, 1.0, 1.0, -1000.0]))
    assert told == 1.0


def test_intervals_cover_the_truth_about_as_often_as_they_say():
    draw = np.random.default_rng(1).normal(size=(300, 10))
    low, high = sums.iqm_interval(draw).T
    covered = ((low < 0.0) & (high > 0.0)).mean()
    # The percentile bootstrap of ten runs is known to be somewhat narrow.
    assert 0.85 < covered < 0.98


def test_curves_are_read_at_the_same_samples():
    x = np.arange(0.0, 11.0)
    told = sums.curve_over_seeds([(x, x), (x[1:], 2.0 * x[1:]), (x[:-1], 3.0 * x[:-1])], points=9)
    assert told["samples"] == pytest.approx(list(range(1, 10)))
    assert told["iqm"] == pytest.approx([2.0 * n for n in range(1, 10)])
    assert told["low"][0] == pytest.approx(1.0)
    assert told["high"][0] == pytest.approx(3.0)
    assert sums.curve_over_seeds([(x, x)])["low"] == []
    assert sums.curve_over_seeds([])["samples"] == []
