"""A search for hyper-parameters: the preset first, laggards given up, a fair last comparison."""

import json

import numpy as np
import pytest
from fake_env import ID
from scipy import stats

from proveout.envs.core.errors import ConfigError, RunError, UnknownNameError
from proveout.training.cli import main
from proveout.training.evaluation.seeds import difference_of_means
from proveout.training.learn import tune as tuning
from proveout.training.learn.hyperparameters import parse_hyperparameters
from proveout.training.learn.tune import TuneConfig, objective_of, sentence, tune
from proveout.training.presets import make_preset
from proveout.training.presets.algorithms import PRESET_OF
from proveout.training.presets.search import SEARCH, Among, assignments, own_values, search_space
from proveout.training.tasks import task_class

pytest.importorskip("optuna")


def quick(runs, **changes):
    settings = {
        "trials": 2, "total_timesteps": 2048, "looks": 2, "evaluation_episodes": 10,
        "final_seeds": 2, "final_episodes": 10,
    }  # fmt: skip
    return TuneConfig(runs=runs, **{**settings, **changes})


def config():
    return task_class(ID).config_class()


def test_a_search_goes_on_and_compares(tmp_path, capfd):
    told = tune(ID, config(), quick(tmp_path))
    folder = tmp_path / "fake-Point-v0" / "tune-ppo"
    assert json.loads((folder / "tune.json").read_text())["best"] == told["best"]
    assert told["trials"] == {"complete": 2}
    compared = told["comparison"]
    assert len(compared["preset"]) == len(compared["best"]) == 2
    assert compared["difference"] == pytest.approx(
        np.mean(compared["best"]) - np.mean(compared["preset"])
    )
    assert "the preset:" in sentence(told)
    more = tune(ID, config(), quick(tmp_path, trials=3, final_seeds=0))
    assert sum(more["trials"].values()) == 3
    assert more["comparison"] is None
    assert "1 of 3 trials to run" in capfd.readouterr().err
    runs = sorted((folder / "trials" / "fake-Point-v0").iterdir())
    assert len(runs) == 3
    manifest = json.loads((runs[0] / "manifest.json").read_text())
    preset = make_preset("ppo", task_class(ID).presets, {"total_timesteps": 2048}).to_plain()
    assert {name: manifest["preset"][name] for name in preset} == preset  # the first trial
    drawn = [json.loads((run / "manifest.json").read_text())["preset"] for run in runs[1:]]
    assert drawn[0]["learning_rate"] != drawn[1]["learning_rate"]
    assert len(manifest["resumed"]) == 1  # two looks
    assert not (runs[0] / "checkpoints").exists()


def test_a_trial_that_lags_is_given_up(tmp_path, monkeypatch):
    import optuna

    monkeypatch.setattr(optuna.pruners, "MedianPruner", lambda **_: optuna.pruners.ThresholdPruner(
        lower=2.0))  # fmt: skip
    with pytest.raises(RunError, match=r"no trial of .* has come to its end: all were given up"):
        tune(ID, config(), quick(tmp_path, trials=1))


def test_a_trial_that_fails_does_not_end_the_search(tmp_path, monkeypatch):
    train, tried = tuning.train, []

    def failing(*arguments, **options):
        tried.append(arguments)
        if len(tried) == 1:
            raise ConfigError("no memory for so many worlds")
        return train(*arguments, **options)

    monkeypatch.setattr(tuning, "train", failing)
    told = tune(ID, config(), quick(tmp_path, final_seeds=0, looks=1))
    assert told["trials"] == {"pruned": 1, "complete": 1}
    monkeypatch.setattr(tuning, "train", lambda *a, **o: failing(*tried.clear() or a, **o))
    with pytest.raises(RunError, match="no memory for so many worlds"):
        tune(ID, config(), quick(tmp_path, name="other", trials=1))


@pytest.mark.parametrize("algo", sorted({*SEARCH, *PRESET_OF}))
def test_every_space_holds_the_preset_and_only_known_keys(algo):
    preset = make_preset(algo, {})
    space, own = search_space(preset), own_values(preset)
    for name, value in own.items():
        where = space[name]
        inside = value in where.values if isinstance(where, Among) else (
            where.low <= value <= where.high)  # fmt: skip
        assert inside, name
    for end in (0, -1):
        chosen = {
            name: where.values[end] if isinstance(where, Among)
            else (int if where.whole else float)((where.low, where.high)[end])
            for name, where in space.items()
        }  # fmt: skip
        overrides = parse_hyperparameters(assignments(chosen))
        if "n_steps" in overrides and "batch_size" in overrides:
            overrides["batch_size"] = min(overrides["batch_size"], 512 * overrides["n_steps"])
        made = make_preset(algo, {}, overrides).to_plain()
        for name in set(chosen) - {"adaptive_kl", "policy_kwargs.net_arch"}:
            assert made[name] == pytest.approx(overrides[name])


def test_objectives_are_read():
    told = {"success_rate": 0.5, "return_mean": 3.0, "kpis": {"far": {"mean": 2.0}}}
    assert objective_of("success")(told) == 0.5
    assert objective_of("return")(told) == 3.0
    assert objective_of("far:min")(told) == -2.0
    with pytest.raises(UnknownNameError, match="did you mean 'far'"):
        objective_of("fare:max")(told)
    with pytest.raises(ConfigError, match="NAME:max or NAME:min expected"):
        objective_of("far")


def test_differences_are_those_of_welch():
    draw = np.random.default_rng(0)
    first, second = draw.normal(1.0, 1.0, 6), draw.normal(0.0, 3.0, 4)
    wanted = stats.ttest_ind(first, second, equal_var=False).confidence_interval()
    difference, interval = difference_of_means(first, second)
    assert difference == pytest.approx(first.mean() - second.mean())
    assert interval == pytest.approx([wanted.low, wanted.high])
    assert difference_of_means([1.0], [0.0, 1.0])[1] is None
    assert difference_of_means([1.0, 1.0], [0.5, 0.5]) == (0.5, [0.5, 0.5])


def test_on_the_command_line(tmp_path, capfd):
    flags = ["--total-timesteps", "1024", "--looks", "1", "--evaluation-episodes", "5"]
    status = main(
        ["tune", ID, "--trials", "1", "--final-seeds", "0", *flags, "--runs", str(tmp_path)]
    )
    assert status == 0
    assert "--hyperparameters learning_rate=" in capfd.readouterr().out
    for more, told in [
        (["--algo", "pop"], "did you mean 'ppo'"),
        (["--objective", "far"], "NAME:max or NAME:min expected"),
        (["--address", "auto"], "belongs to the engine ray"),
        (["--trials", "0"], "at least 1"),
    ]:
        assert main(["tune", ID, *more, "--runs", str(tmp_path)]) == 2
        assert told in capfd.readouterr().err
