"""One what-if: which grid, which machines, which work, which policy. What can be set, and its bounds.

Each class is one table of the scenario's TOML file; each field's description is its documentation. Durations and
powers may be written with a unit ("90s", "4h", "10kW"). Reads no file itself.
"""

from __future__ import annotations

from dataclasses import field
from enum import StrEnum
from typing import Annotated

from pydantic import AfterValidator, Field
from pydantic.dataclasses import dataclass

from intensity_feeds.trace_columns import COLUMNS
from scheduler.budget_settings import BudgetSettings
from scheduler.gpu_speeds import parse_shares
from scheduler.held_settings import Instant, MaintenanceSettings, ReservedSettings
from scheduler.objective_settings import ObjectiveSettings, PriceSettings, SiteSettings, unpriced
from scheduler.planning.whole_fleet.rules.budgets import EVERYBODY
from scheduler.power_profiles import parse_power_profile
from scheduler.setting_values import STRICT, Duration, Power
from scheduler.shaping_settings import HoldSettings
from shaping.policy import Holding, ShapingPolicy
from shaping.routing import Service
from simulations.policies.rules import GATE_RATIO


def _shares_text(value: str) -> str:
    if value:
        parse_shares(value)
    return value


def _profile_text(value: str) -> str:
    if value:
        parse_power_profile(value)
    return value


def _column_text(value: str) -> str:
    if value and value not in COLUMNS:
        raise ValueError(f"{value!r} holds no intensities; write one of {', '.join(COLUMNS)}")
    return value


Ratio = Annotated[float, Field(ge=0, le=1)]


class PolicyKind(StrEnum):
    """What decides; where each comes from, and what it does here: docs/policies.md."""

    CARBON_AWARE = "carbon_aware"
    RUN_NOW = "run_now"
    THRESHOLD = "threshold"
    LOWEST_SLOT = "lowest_slot"
    LOWEST_WINDOW = "lowest_window"
    CARBON_TIME = "carbon_time"
    WAIT_AWHILE = "wait_awhile"
    SUSPEND_RESUME = "suspend_resume"
    STATIC_REGION = "static_region"
    ORACLE = "oracle"


class ForecastKind(StrEnum):
    """What the policy sees of the future; emissions are always priced on what really happened."""

    PERFECT = "perfect"  # the realised values: nothing is lost to forecast error
    SEASONAL = "seasonal"  # our own forecast from the days before
    RECORDED = "recorded"  # what somebody really forecast at the time, from a file
    NONE = "none"  # nothing: a dead feed


@dataclass(frozen=True, kw_only=True, config=STRICT)
class GridSettings:
    """[grid]: what each zone emits. Either a trace file or synthetic archetypes."""

    trace: Annotated[str, Field(description="Trace file: timestamp, zone, gco2e_per_kwh; beside the scenario.")] = ""
    column: Annotated[
        str,
        AfterValidator(_column_text),
        Field(description="Column of the trace that emissions are priced by; empty: the first intensities it has."),
    ] = ""
    archetypes: Annotated[
        dict[str, str], Field(description="Zone = solar, wind, hydro or coal: synthetic grids, for demonstration.")
    ] = field(default_factory=dict)
    span_s: Annotated[Duration, Field(gt=0, description="Length of the synthetic grids.")] = 30 * 86400.0


@dataclass(frozen=True, kw_only=True, config=STRICT)
class RegionSettings(SiteSettings):
    """[[region]]: a place that runs work."""

    name: Annotated[str, Field(min_length=1, description="Name that workloads refer to.")]
    zone: Annotated[str, Field(min_length=1, description="Grid zone of the region, as the grid's source spells it.")]
    gpus: Annotated[int, Field(ge=0, description="All GPUs of the region; request pools take theirs first.")]
    pue: Annotated[float, Field(ge=1, description="Facility energy over IT energy.")] = 1.2
    power_cap_kw: Annotated[
        float | None,
        Field(
            gt=0, allow_inf_nan=False, description="Most that jobs may draw together, PUE included; unset: no limit."
        ),
    ] = None
    reserved: Annotated[
        tuple[ReservedSettings, ...], Field(description="GPUs kept for traffic that cannot wait, by hours of the week.")
    ] = ()
    maintenance: Annotated[
        tuple[MaintenanceSettings, ...], Field(description="Windows in which GPUs are out of service.")
    ] = ()


