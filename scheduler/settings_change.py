"""Which settings a running daemon can take up, and which it would have to be started anew for.

Pure. New settings are taken up whole or not at all: after a reload the file is what is in force.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields

from scheduler.config import Settings
from scheduler.objective_settings import SiteSettings
from scheduler.region_settings import RegionSettings
from scheduler.worker_settings import WorkerSettings

_WHOLE_TABLES = frozenset(
    {
        "worker",
        "feed",
        "template",
        "fine_tuning",
        "tenant",
        "outliers",
        "launch",
        "model_pool",
        "budget",
        "price",
        "objective",
        "consolidation",
        "hand_over",
    }
)
_KEYS = {
    "server": frozenset({"keys_sha256", "drain_s"}),
    "shaping": frozenset({"max_held", "flex_deadline_s", "flex_margin_s"}),
    "planning": frozenset({"replan_s", "duration_quantile_ratio", "interactive_quantile_ratio", "correct_forecasts"}),
}
_REGION_KEYS = frozenset(
    {"gpus", "power_cap_kw", "interactive_gpus", "reserved", "maintenance", *(one.name for one in fields(SiteSettings))}
)
# Why the others take a start, by the table they stand in; docs/workers.md has the same.
_WHY = {
    "server": "its sockets and its folder are opened once",
    "shaping": "what is held was timed by it",
    "batches": "lines under way were let in by it",
    "planning": "a journal and its leases are of one life of the daemon",
    "telemetry": "meters are opened once",
    "agent": "meters are opened once",
    "worker": "its meter and its turn on shared GPUs are set up once",
    "tracing": "its exporter is opened once",
    "oidc": "whether the door asks for keys is settled before it opens",
    "region": "jobs, the ledger and the journal name regions, their zones and GPUs as they were",
}
# Their meters and their turns are set up once.
_FIXED_WORKER_KEYS = ("devices", "agent", "shares_gpu")


def fixed_changes(before: Settings, after: Settings) -> list[str]:
    """The changed keys that only a start takes up, as the file spells them, in the order of the tables."""
    return list(_changes(before, after))


def why_fixed(key: str) -> str:
    """Why one of these takes a start."""
    return _WHY[key.partition(" ")[0].partition(".")[0]]


def _changes(before: Settings, after: Settings) -> Iterator[str]:
    for table in (one.name for one in fields(Settings)):
        if table == "region":
            yield from _of_regions(before.region, after.region)
        elif table not in _WHOLE_TABLES:
            yield from _of_table(table, getattr(before, table), getattr(after, table))
    for key in _FIXED_WORKER_KEYS:
        if _set_up(before.worker, key) != _set_up(after.worker, key):
            yield f"worker.{key}"


def _of_table(table: str, before: object, after: object) -> Iterator[str]:
    if before == after:
        return
    if isinstance(before, tuple):
        yield table
        return
    yield from (f"{table}.{key}" for key in _changed_keys(before, after) if key not in _KEYS.get(table, ()))


def _of_regions(before: tuple[RegionSettings, ...], after: tuple[RegionSettings, ...]) -> Iterator[str]:
    if [one.name for one in before] != [one.name for one in after]:
        yield "region.name"
        return
    for old, new in zip(before, after, strict=True):
        yield from (f"region.{key} of {old.name}" for key in _changed_keys(old, new) if key not in _REGION_KEYS)


def _changed_keys(before: object, after: object) -> list[str]:
    names = [one.name for one in fields(before)]  # type: ignore[arg-type]  # a table of the settings
    return [name for name in names if getattr(before, name) != getattr(after, name)]


def _set_up(workers: tuple[WorkerSettings, ...], key: str) -> list[tuple[str, object]]:
    return [(one.url, getattr(one, key)) for one in workers if getattr(one, key)]
