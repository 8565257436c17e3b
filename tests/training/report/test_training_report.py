"""The report of a training: one file without a network, which a browser draws."""

import csv
import json
import re
import shutil
import subprocess

import pytest
from fake_env import ID

from proveout.envs.core.errors import RunError
from proveout.training.cli import main
from proveout.training.learn.seeds import train_seeds
from proveout.training.learn.settings import TrainConfig
from proveout.training.report.training import training_page, write_training_report
from proveout.training.tasks import task_class

pytest.importorskip("jinja2")
pytest.importorskip("plotly")
CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)


@pytest.fixture(scope="module")
def group(tmp_path_factory):
    import fake_env

    fake_env.install()
    runs = tmp_path_factory.mktemp("runs <b>")
    settings = TrainConfig(runs=runs, total_timesteps=5120, evaluation_episodes=10, video=False)
    return train_seeds(ID, task_class(ID).config_class(), settings, [0, 1, 2])


def data_of(page):
    return json.loads(re.search(r"^const data = (.*);$", page, re.MULTILINE)[1])


def test_curves_are_those_of_the_log(group):
    run = group.runs()[1]
    with (run.folder / "progress.csv").open(newline="") as file:
        lines = list(csv.DictReader(file))
    data = data_of(training_page(run.folder))
    assert data["first"] == ["success", "return"]
    curve = next(one for one in data["curves"] if one["name"] == "return")
    (line,) = curve["runs"]
    assert line["name"] == "seed 1"
    logged = [row for row in lines if row["episode/return"]]
    assert line["x"] == [float(row["time/total_timesteps"]) for row in logged]
    assert line["y"] == pytest.approx([float(row["episode/return"]) for row in logged], rel=1e-4)
    assert "train/loss" in [one["name"] for one in data["curves"]]


def test_seeds_are_summed_up(group):
    page = training_page(group.folder)
    data = data_of(page)
    curve = next(one for one in data["curves"] if one["name"] == "success")
    assert [line["name"] for line in curve["runs"]] == ["seed 0", "seed 1", "seed 2"]
    assert len(curve["all"]["low"]) == len(curve["all"]["iqm"]) > 2
    told = json.loads((group.folder / "summary.json").read_text())["figures"]["return"]
    assert f"{told['iqm']:.4g}</td>" in page
    assert "with\n  its 95 % bootstrap interval" in page
    assert "Not finished" not in page
    assert "A million steps:" in page


def test_it_needs_no_network_and_texts_are_escaped(group):
    page = training_page(group.folder)
    own = re.sub(r"<script>.*?</script>", "", page, count=1, flags=re.DOTALL)
    assert not re.search(r"(?:src|href)=", own)
    assert "runs &lt;b&gt;" in own
    assert "<b>0/" not in own


def test_a_video_is_in_the_page(group):
    run = group.runs()[0]
    (run.folder / "video.mp4").write_bytes(b"moving")
    assert 'src="data:video/mp4;base64,bW92aW5n"' in training_page(run.folder)
    (run.folder / "video.mp4").unlink()


def test_what_is_not_finished_says_so(group, tmp_path):
    folder = tmp_path / "cut"
    shutil.copytree(group.runs()[2].folder, folder)
    manifest = json.loads((folder / "manifest.json").read_text())
    (folder / "manifest.json").write_text(json.dumps({**manifest, "state": "interrupted"}))
    for name in ("policy.zip", "evaluation.json"):
        (folder / name).unlink()
    # The last line was cut off by a kill.
    text = (folder / "progress.csv").read_text()
    (folder / "progress.csv").write_text(text[:-20])
    page = training_page(folder)
    assert "The run is interrupted." in page
    assert f"proveout train --resume {folder}" in page
    (folder / "progress.csv").unlink()
    assert "Nothing has been logged yet" in training_page(folder)


def test_on_the_command_line(group, tmp_path, capfd):
    out = tmp_path / "told.html"
    assert main(["report", str(group.folder), "--out", str(out)]) == 0
    assert out.is_file()
    assert main(["report", str(tmp_path)]) == 2
    assert "is no run, sweep, search or folder of seeds" in capfd.readouterr().err
    assert main(["report"]) == 2
    with pytest.raises(RunError, match="no such folder"):
        write_training_report(tmp_path / "none", out)


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium")
def test_a_browser_draws_it_without_an_error(group, tmp_path):
    path = write_training_report(group.folder, tmp_path / "report.html")
    dom = subprocess.run(
        [CHROMIUM, "--headless=new", "--no-sandbox", "--disable-gpu",
         "--host-rules=MAP * ~NOTFOUND",
         f"--user-data-dir={tmp_path / 'profile'}", "--virtual-time-budget=20000", "--dump-dom",
         path.as_uri()],
        capture_output=True, text=True, timeout=120, check=True,
    ).stdout  # fmt: skip
    assert 'data-drawn="yes"' in dom  # the last line of the script
    assert dom.count('class="main-svg"') >= 6