@dataclass(frozen=True, kw_only=True, config=STRICT)
class RequestSettings:
    """[[requests]]: inference traffic for one model, and the pool of workers that serves it."""

    name: Annotated[str, Field(min_length=1, description="Name in results.")] = "requests"
    trace: Annotated[str, Field(description="CSV with arrival_s, prompt_tokens, output_tokens.")] = ""
    limit: Annotated[int | None, Field(ge=1, description="Only the first so many requests of the trace.")] = None
    rate_per_s: Annotated[float, Field(gt=0, description="Without a trace: mean arrivals per second.")] = 0.05
    span_s: Annotated[Duration, Field(gt=0, description="Without a trace: how long requests arrive.")] = 86400.0
    prompt_tokens: Annotated[int, Field(ge=1, description="Without a trace: median prompt length.")] = 600
    output_tokens: Annotated[int, Field(ge=1, description="Without a trace: median output length.")] = 150
    region: Annotated[str, Field(description="Where the pool stands; empty: the first region.")] = ""
    model: Annotated[str, Field(description="Model profile that the workers serve.")] = "llama-3.1-8b"
    gpu: Annotated[str, Field(description="GPU profile of the workers.")] = "h100-sxm"
    workers: Annotated[int, Field(ge=1, description="Workers of the pool, warm unless they sleep.")] = 1
    sleeps: Annotated[bool, Field(description="Under the policy, workers without work sleep.")] = False
    min_awake: Annotated[int, Field(ge=0, description="Workers that never sleep.")] = 1
    wake_s: Annotated[Duration, Field(description="Time to wake up, at the power of an idle worker.")] = 30.0
    patience_s: Annotated[Duration, Field(description="How long there must be too many before one sleeps.")] = 60.0
    asleep_power_w: Annotated[
        Power | None, Field(description="Power of one sleeping GPU; unset: one without a process on it.")
    ] = None
    shares_gpu: Annotated[
        str, Field(description="Name of GPUs on which, under the policy, the one worker takes turns with other pools'.")
    ] = ""
    stay_s: Annotated[
        Duration, Field(description="Turn of a busy worker on shared GPUs, where others cannot wait for a swap anyway.")
    ] = 30.0
    gpus_per_worker: Annotated[int, Field(ge=1, description="GPUs that one worker uses together.")] = 1
    max_sequences: Annotated[int, Field(ge=1, description="Requests that one worker runs at once.")] = 128
    preempts: Annotated[
        bool, Field(description="Workers take KV memory token by token and preempt when it runs out, as vLLM does.")
    ] = False
    has_priorities: Annotated[
        bool, Field(description="A worker's own queue serves interactive requests first and preempts them last.")
    ] = False
    flex_ratio: Annotated[Ratio, Field(description="Share of requests that may wait.")] = 0.0
    flex_deadline_s: Annotated[Duration, Field(gt=0, description="A flex request is answered within this.")] = 43200.0
    flex_margin_s: Annotated[Duration, Field(description="Time kept free before a flex deadline.")] = 600.0


