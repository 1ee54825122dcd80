"""How many requests a second usually come at a time of day: what a pool's own days say of the next one.

Learned as they come, by quarters of an hour (UTC) and apart for working days and weekends. Older days fade. Decides
nothing: consolidation.py wakes workers ahead of a rise that comes every day.
"""

from __future__ import annotations

import math

SLOT_S = 900.0
_SLOTS_OF_DAY = 96
_THURSDAY = 3  # 1970-01-01, from Monday
_WORKING_DAYS = 5
# The weight of a day falls to half after three more.
_KEEP_RATIO = 0.8
# Two days seen weigh 1.8: one day is no habit.
_LEAST_DAYS = 1.5
# Counts apart by one standard deviation are what chance makes of equal days.
_DEVIATIONS = 1.0
# Half of what usually comes at least: after a slot with less, as on a holiday, there are no habits for now.
_LIKE_RATIO = 0.5
# After a longer silence there are no habits left to speak of.
_LONGEST_SILENCE_SLOTS = 14 * _SLOTS_OF_DAY


class UsualRate:
    """Arrivals a second by time of day. Instants never go back."""

    __slots__ = ("_arrivals", "_count", "_days", "_is_like_others", "_is_whole", "_slot")

    def __init__(self) -> None:
        self._forget()

    def _forget(self) -> None:
        kinds = range(2)
        self._arrivals = [[0.0] * _SLOTS_OF_DAY for _ in kinds]  # by kind of day and slot; sums in which days fade
        self._days = [[0.0] * _SLOTS_OF_DAY for _ in kinds]
        self._slot: int | None = None
        self._count, self._is_whole, self._is_like_others = 0, False, True

    def arrived(self, now_s: float) -> None:
        self.passed(now_s)
        self._count += 1

    def passed(self, now_s: float) -> None:
        """Close the slots that are over; those in which nothing came count as well."""
        slot = math.floor(now_s / SLOT_S)
        if self._slot is None:
            self._slot = slot
        elif slot - self._slot > _LONGEST_SILENCE_SLOTS:
            self._forget()
            self._slot = slot
        while self._slot < slot:
            if self._is_whole:  # the first one began before anybody looked
                self._close(self._slot)
            self._slot, self._count, self._is_whole = self._slot + 1, 0, True

    def least_per_s(self, from_s: float, to_s: float) -> float | None:
        """What comes at least in the busiest of the slots that the interval touches, as far as days are alike.

        None where too few days are known, and while the slot before had far fewer than usual. Source of the margin: the
        deviation of a Poisson count is its root; that of a sum in which days fade is at most the root of the sum.
        """
        if not self._is_like_others:
            return None
        known = [
            rate_per_s
            for slot in range(math.floor(from_s / SLOT_S), math.floor(to_s / SLOT_S) + 1)
            if (rate_per_s := self._of(slot)) is not None
        ]
        return max(known, default=None)

    def knows_at(self, now_s: float) -> bool:
        """Whether anything is known of the slot after the one of `now_s`."""
        return self._of(math.floor(now_s / SLOT_S) + 1) is not None

    def _of(self, slot: int) -> float | None:
        kind, place = _kind_and_place(slot)
        arrivals, days = self._arrivals[kind][place], self._days[kind][place]
        if days < _LEAST_DAYS:
            return None
        return max(0.0, arrivals - _DEVIATIONS * math.sqrt(arrivals)) / (days * SLOT_S)

    def _close(self, slot: int) -> None:
        kind, place = _kind_and_place(slot)
        self._is_like_others = self._count >= _LIKE_RATIO * (self._of(slot) or 0.0) * SLOT_S
        self._arrivals[kind][place] = self._arrivals[kind][place] * _KEEP_RATIO + self._count
        self._days[kind][place] = self._days[kind][place] * _KEEP_RATIO + 1.0


def _kind_and_place(slot: int) -> tuple[int, int]:
    day, place = divmod(slot, _SLOTS_OF_DAY)
    return int((day + _THURSDAY) % 7 >= _WORKING_DAYS), place
