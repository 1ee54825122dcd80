"""The settings of the daemon: what can be set, within which bounds, and what happens otherwise.

Each class is one table of slacktide.toml; each field's description is its documentation. Reads no file itself.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import field
from enum import StrEnum
from typing import Annotated

from pydantic import BeforeValidator, ConfigDict, Field, TypeAdapter
from pydantic.dataclasses import dataclass

from scheduler.agent_settings import AgentSettings
from scheduler.budget_settings import BudgetSettings
from scheduler.engine_settings import EngineSettings
from scheduler.held_settings import MaintenanceSettings, ReservedSettings
from scheduler.identity_settings import OidcSettings
from scheduler.objective_settings import ObjectiveSettings, PriceSettings, SiteSettings
from scheduler.outlier_settings import OutlierSettings
from scheduler.quantities import parse_duration_s, parse_power_w
from scheduler.quota_settings import TenantSettings
from scheduler.work_settings import ShapeSettings
from shaping.phases import Objective
from shaping.policy import Holding, ShapingPolicy

_STRICT = ConfigDict(extra="forbid")


def _duration(value: object) -> object:
    return parse_duration_s(value) if isinstance(value, str) else value


def _power(value: object) -> object:
    return parse_power_w(value) if isinstance(value, str) else value


# In the file "90s", "4h", "10kW"; in the code seconds and watts.
Duration = Annotated[float, BeforeValidator(_duration), Field(ge=0, allow_inf_nan=False)]
Power = Annotated[float, BeforeValidator(_power), Field(ge=0, allow_inf_nan=False)]


class FeedKind(StrEnum):
    UK_CARBON = "uk_carbon"
    ELECTRICITY_MAPS = "electricity_maps"
    WATTTIME = "watttime"
    TRACE = "trace"
    SYNTHETIC = "synthetic"


@dataclass(frozen=True, kw_only=True, config=_STRICT)
class Server:
    """[server]: where the daemon listens and keeps its state."""

    host: Annotated[str, Field(description="Address to listen on; other than loopback needs keys.")] = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65535, description="Port to listen on; 0 lets the system choose.")] = 8080
    state_dir: Annotated[
        str, Field(description="Folder of the queue, the journal, job logs and the intensity cache.")
    ] = "~/.local/state/slacktide"
    database_url: Annotated[str, Field(description="SQLAlchemy URL of the queue; empty means SQLite in state_dir.")] = (
        ""
    )
    drain_s: Annotated[Duration, Field(description="How long SIGTERM waits for work under way.")] = 30.0
    max_body_bytes: Annotated[int, Field(ge=1024, description="Largest request body accepted.")] = 16 * 1024 * 1024
    max_connections: Annotated[int, Field(ge=1, description="Open client connections accepted at once.")] = 10_000
    keys_sha256: Annotated[
        tuple[str, ...],
        Field(description="SHA-256 (hex) of each key that opens everything; others are made by `slacktide keys`."),
    ] = ()
    tls_certificate: Annotated[
        str, Field(description="PEM file of the certificate to show; empty: plain HTTP, as behind a proxy with TLS.")
    ] = ""
    tls_key: Annotated[str, Field(description="PEM file of the certificate's key, without a password.")] = ""


@dataclass(frozen=True, kw_only=True, config=_STRICT)
class RegionSettings(SiteSettings):
    """[[region]]: a place that runs work."""

    name: Annotated[str, Field(min_length=1, description="Name that workers, launches and jobs refer to.")]
    zone: Annotated[str, Field(min_length=1, description="Grid zone of the region, as its feed spells it.")]
    gpus: Annotated[int, Field(ge=0, description="GPUs that jobs may use at once.")] = 1
    pue: Annotated[float, Field(ge=1, allow_inf_nan=False, description="Facility energy over IT energy.")] = 1.2
    power_cap_kw: Annotated[
        float | None,
        Field(
            gt=0, allow_inf_nan=False, description="Most that jobs may draw together, PUE included; unset: no limit."
        ),
    ] = None
    gpu: Annotated[str, Field(description="GPU profile of the region, see `slacktide worker --help`.")] = "h100-sxm"
    devices: Annotated[
        tuple[str, ...],
        Field(description="Indices or UUIDs of its GPUs: each job sees its own as CUDA_VISIBLE_DEVICES; empty: all."),
    ] = ()
    interactive_gpus: Annotated[
        int, Field(ge=0, description="GPUs kept for interactive requests, where jobs and workers share them; 0: none.")
    ] = 0
    learn_interactive: Annotated[
        bool,
        Field(
            description="Learn that figure by hour of the week from the ledger; `interactive_gpus` until it is known."
        ),
    ] = False
    reserved: Annotated[
        tuple[ReservedSettings, ...], Field(description="GPUs kept for traffic that cannot wait, by hours of the week.")
    ] = ()
    maintenance: Annotated[
        tuple[MaintenanceSettings, ...], Field(description="Windows in which GPUs are out of service.")
    ] = ()


@dataclass(frozen=True, kw_only=True, config=_STRICT)
class FeedSettings:
    """[[feed]]: where the intensity of some zones comes from; several for one zone are tried in order."""

    kind: Annotated[FeedKind, Field(description="Which provider or source.")]
    zones: Annotated[tuple[str, ...], Field(min_length=1, description="Zones that this feed answers for.")]
    base_url: Annotated[str, Field(description="Address of the service; empty means the provider's own.")] = ""
    token_env: Annotated[str, Field(description="Environment variable with the token (Electricity Maps).")] = ""
    user_env: Annotated[str, Field(description="Environment variable with the user name (WattTime).")] = ""
    password_env: Annotated[str, Field(description="Environment variable with the password (WattTime).")] = ""
    file: Annotated[str, Field(description="Trace file: timestamp, zone, gco2e_per_kwh.")] = ""
    archetype: Annotated[str, Field(description="Synthetic grid: solar, wind, hydro or coal.")] = "solar"
    timeout_s: Annotated[Duration, Field(gt=0, description="Time-out of one call.")] = 10.0
    poll_s: Annotated[Duration, Field(ge=1, description="How often to ask.")] = 300.0


class WorkerRole(StrEnum):
    """Which phases of a call a worker takes."""

    BOTH = "both"  # whole calls only
    PREFILL = "prefill"  # reads prompts and hands their KV cache over
    DECODE = "decode"  # writes what a prefill worker has read; whole calls as well


@dataclass(frozen=True, kw_only=True, config=_STRICT)
class WorkerSettings(EngineSettings):
    """[[worker]]: an OpenAI-compatible inference server behind the gateway."""

    url: Annotated[str, Field(pattern=r"^https?://", description="Base address, without /v1.")]
    models: Annotated[tuple[str, ...], Field(min_length=1, description="Model names that it serves.")]
    region: Annotated[str, Field(min_length=1, description="Region whose grid feeds it.")]
    gpu: Annotated[str, Field(description="GPU profile for modelled energy.")] = "h100-sxm"
    gpus: Annotated[int, Field(ge=1, description="GPUs of this worker.")] = 1
    profile: Annotated[str, Field(description="Model profile for modelled energy; empty: the first of `models`.")] = ""
    calibration: Annotated[
        str,
        Field(description="Points that `slacktide profiles calibrate --write-points` wrote, or a telemetry log of it."),
    ] = ""
    calibration_prompt_tokens: Annotated[
        float, Field(ge=0, allow_inf_nan=False, description="Mean prompt behind the points, where the file says none.")
    ] = 350
    calibration_output_tokens: Annotated[
        float, Field(gt=0, allow_inf_nan=False, description="Mean output behind the points, where the file says none.")
    ] = 400
    max_sequences: Annotated[int, Field(ge=1, description="Requests it runs at once.")] = 64
    kv_tokens: Annotated[int | None, Field(description="Tokens its KV cache holds; unset: not limited here.")] = None
    adapters: Annotated[
        tuple[str, ...], Field(description="Model names of the adapters (LoRA) that it serves on its first model.")
    ] = ()
    max_adapters: Annotated[
        int | None, Field(ge=1, description="Different adapters that run at once; unset: not limited here.")
    ] = None
    prefix_cache_tokens: Annotated[
        int, Field(ge=0, description="Prompt tokens its prefix cache keeps for reuse; 0: none is counted on.")
    ] = 0
    devices: Annotated[
        tuple[str, ...],
        Field(
            description="Indices (as `nvidia-smi -L`) or UUIDs of its GPUs, here or where its `agent` runs: for NVML."
        ),
    ] = ()
    agent: Annotated[
        str, Field(description="Name of the [[agent]] that meters `devices`; empty: they are in this machine.")
    ] = ""
    timeout_s: Annotated[Duration, Field(gt=0, description="Longest silence of the worker before giving up.")] = 300.0
    sleep_level: Annotated[
        int, Field(ge=1, le=2, description="Level of vLLM's sleep: 1 keeps the weights in main memory, 2 drops them.")
    ] = 1
    start_command: Annotated[
        tuple[str, ...], Field(description="Argument list that starts it; with stop_command instead of sleep calls.")
    ] = ()
    stop_command: Annotated[tuple[str, ...], Field(description="Argument list that stops it; waited for.")] = ()
    role: Annotated[
        WorkerRole, Field(description="both, or its part in handing prompts over (vLLM's kv_transfer_params).")
    ] = WorkerRole.BOTH
    shares_gpu: Annotated[
        str, Field(description="Name of GPUs that it shares with other workers, which take turns: one is awake.")
    ] = ""


@dataclass(frozen=True, kw_only=True, config=_STRICT)
class ModelPoolSettings:
    """[[model_pool]]: a name under which callers leave the choice of the model to the router."""

    name: Annotated[str, Field(pattern=r"^[^\s:]+$", description="What callers write as `model`, such as auto.")]
    candidates: Annotated[
        tuple[str, ...], Field(min_length=1, description="Models of the workers to choose from; cheap ones first.")
    ]
    router: Annotated[
        str, Field(description="Model file that `slacktide router train` wrote; a cascade needs none.")
    ] = ""
    cascade: Annotated[
        bool, Field(description="Ask the candidates in order, until one is sure of its answer, instead of the router.")
    ] = False
    sure_ratio: Annotated[
        float, Field(ge=0, le=1, description="Cascade: least mean token probability at which an answer stands.")
    ] = 0.8
    estimates: Annotated[
        tuple[str, ...],
        Field(description="Which estimate in the file is each candidate's, such as weak, strong; empty: their names."),
    ] = ()
    floor_ratio: Annotated[
        float, Field(ge=0, le=1, description="Least chance of a good answer for a model to be chosen as cheaper.")
    ] = 0.5
    eco_floor_ratio: Annotated[float, Field(ge=0, le=1, description="The same for callers who ask for eco.")] = 0.3
    budget_kwh: Annotated[float | None, Field(gt=0, description="Energy for each window; unset: no limit.")] = None
    budget_gco2e: Annotated[
        float | None, Field(gt=0, description="Emissions for each window, instead of budget_kwh.")
    ] = None
    budget_window_s: Annotated[Duration, Field(gt=0, description="How long a budget has to last.")] = 86400.0


@dataclass(frozen=True, kw_only=True, config=_STRICT)
class HoldSettings:
    """How requests are held for company: the same for a daemon and for a what-if, which name the rule itself."""

    interactive_hold_s: Annotated[
        Duration, Field(description="Longest hold of an interactive request to form a denser batch.")
    ] = 0.02
    min_group: Annotated[int, Field(ge=1, description="Group size worth releasing before the hold is over.")] = 8
    max_delay_s: Annotated[Duration, Field(description="Rule window: longest wait of the first of a batch.")] = 0.05
    max_batch: Annotated[
        int | None, Field(ge=1, description="Rule window: batch that goes at once; unset: only the delay counts.")
    ] = None
    pace_gap_s: Annotated[Duration, Field(description="Rule paced: time between two requests.")] = 0.05
    latency_price_gco2e_per_h: Annotated[
        float,
        Field(
            ge=0,
            allow_inf_nan=False,
            description="Rule adaptive: grams worth saving for an hour that one interactive request waits; "
            "a tenth of it for flex, a hundredth for batch.",
        ),
    ] = 0.3
    first_token_budget_s: Annotated[
        Duration | None,
        Field(gt=0, description="Longest that prompts of deferred requests keep the next from its first token."),
    ] = None
    length_lanes: Annotated[
        bool, Field(description="Group requests whose outputs, by their `max_tokens`, are about as long.")
    ] = False

    def held_by(self, rule: Holding) -> ShapingPolicy:
        """The same in the shaper's words."""
        return ShapingPolicy(
            interactive_hold_s=self.interactive_hold_s,
            min_group=self.min_group,
            max_group=self.max_batch,
            holding=rule,
            max_delay_s=self.max_delay_s,
            pace_gap_s=self.pace_gap_s,
            latency_price_gco2e_per_h=self.latency_price_gco2e_per_h,
            has_length_lanes=self.length_lanes,
            first_token_budget_s=self.first_token_budget_s,
        )


