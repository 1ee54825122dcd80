"""Where a saving comes from: what each lever did, and what was lost on the way. The parts add up to the whole.

Jobs are priced again. Home is the region in which a job ran at once: time shift is its work at home, at the hours at
which it really ran; region shift is those hours where it ran beside the same at home; pauses are what checkpoints and
restores emitted. Levers of requests are switched on one after the other, each with a run of its own: first each goes
to the model that the router chooses, then those that may wait do so, then requests are held for company, then workers
sleep. Of those that wait, the same energy at cleaner hours is time shift, and less energy is batching, for what is sent
together runs together. All of that under a perfect forecast; what the policy emits beyond it is forecast error, but for
the choice of models, which is made once. Work that cannot be priced in one of these is not divided.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import NamedTuple

import numpy as np

from scheduler.ledger import emissions_gco2e
from simulations.accounts import J_PER_KWH, Accounts, Floats, Items, accounts_of
from simulations.baselines import AT_ONCE, Conduct
from simulations.callers import by_callers
from simulations.launcher import Stretch
from simulations.results import Results
from simulations.results_json import rounded
from simulations.runs import Inputs, Progress, Side, named_conduct, run_sides
from simulations.scenario import ForecastKind, RegionSettings
from simulations.side_items import Booleans, counted_items, flat_items
from simulations.summary import Row, mass, percent


class Part(StrEnum):
    """Levers first, then losses, in the order of a picture."""

    TIME = "time shift"
    REGION = "region shift"
    BATCHING = "batching"
    CONSOLIDATION = "consolidation"
    ROUTING = "routing"
    PAUSES = "checkpoints and restores"
    IDLE = "idle workers"
    FORECAST = "forecast error"
    UNDIVIDED = "not divided"


class AnsweredWell(NamedTuple):
    """Expected share of good answers of both sides, where models are chosen: what routing pays for its grams."""

    baseline_ratio: float
    policy_ratio: float

    @property
    def change(self) -> str:
        return f"{100 * (self.policy_ratio - self.baseline_ratio):+.1f} points"


@dataclass(frozen=True, slots=True, kw_only=True)
class SavingsParts:
    """Grams avoided by each part, negative where it added some; a part that plays no role is left out."""

    baseline_gco2e: float
    policy_gco2e: float
    by_part_gco2e: Mapping[Part, float]
    answered_well: AnsweredWell | None = None

    @property
    def avoided_gco2e(self) -> float:
        return self.baseline_gco2e - self.policy_gco2e


def savings_parts(results: Results, progress: Progress = lambda ratio: None) -> SavingsParts:
    """Makes the runs that are needed: none where the forecast was perfect and only one lever moves requests."""
    chain = _chain(results, progress)
    found = dict.fromkeys(Part, 0.0)
    for part, gco2e in (*_of_jobs(results, chain), *_of_pools(results, chain)):
        found[part] += gco2e
    return SavingsParts(
        baseline_gco2e=results.baseline.emissions_gco2e,
        policy_gco2e=results.policy.emissions_gco2e,
        by_part_gco2e={part: gco2e for part, gco2e in found.items() if gco2e},
        answered_well=_answered_well(results),
    )


def _answered_well(results: Results) -> AnsweredWell | None:
    before, after = results.baseline.answered_well_ratio, results.policy.answered_well_ratio
    return None if before is None or after is None else AnsweredWell(before, after)


def plain_parts(parts: SavingsParts) -> dict[str, float]:
    """As JSON: grams avoided by each part."""
    return rounded({part.name.lower(): gco2e for part, gco2e in parts.by_part_gco2e.items()})


def part_rows(parts: SavingsParts) -> list[Row]:
    """Name, grams and share of what running at once emits; then the sum, and what routing costs in good answers."""
    every = [*((part.value, grams) for part, grams in parts.by_part_gco2e.items()), ("in all", parts.avoided_gco2e)]
    whole = parts.baseline_gco2e
    rows: list[Row] = [(name, _signed_mass(grams), percent(grams / whole if whole else None)) for name, grams in every]
    if (well := parts.answered_well) is not None:
        rows.append(("good answers, expected", f"{well.baseline_ratio:.1%} to {well.policy_ratio:.1%}", well.change))
    return rows


def _signed_mass(grams_gco2e: float) -> str:
    return f"{'-' if grams_gco2e < 0 else '+'}{mass(abs(grams_gco2e))}"


# -- the runs between the two sides ----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class _Chain:
    """What pools used from running at once to the policy, link by link, and how jobs run under a perfect forecast.

    `pools` are their items in the order that all sides share.
    """

    pools: Sequence[Items]
    links: Sequence[Part]
    informed: Side
    informed_accounts: Accounts


def _chain(results: Results, progress: Progress) -> _Chain:
    runs, inputs = results.runs, results.runs.inputs
    own = named_conduct(inputs, inputs.scenario.policy.kind)
    knowing = replace(own, knows_the_grid=True)
    is_informed = own.knows_the_grid or _is_told_the_truth(inputs)
    levers = _levers(inputs, own) or [Part.TIME]
    conducts = [_with_levers(knowing, levers[: count + 1]) for count in range(len(levers) - 1)]
    between = _pool_sides(results, conducts, progress)
    informed = runs.policy if is_informed else _extra_sides(results, inputs, [knowing], progress)[0]
    informed_accounts = results.accounts[1] if is_informed else _accounts(inputs, informed)
    last = [] if is_informed else [(runs.policy, results.accounts[1])]
    every = [
        (runs.baseline, results.accounts[0]),
        *((side, _accounts(inputs, side)) for side in between),
        (informed, informed_accounts),
        *last,
    ]
    return _Chain(
        pools=[_pool_items(side, accounts) for side, accounts in every],
        links=[*levers, *(Part.FORECAST for _ in last)],
        informed=informed,
        informed_accounts=informed_accounts,
    )


def _is_told_the_truth(inputs: Inputs) -> bool:
    grid = inputs.grid
    return inputs.scenario.forecast.kind is ForecastKind.PERFECT and grid.seen is None and grid.outages is None


def _levers(inputs: Inputs, conduct: Conduct) -> list[Part]:
    """What the policy does to requests that running at once does not, in the order in which it is switched on."""
    pools = inputs.scenario.requests
    moves = {
        Part.ROUTING: conduct.routes and inputs.unrouted is not None,
        Part.TIME: conduct.release is not None and any(pool.flex_ratio > 0 for pool in pools),
        Part.BATCHING: bool(pools) and conduct.shaping != AT_ONCE,
        Part.CONSOLIDATION: conduct.lets_workers_sleep and any(pool.sleeps for pool in pools),
    }
    return [part for part, is_moved in moves.items() if is_moved]


def _with_levers(conduct: Conduct, levers: Sequence[Part]) -> Conduct:
    return replace(
        conduct,
        release=conduct.release if Part.TIME in levers else None,
        shaping=conduct.shaping if Part.BATCHING in levers else AT_ONCE,
        lets_workers_sleep=Part.CONSOLIDATION in levers,
        routes=Part.ROUTING in levers,
    )


def _pool_sides(results: Results, conducts: Sequence[Conduct], progress: Progress) -> list[Side]:
    """Requests only: no job holds a GPU of theirs."""
    inputs = results.runs.inputs
    if not conducts:
        return []
    alone = replace(inputs, scenario=replace(inputs.scenario, jobs=()), jobs=())
    return _extra_sides(results, alone, conducts, progress)


def _extra_sides(results: Results, inputs: Inputs, conducts: Sequence[Conduct], progress: Progress) -> list[Side]:
    ends = [power.edges_at_s[-1] for run in results.runs.policy.pools for power in run.record.power]
    sides, _ = run_sides(inputs, conducts, progress, warm_until_s=float(max(ends, default=0.0)))
    return sides


def _accounts(inputs: Inputs, side: Side) -> Accounts:
    return accounts_of(side, {region.name: region for region in inputs.scenario.region}, inputs.grid.realised)


# -- jobs ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class _JobShares:
    """Emissions of each job, shape (n,) each: its work at home at its hours, what other regions added, and pauses."""

    home_gco2e: Floats
    abroad_gco2e: Floats
    pauses_gco2e: Floats


def _of_jobs(results: Results, chain: _Chain) -> Iterator[tuple[Part, float]]:
    runs = results.runs
    baseline, policy = (account.jobs.emissions_gco2e for account in results.accounts)
    counted = counted_items((runs.baseline, runs.policy), results.accounts)[: len(baseline)]
    homes = _homes(runs.baseline)
    before, after = (_job_shares(side, homes, runs.inputs) for side in (runs.baseline, chain.informed))
    informed = chain.informed_accounts.jobs.emissions_gco2e
    divided = counted & ~np.isnan(before.home_gco2e + after.home_gco2e + informed)
    yield Part.TIME, _sum(before.home_gco2e - after.home_gco2e, divided)
    yield Part.REGION, _sum(before.abroad_gco2e - after.abroad_gco2e, divided)
    yield Part.PAUSES, _sum(before.pauses_gco2e - after.pauses_gco2e, divided)
    yield Part.FORECAST, _sum(informed - policy, divided)
    yield Part.UNDIVIDED, _sum(baseline - policy, counted & ~divided)


def _homes(side: Side) -> dict[str, str]:
    """Where each job ran first."""
    return {one.job_id: one.region for one in reversed(side.stretches)}


def _job_shares(side: Side, homes: Mapping[str, str], inputs: Inputs) -> _JobShares:
    """NaN where a grid is not known at the job's hours; zero for a job that never ran."""
    regions = {region.name: region for region in inputs.scenario.region}
    places = {work.job.id: place for place, work in enumerate(side.works)}
    home, abroad, pauses = (np.zeros(len(places)) for _ in range(3))
    for one, work_at_s in _stretches_with_work(side, places):
        place = places[one.job_id]
        power_w = side.works[place].job.power_w
        held = _emitted(power_w, regions[one.region], inputs, one.start_at_s, one.end_at_s)
        at_work = _emitted(power_w, regions[one.region], inputs, *work_at_s)
        at_home = _emitted(power_w, regions[homes.get(one.job_id, one.region)], inputs, *work_at_s)
        home[place] += at_home
        abroad[place] += at_work - at_home
        pauses[place] += held - at_work
    return _JobShares(home_gco2e=home, abroad_gco2e=abroad, pauses_gco2e=pauses)


