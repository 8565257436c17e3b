"""Studies that come with the package can be run as they are."""

import pytest

from proveout.assets.studies import FOLDER, shipped_study, study_names
from proveout.training.cli import main
from proveout.training.cli.sweep import HELP
from proveout.training.sweep.plan import Plan
from proveout.training.sweep.study import Study


@pytest.mark.parametrize("name", study_names())
def test_each_can_be_planned(name):
    plan = Plan.of(Study.from_file(shipped_study(name)))
    assert 1000 < len(plan) < 100_000
    groups = plan.groups()
    assert len(groups) == 1  # one model, so that worlds stream
    assert groups[0].config is not None
    told = (FOLDER / f"{name}.toml").read_text()
    assert f"proveout sweep {name}`" in told
    assert name in HELP.text


def test_others_are_none(tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    assert shipped_study("../highway-traffic") is None
    assert main(["sweep", "highway"]) == 2
    assert "neither a run directory" in capfd.readouterr().err
    assert main(["sweep", "highway-traffic", "--limit", "10"]) == 2
    assert "20,000 rows" in capfd.readouterr().err
