"""The vocabulary of a plan: regions, segments, placements, and why there is none."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from intensity_feeds.series import IntensitySeries
from scheduler.jobs import Job


@dataclass(frozen=True, slots=True, kw_only=True)
class Hold:
    """GPUs that no job may have for a while: kept for traffic that cannot wait, or out of service."""

    start_at_s: float
    end_at_s: float
    gpus: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Region:
    """A place that runs work. `gpus` is its capacity; `pue` is facility energy over IT energy.

    `held` is taken off the capacity; holds of one region do not overlap. `gpu_gco2e_per_s` is charged for each GPU
    while a job holds it, in grams or in whatever the forecasts count. `speed` is work per time, `power_ratio` IT power,
    both beside the GPU that the jobs were measured on. `power_cap_w` limits what all jobs there draw, PUE
    included.
    """

    name: str
    zone: str
    gpus: int = 1
    pue: float = 1.0
    held: tuple[Hold, ...] = ()
    gpu_gco2e_per_s: float = 0.0
    gpu_type: str = ""
    speed: float = 1.0
    power_ratio: float = 1.0
    power_cap_w: float | None = None

    @property
    def facility_ratio(self) -> float:
        """Watts of the facility for each watt that a job was measured to draw."""
        return self.pue * self.power_ratio

    def held_gpus(self, from_s: float, to_s: float) -> int:
        """The most that is held at once in the interval; at its one instant where it has no length."""
        return max(
            (one.gpus for one in self.held if one.end_at_s > from_s and not from_s < one.start_at_s >= to_s),
            default=0,
        )


# The forecast of each grid zone; a zone that is absent is unknown and is planned as if it were flat.
Forecasts = Mapping[str, IntensitySeries]


@dataclass(frozen=True, slots=True, kw_only=True)
class Segment:
    """One uninterrupted piece of a run, overheads of restore and checkpoint included.

    `gpus` and `power_w` are those of the job where they are None; the power is that on the GPU it was measured on.
    """

    start_at_s: float
    end_at_s: float
    region: str
    gpus: int | None = None
    power_w: float | None = None

    @property
    def duration_s(self) -> float:
        return self.end_at_s - self.start_at_s


def gpus_of(job: Job, one: Segment) -> int:
    """What a piece of the job holds."""
    return job.gpus if one.gpus is None else one.gpus


def power_w_of(job: Job, one: Segment) -> float:
    """What a piece of the job draws, on the GPU that it was measured on."""
    return job.power_w if one.power_w is None else one.power_w


class Cause(StrEnum):
    """Why a job was placed where it was: the first word of every explanation."""

    CLEANEST = "cleanest"  # the optimum under forecast and capacity
    NO_SLACK = "no_slack"  # the deadline leaves one choice
    NO_FORECAST = "no_forecast"  # nothing is known: run early
    RUN_NOW = "run_now"  # the policy does not wait
    LATE = "late"  # the deadline cannot be met any more: as early as possible


@dataclass(frozen=True, slots=True, kw_only=True)
class Placement:
    """Where and when one job runs, and what that is expected to emit beside starting at once.

    Emissions include PUE; both are None where the forecast does not reach. `baseline` is the start at the earliest
    instant in the first allowed region that has room then, as it was when the job was first planned; `at_once` is that
    start as this plan sees it. Where an objective chose, `objective_cost` and `baseline_cost` are in its unit.
    """

    job_id: str
    segments: tuple[Segment, ...]
    cause: Cause
    emissions_gco2e: float | None = None
    baseline_emissions_gco2e: float | None = None
    at_once: Segment | None = None
    objective_cost: float | None = None
    baseline_cost: float | None = None

    @property
    def start_at_s(self) -> float:
        return self.segments[0].start_at_s

    @property
    def end_at_s(self) -> float:
        return self.segments[-1].end_at_s

    @property
    def region(self) -> str:
        return self.segments[0].region

    @property
    def savings_ratio(self) -> float | None:
        """Share of the baseline's emissions avoided; negative when the plan is dirtier."""
        if self.emissions_gco2e is None or not self.baseline_emissions_gco2e:
            return None
        return 1.0 - self.emissions_gco2e / self.baseline_emissions_gco2e

    @property
    def objective_savings_ratio(self) -> float | None:
        """The same of the objective; None where it is not known, or starting at once costs nothing or earns."""
        if self.objective_cost is None or self.baseline_cost is None or not self.baseline_cost > 0:
            return None
        return 1.0 - self.objective_cost / self.baseline_cost


class Obstacle(StrEnum):
    """Which limit makes a job infeasible."""

    DEADLINE = "deadline"  # not enough time between earliest start and deadline
    CAPACITY = "capacity"  # enough time, but the GPUs are taken
    POWER_CAP = "power_cap"  # enough time and GPUs, but not so much power
    HELD = "held"  # enough time, but regions hold the GPUs: in maintenance, or reserved for other traffic
    GPUS = "gpus"  # no allowed region has so many GPUs at all
    REGION = "region"  # no allowed region exists


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """Why no plan meets the deadline, and the earliest finish that is feasible (None: never)."""

    job_id: str
    obstacle: Obstacle
    what: str
    earliest_finish_at_s: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Placements of all open jobs by id, and refusals by id. Together they never exceed a region's GPUs."""

    made_at_s: float
    placements: Mapping[str, Placement] = field(default_factory=dict)
    refusals: Mapping[str, Refusal] = field(default_factory=dict)