@dataclass(frozen=True, kw_only=True, config=_STRICT)
class ShapingSettings(HoldSettings):
    """[shaping]: how long requests may be held, and for what."""

    policy: Annotated[Holding, Field(description="Rule by which requests are held for company, see shaping.md.")] = (
        Holding.GROUP
    )
    flex_deadline_s: Annotated[Duration, Field(description="Deadline of a flex request that names none.")] = 540.0
    flex_margin_s: Annotated[Duration, Field(description="Time kept free before a flex deadline, beyond service.")] = (
        5.0
    )
    max_held: Annotated[int, Field(ge=1, description="Requests held at once; more are answered 429.")] = 10_000

    @property
    def hold_policy(self) -> ShapingPolicy:
        return self.held_by(self.policy)


@dataclass(frozen=True, kw_only=True, config=_STRICT)
class ConsolidationSettings:
    """[consolidation]: whether workers without work sleep, and how many stay awake."""

    enabled: Annotated[bool, Field(description="Put workers to sleep at low load; each must serve one model only.")] = (
        False
    )
    min_awake: Annotated[
        int, Field(ge=0, description="Workers of each model that never sleep; 0 lets the first request wait.")
    ] = 1
    headroom_ratio: Annotated[
        float, Field(ge=0, allow_inf_nan=False, description="Places kept free, as a share of those in use.")
    ] = 0.25
    wake_s: Annotated[Duration, Field(description="Time from the order to the first request, with reserve.")] = 30.0
    patience_s: Annotated[
        Duration | None,
        Field(
            description="How long there must be too many before one sleeps; if left out 1 min, or where all are "
            "stopped by command the time after which a sleep pays for waking."
        ),
    ] = None
    stay_s: Annotated[
        Duration, Field(description="Turn of a busy worker on shared GPUs, where others cannot wait for a swap anyway.")
    ] = 30.0


