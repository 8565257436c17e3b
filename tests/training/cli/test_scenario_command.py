"""`proveout scenario`: count, inspect, convert, survey, and what it says about bad input."""

import json
from pathlib import Path

import pytest

from proveout.assets.scenario.rows import load_rows
from proveout.assets.scenario.survey import MARKER
from proveout.training.cli.program import main

HEADER = (
    '<FileHeader revMajor="1" revMinor="{}" date="2026-01-01T00:00:00" description="" author=""/>'
)
BOX = (
    '<BoundingBox><Center x="0" y="0" z="1"/><Dimensions width="2" length="4" height="{}"/>'
    "</BoundingBox>"
)
CATALOG = (
    f'<OpenSCENARIO>{HEADER.format(2)}<Catalog name="things">'
    '<MiscObject name="box" miscObjectCategory="obstacle" mass="1"><ParameterDeclarations>'
    '<ParameterDeclaration name="height" parameterType="double" value="1"/></ParameterDeclarations>'
    f"{BOX.format('$height')}<Properties/></MiscObject></Catalog></OpenSCENARIO>"
)
SCENARIO = f"""<OpenSCENARIO>{HEADER.format(1)}<ParameterDeclarations>
<ParameterDeclaration name="v" parameterType="double" value="36"><ConstraintGroup>
<ValueConstraint rule="greaterThan" value="0"/></ConstraintGroup></ParameterDeclaration>
</ParameterDeclarations>
<CatalogLocations><MiscObjectCatalog><Directory path="things"/></MiscObjectCatalog>
</CatalogLocations>
<RoadNetwork><LogicFile filepath="road.xodr"/></RoadNetwork>
<Entities><ScenarioObject name="Box"><CatalogReference catalogName="things" entryName="box">
<ParameterAssignments><ParameterAssignment parameterRef="height" value="${{$v / 12}}"/>
</ParameterAssignments></CatalogReference></ScenarioObject></Entities>
<Storyboard><Init><Actions><Private entityRef="Box"><PrivateAction><LongitudinalAction><SpeedAction>
<SpeedActionDynamics dynamicsShape="step" dynamicsDimension="time" value="0"/><SpeedActionTarget>
<AbsoluteTargetSpeed value="${{$v / 3.6}}"/></SpeedActionTarget></SpeedAction></LongitudinalAction>
</PrivateAction></Private></Actions></Init><StopTrigger><ConditionGroup>
<Condition name="end" delay="2" conditionEdge="rising"><ByValueCondition>
<SimulationTimeCondition value="10" rule="greaterThan"/></ByValueCondition></Condition>
</ConditionGroup></StopTrigger></Storyboard></OpenSCENARIO>"""
ROWS = f"""<OpenSCENARIO>{HEADER.format(1)}<ParameterValueDistribution>
<ScenarioFile filepath="templates/drive.xosc"/><Deterministic>
<DeterministicSingleParameterDistribution parameterName="v"><DistributionRange stepWidth="18">
<Range lowerLimit="0" upperLimit="72"/></DistributionRange>
</DeterministicSingleParameterDistribution></Deterministic></ParameterValueDistribution>
</OpenSCENARIO>"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    files = {
        "templates/things/things.xosc": CATALOG,
        "templates/road.xodr": "<OpenDRIVE/>",
        "templates/drive.xosc": SCENARIO,
        "templates/other.xosc": SCENARIO,
        "rows.xosc": ROWS,
    }
    for name, text in files.items():
        path = tmp_path / "cases" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return tmp_path / "cases"


def test_count_prints_rows_of_files_and_folders(
    folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    # Catalogues and templates are no cases.
    assert main(["scenario", "count", str(folder)]) == 0
    lines = capfd.readouterr().out.splitlines()
    assert lines[0].split()[:3] == ["rows", "within", "constraints"]
    assert lines[1].split()[:3] == ["5", "4", "1"]
    assert lines[1].endswith("rows.xosc")
    assert lines[2].split() == ["5", "4", "total", "of", "1", "files"]


def test_count_gives_one_json_object(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    files = [str(folder / "rows.xosc"), str(folder / "templates" / "other.xosc")]
    assert main(["scenario", "count", *files, "--json"]) == 0
    assert json.loads(capfd.readouterr().out) == {
        "files": [
            {
                "file": files[0], "rows": 5, "rows_within_constraints": 4,
                "rows_breaking_a_bound": 1,
            },
            {
                "file": files[1], "rows": 1, "rows_within_constraints": 1,
                "rows_breaking_a_bound": 0,
            },
        ],
        "total": 6,
        "total_within_constraints": 5,
    }  # fmt: skip


def test_count_goes_on_behind_a_file_that_cannot_be_read(
    folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    broken = folder / "broken.xosc"
    broken.write_text(SCENARIO)  # beside it there is no catalogue
    assert main(["scenario", "count", str(folder)]) == 2
    told = capfd.readouterr()
    assert told.out.splitlines()[-1].split() == ["5", "4", "total", "of", "1", "files"]
    (sentence,) = told.err.strip().splitlines()
    assert "broken.xosc, line" in sentence
    assert main(["scenario", "count", str(folder), "--json"]) == 2
    files = json.loads(capfd.readouterr().out)["files"]
    assert [Path(one["file"]).name for one in files] == ["rows.xosc", "broken.xosc"]
    assert "catalogue things is missing" in files[1]["error"]
    assert main(["scenario", "count", str(broken), "--json"]) == 2
    assert "catalogue things is missing" in json.loads(capfd.readouterr().out)["error"]


def test_count_says_what_it_did_not_look_at(
    folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    path = folder / "rows.xosc"
    path.write_text(ROWS.replace('upperLimit="72"', 'upperLimit="18000000000"'))
    assert main(["scenario", "count", str(path)]) == 0
    told = capfd.readouterr()
    assert told.out.splitlines()[1].split()[:3] == ["1,000,000,001", "not", "counted"]
    assert "raise --limit" in told.err


def test_inspect_prints_a_tree(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["scenario", "inspect", str(folder / "rows.xosc")]) == 0
    out = capfd.readouterr().out
    assert "OpenSCENARIO 1.1, 5 rows" in out
    assert "v  double  varied  greaterThan 0" in out
    assert "Box  MiscObject  obstacle  4 x 2 x $height m" in out
    assert "AbsoluteTargetSpeed(value=${$v / 3.6})" in out
    assert "stops when SimulationTimeCondition(value=10, rule=greaterThan) rising after 2 s" in out
    assert "not supported: nothing" in out


def test_strict_refuses_what_is_not_supported(
    folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    path = folder / "templates" / "drive.xosc"
    path.write_text(SCENARIO.replace("<StopTrigger>", "<Other/><StopTrigger>"))
    assert main(["scenario", "inspect", str(path), "--json"]) == 0
    (told,) = json.loads(capfd.readouterr().out)["unsupported"]
    assert told["element"] == "Other"
    assert told["reason"] == "it is not an element of the standard here"
    assert main(["scenario", "inspect", str(path), "--strict"]) == 2
    assert "drive.xosc, line" in capfd.readouterr().err
    out = folder / "row.xosc"
    assert main(["scenario", "convert", str(path), "--out", str(out), "--strict"]) == 2
    assert not out.exists()


def test_convert_writes_a_scenario_of_its_own(
    folder: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "elsewhere" / "row.xosc"
    out.parent.mkdir()
    arguments = ["scenario", "convert", str(folder / "rows.xosc"), "--row", "2"]
    assert main([*arguments, "--out", str(out)]) == 0
    assert capfd.readouterr().out.strip() == str(out)
    text = out.read_text()
    assert "$" not in text
    assert "CatalogReference" not in text
    assert '<FileHeader revMajor="1" revMinor="2"' in text  # that of the catalogue
    assert 'filepath="../cases/templates/road.xodr"' in text
    assert '<AbsoluteTargetSpeed value="10"/>' in text
    assert '<Dimensions width="2" length="4" height="3"/>' in text
    assert '<ParameterDeclaration name="v" parameterType="double" value="36"/>' in text
    # Read again it is the same, by itself.
    structure = load_rows(out).scenario.structure()
    assert structure.findings == ()
    assert structure.road_file is not None
    assert structure.road_file.resolve() == (folder / "templates" / "road.xodr").resolve()


def test_survey_writes_tables_and_keeps_the_text_above(
    folder: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (folder / "broken.xosc").write_text("<OpenSCENARIO>")
    out = tmp_path / "table.md"
    out.write_text("# Mine\n")
    assert main(["scenario", "survey", f"Ours={folder}", "--out", str(out)]) == 0
    text = out.read_text()
    assert text.startswith(f"# Mine\n\n{MARKER}")
    assert "### Ours: 3 of 4 files are read" in text
    assert "| rows.xosc | 1.1 | 5 |  |" in text
    assert (
        "| broken.xosc |  |  | **not read**: scenario file broken.xosc is not well-formed" in text
    )
    assert "| SpeedAction | 1.0 | `dynamics.SpeedAction` |" in text
    assert "| TrafficSwarmAction | 1.0 | not supported |  |" in text
    assert str(folder) not in text
    assert main(["scenario", "survey", f"Ours={folder}", "--out", str(out)]) == 0
    assert out.read_text() == text


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ([], "usage: proveout scenario {count,inspect,convert,survey,run}"),
        (["inspect"], "needs one file first"),
        (["inspect", "a", "b"], "needs one file first"),
        (["count"], "needs files or folders first"),
        (["counts"], "did you mean 'count'?"),
        (["count", "gone.xosc"], "gone.xosc is not there"),
        (["count", "EMPTY"], "holds no scenario"),
        (["survey", "EMPTY"], "holds no scenario"),
        (["survey", "gone"], "gone is not a folder"),
        (["inspect", "ROWS", "--row", "5"], "has 5 rows, from 0 to 4, so there is no row 5"),
        (["inspect", "ROWS", "--row", "-1"], "--row must be at least 0"),
        (["count", "ROWS", "--limit", "-1"], "--limit must be at least 0"),
        (["convert", "ROWS", "--row", "2"], "needs --out"),
        (["convert", "ROWS", "--row", "2", "--out", "x.txt"], "must end in .xosc"),
        (["convert", "ROWS", "--row", "2", "--out", "gone/x.xosc"], "there is no folder gone"),
        (["convert", "ROWS", "--row", "0", "--out", "x.xosc"], "is outside the constraints"),
    ],
)
def test_bad_arguments(
    folder: Path, tmp_path: Path, arguments: list[str], told: str,
    capfd: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    (tmp_path / "empty").mkdir()
    places = {"EMPTY": str(tmp_path / "empty"), "ROWS": str(folder / "rows.xosc")}
    arguments = [places.get(argument, argument) for argument in arguments]
    if not arguments:
        with pytest.raises(SystemExit):
            main(["scenario"])
        assert told in capfd.readouterr().out
        return
    assert main(["scenario", *arguments]) == 2
    told_there = capfd.readouterr().err
    assert told in told_there
    assert len(told_there.strip().splitlines()) == 1


@pytest.mark.parametrize(
    ("name", "old", "new", "told"),
    [
        ("templates/drive.xosc", 'path="things"', 'path="gone"', "catalogue things is missing"),
        ("templates/drive.xosc", "road.xodr", "gone.xodr", "gone.xodr is missing"),
        ("templates/drive.xosc", "$v / 3.6", "$w / 3.6", "parameter w is not declared"),
        ("templates/drive.xosc", "$v / 3.6", "$v / 0", "division by zero"),
        ("templates/drive.xosc", "${$v / 3.6}", "NaN", "'NaN' is not a number"),
        ("rows.xosc", 'parameterName="v"', 'parameterName="w"', "does not declare parameter w"),
    ],
)
def test_bad_files_end_with_status_2_and_say_where(
    folder: Path, name: str, old: str, new: str, told: str, capfd: pytest.CaptureFixture[str]
) -> None:
    path = folder / name
    path.write_text(path.read_text().replace(old, new))
    assert main(["scenario", "inspect", str(folder / "rows.xosc")]) == 2
    (sentence,) = capfd.readouterr().err.strip().splitlines()
    assert told in sentence
    assert f"{path.name}, line " in sentence
