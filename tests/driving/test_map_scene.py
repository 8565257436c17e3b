import mujoco
import numpy as np
import pytest

from proveout.assets.opendrive.road_map import load_road
from proveout.assets.road import join, motorway
from proveout.envs.driving.bodies import BodyParameters
from proveout.envs.driving.scene import heights, scene

HILL = """<OpenDRIVE><header revMajor="1" revMinor="6"/>
<road id="1" length="200" junction="-1"><planView>
<geometry s="0" x="0" y="0" hdg="0" length="200"><line/></geometry></planView>
<elevationProfile><elevation s="0" a="2" b="0.05" c="0" d="0"/></elevationProfile>
<lanes><laneSection s="0"><left><lane id="1" type="driving"><width sOffset="0" a="4" b="0" c="0"
d="0"/></lane></left><center><lane id="0" type="none"><roadMark sOffset="0" type="solid"
width="0.2"/></lane></center><right><lane id="-1" type="driving"><width sOffset="0" a="4" b="0"
c="0" d="0"/></lane></right></laneSection></lanes></road></OpenDRIVE>"""


@pytest.fixture(scope="module")
def hill(tmp_path_factory):
    path = tmp_path_factory.mktemp("map") / "hill.xodr"
    path.write_text(HILL)
    return load_road(path).network


def _seen(model, data, x, y):
    geom = np.zeros(1, np.int32)
    distance = mujoco.mj_ray(
        model, data, np.array([x, y, 50.0]), np.array([0.0, 0.0, -1.0]), None, 1, -1, geom, None
    )
    return 50.0 - distance, model.material(model.geom_matid[geom[0]]).name


def test_a_map_is_drawn_with_its_lanes_marks_and_heights(hill):
    model = scene(hill, (BodyParameters(),), 2.58).compile()
    data = mujoco.MjData(model)
    mujoco.mj_forward(model, data)
    for x, y, material in (
        (81.3, 1.7, "asphalt"),
        (81.3, -3.7, "asphalt"),
        (81.3, 0.03, "marking"),
    ):
        height, found = _seen(model, data, x, y)
        assert found == material
        assert height == pytest.approx(2.0 + 0.05 * x, abs=0.02)
    assert _seen(model, data, 81.3, 4.3)[1] == "grass"


def test_a_map_and_a_motorway_are_drawn_side_by_side(hill):
    model = scene([hill, motorway(1, 100.0, start=(0.0, 100.0, 0.0))], (), 1.0).compile()
    data = mujoco.MjData(model)
    mujoco.mj_forward(model, data)
    assert _seen(model, data, 81.3, 1.7)[1] == "asphalt"
    assert _seen(model, data, 81.3, 100.3)[1] == "asphalt"


def test_heights_are_those_of_the_lanes(hill):
    network = join(hill, motorway(1, 100.0))
    lane, s = np.array([[0, 1, 2, 9]]), np.array([[50.0, 50.0, 50.0, np.nan]])
    # Lane 0 is the left one, from x = 200 m back.
    np.testing.assert_allclose(heights(network, lane, s), [[9.5, 4.5, 0.0, 0.0]])
