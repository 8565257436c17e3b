"""Observation layouts: where each entry lies, what they refuse, and their text forms."""

import json
import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from proveout.assets.files.layout import Entry, Layout, LayoutError

LAYOUT = Layout(
    (
        Entry("joint_position", (6,), "rad", "Arm joints", low=-math.pi, high=math.pi),
        Entry("speed", (), "m/s", "Of the tool", frame="base"),
        Entry("neighbours", (3, 4), "m", "Present, x, y, length | others", frame="ego", set=True),
    )
)


def changed(**values):
    rows = json.loads(LAYOUT.to_json())["entries"]
    rows[1].update(values)
    return json.dumps({"entries": rows})


def test_places():
    assert LAYOUT.size == 6 + 1 + 12
    assert LAYOUT.slices == {
        "joint_position": slice(0, 6),
        "speed": slice(6, 7),
        "neighbours": slice(7, 19),
    }


@pytest.mark.parametrize("make", [np.arange, torch.arange])
@pytest.mark.parametrize("lead", [(), (5,), (2, 3)])
def test_split(make, lead):
    count = int(np.prod(lead, dtype=int)) * 19
    array = make(count).reshape((*lead, 19))
    parts = LAYOUT.split(array)
    assert {name: tuple(part.shape) for name, part in parts.items()} == {
        "joint_position": (*lead, 6),
        "speed": lead,
        "neighbours": (*lead, 3, 4),
    }
    flat = np.asarray(array).reshape(-1, 19)
    np.testing.assert_array_equal(np.asarray(parts["speed"]).ravel(), flat[:, 6])
    rows = np.asarray(parts["neighbours"]).reshape(-1, 12)
    np.testing.assert_array_equal(rows, flat[:, 7:])


@pytest.mark.parametrize("shape", [(18,), (19, 2), ()])
def test_split_refuses_another_size(shape):
    with pytest.raises(LayoutError, match="last dimension must be 19"):
        LAYOUT.split(np.zeros(shape))


def test_space():
    space = LAYOUT.space()
    assert space.shape == (19,)
    assert space.dtype == np.float32
    np.testing.assert_array_equal(space.high[:6], np.full(6, math.pi, np.float32))
    assert np.isinf(space.low[6:]).all()


FRACTION: Any = 1.5
NUMBER: Any = 3


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Entry("", (1,), "m", ""), "empty name"),
        (lambda: Entry("  ", (1,), "m", ""), "empty name"),
        (lambda: Entry("x", (0,), "m", ""), "'x'.*at least 1"),
        (lambda: Entry("x", (FRACTION,), "m", ""), "'x'.*integer"),
        (lambda: Entry("x", NUMBER, "m", ""), r"'x' has shape 3; expected a tuple, \(\) for one"),
        (lambda: Entry("x", (), "m", NUMBER), "'x' has description 3; expected text"),
        (lambda: Entry("x", (1,), "m", "", low=2.0, high=1.0), "'x'.*low"),
        (lambda: Entry("x", (1,), "m", "", low=math.nan), "'x'.*low"),
        (lambda: Entry("x", (4,), "m", "", set=True), "'x'.*rows, features"),
        (lambda: Layout(()), "no entries"),
        (lambda: Layout((Entry("x", (), "m", ""),) * 2), "'x' appears twice"),
        (lambda: Layout((Entry("x", (10**9,), "m", ""),)), "at most"),
    ],
)
def test_refusals(make, message):
    with pytest.raises(LayoutError, match=message):
        make()


def test_json_round_trip():
    text = LAYOUT.to_json()
    assert "Infinity" not in text  # JSON has no infinity
    assert Layout.from_json(text) == LAYOUT


entries = st.builds(
    Entry,
    name=st.text(min_size=1, max_size=8).filter(str.strip),
    shape=st.lists(st.integers(1, 4), min_size=2, max_size=2).map(tuple),
    unit=st.sampled_from(["m", "rad", "1"]),
    description=st.text(max_size=8),
    low=st.floats(-1e30, 0) | st.just(-math.inf),
    high=st.floats(0, 1e30) | st.just(math.inf),
    set=st.booleans(),
)


@settings(max_examples=50, deadline=None)
@given(st.lists(entries, min_size=1, max_size=5, unique_by=lambda entry: entry.name))
def test_any_layout_survives_json(parts):
    layout = Layout(tuple(parts))
    assert Layout.from_json(layout.to_json()) == layout
    array = np.arange(2 * layout.size).reshape(2, layout.size)
    pieces = [part.reshape(2, -1) for part in layout.split(array).values()]
    np.testing.assert_array_equal(np.concatenate(pieces, axis=1), array)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "not valid JSON"),
        ("[" * 100_000, "not valid JSON"),
        ("[]", '"entries"'),
        ('{"entries": 3}', '"entries"'),
        ('{"entries": [3]}', "entry 0 must be a JSON object"),
        (changed(shap=[1]), "'speed' has an unknown key 'shap'"),
        ('{"entries": [{"name": "x"}]}', "'x' has no 'shape'"),
        (changed(shape=3), "'speed': 'shape' must be a list"),
        (changed(shape=["3"]), "'speed' has shape .*integer"),
        (changed(shape=[True]), "'speed' has shape .*integer"),
        (changed(unit=3), "'speed': 'unit' must be text"),
        (changed(low="small"), "'speed': 'low' must be a number"),
        (changed(high=10**400), "'speed': 'high' is beyond float32"),
        (changed(set=1), "'speed': 'set' must be true or false"),
        (changed(name="joint_position"), "'joint_position' appears twice"),
        (changed(shape=[10**12]), "at most"),
        (" " * 5_000_000, "too long"),
    ],
)
def test_from_json_names_the_fault(text, message):
    with pytest.raises(LayoutError, match=message):
        Layout.from_json(text)


def test_difference():
    position, speed, neighbours = LAYOUT.entries
    assert LAYOUT.difference(LAYOUT) == []
    assert (
        LAYOUT.difference(
            Layout((position, Entry("speed", (), "m/s", "Other words", "base"), neighbours))
        )
        == []
    )
    other = Layout((position, Entry("speed", (2,), "km/h", "", "base")))
    assert LAYOUT.difference(other) == [
        "'neighbours' is missing.",
        "'speed' has shape (2,), expected ().",
        "'speed' has unit 'km/h', expected 'm/s'.",
    ]
    assert other.difference(LAYOUT)[0] == "'neighbours' is not known here."
    swapped = Layout((speed, position, neighbours))
    assert LAYOUT.difference(swapped) == ["'speed' stands where 'joint_position' is expected."]


def test_table():
    lines = LAYOUT.table().splitlines()
    assert lines[2] == ("| 0:6 | joint_position | 6 | rad |  | -3.14159 | 3.14159 | Arm joints |")
    assert "3 x 4 (set)" in lines[4]
    assert "length \\| others" in lines[4]  # a bar in prose must not end the cell
