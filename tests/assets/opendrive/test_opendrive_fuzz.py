"""Whatever is changed in a file, it is read or refused in one sentence."""

import re

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from xodr_text import crossing, road

from proveout.assets.files.errors import ModelError
from proveout.assets.opendrive.report import table
from proveout.assets.opendrive.road_map import load_road

MORE = (
    '<type s="0" type="town"><speed max="50" unit="km/h"/></type><elevationProfile><elevation '
    's="0" a="1" b="0.01" c="0" d="0"/></elevationProfile><lateralProfile><superelevation s="10" '
    'a="0.1" b="0" c="0" d="0"/></lateralProfile>'
)
PLAN = (
    '<geometry s="0" x="500" y="0" hdg="0" length="60"><spiral curvStart="0" curvEnd="0.01"/>'
    '</geometry><geometry s="60" x="559.8" y="6" hdg="0.3" length="40"><paramPoly3 '
    'pRange="normalized" aU="0" bU="40" cU="0" dU="0" aV="0" bV="0" cV="1" dV="0"/></geometry>'
)
MARK = '<roadMark sOffset="0" type="broken" width="0.1" color="white"/></lane>'
TEXT = "".join([*crossing(), road(number="50", more=MORE, plan=PLAN)]).replace("</lane>", MARK)
VALUES = [match.span(1) for match in re.finditer(r'="([^"]*)"', TEXT)]
JUNK = [
    "nan", "inf", "-1", "0", "1e9", "-1e9", "1e-300", "", "9" * 50, "start", "12", "-7", "1e6",
    "0.5", "100", "road", "true",
]  # fmt: skip


@given(
    changes=st.lists(
        st.tuples(st.integers(0, len(VALUES) - 1), st.sampled_from(JUNK)), min_size=1, max_size=3
    )
)
@settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
def test_changed_values_are_read_or_refused(tmp_path_factory, changes):
    text = TEXT
    for index, junk in sorted(dict(changes).items(), reverse=True):
        begin, end = VALUES[index]
        text = text[:begin] + junk + text[end:]
    path = tmp_path_factory.getbasetemp() / "changed.xodr"
    path.write_text(f'<OpenDRIVE><header revMajor="1" revMinor="8"/>{text}</OpenDRIVE>')
    refused = ""
    try:
        found = load_road(path, spacing=10.0)
    except ModelError as error:
        refused = str(error)
    if refused:
        assert str(path) in refused
        assert "\n" not in refused
        return
    assert np.isfinite(found.network.x).all()
    assert "changed.xodr" in table(found)
    found.locate(50.0, 1.0, heading=0.0)
