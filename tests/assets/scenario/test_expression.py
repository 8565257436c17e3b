"""Expressions of OpenSCENARIO: the standard's operators, over rows, and what is refused."""

import math
import operator

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proveout.assets.scenario.expression import (
    FUNCTIONS,
    MAX_LENGTH,
    ExpressionError,
    parse_expression,
)


def value(text: str, **parameters: object) -> object:
    known = {n: v if isinstance(v, str) else np.asarray(v) for n, v in parameters.items()}
    return parse_expression(text).evaluate(known)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1 + 2 * 3", 7), ("(1 + 2) * 3", 9), ("7 - 2 - 1", 4), ("8 / 4 / 2", 1), ("1/4", 0.25),
        ("-2 - -3", 1), ("--2", 2), ("2 * -3", -6), ("7 % 4", 3), ("-7 % 4", -3),
        ("pow(2, 10)", 1024), ("sqrt(2.25)", 1.5), ("round(2.5)", 3), ("round(-2.5)", -3),
        ("floor(-0.5)", -1), ("ceil(0.1)", 1), ("abs(-3)", 3), ("sign(-3)", -1), ("sign(0)", 0),
        ("max(1, 2) + min(1, 2)", 3), ("sin(pi / 2)", 1), ("cos(0)", 1), ("tan(0)", 0),
        ("asin(1)", math.pi / 2), ("acos(1)", 0), ("atan(1)", math.pi / 4), ("e", math.e),
        ("1.5e3 + .5", 1500.5), ("60*pi/180", math.pi / 3), ("  3  ", 3),
    ],
)  # fmt: skip
def test_numbers(text: str, expected: float) -> None:
    assert value(text) == pytest.approx(expected, abs=1e-15)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("true and not false", True), ("not true or true", True), ("not (true or true)", False),
        ("true or true and false", True), ("not not true", True),
    ],
)  # fmt: skip
def test_logic(text: str, expected: bool) -> None:
    assert value(text) == expected


def test_all_rows_at_once() -> None:
    speed = np.array([10.0, 20.0, 36.0])
    np.testing.assert_allclose(value("$v / 3.6 + $w", v=speed, w=1.0), speed / 3.6 + 1.0)
    assert parse_expression("$v / 3.6 + $w").parameters == {"v", "w"}


def test_one_parameter_keeps_its_text() -> None:
    assert value("$name", name="car") == "car"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("1 / 0", "division by zero"), ("5 % 0", "division by zero"),
        ("sqrt(-1)", "'sqrt' gives no finite number"), ("asin(2)", "no finite number"),
        ("pow(10, 1000)", "no finite number"), ("1e999", "too large"), ("1 +", "missing"),
        ("(1", "')' is expected"), ("1)", "unexpected"), ("pow(1)", "',' is expected"),
        ("pow(1, 2, 3)", "')' is expected"), ("foo(1)", "no function"), ("1 == 1", "not part"),
        ("__import__", "no function"), ("1 and true", "'and' takes true or false"),
        ("true + 1", "'+' takes numbers"), ("", "missing"), ("$", "not part"),
        ("1 2", "unexpected"),
        ("$v.real", "not part"), ("nan", "no function"), ("-'a'", "not part"),
    ],
)  # fmt: skip
def test_refused(text: str, told: str) -> None:
    with pytest.raises(ExpressionError) as caught:
        value(text, v=1.0)
    assert told in str(caught.value)


def test_a_text_is_no_number() -> None:
    with pytest.raises(ExpressionError, match="not a text"):
        value("$name + 1", name="car")


def test_the_row_that_divides_by_zero_is_noted() -> None:
    with pytest.raises(ExpressionError, match="division by zero") as caught:
        value("1 / $v", v=np.array([1.0, 2.0, 0.0, 0.0]))
    assert caught.value.__notes__ == ["2"]


def test_size_is_bounded() -> None:
    with pytest.raises(ExpressionError, match="longer than"):
        parse_expression("1" * (MAX_LENGTH + 1))
    with pytest.raises(ExpressionError, match="deep"):
        parse_expression("(" * 100 + "1" + ")" * 100)
    # A long chain costs no recursion.
    assert value("1" + "+1" * 4000) == 4001
    assert value("-" * 9000 + "1") == 1


# Trees with the value that Python gives them, rendered with all brackets or with few.
NUMBERS = st.floats(-1e3, 1e3, allow_nan=False).map(lambda x: round(x, 3))
BINARY = {"+": operator.add, "-": operator.sub, "*": operator.mul, "/": operator.truediv}


def leaf(number: float) -> tuple[str, float]:
    return (f"{number:.3f}" if number >= 0 else f"(-{-number:.3f})"), float(f"{number:.3f}")


def join(sign: str, a: tuple[str, float], b: tuple[str, float]) -> tuple[str, float]:
    if sign == "/" and b[1] == 0.0:
        sign = "+"
    return f"({a[0]} {sign} {b[0]})", BINARY[sign](a[1], b[1])


TREES = st.recursive(
    NUMBERS.map(leaf),
    lambda inner: st.one_of(
        st.builds(join, st.sampled_from(sorted(BINARY)), inner, inner),
        inner.map(lambda a: (f"-{a[0]}", -a[1])),
        st.builds(lambda a, b: (f"max({a[0]},{b[0]})", max(a[1], b[1])), inner, inner),
        inner.map(lambda a: (f"floor({a[0]})", float(math.floor(a[1])))),
    ),
    max_leaves=12,
)


@given(TREES)
@settings(max_examples=200, deadline=None)
def test_trees_agree_with_python(tree: tuple[str, float]) -> None:
    text, expected = tree
    if not math.isfinite(expected):
        return
    assert value(text) == expected  # the same operations in the same order: bit for bit


@given(
    st.lists(st.tuples(st.sampled_from("+-*"), st.integers(0, 9)), max_size=8), st.integers(0, 9)
)
@settings(max_examples=200, deadline=None)
def test_precedence_agrees_with_python(rest: list[tuple[str, int]], first: int) -> None:
    text = str(first) + "".join(f" {sign} {number}" for sign, number in rest)
    expected = eval(text, {"__builtins__": {}})  # of digits and signs made above
    assert value(text) == expected


@given(st.text(alphabet="$ab(){}0129.+-*/%, epiomxnt", max_size=40))
@settings(max_examples=400, deadline=None)
def test_any_text_is_a_value_or_an_error(text: str) -> None:
    try:
        result = value(text, a=np.array([1.0, 0.0]), b=2.0, ab=3.0)
    except (ExpressionError, KeyError):  # a parameter that is not there: found before evaluation
        return
    assert np.all(np.isfinite(np.asarray(result, float)))


def test_every_function_takes_what_it_says() -> None:
    for name, function in FUNCTIONS.items():
        if name.isalpha() and name != "negate" and not function.logical:
            arguments = ", ".join(["0.5"] * function.operands)
            assert np.isfinite(value(f"{name}({arguments})"))
