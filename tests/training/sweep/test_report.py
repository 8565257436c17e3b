"""The report: one file without a network, which a browser draws."""

import json
import re
import shutil
import subprocess

import pytest
import swept_task

from proveout.envs.core.errors import ConfigError, UnknownNameError
from proveout.training.sweep import Study, execute, read_results, run_study
from proveout.training.sweep.report import report_page, write_report

pytest.importorskip("jinja2")
pytest.importorskip("plotly")
CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)


@pytest.fixture(scope="module")
def sweep(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sweep <b>")
    study = Study(
        env=swept_task.ID,
        policies=["expert"],
        episodes=4,
        parameters={"reward_weights.place": [1.0, 2.0, 1e39], "length": [0.5, 1.0]},
    )
    machine = execute.Machine(num_envs=8, device="cpu", workers=1)
    run_study(study, folder, machine=machine)
    return folder


def data_of(page):
    return json.loads(re.search(r"^const data = (.*);$", page, re.MULTILINE)[1])


def test_it_holds_what_the_sweep_found(sweep):
    page = report_page(sweep)
    data = data_of(page)
    table = read_results(sweep)
    assert len(data["rows"]) == 24
    assert [row[0] for row in data["rows"][:8]] == table.column("row").to_pylist()[16:]
    assert all("at most 3.403e+38" in row[5] for row in data["rows"][:8])  # invalid ones first
    assert len(data["cells"]) == 6
    assert data["pareto"][1] == {"name": "success", "good": "max"}
    first = data["effects"]["far"]["length"]["expert"][0]
    assert first["value"] == 0.5
    assert first["rows"] == 8
    assert page.index('id="invalid"') < page.index('id="effects"')
    assert "8 invalid rows" in page
    assert "replay '" in data["replay"]  # the folder has a space


def test_it_needs_no_network_and_texts_are_escaped(sweep):
    page = report_page(sweep)
    own = re.sub(r"<script>.*?</script>", "", page, count=1, flags=re.DOTALL)
    assert not re.search(r"(?:src|href)=", own)
    assert "<b>'" not in own
    assert "\\u003cb>" in own


def test_what_is_asked_wrongly_is_named(sweep):
    with pytest.raises(UnknownNameError, match="did you mean 'far'"):
        report_page(sweep, pareto=("fra:min", "success:max"))
    with pytest.raises(ConfigError, match="NAME:min or NAME:max"):
        report_page(sweep, pareto=("far", "success:max"))
    page = report_page(sweep, pareto=("far:max", "success:max"))
    assert data_of(page)["pareto"][0] == {"name": "far", "good": "max"}


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium")
def test_a_browser_draws_it_without_an_error(sweep, tmp_path):
    path = write_report(sweep, tmp_path / "report.html")
    dom = subprocess.run(
        [CHROMIUM, "--headless=new", "--no-sandbox", "--disable-gpu",
         "--host-rules=MAP * ~NOTFOUND",
         f"--user-data-dir={tmp_path / 'profile'}", "--virtual-time-budget=20000", "--dump-dom",
         path.as_uri()],
        capture_output=True, text=True, timeout=120, check=True,
    ).stdout  # fmt: skip
    assert 'data-drawn="yes"' in dom  # the last line of the script
    assert dom.count('class="main-svg"') >= 8
    assert "24 of 24" in dom
