"""What must hold between settings that are each valid alone. Reads no file and no clock; knows nothing of lines.

A finding is an error (the daemon does not start) or a warning (it starts, and saves less than it could).
"""

from __future__ import annotations

import difflib
import ipaddress
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from apscheduler.triggers.cron import CronTrigger

from intensity_feeds.series import Signal
from scheduler.addresses import is_base
from scheduler.agent_settings import host_of, mistakes
from scheduler.config import (
    FeedKind,
    FeedSettings,
    FineTuningSettings,
    LaunchSettings,
    ModelPoolSettings,
    RegionSettings,
    Server,
    Settings,
    WorkerRole,
    WorkerSettings,
)
from scheduler.engine_settings import ENGINE_ORDERS, NEVER_SLEEP, PriorityOrder
from scheduler.fine_tuning import OWN_PLACEHOLDERS
from scheduler.identity_settings import OidcSettings
from scheduler.objective_settings import unpriced
from scheduler.templates import placeholders
from scheduler.toml_positions import KeyPath
from scheduler.work_settings import most_power_w, shape_mistakes

ARCHETYPES = ("solar", "wind", "hydro", "coal")

# What the grid emits on average, or what one more kilowatt-hour would add: neither stands in for the other.
SIGNALS: dict[FeedKind, Signal] = {
    FeedKind.UK_CARBON: Signal.AVERAGE,
    FeedKind.ELECTRICITY_MAPS: Signal.AVERAGE,
    FeedKind.WATTTIME: Signal.MARGINAL,
    FeedKind.TRACE: Signal.AVERAGE,
    FeedKind.SYNTHETIC: Signal.AVERAGE,
}

# What a kind cannot work without.
NEEDED: dict[FeedKind, tuple[str, ...]] = {
    FeedKind.ELECTRICITY_MAPS: ("token_env",),
    FeedKind.WATTTIME: ("user_env", "password_env"),
    FeedKind.TRACE: ("file",),
}

