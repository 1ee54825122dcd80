"""Runs a scenario: the same work twice, once at once and once under the policy, in virtual time.

Composes loop, fleet and pools and lets them run; decides nothing and prices nothing. Everything from outside (traces,
profiles, the grid) comes as `Inputs`; everything drawn comes from the scenario's seed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from intensity_feeds.prices import PriceSeries
from intensity_feeds.series import IntensitySeries
from scheduler.budget_settings import budgets_of
from scheduler.deferral import release_at_s
from scheduler.engine import Engine
from scheduler.events import ForecastUpdated
from scheduler.gpu_speeds import speeds_of
from scheduler.held_settings import holds_between
from scheduler.jobs import Interruption, Job, JobKind, Phase
from scheduler.journal import Decision
from scheduler.objective_settings import sites_of
from scheduler.planning.open_jobs.board_loops import BoardLoops
from scheduler.planning.plan import Region
from scheduler.power_profiles import mean_w, parse_power_profile, whole_s
from shaping.consolidation import ConsolidationPolicy
from shaping.energy import Deployment, GpuState, idle_power_w
from shaping.sharing import SharingPolicy
from simulations.baselines import Conduct, conduct_of, run_now
from simulations.compiled.pool import CompiledPool, Run, covers
from simulations.fleet import Fleet, Timetable
from simulations.grid import Grid
from simulations.job_budgets import JobBudgets
from simulations.launcher import JobWork, Stretch
from simulations.loop import Loop
from simulations.model_choice import Chosen, Routed
from simulations.roster import SleepSpec
from simulations.scenario import JobSettings, PolicyKind, RegionSettings, RequestSettings, Scenario
from simulations.serving import Pool, PoolSpec, ServingRecord, Traffic
from simulations.shared_gpus import SharedGpus, SwapSpec
from simulations.workloads import JobTrace, RequestTrace

Progress = Callable[[float], None]

# What is held is laid out once, for longer than the traces that are usual here: a year and a month.
HELD_AHEAD_S = 396 * 86_400.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Inputs:
    """A scenario with everything it names, in the order of its tables.

    `requests` and `chosen` are what the router makes of pools of models, `unrouted` what they are without one.
    `run_requests` is the compiled loop for pools that it covers; without it they run in plain Python. So are
    `board_loops` for places of jobs.
    """

    scenario: Scenario
    grid: Grid
    requests: tuple[RequestTrace, ...]
    jobs: tuple[JobTrace, ...]
    deployments: tuple[Deployment, ...]
    prices: Mapping[str, PriceSeries] = field(default_factory=dict)
    run_requests: Run | None = None
    board_loops: BoardLoops | None = None
    chosen: tuple[Chosen, ...] = ()
    unrouted: Routed | None = None

    def routed_for(self, conduct: Conduct) -> Routed:
        """The requests of each table as a side meets them."""
        if conduct.routes or self.unrouted is None:
            return Routed(requests=self.requests, chosen=self.chosen)
        return self.unrouted


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolRun:
    """One pool's work and what became of it."""

    spec: PoolSpec
    traffic: Traffic
    record: ServingRecord


@dataclass(frozen=True, slots=True, kw_only=True)
class Side:
    """One of the two runs. `finished_at_s` lacks the jobs that no region could ever hold."""

    works: Sequence[JobWork]
    stretches: Sequence[Stretch]
    finished_at_s: Mapping[str, float]
    pools: Sequence[PoolRun]
    chosen: Sequence[Chosen] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Runs:
    """Both sides of a comparison over the same inputs, and the instant at which the last work of either ended."""

    inputs: Inputs
    baseline: Side
    policy: Side
    end_at_s: float


def run_both(
    inputs: Inputs,
    progress: Progress = lambda ratio: None,
    watch: Callable[[Decision], None] | None = None,
) -> Runs:
    """The baseline, then the policy, whose decisions `watch` sees. `progress` is told the share of work ended."""
    policy = named_conduct(inputs, inputs.scenario.policy.kind)
    sides, end_at_s = run_sides(inputs, (run_now(inputs.board_loops), policy), progress, watch)
    return Runs(inputs=inputs, baseline=sides[0], policy=sides[1], end_at_s=end_at_s)


def named_conduct(inputs: Inputs, kind: PolicyKind) -> Conduct:
    """How a policy behaves on these inputs."""
    return conduct_of(kind, inputs.scenario, inputs.prices, inputs.grid.realised, inputs.board_loops)


