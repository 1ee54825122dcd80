"""The settings of the daemon: what can be set, within which bounds, and what happens otherwise.

Each class is one table of slacktide.toml; each field's description is its documentation. The larger subjects have files
of their own beside this one, `*_settings.py`. Reads no file itself.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Annotated

from pydantic import Field, TypeAdapter
from pydantic.dataclasses import dataclass

from scheduler.agent_settings import AgentSettings
from scheduler.budget_settings import BudgetSettings
from scheduler.identity_settings import OidcSettings
from scheduler.launch_settings import FineTuningSettings, LaunchSettings, TemplateSettings
from scheduler.objective_settings import ObjectiveSettings, PriceSettings
from scheduler.outlier_settings import OutlierSettings
from scheduler.quota_settings import TenantSettings
from scheduler.region_settings import FeedSettings, RegionSettings
from scheduler.setting_values import STRICT, Duration
from scheduler.shaping_settings import ConsolidationSettings, HandOverSettings, ShapingSettings
from scheduler.worker_settings import ModelPoolSettings, WorkerSettings


@dataclass(frozen=True, kw_only=True, config=STRICT)
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


@dataclass(frozen=True, kw_only=True, config=STRICT)
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


@dataclass(frozen=True, kw_only=True, config=STRICT)
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


@dataclass(frozen=True, kw_only=True, config=STRICT)
class BatchesSettings:
    """[batches]: uploaded files, and batches of requests."""

    max_file_bytes: Annotated[int, Field(ge=1024, description="Largest file accepted by /v1/files.")] = 200_000_000
    max_lines: Annotated[int, Field(ge=1, description="Most requests in one batch.")] = 50_000
    lines_at_once: Annotated[
        int, Field(ge=1, description="Lines of batches on their way in one pool; at most what its workers hold.")
    ] = 64
    longest_window_s: Annotated[Duration, Field(gt=0, description="Longest completion_window accepted.")] = 604800.0


@dataclass(frozen=True, kw_only=True, config=STRICT)
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


@dataclass(frozen=True, kw_only=True, config=STRICT)
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
