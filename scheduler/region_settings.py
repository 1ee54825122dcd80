"""Where work may run and whose grid feeds it: [[region]] and [[feed]] of the settings. Reads no file and no feed."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from pydantic import Field
from pydantic.dataclasses import dataclass

from scheduler.held_settings import MaintenanceSettings, ReservedSettings
from scheduler.objective_settings import SiteSettings
from scheduler.setting_values import STRICT, Duration


@dataclass(frozen=True, kw_only=True, config=STRICT)
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


class FeedKind(StrEnum):
    UK_CARBON = "uk_carbon"
    ELECTRICITY_MAPS = "electricity_maps"
    WATTTIME = "watttime"
    TRACE = "trace"
    SYNTHETIC = "synthetic"


@dataclass(frozen=True, kw_only=True, config=STRICT)
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