def run_sides(
    inputs: Inputs,
    conducts: Sequence[Conduct],
    progress: Progress = lambda ratio: None,
    watch: Callable[[Decision], None] | None = None,
    warm_until_s: float = 0.0,
) -> tuple[list[Side], float]:
    """The same work once for each conduct, and when the last of it ended; `watch` sees the decisions of the last.

    Workers stay warm until the last answer of any side, and at least until `warm_until_s`.
    """
    works = job_works(inputs)
    running = []
    for place, conduct in enumerate(conducts):
        told = share_of(progress, place, len(conducts))
        one = _Running(inputs, works, conduct, told, watch if place == len(conducts) - 1 else None)
        one.loop.run()
        running.append(one)
    # Workers stay warm equally long on all sides, or the longest run would be charged for its length.
    served_at_s = max((warm_until_s, *(pool.ended_at_s for side in running for pool in side.pools)))
    for pool in (pool for side in running for pool in side.pools):
        pool.close(served_at_s)
    return [one.side() for one in running], max(one.ended_at_s for one in running)


def share_of(progress: Progress, place: int, count: int) -> Progress:
    """The progress of one of `count` equal parts, told as progress of the whole."""
    return lambda ratio: progress((place + ratio) / count)


class _Running:
    """One side with its own loop, on which everything is scheduled when made."""

    def __init__(
        self,
        inputs: Inputs,
        works: Sequence[JobWork],
        conduct: Conduct,
        progress: Progress,
        watch: Callable[[Decision], None] | None = None,
    ) -> None:
        scenario = inputs.scenario
        self._inputs, self._works = inputs, works
        self._routed = inputs.routed_for(conduct)
        self._traffics = _traffics(inputs, self._routed)
        self._progress, self._ended = progress, 0
        self._total = max(1, len(works) + sum(len(trace) for trace in inputs.requests))
        self._grid = _seen(inputs, conduct)
        self._forecasts: dict[str, IntensitySeries | None] = {}
        self.loop = Loop(scenario.start)
        self._fleet = self._fleet_of(conduct, watch)
        self._shared = shared_gpus(inputs, self.loop) if conduct.lets_workers_sleep else {}
        self.pools = [self._pool(settings, place, conduct) for place, settings in enumerate(scenario.requests)]
        Timetable(
            self.loop,
            self._fleet,
            self._renewed_forecasts,
            renew_s=scenario.forecast.renew_s,
            replan_s=scenario.policy.replan_s,
            is_needed=self._has_open_work,
        )

    @property
    def ended_at_s(self) -> float:
        ends = (*self._fleet.finished_at_s.values(), *(pool.ended_at_s for pool in self.pools))
        return max(ends, default=self.loop.now_s)

    def side(self) -> Side:
        runs = [
            PoolRun(spec=pool.spec, traffic=traffic, record=pool.record)
            for pool, traffic in zip(self.pools, self._traffics, strict=True)
        ]
        launcher = self._fleet.launcher
        return Side(
            works=self._works,
            stretches=launcher.stretches,
            finished_at_s=self._fleet.finished_at_s,
            pools=runs,
            chosen=self._routed.chosen,
        )

    def _fleet_of(self, conduct: Conduct, watch: Callable[[Decision], None] | None) -> Fleet:
        scenario, works, loops = self._inputs.scenario, self._works, self._inputs.board_loops
        regions = regions_for_jobs(scenario)
        if not (conduct.keeps_budgets and scenario.budget):
            engine = Engine(regions=regions, planner=conduct.planner, loops=loops)
            return Fleet(self.loop, engine, works, watch=watch, progressed=self._count)
        sites = sites_of(scenario.region, self._inputs.prices)
        budgets = JobBudgets(budgets_of(scenario.budget), sites, works, self._inputs.grid.realised, self._forecasts)
        engine = Engine(regions=regions, planner=budgets.kept_by(conduct.planner), loops=loops)
        fleet = Fleet(self.loop, engine, works, watch=watch, progressed=self._count, accepted=budgets.accepted)
        budgets.watch(engine, fleet.launcher.stretches)
        return fleet

    def _pool(self, settings: RequestSettings, place: int, conduct: Conduct) -> Pool | CompiledPool:
        spec = pool_spec(self._inputs, settings, place)
        if conduct.lets_workers_sleep and settings.sleeps:
            spec = replace(spec, sleep=sleep_spec(settings, spec.deployment))
        forecast = None if conduct.release is None else (lambda: self._forecasts.get(spec.zone))
        release = conduct.release or release_at_s
        run, traffic, shaping = self._inputs.run_requests, self._traffics[place], conduct.shaping
        shared = self._shared.get(settings.shares_gpu)
        told, now_s = self._count, self.loop.now_s
        if run is not None and shared is None and covers(spec, shaping):
            return CompiledPool(run, now_s, spec, traffic, shaping, forecast=forecast, release=release, progressed=told)
        return Pool(
            self.loop, spec, traffic, shaping, forecast=forecast, release=release, progressed=told, shared=shared
        )

    def _renewed_forecasts(self, now_s: float) -> list[ForecastUpdated]:
        updates = list(self._grid.forecasts(now_s))
        self._forecasts.update({update.zone: update.series for update in updates})
        return updates

    def _has_open_work(self) -> bool:
        for pool in self.pools:
            pool.catch_up(self.loop.now_s)
        return self._fleet.can_go_on or any(pool.open_requests for pool in self.pools)

    def _count(self, count: int) -> None:
        self._ended += count
        self._progress(self._ended / self._total)