def _stretches_with_work(side: Side, places: Mapping[str, int]) -> Iterator[tuple[Stretch, tuple[float, float]]]:
    """Each stretch, and the part of it that is neither the restore at its begin nor the checkpoint at its end."""
    by_job: dict[str, list[Stretch]] = {}
    for one in side.stretches:
        by_job.setdefault(one.job_id, []).append(one)
    for job_id, stretches in by_job.items():
        pause = side.works[places[job_id]].job.interruption
        for index, one in enumerate(stretches):
            restore_s = pause.restore_s if pause is not None and index > 0 else 0.0
            checkpoint_s = pause.checkpoint_s if pause is not None and index < len(stretches) - 1 else 0.0
            begin_s = min(one.start_at_s + restore_s, one.end_at_s)
            yield one, (begin_s, max(begin_s, one.end_at_s - checkpoint_s))


def _emitted(power_w: float, region: RegionSettings, inputs: Inputs, start_at_s: float, end_at_s: float) -> float:
    """Grams in that region; NaN where its grid is not known."""
    if end_at_s <= start_at_s:
        return 0.0
    held_kwh = power_w * (end_at_s - start_at_s) / J_PER_KWH
    found = emissions_gco2e(held_kwh, region.pue, inputs.grid.realised.get(region.zone), start_at_s, end_at_s)
    return np.nan if found is None else found


