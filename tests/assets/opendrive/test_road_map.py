import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from xodr_text import crossing, lane, road, section

from proveout.assets.files.errors import ModelError, UnknownNameError
from proveout.assets.opendrive.links import LaneEnd

ON = '<successor id="-1"/>'
ARC = '<geometry s="0" x="10" y="20" hdg="0.5" length="100"><arc curvature="0.02"/></geometry>'


def test_poses_on_a_banked_climbing_arc_are_those_of_the_circle(load):
    bank, climb = 0.1, 0.05
    found = load(
        road(
            plan=ARC,
            lanes='<laneOffset s="0" a="1" b="0" c="0" d="0"/>' + section(lane(-1, 3.0), lane(1)),
            more=f'<elevationProfile><elevation s="0" a="7" b="{climb}" c="0" d="0"/>'
            f'</elevationProfile><lateralProfile><superelevation s="0" a="{bank}" b="0" c="0" '
            'd="0"/></lateralProfile>',
        )
    )
    s, radius = 60.0, 50.0
    turned = 0.5 + s / radius
    centre = np.array([10.0, 20.0]) + radius * np.array([-np.sin(0.5), np.cos(0.5)])
    # The lane's middle: 1 m of lane offset, half of 3 m to the right, tilted by the bank.
    t = 1.0 - 1.5 + 0.25
    r = radius - t * np.cos(bank)
    pose = found.lane_pose("1", -1, s, offset=0.25)
    assert [pose.x, pose.y] == pytest.approx(
        list(centre + r * np.array([np.sin(turned), -np.cos(turned)]))
    )
    assert pose.z == pytest.approx(7.0 + climb * s + t * np.sin(bank))
    assert pose.heading == pytest.approx(turned)
    assert pose.pitch == pytest.approx(-np.arctan(climb))
    assert pose.roll == bank
    high = found.pose("1", s, t, h=2.0)
    assert high.z - pose.z == pytest.approx(2.0 * np.cos(bank))
    assert found.lane_t("1", -1, s) == pytest.approx(-0.5)
    assert found.lane_width("1", -1, s) == 3.0
    assert found.lanes_at("1", s) == (1, 0, -1)
    assert [found.lane_at("1", s, t) for t in (4.4, 4.6, 1.1, 0.9, -1.9, -2.1)] == [
        1, None, 1, -1, -1, None,
    ]  # fmt: skip
    assert found.lane_kind("1", 1, s) == "driving"


@pytest.mark.parametrize(("rule", "right"), [("RHT", 1), ("LHT", -1)])
def test_traffic_keeps_its_side(load, rule, right):
    found = load(road(rule=rule, lanes=section(lane(-1) + lane(-2), lane(1))))
    assert [found.travel("1", k) for k in (-1, -2, 1)] == [right, right, -right]
    network = found.network
    number, s = found.network_lane("1", -2, 30.0)
    assert s == pytest.approx(30.0 if right > 0 else 70.0)
    p = network.points(number)
    assert network.heading[p][0] % (2 * np.pi) == pytest.approx(0.0 if right > 0 else np.pi)
    np.testing.assert_allclose(network.y[p], -5.25)
    # Beside it is lane -1 and no lane of the other direction.
    beside = found.network_lane("1", -1, 30.0)[0]
    left, other = network.left, network.right
    if right < 0:
        left, other = other, left
    assert (left[number], other[number]) == (beside, -1)
    assert (left[beside], other[beside]) == (-1, number)
    # The paved road: three lanes of 3.5 m.
    edges = (network.left_edge[p][0], network.right_edge[p][0])
    assert edges == ((8.75, 1.75) if right > 0 else (1.75, 8.75))


def test_a_reversed_lane_goes_the_other_way(load):
    reversed_lane = lane(-2).replace("type", 'direction="reversed" type')
    found = load(road(lanes=section(lane(-1) + reversed_lane)))
    assert (found.travel("1", -1), found.travel("1", -2)) == (1, -1)
    assert found.network.left.tolist() == [-1, -1]


