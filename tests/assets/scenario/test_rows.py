"""Distributions: how many rows, which values, which within constraints, drawn how."""

import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scenario_text import distribution, group, parameter, scenario, sets, span, values, write
from scipy import stats

from proveout.assets.files.errors import ScenarioError
from proveout.assets.scenario.rows import Counts, Rows, load_rows


def rows_of(folder: Path, parameters: str, inner: str, kind: str = "Deterministic") -> Rows:
    write(folder, scenario(parameters))
    attributes = "" if kind == "Deterministic" else ' numberOfTestRuns="4000" randomSeed="7"'
    text = f"<{kind}{attributes}>{inner}</{kind}>"
    return load_rows(write(folder, distribution(text), "rows.xosc"))


def column(rows: Rows, name: str) -> list[object]:
    return rows.columns(0, rows.size)[name].tolist()


@pytest.mark.parametrize(
    ("low", "high", "step", "expected"),
    [
        ("0.1", "0.5", "0.2", [0.1, 0.3, 0.5]),  # 0.1 + 0.2 is not 0.3 in binary
        ("1.1", "1.5", "0.2", [1.1, 1.3, 1.5]),
        ("0", "1", "0.3", [0.0, 0.3, 0.6, 0.9]),
        ("-5", "5", "5", [-5.0, 0.0, 5.0]),
        ("3", "3", "1", [3.0]),
        ("0", "1e1", "5", [0.0, 5.0, 10.0]),
        ("${1/4}", "0.75", "0.25", [0.25, 0.5, 0.75]),
    ],
)
def test_a_range_has_both_ends_and_decimal_steps(
    tmp_path: Path, low: str, high: str, step: str, expected: list[float]
) -> None:
    rows = rows_of(tmp_path, parameter("v", "0"), span("v", low, high, step))
    assert column(rows, "v") == expected


def test_axes_are_multiplied_and_the_last_varies_fastest(tmp_path: Path) -> None:
    declared = parameter("v", "0") + parameter("model", "car", "string") + parameter("a", "1")
    rows = rows_of(
        tmp_path, declared,
        span("v", "1", "2", "1") + sets({"model": "van", "a": "5"}, {"model": "bus"}),
    )  # fmt: skip
    assert rows.size == 4
    assert column(rows, "v") == [1.0, 1.0, 2.0, 2.0]
    assert column(rows, "model") == ["van", "bus", "van", "bus"]
    # A set that leaves a parameter out leaves it at its default.
    assert column(rows, "a") == [5.0, 1.0, 5.0, 1.0]
    assert rows.row(2) == {"v": 2.0, "model": "van", "a": 5.0}


def test_a_default_that_is_left_may_depend_on_the_row(tmp_path: Path) -> None:
    declared = parameter("v", "0") + parameter("a", "${$v * 10}")
    rows = rows_of(tmp_path, declared, span("v", "1", "2", "1") + sets({"a": "5"}, {}))
    assert column(rows, "a") == [5.0, 10.0, 5.0, 20.0]


def test_groups_are_alternatives_and_constraints_in_a_group_hold_together(tmp_path: Path) -> None:
    apart = group(("greaterThan", "0")) + group(("lessThan", "-5"))
    together = group(("greaterThan", "0"), ("lessThan", "3"))
    rows = rows_of(
        tmp_path, parameter("a", "1", groups=apart) + parameter("b", "1", groups=together),
        span("a", "-10", "10", "5") + span("b", "0", "4", "1"),
    )  # fmt: skip
    # a: -10, 5 and 10 of five; b: 1 and 2 of five. No a satisfies both bounds.
    assert rows.count() == Counts(rows=25, within=6, breaking=25)


def test_constraints_between_parameters(tmp_path: Path) -> None:
    limited = parameter("other", "1", groups=group(("lessThan", "$ego")))
    rows = rows_of(
        tmp_path, parameter("ego", "1") + limited + parameter("free", "0"),
        span("ego", "0", "3", "1") + span("other", "0", "3", "1") + span("free", "0", "6", "1"),
    )  # fmt: skip
    # Six of the sixteen pairs, each with seven values of the third.
    assert rows.count() == Counts(112, 42, 70)


def test_constraints_on_what_follows_from_others(tmp_path: Path) -> None:
    far = parameter("far", "${$v * 10}", groups=group(("lessOrEqual", "20")))
    rows = rows_of(tmp_path, parameter("v", "0") + far, span("v", "1", "5", "1"))
    assert rows.count() == Counts(5, 2, 3)