_DATABASE = re.compile(r"sqlite:///.+|postgresql(\+\w+)?://.+")
_SHA256 = re.compile(r"[0-9a-fA-F]{64}")
_NUMBER_OF_A_DAY = re.compile(r"(?<!/)\b[0-7]\b")
_LIKE_A_PLACEHOLDER = re.compile(r"\{[^{}\"':]*\}")
_PLACEHOLDER = re.compile(r"\{[A-Za-z_][A-Za-z0-9_]*\}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """Something wrong at `path`, and the way out."""

    path: KeyPath
    what: str
    hint: str = ""
    is_warning: bool = False


def findings(settings: Settings) -> list[Finding]:
    """Everything that contradicts itself, in the order of the tables."""
    return [
        *_server(settings.server),
        *_oidc(settings.oidc),
        *_names(settings),
        *_regions(settings),
        *_objective(settings),
        *_feeds(settings.feed),
        *_workers(settings),
        *_agents(settings),
        *_model_pools(settings),
        *_templates(settings),
        *_launches(settings),
        *_fine_tunings(settings),
    ]


def nearest(word: str, known: Iterable[str]) -> str:
    """`did you mean 'x'?`, or nothing when no known word is near."""
    close = difflib.get_close_matches(word, list(known), n=1, cutoff=0.6)
    return f"did you mean {close[0]!r}?" if close else ""


def _server(server: Server) -> Iterator[Finding]:
    if not server.keys_sha256 and not _is_loopback(server.host):
        yield Finding(
            path=("server", "host"),
            what=f"{server.host!r} is reachable from other machines and the settings name no key",
            hint="the daemon starts when it has made keys before: else fill keys_sha256, or listen on 127.0.0.1",
            is_warning=True,
        )
    for index, key in enumerate(server.keys_sha256):
        if not _SHA256.fullmatch(key):
            yield Finding(
                path=("server", "keys_sha256", index),
                what="is no SHA-256 in hexadecimal",
                hint="64 digits: printf %s KEY | sha256sum",
            )
    if server.database_url and not _DATABASE.fullmatch(server.database_url):
        yield Finding(  # the address is not repeated: it may hold a password
            path=("server", "database_url"),
            what="is no address of SQLite or PostgreSQL",
            hint="sqlite:///FILE, postgresql+psycopg://USER@HOST/NAME, or empty for SQLite in state_dir",
        )


def _oidc(oidc: OidcSettings) -> Iterator[Finding]:
    """Whoever can change what lies at `jwks_url` on its way can make tokens that are believed."""
    if not oidc.issuer:
        return
    for key in ("audience", "jwks_url"):
        if not getattr(oidc, key):
            yield Finding(path=("oidc",), what=f"issuer is set, but {key} is not", hint=f"the provider names its {key}")
    address = urlsplit(oidc.jwks_url)
    if address.scheme == "http" and not _is_loopback(address.hostname or ""):
        yield Finding(path=("oidc", "jwks_url"), what="is read without encryption", hint="write https://")


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _names(settings: Settings) -> Iterator[Finding]:
    named = {
        "region": [one.name for one in settings.region],
        "template": [one.name for one in settings.template],
        "launch": [one.name for one in settings.launch],
        "tenant": [one.name for one in settings.tenant],
        "agent": [one.name for one in settings.agent],
    }
    for table, names in named.items():
        yield from _repeated(table, "name", names)
    yield from _repeated("worker", "url", [one.url.rstrip("/") for one in settings.worker])


def _repeated(table: str, key: str, values: list[str]) -> Iterator[Finding]:
    seen: Counter[str] = Counter()
    for index, value in enumerate(values):
        seen[value] += 1
        if seen[value] == 2:
            yield Finding(path=(table, index, key), what=f"another [[{table}]] has {key} {value!r} already")


def _regions(settings: Settings) -> Iterator[Finding]:
    served = {worker.region for worker in settings.worker}
    fed = {zone for feed in settings.feed for zone in feed.zones}
    for index, region in enumerate(settings.region):
        if region.devices and len(set(region.devices)) != region.gpus:
            yield Finding(
                path=("region", index, "devices"),
                what=f"{len(set(region.devices))} different devices are named for {region.gpus} GPUs",
                hint="name each GPU once, or none",
            )
        yield from _held(index, region)
        if region.learn_interactive and region.name not in served:
            yield Finding(
                path=("region", index, "learn_interactive"),
                what=f"no [[worker]] stands in {region.name!r}: there is nothing to learn",
                hint="leave it out, or add the worker",
                is_warning=True,
            )
        if region.zone not in fed:
            yield Finding(
                path=("region", index, "zone"),
                what=f"no [[feed]] answers for zone {region.zone!r}; work there is planned as if it were flat",
                hint=nearest(region.zone, fed) or "add the zone to a feed",
                is_warning=True,
            )


def _objective(settings: Settings) -> Iterator[Finding]:
    weights, has_trace = settings.objective.weights, bool(settings.price.trace)
    counts_usd = any(one.usd is not None for one in settings.budget)
    for index, what, hint in unpriced(settings.region, weights, has_trace=has_trace, counts_usd=counts_usd):
        yield Finding(path=("region", index), what=what, hint=hint)


def _held(index: int, region: RegionSettings) -> Iterator[Finding]:
    if region.interactive_gpus > region.gpus:
        yield Finding(
            path=("region", index, "interactive_gpus"),
            what=f"interactive_gpus = {region.interactive_gpus} in a region of {region.gpus}",
            hint=f"write {region.gpus} or fewer",
        )
    wanted = [
        *(("reserved", place, rule.gpus) for place, rule in enumerate(region.reserved)),
        *(("maintenance", place, rule.gpus) for place, rule in enumerate(region.maintenance)),
    ]
    for key, place, gpus in wanted:
        if gpus is not None and gpus > region.gpus:
            yield Finding(
                path=("region", index, key, place, "gpus"),
                what=f"gpus = {gpus} in a region of {region.gpus}",
                hint=f"write {region.gpus} or fewer",
            )


def _feeds(feeds: tuple[FeedSettings, ...]) -> Iterator[Finding]:
    first: dict[str, FeedKind] = {}
    for index, feed in enumerate(feeds):
        for key in NEEDED.get(feed.kind, ()):
            if not getattr(feed, key):
                yield Finding(path=("feed", index), what=f"a feed of kind {feed.kind.value!r} needs {key}")
        if feed.kind is FeedKind.SYNTHETIC and feed.archetype not in ARCHETYPES:
            yield Finding(
                path=("feed", index, "archetype"),
                what=f"no archetype {feed.archetype!r}; there are {', '.join(ARCHETYPES)}",
                hint=nearest(feed.archetype, ARCHETYPES),
            )
        for zone_index, zone in enumerate(feed.zones):
            before = first.setdefault(zone, feed.kind)
            if SIGNALS[before] is not SIGNALS[feed.kind]:
                yield Finding(
                    path=("feed", index, "zones", zone_index),
                    what=f"zone {zone!r} would mix {SIGNALS[before]} intensity ({before.value}) "
                    f"with {SIGNALS[feed.kind]} ({feed.kind.value})",
                    hint="give the zone feeds of one signal only",
                )


def _workers(settings: Settings) -> Iterator[Finding]:
    regions = [region.name for region in settings.region]
    for index, worker in enumerate(settings.worker):
        if worker.region not in regions:
            yield _unknown_region(("worker", index, "region"), worker.region, regions)
        if bool(worker.start_command) != bool(worker.stop_command):
            yield Finding(
                path=("worker", index),
                what="start_command and stop_command belong together",
                hint="name both, or neither for an engine with sleep calls",
            )
        if settings.consolidation.enabled and len(worker.models) > 1:
            yield Finding(
                path=("worker", index, "models"),
                what="a worker of several models is never put to sleep",
                hint="give each model its own [[worker]], or leave consolidation off",
                is_warning=True,
            )
        yield from _engine(settings, index)
        yield from _adapters(settings, index)
        yield from _shared_gpus(settings, index)
        yield from _role(settings, index)
        if worker.devices and len(worker.devices) != worker.gpus:
            yield Finding(
                path=("worker", index, "devices"),
                what=f"names {len(worker.devices)} GPUs, and the worker has gpus = {worker.gpus}",
                hint="name them all: what they draw is metered together",
            )


def _agents(settings: Settings) -> Iterator[Finding]:
    names = [agent.name for agent in settings.agent]
    for index, worker in enumerate(settings.worker):
        if worker.agent and worker.agent not in names:
            hint = nearest(worker.agent, names) or "add one with name and url"
            yield Finding(path=("worker", index, "agent"), what=f"no [[agent]] is called {worker.agent!r}", hint=hint)
    for table, index, key, what, hint, is_warning in mistakes(settings.agent, settings.worker):
        yield Finding(path=(table, index, key), what=what, hint=hint, is_warning=is_warning)
    for index, agent in enumerate(settings.agent):
        host = host_of(agent.url)
        if agent.token_env and agent.url.startswith("http:") and host and not _is_loopback(host):
            yield Finding(
                path=("agent", index, "url"),
                what="the token goes there without encryption",
                hint="write https:// with a proxy before the agent, unless nobody else is on that network",
                is_warning=True,
            )


def _address(worker: WorkerSettings, index: int) -> Iterator[Finding]:
    path: KeyPath = ("worker", index, "url")
    if not is_base(worker.url):
        hint = "write scheme, host and port, such as http://gpu1:8000"
        yield Finding(path=path, what=f"{worker.url!r} is no address of a worker", hint=hint)
    elif worker.url.rstrip("/").endswith("/v1"):
        what = "calls bring /v1 themselves and would go to /v1/v1"
        yield Finding(path=path, what=what, hint="leave it out", is_warning=True)


def _engine(settings: Settings, index: int) -> Iterator[Finding]:
    worker = settings.worker[index]
    yield from _address(worker, index)
    if worker.resolve and (worker.url.startswith("https:") or worker.devices or worker.shares_gpu):
        yield Finding(path=("worker", index, "resolve"), what="goes with http only, without devices and shares_gpu")
    if worker.priority is PriorityOrder.ENGINE and worker.engine not in ENGINE_ORDERS:
        yield Finding(
            path=("worker", index, "priority"), what=f"{worker.engine} keeps no priorities", hint="leave it out"
        )
    if settings.consolidation.enabled and worker.engine in NEVER_SLEEP and not worker.stop_command:
        yield Finding(
            path=("worker", index, "engine"),
            what=f"{worker.engine} has no call that puts it to sleep, and consolidation is on",
            hint="name start_command and stop_command, or leave consolidation off",
        )


def _shared_gpus(settings: Settings, index: int) -> Iterator[Finding]:
    worker = settings.worker[index]
    path: KeyPath = ("worker", index, "shares_gpu")
    if not worker.shares_gpu:
        return
    others = [one for place, one in enumerate(settings.worker) if place != index]
    sharing = [one for one in others if one.shares_gpu == worker.shares_gpu]
    if not settings.consolidation.enabled:
        yield Finding(
            path=path,
            what="somebody must put one to sleep and wake the other, and consolidation is off",
            hint="set enabled = true in [consolidation]",
        )
    if len(worker.models) > 1 or any(worker.models[0] in one.models for one in others):
        yield Finding(
            path=path,
            what="a worker that takes turns serves one model, and is the only one that serves it",
            hint="give each model on these GPUs a [[worker]] of its own",
        )
    if any(one.region != worker.region for one in sharing):
        yield Finding(path=path, what=f"{worker.shares_gpu!r} would stand in two regions")
    if not sharing:
        yield Finding(
            path=path,
            what=f"no other [[worker]] shares {worker.shares_gpu!r}",
            hint=nearest(worker.shares_gpu, {one.shares_gpu for one in others if one.shares_gpu}),
            is_warning=True,
        )


def _role(settings: Settings, index: int) -> Iterator[Finding]:
    worker = settings.worker[index]
    path: KeyPath = ("worker", index, "role")
    beside = [one for one in settings.worker if set(one.models) & set(worker.models)]
    if worker.role is WorkerRole.PREFILL and not any(one.role is WorkerRole.DECODE for one in beside):
        yield Finding(
            path=path,
            what=f"nobody writes what it reads: no worker of {', '.join(worker.models)} has role = 'decode'",
            hint="give the [[worker]] that takes its KV caches that role",
        )
    if worker.role is WorkerRole.PREFILL and (worker.adapters or worker.shares_gpu):
        yield Finding(path=path, what="a prefill worker serves no adapters and shares no GPUs")
    if worker.role is WorkerRole.DECODE and not any(one.role is WorkerRole.PREFILL for one in beside):
        yield Finding(
            path=path,
            what="nothing is handed over to it: no worker of its models has role = 'prefill'",
            hint="leave the role out, or add such a worker",
            is_warning=True,
        )


def _adapters(settings: Settings, index: int) -> Iterator[Finding]:
    worker = settings.worker[index]
    models = {model for one in settings.worker for model in one.models}
    base_of = {name: one.models[0] for one in reversed(settings.worker) for name in one.adapters}
    for place, name in enumerate(worker.adapters):
        path: KeyPath = ("worker", index, "adapters", place)
        if name in models:
            yield Finding(path=path, what=f"a worker serves a model called {name!r} already")
        elif base_of[name] != worker.models[0]:
            yield Finding(
                path=path,
                what=f"{name!r} is an adapter of {base_of[name]!r} already",
                hint="give the adapter of each model a name of its own",
            )


def _model_pools(settings: Settings) -> Iterator[Finding]:
    served = sorted({model for worker in settings.worker for model in worker.models})
    yield from _repeated("model_pool", "name", [one.name for one in settings.model_pool])
    for index, pool in enumerate(settings.model_pool):
        path: KeyPath = ("model_pool", index)
        if pool.name in served or any(pool.name in worker.adapters for worker in settings.worker):
            yield Finding(path=(*path, "name"), what=f"a worker serves a model called {pool.name!r} already")
        for place, candidate in enumerate(pool.candidates):
            if candidate not in served:
                hint = nearest(candidate, served) or "add it to the models of a [[worker]]"
                yield Finding(path=(*path, "candidates", place), what=f"no [[worker]] serves {candidate!r}", hint=hint)
        yield from _cascade(path, pool)
        if pool.estimates and len(pool.estimates) != len(pool.candidates):
            yield Finding(path=(*path, "estimates"), what="must name one estimate for each candidate")
        if pool.eco_floor_ratio > pool.floor_ratio:
            yield Finding(path=(*path, "eco_floor_ratio"), what="is above floor_ratio")
        if pool.budget_kwh is not None and pool.budget_gco2e is not None:
            yield Finding(path=(*path, "budget_gco2e"), what="budget_kwh is set already", hint="keep one of them")


def _cascade(path: KeyPath, pool: ModelPoolSettings) -> Iterator[Finding]:
    if not pool.cascade and not pool.router:
        yield Finding(path=(*path, "router"), what="needs router", hint="or set cascade = true")
    if pool.cascade and (pool.budget_kwh is not None or pool.budget_gco2e is not None):
        key = "budget_kwh" if pool.budget_kwh is not None else "budget_gco2e"
        yield Finding(path=(*path, key), what="a cascade keeps no budget", hint="raise or lower sure_ratio instead")
    if pool.cascade and len(set(pool.candidates)) != len(pool.candidates):
        yield Finding(path=(*path, "candidates"), what="a cascade asks each model once")


def _unknown_region(path: KeyPath, name: str, regions: list[str]) -> Finding:
    return Finding(
        path=path, what=f"no [[region]] is called {name!r}", hint=nearest(name, regions) or "add one with name and zone"
    )


def _templates(settings: Settings) -> Iterator[Finding]:
    for index, template in enumerate(settings.template):
        for place, argument in enumerate(template.command):
            for found in _LIKE_A_PLACEHOLDER.findall(argument):
                if not _PLACEHOLDER.fullmatch(found):
                    yield Finding(
                        path=("template", index, "command", place),
                        what=f"{found} is no placeholder",
                        hint="between the braces: letters, digits and _, no digit first, such as {dataset}",
                    )


def _launches(settings: Settings) -> Iterator[Finding]:
    regions = {region.name: region for region in settings.region}
    for index, launch in enumerate(settings.launch):
        path: KeyPath = ("launch", index)
        yield from _schedule(path, launch)
        yield from _shape(path, launch)
        yield from _end(path, launch)
        for place, name in enumerate(launch.regions):
            if name not in regions:
                yield _unknown_region((*path, "regions", place), name, list(regions))
        yield from _room(path, launch, [regions[name] for name in launch.regions or regions if name in regions])


def _fine_tunings(settings: Settings) -> Iterator[Finding]:
    regions = {region.name: region for region in settings.region}
    commands = {template.name: template.command for template in settings.template}
    yield from _repeated("fine_tuning", "model", [one.model for one in settings.fine_tuning])
    for index, one in enumerate(settings.fine_tuning):
        path: KeyPath = ("fine_tuning", index)
        if one.template not in commands:
            hint = nearest(one.template, commands) or "add one with name and command"
            yield Finding(path=(*path, "template"), what=f"no [[template]] is called {one.template!r}", hint=hint)
        else:
            yield from _placeholders(path, one, placeholders(commands[one.template]))
        yield from _shape(path, one)
        if one.within_s < one.duration_s:
            yield Finding(path=(*path, "within_s"), what="is shorter than duration_s: no run can be in time")
        for place, name in enumerate(one.regions):
            if name not in regions:
                yield _unknown_region((*path, "regions", place), name, list(regions))
        yield from _room(path, one, [regions[name] for name in one.regions or regions if name in regions])


def _shape(path: KeyPath, work: LaunchSettings | FineTuningSettings) -> Iterator[Finding]:
    for key, what, hint in shape_mistakes(work):
        yield Finding(path=(*path, key), what=what, hint=hint)


def _placeholders(path: KeyPath, one: FineTuningSettings, wanted: frozenset[str]) -> Iterator[Finding]:
    """Something fills each placeholder, and each number that a client may set reaches the trainer."""
    for name in sorted(wanted - {*OWN_PLACEHOLDERS, *one.hyperparameters}):
        yield Finding(
            path=(*path, "template"),
            what=f"nothing fills {{{name}}} of the template {one.template!r}",
            hint=f"add [fine_tuning.hyperparameters.{name}]; filled by themselves: {', '.join(OWN_PLACEHOLDERS)}",
        )
    for name in sorted(one.hyperparameters.keys() - wanted):
        yield Finding(
            path=(*path, "hyperparameters", name),
            what=f"the template {one.template!r} has no {{{name}}}: the trainer would never hear of it",
        )
    for name, limits in one.hyperparameters.items():
        if not limits.low <= limits.default <= limits.high:
            yield Finding(path=(*path, "hyperparameters", name, "default"), what="lies outside low and high")


def _schedule(path: KeyPath, launch: LaunchSettings) -> Iterator[Finding]:
    try:
        zone = ZoneInfo(launch.timezone)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        yield Finding(
            path=(*path, "timezone"), what=f"no time zone {launch.timezone!r}", hint="IANA names, such as Europe/Berlin"
        )
        zone = ZoneInfo("UTC")
    # Sunday in cron, Monday in APScheduler: a number would be a guess about what was meant.
    if _NUMBER_OF_A_DAY.search(launch.cron.split()[-1] if launch.cron.split() else ""):
        yield Finding(
            path=(*path, "cron"),
            what=f"{launch.cron!r}: numbers of weekdays mean different days to different programs",
            hint="write mon, tue, wed, thu, fri, sat or sun",
        )
    try:
        CronTrigger.from_crontab(launch.cron, timezone=zone)
    except ValueError as problem:
        yield Finding(
            path=(*path, "cron"),
            what=f"{launch.cron!r} is no cron expression: {problem}",
            hint="minute hour day month weekday, such as '0 22 * * mon-fri'",
        )


def _end(path: KeyPath, launch: LaunchSettings) -> Iterator[Finding]:
    if (launch.within_s is None) == (not launch.finish_by):
        yield Finding(path=path, what="needs exactly one of within_s and finish_by")
    elif launch.within_s is not None and launch.within_s < launch.duration_s:
        yield Finding(path=(*path, "within_s"), what="is shorter than duration_s: no run can be in time")
    hour, _, minute = launch.finish_by.partition(":")
    if hour > "23" or minute > "59":
        yield Finding(path=(*path, "finish_by"), what=f"{launch.finish_by!r} is no time of day", hint="00:00 to 23:59")


def _room(
    path: KeyPath, launch: LaunchSettings | FineTuningSettings, allowed: list[RegionSettings]
) -> Iterator[Finding]:
    most = max((region.gpus for region in allowed), default=0)
    if not allowed and not launch.regions:
        yield Finding(path=path, what="no [[region]] to run in", hint="add one with name and zone")
    elif allowed and launch.gpus > most:
        yield Finding(
            path=(*path, "gpus"),
            what=f"wants {launch.gpus} GPUs, and no region that it may run in has more than {most}",
        )
    elif allowed and not any(_has_power(region, most_power_w(launch)) for region in allowed):
        yield Finding(
            path=(*path, "power_profile" if launch.power_profile else "power_w"),
            what=f"draws {most_power_w(launch):g} W, with PUE above the power cap of every region that it may run in",
            hint="raise power_cap_kw, or name another region",
        )


def _has_power(region: RegionSettings, power_w: float) -> bool:
    return region.power_cap_kw is None or power_w * region.pue <= 1000.0 * region.power_cap_kw
