"""Does what the engine asks for: claims in the queue, starts at the launcher, and reports back as events.

    StartRun -> claim (durable, counts the attempt) -> launcher -> RunStarted
    launcher says it ended -> queue (durable) -> RunFinished | RunPaused | RunLost -> launcher may forget it

Nothing is started before its claim is on the disk, and nothing is forgotten before its end is. Commands of one job are
carried out one after another. Decides nothing: what a loss or a pause leads to is the engine's and the store's rule.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeVar

from scheduler.daemon.descriptions import restored
from scheduler.daemon.devices import Devices, TooFewDevicesError
from scheduler.daemon.env import Env
from scheduler.daemon.runner import Runner
from scheduler.events import (
    Command,
    Event,
    Outcome,
    PauseRun,
    RecordPlacement,
    RecordState,
    ReportLate,
    RunFinished,
    RunLost,
    RunPaused,
    RunStarted,
    StartRun,
    StopRun,
)
from scheduler.first_plans import FirstPlan, first_plan
from scheduler.job_energy import piece_uses
from scheduler.jobs import InvalidJobError, Job, JobKind, JobState, counts_as_loss, done_after_pause_s
from scheduler.launchers.contract import (
    AlreadyStartedError,
    Ending,
    Launcher,
    LaunchError,
    Recovered,
    Run,
    RunEnded,
    RunSpec,
    run_id_of,
)
from scheduler.ledger import EnergyUse
from scheduler.planning.durations import own_count_s
from scheduler.planning.gpu_counts import speed_at
from scheduler.planning.plan import Region, Segment
from scheduler.store.contract import Claim, DiskFullError, JobRecord, Store, StoreBusyError
from scheduler.store.writer import Writing

log = logging.getLogger(__name__)

# Starting a process takes some 50 ms; a store that is busy or full for longer will be so for long.
CLOSE_WITHIN_S = 5.0
T = TypeVar("T")

_RETRY_S = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """What a template or a launch says of starting a job."""

    command: tuple[str, ...]
    cwd: Path | None
    env: Mapping[str, str]
    grace_s: float


class Recipes(Protocol):
    def __call__(self, job: Job) -> Recipe:
        """Raises InvalidJobError where the settings have changed since the submission."""
        ...


@dataclass(slots=True, kw_only=True)
class _Held:
    """A run of this daemon."""

    job: Job
    attempt: int
    token: int
    region: str
    done_s: float
    gpus: int | None = None  # what an elastic job was given
    started_at_s: float | None = None


class Runs:
    """Carries out; one instance per daemon. `on_use` is told of every use of energy once it is written.

    `on_success` is told of every job that succeeds: what was done before its last piece, and how long that took.
    """

    def __init__(
        self,
        *,
        env: Env,
        runner: Runner,
        writer: Writing,
        launcher: Launcher,
        recipes: Recipes,
        on_use: Callable[[EnergyUse], None],
        holder: str,
        lease_s: float,
        devices: Devices | None = None,
        on_success: Callable[[Job, float, float], None] | None = None,
    ) -> None:
        self._devices = devices or Devices({})
        self._env, self._runner, self._writer, self._launcher = env, runner, writer, launcher
        self._recipes, self._on_use, self._holder = recipes, on_use, holder
        self._on_success = on_success
        self._lease_s = lease_s * env.speed  # a lease guards against a dead process: real seconds
        self._held: dict[str, _Held] = {}
        self._chains: dict[str, asyncio.Task[None]] = {}

    # -- commands -----------------------------------------------------------------------------------------------------

    def carry_out(self, command: Command) -> None:
        match command:
            case StartRun():
                job = self._runner.engine.job(command.job_id)
                assert job is not None, "the engine starts only what it knows"
                # Now, because by the time of the claim it may be planned anew.
                placement = self._runner.engine.placement(command.job_id)
                plan = first_plan(job, placement, command.done_s, self._env.now_s())
                self._chain(command.job_id, self._start(command, job, plan))
            case PauseRun():
                self._chain(command.job_id, self._pause(command.job_id, command.attempt))
            case StopRun():
                self._chain(command.job_id, self._stop(command.job_id, command.attempt))
            case RecordPlacement() | RecordState() | ReportLate():
                pass  # the engine's own memory answers for them; the store was told before the event

    def _chain(self, job_id: str, work: Coroutine[Any, Any, None]) -> None:
        before = self._chains.get(job_id)
        task = asyncio.create_task(_after(before, work), name=f"run {job_id}")
        self._chains[job_id] = task
        task.add_done_callback(lambda done: self._unchain(job_id, done))

    def _unchain(self, job_id: str, done: asyncio.Task[None]) -> None:
        if self._chains.get(job_id) is done:
            del self._chains[job_id]
        if not done.cancelled() and (error := done.exception()) is not None:
            log.error("command failed", exc_info=error, extra={"action": "command_failed", "job": job_id})

    async def close(self) -> None:
        """Finish the commands under way, so that their claims are told; what is stuck is found by the next life."""
        if self._chains:
            _, stuck = await asyncio.wait(self._chains.values(), timeout=CLOSE_WITHIN_S)
            for task in stuck:
                task.cancel()

    async def _start(self, command: StartRun, job: Job, plan: FirstPlan | None) -> None:
        now_s, where = self._env.now_s(), command.region

        def claimed(store: Store) -> Claim | None:
            found = store.claim(
                job.id, holder=self._holder, region=where, now_s=now_s, lease_s=self._lease_s, gpus=command.gpus
            )
            if found is not None and plan is not None:
                store.keep_plan(plan)
            return found

        claim = await self._durably(claimed)
        if claim is None:  # cancelled, or put on hold, while the command was on its way
            self._post(RunLost(at_s=self._env.now_s(), job_id=job.id, attempt=command.attempt, was_claimed=False))
            return
        self._hold(job, claim, command.region, command.gpus)
        try:
            await self._launch(job, claim)
        except AlreadyStartedError:  # a database older than the runs, restored from a backup
            await self._lose(job.id, "an attempt of this number was started before")
        except InvalidJobError as error:
            await self._fail(job.id, str(error))
        except (
            LaunchError,
            StoreBusyError,
            TooFewDevicesError,
            OSError,
        ) as error:  # no fault of the job: a disk, a process too many
            await self._lose(job.id, str(error))

    async def _launch(self, job: Job, claim: Claim) -> None:
        recipe, held = await self._env.in_thread(self._recipes, job), self._held[job.id]
        gpus = job.gpus if held.gpus is None else held.gpus
        spec = RunSpec(
            job_id=job.id,
            attempt=claim.attempt,
            token=claim.token,
            command=recipe.command,
            cwd=recipe.cwd,
            env=recipe.env,
            grace_s=recipe.grace_s,
            done_s=claim.done_s,
            devices=self._devices.take(run_id_of(job.id, claim.attempt), held.region, gpus),
            gpus=gpus,
        )
        held.started_at_s = self._env.now_s()  # its end may be told before its start is
        run = await self._launcher.start(spec)
        await self._durably(lambda store: store.started(job.id, claim.token, now_s=run.started_at_s))
        self._post(RunStarted(at_s=self._env.now_s(), job_id=job.id, attempt=claim.attempt))

    async def _fail(self, job_id: str, why: str) -> None:
        held, now_s = self._held.pop(job_id), self._env.now_s()
        self._devices.give_back(run_id_of(job_id, held.attempt))
        log.error("run could not start", extra={"action": "run_refused", "job": job_id, "why": why})
        await self._durably(
            lambda store: store.finish(job_id, held.token, outcome=Outcome.FAILED, now_s=now_s, reason=why)
        )
        self._post(RunFinished(at_s=now_s, job_id=job_id, attempt=held.attempt, outcome=Outcome.FAILED))

    async def _lose(self, job_id: str, why: str) -> None:
        held, now_s = self._held.pop(job_id), self._env.now_s()
        self._devices.give_back(run_id_of(job_id, held.attempt))
        log.warning("run lost", extra={"action": "run_lost", "job": job_id, "why": why})
        await self._durably(lambda store: store.lose(job_id, held.token, now_s=now_s, reason=why))
        self._post(RunLost(at_s=now_s, job_id=job_id, attempt=held.attempt))

    async def _pause(self, job_id: str, attempt: int) -> None:
        await self._asked(self._launcher.pause, run_id_of(job_id, attempt))

    async def _stop(self, job_id: str, attempt: int) -> None:
        if await self._asked(self._launcher.stop, run_id_of(job_id, attempt)) or job_id in self._held:
            return  # its end will be told, or is on its way
        self._post(RunLost(at_s=self._env.now_s(), job_id=job_id, attempt=attempt))

    async def _asked(self, ask: Callable[[str], Coroutine[Any, Any, bool]], run_id: str) -> bool:
        """Ask until it is asked: a disk that is full must not keep a run that nobody wants."""
        while True:
            try:
                return await ask(run_id)
            except FileNotFoundError:  # its end was settled meanwhile
                return False
            except OSError as error:
                log.warning("run not asked", extra={"action": "ask_retry", "run": run_id, "why": str(error)})
                await self._env.sleep_s(_RETRY_S * self._env.speed)

    # -- outcomes -----------------------------------------------------------------------------------------------------

    async def watch(self) -> None:
        """Report the ends of runs until cancelled."""
        async for ended in self._launcher.outcomes():
            await self._settle(ended)

    async def _settle(self, ended: RunEnded) -> None:
        self._devices.give_back(ended.run_id)  # before the engine hears of it and starts the next
        held = self._held.get(ended.job_id)
        if held is not None and held.attempt == ended.attempt:
            del self._held[ended.job_id]
            self._post(await self._told(held, ended))
            _log_end(held.job, ended)
        await self._forget(ended.run_id)

    async def _told(self, held: _Held, ended: RunEnded) -> Event:
        """The end of a run and what it used, durable together: a crash leaves both or neither."""
        uses, now_s = self._uses(held, ended), self._env.now_s()

        def tell(store: Store) -> Event:
            if uses:
                store.record_uses(uses)
            return _written(store, held, ended, now_s)

        event = await self._durably(tell)
        for use in uses:
            self._on_use(use)
        self._count_success(held, ended)
        return event

    def _count_success(self, held: _Held, ended: RunEnded) -> None:
        has_succeeded = ended.ending is Ending.EXITED and ended.has_succeeded
        if self._on_success is None or not has_succeeded or held.started_at_s is None or ended.ended_at_s is None:
            return
        lasted_s = ended.ended_at_s - held.started_at_s
        self._on_success(held.job, held.done_s, own_count_s(held.job, held.gpus, held.done_s, lasted_s))

    async def _forget(self, run_id: str) -> None:
        try:
            await self._launcher.settle(run_id)
        except OSError as error:  # it is told again after a restart, and known then to be over
            log.warning("run not settled", extra={"action": "settle_failed", "run": run_id, "why": str(error)})

    def _uses(self, held: _Held, ended: RunEnded) -> list[EnergyUse]:
        if held.started_at_s is None or ended.ended_at_s is None or ended.ended_at_s <= held.started_at_s:
            return []  # nobody saw how long it ran: not booked, and not booked as zero
        if held.job.kind is JobKind.INFERENCE_BATCH:
            return []  # its requests are booked one by one at the gateway
        regions = {region.name: region for region in self._runner.engine.regions}
        if (region := regions.get(held.region)) is None:
            log.warning("use not booked", extra={"action": "use_unknown_region", "job": held.job.id})
            return []  # the region was taken out of the settings, and its grid with it
        home = _home(held.job, regions) or region
        piece = Segment(
            start_at_s=held.started_at_s,
            end_at_s=ended.ended_at_s,
            region=region.name,
            gpus=held.gpus,
        )
        uses = piece_uses(held.job, held.done_s, home, region, piece)
        return [use for use in uses if math.isfinite(use.energy_kwh)]

    # -- leases -------------------------------------------------------------------------------------------------------

    async def renew_leases(self) -> None:
        """Heartbeat until cancelled; a run whose lease was lost to someone else is stopped."""
        while True:
            await self._env.sleep_s(self._lease_s / 3)
            leases = [(held.job.id, held.token) for held in self._held.values()]
            if not leases:
                continue
            now_s = self._env.now_s()
            stale = await self._durably(
                lambda store, leases=leases, now_s=now_s: store.heartbeat(  # type: ignore[misc]
                    leases, now_s=now_s, lease_s=self._lease_s
                )
            )
            for job_id in sorted(stale):
                self._stop_stale(job_id)

    def _stop_stale(self, job_id: str) -> None:
        held = self._held.get(job_id)
        if held is not None:
            log.warning("lease lost", extra={"action": "lease_lost", "job": job_id})
            self._chain(job_id, self._stop(job_id, held.attempt))

    # -- recovery -----------------------------------------------------------------------------------------------------

    async def recover(self, records: Sequence[JobRecord]) -> None:
        """Take over what an earlier life of the daemon left: runs that go on, ended while it was away, or are gone.

        The engine hears of each job once, as it stands after all that.
        """
        recovered = await self._launcher.recover()
        ended = {one.run_id: one for one in recovered.ended}
        alive = {one.run_id: one for one in recovered.running}
        for run in recovered.running:
            self._devices.keep(run.run_id, run.devices or ())
        for record in records:
            after = await self._taken_over(record, alive, ended) if record.standing.is_held else record
            if not after.standing.is_terminal:
                self._post(restored(after, self._env.now_s()))
        for run_id in ended:
            await self._forget(run_id)
        await self._stop_ownerless(recovered)

    async def _taken_over(
        self, record: JobRecord, alive: Mapping[str, Run], ended: Mapping[str, RunEnded]
    ) -> JobRecord:
        job, standing, now_s = record.job, record.standing, self._env.now_s()
        run_id = run_id_of(job.id, standing.attempt)
        if run_id not in alive and run_id not in ended:
            return await self._durably(lambda store: _lost(store, record, now_s))
        claim = await self._durably(
            lambda store: store.take_over(
                job.id, standing.token, holder=self._holder, now_s=now_s, lease_s=self._lease_s
            )
        )
        if claim is None:
            return record
        if (end := ended.get(run_id)) is not None:
            started_at_s = end.started_at_s if standing.started_at_s is None else standing.started_at_s
            await self._told(_held_by(job, claim, standing.region or "", standing.gpus, started_at_s), end)
            return await self._durably(lambda store: store.job(job.id))
        if standing.state is JobState.STARTING:  # the daemon died before it could say so
            started_at_s = alive[run_id].started_at_s
            record = await self._durably(lambda store: _started(store, claim, started_at_s))
        self._hold(job, claim, standing.region or "", standing.gpus, record.standing.started_at_s)
        return record

    async def _stop_ownerless(self, recovered: Recovered) -> None:
        """Runs whose job was cancelled, or taken by another daemon, just before the end of the earlier life."""
        for run in recovered.running:
            held = self._held.get(run.job_id)
            if held is None or held.attempt != run.attempt:
                await self._asked(self._launcher.stop, run.run_id)

    def _hold(self, job: Job, claim: Claim, region: str, gpus: int | None, started_at_s: float | None = None) -> None:
        self._held[job.id] = _held_by(job, claim, region, gpus, started_at_s)

    async def _durably(self, change: Callable[[Store], T]) -> T:
        """Write what has happened already: however long the store is busy or full, it has to be told."""
        while True:
            try:
                return await self._writer.write(change)
            except (StoreBusyError, DiskFullError) as error:
                log.warning("store busy", extra={"action": "store_retry", "why": str(error)})
                await self._env.sleep_s(_RETRY_S * self._env.speed)

    def _post(self, event: Event) -> None:
        self._runner.post(event)


async def _after(before: asyncio.Task[None] | None, work: Coroutine[Any, Any, None]) -> None:
    if before is not None:
        await asyncio.wait((before,))
    await work


def _held_by(job: Job, claim: Claim, region: str, gpus: int | None, started_at_s: float | None) -> _Held:
    return _Held(
        job=job,
        attempt=claim.attempt,
        token=claim.token,
        region=region,
        done_s=claim.done_s,
        gpus=gpus,
        started_at_s=started_at_s,
    )


def _home(job: Job, regions: Mapping[str, Region]) -> Region | None:
    """Where it would have run at once: its first region that is still there."""
    return next((regions[name] for name in job.regions or regions if name in regions), None)


def _written(store: Store, held: _Held, ended: RunEnded, now_s: float) -> Event:
    """The end of a run made durable, and the event that tells the engine."""
    job_id, attempt, token = held.job.id, held.attempt, held.token
    match ended.ending:
        case Ending.EXITED:
            outcome = Outcome.SUCCEEDED if ended.has_succeeded else Outcome.FAILED
            result = {"exit_code": ended.exit_code, "run": ended.run_id}
            reason = "" if ended.has_succeeded else ended.problem or f"exit code {ended.exit_code}"
            store.finish(job_id, token, outcome=outcome, now_s=now_s, result=result, reason=reason)
            return RunFinished(at_s=now_s, job_id=job_id, attempt=attempt, outcome=outcome)
        case Ending.PAUSED:
            ran_s = 0.0 if held.started_at_s is None else (ended.ended_at_s or now_s) - held.started_at_s
            done_s = done_after_pause_s(held.job, held.done_s, ran_s, speed_at(held.job, held.gpus))
            store.pause(job_id, token, done_s=done_s, now_s=now_s)
            return RunPaused(at_s=now_s, job_id=job_id, attempt=attempt, done_s=done_s)
        case Ending.STOPPED | Ending.LOST:
            store.lose(job_id, token, now_s=now_s, reason=ended.problem or "its run was lost")
            return RunLost(at_s=now_s, job_id=job_id, attempt=attempt)


def _log_end(job: Job, ended: RunEnded) -> None:
    """One line for each end of a run; one that costs somebody work is a warning."""
    costs_work = ended.ending is Ending.LOST or (ended.ending is Ending.EXITED and not ended.has_succeeded)
    fields = {"job": job.id, "label": job.label, "run": ended.run_id, "ending": str(ended.ending)}
    if ended.exit_code is not None:
        fields["exit_code"] = str(ended.exit_code)
    if ended.problem:
        fields["why"] = ended.problem
    log.log(logging.WARNING if costs_work else logging.INFO, "run has ended", extra={"action": "run_end", **fields})


def _started(store: Store, claim: Claim, started_at_s: float) -> JobRecord:
    store.started(claim.job_id, claim.token, now_s=started_at_s)
    return store.job(claim.job_id)


def _lost(store: Store, record: JobRecord, now_s: float) -> JobRecord:
    """Nobody was told to start it, or the launcher's files are gone."""
    job_id, held = record.job.id, record.standing
    is_counted = counts_as_loss(held.attempt, was_seen=held.started_at_s is not None)
    reason = "its run was gone when the daemon came back"
    store.lose(job_id, held.token, now_s=now_s, reason=reason, is_counted=is_counted)
    return store.job(record.job.id)
