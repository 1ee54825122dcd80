"""Which model answers each request of a pool of models: the daemon's own choice, made before the requests are served.

Offers, floors, prices and budgets are those of shaping/routing.py and shaping/shadow_price.py, asked in order of
arrival. The energy of an offer is estimated in a batch of a fixed size, where the daemon sees how busy its workers are.
How likely each model answers well comes as numbers. Knows no worker and serves nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from shaping.energy import Deployment
from shaping.request_energy import request_energy_j
from shaping.routing import Choice, Floors, Offer, RouteReason, Service, choose
from shaping.shadow_price import PacedBudget
from simulations.workloads import Floats, Integers, RequestTrace

_J_PER_KWH = 3.6e6
# What a budget in grams buys while nobody knows the grid, as in the daemon: only the cheapest adequate model.
_PROHIBITIVE_RATIO_PER_COST = 1e12
# Of an interval of 100 logits: down to the last bits of a float.
_BISECTIONS = 60

# Facility grams for a kWh of IT energy at each candidate, at an instant; None where one of them is not known.
Intensities = Callable[[float], Sequence[float] | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A model that may be chosen, and what serves it."""

    name: str
    deployment: Deployment


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """What callers ask for, what counts as good enough, and how large a batch the energy is estimated in."""

    service: Service
    floors: Floors
    batch_sequences: int


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Chosen:
    """What became of the requests of one pool of models, in order of arrival, shape (n,).

    `place` is that of the model among the candidates, `chance_ratio` how likely it answers well. Without a router
    nothing is a reason.
    """

    pool: str
    models: Sequence[str]
    place: Integers
    chance_ratio: Floats
    reasons: Mapping[RouteReason, int]

    @property
    def answered_well_ratio(self) -> float | None:
        return float(self.chance_ratio.mean()) if len(self.chance_ratio) else None

    def share_ratio(self, model: str) -> float | None:
        return float((self.place == self.models.index(model)).mean()) if len(self.place) else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Routed:
    """The requests of each table once the models are chosen, and what was chosen in each pool of models."""

    requests: tuple[RequestTrace, ...]
    chosen: tuple[Chosen, ...]


def answered_well_ratio(every: Sequence[Chosen]) -> float | None:
    """Expected share over the requests of all these pools; None where there is none."""
    chances_ratio = [one.chance_ratio for one in every if len(one.chance_ratio)]
    return float(np.concatenate(chances_ratio).mean()) if chances_ratio else None


def unrouted(pool: str, chances_ratio: Floats, models: Sequence[str], model: str) -> Chosen:
    """Every request at one model, as it is where callers have no router."""
    place = models.index(model)
    return Chosen(
        pool=pool,
        models=models,
        place=np.full(len(chances_ratio), place, dtype=np.int64),
        chance_ratio=chances_ratio[:, place],
        reasons={},
    )


def merged(traces: Sequence[RequestTrace]) -> RequestTrace:
    """All requests of the candidates in order of arrival: callers name the pool, not a model."""
    arrivals = np.concatenate([one.arrival_s for one in traces])
    order = np.argsort(arrivals, kind="stable")
    return RequestTrace(
        arrival_s=arrivals[order],
        prompt_tokens=np.concatenate([one.prompt_tokens for one in traces])[order],
        output_tokens=np.concatenate([one.output_tokens for one in traces])[order],
        left_out=sum(one.left_out for one in traces),
    )


def parted(trace: RequestTrace, place: Integers, count: int) -> list[RequestTrace]:
    """The requests of each candidate."""
    return [
        RequestTrace(
            arrival_s=trace.arrival_s[place == one],
            prompt_tokens=trace.prompt_tokens[place == one],
            output_tokens=trace.output_tokens[place == one],
            left_out=trace.left_out if one == 0 else 0,
        )
        for one in range(count)
    ]


def drawn_chances(
    generator: np.random.Generator, count: int, accuracies_ratio: Sequence[float], hardness_spread_ratio: float
) -> Floats:
    """How likely each model answers each request well, shape (count, models).

    A request is as hard for one model as for another, normally distributed in logits; a model's mean is its accuracy.
    """
    hardness_ratio = hardness_spread_ratio * generator.standard_normal(count)
    return np.stack([_chances(hardness_ratio, accuracy) for accuracy in accuracies_ratio], axis=1)


def _chances(hardness_ratio: Floats, accuracy_ratio: float) -> Floats:
    """Of one model: its strength is found by bisection, for a mean of logistic curves has no inverse."""
    if not len(hardness_ratio):
        return np.empty(0)
    low, high = -50.0, 50.0
    for _ in range(_BISECTIONS):
        middle = (low + high) / 2
        is_weak = float(_logistic(middle - hardness_ratio).mean()) < accuracy_ratio
        low, high = (middle, high) if is_weak else (low, middle)
    return _logistic(low - hardness_ratio)


def _logistic(log_odds_ratio: Floats) -> Floats:
    return np.asarray(1.0 / (1.0 + np.exp(-log_odds_ratio)), dtype=np.float64)


def choose_all(
    pool: str,
    trace: RequestTrace,
    chances_ratio: Floats,
    candidates: Sequence[Candidate],
    rules: Rules,
    *,
    start_at_s: float,
    budget: PacedBudget | None,
    intensities: Intensities,
) -> Chosen:
    """One model for each request. `budget` is in grams of the facility."""
    names = [one.name for one in candidates]
    place = np.zeros(len(trace), dtype=np.int64)
    reasons: dict[RouteReason, int] = {}
    for index in range(len(trace)):
        now_s = start_at_s + float(trace.arrival_s[index])
        known = None if budget is None else intensities(now_s)
        costs = _costs(trace, index, candidates, rules, known)
        offers = [
            Offer(model=name, chance_ratio=float(chance_ratio), cost=cost)
            for name, chance_ratio, cost in zip(names, chances_ratio[index], costs, strict=True)
        ]
        found = _choice(offers, rules, budget if known is not None else None, now_s)
        place[index] = names.index(found.offer.model)
        reasons[found.reason] = reasons.get(found.reason, 0) + 1
    chance_ratio = chances_ratio[np.arange(len(trace)), place]
    return Chosen(pool=pool, models=names, place=place, chance_ratio=chance_ratio, reasons=reasons)


def _choice(offers: Sequence[Offer], rules: Rules, budget: PacedBudget | None, now_s: float) -> Choice:
    """Without a budget that can be counted, nothing says what a better guess may cost."""
    if budget is None:
        return choose(
            offers, service=rules.service, floors=rules.floors, price_ratio_per_cost=_PROHIBITIVE_RATIO_PER_COST
        )
    found = choose(
        offers,
        service=rules.service,
        floors=rules.floors,
        price_ratio_per_cost=budget.price_ratio_per_cost(now_s),
        left_cost=budget.left_cost(now_s),
    )
    budget.spend(found.offer.cost, now_s)
    return found


def _costs(
    trace: RequestTrace,
    index: int,
    candidates: Sequence[Candidate],
    rules: Rules,
    known_gco2e_per_kwh: Sequence[float] | None,
) -> list[float]:
    """Joules of each candidate; grams where the grid is known, as a budget counts them."""
    joules = [
        request_energy_j(
            one.deployment,
            prompt_tokens=int(trace.prompt_tokens[index]),
            output_tokens=int(trace.output_tokens[index]),
            batch_sequences=rules.batch_sequences,
        )
        for one in candidates
    ]
    if known_gco2e_per_kwh is None:
        return joules
    return [one * gco2e_per_kwh / _J_PER_KWH for one, gco2e_per_kwh in zip(joules, known_gco2e_per_kwh, strict=True)]
