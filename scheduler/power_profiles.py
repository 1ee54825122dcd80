"""Phases of a run as people write them: `10m:3kW,2h:10kW,20m:5kW`. Raises QuantityError with the remedy."""

from __future__ import annotations

from collections.abc import Sequence

from scheduler.jobs import Phase
from scheduler.quantities import QuantityError, parse_duration_s, parse_power_w

# More is no profile but a measurement; every phase is a piece of the plan and a row of the account.
MOST_PHASES = 32


def parse_power_profile(text: str) -> tuple[Phase, ...]:
    """Phases in turn; each lasts, and one of them at least draws something."""
    phases = tuple(_phase(part) for part in text.split(","))
    if len(phases) > MOST_PHASES:
        raise QuantityError(f"{len(phases)} phases: {MOST_PHASES} at most, put those of like power together")
    if not any(phase.power_w > 0 for phase in phases):
        raise QuantityError(f"{text!r} draws nothing: give one of the phases a power")
    return phases


def profile_text(phases: Sequence[Phase]) -> str:
    """As `parse_power_profile` reads it."""
    return ",".join(f"{phase.duration_s:g}s:{phase.power_w:g}W" for phase in phases)


def whole_s(phases: Sequence[Phase]) -> float:
    return sum(phase.duration_s for phase in phases)


def mean_w(phases: Sequence[Phase]) -> float:
    """Over time."""
    return sum(phase.duration_s * phase.power_w for phase in phases) / whole_s(phases)


def _phase(text: str) -> Phase:
    duration, colon, power = text.partition(":")
    if not colon:
        raise QuantityError(f"{text!r} is no phase: write DURATION:POWER, such as 10m:3kW,2h:10kW")
    phase = Phase(duration_s=parse_duration_s(duration), power_w=parse_power_w(power))
    if not phase.duration_s > 0:
        raise QuantityError(f"{text!r} takes no time: leave the phase out")
    return phase
