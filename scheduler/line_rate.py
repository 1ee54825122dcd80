"""How many lines of batches may be sent a second, so that everybody else is served in time. Pure.

A line costs the daemon's event loop some tenths of a millisecond, whatever its worker takes: a worker that answers at
once would have the loop do nothing else. Asked in short turns: when a turn comes late, the loop is busy and fewer lines
may go; when turns are in time, more may. Lines that take seconds never meet the limit. Refuses to know a clock.
"""

from __future__ import annotations

MOST_PER_S = 2000.0
# With less than this the lines are not what keeps the loop busy.
LEAST_PER_S = 100.0
_FIRST_PER_S = 1000.0
# A submission goes through the loop some five times, and is to take less than 50 ms.
_LATE_S, _IN_TIME_S = 0.005, 0.002
_DOWN_RATIO, _UP_RATIO = 0.7, 1.02
# What was not used is not saved for later: a burst is what the limit is against.
_LONGEST_TURN_S = 0.02


class LineRate:
    """The limit by now, and what is left of it in this turn. All durations are real."""

    __slots__ = ("_room", "per_s")

    def __init__(self) -> None:
        self.per_s = _FIRST_PER_S
        self._room = 1

    def turned(self, asked_s: float, took_s: float) -> None:
        """A turn begins: it was to come after `asked_s`, and came after `took_s`."""
        late_s = took_s - asked_s
        if late_s > _LATE_S:
            self.per_s = max(LEAST_PER_S, self.per_s * _DOWN_RATIO)
        elif late_s < _IN_TIME_S:
            self.per_s = min(MOST_PER_S, self.per_s * _UP_RATIO)
        self._room = max(1, int(self.per_s * min(took_s, _LONGEST_TURN_S)))

    def granted(self, wanted: int) -> int:
        """How many of the lines that could go may go in this turn."""
        lines = min(wanted, self._room)
        self._room -= lines
        return lines