def test_borders_are_widths_from_the_reference_line(load):
    border = '<lane id="{}" type="driving"><border sOffset="0" a="{}" b="{}" c="0" d="0"/></lane>'
    found = load(road(lanes=section(border.format(-1, -3.0, -0.01) + border.format(-2, 7.0, 0))))
    assert found.lane_width("1", -1, 50.0) == pytest.approx(3.5)
    assert found.lane_width("1", -2, 50.0) == pytest.approx(3.5)
    assert found.lane_t("1", -2, 0.0) == pytest.approx(-5.0)


def test_a_lane_of_varying_width_has_the_length_and_heading_of_its_middle(load):
    widening = (
        '<lane id="-1" type="driving"><width sOffset="0" a="3" b="0" c="0" d="0"/>'
        '<width sOffset="20" a="3" b="0.1" c="0" d="0"/></lane>'
    )
    found = load(road(lanes=section(widening)))
    network = found.network
    assert network.length[0] == pytest.approx(20.0 + 80.0 * np.hypot(1.0, 0.05), abs=2e-3)
    assert network.heading[-1] == pytest.approx(-np.arctan(0.05))
    assert network.width[-1] == pytest.approx(11.0)
    assert found.lane_pose("1", -1, 60.0).heading == pytest.approx(-np.arctan(0.05))


def test_points_are_equidistant_on_a_lane_beside_a_spiral(load):
    plan = (
        '<geometry s="0" x="0" y="0" hdg="0" length="100">'
        '<spiral curvStart="0" curvEnd="0.05"/></geometry>'
    )
    network = load(road(plan=plan)).network
    for number in range(2):
        p = network.points(number)
        chord = np.hypot(np.diff(network.x[p]), np.diff(network.y[p]))
        # A chord is shorter than its arc by at most kappa^2 step^3 / 24.
        np.testing.assert_allclose(chord, network.step[number], atol=0.06**2 / 24)
        assert network.step[number] <= 1.0
        turn = np.diff(network.heading[p]) / network.step[number]
        middle = 0.5 * (network.curvature[p][1:] + network.curvature[p][:-1])
        np.testing.assert_allclose(turn, middle, atol=1e-5)


def test_lane_sections_and_speed_limits_cut_lanes(load):
    found = load(
        road(
            more='<type s="0" type="town"><speed max="50" unit="km/h"/></type>'
            '<type s="80" type="rural"><speed max="50" unit="mph"/></type>',
            lanes=section(lane(-1, link=ON))
            + section(lane(-1) + lane(-2, more='<speed sOffset="10" max="5"/>'), s=40.0),
        )
    )
    network = found.network
    places = [(o.lane, o.begin, o.end) for o in found.origins]
    assert places == [
        (-1, 0, 40), (-1, 40, 50), (-2, 40, 50), (-1, 50, 80), (-2, 50, 80), (-1, 80, 100),
        (-2, 80, 100),
    ]  # fmt: skip
    np.testing.assert_allclose(
        network.speed_limit, [50 / 3.6, 50 / 3.6, 50 / 3.6, 50 / 3.6, 5.0, 50 * 0.44704, 5.0]
    )
    assert network.successors == ((1,), (3,), (4,), (5,), (6,), (), ())
    assert load(road(), speed_limit=12.0).network.speed_limit.tolist() == [12.0, 12.0]


def test_a_junction_forks_and_joins_lanes_and_routes_lead_over_it(load):
    found = load(*crossing())
    assert found.warnings == ()
    network = found.network

    def number(name, lane, s=1.0):
        return found.network_lane(name, lane, s)[0]

    into = number("1", -1)
    assert set(network.successors[into]) == {number("12", -1), number("13", -1)}
    assert network.successors[number("12", -1)] == (number("2", -1),)
    assert network.successors[number("2", 1)] == (number("21", -1),)
    assert network.successors[number("21", -1)] == (number("1", 1),)
    assert found.linked("2", 1, 5.0, ahead=False) == [LaneEnd("21", 0, -1, "start")]

    route = found.route([("1", -1, 30.0), ("3", -1, 40.0)])
    assert [found.origins[k].road for k in route.lanes] == ["1", "13", "3"]
    # The middle of the lane is outside of the quarter circle of 10 m.
    assert route.length == pytest.approx(70.0 + 11.75 * np.pi / 2 + 40.0)
    lane_number, s = route.at(75.0)
    assert found.origins[lane_number].road == "13"
    assert s == pytest.approx(5.0)
    assert route.distance(lane_number, s) == pytest.approx(75.0)
    assert route.distance(number("2", -1), 0.0) is None
    assert found.route([("3", -1, 10.0), ("1", -1, 10.0)]) is None
    assert max(gap.position for gap in found.continuity()) < 1e-9
    assert max(gap.heading for gap in found.continuity()) < 1e-9


