"""One table for many policies on the same work."""

from __future__ import annotations

import pytest

from simulations.comparison import ALL, TITLES, caption, columns, compared, plain_table, text_rows
from simulations.policy_bars import policy_figure
from simulations.report import html_report
from simulations.scenario import JobSettings, PolicyKind, RequestSettings
from simulations.summary import masses
from simulations.sweep import Savings
from tests.unit.simulations.scenarios import HOUR_S, a_job_trace, a_request_trace, routed_inputs, some_inputs

JOBS = a_job_trace((0.0, 2 * HOUR_S, 1))
KW = JobSettings(name="training", slack_s=12 * HOUR_S, power_per_gpu_w=1000.0)


def test_every_policy_has_a_name_in_the_table() -> None:
    assert set(TITLES) == set(ALL)


def test_running_at_once_comes_first_and_savings_are_signed() -> None:
    results, table = compared([some_inputs(jobs=JOBS, job_settings=KW)], [PolicyKind.LOWEST_SLOT])
    assert [row.kind for row in table.rows] == [
        PolicyKind.RUN_NOW,
        PolicyKind.LOWEST_SLOT,
        PolicyKind.CARBON_AWARE,
    ]
    assert [row.savings.mean_ratio for row in table.rows] == pytest.approx([0.0, 0.75, 0.75])
    assert results.policy == table.rows[-1].sides[0]


def test_the_table_speaks_of_what_the_scenario_has() -> None:
    _, table = compared([some_inputs(jobs=JOBS, job_settings=KW)], [])
    assert columns(table)[-1] == "pauses"
    assert text_rows(table)[0] == ("run at once", "800 g", "+0.0%", "0", "0 s", "0 s", "0")
    flex = RequestSettings(name="chat", flex_ratio=1.0)
    _, table = compared([some_inputs(requests=a_request_trace((0.0, 100, 10)), request_settings=flex)], [])
    assert columns(table)[-1] == "flex p99"
    assert len(text_rows(table)[0]) == len(columns(table))


def test_a_column_of_emissions_has_one_unit() -> None:
    assert masses([3_640_000.0, 997_000.0]) == ["3.64 t", "1.00 t"]
    assert masses([37_130.0, 28_060.0, 0.0]) == ["37.1 kg", "28.1 kg", "0.0 kg"]
    assert masses([0.5]) == ["0.50 g"]


def test_good_answers_stand_beside_what_a_router_saves() -> None:
    inputs = routed_inputs(a_request_trace((0.0, 200, 20)), a_request_trace((60.0, 200, 20)))
    _, table = compared([inputs], [PolicyKind.LOWEST_WINDOW])
    place = columns(table).index("good answers")
    assert [row[place] for row in text_rows(table)] == ["80.0%", "80.0%", "70.0%"]
    assert [row["answered_well_ratio"] for row in plain_table(table)] == pytest.approx([0.8, 0.8, 0.7])
    assert "flex mean" not in columns(table)
    assert "paid for in good answers" in policy_figure(table).caption


def test_workers_stay_warm_equally_long_under_every_policy() -> None:
    flex = RequestSettings(name="chat", flex_ratio=1.0, flex_deadline_s=12 * HOUR_S)
    inputs = some_inputs(requests=a_request_trace((0.0, 100, 10)), request_settings=flex)
    _, table = compared([inputs], ALL)
    by_kind = {row.kind: row.sides[0] for row in table.rows}
    assert by_kind[PolicyKind.RUN_NOW].idle_kwh == pytest.approx(by_kind[PolicyKind.LOWEST_SLOT].idle_kwh, rel=1e-3)


def test_the_document_names_policies_as_scenarios_do() -> None:
    _, table = compared([some_inputs(jobs=JOBS, job_settings=KW)], [])
    assert [row["policy"] for row in plain_table(table)] == ["run_now", "carbon_aware"]
    assert plain_table(table)[1]["savings_ratio"] == pytest.approx(0.75)


def test_over_seeds_savings_have_an_interval() -> None:
    one, other = (a_job_trace((0.0, hours * HOUR_S, 1)) for hours in (2, 8))
    every = [some_inputs(jobs=jobs, job_settings=KW) for jobs in (one, other)]
    results, table = compared(every, [], count=2)
    at_once, ours = (row.savings for row in table.rows)
    # Two hours become clean: 1 - 200/800. Of eight, of which two were, six do: 1 - 1400/2600.
    assert (at_once.mean_ratio, at_once.low_ratio, at_once.high_ratio) == (0.0, 0.0, 0.0)
    assert ours == Savings.over([0.75, 1 - 1400 / 2600])
    assert columns(table)[3:5] == ["from", "to"]
    assert caption(table).startswith("Means over 2 seeds")
    assert results.savings_ratio == pytest.approx(0.75)


def test_the_report_shows_every_policy_in_a_picture_and_in_numbers() -> None:
    results, table = compared([some_inputs(jobs=JOBS, job_settings=KW)], ALL)
    page = html_report(results, table)
    assert "What other policies save" in page
    assert "Every policy in numbers" in page
    assert policy_figure(table).picture.count("<rect") == len(ALL) - 1


def test_the_picture_says_how_sure_it_is_where_there_are_seeds() -> None:
    every = [some_inputs(jobs=a_job_trace((0.0, hours * HOUR_S, 1)), job_settings=KW) for hours in (2, 8)]
    _, table = compared(every, [], count=2)
    figure = policy_figure(table)
    assert "95% by Student's t" in figure.caption
    assert figure.picture.count('class="whisker"') == 3
