"""Whether a fleet of jobs goes on: what recurs stops when it does not."""

from __future__ import annotations

from scheduler.engine import Engine
from scheduler.events import Tick
from scheduler.planning.open_jobs.run_now import RunNowPlanner
from scheduler.planning.plan import Region
from simulations.fleet import Fleet
from simulations.loop import Loop


def test_what_was_told_and_is_not_decided_keeps_the_timetable_going() -> None:
    fleet = Fleet(Loop(0.0), Engine(regions=[Region(name="DE", zone="DE")], planner=RunNowPlanner()), [])
    assert not fleet.can_go_on
    fleet.tell(Tick(at_s=0.0))
    assert fleet.can_go_on