@dataclass(frozen=True, kw_only=True, config=STRICT)
class JobSettings:
    """[[jobs]]: training and batch jobs."""

    name: Annotated[str, Field(min_length=1, description="Name in results.")] = "jobs"
    trace: Annotated[str, Field(description="CSV with submit_s, duration_s, gpus; slack_s, power_per_gpu_w.")] = ""
    limit: Annotated[int | None, Field(ge=1, description="Only the first so many jobs of the trace.")] = None
    gpus_column: Annotated[str, Field(description="Column of the trace that holds the GPUs.")] = "gpus"
    count: Annotated[int, Field(ge=1, description="Without a trace: number of jobs.")] = 100
    span_s: Annotated[Duration, Field(gt=0, description="Without a trace: how long jobs are submitted.")] = 7 * 86400.0
    median_duration_s: Annotated[Duration, Field(gt=0, description="Without a trace: median run time.")] = 2 * 3600.0
    max_gpus: Annotated[int, Field(ge=1, description="Without a trace: largest job.")] = 8
    growth_ratio: Annotated[
        float, Field(gt=0, le=100, description="So many times as many jobs, at the same hours: demand that grows.")
    ] = 1.0
    slack_s: Annotated[Duration, Field(ge=0, description="Deadline: submission + run time + slack.")] = 86400.0
    slack_ratio: Annotated[float, Field(ge=0, description="Slack in addition, as a share of run time.")] = 0.0
    recorded_slack_ratio: Annotated[
        float, Field(ge=0, description="A trace with a column slack_s: this times that is the whole slack.")
    ] = 1.0
    estimate_ratio: Annotated[float, Field(gt=0, description="Estimated over true run time; 1 is a perfect guess.")] = (
        1.0
    )
    power_per_gpu_w: Annotated[Power, Field(gt=0, description="IT power of one busy GPU, its host share included.")] = (
        700.0
    )
    power_profile: Annotated[
        str,
        AfterValidator(_profile_text),
        Field(
            description="Power of one GPU along each run, stretched to it, such as 10m:200W,2h:700W; empty: constant."
        ),
    ] = ""
    elastic: Annotated[
        str,
        AfterValidator(_shares_text),
        Field(description="Speeds on multiples of a job's GPUs, such as 0.5:0.6,1:1,2:1.7; whole numbers count."),
    ] = ""
    interruptible_ratio: Annotated[Ratio, Field(description="Share of jobs that may be paused.")] = 0.0
    checkpoint_s: Annotated[Duration, Field(description="Time to write a checkpoint.")] = 120.0
    restore_s: Annotated[Duration, Field(description="Time to load one.")] = 180.0
    min_run_s: Annotated[Duration, Field(description="Shortest piece worth running.")] = 1800.0
    regions: Annotated[tuple[str, ...], Field(description="Where they may run; empty: anywhere.")] = ()

    def __post_init__(self) -> None:
        if self.power_profile and self.interruptible_ratio > 0:
            raise ValueError("a job with a power_profile runs in one piece: leave out interruptible_ratio")
        if self.power_profile and self.elastic:
            raise ValueError("elastic goes not with power_profile: phases are of one number of GPUs")


@dataclass(frozen=True, kw_only=True, config=STRICT)
class ModelChoiceSettings:
    """[[model_pool]]: request pools that leave the model of a request to the rule of the daemon, under the policy."""

    name: Annotated[str, Field(min_length=1, description="Name in results.")]
    candidates: Annotated[
        tuple[str, ...], Field(min_length=2, description="Names of [[requests]]; it chooses for all their requests.")
    ]
    accuracy_ratios: Annotated[
        tuple[Ratio, ...], Field(description="Share of requests that each candidate answers well, as tests tell.")
    ]
    baseline: Annotated[
        str,
        Field(description="Candidate that answers everything where nothing is routed; unset: the most accurate one."),
    ] = ""
    hardness_spread_ratio: Annotated[
        float, Field(ge=0, description="How far apart easy and hard requests lie, in logits.")
    ] = 1.5
    service: Annotated[Service, Field(description="What callers ask for: premium, standard or eco.")] = Service.STANDARD
    floor_ratio: Annotated[Ratio, Field(description="Least chance of a good answer for a model to be chosen.")] = 0.5
    eco_floor_ratio: Annotated[Ratio, Field(description="The same for callers who ask for eco.")] = 0.3
    budget_gco2e: Annotated[
        float | None, Field(gt=0, description="Grams of answering, idling not counted, for each window; unset: none.")
    ] = None
    budget_window_s: Annotated[Duration, Field(gt=0, description="How long a budget has to last.")] = 86400.0
    batch_sequences: Annotated[int, Field(ge=1, description="Batch in which the energy of a choice is estimated.")] = 8

    def __post_init__(self) -> None:
        if len(self.accuracy_ratios) != len(self.candidates):
            raise ValueError("accuracy_ratios: write one for each of candidates")
        if not all(0 < one < 1 for one in self.accuracy_ratios):
            raise ValueError("accuracy_ratios: nobody is always right or always wrong; write more than 0, less than 1")
        if self.eco_floor_ratio > self.floor_ratio:
            raise ValueError("eco_floor_ratio is above floor_ratio: callers who ask for eco accept less, not more")
        if self.baseline and self.baseline not in self.candidates:
            raise ValueError(f"baseline = {self.baseline!r} is none of candidates: {', '.join(self.candidates)}")

    @property
    def without_router(self) -> str:
        """The candidate that users without a router send everything to; of equals the first."""
        best = max(self.accuracy_ratios)
        return self.baseline or self.candidates[self.accuracy_ratios.index(best)]


