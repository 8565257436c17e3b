"""Scenario files with something changed at random: they are read, or refused in one sentence."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lxml import etree
from scenario_text import (
    car,
    catalog,
    distribution,
    group,
    parameter,
    scenario,
    span,
    values,
    write,
)

from proveout.assets.files.errors import ScenarioError
from proveout.assets.scenario.concrete import concrete
from proveout.assets.scenario.describe import describe, table
from proveout.assets.scenario.rows import load_rows
from proveout.assets.scenario.structures import Structures

REFERENCE = (
    '<CatalogReference catalogName="cars" entryName="$model"><ParameterAssignments>'
    '<ParameterAssignment parameterRef="width" value="${$v / 20}"/></ParameterAssignments>'
    "</CatalogReference>"
)
FILES = {
    "cars/cars.xosc": catalog(
        car("a", "$width", parameter("width", "2")), car("b", "$width", parameter("width", "3"))
    ),
    "scenario.xosc": scenario(
        parameter("v", "36", groups=group(("greaterThan", "0"), ("lessThan", "${$n * 100}")))
        + parameter("n", "2", "integer") + parameter("model", "a", "string"),
        ego=REFERENCE, catalog="cars", speed="${$v / 3.6}",
    ),
    "rows.xosc": distribution(
        f"<Deterministic>{span('v', '0', '72', '36')}{values('model', 'a', 'b')}</Deterministic>"
    ),
}  # fmt: skip
TEXTS = st.one_of(
    st.sampled_from([
        "", "$", "${", "${}", "$v", "${$v}", "${1/0}", "$model", "${$model + 1}", "NaN", "INF",
        "-1", "1e400", "99999999999999999999", "true", "string", "../..", "a\x7fb", "rows.xosc",
    ]),
    st.text(alphabet="$v{}()+-*/. 019aeinf", max_size=12),
)  # fmt: skip


@given(
    st.sampled_from(sorted(FILES)), st.integers(0, 10**6), st.integers(0, 10**6), TEXTS,
    st.sampled_from(["set", "remove", "rename", "drop", "double", "move"]),
)  # fmt: skip
@settings(max_examples=250, deadline=None)
def test_a_changed_file_is_read_or_refused(
    tmp_path_factory: pytest.TempPathFactory, name: str, where: int, which: int, text: str,
    change: str,
) -> None:  # fmt: skip
    root = etree.fromstring(FILES[name].encode())
    elements = list(root.iter())
    element = elements[where % len(elements)]
    keys = sorted(element.attrib)
    if change == "set" and keys:
        element.set(keys[which % len(keys)], "".join(c for c in text if c.isprintable()))
    elif change == "remove" and keys:
        del element.attrib[keys[which % len(keys)]]
    elif change == "rename":
        element.tag = str(elements[which % len(elements)].tag)
    elif element.getparent() is not None:
        parent = element.getparent()
        if change == "drop":
            parent.remove(element)
        elif change == "double":
            parent.append(etree.fromstring(etree.tostring(element)))
        elif change == "move" and elements[which % len(elements)] not in element.iter():
            elements[which % len(elements)].append(element)
    folder = tmp_path_factory.mktemp("changed")
    for other, content in FILES.items():
        write(folder, etree.tostring(root).decode() if other == name else content, other)
    try:
        rows = load_rows(folder / "rows.xosc")
        rows.count(1000)
        for one in Structures(rows).groups(size=100):
            table(describe(rows, one.structure))
            assert concrete(rows, int(one.rows[0]), folder)
            break
    except ScenarioError as error:
        sentence = str(error)
        assert "\n" not in sentence
        assert Path(folder).name in sentence