def _seen(inputs: Inputs, conduct: Conduct) -> Grid:
    """The grid as the side is told of it beforehand."""
    if not conduct.knows_the_grid:
        return inputs.grid
    return inputs.grid.foreseen(inputs.scenario.forecast.horizon_s)


# -- the work --------------------------------------------------------------------------------------------------------


def regions_for_jobs(scenario: Scenario) -> list[Region]:
    """The regions as the engine sees them: what the request pools take is gone, what is held is held."""
    return [_region_for_jobs(region, scenario) for region in scenario.region]


def _region_for_jobs(settings: RegionSettings, scenario: Scenario) -> Region:
    gpus, until_s = scenario.gpus_for_jobs(settings), scenario.start + HELD_AHEAD_S
    held = holds_between(settings.reserved, settings.maintenance, gpus, scenario.start, until_s)
    return Region(
        name=settings.name,
        zone=settings.zone,
        gpus=gpus,
        pue=settings.pue,
        held=held,
        power_cap_w=None if settings.power_cap_kw is None else 1000.0 * settings.power_cap_kw,
    )


def pool_spec(inputs: Inputs, settings: RequestSettings, place: int) -> PoolSpec:
    region = inputs.scenario.region_of(settings)
    return PoolSpec(
        name=settings.name,
        region=region.name,
        zone=region.zone,
        deployment=inputs.deployments[place],
        workers=settings.workers,
        max_sequences=settings.max_sequences,
        preempts=settings.preempts,
        has_priorities=settings.has_priorities,
    )


def sleep_spec(settings: RequestSettings, deployment: Deployment) -> SleepSpec:
    """How the pool's workers sleep; the wake-up time is known and kept in reserve once."""
    asleep_w = settings.asleep_power_w
    if asleep_w is None:
        asleep_w = idle_power_w(deployment.gpu, GpuState.BARE_IDLE)
    policy = ConsolidationPolicy(
        wake_s=settings.wake_s, patience_s=settings.patience_s, min_awake=min(settings.min_awake, settings.workers)
    )
    return SleepSpec(
        policy=policy,
        wakes_in_s=settings.wake_s,
        asleep_power_w=asleep_w * deployment.gpus,
        waking_power_w=idle_power_w(deployment.gpu, GpuState.CONTEXT_IDLE) * deployment.gpus,
    )


def shared_gpus(inputs: Inputs, loop: Loop) -> dict[str, SharedGpus]:
    """The GPUs on which pools take turns, by name; those of one name agree on what a swap takes."""
    sharing: dict[str, list[tuple[RequestSettings, Deployment]]] = {}
    for settings, deployment in zip(inputs.scenario.requests, inputs.deployments, strict=True):
        if settings.shares_gpu:
            sharing.setdefault(settings.shares_gpu, []).append((settings, deployment))
    return {name: SharedGpus(loop, swap_spec(*pools[0]), pools=len(pools)) for name, pools in sharing.items()}


