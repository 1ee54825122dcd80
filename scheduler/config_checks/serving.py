"""Workers, the agents that meter them, and the pools of models over them."""

from __future__ import annotations

from collections.abc import Iterator

from scheduler.addresses import is_base, is_loopback
from scheduler.agent_settings import host_of, mistakes
from scheduler.config import Settings
from scheduler.config_checks.finding import Finding, nearest, repeated, unknown_region
from scheduler.engine_settings import ENGINE_ORDERS, NEVER_SLEEP, PriorityOrder
from scheduler.toml_positions import KeyPath
from scheduler.worker_settings import ModelPoolSettings, WorkerRole, WorkerSettings


def worker_findings(settings: Settings) -> Iterator[Finding]:
    regions = [region.name for region in settings.region]
    for index, worker in enumerate(settings.worker):
        if worker.region not in regions:
            yield unknown_region(("worker", index, "region"), worker.region, regions)
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


def agent_findings(settings: Settings) -> Iterator[Finding]:
    names = [agent.name for agent in settings.agent]
    for index, worker in enumerate(settings.worker):
        if worker.agent and worker.agent not in names:
            hint = nearest(worker.agent, names) or "add one with name and url"
            yield Finding(path=("worker", index, "agent"), what=f"no [[agent]] is called {worker.agent!r}", hint=hint)
    for table, index, key, what, hint, is_warning in mistakes(settings.agent, settings.worker):
        yield Finding(path=(table, index, key), what=what, hint=hint, is_warning=is_warning)
    for index, agent in enumerate(settings.agent):
        host = host_of(agent.url)
        if agent.token_env and agent.url.startswith("http:") and host and not is_loopback(host):
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


def model_pool_findings(settings: Settings) -> Iterator[Finding]:
    served = sorted({model for worker in settings.worker for model in worker.models})
    yield from repeated("model_pool", "name", [one.name for one in settings.model_pool])
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