# -- requests --------------------------------------------------------------------------------------------------------


def _of_pools(results: Results, chain: _Chain) -> Iterator[tuple[Part, float]]:
    """Each pool's requests and its idling, link by link."""
    masks = _pool_masks(results)
    links = chain.pools
    known = ~np.isnan([items.emissions_gco2e for items in links]).any(axis=0)
    whole = links[0].emissions_gco2e - links[-1].emissions_gco2e
    for counted, is_idle in masks:
        for part, before, after in zip(chain.links, links, links[1:], strict=False):
            yield from _of_link(part, before, after, counted & known, is_idle=is_idle)
        yield Part.UNDIVIDED, _sum(whole, counted & ~known)


def _of_link(
    lever: Part, before: Items, after: Items, which: Booleans, *, is_idle: bool
) -> Iterator[tuple[Part, float]]:
    """What one lever did. Where it is time, the energy that it spared is batching."""
    saved_g = _sum(before.emissions_gco2e - after.emissions_gco2e, which)
    if is_idle and lever in (Part.ROUTING, Part.TIME, Part.BATCHING):
        yield Part.IDLE, saved_g
    elif lever is Part.TIME:
        before_kwh = float(before.facility_kwh[which].sum())
        less_kwh = before_kwh - float(after.facility_kwh[which].sum())
        denser_g = less_kwh * float(before.emissions_gco2e[which].sum()) / before_kwh if before_kwh else 0.0
        yield Part.BATCHING, denser_g
        yield Part.TIME, saved_g - denser_g
    else:
        yield lever, saved_g


def _pool_items(side: Side, accounts: Accounts) -> Items:
    """Of pools alone, in the order that all sides share."""
    first, items = len(side.works), flat_items(side, accounts)
    return Items(
        energy_kwh=items.energy_kwh[first:],
        facility_kwh=items.facility_kwh[first:],
        emissions_gco2e=items.emissions_gco2e[first:],
    )


def _pool_masks(results: Results) -> Iterator[tuple[Booleans, bool]]:
    """Of each pool, which items count in the results: its requests, and its idling."""
    runs = results.runs
    counted = counted_items((runs.baseline, runs.policy), results.accounts)[len(runs.baseline.works) :]
    at = 0
    for requests in by_callers(runs.baseline, [run.traffic.is_flex for run in runs.baseline.pools]):
        for count, is_idle in ((len(requests), False), (1, True)):
            mine = np.zeros(len(counted), dtype=np.bool_)
            mine[at : at + count] = True
            yield mine & counted, is_idle
            at += count


def _sum(grams_gco2e: Floats, which: Booleans) -> float:
    return float(grams_gco2e[which].sum())