@dataclass(frozen=True, kw_only=True, config=_STRICT)
class HandOverSettings:
    """[hand_over]: when a prompt is read by a worker with `role = "prefill"` for one with `role = "decode"`."""

    objective: Annotated[
        Objective, Field(description="What the place of a prompt is to spare: latency, energy or energy_delay.")
    ] = Objective.ENERGY
    link_bytes_per_s: Annotated[
        float, Field(gt=0, allow_inf_nan=False, description="Rate at which KV caches go from worker to worker.")
    ] = 25e9
    link_j_per_byte: Annotated[
        float, Field(ge=0, allow_inf_nan=False, description="Energy of the way, by byte of KV cache.")
    ] = 1e-9
    link_setup_s: Annotated[Duration, Field(description="Time that a hand-over takes beside, the second call too.")] = (
        0.005
    )


@dataclass(frozen=True, kw_only=True, config=_STRICT)
class TelemetrySettings:
    """[telemetry]: the meters of each worker with `devices`, here or by its agent, and the log to calibrate with."""

    sample_s: Annotated[
        Duration, Field(ge=0.2, description="Real time between two lines; counters move each 0.1 s.")
    ] = 1.0
    book_metered: Annotated[
        bool, Field(description="Book what those GPUs drew, split over the requests that ran; false: modelled energy.")
    ] = True
    max_file_bytes: Annotated[int, Field(ge=4096, description="Size at which a file is followed by the next.")] = (
        32 * 1024 * 1024
    )
    files_kept: Annotated[int, Field(ge=1, description="Files kept for each worker, the newest.")] = 5
    stale_s: Annotated[
        Duration, Field(ge=1, description="An agent silent for so long meters nothing: energy is modelled until then.")
    ] = 10.0