def test_a_billion_rows_are_counted_not_listed(tmp_path: Path) -> None:
    names = ["a", "b", "c"]
    declared = "".join(parameter(n, "0", groups=group(("lessThan", "500"))) for n in names)
    rows = rows_of(tmp_path, declared, "".join(span(n, "0", "999", "1") for n in names))
    assert rows.count() == Counts(10**9, 500**3, 10**9 - 500**3)
    assert rows.row(10**9 - 1) == {"a": 999.0, "b": 999.0, "c": 999.0}
    linked = parameter("sum", "${$a + $b + $c}", groups=group(("lessThan", "500")))
    rows = rows_of(tmp_path, declared + linked, "".join(span(n, "0", "999", "1") for n in names))
    assert rows.count() == Counts(10**9, None, None)


@given(
    st.lists(st.integers(1, 5), min_size=1, max_size=4),
    st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), max_size=3),
)
@settings(max_examples=40, deadline=None)
def test_counts_agree_with_listing(
    tmp_path_factory: pytest.TempPathFactory, sizes: list[int], links: list[tuple[int, int]]
) -> None:
    """Axes counted apart and multiplied give what all rows one by one give."""
    names = [f"p{i}" for i in range(len(sizes))]
    declared = ""
    pairs = [(a % len(names), b % len(names)) for a, b in links]
    for i, name in enumerate(names):
        limits = [("lessThan", f"${{$p{b} + 1}}") for a, b in pairs if a == i and b != i]
        declared += parameter(name, "0", groups=group(*limits) if limits else "")
    inner = "".join(
        span(name, "0", str(size - 1), "1") for name, size in zip(names, sizes, strict=True)
    )
    rows = rows_of(tmp_path_factory.mktemp("rows"), declared, inner)
    columns = rows.columns(0, rows.size)
    within = np.ones(rows.size, bool)
    for a, b in pairs:
        if a != b:
            within &= columns[f"p{a}"] < columns[f"p{b}"] + 1
    assert rows.count() == Counts(math.prod(sizes), int(within.sum()), int((~within).sum()))


def stochastic(name: str, inner: str) -> str:
    return f'<StochasticDistribution parameterName="{name}">{inner}</StochasticDistribution>'


RANGE = '<Range lowerLimit="{}" upperLimit="{}"/>'
# Each with the distribution of SciPy that it should be.
DISTRIBUTIONS = [
    ("<UniformDistribution>" + RANGE.format(2, 5) + "</UniformDistribution>", stats.uniform(2, 3)),
    ('<NormalDistribution expectedValue="3" variance="4"/>', stats.norm(3, 2)),
    (
        '<NormalDistribution expectedValue="3" variance="4">' + RANGE.format(2, 9)
        + "</NormalDistribution>",
        stats.truncnorm(-0.5, 3, 3, 2),
    ),
    (  # far in the tail, where 1 - CDF has no digits left
        '<NormalDistribution expectedValue="0" variance="1">' + RANGE.format(9, 20)
        + "</NormalDistribution>",
        stats.truncnorm(9, 20),
    ),
    (
        '<LogNormalDistribution expectedValue="3" variance="4"/>',
        stats.lognorm(math.sqrt(math.log(1 + 4 / 9)), scale=3 / math.sqrt(1 + 4 / 9)),
    ),
    (
        '<Histogram><Bin weight="1">' + RANGE.format(0, 1) + '</Bin><Bin weight="3">'
        + RANGE.format(1, 3) + "</Bin></Histogram>",
        stats.rv_histogram((np.array([0.25, 0.75]), np.array([0.0, 1.0, 3.0])), density=False),
    ),
]  # fmt: skip


@pytest.mark.parametrize(("inner", "expected"), DISTRIBUTIONS)
def test_continuous_distributions(tmp_path: Path, inner: str, expected: object) -> None:
    rows = rows_of(tmp_path, parameter("v", "0"), stochastic("v", inner), "Stochastic")
    drawn = rows.columns(0, rows.size)["v"]
    # Seeded: this is no matter of luck. A wrong mean or spread gives less than 1e-10.
    assert stats.kstest(drawn, expected.cdf).pvalue > 1e-3  # type: ignore[attr-defined]


def test_the_mean_of_a_log_normal_parameter_is_its_expected_value(tmp_path: Path) -> None:
    inner = '<LogNormalDistribution expectedValue="3" variance="4"/>'
    rows = rows_of(tmp_path, parameter("v", "0"), stochastic("v", inner), "Stochastic")
    drawn = rows.columns(0, rows.size)["v"]
    assert drawn.mean() == pytest.approx(3, abs=4 * 2 / math.sqrt(rows.size))  # four deviations