def swap_spec(settings: RequestSettings, deployment: Deployment) -> SwapSpec:
    """What a swap takes; its time is known and kept in reserve once."""
    context_w = idle_power_w(deployment.gpu, GpuState.CONTEXT_IDLE) * deployment.gpus
    asleep_w = settings.asleep_power_w
    policy = SharingPolicy(
        swap_s=settings.wake_s,
        stay_s=settings.stay_s,
        patience_s=settings.patience_s,
        may_all_sleep=settings.min_awake == 0,
    )
    return SwapSpec(
        policy=policy,
        swaps_in_s=settings.wake_s,
        asleep_power_w=context_w if asleep_w is None else asleep_w * deployment.gpus,
        swapping_power_w=context_w,
    )


def job_works(inputs: Inputs) -> list[JobWork]:
    """Every job of every workload, in order of the tables, then of submission."""
    scenario = inputs.scenario
    return [
        work
        for place, (settings, trace) in enumerate(zip(scenario.jobs, inputs.jobs, strict=True))
        for work in _works_of(settings, trace, scenario.start, generator(scenario, "jobs", place))
    ]


def generator(scenario: Scenario, what: str, place: int) -> np.random.Generator:
    """A stream of its own for each purpose, so that drawing more of one does not change another."""
    return np.random.default_rng([scenario.seed, place, *what.encode()])


def _works_of(
    settings: JobSettings, trace: JobTrace, start_at_s: float, drawn: np.random.Generator
) -> Iterator[JobWork]:
    interruptible = drawn.random(len(trace)) < settings.interruptible_ratio
    interruption = Interruption(
        checkpoint_s=settings.checkpoint_s, restore_s=settings.restore_s, min_run_s=settings.min_run_s
    )
    width = len(str(len(trace)))
    for index in range(len(trace)):
        submitted_at_s = start_at_s + float(trace.submit_s[index])
        true_s, gpus = float(trace.duration_s[index]), int(trace.gpus[index])
        slack_s = settings.slack_s + settings.slack_ratio * true_s
        if trace.slack_s is not None:
            slack_s = settings.recorded_slack_ratio * float(trace.slack_s[index])
        power_per_gpu_w = settings.power_per_gpu_w
        if trace.power_per_gpu_w is not None:
            power_per_gpu_w = float(trace.power_per_gpu_w[index])
        duration_s = true_s * settings.estimate_ratio
        phases = _phases(settings.power_profile, duration_s, gpus)
        job = Job(
            id=f"{settings.name}-{index:0{width}d}",
            kind=JobKind.FINE_TUNING,
            submitted_at_s=submitted_at_s,
            earliest_start_at_s=submitted_at_s,
            deadline_at_s=submitted_at_s + true_s + slack_s,
            duration_s=duration_s,
            power_w=mean_w(phases) if phases else power_per_gpu_w * gpus,
            gpus=gpus,
            interruption=interruption if interruptible[index] else None,
            regions=settings.regions,
            label=settings.name,
            power_profile=phases,
            elastic=speeds_of(settings.elastic, gpus),
        )
        yield JobWork(job=job, true_duration_s=true_s, workload=settings.name)


def _phases(text: str, duration_s: float, gpus: int) -> tuple[Phase, ...]:
    """The phases of a run of that length on so many GPUs; a job without GPUs draws as one."""
    if not text:
        return ()
    written = parse_power_profile(text)
    ratio = duration_s / whole_s(written)
    return tuple(Phase(duration_s=one.duration_s * ratio, power_w=one.power_w * max(gpus, 1)) for one in written)


def _traffics(inputs: Inputs, routed: Routed) -> list[Traffic]:
    scenario = inputs.scenario
    return [
        Traffic(
            trace=trace,
            start_at_s=scenario.start,
            is_flex=is_flex,
            flex_deadline_s=settings.flex_deadline_s,
            flex_margin_s=settings.flex_margin_s,
        )
        for settings, trace, is_flex in zip(
            scenario.requests, routed.requests, _flex_requests(scenario, routed), strict=True
        )
    ]


def _flex_requests(scenario: Scenario, routed: Routed) -> list[NDArray[np.bool_]]:
    """Which requests of each table may wait; those of a pool of models wherever they are answered."""

    def drawn(place: int, count: int) -> NDArray[np.bool_]:
        return generator(scenario, "flex", place).random(count) < scenario.requests[place].flex_ratio

    found = [drawn(place, len(trace)) for place, trace in enumerate(routed.requests)]
    names = [pool.name for pool in scenario.requests]
    for one in routed.chosen:
        places = [names.index(model) for model in one.models]
        whole = drawn(places[0], len(one.place))
        for number, place in enumerate(places):
            found[place] = whole[one.place == number]
    return found