@dataclass(frozen=True, kw_only=True, config=_STRICT)
class TracingSettings:
    """[tracing]: spans of requests for OpenTelemetry; needs the extra `tracing`."""

    endpoint: Annotated[
        str,
        Field(
            pattern=r"^(https?://\S+)?$",
            description="Collector that takes OTLP over HTTP, such as `http://127.0.0.1:4318`; empty: no spans.",
        ),
    ] = ""
    sample_ratio: Annotated[
        float, Field(ge=0, le=1, description="Share of requests with spans, where the caller has not decided it.")
    ] = 1.0
    service_name: Annotated[str, Field(min_length=1, description="What this daemon is called there.")] = "slacktide"


@dataclass(frozen=True, kw_only=True, config=_STRICT)
class BatchesSettings:
    """[batches]: uploaded files, and batches of requests."""

    max_file_bytes: Annotated[int, Field(ge=1024, description="Largest file accepted by /v1/files.")] = 200_000_000
    max_lines: Annotated[int, Field(ge=1, description="Most requests in one batch.")] = 50_000
    lines_at_once: Annotated[
        int, Field(ge=1, description="Lines of batches on their way in one pool; at most what its workers hold.")
    ] = 64
    longest_window_s: Annotated[Duration, Field(gt=0, description="Longest completion_window accepted.")] = 604800.0


