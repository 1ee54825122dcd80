"""Pools of tokens poured into the room that jobs leave: the cheapest division of it that meets every pool in time.

Exact beside these jobs where no power cap binds, or where one pool has it to itself: a stretch of time is given to one
pool after another, each with all GPUs that are free. Under a cap two pools at once might use GPUs and watts better; the
bound knows that. Where not all can be met, pools of higher priority come first, then those whose window ends first, and
each has as many of its tokens as the others leave.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from intensity_feeds.series import Floats
from scheduler.planning.whole_fleet.fleet_case import Assignment, FleetCase
from scheduler.planning.whole_fleet.token_filling.room import Openings, Wholes, windows_s
from scheduler.planning.whole_fleet.token_filling.shares import Shares, cheapest_shares
from scheduler.planning.whole_fleet.token_pools import Pool, PoolSegment, PoolSegments

_J_PER_KWH = 3.6e6
# A pool that lacks so little of its tokens lacks them by rounding.
SHORT_RATIO = 1e-6
# A share of a stretch so small is rounding; what it would have made is less than that of the tokens.
_LEAST_SHARE_RATIO = 1e-9
_TOUCHING_S = 1e-6
_ROUNDING_RATIO = 1e-9
# A GPU taken from a pool that is served is so much worse than one withheld from the next.
_SERVED_FACTOR = 1000.0
# What a token is worth to a pool that lacks some, beside the dearest that it can have.
_SHORT_FACTOR = 100.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Poured:
    """`short_ratio` is of what each pool wants, `token_cost` what one token more would cost it, both by its name."""

    segments: PoolSegments
    short_ratio: Mapping[str, float]
    token_cost: Mapping[str, float]
    cost: float

    @property
    def rank(self) -> tuple[float, float]:
        """The fewest short first, then the least cost."""
        return round(sum(self.short_ratio.values()), 6), self.cost


def poured(case: FleetCase, jobs: Assignment) -> Poured:
    """All pools of the case beside these jobs."""
    return poured_into(case, Openings.beside(case, jobs, *windows_s(case)))


def poured_into(case: FleetCase, openings: Openings) -> Poured:
    offers = [_Offer.of(case, openings, pool) for pool in case.pools]
    met = _met(case.pools, offers)
    asked = [number for number, ratio in enumerate(met) if ratio > SHORT_RATIO]
    segments: dict[str, tuple[PoolSegment, ...]] = {pool.name: () for pool in case.pools}
    token_cost = {pool.name: 0.0 for pool in case.pools}
    if asked:
        shares = _shares([offers[number] for number in asked], [met[number] for number in asked])
        segments |= _segments(case, openings, [offers[number] for number in asked], shares)
        token_cost |= {case.pools[one].name: float(shares.unit_cost[row]) for row, one in enumerate(asked)}
    for pool, offer, ratio in zip(case.pools, offers, met, strict=True):
        if ratio < 1.0:
            token_cost[pool.name] = _SHORT_FACTOR * offer.dearest_cost_per_token
    return Poured(
        segments=segments,
        short_ratio={pool.name: 1.0 - ratio for pool, ratio in zip(case.pools, met, strict=True)},
        token_cost=token_cost,
        cost=shares.cost if asked else 0.0,
    )


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class _Offer:
    """What each stretch has for one pool, were it the pool's alone."""

    pool: Pool
    gpus: Wholes
    gpu_s: Floats
    tokens: Floats
    costs: Floats

    @classmethod
    def of(cls, case: FleetCase, openings: Openings, pool: Pool) -> _Offer:
        gpus, tokens_per_s, gpu_costs = (np.zeros(len(openings.region)) for _ in range(3))
        inside = (openings.start_at_s >= pool.earliest_start_at_s) & (openings.end_at_s <= pool.deadline_at_s)
        inside &= ~np.isnan(openings.gco2e_per_j)
        for index, region in enumerate(case.regions):
            if (density := pool.density_in(region.name)) is None:
                continue
            here = inside & (openings.region == index)
            gpus[here] = openings.gpus_for(density.power_w, region)[here]
            tokens_per_s[here] = density.tokens_per_s
            waiting = pool.waiting_cost_per_kwh / _J_PER_KWH
            gpu_costs[here] = density.power_w * (openings.gco2e_per_j[here] - waiting)
            gpu_costs[here] += case.gpu_rate_gco2e_per_s.get(region.name, 0.0)
        gpu_s = gpus * openings.lengths_s
        return cls(
            pool=pool,
            gpus=gpus.astype(np.int64),
            gpu_s=gpu_s,
            tokens=gpu_s * tokens_per_s,
            costs=gpu_s * gpu_costs,
        )

    @property
    def dearest_cost_per_token(self) -> float:
        return float((np.abs(self.costs[self.tokens > 0]) / self.tokens[self.tokens > 0]).max(initial=0.0))


