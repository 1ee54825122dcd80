"""The price for work at which a bound is about the highest, whatever kind of line is swept.

Over the price the bound is the least of straight lines, and the slope of each is the work that its pieces lack. So two
prices, with too little and too much work, tell where to try next, and how much higher the bound can be at most.
"""

from __future__ import annotations

from typing import Any, Protocol, TypeVar

_SWEEPS = 30
# A bound this near to the best one, as a share of a cell's price, leaves hardly more instants to search.
_NEAR_RATIO = 0.02


class Swept(Protocol):
    """The cheapest choices at one price."""

    def least_cost(self) -> float: ...

    def pieces(self) -> list[Any]: ...


SweptT = TypeVar("SweptT", bound=Swept)
SweptT_co = TypeVar("SweptT_co", bound=Swept, covariant=True)


class Priced(Protocol[SweptT_co]):
    """A line that can be swept at any price; `cell` slots of it are of one cost."""

    @property
    def cell(self) -> int: ...

    def swept(self, price_cost: float) -> SweptT_co: ...

    def lacking_steps(self, pieces: list[Any]) -> float: ...

    def least_price_cost(self) -> float: ...


def climb(line: Priced[SweptT], price_cost: float, width_cost: float, most_cost: float) -> SweptT | None:
    """A sweep at about the best price, sought from a first one; None when the bound shows that nothing costs less."""
    best: SweptT | None = None
    best_cost = -float("inf")
    sides: dict[bool, tuple[float, float, float]] = {}  # by whether work lacks: price, bound, slope
    least_price_cost = line.least_price_cost()
    for _ in range(_SWEEPS):
        price_cost = max(price_cost, least_price_cost)
        tried = line.swept(price_cost)
        bound_cost = tried.least_cost()
        if bound_cost >= most_cost:
            return None
        lacking = line.lacking_steps(tried.pieces())
        if bound_cost > best_cost:
            best, best_cost = tried, bound_cost
        if lacking == 0 or (lacking < 0 and price_cost == least_price_cost):
            break
        sides[lacking > 0] = (price_cost, bound_cost, lacking)
        if len(sides) == 1:
            price_cost += width_cost if lacking > 0 else -width_cost
            width_cost *= 2
            continue
        (low_cost, low_bound_cost, low), (high_cost, high_bound_cost, high) = sides[True], sides[False]
        price_cost = (high_bound_cost - low_bound_cost + low * low_cost - high * high_cost) / (low - high)
        if low_bound_cost + low * (price_cost - low_cost) <= best_cost + _NEAR_RATIO * abs(price_cost) * line.cell:
            break
    return best