@dataclass(frozen=True, kw_only=True, config=_STRICT)
class PlanningSettings:
    """[planning]: how often and how far ahead to plan."""

    replan_s: Annotated[Duration, Field(gt=0, description="Time between whole new plans.")] = 300.0
    policy: Annotated[str, Field(pattern="^(carbon_aware|run_now)$", description="carbon_aware or run_now.")] = (
        "carbon_aware"
    )
    duration_quantile_ratio: Annotated[
        float,
        Field(
            ge=0, lt=1, description="Share of past runs of a label that the planned duration covers; 0: as declared."
        ),
    ] = 0.9
    interactive_quantile_ratio: Annotated[
        float,
        Field(gt=0, lt=1, description="Share of past weeks that the GPUs learned for interactive requests cover."),
    ] = 0.9
    correct_forecasts: Annotated[
        bool, Field(description="Plan on forecasts corrected by what they have been wrong by; false: as the feed says.")
    ] = True
    lease_s: Annotated[Duration, Field(gt=0, description="Lease on a running job; renewed at a third of it.")] = 45.0


@dataclass(frozen=True, kw_only=True, config=_STRICT)
class TemplateSettings:
    """[[template]]: a command that jobs submitted over HTTP may name; {placeholders} are filled from the job."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]+$", description="Name that jobs refer to.")]
    command: Annotated[tuple[str, ...], Field(min_length=1, description="Argument list; never a shell line.")]
    cwd: Annotated[str, Field(description="Working directory; empty: the job's own folder.")] = ""
    env: Annotated[dict[str, str], Field(description="Environment added to the daemon's own.")] = field(
        default_factory=dict
    )
    grace_s: Annotated[Duration, Field(description="Time between SIGTERM and SIGKILL.")] = 30.0


@dataclass(frozen=True, kw_only=True, config=_STRICT)
class HyperparameterSettings:
    """[fine_tuning.hyperparameters.NAME]: a number that clients may set, and its placeholder in the template."""

    default: Annotated[float, Field(allow_inf_nan=False, description='Value for "auto", and where none is given.')]
    low: Annotated[float, Field(allow_inf_nan=False, description="Smallest value allowed.")] = 0.0
    high: Annotated[float, Field(allow_inf_nan=False, description="Largest value allowed.")] = 1e9
    is_whole: Annotated[bool, Field(description="Whole numbers only.")] = False


@dataclass(frozen=True, kw_only=True, config=_STRICT)
class FineTuningSettings(ShapeSettings):
    """[[fine_tuning]]: a model that clients of /v1/fine_tuning/jobs may train, and what that takes."""

    model: Annotated[str, Field(min_length=1, description="Name by which clients ask for it.")]
    template: Annotated[str, Field(min_length=1, description="The template that trains it; see fine-tuning.md.")]
    duration_s: Annotated[Duration, Field(gt=0, description="Expected run time.")]
    within_s: Annotated[Duration, Field(gt=0, description="Finish this long after the call at the latest.")] = 86400.0
    gpus: Annotated[int, Field(ge=0, description="GPUs it holds.")] = 1
    power_w: Annotated[Power, Field(description="IT power while it runs, of all GPUs and their host share.")] = 700.0
    interruptible: Annotated[bool, Field(description="May be paused (SIGTERM, checkpoint) and started again.")] = False
    checkpoint_s: Annotated[Duration, Field(description="Time to write a checkpoint.")] = 0.0
    restore_s: Annotated[Duration, Field(description="Time to load one.")] = 0.0
    min_run_s: Annotated[Duration, Field(description="Shortest piece worth running, without its overheads.")] = 0.0
    regions: Annotated[tuple[str, ...], Field(description="Where it may run; empty: anywhere.")] = ()
    hyperparameters: Annotated[
        dict[str, HyperparameterSettings], Field(description="What clients may set, by name.")
    ] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, config=_STRICT)
class LaunchSettings(ShapeSettings):
    """[[launch]]: a training or other command that recurs."""

    # It begins the ids of its jobs, and with them the names of their runs.
    name: Annotated[
        str,
        Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$", description="Name; with the local time it is the period."),
    ]
    cron: Annotated[str, Field(description="Cron expression of five fields: the earliest start of each period.")]
    command: Annotated[tuple[str, ...], Field(min_length=1, description="Argument list; never a shell line.")]
    duration_s: Annotated[Duration, Field(gt=0, description="Expected run time.")]
    timezone: Annotated[str, Field(description="IANA time zone of the cron expression.")] = "UTC"
    within_s: Annotated[Duration | None, Field(description="Finish this long after the tick at the latest.")] = None
    finish_by: Annotated[
        str, Field(pattern=r"^(\d{2}:\d{2})?$", description="Local time of day to finish by, HH:MM; or use within_s.")
    ] = ""
    gpus: Annotated[int, Field(ge=0, description="GPUs it holds.")] = 1
    power_w: Annotated[Power, Field(description="IT power while it runs, of all GPUs and their host share.")] = 700.0
    interruptible: Annotated[bool, Field(description="May be paused (SIGTERM, checkpoint) and started again.")] = False
    checkpoint_s: Annotated[Duration, Field(description="Time to write a checkpoint.")] = 0.0
    restore_s: Annotated[Duration, Field(description="Time to load one.")] = 0.0
    min_run_s: Annotated[Duration, Field(description="Shortest piece worth running, without its overheads.")] = 0.0
    regions: Annotated[tuple[str, ...], Field(description="Where it may run; empty: anywhere.")] = ()
    cwd: Annotated[str, Field(description="Working directory; empty: the run's own folder.")] = ""
    env: Annotated[dict[str, str], Field(description="Environment added to the daemon's own.")] = field(
        default_factory=dict
    )
    grace_s: Annotated[Duration, Field(description="Time between SIGTERM and SIGKILL.")] = 30.0
    catch_up_s: Annotated[Duration, Field(description="How late a missed tick is still launched.")] = 3600.0


@dataclass(frozen=True, kw_only=True, config=_STRICT)
class Settings:
    """The whole file."""

    server: Server = Server()
    shaping: ShapingSettings = ShapingSettings()
    consolidation: ConsolidationSettings = ConsolidationSettings()
    hand_over: HandOverSettings = HandOverSettings()
    outliers: OutlierSettings = OutlierSettings()
    batches: BatchesSettings = BatchesSettings()
    planning: PlanningSettings = PlanningSettings()
    objective: ObjectiveSettings = ObjectiveSettings()
    price: PriceSettings = PriceSettings()
    telemetry: TelemetrySettings = TelemetrySettings()
    tracing: TracingSettings = TracingSettings()
    region: tuple[RegionSettings, ...] = ()
    feed: tuple[FeedSettings, ...] = ()
    worker: tuple[WorkerSettings, ...] = ()
    agent: tuple[AgentSettings, ...] = ()
    model_pool: tuple[ModelPoolSettings, ...] = ()
    oidc: OidcSettings = OidcSettings()
    tenant: tuple[TenantSettings, ...] = ()
    budget: tuple[BudgetSettings, ...] = ()
    template: tuple[TemplateSettings, ...] = ()
    launch: tuple[LaunchSettings, ...] = ()
    fine_tuning: tuple[FineTuningSettings, ...] = ()


@functools.cache
def _adapter() -> TypeAdapter[Settings]:
    return TypeAdapter(Settings)


def validate(tables: Mapping[str, object]) -> Settings:
    """The settings of parsed TOML. Raises pydantic.ValidationError that holds every problem at once."""
    return _adapter().validate_python(tables)
