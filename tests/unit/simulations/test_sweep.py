"""What a sweep varies, and what it says of its runs: hand-worked numbers."""

from __future__ import annotations

from dataclasses import replace

import pytest

from simulations.results import results_of
from simulations.runs import run_both
from simulations.scenario_tables import ScenarioError
from simulations.sweep import (
    PointResult,
    Savings,
    front,
    means_of,
    measures_of,
    parse_parameter,
    points_of,
    student_t,
    trades_of,
)
from simulations.sweep_text import table_rows
from tests.unit.simulations.scenarios import a_request_trace, routed_inputs, some_inputs


@pytest.mark.parametrize(
    ("text", "values", "labels"),
    [
        ("jobs.slack_s=6h,12h", ("6h", "12h"), ("6h", "12h")),
        ("policy.hold_s=0:4:1", (0, 1, 2, 3, 4), ("0", "1", "2", "3", "4")),
        ("jobs.slack_s=6h:1d:6h", (21600, 43200, 64800, 86400), ("6 h", "12 h", "18 h", "1 d")),
        ("requests.flex_ratio=0:0.3:0.1", (0, 0.1, 0.2, 0.3), ("0", "0.1", "0.2", "0.3")),
        ("region.gpus=8:0:-4", (8, 4, 0), ("8", "4", "0")),
        ("start=2022-03-01T00:00:00Z", ("2022-03-01T00:00:00+00:00",), ("2022-03-01T00:00:00Z",)),
        ('jobs.regions=["a","b"],["c"]', (["a", "b"], ["c"]), ("['a', 'b']", "['c']")),
        ("forecast.kind=perfect,seasonal", ("perfect", "seasonal"), ("perfect", "seasonal")),
    ],
)
def test_a_parameter_lists_its_values(text: str, values: tuple[object, ...], labels: tuple[str, ...]) -> None:
    parameter = parse_parameter(text)
    assert (parameter.values, parameter.labels) == (values, labels)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("jobs.slack_s", "is not PATH=VALUE"),
        ("jobs.slack_s=", "has no values"),
        ("jobs.slack_s=4:0:1", "never gets from its start to its stop"),
        ("jobs.slack_s=0:4:0", "never gets from its start to its stop"),
        ("jobs.slack_s=0h:4x:1h", "'4x': 'x' is no unit of time"),
    ],
)
def test_a_parameter_without_values_is_refused(text: str, words: str) -> None:
    with pytest.raises(ScenarioError, match=words):
        parse_parameter(text)


def test_points_are_all_combinations_with_the_last_parameter_fastest() -> None:
    parameters = [parse_parameter("jobs.slack_s=1h,2h"), parse_parameter("region.gpus=1:3:1")]
    assert points_of(parameters) == [(0, 0), (0, 1), (0, 2), (1, 0), (1, 1), (1, 2)]


def test_savings_have_an_interval_by_students_t() -> None:
    # Mean 0.2, deviation 0.1, t for 2 degrees 4.303: 0.2 -+ 4.303 * 0.1 / sqrt(3).
    savings = Savings.over([0.1, 0.2, 0.3])
    assert savings.mean_ratio == pytest.approx(0.2)
    assert savings.low_ratio == pytest.approx(0.2 - 0.248434, abs=1e-5)
    assert savings.high_ratio == pytest.approx(0.2 + 0.248434, abs=1e-5)


def test_one_seed_has_no_interval_and_an_unknown_run_no_mean() -> None:
    assert Savings.over([0.1]) == Savings(mean_ratio=0.1, low_ratio=None, high_ratio=None)
    assert Savings.over([0.1, None]).mean_ratio is None
    assert means_of([{"wait_s": 1.0}, {"wait_s": None}]) == {"wait_s": None}
    assert means_of([{"wait_s": 1.0}, {"wait_s": 4.0}]) == {"wait_s": 2.5}


def test_the_quantile_goes_on_beyond_its_table() -> None:
    assert [round(student_t(degrees), 2) for degrees in (1, 9, 30, 31, 60, 10_000)] == [
        12.71,
        2.26,
        2.04,
        2.04,
        2.0,
        1.96,
    ]


def test_only_points_that_no_other_beats_are_on_the_front() -> None:
    gains = [0.1, 0.2, 0.2, 0.15, None]
    losses = [1.0, 3.0, 2.0, 2.5, 0.0]
    assert front(gains, losses) == [True, False, True, False, False]


def test_two_equal_points_are_both_on_the_front() -> None:
    assert front([0.1, 0.1], [1, 1]) == [True, True]


def a_point(late: int, waiting_s: float | None) -> PointResult:
    return PointResult(
        labels=("x",),
        values=("x",),
        runs=1,
        savings=Savings.over([0.1]),
        means={
            "late": late,
            "jobs_wait_p99_s": waiting_s,
            "interactive_latency_p99_s": None,
            "answered_badly_ratio": None,
        },
    )


def test_a_cost_that_never_changes_or_is_unknown_is_no_trade() -> None:
    assert list(trades_of([a_point(0, 5.0), a_point(0, 6.0)])) == ["jobs_wait_p99_s"]
    assert list(trades_of([a_point(0, None), a_point(1, 6.0)])) == ["late"]


def test_a_router_trades_grams_for_bad_answers() -> None:
    first, second = (a_request_trace((at_s, 200, 20)) for at_s in (0.0, 60.0))
    routed = measures_of(results_of(run_both(routed_inputs(first, second))))
    assert routed["answered_badly_ratio"] == pytest.approx(0.3)
    plain = measures_of(results_of(run_both(some_inputs(requests=first))))
    assert plain["answered_badly_ratio"] is None
    plain_point = a_point(0, None)
    points = [replace(plain_point, means={**plain_point.means, "answered_badly_ratio": bad}) for bad in (0.2, 0.3)]
    assert list(trades_of(points)) == ["answered_badly_ratio"]
    assert [row[-1] for row in table_rows(points)] == ["20.0%  ", "30.0%  "]


def test_rows_show_costs_with_a_star_on_the_front() -> None:
    points = [a_point(0, 5.0), replace(a_point(0, 7200.0), fronts=frozenset({"jobs_wait_p99_s"}))]
    assert table_rows(points) == [("x", "+10.0%", "5 s  "), ("x", "+10.0%", "2 h *")]
