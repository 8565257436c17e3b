"""Study files: what is wrong in them is named."""

import pytest
import swept_task

from proveout.envs.core.errors import ConfigError, RunError, UnknownNameError
from proveout.training.sweep.execute import check_count
from proveout.training.sweep.plan import Plan, parsed, shown
from proveout.training.sweep.study import Study
from proveout.training.sweep.template import study_template
from proveout.training.tasks import task_class


def study(**changes):
    return Study(**{"env": swept_task.ID, "policies": ["expert"], "episodes": 2, **changes})


def test_a_file_and_python_make_the_same_study(tmp_path):
    path = tmp_path / "study.toml"
    path.write_text(
        f'env = "{swept_task.ID}"\npolicies = ["expert"]\nepisodes = 2\n'
        "[config]\nepisode_seconds = 0.5\n"
        "[parameters.length]\nlow = 0.5\nhigh = 1.0\ncount = 2\n"
        '[parameters."reward_weights.place"]\nvalues = [1.0, 2.0]\n'
    )
    made = study(
        config={"episode_seconds": 0.5},
        parameters={"length": [0.5, 1.0], "reward_weights.place": [1.0, 2.0]},
    )
    assert Study.from_file(path).digest == made.digest
    assert Study.from_dict(made.plain()).digest == made.digest
    assert made.count() == 8


@pytest.mark.parametrize("env_id", [swept_task.ID, "proveout/Reach-v0", "proveout/Highway-v0"])
def test_the_template_is_a_study_that_can_be_planned(tmp_path, env_id):
    path = tmp_path / "study.toml"
    path.write_text(study_template(task_class(env_id), env_id, "study.toml", shipped=False))
    assert Study.from_file(path).count() == 500
    assert len(Plan.of(Study.from_file(path))) == 500


@pytest.mark.parametrize(
    ("text", "error", "told"),
    [
        ("env = 3", ConfigError, "id of an environment"),
        ("episodes = 3", ConfigError, "names its environment"),
        ('env = "a/B-v0"\nepisode = 3', UnknownNameError, "did you mean 'episodes'"),
        ('env = "a/B-v0"\nepisodes = 0', ConfigError, "episodes: a whole number from 1"),
        ('env = "a/B-v0"\nseeds = [1, 1]', ConfigError, "given twice"),
        ('env = "a/B-v0"\n[sampling]\npoint = 2', UnknownNameError, "did you mean 'points'"),
        ("env = ", ConfigError, "is not TOML"),
    ],
)
def test_what_is_wrong_in_a_file_is_named(tmp_path, text, error, told):
    path = tmp_path / "study.toml"
    path.write_text(text)
    with pytest.raises(error, match=told):
        Study.from_file(path)


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(RunError, match=r"none\.toml cannot be read"):
        Study.from_file(tmp_path / "none.toml")


def test_what_the_environment_has_not_is_named():
    with pytest.raises(UnknownNameError, match="did you mean 'length'"):
        Plan.of(study(parameters={"lenght": [1.0]}))
    with pytest.raises(UnknownNameError, match="did you mean 'place'"):
        Plan.of(study(kpis=["plaec"]))
    with pytest.raises(UnknownNameError, match="did you mean 'swept/Line-v0'"):
        Plan.of(study(env="swept/Lin-v0"))
    with pytest.raises(ConfigError, match="takes numbers"):
        Plan.of(study(parameters={"reward_weights.place": ["much"]}))


def test_too_many_rows_are_refused_before_any_is_made():
    large = study(parameters={f"p{i}": list(range(1000)) for i in range(4)})
    with pytest.raises(ConfigError, match=r"2,000,000,000,000 rows .*raise --limit"):
        check_count(large, 10**6)


def test_a_row_keeps_its_id_when_the_study_grows():
    small = Plan.of(study(parameters={"length": [0.5, 1.0]}))
    grown = Plan.of(study(parameters={"length": [0.25, 0.5, 1.0]}, episodes=3, seeds=[0, 1]))

    def ids(plan):
        import numpy as np

        return set(shown(plan.ids(np.arange(len(plan)))))

    assert len(ids(small)) == len(small) == 4
    assert len(ids(grown)) == len(grown) == 18
    assert ids(small) < ids(grown)
    assert shown(parsed(ids(small))) == list(ids(small))
    other = Plan.of(study(parameters={"length": [0.5, 1.0]}, config={"episode_seconds": 0.5}))
    assert not ids(other) & ids(small)


def test_whole_numbers_are_rounded_and_structural_fields_part_groups():
    drawn = study(
        parameters={"decimation": {"low": 1, "high": 4}, "length": [0.5, 1.0]},
        sampling={"points": 8},
    )
    plan = Plan.of(drawn)
    assert {type(v) for v in plan.columns["decimation"]} == {int}
    kinds = set(zip(plan.columns["decimation"], plan.columns["length"], strict=True))
    assert len(plan.groups()) == len(kinds)
