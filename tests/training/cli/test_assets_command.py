"""`proveout assets`: inspect, convert, survey, and what it says about bad files."""

import json
from pathlib import Path

import imageio.v3 as imageio
import mujoco
import numpy as np
import pytest

from proveout.assets.robot import load_robot
from proveout.training.cli.program import main
from proveout.training.robots.survey import MARKER, robot_files

ARM = """<robot name="arm"><link name="base"/>
<link name="rod"><inertial><origin xyz="0 0 0.1"/><mass value="1"/>
<inertia ixx="0.01" iyy="0.01" izz="0.05" ixy="0" ixz="0" iyz="0"/></inertial>
<visual><origin xyz="0 0 0.1"/><geometry><box size="0.04 0.04 0.2"/></geometry>
<material name="red"><color rgba="0.8 0.1 0.1 1"/></material></visual></link>
<joint name="hinge" type="revolute"><origin xyz="0 0 0.1"/><parent link="base"/>
<child link="rod"/><axis xyz="0 1 0"/><limit lower="-1" upper="1" effort="5" velocity="2"/></joint>
</robot>"""


@pytest.fixture
def arm(tmp_path: Path) -> Path:
    path = tmp_path / "robots" / "arm.urdf"
    path.parent.mkdir()
    path.write_text(ARM)
    return path


