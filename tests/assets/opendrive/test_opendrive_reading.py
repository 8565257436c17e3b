from pathlib import Path

import pytest
from xodr_text import LINE, SECTION, WIDTH, crossing, lane, road, section

from proveout.assets.files.errors import ModelError
from proveout.assets.opendrive.road_map import load_road


def test_a_missing_file_is_one_sentence(tmp_path):
    with pytest.raises(ModelError, match=r"road file .*none.xodr cannot be read .*give a readable"):
        load_road(tmp_path / "none.xodr")


def test_entities_are_not_expanded(tmp_path):
    bomb = '<!DOCTYPE x [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]><OpenDRIVE>&b;</OpenDRIVE>'
    path = Path(tmp_path / "bomb.xodr")
    path.write_text(bomb)
    with pytest.raises(ModelError, match="declares entities"):
        load_road(path)


def _geometry(shape: str, **changed: object) -> str:
    values = {"s": 0, "x": 0, "y": 0, "hdg": 0, "length": 100} | changed
    attributes = " ".join(f'{name}="{value}"' for name, value in values.items())
    return f"<geometry {attributes}>{shape}</geometry>"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", r"<OpenDRIVE> in line 1 has no <road>"),
        (road() + road(), r"<road id='1'> in line 2 is the second <road> with this id"),
        (road(length=-5.0), r"<road id='1'> in line 2 length='-5.0' must be a number of at least"),
        (road(length=0.0), "has no length"),
        (road(plan=""), "has no <geometry> with a length"),
        (road(plan=_geometry("<line/>", x="nan")), r"<geometry s='0'> in line 2 x='nan' must be"),
        (road(plan=_geometry("<line/>", y="1e300")), r"y='1e300' must be a number, at most 1e9"),
        (road(plan=_geometry("<line/>", length="-1")), r"length='-1' must be a number of at least"),
        (road(plan=_geometry("<line/>", hdg="north")), r"hdg='north' must be a number"),
        (road(plan=_geometry("<circle/>")), "needs exactly one of line, arc, spiral, poly3"),
        (road(plan=_geometry("<arc/>")), "has no attribute 'curvature'"),
        (road(plan=_geometry('<arc curvature="1e8"/>')), r"turns by 1e\+10 rad"),
        (road(plan=_geometry("<line/>") + _geometry("<line/>")), "begins before the one above it"),
        (
            road(length=200.0, plan=LINE + _geometry("<line/>", s=100, x=500)),
            "is broken: .* begins 400 m from the end before",
        ),
        (
            road(plan=_geometry(
                '<paramPoly3 pRange="normalized" aU="0" bU="1e9" cU="0" dU="0" '
                'aV="0" bV="0" cV="0" dV="0"/>')),
            r"is 1e\+09 m long, its geometry 100 m",
        ),
        (road(lanes=""), "has no <laneSection>"),
        (road(lanes=section(lane(-1)) + section(lane(-1))), "begins before the one above it"),
        (road(lanes=section(lane(-1) + lane(-1))), "is there twice in its section"),
        (road(lanes=section(lane(1))), r"is in <right>, where such a number is not"),
        (road(lanes=section(lane(-5000))), "must be a whole number of a lane"),
        (road(lanes=section(lane(-1, kind="sidewalk"))), "has no lane to drive on"),
        (road(lanes=section(lane(-1, 2000.0))), r"<road id='1'> in line 2 reaches 2e\+03 m aside"),
        (
            road(more='<elevationProfile><elevation s="0" a="0" b="1e9" c="0" d="0"/>'
                 "</elevationProfile>"),
            "m high at s = 0 or behind; at most 20000 is read",
        ),
        (
            road(more='<lateralProfile><superelevation s="0" a="2" b="0" c="0" d="0"/>'
                 "</lateralProfile>"),
            "is tilted by 2 rad",
        ),
    ],
)  # fmt: skip
def test_what_makes_no_road_is_named_with_its_line(load, content, message):
    with pytest.raises(ModelError, match=message):
        load(content)


def test_other_versions_and_other_files_are_refused(tmp_path):
    for text, message in (
        ("<OpenSCENARIO/>", "is not <OpenDRIVE>"),
        ("<OpenDRIVE></OpenDRIVE>", "has no <header>"),
        ('<OpenDRIVE><header revMajor="2" revMinor="0"/></OpenDRIVE>', "says version 2.0"),
        ("<OpenDRIVE>", "not well-formed"),
    ):
        (tmp_path / "a.xodr").write_text(text)
        with pytest.raises(ModelError, match=message):
            load_road(tmp_path / "a.xodr")


def test_a_road_that_is_too_long_is_refused_before_memory_is_taken(load):
    plan = _geometry("<line/>", length="9e8")
    with pytest.raises(ModelError, match=r"would need .* points at 1 m; at most 5000000 are made"):
        load(road(length=9e8, plan=plan))
    plan = _geometry("<line/>", length="1e6")
    with pytest.raises(ModelError, match="more than 4000000 vertices to be drawn"):
        load(
            road(length=1e6, plan=plan, lanes=section(
                lane(-1, more='<roadMark sOffset="0" type="broken" width="0.1"><type name="a">'
                     '<line length="0.2" space="0.2" tOffset="0" sOffset="0"/></type></roadMark>'),
            )),
            spacing=100.0,
        )  # fmt: skip


def test_a_file_of_very_many_pieces_is_refused_at_once(load):
    with pytest.raises(ModelError, match="has 100001 elements <geometry>; at most 100000 are read"):
        load(road(plan="<geometry/>" * 100_001))