@dataclass(frozen=True, kw_only=True, config=STRICT)
class PolicySettings(HoldSettings):
    """[policy]: what is compared with running everything at once."""

    kind: Annotated[PolicyKind, Field(description="What decides; see policies.md.")] = PolicyKind.CARBON_AWARE
    gate_ratio: Annotated[
        Ratio,
        Field(description="threshold, suspend_resume: share of the next day that counts as clean."),
    ] = GATE_RATIO
    replan_s: Annotated[Duration, Field(ge=60, description="Time between whole new plans.")] = 6 * 3600.0
    shaping: Annotated[Holding, Field(description="Rule by which requests are held for company, see shaping.md.")] = (
        Holding.GROUP
    )

    @property
    def hold_policy(self) -> ShapingPolicy:
        return self.held_by(self.shaping)


@dataclass(frozen=True, kw_only=True, config=STRICT)
class OutageSettings:
    """[[forecast.outage]]: a time in which the feed does not answer; the fallbacks are those of the daemon."""

    from_: Annotated[Instant, Field(alias="from", description="Instant at which it begins, such as 2022-03-02T06:00Z.")]
    to: Annotated[Instant, Field(description="Instant at which it ends; noticed when the next forecast is due.")]

    def __post_init__(self) -> None:
        if not self.to > self.from_:
            raise ValueError("to lies not after from: write a later instant")