def test_a_direct_junction_leads_straight_onto_another_road(load):
    to = '<successor elementType="junction" elementId="5"/>'
    plan = '<geometry s="0" x="100" y="{}" hdg="{}" length="100"><line/></geometry>'
    found = load(
        road(number="1", link=to, lanes=section(lane(-1) + lane(-2))),
        road(number="2", plan=plan.format(0, 0), lanes=section(lane(-1))),
        road(number="3", plan=plan.format(-3.5, 0), lanes=section(lane(-1))),
        '<junction id="5" type="direct">'
        '<connection id="0" incomingRoad="1" linkedRoad="2" contactPoint="start">'
        '<laneLink from="-1" to="-1"/></connection>'
        '<connection id="1" incomingRoad="1" linkedRoad="3" contactPoint="start">'
        '<laneLink from="-2" to="-1"/></connection></junction>',
    )
    assert found.warnings == ()
    assert found.network.successors == ((2,), (3,), (), ())
    route = found.route([("1", -1, 50.0), ("3", -1, 50.0)])
    assert [found.origins[k].lane for k in route.lanes] == [-1, -2, -1]
    assert route.length == pytest.approx(100.0)


def test_a_merging_lane_leads_onto_the_one_beside(load):
    merging = (
        '<lane id="-2" type="driving"><link><successor id="-1"/></link>'
        '<width sOffset="0" a="3.5" b="-0.035" c="0" d="0"/></lane>'
    )
    plan = '<geometry s="0" x="0" y="0" hdg="0" length="200"><line/></geometry>'
    found = load(
        road(
            length=200.0, plan=plan,
            lanes=section(lane(-1, link=ON) + merging) + section(lane(-1), s=100),
        )
    )  # fmt: skip
    assert found.network.successors == ((2,), (2,), ())
    assert found.warnings == ()


def test_lanes_that_do_not_meet_or_meet_head_on_are_not_linked(load):
    plan = '<geometry s="0" x="0" y="0" hdg="0" length="200"><line/></geometry>'
    found = load(
        road(
            length=200.0, plan=plan,
            lanes=section(lane(-1) + lane(-2) + lane(-3, link=ON), lane(1, link=ON))
            + section(lane(-1), s=100),
        )
    )  # fmt: skip
    assert all(links == () for links in found.network.successors)
    assert found.warnings == (
        "line 2: lane 1 of road '1' and lane -1 of road '1' meet head on; the link is left out",
        "line 2: lane -3 of road '1' does not end where lane -1 of road '1' begins; the link is "
        "left out",
    )


def test_far_maps_are_moved_and_answer_in_their_own_coordinates(load):
    plan = (
        '<geometry s="0" x="690123.4" y="5334567.8" hdg="1" length="100">'
        '<arc curvature="0.01"/></geometry>'
    )
    found = load(road(plan=plan))
    assert found.origin == (690000.0, 5335000.0)
    assert np.abs(found.network.x).max() < 1000.0
    pose = found.lane_pose("1", -1, 40.0)
    number, s = found.network_lane("1", -1, 40.0)
    points = found.network.points(number)
    arc = np.linspace(0, found.network.length[number], found.network.num_points[number])
    assert np.interp(s, arc, found.network.x[points]) + 690000.0 == pytest.approx(pose.x, abs=1e-3)
    place = found.locate(pose.x, pose.y)
    assert (place.road, place.lane, place.on_road) == ("1", -1, True)
    assert place.s == pytest.approx(40.0, abs=1e-6)


