"""Spaces of parameters: counted before they are made, and what is typed comes back."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proveout.envs.core.errors import ConfigError, UnknownNameError
from proveout.training.sweep.space import METHODS, Parameter, Space, parameter_from, parse_vary

NAMES = st.from_regex(r"[a-z_][a-z_0-9.]{0,12}", fullmatch=True)
NUMBERS = st.floats(-1e6, 1e6, allow_nan=False).map(lambda x: float(f"{x:.9g}"))


def grid(**values):
    return tuple(Parameter(name=name, values=tuple(v)) for name, v in values.items())


@given(NAMES, st.lists(NUMBERS, min_size=1, max_size=8, unique=True))
def test_a_list_comes_back(name, values):
    parameter = parse_vary(f"{name}={','.join(map(repr, values))}")
    assert parameter.name == name
    assert list(parameter.values) == values
    assert parameter_from(name, parameter.plain()) == parameter


@given(NUMBERS, NUMBERS, st.integers(2, 50))
def test_a_grid_has_both_ends_and_the_count(a, b, count):
    low, high = sorted((a, b))
    if not high - low > 1e-3 * max(1.0, abs(low), abs(high)):
        return
    parameter = parse_vary(f"x={low!r}:{high!r}:{count}")
    assert len(parameter.values) == count
    assert parameter.values[0] == low
    assert parameter.values[-1] == high
    assert np.all(np.diff(parameter.values) > 0)


@given(st.text(max_size=40))
def test_any_text_is_a_parameter_or_one_sentence(text):
    try:
        parameter = parse_vary(text)
    except (ConfigError, UnknownNameError):
        return  # anything else is a fault
    assert parameter_from(parameter.name, parameter.plain()) == parameter


@settings(deadline=None)  # the first imports scipy
@given(
    st.lists(st.integers(1, 4), min_size=0, max_size=3),
    st.integers(0, 2),
    st.sampled_from(METHODS),
    st.sampled_from([1, 2, 8]),
)
def test_points_are_as_many_as_were_counted(sizes, drawn, method, points):
    parameters = [
        *grid(**{f"g{i}": range(size) for i, size in enumerate(sizes)}),
        *(Parameter(name=f"d{i}", distribution="uniform", second=1.0) for i in range(drawn)),
    ]
    space = Space(parameters=tuple(parameters), method=method, points=points)
    columns = space.columns()
    lengths = {len(values) for values in columns.values()} or {1}
    assert lengths == {space.count()}
    for i in range(drawn):
        assert all(0.0 <= value <= 1.0 for value in columns[f"d{i}"])
    assert columns == space.columns()  # the same draws again


def test_the_last_parameter_of_a_grid_changes_fastest():
    assert Space(parameters=grid(a=[1, 2], b=[5, 6, 7])).columns() == {
        "a": [1, 1, 1, 2, 2, 2],
        "b": [5, 6, 7, 5, 6, 7],
    }


def test_linked_parameters_move_together():
    linked = [
        Parameter(name="a", values=(1, 2), linked="g"),
        Parameter(name="b", values=(10, 20), linked="g"),
        Parameter(name="c", values=(0, 1)),
    ]
    columns = Space(parameters=tuple(linked)).columns()
    assert columns == {"a": [1, 1, 2, 2], "b": [10, 10, 20, 20], "c": [0, 1, 0, 1]}
    drawn = [
        Parameter(name="a", distribution="uniform", first=0.0, second=1.0, linked="g"),
        Parameter(name="b", distribution="uniform", first=0.0, second=10.0, linked="g"),
    ]
    columns = Space(parameters=tuple(drawn), points=16).columns()
    np.testing.assert_allclose(columns["b"], 10 * np.array(columns["a"]), rtol=1e-9)


def test_a_conditional_parameter_exists_where_its_condition_holds():
    parameters = (
        Parameter(name="kind", values=("a", "b")),
        Parameter(name="size", values=(1, 2, 3), when=(("kind", ("b",)),)),
    )
    columns = Space(parameters=parameters).columns()
    assert columns == {"kind": ["a", "b", "b", "b"], "size": [None, 1, 2, 3]}


def test_distributions_have_their_quantiles():
    at = np.array([0.0, 0.5, 1.0])
    log = Parameter(name="x", distribution="log-uniform", first=0.1, second=10.0)
    np.testing.assert_allclose(log.at(at), [0.1, 1.0, 10.0])
    normal = Parameter(name="x", distribution="normal", first=3.0, second=2.0)
    # Quantiles of the standard normal distribution: 0.8413 is one deviation above the mean.
    np.testing.assert_allclose(normal.at(np.array([0.5, 0.8413447])), [3.0, 5.0], atol=1e-6)
    assert np.isfinite(normal.at(at)).all()


def test_saltelli_points_are_those_that_salib_reads():
    salib = pytest.importorskip("SALib.analyze.sobol")
    parameters = tuple(
        Parameter(name=f"x{i}", distribution="uniform", first=-np.pi, second=np.pi)
        for i in range(3)
    )
    columns = Space(parameters=parameters, method="saltelli", points=1024).columns()
    x, y, z = (np.array(columns[f"x{i}"]) for i in range(3))
    problem = {"num_vars": 3, "names": ["x0", "x1", "x2"], "bounds": [[-np.pi, np.pi]] * 3}
    found = salib.analyze(
        problem, np.sin(x) + 7 * np.sin(y) ** 2 + 0.1 * z**4 * np.sin(x), calc_second_order=False
    )
    # Ishigami's function with a = 7, b = 0.1: Ishigami and Homma (1990), closed form.
    np.testing.assert_allclose(found["S1"], [0.3139, 0.4424, 0.0], atol=0.05)
    np.testing.assert_allclose(found["ST"], [0.5576, 0.4424, 0.2437], atol=0.05)


def test_a_space_of_10_to_the_12_is_counted_at_once():
    space = Space(parameters=grid(**{f"p{i}": range(1000) for i in range(4)}))
    assert space.count() == 10**12


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("gap", "NAME=LOW:HIGH:COUNT"),
        ("gap=", "NAME=LOW:HIGH:COUNT"),
        ("gap=1:2:x", "NAME=LOW:HIGH:COUNT"),
        ("gap=2:1:3", "low < high"),
        ("gap=0:1:0", "count is a whole number"),
        ("gap=1,1", "given twice"),
        ("gap=log-uniform:0:2", "low above 0"),
        ("gap=normal:1:0", "deviation above 0"),
        ("gap=nan:1:3", "NAME=LOW:HIGH:COUNT"),
        ("gap=nan", "finite numbers"),
    ],
)
def test_bad_texts_are_one_sentence(text, told):
    with pytest.raises(ConfigError, match=told):
        parse_vary(text)


def test_bad_spaces_name_the_parameter():
    with pytest.raises(UnknownNameError, match="did you mean 'values'"):
        parameter_from("gap", {"value": [1]})
    with pytest.raises(ConfigError, match="distribution and low"):
        parameter_from("gap", {"low": 1, "high": 2, "count": 3, "distribution": "uniform"})
    with pytest.raises(ConfigError, match="how many points"):
        Space(parameters=(parse_vary("gap=1:2"),))
    with pytest.raises(ConfigError, match="power of two"):
        Space(parameters=(parse_vary("gap=1:2"),), method="sobol", points=10).columns()
    with pytest.raises(ConfigError, match="linked"):
        Space(parameters=(
            Parameter(name="a", values=(1,), linked="g"),
            Parameter(name="b", values=(1, 2), linked="g"),
        ))  # fmt: skip
    with pytest.raises(UnknownNameError, match="did you mean 'kind'"):
        Space(parameters=(*grid(kind=["a"]), Parameter(name="b", values=(1,),
                                                        when=(("kin", ("a",)),))))  # fmt: skip
