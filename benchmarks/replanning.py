"""How often plans change their mind as forecasts are revised, what that is worth, and how long one event takes.

    python -m benchmarks.replanning             moves, emissions and late jobs by the margin it takes to move a job
    python -m benchmarks.replanning --pauses    the same for jobs that may pause
    python -m benchmarks.replanning --regions   the same in three regions whose grids are known four days ahead
    python -m benchmarks.replanning --time      how long one event takes with 1,000 open jobs

Moves: recorded jobs as in benchmarks.head_room, submitted within ten days of September and of November 2021 to one
region, on recorded 96 h forecasts: a new one each midnight, corrected each hour by its newest error, and a new plan
each time. A move is a job that waits and gets another start or region. Emissions are those of the actual grid. Needs
the recorded traces. Time: jobs and grid of benchmarks.fleet_planning, through the engine.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from benchmarks import fleet_planning, head_room
from benchmarks.forecast_savings import FOUR_DAYS
from benchmarks.forecast_savings_views import VARIANTS, View, read_recorded, seen
from intensity_feeds.feed import Rung
from intensity_feeds.series import IntensitySeries
from intensity_feeds.trace import read_trace
from scheduler.engine import Engine
from scheduler.events import Event, ForecastUpdated, JobSubmitted, Outcome, RunFinished, StartRun, Tick
from scheduler.jobs import Interruption
from scheduler.planning.open_jobs.fleet import FleetPlanner
from scheduler.planning.open_jobs.run_now import RunNowPlanner
from scheduler.planning.plan import Forecasts, Placement, Plan, Refusal, Region
from scheduler.planning.planner import Freed, OpenJob, Planner
from simulations.fleet import Fleet, Timetable
from simulations.launcher import JobWork
from simulations.loop import Loop
from tests.real_data import data_folder

HOUR_S, DAY_S = 3600.0, 86400.0
ZONES = ("DE", "US-CAL-CISO", "ES")
STARTS_S = (1_630_454_400.0, 1_635_724_800.0)  # 2021-09-01T00:00Z, 2021-11-01T00:00Z
REGION_ZONES = ("DE", "US-CAL-CISO", "GB")
REGION_STARTS_S = (1_646_006_400.0, 1_662_076_800.0)  # 2022-02-28T00:00Z, 2022-09-02T00:00Z
KNOWN_S = 96 * HOUR_S
LOAD_RATIOS = (0.3, 0.6)
SLACK_S = 36 * HOUR_S
PAUSE = Interruption(checkpoint_s=300.0, restore_s=300.0, min_run_s=1800.0)
HYSTERESIS_RATIOS = (None, 0.0, 0.02, 0.05)

Grids = Mapping[str, IntensitySeries]
# The load, its zones, the jobs of each start, what is forecast and what comes.
Case = tuple[float, str, list[list[JobWork]], Mapping[str, View], Grids]

# -- moves -----------------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class Counted:
    """A planner that counts how often a whole plan moves a job that waits; without memory where it is to forget."""

    planner: Planner
    forgets: bool = False
    moves: int = 0

    def plan(self, open_jobs: Sequence[OpenJob], regions: Sequence[Region], forecasts: Forecasts, now_s: float) -> Plan:
        known = [replace(one, planned=None) for one in open_jobs] if self.forgets else open_jobs
        return self._counted(open_jobs, self.planner.plan(known, regions, forecasts, now_s))

    def refill(
        self,
        open_jobs: Sequence[OpenJob],
        freed: Sequence[Freed],
        regions: Sequence[Region],
        forecasts: Forecasts,
        now_s: float,
    ) -> Plan:
        if self.forgets:
            return self.plan(open_jobs, regions, forecasts, now_s)
        return self._counted(open_jobs, self.planner.refill(open_jobs, freed, regions, forecasts, now_s))

    def place(
        self,
        newcomer: OpenJob,
        others: Sequence[OpenJob],
        regions: Sequence[Region],
        forecasts: Forecasts,
        now_s: float,
    ) -> Placement | Refusal:
        return self.planner.place(newcomer, others, regions, forecasts, now_s)

    def _counted(self, open_jobs: Sequence[OpenJob], plan: Plan) -> Plan:
        self.moves += sum(_moves(one, plan.placements.get(one.job.id)) for one in open_jobs)
        return plan


def _moves(one: OpenJob, after: Placement | None) -> bool:
    if one.running is not None or one.planned is None or after is None:
        return False
    before = one.planned
    ahead = [piece for piece in before.segments if piece.end_at_s > after.start_at_s] or before.segments[-1:]
    return ahead[0].region != after.region or abs(ahead[0].start_at_s - after.start_at_s) > 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    late: int
    moves: int
    gco2e: float


def works(load_ratio: float, start_s: float, *, can_pause: bool) -> list[JobWork]:
    """The jobs of benchmarks.head_room at another date and with more slack."""
    shift_s = start_s - head_room.START_S
    return [_at(one, shift_s, can_pause=can_pause) for one in head_room.thinned(load_ratio, 1)]


def _at(one: JobWork, shift_s: float, *, can_pause: bool) -> JobWork:
    job, submitted_at_s = one.job, one.job.submitted_at_s + shift_s
    moved = replace(
        job,
        submitted_at_s=submitted_at_s,
        earliest_start_at_s=submitted_at_s,
        deadline_at_s=submitted_at_s + job.duration_s + SLACK_S,
        interruption=PAUSE if can_pause else None,
    )
    return replace(one, job=moved)


def told(jobs: Sequence[JobWork], planner: Counted, views: Mapping[str, View], actual: Grids) -> Told:
    """What becomes of the jobs, with a region in each zone, when the engine hears of every revision."""
    loop = Loop(min(one.job.submitted_at_s for one in jobs) // DAY_S * DAY_S)
    regions = [Region(name=zone, zone=zone, gpus=head_room.GPUS) for zone in views]
    fleet = Fleet(loop, Engine(regions=regions, planner=planner), jobs)
    Timetable(
        loop,
        fleet,
        lambda now_s: [
            ForecastUpdated(at_s=now_s, zone=zone, series=view(now_s), rung=Rung.LIVE) for zone, view in views.items()
        ],
        renew_s=HOUR_S,
        replan_s=DAY_S,
        is_needed=lambda: fleet.can_go_on,
    )
    loop.run()
    by_id = {one.job.id: one.job for one in jobs}
    late = sum(fleet.finished_at_s[name] > job.deadline_at_s + 1.0 for name, job in by_id.items())
    grams = [
        actual[one.region].emissions_gco2e(by_id[one.job_id].power_w, one.start_at_s, one.end_at_s)
        for one in fleet.launcher.stretches
    ]
    return Told(late=late, moves=planner.moves, gco2e=sum(grams))


def recorded_cases(*, can_pause: bool) -> Iterator[Case]:
    recorded = read_recorded(FOUR_DAYS, ZONES)
    for load_ratio in LOAD_RATIOS:
        for zone in ZONES:
            views = {zone: seen(recorded[zone], VARIANTS["newest error"])}
            drawn = [works(load_ratio, start_s, can_pause=can_pause) for start_s in STARTS_S]
            yield load_ratio, zone, drawn, views, {zone: recorded[zone].actual}


def region_cases() -> Iterator[Case]:
    """So many jobs more as there are regions, from one day of spring and one of autumn 2022 on."""
    grids = read_trace(data_folder() / head_room.GRID, REGION_ZONES)
    for load_ratio in LOAD_RATIOS:
        drawn = [works(load_ratio * len(grids), start_s, can_pause=False) for start_s in REGION_STARTS_S]
        yield load_ratio, " ".join(grids), drawn, {zone: _known_ahead(one) for zone, one in grids.items()}, grids


def _known_ahead(actual: IntensitySeries) -> View:
    def view(now_s: float) -> IntensitySeries:
        return actual.between(now_s // HOUR_S * HOUR_S, now_s // HOUR_S * HOUR_S + KNOWN_S)

    return view


def move_rows(cases: Iterable[Case]) -> Iterator[tuple[str, ...]]:
    for load_ratio, zones, drawn, views, actual in cases:
        count = sum(map(len, drawn))
        at_once = [told(jobs, Counted(RunNowPlanner()), views, actual) for jobs in drawn]
        cells = [f"{load_ratio:.1f}", zones, str(count), str(sum(one.late for one in at_once))]
        for ratio in HYSTERESIS_RATIOS:
            found = [told(jobs, _planner(ratio), views, actual) for jobs in drawn]
            saved = 1 - sum(one.gco2e for one in found) / sum(one.gco2e for one in at_once)
            late, moves = sum(one.late for one in found), sum(one.moves for one in found) / count
            cells.append(f"{moves:.2f}, {saved:.1%}, {late}")
        yield tuple(cells)


def _planner(hysteresis_ratio: float | None) -> Counted:
    if hysteresis_ratio is None:
        return Counted(FleetPlanner(), forgets=True)
    return Counted(FleetPlanner(hysteresis_ratio=hysteresis_ratio))


MOVE_HEADINGS = (
    "load",
    "zone",
    "jobs",
    "late at once",
    *("no memory" if ratio is None else f"margin {ratio:.0%}" for ratio in HYSTERESIS_RATIOS),
)

# -- time ------------------------------------------------------------------------------------------------------------

OPEN_JOBS = 1000
LIMIT_S = 0.100


@dataclass(slots=True)
class Stand:
    """An engine in the middle of its work: what it starts ends on time unless somebody says otherwise."""

    engine: Engine
    now_s: float
    ends_at_s: dict[tuple[str, int], float] = field(default_factory=dict)

    def decide(self, *events: Event) -> float:
        """Processor time of one decision, with the runs it starts noted."""
        began_s = time.process_time()
        commands = self.engine.decide(events, self.now_s)
        took_s = time.process_time() - began_s
        for one in commands:
            if isinstance(one, StartRun):
                job = self.engine.job(one.job_id)
                assert job is not None
                self.ends_at_s[one.job_id, one.attempt] = self.now_s + job.duration_s
        return took_s

    def advance(self, to_s: float) -> None:
        """Everything on time until then."""
        while True:
            wake_s = min(self.engine.next_wakeup_at_s() or to_s, min(self.ends_at_s.values(), default=to_s), to_s)
            if wake_s >= to_s:
                break
            self.now_s = wake_s
            self.decide(*self._due())
        self.now_s = to_s

    def _due(self) -> list[Event]:
        over = [run for run, ends_at_s in self.ends_at_s.items() if ends_at_s <= self.now_s]
        for run in over:
            del self.ends_at_s[run]
        return [_finished(self.now_s, *run) for run in over] or [Tick(at_s=self.now_s)]

    def finish(self, *, early: bool) -> float:
        """The end of the next run at its time, or the run that has longest to go before it."""
        run = (max if early else min)(self.ends_at_s, key=lambda one: self.ends_at_s[one])
        if not early:
            self.advance(self.ends_at_s[run])
        del self.ends_at_s[run]
        return self.decide(_finished(self.now_s, *run))


def _finished(now_s: float, job_id: str, attempt: int) -> Event:
    return RunFinished(at_s=now_s, job_id=job_id, attempt=attempt, outcome=Outcome.SUCCEEDED)


def forecasts_of(regions: int, step_s: float) -> dict[str, IntensitySeries]:
    """The grid of benchmarks.fleet_planning, for each further region five hours later, with noise at its own step."""
    series, _ = fleet_planning.grid()
    edges = np.arange(series.start_at_s, series.end_at_s + 1.0, step_s)
    found = {}
    for index in range(regions):
        zone = f"zone {index}"
        later = replace(series, zone=zone, gco2e_per_kwh=np.roll(series.gco2e_per_kwh, 5 * index)).resampled(edges)
        found[zone] = _revised(later, index)
    return found


def _revised(series: IntensitySeries, seed: int) -> IntensitySeries:
    """Every value another by about 2%."""
    noise = np.random.default_rng(seed).normal(1.0, 0.02, len(series.gco2e_per_kwh))
    return replace(series, gco2e_per_kwh=series.gco2e_per_kwh * noise)


def a_stand(regions: int, step_s: float) -> tuple[Stand, JobSubmitted]:
    """A thousand open jobs some time after their plan, and one that is not submitted yet."""
    jobs, _ = fleet_planning.trace()
    drawn = fleet_planning.open_jobs(jobs, OPEN_JOBS + 1)
    gpus = fleet_planning.region_for(drawn[:-1], fleet_planning.LOAD_RATIO).gpus
    share = max(-(-gpus // regions), *(one.job.gpus for one in drawn))
    forecasts = forecasts_of(regions, step_s)
    places = [Region(name=zone, zone=zone, gpus=share, pue=1.2) for zone in forecasts]
    now_s = fleet_planning.START_S
    stand = Stand(Engine(regions=places, planner=FleetPlanner(), forecasts=forecasts), now_s)
    stand.decide(*(JobSubmitted(at_s=now_s, job=one.job) for one in drawn[:-1]), Tick(at_s=now_s, replan=True))
    stand.advance(now_s + 60.0)
    return stand, JobSubmitted(at_s=stand.now_s, job=replace(drawn[-1].job, submitted_at_s=stand.now_s))


def times_s(regions: int, step_s: float) -> dict[str, float]:
    """What each event takes in turn, the next one half a minute later."""
    stand, newcomer = a_stand(regions, step_s)
    found = {"a submission": stand.decide(newcomer), "an end on time": stand.finish(early=False)}
    stand.advance(stand.now_s + 30.0)
    found["an early end"] = stand.finish(early=True)
    stand.advance(stand.now_s + 30.0)
    found["a new plan"] = stand.decide(Tick(at_s=stand.now_s, replan=True))
    stand.advance(stand.now_s + 30.0)
    zone, series = next(iter(stand.engine.forecasts.items()))
    update = ForecastUpdated(at_s=stand.now_s, zone=zone, series=_revised(series, 9), rung=Rung.LIVE)
    found["a new forecast"] = stand.decide(update)
    return found


def time_rows() -> Iterator[tuple[str, ...]]:
    for regions in (1, 3):
        for step_s in (HOUR_S, 300.0):
            runs = [times_s(regions, step_s) for _ in range(3)]
            best = {what: min(one[what] for one in runs) for what in runs[0]}
            yield (str(regions), f"{step_s / 60:.0f} min", *(f"{took_s * 1e3:.1f}" for took_s in best.values()))


TIME_HEADINGS = ("regions", "step", "a submission", "an end on time", "an early end", "a new plan", "a new forecast")

# -- command ---------------------------------------------------------------------------------------------------------


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pauses", action="store_true", help="jobs that may pause")
    parser.add_argument("--regions", action="store_true", help="three regions")
    parser.add_argument("--time", action="store_true", help="how long one event takes")
    asked = parser.parse_args()
    cases = region_cases() if asked.regions else recorded_cases(can_pause=asked.pauses)
    headings, rows = (TIME_HEADINGS, time_rows()) if asked.time else (MOVE_HEADINGS, move_rows(cases))
    print("| " + " | ".join(headings) + " |")
    print("|" + " ---: |" * len(headings))
    for row in rows:
        print("| " + " | ".join(row) + " |", flush=True)


if __name__ == "__main__":
    main()