def _shares(offers: Sequence[_Offer], met_ratio: Sequence[float]) -> Shares:
    """Only stretches that somebody can have."""
    tokens, costs = np.array([one.tokens for one in offers]), np.array([one.costs for one in offers])
    wanted = np.array([one.pool.tokens for one in offers]) * np.array(met_ratio)
    useful = (tokens > 0).any(axis=0)
    found = cheapest_shares(tokens[:, useful], costs[:, useful], wanted)
    share_ratio = np.zeros_like(tokens)
    share_ratio[:, useful] = found.share_ratio
    return replace(found, share_ratio=share_ratio)


def _met(pools: Sequence[Pool], offers: Sequence[_Offer]) -> list[float]:
    """Which share of its tokens each pool can have: all of them, or else one pool after another as many as it can."""
    met = [1.0] * len(pools)
    everybody = _shares(offers, met)
    if (everybody.short_ratio <= SHORT_RATIO).all():
        return met
    order = sorted(range(len(pools)), key=lambda one: (-pools[one].priority, pools[one].deadline_at_s, one))
    served: list[int] = []
    for number in order:
        trial = [*served, number]
        short_ratio = _least_short_ratio([offers[one] for one in trial], [met[one] for one in trial])
        met[number] = 1.0 if short_ratio <= SHORT_RATIO else max(0.0, 1.0 - short_ratio - _ROUNDING_RATIO)
        if met[number] > SHORT_RATIO:
            served = trial
        else:
            met[number] = 0.0
    return met


def _least_short_ratio(offers: Sequence[_Offer], met_ratio: Sequence[float]) -> float:
    """What the last pool lacks at least when those before it get what they are to have."""
    if not offers[-1].tokens.any():
        return 1.0
    tokens, gpu_s = np.array([one.tokens for one in offers]), np.array([one.gpu_s for one in offers])
    wanted = np.array([one.pool.tokens for one in offers]) * np.array(met_ratio)
    factors = np.full(len(offers), _SERVED_FACTOR)
    factors[-1] = 1.0
    return float(cheapest_shares(tokens, gpu_s, wanted, factors).short_ratio[-1])


def _segments(
    case: FleetCase, openings: Openings, offers: Sequence[_Offer], shares: Shares
) -> dict[str, tuple[PoolSegment, ...]]:
    """Each stretch divided in time, in the order of the offers; whoever goes on with as many GPUs has one segment."""
    found: dict[str, list[PoolSegment]] = {one.pool.name: [] for one in offers}
    last: dict[tuple[str, str], int] = {}
    for offer, one in _pieces(case, openings, offers, shares):
        mine, place = found[offer.pool.name], (offer.pool.name, one.region)
        before = mine[last[place]] if place in last else None
        if before and before.gpus == one.gpus and one.start_at_s - before.end_at_s <= _TOUCHING_S:
            mine[last[place]] = replace(before, end_at_s=one.end_at_s)
        else:
            last[place] = len(mine)
            mine.append(one)
    return {name: tuple(ones) for name, ones in found.items()}


def _pieces(
    case: FleetCase, openings: Openings, offers: Sequence[_Offer], shares: Shares
) -> Iterator[tuple[_Offer, PoolSegment]]:
    """By begin of the stretches. One that is divided begins with who had the end of the stretch before."""
    owner: dict[int, int] = {}
    for cell in np.flatnonzero((shares.share_ratio > _LEAST_SHARE_RATIO).any(axis=0)).tolist():
        region = int(openings.region[cell])
        at_s, end_s = float(openings.start_at_s[cell]), float(openings.end_at_s[cell])
        length_s = end_s - at_s
        who = np.flatnonzero(shares.share_ratio[:, cell] > _LEAST_SHARE_RATIO).tolist()
        for number in sorted(who, key=lambda one: (one != owner.get(region), one)):
            until_s = min(at_s + float(shares.share_ratio[number, cell]) * length_s, end_s)
            if end_s - until_s <= _LEAST_SHARE_RATIO * length_s:
                until_s = end_s
            if until_s > at_s:
                name = case.regions[region].name
                gpus = int(offers[number].gpus[cell])
                yield offers[number], PoolSegment(start_at_s=at_s, end_at_s=until_s, region=name, gpus=gpus)
            at_s, owner[region] = until_s, number