@pytest.fixture(scope="module")
def hilly(tmp_path_factory):
    from proveout.assets.opendrive.road_map import load_road

    plan = (
        '<geometry s="0" x="5" y="-3" hdg="2" length="60"><spiral curvStart="0" curvEnd="0.03"/>'
        '</geometry><geometry s="60" x="0" y="0" hdg="0" length="60"><arc curvature="0.03"/>'
        "</geometry>"
    )
    # The second piece begins where the first ends.
    from proveout.assets.opendrive.curves import Piece, Spiral

    x, y, heading, *_ = Piece(0, 5.0, -3.0, 2.0, Spiral(60.0, 0.0, 0.03), 0).evaluate(
        np.array([60.0])
    )
    plan = plan.replace('x="0" y="0" hdg="0"', f'x="{x[0]}" y="{y[0]}" hdg="{heading[0]}"')
    lanes = '<laneOffset s="0" a="0.5" b="0.01" c="0" d="0"/>' + section(
        lane(-1) + lane(-2, 2.0, "sidewalk"), lane(1)
    )
    bank = '<lateralProfile><superelevation s="0" a="0" b="0.002" c="0" d="0"/></lateralProfile>'
    path = tmp_path_factory.mktemp("map") / "hilly.xodr"
    path.write_text(
        '<OpenDRIVE><header revMajor="1" revMinor="6"/>'
        + road(length=120.0, plan=plan, lanes=lanes, more=bank)
        + "</OpenDRIVE>"
    )
    return load_road(path)


@given(
    s=st.floats(0.0, 120.0),
    number=st.sampled_from([-2, -1, 1]),
    across=st.floats(-0.49, 0.49),
)
@settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck))
def test_places_are_found_again(hilly, s, number, across):
    offset = across * hilly.lane_width("1", number, s)
    pose = hilly.lane_pose("1", number, s, offset)
    place = hilly.locate(pose.x, pose.y)
    assert (place.road, place.lane, place.on_road) == ("1", number, True)
    assert place.s == pytest.approx(s, abs=1e-6)
    assert place.offset == pytest.approx(offset, abs=1e-6)
    assert hilly.pose("1", place.s, place.t).x == pytest.approx(pose.x, abs=1e-6)


def test_many_poses_are_those_of_one_by_one(hilly):
    s, offset = np.linspace(0.0, 120.0, 7), np.linspace(-1.0, 1.0, 7)
    rows = hilly.lane_poses("1", -2, s, offset, h=0.3)
    for row, at, aside in zip(rows, s, offset, strict=True):
        pose = hilly.lane_pose("1", -2, at, aside, h=0.3)
        one = (pose.x, pose.y, pose.z, pose.heading, pose.pitch, pose.roll)
        np.testing.assert_allclose(row, one, rtol=0, atol=1e-12)


def test_beside_the_road_the_nearest_lane_is_told(hilly, load):
    found = load(road())
    place = found.locate(50.0, 10.0)
    assert (place.lane, place.on_road, place.t) == (1, False, pytest.approx(10.0))
    past = found.locate(104.0, 1.0)
    assert (past.s, past.on_road) == (100.0, False)
    assert found.locate(50.0, 500.0) is None
    assert found.locate(float("nan"), 0.0) is None


def test_in_a_junction_the_heading_says_which_lane(load):
    found = load(*crossing())
    at = found.lane_pose("12", -1, 3.0)
    ahead = found.locate(at.x, at.y, heading=0.0)
    assert ahead.road == "12"
    onto = found.lane_pose("13", -1, 6.0)
    assert found.locate(onto.x, onto.y, heading=onto.heading).road == "13"
    assert found.locate(at.x, at.y, road="13").road == "13"


def test_what_is_not_there_is_named(load):
    found = load(road())
    with pytest.raises(UnknownNameError, match="unknown road '2'"):
        found.pose("2", 0.0)
    with pytest.raises(ModelError, match="s = 101 is not on road '1', 0 to 100 m"):
        found.pose("1", 101.0)
    with pytest.raises(ModelError, match=r"road '1' has no lane -2 at s = 5; there are \[-1, 1\]"):
        found.lane_pose("1", -2, 5.0)
    with pytest.raises(ModelError, match="has no lane 0 to drive on"):
        found.network_lane("1", 0, 5.0)
    with pytest.raises(UnknownNameError, match="unknown road"):
        found.locate(0.0, 0.0, road="x")
    with pytest.raises(ModelError, match="two places or more"):
        found.route([("1", -1, 5.0)])
