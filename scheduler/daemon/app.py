"""The composition root: builds the parts of one daemon, starts them in order, and stops them in reverse.

    feeds -> poller -> engine <- jobs API, cron, launcher
                         |
    gateway <- forecasts +-> runs -> queue, launcher

One TaskGroup owns every task. On SIGTERM readiness turns red, no job is started any more, requests under way are
finished within the drain time, and runs go on under their supervisors until the daemon's next life takes them over.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
from collections.abc import Callable, Mapping

from scheduler.budget_settings import budgets_of
from scheduler.config import Settings
from scheduler.daemon import (
    batches_api,
    files_api,
    fine_tuning_api,
    jobs_api,
    reloading,
)
from scheduler.daemon.accounts import Accounts
from scheduler.daemon.batches import Batches
from scheduler.daemon.capacity import Capacity
from scheduler.daemon.clean_hours import CleanHours
from scheduler.daemon.cron import Cron
from scheduler.daemon.database_polling import count_jobs, learn_keys
from scheduler.daemon.devices import Devices
from scheduler.daemon.env import Env
from scheduler.daemon.feeds import Intensity, secret_variables
from scheduler.daemon.file_folder import FileFolder
from scheduler.daemon.front import front_of
from scheduler.daemon.gateway import Gateway
from scheduler.daemon.habits import habits_of
from scheduler.daemon.interactive import InteractiveHours
from scheduler.daemon.job_desk import JobDesk
from scheduler.daemon.job_spans import JobSpans
from scheduler.daemon.journal_file import JournalFile
from scheduler.daemon.listener import Listener
from scheduler.daemon.metrics import Metrics
from scheduler.daemon.own_key import guard_of_daemon, own_key
from scheduler.daemon.past_runs import PastWork
from scheduler.daemon.poller import Poller
from scheduler.daemon.pool_budgets import PoolBudgets
from scheduler.daemon.prices import PriceFile, Prices
from scheduler.daemon.quota_book import QuotaBook
from scheduler.daemon.recipes import BatchEstimates, Cookbook
from scheduler.daemon.remote_meters import RemoteMeters
from scheduler.daemon.resolving import Resolver
from scheduler.daemon.runner import Runner
from scheduler.daemon.runs import Runs
from scheduler.daemon.state_folder import StateFolder
from scheduler.daemon.telemetry import Telemetry
from scheduler.daemon.tenants import TenantBudgets
from scheduler.daemon.timers import Timers, Wanted, whenever
from scheduler.daemon.tracing import Tracing
from scheduler.engine import Engine
from scheduler.events import Tick
from scheduler.jobs import Job, JobKind
from scheduler.launchers.local import LocalLauncher
from scheduler.ledger import EnergyUse
from scheduler.objective_settings import sites_of, weighed
from scheduler.planning.open_jobs.fleet import FleetPlanner
from scheduler.planning.open_jobs.run_now import RunNowPlanner
from scheduler.planning.planner import Planner
from scheduler.planning.whole_fleet.objective import Sites
from scheduler.quota_settings import limits_of
from scheduler.regions_ahead import regions_ahead
from scheduler.store.contract import StoreBrokenError, StoreError
from scheduler.store.disk import DiskGuard
from scheduler.store.sql import SqlReader, SqlStore, open_store
from scheduler.store.writer import Writer

log = logging.getLogger(__name__)

PLANNERS: Mapping[str, Callable[[], Planner]] = {"carbon_aware": FleetPlanner, "run_now": RunNowPlanner}

_FIRST_POLL_S = 15.0


class Daemon:
    """One daemon. `start` returns when it serves; `wait` until it is asked to stop; `stop` drains."""

    def __init__(self, settings: Settings, env: Env, environment: Mapping[str, str]) -> None:
        """Raises NoTracingLibraryError."""
        self.settings, self.env, self._environment = settings, env, environment
        self._folder = StateFolder(settings.server)
        self._stopping, self.wanted = asyncio.Event(), Wanted()
        self._fatal: StoreBrokenError | None = None
        self._tasks: asyncio.Task[None] | None = None
        self._deciding: asyncio.Task[None] | None = None
        self.metrics = Metrics()
        self.tracing = Tracing(settings.tracing) if settings.tracing.endpoint else None

    # -- life ---------------------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Raises StateFolderInUseError, StoreError, TraceError, ModelPoolError, CalibrationFileError, OSError,
        NoIdentityLibraryError, CertificateError, and what the door refuses.
        """
        self._folder.take()
        store = await self.env.in_thread(open_store, self._folder.database_url)
        self.prices = PriceFile(self.env, self.settings.price.trace, self.settings.region)
        self._compose(store, await self._intensity(), await self.prices.first())
        self.guard.keyring.learn(await self.env.in_thread(self.reads.keys))
        front = front_of(self)
        self.status, self.sights, self.events = front.status, front.sights, front.events
        self.listener = Listener(front.app, self.settings.server, has_keys=self.guard.asks_for_keys)
        self.writer.start()
        await self.env.in_thread(self.past.read, self.reads)
        await self._first_poll()
        await self.runs.recover(await self.env.in_thread(self.reads.open_jobs))
        await self.budgets.read(self.reads)  # with what ended while the daemon was away
        await self.quotas.read(self.reads)
        await self.cron.submit_due()
        await self.files.recover()
        await self.batches.recover()
        await self.fine_tuning.recover()
        await self.gateway.start()
        await self.listener.start()
        self.cookbook.base_url = self.listener.own_url
        self.timers.start()
        self._tasks = asyncio.create_task(self._run(), name="daemon")
        log.info("daemon serves", extra={"action": "daemon_ready", "address": self.listener.base_url})

    async def _first_poll(self) -> None:
        """A job planned before any forecast would run at once; a feed that hangs must not keep us from serving."""
        first = asyncio.create_task(self.poller.poll(), name="first poll")
        await asyncio.wait((first,), timeout=_FIRST_POLL_S)

    def request_stop(self) -> None:
        """Ask it to stop, from a signal handler."""
        self._stopping.set()

    async def reload(self, settings: Settings) -> None:
        """Take new settings up, all or none. Raises as reloading.py says."""
        await reloading.take_up(self, settings, self._environment, self._folder.path)

    def look_again(self) -> None:
        """Other feeds, other room or other launches: ask and plan now, not at the next timer."""
        self.timers.take_up(self.settings)
        self.wanted.poll.set()
        self.wanted.capacity.set()
        self.wanted.cron.set()

    def look_at_prices(self) -> None:
        """Have the file of prices looked at now, not at the next timer."""
        self.wanted.prices.set()

    async def wait(self) -> None:
        """Until it is asked to stop. Raises StoreBrokenError, and whatever ended a task that must not end."""
        assert self._tasks is not None
        stopping = asyncio.create_task(self._stopping.wait())
        await asyncio.wait((stopping, self._tasks), return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()
        if self._fatal is not None:
            raise self._fatal
        if self._tasks.done():
            self._tasks.result()

    async def stop(self) -> None:
        """Drain, then leave: nothing acknowledged is lost."""
        log.info("daemon drains", extra={"action": "daemon_drain"})
        self.desk.is_draining = True
        self.events.close()
        self.timers.stop()
        if self._deciding is not None:  # before the requests are waited for: no run is started any more
            self._deciding.cancel()
        self.batches.hold()
        await self.gateway.stop(self.settings.server.drain_s)
        await self.batches.settle()
        self.pool_budgets.save()
        if self._tasks is not None:
            self._tasks.cancel()
            await asyncio.wait((self._tasks,))
        await self.runs.close()
        await self.listener.stop()
        await self.launcher.close()
        if self._fatal is None:
            await self.accounts.flush()
            await self.quotas.flush(self.writer)
        await self.writer.close()
        if self.tracing is not None and self.job_spans is not None:
            self.job_spans.close()
            await self.env.in_thread(self.tracing.close)
        self.reads.close()
        self.journal.close()
        self._folder.leave()
        log.info("daemon has stopped", extra={"action": "daemon_stopped"})

    async def _run(self) -> None:
        async with asyncio.TaskGroup() as group:
            self._deciding = group.create_task(self.runner.run(self.runs), name="runner")
            group.create_task(self.runs.watch(), name="runs")
            group.create_task(self.runs.renew_leases(), name="leases")
            group.create_task(self.accounts.run(), name="accounts")
            group.create_task(self.quotas.run(self.writer, self.reads), name="quotas")
            group.create_task(learn_keys(self.env, self.reads, self.guard.keyring), name="keys")
            group.create_task(self._recall_habits(), name="habits")
            group.create_task(count_jobs(self.env, self.reads, self.metrics), name="counts")
            group.create_task(self.telemetry.run(), name="telemetry")
            group.create_task(self.remote_meters.run(), name="agents")
            group.create_task(self.pool_budgets.run(), name="model pools")
            group.create_task(self.resolver.run(), name="names of workers")
            group.create_task(self.files.run(), name="files")
            group.create_task(self.batches.run(), name="batches")
            group.create_task(whenever(self.wanted.poll, self.poller.poll), name="poller")
            group.create_task(whenever(self.wanted.plan, self._replan), name="plans")
            group.create_task(whenever(self.wanted.budgets, self.budgets.refresh), name="budgets")
            group.create_task(whenever(self.wanted.prices, self._look_at_prices), name="prices")
            group.create_task(whenever(self.wanted.capacity, self.capacity.refresh), name="capacity")
            group.create_task(whenever(self.wanted.cron, self.cron.submit_due), name="cron")

    # -- composing ----------------------------------------------------------------------------------------------------

    def _compose(self, store: SqlStore, intensity: Intensity, prices: Prices) -> None:
        """Each part after those that it asks."""
        sites = sites_of(self.settings.region, prices)
        self._compose_database(store)
        self._compose_engine(sites)
        self._compose_grid(intensity)
        self._compose_accounts(sites)
        self._compose_runs()
        self._compose_gateway()
        self._compose_meters()
        self._compose_batches()
        self._compose_jobs()
        self.timers = Timers(self.env, self.wanted, self.settings)

    def _compose_database(self, store: SqlStore) -> None:
        self.writer = Writer(store, on_fatal=self._on_fatal, disk=DiskGuard(self._folder.path))
        self.reads = SqlReader(self._folder.database_url)
        self.past = PastWork(self.settings.planning.duration_quantile_ratio)

    def _compose_engine(self, sites: Sites) -> None:
        """Regions with what is held in them, the engine on them, and what carries its decisions on."""
        settings, now_s = self.settings, self.env.now_s()
        interactive = InteractiveHours(settings.region, settings.worker, settings.planning.interactive_quantile_ratio)
        regions = regions_ahead(settings.region, now_s, interactive.holds(now_s))
        self.journal = JournalFile(self._folder.journal, regions, settings.planning.policy)
        self.job_spans = None if self.tracing is None else JobSpans(self.tracing)
        told = None if self.job_spans is None else self.job_spans.told
        engine = Engine(regions=regions, planner=self._planner(sites))
        self.runner = Runner(self.env, engine, self.journal, told)
        self.capacity = Capacity(self.env, settings.region, self.runner, self.reads, interactive)
        if interactive.is_learning:
            self.wanted.capacity.set()  # what is known already is read beside the first requests

    def _compose_grid(self, intensity: Intensity) -> None:
        zones = sorted({region.zone for region in self.settings.region})
        self.poller = Poller(self.env, intensity, zones, self.runner, self.metrics, self._on_forecast_changed)
        self.clean_hours = CleanHours(self.settings, self.poller)

    def _compose_accounts(self, sites: Sites) -> None:
        """What is used, what tenants may use, and the planner that keeps to it."""
        settings, env = self.settings, self.env
        budgets = budgets_of(settings.budget)
        self.budgets = TenantBudgets(env, budgets, sites, self.runner, self.poller, self.metrics)
        self.quotas = QuotaBook(env, limits_of(settings.tenant), self.budgets)
        self.runner.engine.planner = self.budgets.kept_by(self.runner.engine.planner)
        self.accounts = Accounts(env, self.writer, self.reads, self.poller, self.metrics, self._count_use)

    def _compose_runs(self) -> None:
        settings, env = self.settings, self.env
        self.launcher = LocalLauncher(self._folder.runs, env, secret_variables(settings))
        self.cookbook = Cookbook(settings, self.reads, self._folder.batches)
        self.cookbook.key = own_key(self._folder.path, env)
        self.guard = guard_of_daemon(settings, env, self.cookbook.key)
        self.runs = Runs(
            env=env,
            runner=self.runner,
            writer=self.writer,
            launcher=self.launcher,
            recipes=self.cookbook,
            on_use=self.accounts.count,
            holder=f"{socket.gethostname()}:{os.getpid()}",
            lease_s=settings.planning.lease_s,
            devices=Devices({region.name: region.devices for region in settings.region}),
            on_success=self.past.count,
        )

    def _compose_gateway(self) -> None:
        self.pool_budgets = PoolBudgets(self._folder.model_pools, self.env)
        self.gateway = Gateway(
            env=self.env,
            settings=self.settings,
            clean_hours=self.clean_hours,
            sink=self.accounts,
            metrics=self.metrics,
            batch_of=self.batch_of,
            grid_of=self.clean_hours.grid_of,
            quotas=self.quotas,
            pool_budgets=self.pool_budgets,
        )
        self.resolver = Resolver(self.env, lambda: self.settings, self.gateway.take_up)

    def _compose_meters(self) -> None:
        settings, workers, logs = self.settings, self.gateway.workers, self._folder.meter_logs
        self.telemetry = Telemetry(self.env, settings.telemetry, logs, workers, metrics=self.metrics)
        self.remote_meters = RemoteMeters(
            self.env,
            agents=settings.agent,
            settings=settings.telemetry,
            folder=logs,
            workers=workers,
            environment=self._environment,
            metrics=self.metrics,
        )

    def _compose_batches(self) -> None:
        folder = FileFolder(self._folder.files)
        self.files = files_api.FilesApi(
            env=self.env,
            writer=self.writer,
            reads=self.reads,
            folder=folder,
            max_file_bytes=self.settings.batches.max_file_bytes,
            has_room=lambda: self.writer.has_room,
        )
        self.batches = Batches(
            env=self.env,
            settings=self.settings.batches,
            max_line_bytes=self.settings.server.max_body_bytes,
            writer=self.writer,
            reads=self.reads,
            path=self.gateway.batch_path(),
            files=folder,
            folder=self._folder.batches,
            clean_hours=self.clean_hours.batch_release_at_s,
        )
        self.batches_api = batches_api.BatchesApi(
            env=self.env,
            settings=self.settings.batches,
            reads=self.reads,
            files=self.files,
            batches=self.batches,
            quotas=self.quotas,
        )

    def _compose_jobs(self) -> None:
        """Whatever hands jobs in: the clock, and the APIs."""
        self.cron = Cron(self.env, self.settings.launch, self.writer, self.runner, self.past)
        self.desk = JobDesk(
            env=self.env,
            writer=self.writer,
            reads=self.reads,
            runner=self.runner,
            past=self.past,
            budgets=self.budgets,
            quotas=self.quotas,
        )
        self.api = jobs_api.JobsApi(
            env=self.env,
            settings=self.settings,
            desk=self.desk,
            reads=self.reads,
            runner=self.runner,
            poller=self.poller,
            estimate=BatchEstimates(self.settings),
            outputs=self.cookbook.output_of,
            logs=self.launcher.log_path,
        )
        self.fine_tuning = fine_tuning_api.FineTuningApi(
            env=self.env,
            settings=self.settings,
            reads=self.reads,
            desk=self.desk,
            files=self.files,
            uploads=self.files.folder,
            folder=self._folder.fine_tunes,
            placement_of=lambda job_id: self.runner.engine.placement(job_id),
        )

    def _planner(self, sites: Sites) -> Planner:
        return weighed(PLANNERS[self.settings.planning.policy](), self.settings.objective.weights, sites)

    async def _intensity(self) -> Intensity:
        return await self.env.in_thread(
            Intensity.of, self.settings, self._environment, self._folder.path / "intensity", self.env, self.metrics
        )

    # -- what the parts ask of each other -----------------------------------------------------------------------------

    def batch_of(self, job_id: str) -> Job | None:
        """The gateway's question: which open batch a request belongs to."""
        job = self.runner.engine.job(job_id)
        return job if job is not None and job.kind is JobKind.INFERENCE_BATCH else None

    def problems(self) -> list[str]:
        """What keeps the daemon from being ready, in words."""
        found = self.gateway.problems()
        if self.writer.is_broken:
            found.append("the database can no longer be written")
        elif not self.writer.has_room:
            found.append("the disk is nearly full: no new work is admitted")
        if self.desk.is_draining:
            found.append("the daemon is stopping")
        return found

    def _count_use(self, use: EnergyUse) -> None:
        self.budgets.count(use)
        self.quotas.count(use)

    def _on_forecast_changed(self) -> None:
        self.budgets.on_forecast_changed()
        self.gateway.on_forecast_changed()
        self.batches.on_forecast_changed()

    def _on_fatal(self, error: StoreBrokenError) -> None:
        log.critical("database broken", extra={"action": "store_broken", "why": str(error)})
        self._fatal = error
        self._stopping.set()

    async def _look_at_prices(self) -> None:
        looked_at = self.prices

        def take_up(prices: Prices) -> None:
            if self.prices is looked_at:  # else other settings have named another file meanwhile
                self.price_by(prices)

        await looked_at.refresh(take_up)

    def price_by(self, prices: Prices) -> None:
        """Plan and charge by these prices, and by the objective and the budgets of the settings, from now on."""
        sites = sites_of(self.settings.region, prices)
        self.budgets.sites = sites
        self.runner.engine.planner = self.budgets.kept_by(self._planner(sites))
        self.runner.post(Tick(at_s=self.env.now_s(), replan=True))

    async def _replan(self) -> None:
        self.runner.post(Tick(at_s=self.env.now_s(), replan=True))

    async def _recall_habits(self) -> None:
        """Workers are woken ahead of what comes every day, also on the day after a restart."""
        if not self.settings.consolidation.enabled:
            return
        try:
            self.gateway.recall(await self.env.in_thread(habits_of, self.reads, self.env.now_s()))
        except StoreError as error:
            log.warning("past requests not read", extra={"action": "habits_not_read", "why": str(error)})
