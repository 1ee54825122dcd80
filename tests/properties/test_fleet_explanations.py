"""What is said of a job in a whole fleet's plan, beside every place there is on half hours with one limit lifted.

The plans are drawn, not searched for: every job, hold and pool lies on half hours, and so does the best place of a job
in one piece. One that may pause, or may have more and fewer GPUs, is divided by a solver of linear programs.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from intensity_feeds.prices import PriceSeries
from scheduler.jobs import Interruption, Job
from scheduler.planning.one_job.elastic import Scaling
from scheduler.planning.one_job.power_profile import Phase
from scheduler.planning.plan import Hold, Region, Segment
from scheduler.planning.reasons.explanation import LEAST_GAIN_RATIO, LimitKind
from scheduler.planning.reasons.in_fleet import FleetReasons
from scheduler.planning.reasons.kept_rules import FleetRules
from scheduler.planning.reasons.nearest_change import Change, ChangeKind
from scheduler.planning.whole_fleet.certificate import Certificate
from scheduler.planning.whole_fleet.fleet_case import FleetCase
from scheduler.planning.whole_fleet.joint import FleetPlan, run_now
from scheduler.planning.whole_fleet.objective import Objective, Site, Weights
from scheduler.planning.whole_fleet.token_pools import Density, Pool, PoolRun, PoolSegment
from tests.plan_cases import HOUR_S, MIDNIGHT_S, a_job, a_region, a_series

highspy = pytest.importorskip("highspy", reason="highspy is not installed: the exact solver is not asked")

HOURS, SLOT_S = 5, HOUR_S / 2
SLOTS = 2 * HOURS
DAY = 48
POOL_W = 700.0
SCALING = Scaling(speeds=((1, 1.0), (2, 1.5), (3, 3.0)))

# What one GPU-count of a region does to a job: region, GPUs, work per second, watts as measured.
Level = tuple[str, int, float, float]


def at_s(slot: float) -> float:
    return MIDNIGHT_S + slot * SLOT_S


@dataclass(frozen=True, kw_only=True)
class Scene:
    """A plan on half hours, and what it is chosen by."""

    found: FleetPlan
    rules: FleetRules

    @property
    def case(self) -> FleetCase:
        return self.found.case

    def rate(self, region: Region, slot: int, gpus: int, power_w: float) -> float:
        """What a second there costs, added up by hand; infinite where nothing is known."""
        if not 0 <= slot < SLOTS:
            return math.inf
        weights, site = self.rules.objective.weights, (self.rules.sites or {}).get(region.name, Site())
        kw = power_w * region.power_ratio / 1000.0
        gco2e_per_kwh = float(self.case.forecasts[region.zone].gco2e_per_kwh[slot // 2])
        price = site.usd_per_kwh
        usd_per_kwh = float(price.usd_per_kwh[slot // 2]) if isinstance(price, PriceSeries) else price or 0.0
        per_h = weights.per_gco2e * (kw * region.pue * gco2e_per_kwh + gpus * site.gco2e_per_gpu_h)
        per_h += weights.per_usd * (kw * region.pue * usd_per_kwh + gpus * site.usd_per_gpu_h)
        return per_h / 3600.0

    def cost(self, job: Job, segments: Sequence[Segment]) -> float:
        paid = 0.0
        for one in segments:
            region = self.case.region(one.region)
            gpus = job.gpus if one.gpus is None else one.gpus
            power_w = job.power_w if one.power_w is None else one.power_w
            for slot in range(SLOTS):
                inside_s = min(at_s(slot + 1), one.end_at_s) - max(at_s(slot), one.start_at_s)
                if inside_s > 1e-9:
                    paid += self.rate(region, slot, gpus, power_w) * inside_s
            if one.end_at_s > at_s(SLOTS) + 1e-6 or one.start_at_s < at_s(0) - 1e-6:
                return math.inf
        return paid


@dataclass(frozen=True, kw_only=True)
class World:
    """What holds one job: a limit is lifted by changing one of these."""

    scene: Scene
    job: Job
    window: tuple[int, int]
    regions: Sequence[Region]
    others: Mapping[str, tuple[Segment, ...]]
    pools: Sequence[PoolSegment]
    caps_w: Mapping[str, float]
    allowed: tuple[str, ...]

    def has_room(self, region: Region, slot: int, gpus: int, power_w: float) -> bool:
        middle_s = at_s(slot + 0.5)
        used, drawn_w = gpus, power_w * region.facility_ratio
        jobs = {job.id: job for job in self.scene.case.jobs}
        for name, segments in self.others.items():
            for one in segments:
                if one.region == region.name and one.start_at_s < middle_s < one.end_at_s:
                    used += jobs[name].gpus if one.gpus is None else one.gpus
                    own_w = jobs[name].power_w if one.power_w is None else one.power_w
                    drawn_w += own_w * region.facility_ratio
        for piece in self.pools:
            if piece.region == region.name and piece.start_at_s < middle_s < piece.end_at_s:
                used, drawn_w = used + piece.gpus, drawn_w + piece.gpus * POOL_W * region.pue
        used += sum(hold.gpus for hold in region.held if hold.start_at_s < middle_s < hold.end_at_s)
        return used <= region.gpus and drawn_w <= self.caps_w.get(region.name, math.inf) + 1e-6

    def least(self, *, besides: Sequence[str] = ()) -> float:
        """The least that any place costs; infinite where there is none."""
        here = [one for one in self.regions if one.name in self.allowed and one.name not in besides]
        case, job = self.scene.case, self.job
        if job.id not in case.scalings and job.interruption is None:
            return min((cost for one in here for _, cost in self.starts(one)), default=math.inf)
        counts = case.scalings[job.id].speeds if job.id in case.scalings else ((job.gpus, 1.0),)
        own_speed = dict(counts)[job.gpus]
        levels = [
            (one, gpus, speed / own_speed * one.speed, job.power_w / job.gpus * gpus)
            for one in here
            for gpus, speed in counts
        ]
        if job.interruption is not None:
            return self.divided(levels)
        return min((self.divided([level for level in levels if level[0] is one]) for one in here), default=math.inf)

    def starts(
        self, region: Region, gpus: int | None = None, lasts_s: float | None = None
    ) -> Iterator[tuple[int, float]]:
        """Each slot at which one piece may begin there, with what it costs."""
        job, count = self.job, self.job.gpus if gpus is None else gpus
        phases = self.scene.case.phases.get(job.id)
        whole_s = job.duration_s if lasts_s is None else lasts_s
        parts = (
            [(one.duration_s, one.power_w) for one in phases] if phases else [(whole_s, job.power_w / job.gpus * count)]
        )
        watts = [power_w for length_s, power_w in parts for _ in range(round(length_s / region.speed / SLOT_S))]
        for start in range(self.window[0], self.window[1] - len(watts) + 1):
            slots = list(enumerate(watts, start))
            if all(0 <= slot < SLOTS and self.has_room(region, slot, count, w) for slot, w in slots):
                yield start, sum(self.scene.rate(region, slot, count, w) * SLOT_S for slot, w in slots)

    def divided(self, levels: Sequence[tuple[Region, int, float, float]]) -> float:
        """The cheapest shares of half hours that do the work."""
        solver = highspy.Highs()
        solver.silent()
        columns: dict[int, list[int]] = {}
        speeds: list[float] = []
        for slot in range(max(0, self.window[0]), min(SLOTS, self.window[1])):
            for region, gpus, speed, power_w in levels:
                if self.has_room(region, slot, gpus, power_w):
                    columns.setdefault(slot, []).append(len(speeds))
                    solver.addCol(self.scene.rate(region, slot, gpus, power_w), 0.0, SLOT_S, 0, [], [])
                    speeds.append(speed)
        for some in columns.values():
            solver.addRow(-highspy.kHighsInf, SLOT_S, len(some), some, [1.0] * len(some))
        solver.addRow(self.job.duration_s, highspy.kHighsInf, len(speeds), list(range(len(speeds))), speeds)
        solver.run()
        if solver.getModelStatus() != highspy.HighsModelStatus.kOptimal:
            return math.inf
        return float(solver.getInfo().objective_function_value)


def world_of(scene: Scene, job: Job) -> World:
    found = scene.found
    first, last = slots_of(job)
    return World(
        scene=scene,
        job=job,
        window=in_order(scene, job, (first, last)),
        regions=found.case.regions,
        others={name: segments for name, segments in found.segments.items() if name != job.id},
        pools=[one for run in found.pools.values() for one in run.segments],
        caps_w=found.case.power_caps_w,
        allowed=job.regions or tuple(one.name for one in found.case.regions),
    )


def slots_of(job: Job) -> tuple[int, int]:
    return slot_of(job.earliest_start_at_s), slot_of(job.deadline_at_s)


def in_order(scene: Scene, job: Job, window: tuple[int, int]) -> tuple[int, int]:
    """What is left of a window between the ends of those before it and the begins of those after it."""
    planned, after = scene.found.segments, scene.rules.after
    ends = [slot_of(planned[one][-1].end_at_s) for one in after.get(job.id, ())]
    starts = [slot_of(planned[name][0].start_at_s) for name, before in after.items() if job.id in before]
    return max([window[0], *ends]), min([window[1], *starts])


def slot_of(instant_s: float) -> int:
    return round((instant_s - MIDNIGHT_S) / SLOT_S)


def lifted(world: World) -> dict[LimitKind, World]:
    """One limit gone at a time."""
    job, case = world.job, world.scene.case
    first, last = slots_of(job)
    found = {
        LimitKind.CAPACITY: replace(world, others={}, pools=[]),
        LimitKind.REGIONS: replace(world, allowed=tuple(one.name for one in case.regions)),
        LimitKind.POOL: replace(world, pools=[]),
        LimitKind.POWER_CAP: replace(world, caps_w={}),
        LimitKind.HELD: replace(world, regions=[replace(one, held=()) for one in world.regions]),
        LimitKind.AFTER: replace(world, window=(first, last)),
        LimitKind.DEADLINE: replace(world, window=in_order(world.scene, job, (first, last + DAY))),
        # No plan knows time before the first that is known.
        LimitKind.EARLIEST_START: replace(world, window=in_order(world.scene, job, (0, last))),
    }
    if job.id in case.scalings:
        more = case.scalings[job.id].speeds[-1][0]
        found[LimitKind.GPUS] = replace(world, regions=[replace(one, gpus=one.gpus + more) for one in world.regions])
    return found


# -- drawing ---------------------------------------------------------------------------------------------------------


@st.composite
def regions(draw: st.DrawFn, name: str) -> Region:
    slot = draw(st.integers(0, SLOTS - 2))
    hold = Hold(start_at_s=at_s(slot), end_at_s=at_s(slot + 2), gpus=draw(st.integers(1, 2)))
    return replace(
        a_region(name, gpus=draw(st.integers(2, 3)), pue=draw(st.sampled_from((1.0, 1.25)))),
        held=draw(st.sampled_from(((), (hold,)))),
        speed=draw(st.sampled_from((1.0, 2.0))),
        power_ratio=draw(st.sampled_from((1.0, 1.5))),
    )


@dataclass(frozen=True, kw_only=True)
class Asked:
    job: Job
    phases: tuple[Phase, ...] = ()
    scaling: Scaling | None = None


@st.composite
def asked_jobs(draw: st.DrawFn, name: str) -> Asked:
    kind = draw(st.sampled_from(("piece", "pieces", "phases", "elastic", "moving")))
    first = draw(st.integers(0, SLOTS - 4))
    job = a_job(
        name,
        earliest_s=at_s(first),
        within_s=SLOT_S * draw(st.integers(3, SLOTS - first)),
        duration_s=HOUR_S * draw(st.integers(1, 2)),
        gpus=draw(st.integers(1, 2)),
        power_w=1000.0,
        interruption=Interruption() if kind in ("pieces", "moving") else None,
        regions=draw(st.sampled_from(((), ("A",), ("B",)))),
    )
    if kind in ("elastic", "moving"):
        return Asked(job=job, scaling=SCALING)
    if kind == "phases":
        phases = tuple(Phase(duration_s=HOUR_S, power_w=draw(st.sampled_from((300.0, 2000.0)))) for _ in range(2))
        mean_w = sum(one.power_w for one in phases) / 2
        return Asked(job=replace(job, duration_s=2 * HOUR_S, power_w=mean_w), phases=phases)
    return Asked(job=job)


@st.composite
def scenes(draw: st.DrawFn) -> Scene:
    fleet = [draw(regions("A")), draw(regions("B"))]
    values = st.lists(st.integers(1, 50).map(lambda ten: 10.0 * ten), min_size=HOURS, max_size=HOURS)
    asked = [draw(asked_jobs(f"job-{number}")) for number in range(draw(st.integers(1, 3)))]
    case = FleetCase(
        jobs=[one.job for one in asked],
        regions=fleet,
        forecasts={one.name: a_series(*draw(values), zone=one.name) for one in fleet},
        power_caps_w=draw(st.sampled_from(({}, {"A": 2600.0}))),
        phases={one.job.id: one.phases for one in asked if one.phases},
        scalings={one.job.id: one.scaling for one in asked if one.scaling is not None},
    )
    weights, sites = draw(objectives())
    rules = FleetRules(sites=sites, objective=Objective(weights=weights))
    case, runs = draw(pools_in(case))
    scene = Scene(found=_plan(case, {}, runs), rules=rules)
    for job in case.jobs:
        places = list(_places(world_of(scene, job)))
        if places:
            segments = {**scene.found.segments, job.id: draw(st.sampled_from(places))}
            scene = replace(scene, found=_plan(case, segments, runs))
    if draw(st.booleans()):
        scene = replace(scene, rules=replace(rules, after=_an_order(scene.found)))
    return scene


@st.composite
def objectives(draw: st.DrawFn) -> tuple[Weights, dict[str, Site]]:
    prices = st.lists(st.integers(1, 30).map(lambda one: one / 100), min_size=HOURS, max_size=HOURS)
    sites = {
        name: Site(
            usd_per_kwh=PriceSeries(
                zone=name,
                edges_at_s=np.array([at_s(2 * hour) for hour in range(HOURS + 1)]),
                usd_per_kwh=np.array(draw(prices)),
            ),
            usd_per_gpu_h=draw(st.sampled_from((0.0, 0.5))),
            gco2e_per_gpu_h=draw(st.sampled_from((0.0, 30.0))),
        )
        for name in ("A", "B")
    }
    weights = (Weights(per_gco2e=1.0), Weights(per_usd=1.0), Weights(per_gco2e=2.0, per_usd=300.0))
    return draw(st.sampled_from(weights)), sites


@st.composite
def pools_in(draw: st.DrawFn, case: FleetCase) -> tuple[FleetCase, dict[str, PoolRun]]:
    """A pool that has one GPU of a region for two hours, or none, and nothing where the region is held."""
    region = case.regions[draw(st.integers(0, 1))]
    if draw(st.booleans()) or region.held:
        return case, {}
    slot = draw(st.integers(0, SLOTS - 4))
    piece = PoolSegment(start_at_s=at_s(slot), end_at_s=at_s(slot + 4), region=region.name, gpus=1)
    pool = Pool(
        name="tokens",
        tokens=1e6,
        earliest_start_at_s=at_s(0),
        deadline_at_s=at_s(SLOTS),
        densities={one.name: Density(tokens_per_s=1000.0, power_w=POOL_W) for one in case.regions},
    )
    return replace(case, pools=[pool]), {"tokens": PoolRun(segments=(piece,))}


def _plan(case: FleetCase, segments: Mapping[str, tuple[Segment, ...]], runs: Mapping[str, PoolRun]) -> FleetPlan:
    nothing = Certificate(emissions_gco2e=0.0, lower_bound_gco2e=0.0)
    reasons = {job.id: "capacity" for job in case.jobs if job.id not in segments}
    return FleetPlan(
        case=case, segments=segments, reasons=reasons, certificate=nothing, run_now=run_now(case), pools=runs
    )


def _places(world: World) -> Iterator[tuple[Segment, ...]]:
    """Every whole run on half hours beside the others; elastic ones on the GPUs that they have."""
    for region in world.regions:
        if region.name in world.allowed:
            for start, _ in world.starts(region):
                run = world.scene.case.run(world.job, region, at_s(start))
                yield tuple(_told(world, one) for one in run)


def _told(world: World, one: Segment) -> Segment:
    is_elastic = world.job.id in world.scene.case.scalings
    return replace(one, gpus=world.job.gpus, power_w=world.job.power_w) if is_elastic else one


def _an_order(found: FleetPlan) -> dict[str, tuple[str, ...]]:
    """Two jobs that already follow each other."""
    for name, segments in found.segments.items():
        for other, later in found.segments.items():
            if segments[-1].end_at_s <= later[0].start_at_s:
                return {other: (name,)}
    return {}


# -- what must hold --------------------------------------------------------------------------------------------------


@pytest.mark.slow
@given(scene=scenes())
@settings(max_examples=60, deadline=None)
def test_the_limits_that_bind_are_those_without_which_the_job_costs_less(scene: Scene) -> None:
    jobs = {job.id: job for job in scene.case.jobs}
    for told in FleetReasons(scene.found, scene.rules).explanations():
        world = world_of(scene, jobs[told.job_id])
        cost = scene.cost(world.job, scene.found.segments[told.job_id])
        assert told.emissions_gco2e == pytest.approx(cost)
        as_it_is = world.least()
        assert as_it_is <= cost + 1e-9
        expected = {kind: cost - one.least() for kind, one in lifted(world).items()}
        said = {one.kind: one.saves_gco2e for one in told.limits if one.saves_gco2e is not None}
        for kind, saves in {**expected, LimitKind.PLAN: cost - as_it_is}.items():
            least = cost if kind is LimitKind.PLAN or not _is_more(cost, as_it_is) else as_it_is
            gain_ratio = (least - (cost - saves)) / abs(least) if least else 0.0
            if abs(gain_ratio - LEAST_GAIN_RATIO) > 1e-6:
                assert (kind in said) == (gain_ratio > LEAST_GAIN_RATIO), (kind, gain_ratio)
            if kind in said:
                assert said[kind] == pytest.approx(saves, rel=1e-6, abs=1e-6)
        assert set(said) <= {*expected, LimitKind.PLAN}


def _is_more(cost: float, other: float) -> bool:
    return cost - other > LEAST_GAIN_RATIO * abs(cost)


@pytest.mark.slow
@given(scene=scenes())
@settings(max_examples=60, deadline=None)
def test_saving_and_next_best_are_those_of_every_other_place(scene: Scene) -> None:
    jobs = {job.id: job for job in scene.case.jobs}
    for told in FleetReasons(scene.found, scene.rules).explanations():
        job = jobs[told.job_id]
        at_once = scene.cost(job, scene.found.run_now.segments.get(job.id, ()))
        if told.at_once_gco2e is not None:
            assert told.at_once_gco2e == pytest.approx(at_once)
        least, is_whole = _next_best(world_of(scene, job), scene.found.segments[job.id])
        got = math.inf if told.next_best is None else told.next_best.emissions_gco2e
        assert got == pytest.approx(least) if is_whole else got <= least + 1e-9
        assert told.unit == {1.0: "gCO2e", 0.0: "USD", 2.0: "weighted"}[scene.rules.objective.weights.per_gco2e]
        if told.next_best is not None:
            assert scene.cost(job, told.next_best.segments) == pytest.approx(told.next_best.emissions_gco2e)


def _next_best(world: World, segments: tuple[Segment, ...]) -> tuple[float, bool]:
    """Elsewhere, or in one piece in the same region: an hour apart where it is the same number of GPUs.

    And whether every such piece fills half hours; the best of one that does not need not lie on them.
    """
    region, start = world.scene.case.region(segments[0].region), slots_of_start(segments)
    found = [world.least(besides=(region.name,))]
    scaling = world.scene.case.scalings.get(world.job.id)
    counts = scaling.speeds if scaling is not None else ((world.job.gpus, 1.0),)
    own_speed, is_whole = dict(counts)[world.job.gpus], True
    for gpus, speed in counts:
        lasts_s = world.job.duration_s * own_speed / speed
        slots = lasts_s / region.speed / SLOT_S
        if abs(slots - round(slots)) > 1e-9:
            is_whole = False
            continue
        is_same = gpus == world.job.gpus
        places = world.starts(region, gpus, lasts_s)
        found += [cost for slot, cost in places if not is_same or abs(slot - start) >= 2]
    return min(found), is_whole


def slots_of_start(segments: tuple[Segment, ...]) -> int:
    return slot_of(segments[0].start_at_s)


@pytest.mark.slow
@given(scene=scenes())
@settings(max_examples=60, deadline=None)
def test_what_would_help_a_refused_job_has_a_place_and_a_half_hour_less_of_it_has_none(scene: Scene) -> None:
    jobs = {job.id: job for job in scene.case.jobs}
    for name, changes in FleetReasons(scene.found, scene.rules).changes().items():
        world = world_of(scene, jobs[name])
        first, last = world.window
        if math.isfinite(world.least()):
            continue  # the draw looked at whole runs only, and had no place for one that can be divided
        told = {change.kinds[0]: change.changed for change in changes if len(change.kinds) == 1}
        assert (ChangeKind.FINISH_BY in told) == math.isfinite(replace(world, window=(first, SLOTS)).least())
        for change in changes:
            enough, less = _slots_around(change)
            changed = replace(world, job=change.changed, allowed=change.changed.regions or world.allowed)
            assert math.isfinite(replace(changed, window=enough).least())
            if less != enough:
                assert math.isinf(replace(changed, window=less).least())
        if (earlier := told.get(ChangeKind.EARLIEST_START)) is not None:
            assert earlier.earliest_start_at_s >= MIDNIGHT_S
        else:
            assert math.isinf(replace(world, window=(0, last)).least())


def _slots_around(change: Change) -> tuple[tuple[int, int], tuple[int, int]]:
    """The window in half hours, and where it is the change, what one half hour less leaves of it."""
    job, asked = change.changed, change.asked
    first = math.floor((job.earliest_start_at_s - MIDNIGHT_S) / SLOT_S)
    last = math.ceil((job.deadline_at_s - MIDNIGHT_S) / SLOT_S)
    match change.kinds[-1]:
        case ChangeKind.FINISH_BY if job.deadline_at_s > asked.deadline_at_s:
            return (first, last), (first, last - 1)
        case ChangeKind.EARLIEST_START:
            return (first, last), (first + 1, last)
        case _:
            return (first, last), (first, last)
