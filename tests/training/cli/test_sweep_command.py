"""`proveout sweep` on the command line: a study without a file, from one, on again, replayed."""

import json

import pytest
import swept_task

from proveout.training.cli import main
from proveout.training.sweep import read_results

SMALL = ["--policy", "expert", "--episodes", "3", "--workers", "1", "--num-envs", "4"]
VARY = ["--vary", "reward_weights.place=1,2", "--vary=length=0.5:1:2"]


def run(capfd, *arguments):
    status = main(["sweep", *map(str, arguments)])
    told = capfd.readouterr()
    return status, told.out, told.err


def test_a_study_without_a_file_goes_on_and_replays(capfd, tmp_path):
    folder = tmp_path / "sweep"
    status, out, _ = run(capfd, swept_task.ID, *VARY, *SMALL, "--out", folder)
    assert status == 0
    assert out.count("over 3 rows") == 4
    assert "12 rows in" in out
    status, out, err = run(capfd, "--resume", folder, "--workers", "1", "--json")
    assert json.loads(out)["run"] == 0
    assert "12 of 12 rows are there" in err
    row = read_results(folder).column("row")[5].as_py()
    status, out, _ = run(capfd, "replay", folder, "--row", row)
    assert (status, "The same bits as in the sweep." in out) == (0, True)
    status, out, _ = run(capfd, "report", folder)
    assert (status, (folder / "report.html").is_file()) == (0, True)


def test_rows_are_asked_by_sql_and_none_is_written(capfd, tmp_path):
    pytest.importorskip("duckdb")
    folder = tmp_path / "sweep"
    run(capfd, swept_task.ID, *VARY, *SMALL, "--out", folder)
    sql = 'select "parameter/length" as length, count(*) as n from rows group by all order by 1'
    status, out, _ = run(capfd, "query", folder, sql)
    assert (status, out.split()) == (0, ["length", "n", "0.5", "6", "1", "6"])
    wanted = {"rows": [{"length": 0.5, "n": 6}, {"length": 1.0, "n": 6}]}
    assert json.loads(run(capfd, "query", folder, sql, "--json")[1]) == wanted
    assert run(capfd, "query", folder, sql, "--out", tmp_path / "told.csv")[0] == 0
    assert (tmp_path / "told.csv").read_text().splitlines()[0] == '"length","n"'
    for bad, told in [
        ("delete from rows", "one statement that reads"),
        ("select 1; select 2", "one statement that reads"),
        (f"copy rows to '{tmp_path / 'stolen.csv'}'", "one statement that reads"),
        (f"select * from read_csv('{tmp_path / 'told.csv'}')", "DuckDB refuses"),
        ("select nothing from rows", "DuckDB refuses"),
        ("select", "DuckDB refuses"),
    ]:
        status, _, err = run(capfd, "query", folder, bad)
        assert (status, told in err) == (2, True), (bad, err)
    assert not (tmp_path / "stolen.csv").exists()


def test_the_same_command_finds_its_folder(capfd, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    first = json.loads(run(capfd, swept_task.ID, *VARY, *SMALL, "--json")[1])
    again = json.loads(run(capfd, swept_task.ID, *VARY, *SMALL, "--json")[1])
    assert first["folder"] == again["folder"]
    assert (first["run"], again["run"]) == (12, 0)
    flags = ("--env.episode-seconds", "0.5")
    other = json.loads(run(capfd, swept_task.ID, *VARY, *SMALL, *flags, "--json")[1])
    assert other["folder"] != first["folder"]


def test_a_study_file_is_written_and_run(capfd, tmp_path):
    path = tmp_path / "study.toml"
    assert run(capfd, "init", swept_task.ID, "--out", path)[0] == 0
    text = path.read_text()
    path.write_text(text.replace("episodes = 100", "episodes = 1"))
    status, out, _ = run(capfd, path, "--out", tmp_path / "sweep", "--workers", "1", "--json")
    assert (status, json.loads(out)["rows"]) == (0, 5)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ((swept_task.ID, "--vary", "lenght=1,2", *SMALL), "did you mean 'length'"),
        ((swept_task.ID, "--vary", "length=2:1:3", *SMALL), "low < high"),
        ((swept_task.ID, "--vary"), "--vary needs a value"),
        ((swept_task.ID, "--vary", "length=1:2", *SMALL), "how many points"),
        ((swept_task.ID, "--vary", "length=1:2:999999", *SMALL, "--episodes=1000000"), "twice"),
        ((swept_task.ID, "--vary", "length=1:2:9999", "--episodes", "1000"), "raise --limit"),
        ((swept_task.ID, *VARY, "--policy", "random"), "no row could be replayed"),
        (("--resume", "nowhere"), "no such folder"),
        (("replay", "nowhere"), "which row"),
        (("report",), "of which sweep"),
        (("none.toml",), "cannot be read"),
        (("init",), "which environment"),
    ],
)
def test_what_is_wrong_is_one_sentence(capfd, tmp_path, monkeypatch, arguments, told):
    monkeypatch.chdir(tmp_path)
    status, _, err = run(capfd, *arguments)
    assert status == 2
    assert told in err
    assert err.count("proveout: error:") == 1


def test_no_valid_row_is_status_1(capfd, tmp_path):
    status, out, _ = run(
        capfd, swept_task.ID, "--vary", "length=-1,-2", *SMALL, "--out", tmp_path / "sweep"
    )
    assert status == 1
    assert "6 are invalid and not counted" in out