def test_poisson(tmp_path: Path) -> None:
    inner = (
        '<PoissonDistribution expectedValue="4">' + RANGE.format(2, 8) + "</PoissonDistribution>"
    )
    rows = rows_of(tmp_path, parameter("n", "0", "integer"), stochastic("n", inner), "Stochastic")
    drawn = rows.columns(0, rows.size)["n"]
    share = stats.poisson.pmf(np.arange(2, 9), 4)
    counts = [int((drawn == n).sum()) for n in range(2, 9)]
    assert sum(counts) == rows.size
    assert stats.chisquare(counts, share / share.sum() * rows.size).pvalue > 1e-3


def test_a_weighted_set_of_texts(tmp_path: Path) -> None:
    inner = (
        '<ProbabilityDistributionSet><Element value="car" weight="1"/><Element value="bus" '
        'weight="3"/></ProbabilityDistributionSet>'
    )
    rows = rows_of(tmp_path, parameter("m", "car", "string"), stochastic("m", inner), "Stochastic")
    drawn = rows.columns(0, rows.size)["m"]
    # Four standard deviations of a share of 0.75.
    assert (drawn == "bus").mean() == pytest.approx(0.75, abs=4 * math.sqrt(0.1875 / rows.size))


def test_any_row_can_be_drawn_alone_and_a_seed_draws_it_again(tmp_path: Path) -> None:
    inner = stochastic("v", DISTRIBUTIONS[1][0])
    rows = rows_of(tmp_path, parameter("v", "0"), inner, "Stochastic")
    drawn = rows.columns(0, rows.size)["v"]
    assert rows.row(1234)["v"] == drawn[1234]
    np.testing.assert_array_equal(rows.columns(100, 50)["v"], drawn[100:150])
    again = load_rows(rows.path, seed=7)
    np.testing.assert_array_equal(again.columns(0, 10)["v"], drawn[:10])
    other = load_rows(rows.path, seed=8)
    assert not np.any(other.columns(0, 10)["v"] == drawn[:10])


def test_parameters_are_drawn_independently(tmp_path: Path) -> None:
    inner = "".join(stochastic(n, DISTRIBUTIONS[1][0]) for n in "ab")
    rows = rows_of(tmp_path, parameter("a", "0") + parameter("b", "0"), inner, "Stochastic")
    columns = rows.columns(0, rows.size)
    # Four standard deviations of the correlation of independent numbers.
    assert abs(np.corrcoef(columns["a"], columns["b"])[0, 1]) < 4 / math.sqrt(rows.size)


def test_constraints_are_counted_of_drawn_rows(tmp_path: Path) -> None:
    limited = parameter("v", "3", groups=group(("greaterThan", "2.5"), ("lessThan", "4")))
    rows = rows_of(tmp_path, limited, stochastic("v", DISTRIBUTIONS[0][0]), "Stochastic")
    drawn = rows.columns(0, rows.size)["v"]
    assert rows.count().within == int(((drawn > 2.5) & (drawn < 4)).sum())


def test_user_defined_distributions(tmp_path: Path) -> None:
    write(tmp_path, scenario(parameter("v", "0")))
    node = '<UserDefinedDistribution type="twice">3</UserDefinedDistribution>'
    fixed = write(
        tmp_path,
        distribution(
            '<Deterministic><DeterministicSingleParameterDistribution parameterName="v">'
            f"{node}</DeterministicSingleParameterDistribution></Deterministic>"
        ),
        "fixed.xosc",
    )
    rows = load_rows(fixed, user={"twice": lambda text: [float(text), 2 * float(text)]})
    assert column(rows, "v") == [3.0, 6.0]
    drawn = write(
        tmp_path,
        distribution(f'<Stochastic numberOfTestRuns="5">{stochastic("v", node)}</Stochastic>'),
        "drawn.xosc",
    )
    rows = load_rows(drawn, user={"twice": lambda text: lambda u: 2 * float(text) + 0 * u})
    assert column(rows, "v") == [6.0] * 5
    for path in (fixed, drawn):
        with pytest.raises(ScenarioError, match="user-defined distribution 'twice' is not known"):
            load_rows(path)