@dataclass(frozen=True, kw_only=True, config=STRICT)
class ForecastSettings:
    """[forecast]: what the policy knows of the future."""

    kind: Annotated[ForecastKind, Field(description="perfect, seasonal, recorded or none.")] = ForecastKind.PERFECT
    trace: Annotated[
        str, Field(description="recorded: file of issued_at, timestamp, zone, forecast_gco2e_per_kwh; direct basis.")
    ] = ""
    column: Annotated[
        str,
        AfterValidator(_column_text),
        Field(description="Column of the grid's trace that decisions see, such as another signal; empty: the same."),
    ] = ""
    horizon_s: Annotated[Duration, Field(gt=0, description="How far it reaches.")] = 96 * 3600.0
    renew_s: Annotated[Duration, Field(ge=60, description="How often a new one is issued.")] = 6 * 3600.0
    outage: Annotated[tuple[OutageSettings, ...], Field(description="Times in which the feed does not answer.")] = ()

    def __post_init__(self) -> None:
        if self.kind is ForecastKind.RECORDED and not self.trace:
            raise ValueError("recorded forecasts need their trace")
        if self.kind is ForecastKind.RECORDED and self.column:
            raise ValueError("recorded forecasts are of one signal: leave out column")
        if self.kind is ForecastKind.NONE and self.outage:
            raise ValueError("a dead feed has no outages: leave them out, or choose another kind")


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Scenario:
    """The whole file. `start` is the instant on the grid's calendar at which every trace begins."""

    name: Annotated[str, Field(min_length=1, description="Name in results.")]
    start: Annotated[Instant, Field(description="Instant at which every trace begins, such as 2022-03-01T00:00Z.")]
    description: Annotated[str, Field(description="One or two sentences for people.")] = ""
    seed: Annotated[int, Field(ge=0, description="Seed of everything that is drawn.")] = 0
    grid: GridSettings
    region: tuple[RegionSettings, ...]
    requests: tuple[RequestSettings, ...] = ()
    model_pool: tuple[ModelChoiceSettings, ...] = ()
    jobs: tuple[JobSettings, ...] = ()
    budget: tuple[BudgetSettings, ...] = ()
    policy: PolicySettings = PolicySettings()
    forecast: ForecastSettings = ForecastSettings()
    objective: ObjectiveSettings = ObjectiveSettings()
    price: PriceSettings = PriceSettings()

    def __post_init__(self) -> None:
        if bool(self.grid.trace) == bool(self.grid.archetypes):
            raise ValueError("grid: name either a trace file or archetypes, not both and not neither")
        if not self.grid.trace and (self.grid.column or self.forecast.column):
            raise ValueError("column names one of a trace: archetypes have none")
        if not self.region:
            raise ValueError("no place: add a [[region]] table")
        if not self.requests and not self.jobs:
            raise ValueError("no work: add a [[requests]] or a [[jobs]] table")
        _refuse_repeated("region", [place.name for place in self.region])
        _refuse_repeated("workload", [*(pool.name for pool in self.requests), *(jobs.name for jobs in self.jobs)])
        for pool in self.requests:
            _refuse_unknown_region(f"requests {pool.name!r}", (pool.region,) if pool.region else (), self.region)
        for jobs in self.jobs:
            _refuse_unknown_region(f"jobs {jobs.name!r}", jobs.regions, self.region)
        if any(one.tenant != EVERYBODY for one in self.budget):
            raise ValueError('budget: the jobs of a scenario have no tenants; write tenant = "*"')
        self._refuse_odd_choices()
        self._refuse_crowded_regions()
        self._refuse_odd_sharing()
        for _, what, remedy in unpriced(
            self.region,
            self.objective.weights,
            has_trace=bool(self.price.trace),
            counts_usd=any(one.usd is not None for one in self.budget),
        ):
            raise ValueError(f"{what}: {remedy}")

    @property
    def zones(self) -> tuple[str, ...]:
        """Every zone once, in the order of the regions."""
        return tuple(dict.fromkeys(region.zone for region in self.region))

    def region_of(self, pool: RequestSettings) -> RegionSettings:
        return next((region for region in self.region if region.name == pool.region), self.region[0])

    def gpus_for_jobs(self, region: RegionSettings) -> int:
        """What the request pools leave of a region."""
        taken = sum(pool.workers * pool.gpus_per_worker for pool in self.requests if self.region_of(pool) == region)
        return region.gpus - taken

    def _refuse_crowded_regions(self) -> None:
        for region in self.region:
            if self.gpus_for_jobs(region) < 0:
                raise ValueError(
                    f"region {region.name!r} has {region.gpus} GPUs, but its request pools take "
                    f"{region.gpus - self.gpus_for_jobs(region)}"
                )

    def _refuse_odd_choices(self) -> None:
        _refuse_repeated("model_pool", [one.name for one in self.model_pool])
        _refuse_repeated("candidate", [name for one in self.model_pool for name in one.candidates])
        known = [pool.name for pool in self.requests]
        for one in self.model_pool:
            for name in one.candidates:
                if name not in known:
                    raise ValueError(f"model_pool {one.name!r} names requests {name!r}; there are {', '.join(known)}")
            self._refuse_unlike_callers(one)

    def _refuse_unlike_callers(self, choice: ModelChoiceSettings) -> None:
        """Callers name the pool of models, so whether a request may wait cannot hang on who answers it."""
        first, *others = (pool for pool in self.requests if pool.name in choice.candidates)
        for other in others:
            for key in ("flex_ratio", "flex_deadline_s", "flex_margin_s"):
                if getattr(first, key) != getattr(other, key):
                    raise ValueError(
                        f"model_pool {choice.name!r}: {key} of {other.name!r} differs from that of {first.name!r}, "
                        "and callers name neither"
                    )

    def _refuse_odd_sharing(self) -> None:
        """Pools that share GPUs have one worker each, and mean the same GPUs and the same swap."""
        first: dict[str, RequestSettings] = {}
        for pool in self.requests:
            if not pool.shares_gpu:
                continue
            what = f"requests {pool.name!r} shares_gpu = {pool.shares_gpu!r}"
            if pool.workers != 1 or pool.sleeps:
                raise ValueError(
                    f"{what}: it has one worker, which sleeps whenever it is not its turn: leave out sleeps"
                )
            other = first.setdefault(pool.shares_gpu, pool)
            for name in ("region", "gpu", "gpus_per_worker", "wake_s", "stay_s", "patience_s", "asleep_power_w"):
                if getattr(pool, name) != getattr(other, name):
                    raise ValueError(f"{what}: {name} differs from that of {other.name!r}, and the GPUs are the same")


def _refuse_repeated(what: str, names: list[str]) -> None:
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        raise ValueError(f"two entries share the {what} name {repeated[0]!r}: give each its own")


def _refuse_unknown_region(who: str, names: tuple[str, ...], regions: tuple[RegionSettings, ...]) -> None:
    known = [region.name for region in regions]
    for name in names:
        if name not in known:
            raise ValueError(f"{who} names region {name!r}, which is not one of {', '.join(known)}")
