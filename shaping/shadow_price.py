"""A budget over a window of time, as a price: what one unit of cost has to buy just now.

Decides how scarce the budget is. The price rises while requests spend faster than what is left allows, and falls while
they spend slower, so that the budget lasts to the end of its window. Counted in grams, a dirty hour is dear by itself;
counted in joules, `dirtier_price` makes it so. Knows no model and no request.
"""

from __future__ import annotations

from math import exp, isfinite
from typing import NamedTuple

# Fast enough to follow a day's load, slow enough not to swing with single requests (a few dozen of them double it).
_SPEED = 0.03
# In units of one over the mean cost: below the first a price decides nothing, above the second nothing dear is bought.
_LOWEST_RATIO, _HIGHEST_RATIO = 1e-3, 1e3
# One request after a long silence must not throw the price to its end.
_LARGEST_SURPRISE = 5.0
_MEMORY_RATIO = 0.98


class Spent(NamedTuple):
    """What the window under way has seen: enough to go on with it after a restart."""

    began_at_s: float
    spent_cost: float


class PacedBudget:
    """`limit_cost` may be spent in each window of `window_s`, counted from `began_at_s`."""

    __slots__ = ("_began_at_s", "_last_at_s", "_limit_cost", "_mean_cost", "_relative", "_spent_cost", "_window_s")

    def __init__(self, *, limit_cost: float, window_s: float, began_at_s: float, spent_cost: float = 0.0) -> None:
        """`spent_cost` is what the window has seen before, after a restart. Raises ValueError."""
        if not (limit_cost > 0 and window_s > 0 and spent_cost >= 0 and isfinite(limit_cost + window_s + began_at_s)):
            raise ValueError("a budget is a positive amount over a positive window")
        self._limit_cost, self._window_s, self._began_at_s = limit_cost, window_s, began_at_s
        self._spent_cost, self._last_at_s = spent_cost, began_at_s
        self._mean_cost: float | None = None
        self._relative = 1.0

    def left_cost(self, now_s: float) -> float:
        """What the window that `now_s` lies in has left; below zero where more was spent than there was."""
        self._roll(now_s)
        return self._limit_cost - self._spent_cost

    def spent(self, now_s: float) -> Spent:
        """Of the window that `now_s` lies in."""
        self._roll(now_s)
        return Spent(self._began_at_s, self._spent_cost)

    def price_ratio_per_cost(self, now_s: float) -> float:
        """The chance of a good answer that one unit of cost must buy; 0 before anything was spent."""
        self._roll(now_s)
        if self._mean_cost is None or self._relative <= _LOWEST_RATIO:
            return 0.0
        return self._relative / self._mean_cost

    def spend(self, cost: float, now_s: float) -> None:
        """Count what a request costs, whoever chose it. Raises ValueError for what is no amount."""
        if not (cost >= 0 and isfinite(cost)):
            raise ValueError(f"{cost} is no amount that can be spent")
        self._roll(now_s)
        elapsed_s = max(0.0, now_s - self._last_at_s)
        left_s = max(self._window_s - (self._last_at_s - self._began_at_s), self._window_s * 1e-6)
        allowed_cost = max(0.0, self._limit_cost - self._spent_cost) * min(1.0, elapsed_s / left_s)
        self._mean_cost = cost if self._mean_cost is None else _blend(self._mean_cost, cost)
        self._learn(cost, allowed_cost)
        self._spent_cost += cost
        self._last_at_s = max(self._last_at_s, now_s)

    def _learn(self, cost: float, allowed_cost: float) -> None:
        if not self._mean_cost:
            return
        surprise = (cost - allowed_cost) / self._mean_cost
        surprise = max(-_LARGEST_SURPRISE, min(_LARGEST_SURPRISE, surprise))
        self._relative = max(_LOWEST_RATIO, min(_HIGHEST_RATIO, self._relative * exp(_SPEED * surprise)))

    def _roll(self, now_s: float) -> None:
        """A new window begins with a whole budget, and with the price that the last one learned."""
        windows = (now_s - self._began_at_s) // self._window_s
        if windows >= 1:
            self._began_at_s += windows * self._window_s
            self._last_at_s, self._spent_cost = self._began_at_s, 0.0


def _blend(mean_cost: float, cost: float) -> float:
    return _MEMORY_RATIO * mean_cost + (1 - _MEMORY_RATIO) * cost


def dirtier_price(
    price_ratio_per_cost: float, now_gco2e_per_kwh: float | None, usual_gco2e_per_kwh: float | None
) -> float:
    """The price of a joule while the grid emits more, or less, than usual; unchanged where that is not known."""
    if now_gco2e_per_kwh is None or not usual_gco2e_per_kwh:
        return price_ratio_per_cost
    return price_ratio_per_cost * now_gco2e_per_kwh / usual_gco2e_per_kwh