@pytest.mark.parametrize(
    ("inner", "told"),
    [
        (span("w", "0", "1", "1"), "does not declare parameter w"),
        (span("vv", "0", "1", "1"), "did you mean v?"),
        (span("v", "0", "1", "0"), "stepWidth must be positive"),
        (span("v", "0", "1", "NaN"), "'NaN' is not a number"),
        (span("v", "2", "1", "1"), "lowerLimit 2 is above upperLimit 1"),
        (span("v", "0", "INF", "1"), "not a number"),
        (span("v", "0", "1", "1e-20"), "too many digits"),
        (span("v", "0", "1e100", "1"), "too many digits"),
        (span("v", "0", "1", "1e100"), "too many digits"),
        (span("v", "0", "1e14", "0.001"), "too many digits"),
        (span("v", "0", "${1/0}", "1"), "division by zero"),
        (values("v", "fast"), "'fast' is not a number"),
        (values("v"), "it is empty"),
        (values("v", "1") + values("v", "2"), "parameter v is varied twice"),
        (sets({"v": "nan"}), "'nan' is not a number"),
        (span("model", "0", "1", "1"), "has no range"),
        (span("n", "0", "1", "0.5"), "is not a whole number"),
        ("<Other/>", "not a deterministic distribution"),
    ],
)
def test_bad_distributions_are_named_with_their_line(tmp_path: Path, inner: str, told: str) -> None:
    declared = parameter("v", "0") + parameter("model", "car", "string")
    with pytest.raises(ScenarioError) as caught:
        rows_of(tmp_path, declared + parameter("n", "0", "integer"), inner)
    assert told in str(caught.value)
    assert "rows.xosc, line " in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("inner", "told"),
    [
        ('<NormalDistribution expectedValue="0" variance="-1"/>', "cannot be negative"),
        (
            '<NormalDistribution expectedValue="0" variance="0">' + RANGE.format(1, 2)
            + "</NormalDistribution>",
            "no value between 1 and 2",
        ),
        ('<PoissonDistribution expectedValue="0"/>', "must be positive"),
        ('<LogNormalDistribution expectedValue="-1" variance="1"/>', "must be positive"),
        ("<UniformDistribution/>", "it needs a <Range>"),
        ('<Histogram><Bin weight="0">' + RANGE.format(0, 1) + "</Bin></Histogram>", "weights"),
        ("<Histogram/>", "it is empty"),
        ("<CauchyDistribution/>", "unknown distribution"),
    ],
)  # fmt: skip
def test_bad_stochastic_distributions(tmp_path: Path, inner: str, told: str) -> None:
    with pytest.raises(ScenarioError) as caught:
        rows_of(tmp_path, parameter("v", "0"), stochastic("v", inner), "Stochastic")
    assert told in str(caught.value)
    assert "rows.xosc, line " in str(caught.value)


@pytest.mark.parametrize(
    "groups",
    [
        group(("greaterThan", "5"), ("lessThan", "3")),
        group(("greaterThan", "3"), ("lessThan", "3")),
        group(("equalTo", "1"), ("equalTo", "2")),
        group(("greaterThan", "5"), ("lessThan", "3")) + group(("equalTo", "1"), ("lessThan", "1")),
    ],
)
def test_constraints_that_contradict_each_other_are_refused(tmp_path: Path, groups: str) -> None:
    path = write(tmp_path, scenario(parameter("v", "4", groups=groups)))
    with pytest.raises(ScenarioError, match=r"line \d+.*constraints of parameter v contradict"):
        load_rows(path)


def test_constraints_with_a_value_left_are_kept(tmp_path: Path) -> None:
    kept = group(("greaterOrEqual", "3"), ("lessOrEqual", "3")) + group(("greaterThan", "9"))
    assert load_rows(write(tmp_path, scenario(parameter("v", "3", groups=kept)))).size == 1


def test_a_division_by_zero_names_the_row(tmp_path: Path) -> None:
    declared = parameter("v", "1") + parameter("w", "${1 / $v}", groups=group(("lessThan", "9")))
    rows = rows_of(tmp_path, declared, span("v", "-2", "2", "1"))
    with pytest.raises(ScenarioError, match=r"scenario.xosc, line \d+.*division by zero in row 2"):
        rows.count()


def test_a_row_that_is_not_there(tmp_path: Path) -> None:
    rows = rows_of(tmp_path, parameter("v", "1"), span("v", "0", "2", "1"))
    with pytest.raises(ScenarioError, match="has 3 rows, from 0 to 2, so there is no row 3"):
        rows.row(3)


def test_a_missing_scenario(tmp_path: Path) -> None:
    path = write(tmp_path, distribution("<Deterministic/>", "gone.xosc"), "rows.xosc")
    with pytest.raises(ScenarioError, match=r"rows.xosc, line \d+.*gone.xosc is missing"):
        load_rows(path)
