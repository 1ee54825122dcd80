"""However jobs come, what is accepted at its place never costs a period more than its budget."""

from __future__ import annotations

from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from scheduler.jobs import Job
from scheduler.planning.plan import Cause, Obstacle, Placement, Refusal, Segment
from scheduler.planning.weighed.admission import Admitted, BudgetStanding, admitted, planned
from scheduler.planning.whole_fleet.objective import Components
from scheduler.planning.whole_fleet.rules.budgets import Budget, Per, Spent
from tests.builders import DAY_S, HOUR_S, YEAR_2022_AT_S, a_job

shapes = st.lists(
    st.tuples(st.integers(0, 30), st.integers(1, 30), st.integers(0, 60), st.sampled_from(["red", "blue"])), max_size=12
)


def bill(job: Job, segments: Sequence[Segment]) -> Components:
    return Components(energy_kwh=sum(one.duration_s / HOUR_S for one in segments))


def late_in_its_window(job: Job) -> Placement | Refusal:
    start_s = job.deadline_at_s - job.duration_s
    if start_s < job.earliest_start_at_s:
        return Refusal(job_id=job.id, obstacle=Obstacle.DEADLINE, what="")
    start_s = (start_s + job.earliest_start_at_s) / 2
    piece = Segment(start_at_s=start_s, end_at_s=start_s + job.duration_s, region="here")
    return Placement(job_id=job.id, segments=(piece,), cause=Cause.CLEANEST)


@given(shapes, st.integers(1, 40), st.integers(0, 10), st.sampled_from(list(Per)))
def test_no_period_is_ever_overdrawn(
    found: list[tuple[int, int, int, str]], most_kwh: int, settled_kwh: int, per: Per
) -> None:
    budget = Budget(tenant="red", what=Spent.KWH, most_cost=float(most_kwh), per=per)
    begin = per.begin(YEAR_2022_AT_S)
    places: list[tuple[Job, Sequence[Segment]]] = []
    for number, (start_h, hours, slack_h, tenant) in enumerate(found):
        start_s = YEAR_2022_AT_S + start_h * HOUR_S
        job = a_job(
            id=f"job-{number}",
            tenant=tenant,
            earliest_start_at_s=start_s,
            duration_s=hours * HOUR_S,
            deadline_at_s=start_s + (hours + slack_h) * HOUR_S,
        )
        standing = BudgetStanding(
            budget=budget, begin=begin, settled_cost=float(settled_kwh), planned=planned(budget, places, bill)
        )
        answer = admitted(job, late_in_its_window, [standing], bill)
        if isinstance(answer, Admitted):
            assert job.earliest_start_at_s <= answer.placement.start_at_s
            assert answer.placement.end_at_s <= job.deadline_at_s
            places.append((answer.job, answer.placement.segments))
        else:
            assert tenant == "red"
    for day in range(200):
        from_s = YEAR_2022_AT_S + day * DAY_S
        if per is Per.MONTH and per.begin(from_s).timestamp() != from_s:
            continue
        to_s = per.end(per.begin(from_s)).timestamp()
        used_kwh = settled_kwh if day == 0 else 0
        mine = [piece for job, pieces in places if job.tenant == "red" for piece in pieces]
        own_kwh = sum(max(0.0, min(one.end_at_s, to_s) - max(one.start_at_s, from_s)) / HOUR_S for one in mine)
        assert own_kwh == 0 or used_kwh + own_kwh <= most_kwh + 1e-6