def test_inspect_prints_a_table_and_what_was_guessed(
    arm: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert main(["assets", "inspect", str(arm)]) == 0
    out = capfd.readouterr().out
    assert "arm: 2 bodies, 1 joints, 1 actuators, 1 kg" in out
    (row,) = [line for line in out.splitlines() if line.startswith("hinge  hinge")]
    assert row.split() == ["hinge", "hinge", "-1", "1", "5", "2"]
    assert "break the triangle inequality" in out
    assert "position servos added" in out


def test_inspect_gives_one_json_object(arm: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["assets", "inspect", str(arm), "--json"]) == 0
    told = json.loads(capfd.readouterr().out)
    assert told["joints"][0] == {
        "name": "hinge", "kind": "hinge", "body": "rod", "low": -1.0, "high": 1.0,
        "effort": 5.0, "velocity": 2.0, "follows": None,
    }  # fmt: skip
    assert told["bodies"][1]["mass"] == 1.0
    # The excess of 0.03 is shared out by thirds.
    assert told["bodies"][1]["moments"] == pytest.approx([0.02, 0.02, 0.04], rel=1e-4)
    assert told["frames"]["base"] == "body base"


def test_the_picture_shows_the_robot(arm: Path, tmp_path: Path) -> None:
    picture = tmp_path / "arm.png"
    assert main(["assets", "inspect", str(arm), "--picture", str(picture)]) == 0
    image = imageio.imread(picture).astype(int)
    assert image.shape == (720, 960, 3)
    red = (image[..., 0] > 2 * image[..., 1]) & (image[..., 0] > 80)
    assert 0.02 < red.mean() < 0.5
    rows, columns = np.nonzero(red)
    assert abs(columns.mean() - 480) < 100
    assert abs(rows.mean() - 360) < 150


def test_convert_writes_what_loads_again(
    arm: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert main(["assets", "convert", str(arm), "--out", str(out)]) == 0
    path = Path(capfd.readouterr().out.strip())
    assert path == out / "arm.xml"
    again, first = load_robot(path), load_robot(arm)
    assert again.joints == first.joints  # speed limits too
    assert not again.warnings
    assert mujoco.MjModel.from_xml_path(str(path)).nu == 1
    assert main(["assets", "convert", str(arm), "--out", str(out)]) == 2
    assert "is there already" in capfd.readouterr().err


def test_convert_brings_meshes_and_materials_of_our_own_robot(tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert main(["assets", "convert", "ur5e", "--out", str(out)]) == 0
    assert len(list((out / "assets").iterdir())) == 10
    one, two = load_robot("ur5e").spec.compile(), load_robot(out / "ur5e.xml").spec.compile()
    # MuJoCo writes six significant digits.
    np.testing.assert_allclose(one.body_pos, two.body_pos, atol=1e-6)
    np.testing.assert_allclose(one.mat_rgba, two.mat_rgba, atol=1e-6)
    np.testing.assert_allclose(one.key_qpos, two.key_qpos, atol=1e-6)


def test_survey_writes_a_row_for_each_file_and_keeps_the_text_above(
    arm: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (arm.parent / "broken.urdf").write_text(ARM.replace('mass value="1"', 'mass value="-1"'))
    (arm.parent / "other.xml").write_text("<package/>")
    assert [path.name for path in robot_files(arm.parent)] == ["arm.urdf", "broken.urdf"]
    out = tmp_path / "robots.md"
    out.write_text(f"# Kept\n\n{MARKER}\nreplaced\n")
    assert main(["assets", "survey", f"mine={arm.parent}", "--out", str(out)]) == 0
    text = out.read_text()
    assert text.startswith("# Kept\n")
    assert "replaced" not in text
    assert "2 files: 1 load, 1 step, 1 of 1 with actuators on joints hold their pose" in text
    rows = [line for line in text.splitlines() if line.startswith("| `")]
    assert rows[0].startswith("| `arm.urdf` | yes | yes | yes (")
    assert "has a mass of -1 kg" in rows[1]
    assert str(tmp_path) not in text


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["inspect"], "needs one file first"),
        (["inspect", "gone.urdf"], "gone.urdf does not exist"),
        (["inspect", "gone.xodr"], "road file gone.xodr cannot be read (No such file"),
        (["inspect", "gone.xodr", "--free-base"], "a map takes --picture and --json"),
        (["inspect", "ur5"], "did you mean 'ur5e'"),
        (["inspect", "ur5e", "--picture", "a.jpg"], "must end in .png"),
        (["convert", "ur5e"], "needs --out"),
        (["survey", "gone"], "gone is not a folder"),
        (["look", "ur5e"], "unknown subcommand of `proveout assets` 'look'"),
        (["inspect", "ur5e", "--jso"], "did you mean --json"),
    ],
)
def test_bad_arguments_are_one_sentence(
    arguments: list[str], reason: str, capfd: pytest.CaptureFixture[str]
) -> None:
    assert main(["assets", *arguments]) == 2
    (line,) = capfd.readouterr().err.splitlines()
    assert reason in line


MAP = """<OpenDRIVE><header revMajor="1" revMinor="6" name="lane"/>
<road id="7" name="Lane" length="80" junction="-1"><type s="0" type="town"><speed max="30"
unit="km/h"/></type><planView><geometry s="0" x="0" y="0" hdg="0" length="80"><arc
curvature="0.02"/></geometry></planView><lanes><laneSection s="0"><center><lane id="0"
type="none"/></center><right><lane id="-1" type="driving"><width sOffset="0" a="4" b="0" c="0"
d="0"/><userData/></lane></right></laneSection></lanes></road></OpenDRIVE>"""


def test_a_map_is_told_as_a_table_as_json_and_as_a_picture(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    path, picture = tmp_path / "map.xodr", tmp_path / "map.png"
    path.write_text(MAP)
    assert main(["assets", "inspect", str(path), "--picture", str(picture)]) == 0
    out = capfd.readouterr().out
    assert "OpenDRIVE 1.6 'lane', 1 road of 80.0 m, 0 junctions, 0 signals" in out
    assert "to drive on: 1 lane of 83.2 m with 0 links, as 93 points; 30 km/h" in out
    (row,) = [line for line in out.splitlines() if line.startswith("7 ")]
    assert row.split() == ["7", "Lane", "80.0", "RHT", "1", "1", "-1", "to", "-1", "1", "arc"]
    assert "<userData> in <lane> is not supported and left out, line 6" in out
    image = imageio.imread(picture)
    assert image.shape[1] == 1400
    # Grey asphalt, a lane of 4 m of 83 m; the rest is green.
    grey = np.ptp(image.astype(int), axis=2) < 12
    assert 0.02 < grey.mean() < 0.2
    assert main(["assets", "inspect", str(path), "--json"]) == 0
    told = json.loads(capfd.readouterr().out)
    assert told["roads"][0]["length"] == 80.0
    assert told["lanes"]["fastest"] == pytest.approx(30.0 / 3.6)


def test_a_bad_map_is_one_sentence_and_status_2(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "map.xodr"
    path.write_text(MAP.replace('curvature="0.02"', 'curvature="nan"'))
    assert main(["assets", "inspect", str(path)]) == 2
    (line,) = capfd.readouterr().err.splitlines()
    assert "map.xodr: <arc> in line 4 curvature='nan' must be a number" in line


def test_a_bad_file_is_one_sentence_with_file_and_element_and_status_2(
    arm: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    arm.write_text(ARM.replace('<limit lower="-1" upper="1" effort="5" velocity="2"/>', ""))
    assert main(["assets", "inspect", str(arm), "--json"]) == 2
    out, err = capfd.readouterr()
    assert json.loads(out)["error"] in err
    assert f"robot file {arm}: <joint name='hinge'> in line 6 has no <limit>" in err
