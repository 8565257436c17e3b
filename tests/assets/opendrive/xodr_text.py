"""Pieces of small OpenDRIVE files."""

LINE = '<geometry s="0" x="0" y="0" hdg="0" length="100"><line/></geometry>'
WIDTH = '<width sOffset="0" a="3.5" b="0" c="0" d="0"/>'
SECTION = (
    f'<laneSection s="0"><left><lane id="1" type="driving">{WIDTH}</lane></left>'
    f'<center><lane id="0" type="none"/></center>'
    f'<right><lane id="-1" type="driving">{WIDTH}</lane></right></laneSection>'
)


def road(
    *,
    number: str = "1",
    length: float = 100.0,
    plan: str = LINE,
    lanes: str = SECTION,
    junction: str = "-1",
    rule: str = "RHT",
    link: str = "",
    more: str = "",
) -> str:
    return (
        f'<road id="{number}" length="{length}" junction="{junction}" rule="{rule}">'
        f"<link>{link}</link>{more}<planView>{plan}</planView><lanes>{lanes}</lanes></road>"
    )


def section(right: str, left: str = "", s: float = 0.0) -> str:
    """A lane section of lanes as text, each side's in any order."""
    sides = "".join(
        f"<{name}>{lanes}</{name}>" for name, lanes in (("left", left), ("right", right)) if lanes
    )
    return f'<laneSection s="{s}"><center><lane id="0" type="none"/></center>{sides}</laneSection>'


def lane(
    number: int, width: float = 3.5, kind: str = "driving", link: str = "", more: str = ""
) -> str:
    """A lane of constant width."""
    return (
        f'<lane id="{number}" type="{kind}"><link>{link}</link>'
        f'<width sOffset="0" a="{width}" b="0" c="0" d="0"/>{more}</lane>'
    )


def crossing() -> list[str]:
    """Two roads along x, from 0 to 100 m and from 120 m to 220 m, and a junction between: straight
    on, and to the left onto a third road along y."""
    before = '<predecessor elementType="road" elementId="{}" contactPoint="{}"/>'
    after = '<successor elementType="road" elementId="{}" contactPoint="{}"/>'
    to_junction = '<successor elementType="junction" elementId="9"/>'
    from_junction = '<predecessor elementType="junction" elementId="9"/>'
    same = '<predecessor id="-1"/><successor id="-1"/>'
    quarter = 10.0 * 3.141592653589793 / 2.0
    return [
        road(number="1", link=to_junction, lanes=section(lane(-1), lane(1))),
        road(
            number="2", link=from_junction, lanes=section(lane(-1), lane(1)),
            plan='<geometry s="0" x="120" y="0" hdg="0" length="100"><line/></geometry>',
        ),
        road(
            number="3", link=from_junction, lanes=section(lane(-1), lane(1)),
            plan='<geometry s="0" x="110" y="10" hdg="1.5707963267948966" length="100"><line/>'
            "</geometry>",
        ),
        road(
            number="12", length=20.0, junction="9", lanes=section(lane(-1, link=same)),
            link=before.format("1", "end") + after.format("2", "start"),
            plan='<geometry s="0" x="100" y="0" hdg="0" length="20"><line/></geometry>',
        ),
        road(
            number="13", length=quarter, junction="9", lanes=section(lane(-1, link=same)),
            link=before.format("1", "end") + after.format("3", "start"),
            plan=f'<geometry s="0" x="100" y="0" hdg="0" length="{quarter}">'
            '<arc curvature="0.1"/></geometry>',
        ),
        # Back from road 2 onto road 1, in their left lanes.
        road(
            number="21", length=20.0, junction="9",
            lanes=section(lane(-1, link='<predecessor id="1"/><successor id="1"/>')),
            link=before.format("2", "start") + after.format("1", "end"),
            plan='<geometry s="0" x="120" y="0" hdg="3.141592653589793" length="20"><line/>'
            "</geometry>",
        ),
        '<junction id="9" name="crossing">'
        '<connection id="0" incomingRoad="1" connectingRoad="12" contactPoint="start">'
        '<laneLink from="-1" to="-1"/></connection>'
        '<connection id="1" incomingRoad="1" connectingRoad="13" contactPoint="start">'
        '<laneLink from="-1" to="-1"/></connection>'
        '<connection id="2" incomingRoad="2" connectingRoad="21" contactPoint="start">'
        '<laneLink from="1" to="-1"/></connection>'
        '<priority high="12" low="13"/><controller id="c"/></junction>',
    ]  # fmt: skip
