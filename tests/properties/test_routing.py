"""What routing promises, for any offers, prices and budgets."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shaping.assignment import assign
from shaping.routing import Floors, Offer, RouteReason, Service, choose
from shaping.shadow_price import PacedBudget

pytestmark = pytest.mark.slow

FLOORS = Floors(standard_ratio=0.5, eco_ratio=0.3)
RATIOS = st.floats(0, 1)
COSTS = st.floats(0.1, 1000)


@st.composite
def several_offers(draw: st.DrawFn) -> list[Offer]:
    count = draw(st.integers(1, 6))
    return [Offer(model=f"m{one}", chance_ratio=draw(RATIOS), cost=draw(COSTS)) for one in range(count)]


@given(several_offers(), COSTS, st.one_of(st.none(), COSTS))
def test_premium_gets_the_best_model_whatever_the_budget(
    offers: list[Offer], price_ratio_per_cost: float, left_cost: float | None
) -> None:
    found = choose(
        offers,
        service=Service.PREMIUM,
        floors=FLOORS,
        price_ratio_per_cost=price_ratio_per_cost,
        left_cost=left_cost,
    )

    assert found.offer.chance_ratio == max(offer.chance_ratio for offer in offers)


@given(several_offers(), RATIOS, st.one_of(st.none(), COSTS), st.sampled_from([Service.STANDARD, Service.ECO]))
def test_the_floor_holds_where_any_model_reaches_it(
    offers: list[Offer], price_ratio_per_cost: float, left_cost: float | None, service: Service
) -> None:
    found = choose(
        offers, service=service, floors=FLOORS, price_ratio_per_cost=price_ratio_per_cost, left_cost=left_cost
    )
    floor_ratio = FLOORS.eco_ratio if service is Service.ECO else FLOORS.standard_ratio

    if any(offer.chance_ratio >= floor_ratio for offer in offers) and len(offers) > 1:
        assert found.offer.chance_ratio >= floor_ratio


@given(several_offers(), st.floats(0, 10), st.floats(0, 10))
def test_a_higher_price_never_buys_a_dearer_model(offers: list[Offer], one_ratio: float, other_ratio: float) -> None:
    low, high = sorted((one_ratio, other_ratio))
    dear = choose(offers, floors=FLOORS, price_ratio_per_cost=low).offer.cost
    cheap = choose(offers, floors=FLOORS, price_ratio_per_cost=high).offer.cost

    assert cheap <= dear


@given(several_offers(), st.floats(0, 1), st.floats(0, 500))
def test_only_the_cheapest_adequate_model_may_exceed_what_is_left(
    offers: list[Offer], price_ratio_per_cost: float, left_cost: float
) -> None:
    found = choose(offers, floors=FLOORS, price_ratio_per_cost=price_ratio_per_cost, left_cost=left_cost)

    adequate = [offer for offer in offers if offer.chance_ratio >= FLOORS.standard_ratio] or offers
    if found.offer.cost > left_cost and found.reason is not RouteReason.ONLY_CANDIDATE:
        assert found.offer.cost == min(offer.cost for offer in adequate)


def _stream(seed: int, count: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Chances and costs of a small and a large model, and how dirty the grid is, hour by hour."""
    rng = np.random.default_rng(seed)
    small = rng.uniform(0.3, 0.95, count)
    large = np.minimum(1.0, small + rng.uniform(0.0, 0.5, count))
    dirty = 1 + 0.6 * np.sin(np.arange(count) * 2 * np.pi / (count / 4))
    return np.stack([small, large], axis=1), np.array([10.0, 100.0]), dirty


@settings(max_examples=15)
@given(st.integers(0, 1000), st.floats(0.2, 0.9))
def test_a_carbon_budget_holds_and_dirty_hours_get_smaller_models(seed: int, large_share_ratio: float) -> None:
    count = 3000
    chances, joules, dirty = _stream(seed, count)
    limit = count * (10 + 90 * large_share_ratio)
    budget = PacedBudget(limit_cost=limit, window_s=float(count), began_at_s=0.0)
    spent, got, large_in = 0.0, 0.0, {True: 0, False: 0}
    for place in range(count):
        costs = joules * dirty[place]
        offers = [Offer(model=str(one), chance_ratio=chances[place, one], cost=costs[one]) for one in (0, 1)]
        chosen = choose(
            offers,
            floors=Floors(standard_ratio=0.0, eco_ratio=0.0),
            price_ratio_per_cost=budget.price_ratio_per_cost(place),
            left_cost=budget.left_cost(place),
        ).offer
        budget.spend(chosen.cost, place)
        spent, got = spent + chosen.cost, got + chosen.chance_ratio
        large_in[bool(dirty[place] > 1)] += chosen.model == "1"

    cheapest_after = float((joules[0] * dirty).max()) * 20
    assert spent <= limit + cheapest_after
    assert large_in[True] <= large_in[False]
    best = assign(chances, joules * dirty[:, None], limit).bound_ratio
    assert got >= 0.97 * best  # the whole future known, and parts of a step allowed
