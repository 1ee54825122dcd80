"""Pools of batch-inference tokens: work that may fill any hole that jobs leave, on any number of GPUs, cut at will.

The vocabulary alone: what a pool asks for, what a GPU of a region gives it, and where it runs. Decides nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from scheduler.planning.plan import Segment


class InvalidPoolError(ValueError):
    """A pool that contradicts itself; `field` names where."""

    def __init__(self, field: str, what: str) -> None:
        self.field, self.what = field, what
        super().__init__(f"{field}: {what}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Density:
    """One GPU of a region at full density: the tokens it makes, and its IT power with its share of the host."""

    tokens_per_s: float
    power_w: float

    def __post_init__(self) -> None:
        if not self.tokens_per_s > 0:
            raise InvalidPoolError("tokens_per_s", f"must be more than 0, got {self.tokens_per_s}")
        if not self.power_w >= 0:
            raise InvalidPoolError("power_w", f"must be a number of watts, got {self.power_w}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Pool:
    """So many tokens between two instants, in `regions` (empty: anywhere) that `densities` know.

    `waiting_cost_per_kwh` is what an effective case charges for waiting before its earliest start, and takes off again.
    Raises InvalidPoolError.
    """

    name: str
    tokens: float
    earliest_start_at_s: float
    deadline_at_s: float
    densities: Mapping[str, Density]
    regions: tuple[str, ...] = ()
    priority: int = 0
    waiting_cost_per_kwh: float = field(default=0.0, compare=False)

    def __post_init__(self) -> None:
        if not self.tokens > 0:
            raise InvalidPoolError("tokens", f"must be more than 0, got {self.tokens}")
        if not self.deadline_at_s > self.earliest_start_at_s:
            raise InvalidPoolError("deadline_at_s", "must lie after the earliest start")

    def density_in(self, region: str) -> Density | None:
        """What a GPU there gives; None where the pool may not run."""
        return self.densities.get(region) if not self.regions or region in self.regions else None

    def tokens_of(self, one: PoolSegment) -> float:
        return self.densities[one.region].tokens_per_s * one.gpus * one.duration_s


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolSegment(Segment):
    """So many GPUs of a region at full density."""

    gpus: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolRun:
    """Where a pool runs, in order of time, and how many of its tokens find no room in time."""

    segments: tuple[PoolSegment, ...]
    short_tokens: float = 0.0
    emissions_gco2e: float = 0.0


PoolSegments = Mapping[str, tuple[PoolSegment, ...]]  # by the name of the pool
