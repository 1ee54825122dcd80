"""Which model answers a request that leaves the choice to us.

    premium   the model most likely to answer well, whatever the budget says
    standard  the most chance less its cost at the shadow price, among models that reach the floor
    eco       the cheapest that reaches the lower floor of eco mode

Decides by numbers that are handed in: the chance that each model answers well, and what it would cost. The rules are
tried in the order of `choose`; of equals the cheaper model is taken, then the one listed first. Knows no text, no
clock and no budget: the price says how scarce the budget is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum


class Service(StrEnum):
    """What the caller asks for."""

    PREMIUM = "premium"
    STANDARD = "standard"
    ECO = "eco"


class RouteReason(StrEnum):
    """Why a model was chosen; told to the caller."""

    ONLY_CANDIDATE = "only_candidate"
    PREMIUM = "premium"  # budgets do not touch it
    ECO = "eco"  # the caller accepts a lighter model
    CHEAPEST_ADEQUATE = "cheapest_adequate"  # it reaches the floor, and no better one is worth its price
    WORTH_ITS_PRICE = "worth_its_price"  # a cheaper one reaches the floor too, but this one is better enough
    NONE_ADEQUATE = "none_adequate"  # nothing reaches the floor: the best there is
    BUDGET_SPENT = "budget_spent"  # the better ones no longer fit into what is left of the budget
    SURE = "sure"  # a cascade: the smallest model's answer stands
    UNSURE = "unsure"  # a cascade: the model before this one was not sure enough
    CUT_OFF = "cut_off"  # ... its answer ended at the worker's limit, not at its end
    EMPTY = "empty"  # ... it said nothing
    FILTERED = "filtered"  # ... its answer was withheld
    NO_CONFIDENCE = "no_confidence"  # ... it did not say how sure it was
    FAILED = "failed"  # ... it gave no answer
    ESCALATION_FAILED = "escalation_failed"  # a cascade: a larger model failed, so the answer before it stands
    CANNOT_ESCALATE = "cannot_escalate"  # a cascade that can ask once only, such as for a stream: the last model


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """One model for one request. `cost` is joules or grams, whichever the budget counts."""

    model: str
    chance_ratio: float
    cost: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Floors:
    """The least chance of a good answer that a model must have to be chosen for its cost."""

    standard_ratio: float = 0.5
    eco_ratio: float = 0.3

    def __post_init__(self) -> None:
        if not 0 <= self.eco_ratio <= self.standard_ratio <= 1:
            raise ValueError("floors are ratios, and that of eco is not above the standard one")


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """The chosen offer and why."""

    offer: Offer
    reason: RouteReason


def choose(
    offers: Sequence[Offer],
    *,
    service: Service = Service.STANDARD,
    floors: Floors,
    price_ratio_per_cost: float = 0.0,
    left_cost: float | None = None,
) -> Choice:
    """The model of one request.

    `price_ratio_per_cost` is the chance that one unit of cost must buy; `left_cost` is what the budget has left, None
    without one. The cheapest adequate model is never refused: a budget delays nobody. Raises ValueError without offers.
    """
    if not offers:
        raise ValueError("a request needs at least one model to choose from")
    if len(offers) == 1:
        return Choice(offer=offers[0], reason=RouteReason.ONLY_CANDIDATE)
    if service is Service.PREMIUM:
        return Choice(offer=_best(offers), reason=RouteReason.PREMIUM)
    floor_ratio = floors.eco_ratio if service is Service.ECO else floors.standard_ratio
    adequate = [offer for offer in offers if offer.chance_ratio >= floor_ratio]
    if not adequate:
        return _best_that_fits(offers, left_cost)
    cheapest = min(adequate, key=lambda offer: (offer.cost, -offer.chance_ratio))
    if service is Service.ECO:
        return Choice(offer=cheapest, reason=RouteReason.ECO)
    return _worth(adequate, cheapest, price_ratio_per_cost, left_cost)


def _best(offers: Sequence[Offer]) -> Offer:
    return min(offers, key=lambda offer: (-offer.chance_ratio, offer.cost))


def _best_that_fits(offers: Sequence[Offer], left_cost: float | None) -> Choice:
    fitting = [offer for offer in offers if _fits(offer, left_cost)]
    if not fitting:
        return Choice(offer=min(offers, key=lambda offer: offer.cost), reason=RouteReason.BUDGET_SPENT)
    return Choice(offer=_best(fitting), reason=RouteReason.NONE_ADEQUATE)


def _worth(adequate: Sequence[Offer], cheapest: Offer, price_ratio_per_cost: float, left_cost: float | None) -> Choice:
    def worth(offer: Offer) -> tuple[float, float]:
        return -(offer.chance_ratio - price_ratio_per_cost * offer.cost), offer.cost

    wanted = min(adequate, key=worth)
    best = min((offer for offer in adequate if offer is cheapest or _fits(offer, left_cost)), key=worth)
    if best is not wanted:
        return Choice(offer=best, reason=RouteReason.BUDGET_SPENT)
    return Choice(offer=best, reason=RouteReason.CHEAPEST_ADEQUATE if best is cheapest else RouteReason.WORTH_ITS_PRICE)


def _fits(offer: Offer, left_cost: float | None) -> bool:
    return left_cost is None or offer.cost <= left_cost


# -- cascades ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Cascade:
    """Try models in order, from cheap to dear; go on to the next while the answer is not sure enough."""

    models: tuple[str, ...]
    sure_ratio: float

    def __post_init__(self) -> None:
        if not self.models or len(set(self.models)) != len(self.models):
            raise ValueError("a cascade needs models, each of them once")

    def after(self, model: str, confidence_ratio: float | None) -> str | None:
        """The model to ask next, None when the answer stands. An answer of unknown confidence is not sure."""
        if confidence_ratio is not None and confidence_ratio >= self.sure_ratio:
            return None
        place = self.models.index(model) + 1
        return self.models[place] if place < len(self.models) else None


def cascade_pays(first: Offer, second: Offer, sure_share_ratio: float) -> bool:
    """Whether asking the first model first costs less than the second at once, on average.

    Every answer costs the first model; those not sure cost the second as well.
    """
    return first.cost + (1 - sure_share_ratio) * second.cost < second.cost