@pytest.mark.parametrize(
    ("options", "message"),
    [({"spacing": 0.0}, "spacing=0.0"), ({"speed_limit": float("nan")}, "speed_limit=nan")],
)
def test_options_out_of_range_are_refused(load, options, message):
    with pytest.raises(ModelError, match=message):
        load(road(), **options)


def test_what_is_left_out_is_named_with_its_line(load):
    found = load(
        road(
            more='<type s="0" type="rural"><speed max="80" unit="km/h"/></type>',
            lanes=section(
                lane(-1, more='<access sOffset="0" rule="allow" restriction="bus"/>')
                + lane(-2, more='<access sOffset="0" rule="allow" restriction="bus"/>')
            ),
        ),
        "<station/>",
    )
    assert sorted(found.warnings) == [
        "<access> in <lane> is not supported and left out, line 2 and 1 more",
        "<station> in <OpenDRIVE> is not supported and left out, line 3",
    ]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            [road(link='<successor elementType="road" elementId="7" contactPoint="start"/>')],
            "road '1', line 2: leads to the road '7', which is not there",
        ),
        (
            [road(link='<successor elementType="junction" elementId="7"/>')],
            "road '1', line 2: leads to the junction '7', which is not there",
        ),
        (
            [road(), '<junction id="5"><connection id="0" incomingRoad="1" connectingRoad="8" '
             'contactPoint="start"/></junction>'],
            "junction '5', <connection> in line 3: names the road '8', which is not there",
        ),
        (
            [road(lanes=section(lane(-1, link='<successor id="-3"/>')) + section(lane(-1), s=50))],
            "line 2: links to lane -3 of road '1' at s = 50, which is not there",
        ),
        ([road(plan=_geometry("<line/>", length=90))],
         "<road id='1'> in line 2 is 100 m long, its plan view 90 m"),
        ([road(plan=_geometry("<line/>", length=50)
               + _geometry("<line/>", s=50, x=50.004, hdg=0.002, length=50))],
         "<geometry s='50'> in line 2 begins 4 mm and 2 mrad from the end before it"),
        ([road(lanes=section(lane(-1, kind="hover") + lane(-2)))],
         "<lane id='-1'> in line 2 has the unknown type 'hover'; nobody drives there"),
        ([road(lanes=section(lane(-1) + lane(-3)))],
         "<laneSection s='0.0'> in line 2 has lanes [-1, -3], not one after another"),
        (
            [road(
                lanes=section(lane(-1).replace("type", 'level="true" type')),
                more='<lateralProfile><superelevation s="0" a="0.1" b="0" c="0" d="0"/>'
                "</lateralProfile>",
            )],
            "lane -1 of road '1', line 2: is level (level='true'), which is not supported: it is "
            "tilted as the road is",
        ),
        ([road(rule="UK")], "<road id='1'> in line 2 rule='UK' is not known and read as 'RHT'"),
        ([road(lanes=section(f'<lane id="-1" type="driving">{WIDTH}<border a="4"/></lane>'
                             .replace('<border', '<border sOffset="0"')))],
         "<lane id='-1'> in line 2 has widths and borders; the widths count"),
    ],
)  # fmt: skip
def test_what_is_odd_is_told_and_the_map_loads(load, content, message):
    found = load(*content)
    assert message in found.warnings
    assert found.network.num_lanes >= 1


def test_warnings_are_bounded(load):
    links = "".join(f'<successor id="{-k}"/>' for k in range(2, 502))
    found = load(road(lanes=section(lane(-1, link=links)) + section(lane(-1), s=50)))
    assert len(found.warnings) == 201
    assert found.warnings[-1] == "and 300 more warnings"


def test_header_signals_controllers_and_junctions_are_read(load):
    signal = (
        '<signals><signal s="90" t="-4" id="s1" name="limit" dynamic="no" orientation="+" '
        'zOffset="2" country="DE" type="274" subtype="56" value="60" unit="km/h" height="0.6" '
        'width="0.6" hOffset="0.1"><validity fromLane="-1" toLane="-1"/></signal></signals>'
    )
    found = load(
        *crossing(), road(number="77", more=signal),
        '<controller id="c" name="all"><control signalId="s1" type="0"/></controller>',
    )  # fmt: skip
    assert (found.name, found.version) == ("ours", "1.8")
    sign = found.roads["77"].signals[0]
    assert (sign.kind, sign.subtype, sign.value, sign.unit) == ("274", "56", 60.0, "km/h")
    assert (sign.s, sign.t, sign.z, sign.lanes, sign.dynamic) == (
        90.0,
        -4.0,
        2.0,
        ((-1, -1),),
        False,
    )
    assert found.controllers["c"].signals == ("s1",)
    junction = found.junctions["9"]
    assert junction.priorities == (("12", "13"),)
    assert junction.controllers == ("c",)
    assert [c.road for c in junction.connections] == ["12", "13", "21"]
    assert found.warnings == ()


@pytest.mark.parametrize("minor", ["4", "5", "6", "7", "8"])
def test_versions_1_4_to_1_8_are_read_without_a_word(load, minor):
    assert load(road(lanes=SECTION), version=minor).warnings == ()


def test_a_namespace_changes_nothing(write):
    path = write(road())
    path.write_text(path.read_text().replace("<OpenDRIVE>", '<OpenDRIVE xmlns="urn:x">'))
    assert load_road(path).network.num_lanes == 2
