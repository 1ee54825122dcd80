from __future__ import annotations

import pytest

from shaping.routing import Cascade, Floors, Offer, RouteReason, Service, cascade_pays, choose
from shaping.shadow_price import PacedBudget, dirtier_price

SMALL = Offer(model="small", chance_ratio=0.6, cost=10.0)
MIDDLE = Offer(model="middle", chance_ratio=0.8, cost=40.0)
LARGE = Offer(model="large", chance_ratio=0.9, cost=200.0)
OFFERS = (LARGE, SMALL, MIDDLE)
FLOORS = Floors(standard_ratio=0.5, eco_ratio=0.3)


@pytest.mark.parametrize(
    ("price_ratio_per_cost", "model", "reason"),
    [
        (0.0, "large", RouteReason.WORTH_ITS_PRICE),
        (0.001, "middle", RouteReason.WORTH_ITS_PRICE),  # 0.76 against 0.70 and 0.59
        (0.01, "small", RouteReason.CHEAPEST_ADEQUATE),  # 0.5 against 0.4 and -1.1
    ],
)
def test_a_dearer_model_must_be_worth_its_price(price_ratio_per_cost: float, model: str, reason: RouteReason) -> None:
    found = choose(OFFERS, floors=FLOORS, price_ratio_per_cost=price_ratio_per_cost)

    assert (found.offer.model, found.reason) == (model, reason)


def test_a_model_below_the_floor_is_not_chosen_for_being_cheap() -> None:
    found = choose(OFFERS, floors=Floors(standard_ratio=0.7), price_ratio_per_cost=1.0)

    assert (found.offer.model, found.reason) == ("middle", RouteReason.CHEAPEST_ADEQUATE)


def test_where_nothing_reaches_the_floor_the_best_is_taken() -> None:
    found = choose(OFFERS, floors=Floors(standard_ratio=0.95), price_ratio_per_cost=1.0)

    assert (found.offer.model, found.reason) == ("large", RouteReason.NONE_ADEQUATE)


def test_eco_takes_the_cheapest_model_above_its_own_floor() -> None:
    poor = Offer(model="poor", chance_ratio=0.35, cost=1.0)

    assert choose([*OFFERS, poor], service=Service.ECO, floors=FLOORS).offer is poor
    assert choose([*OFFERS, poor], floors=FLOORS, price_ratio_per_cost=1.0).offer is SMALL


def test_what_the_budget_cannot_pay_is_not_bought_and_that_is_said() -> None:
    found = choose(OFFERS, floors=FLOORS, left_cost=150.0)

    assert (found.offer.model, found.reason) == ("middle", RouteReason.BUDGET_SPENT)


def test_a_spent_budget_still_serves_the_cheapest_and_leaves_premium_alone() -> None:
    assert choose(OFFERS, floors=FLOORS, left_cost=-5.0).offer is SMALL
    assert choose(OFFERS, service=Service.PREMIUM, floors=FLOORS, left_cost=-5.0).offer is LARGE


def test_of_two_equal_offers_the_first_is_taken() -> None:
    twin = Offer(model="twin", chance_ratio=0.6, cost=10.0)

    assert choose([SMALL, twin], floors=FLOORS).offer is SMALL
    assert choose([twin, SMALL], floors=FLOORS).offer is twin


def test_a_cascade_goes_on_until_it_is_sure_or_at_its_end() -> None:
    cascade = Cascade(models=("small", "middle", "large"), sure_ratio=0.8)

    assert cascade.after("small", 0.9) is None
    assert cascade.after("small", 0.5) == "middle"
    assert cascade.after("middle", None) == "large"
    assert cascade.after("large", 0.1) is None


def test_a_cascade_pays_when_enough_answers_are_sure() -> None:
    # 10 + (1 - p) 200 < 200 from p = 5% on.
    assert cascade_pays(SMALL, LARGE, 0.06)
    assert not cascade_pays(SMALL, LARGE, 0.04)


def test_a_price_rises_while_spending_outruns_the_window_and_falls_while_it_lags() -> None:
    def price_after(cost: float) -> float:
        budget = PacedBudget(limit_cost=1000.0, window_s=1000.0, began_at_s=0.0)
        for second in range(1, 100):
            budget.spend(cost, float(second))
        return budget.price_ratio_per_cost(100.0) * cost

    assert price_after(3.0) > price_after(1.0) > price_after(0.3)
    assert price_after(1.0) == pytest.approx(1.0, rel=0.05)  # exactly on its pace


def test_a_new_window_has_a_whole_budget() -> None:
    budget = PacedBudget(limit_cost=100.0, window_s=60.0, began_at_s=0.0)
    budget.spend(90.0, 30.0)

    assert budget.left_cost(59.0) == pytest.approx(10.0)
    assert budget.left_cost(60.0) == pytest.approx(100.0)
    assert budget.left_cost(185.0) == pytest.approx(100.0)


def test_a_dirty_grid_makes_a_joule_dearer_and_an_unknown_one_does_not() -> None:
    assert dirtier_price(0.01, 600.0, 300.0) == pytest.approx(0.02)
    assert dirtier_price(0.01, None, 300.0) == 0.01
    assert dirtier_price(0.01, 600.0, None) == 0.01


@pytest.mark.parametrize("cost", [-1.0, float("nan"), float("inf")])
def test_what_is_no_amount_cannot_be_spent(cost: float) -> None:
    with pytest.raises(ValueError, match="no amount"):
        PacedBudget(limit_cost=1.0, window_s=1.0, began_at_s=0.0).spend(cost, 0.5)
