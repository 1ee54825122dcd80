"""Reads from the ledger when interactive requests came in the last days, so that a restart forgets no habits.

What is made of it is usual_load.py's. A busy ledger has millions of rows a week: they are read day by day.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

from scheduler.store.contract import Reads
from shaping.request import LatencyClass
from shaping.usual_load import UsualRate

DAYS = 14
_DAY_S = 86_400.0
# The service time of late is of so many requests, the last to start; a running daemon weighs its last answers.
_ANSWERS = 16


@dataclass(slots=True)
class Habits:
    """Of one model: when its requests come, and how long the last ones took."""

    usual: UsualRate = field(default_factory=UsualRate)
    took_s: deque[float] = field(default_factory=lambda: deque(maxlen=_ANSWERS))

    @property
    def service_s(self) -> float | None:
        return sum(self.took_s) / len(self.took_s) if self.took_s else None


def habits_of(reads: Reads, now_s: float) -> dict[str, Habits]:
    """By model. Blocks."""
    first_s = reads.first_use_at_s()
    found: dict[str, Habits] = {}
    from_s = now_s if first_s is None else max(first_s, now_s - DAYS * _DAY_S)
    while from_s < now_s:
        to_s = min(from_s + _DAY_S, now_s)
        rows = reads.spans(LatencyClass.INTERACTIVE, from_s, to_s)
        for started_at_s, ended_at_s, model in sorted((row[2], row[3], row[1]) for row in rows):
            habits = found.setdefault(model, Habits())
            habits.usual.arrived(started_at_s)
            habits.took_s.append(ended_at_s - started_at_s)
        from_s = to_s
    for habits in found.values():
        habits.usual.passed(now_s)
    return found
