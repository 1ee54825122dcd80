"""What is said of jobs that rules hold beside room and time, on grids of a few hours worked by hand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import pytest

from scheduler.jobs import Job
from scheduler.planning.one_job.elastic import Scaling
from scheduler.planning.plan import Region, Segment
from scheduler.planning.reasons.explanation import Explanation, LimitKind
from scheduler.planning.reasons.explanation_text import as_json, one_line, sentences
from scheduler.planning.reasons.in_fleet import FleetReasons
from scheduler.planning.reasons.kept_rules import FleetRules, Typed
from scheduler.planning.reasons.nearest_change import ChangeKind
from scheduler.planning.whole_fleet.certificate import Certificate
from scheduler.planning.whole_fleet.fleet_case import FleetCase
from scheduler.planning.whole_fleet.joint import FleetPlan, run_now
from scheduler.planning.whole_fleet.objective import Limit, Limited, Objective, Site, Weights
from scheduler.planning.whole_fleet.rules.budgets import Budget, Spent
from scheduler.planning.whole_fleet.rules.transfers import Data, Link, Transfers
from scheduler.planning.whole_fleet.token_pools import Density, Pool, PoolRun, PoolSegment
from tests.plan_cases import HOUR_S, MIDNIGHT_S, a_job, a_region, a_series

DE_ROW, FR_ROW = (500, 400, 100, 300), (120, 120, 120, 120)
FREE = {"DE": Site(), "FR": Site()}
USD = Weights(per_usd=1.0)


def hours(first: float, last: float, region: str = "DE") -> Segment:
    return Segment(start_at_s=MIDNIGHT_S + first * HOUR_S, end_at_s=MIDNIGHT_S + last * HOUR_S, region=region)


def a_case(*jobs: Job, regions: Sequence[Region] = (), scalings: Mapping[str, Scaling] | None = None) -> FleetCase:
    return FleetCase(
        jobs=jobs,
        regions=regions or [a_region("DE"), a_region("FR")],
        forecasts={"DE": a_series(*DE_ROW), "FR": a_series(*FR_ROW, zone="FR")},
        scalings=scalings or {},
    )


def a_plan(case: FleetCase, runs: Mapping[str, PoolRun] | None = None, **places: Segment) -> FleetPlan:
    return FleetPlan(
        case=case,
        segments={name.replace("_", "-"): (one,) for name, one in places.items()},
        reasons={job.id: "capacity" for job in case.jobs if job.id not in places},
        certificate=Certificate(emissions_gco2e=0.0, lower_bound_gco2e=0.0),
        run_now=run_now(case),
        pools=runs or {},
    )


def told(found: FleetPlan, rules: FleetRules, name: str = "job") -> Explanation:
    (one,) = FleetReasons(found, rules).explanations({name})
    return one


def limits(explanation: Explanation) -> dict[LimitKind, float | None]:
    """To nine digits, as what is compared is worked by hand."""
    return {one.kind: None if one.saves_gco2e is None else round(one.saves_gco2e, 9) for one in explanation.limits}


def test_a_job_beside_its_data_pays_for_no_move_and_data_binds_where_another_region_is_cleaner() -> None:
    case = a_case(a_job(within_s=2 * HOUR_S))
    # 40 GB at 30 Wh are 1.2 kWh; for the two thirds of an hour that they take DE emits 500 g: 600 g beside FR's 120.
    link = Link(gb_per_s=1 / 60, kwh_per_gb=0.03)
    moves = Transfers(case, FREE, Weights(per_gco2e=1.0), {"job": Data(region="DE", size_gb=40)}, link)
    rules = FleetRules(sites=FREE, moves=moves)
    at_home = told(a_plan(case, job=hours(1, 2)), rules)
    assert at_home.emissions_gco2e == pytest.approx(400)
    assert limits(at_home) == {LimitKind.DATA: 280, LimitKind.DEADLINE: 300}
    assert at_home.next_best is not None and at_home.next_best.emissions_gco2e == pytest.approx(500)
    assert dict(sentences(at_home))["also by"].endswith("were its data there already")
    away = told(a_plan(case, job=hours(2 / 3, 5 / 3, "FR")), rules)
    assert away.emissions_gco2e == pytest.approx(720)
    # At home it is cleaner, and free: the plan's own doing.
    assert limits(away)[LimitKind.PLAN] == 320


def test_a_place_that_the_tenants_others_leave_no_money_for_is_none() -> None:
    other = a_job("other", within_s=4 * HOUR_S)
    case = a_case(a_job(within_s=4 * HOUR_S), other, regions=[a_region("DE", gpus=2), a_region("FR")])
    found = a_plan(case, job=hours(0, 1, "FR"), other=hours(2, 3))
    # Together 220 g; in the clean hour of DE beside the other one it would be 200, which is less.
    assert limits(told(found, FleetRules(sites=FREE))) == {LimitKind.PLAN: 20}
    # A kilowatt-hour in DE costs two at the meter, one in FR: with the other's two, three are all there is.
    wet = [replace(a_region("DE", gpus=2), pue=2.0), a_region("FR")]
    held = a_plan(replace(case, regions=wet), job=hours(0, 1, "FR"), other=hours(2, 3))
    cheap = FleetRules(sites=FREE, budgets=[Budget(tenant="default", what=Spent.KWH, most_cost=3.0)])
    assert limits(told(held, cheap)) == {}
    wetter = [replace(a_region("DE", gpus=2), pue=1.1), a_region("FR")]
    held = a_plan(replace(case, regions=wetter), job=hours(0, 1, "FR"), other=hours(2, 3))
    tight = FleetRules(sites=FREE, budgets=[Budget(tenant="default", what=Spent.KWH, most_cost=2.15)])
    assert limits(told(held, tight)) == {LimitKind.BUDGET: 10}
    assert dict(sentences(told(held, tight)))["held by"].endswith(
        "but what default may spend does not pay for it there"
    )


def test_a_limit_on_the_whole_plan_binds_where_the_job_alone_would_pay_less_beyond_it() -> None:
    sites = {"DE": Site(usd_per_kwh=0.10), "FR": Site(usd_per_kwh=0.20)}
    case = a_case(a_job(within_s=4 * HOUR_S, regions=("DE", "FR")))
    found = a_plan(case, job=hours(0, 1, "FR"))
    limit = Limit(what=Limited.GCO2E, most_cost=125.0)
    # For the bill alone it would run in DE's first hour; its 500 g are beyond the limit, its cleanest 100 g are not.
    rules = FleetRules(sites=sites, objective=Objective(weights=USD, limit=limit))
    explanation = told(found, rules)
    assert explanation.unit == "USD"
    assert explanation.emissions_gco2e == pytest.approx(0.20)
    assert limits(explanation) == {LimitKind.PLAN: 0.10}
    tighter = FleetRules(
        sites=sites, objective=Objective(weights=USD, limit=replace(limit, most_cost=130.0)), written={"job": ("FR",)}
    )
    only = a_plan(replace(case, jobs=[a_job(within_s=2 * HOUR_S)]), job=hours(0, 1, "FR"))
    assert limits(told(only, tighter)) == {LimitKind.OBJECTIVE_LIMIT: 0.10, LimitKind.DEADLINE: 0.10}
    document = as_json(told(only, tighter))
    assert document["binds"] == "objective_limit"
    assert document["limits"][0]["saves_value"] == pytest.approx(0.10)


def test_waiting_counts_and_an_earlier_start_is_not_compared_where_it_does() -> None:
    job = a_job(earliest_s=MIDNIGHT_S + 2 * HOUR_S, within_s=2 * HOUR_S, regions=("DE",))
    rules = FleetRules(sites=FREE, objective=Objective(weights=Weights(per_gco2e=1.0, per_waiting_kwh_h=50.0)))
    explanation = told(a_plan(a_case(job), job=hours(2, 3)), rules)
    assert explanation.emissions_gco2e == pytest.approx(100)
    # An hour later: 300 g, and an hour of waiting for a kilowatt-hour.
    assert explanation.next_best is not None and explanation.next_best.emissions_gco2e == pytest.approx(350)
    assert explanation.at_once_gco2e == pytest.approx(100)
    assert limits(explanation) == {}


def test_types_of_gpu_and_regions_are_lifted_one_at_a_time() -> None:
    regions = [
        replace(a_region("DE"), gpu_type="A100"),
        replace(a_region("FR"), gpu_type="A100"),
        replace(a_region("FR-new", zone="FR"), gpu_type="H100", speed=2.0),
        replace(a_region("DE-new", zone="DE"), gpu_type="H100", speed=4.0),
    ]
    job = a_job(within_s=2 * HOUR_S, regions=("FR",))
    case = a_case(job, regions=regions)
    typed = Typed(
        types=("A100",), of_any_type=("FR", "FR-new"), of_any_zone=("DE", "FR"), with_also={"H100": ("FR", "FR-new")}
    )
    rules = FleetRules(sites=None, typed={"job": typed}, written={"job": ("FR",)})
    explanation = told(a_plan(case, job=hours(0, 1, "FR")), rules)
    # Half an hour of FR's 120 g on H100; DE's A100 emit 400 g in their better hour, its H100 are lifted by neither.
    assert limits(explanation) == {LimitKind.GPU_TYPES: 60}
    assert one_line(explanation) == "GPU types: 50.0% less in FR-new"


def test_the_order_binds_by_the_names_of_the_neighbours_that_leave_no_time() -> None:
    first, last = a_job("first", within_s=4 * HOUR_S), a_job("last", within_s=4 * HOUR_S)
    case = a_case(
        first, a_job(within_s=4 * HOUR_S, regions=("DE",)), last, regions=[a_region("DE", gpus=3), a_region("FR")]
    )
    found = a_plan(case, first=hours(0, 1, "FR"), job=hours(1, 2), last=hours(2, 3))
    explanation = told(found, FleetRules(after={"job": ("first",), "last": ("job",)}))
    assert limits(explanation) == {LimitKind.AFTER: 300, LimitKind.REGIONS: 280}
    assert explanation.limits[0].by == ("first", "last")
    assert dict(sentences(explanation))["held by"].endswith("were it not for the order with first, last")
    # With nothing after it, it would have all the time behind the first.
    alone = told(found, FleetRules(after={"job": ("first",)}))
    assert limits(alone) == {LimitKind.PLAN: 300}


def test_a_pool_that_holds_the_better_place_is_named() -> None:
    density = {"DE": Density(tokens_per_s=1.0, power_w=500.0), "FR": Density(tokens_per_s=1.0, power_w=500.0)}
    pools = [
        Pool(
            name=name,
            tokens=1.0,
            earliest_start_at_s=MIDNIGHT_S,
            deadline_at_s=MIDNIGHT_S + 4 * HOUR_S,
            densities=density,
        )
        for name in ("mine", "yours")
    ]
    case = replace(a_case(a_job(within_s=4 * HOUR_S)), pools=pools)
    runs = {
        name: PoolRun(segments=(PoolSegment(start_at_s=one.start_at_s, end_at_s=one.end_at_s, region="DE", gpus=1),))
        for name, one in (("mine", hours(2, 3)), ("yours", hours(0, 1)))
    }
    explanation = told(a_plan(case, runs, job=hours(0, 1, "FR")), FleetRules())
    assert limits(explanation) == {LimitKind.POOL: 20, LimitKind.CAPACITY: 20}
    assert (explanation.binds, explanation.limits[0].by) == (LimitKind.POOL, ("mine",))
    assert one_line(explanation) == "pool: 16.7% less in hours that mine holds"
    assert "but mine holds the room from 2022-03-01 02:00 to 03:00Z" in dict(sentences(explanation))["held by"]


def test_an_elastic_job_says_its_gpus_and_what_more_would_do() -> None:
    scaling = Scaling(speeds=((1, 1.0), (2, 1.6), (4, 2.0)))
    job = a_job(duration_s=2 * HOUR_S, within_s=4 * HOUR_S, regions=("DE",))
    case = a_case(job, regions=[a_region("DE", gpus=2), a_region("FR")], scalings={"job": scaling})
    place = replace(hours(2, 4), gpus=1, power_w=1000.0)
    explanation = told(a_plan(case, job=place), FleetRules())
    assert explanation.gpus == (1, 1)
    # The plan could have had the second GPU in the clean hour: 1.6 h for 200 g, and 0.4 h at 300.
    assert limits(explanation)[LimitKind.PLAN] == 80
    # Four GPUs are more than the region has.
    assert explanation.on_more is None
    # On one for an hour more: from the second to the fourth hour at 400 and 100.
    assert explanation.next_best is not None
    larger = replace(case, regions=[a_region("DE", gpus=4), a_region("FR")])
    wide = told(a_plan(larger, job=place), FleetRules())
    assert wide.on_more is not None and wide.on_more.emissions_gco2e == pytest.approx(400)
    assert ("more GPUs", "in DE on 4 GPUs from 2022-03-01 02:00 to 03:00Z: as clean") in sentences(wide)
    document = as_json(wide)
    assert document["gpus"] == {"least": 1, "most": 1}
    assert document["on_more_gpus"]["gpus"] == {"least": 4, "most": 4}


def test_a_refused_elastic_job_is_told_a_finish_and_a_region_and_no_other_size() -> None:
    scaling = Scaling(speeds=((1, 1.0), (2, 1.6)))
    job = a_job(duration_s=4 * HOUR_S, within_s=1.5 * HOUR_S, gpus=1, regions=("DE",))
    case = a_case(job, regions=[a_region("DE", gpus=2), a_region("FR", gpus=2)], scalings={"job": scaling})
    (change,) = FleetReasons(a_plan(case), FleetRules()).changes()["job"]
    assert change.kinds == (ChangeKind.FINISH_BY,)
    assert change.changed.deadline_at_s - MIDNIGHT_S == pytest.approx(2.5 * HOUR_S)


def test_what_would_help_keeps_the_budget_and_the_order() -> None:
    job = a_job(within_s=HOUR_S, gpus=1, regions=("DE",))
    first = a_job("first", within_s=2 * HOUR_S)
    case = a_case(first, job)
    found = a_plan(case, first=hours(0, 2, "FR"))
    rules = FleetRules(sites=FREE, after={"job": ("first",)})
    (later,) = FleetReasons(found, rules).changes()["job"]
    assert later.changed.deadline_at_s == MIDNIGHT_S + 3 * HOUR_S
    poor = replace(rules, budgets=[Budget(tenant="default", what=Spent.KWH, most_cost=1.0)])
    assert FleetReasons(found, poor).changes()["job"] == []
