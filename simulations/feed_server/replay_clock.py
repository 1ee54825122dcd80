"""The clock of a replay: where in the trace it stands, and how fast it goes.

Decides nothing by itself: real seconds come as a function.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from intensity_feeds.series import IntensitySeries

# A shifted trace keeps its minutes, so that its steps stay whole hours of the real clock.
SHIFT_STEP_S = 3600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplayClock:
    """Emulated seconds: `start_at_s` at the first real instant, then `speed` times as fast."""

    start_at_s: float
    speed: float
    real_s: Callable[[], float]
    real_start_s: float

    @classmethod
    def starting(cls, start_at_s: float, speed: float, real_s: Callable[[], float]) -> ReplayClock:
        """A clock that starts now; `real_s` is monotonic."""
        return cls(start_at_s=start_at_s, speed=speed, real_s=real_s, real_start_s=real_s())

    def __call__(self) -> float:
        return self.start_at_s + (self.real_s() - self.real_start_s) * self.speed


def shifted(trace: Mapping[str, IntensitySeries], from_s: float, to_s: float) -> dict[str, IntensitySeries]:
    """The trace moved by whole hours so that what was at `from_s` is at most an hour before `to_s`."""
    offset_s = (to_s - from_s) // SHIFT_STEP_S * SHIFT_STEP_S
    return {zone: replace(series, edges_at_s=series.edges_at_s + offset_s) for zone, series in trace.items()}


def span_s(trace: Mapping[str, IntensitySeries]) -> tuple[float, float]:
    """First start and last end of all series."""
    return min(one.start_at_s for one in trace.values()), max(one.end_at_s for one in trace.values())
