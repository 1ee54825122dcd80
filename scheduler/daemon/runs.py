"""Does what the engine asks for: claims in the queue, starts at the launcher, and reports back as events.

    StartRun -> claim (durable, counts the attempt) -> launcher -> RunStarted
    launcher says it ended -> queue (durable) -> RunFinished | RunPaused | RunLost -> launcher may forget it

Nothing is started before its claim is on the disk, and nothing is forgotten before its end is. Commands of one job are
carried out one after another. Decides nothing: what a loss or a pause leads to is the engine's and the store's rule.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeVar

from scheduler.daemon.chains import Chains
from scheduler.daemon.descriptions import restored
from scheduler.daemon.devices import Devices, TooFewDevicesError
from scheduler.daemon.env import Env
from scheduler.daemon.run_endings import (
    HeldRun,
    held_by,
    lasted_to_success_s,
    never_began,
    uses_of,
    write_end,
    write_loss,
    write_start,
)
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
    RunStarted,
    StartRun,
    StopRun,
)
from scheduler.first_plans import FirstPlan, first_plan
from scheduler.jobs import InvalidJobError, Job, JobState
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
from scheduler.store.contract import Claim, DiskFullError, JobRecord, Store, StoreBusyError
from scheduler.store.writer import Writing

log = logging.getLogger(__name__)

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
        self._held: dict[str, HeldRun] = {}
        self._chains = Chains()

    async def close(self) -> None:
        """Finish the commands under way, so that their claims are told; what is stuck is found by the next life."""
        await self._chains.close()

    # -- commands -----------------------------------------------------------------------------------------------------

    def carry_out(self, command: Command) -> None:
        match command:
            case StartRun():
                job = self._runner.engine.job(command.job_id)
                assert job is not None, "the engine starts only what it knows"
                # Now, because by the time of the claim it may be planned anew.
                placement = self._runner.engine.placement(command.job_id)
                plan = first_plan(job, placement, command.done_s, self._env.now_s())
                self._chains.add(command.job_id, self._start(command, job, plan))
            case PauseRun():
                self._chains.add(command.job_id, self._pause(command.job_id, command.attempt))
            case StopRun():
                self._chains.add(command.job_id, self._stop(command.job_id, command.attempt))
            case RecordPlacement() | RecordState() | ReportLate():
                pass  # the engine's own memory answers for them; the store was told before the event

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

    async def _told(self, held: HeldRun, ended: RunEnded) -> Event:
        """The end of a run and what it used, durable together: a crash leaves both or neither."""
        uses, now_s = uses_of(held, ended, self._runner.engine.regions), self._env.now_s()

        def tell(store: Store) -> Event:
            if uses:
                store.record_uses(uses)
            return write_end(store, held, ended, now_s)

        event = await self._durably(tell)
        for use in uses:
            self._on_use(use)
        self._count_success(held, ended)
        return event

    def _count_success(self, held: HeldRun, ended: RunEnded) -> None:
        if self._on_success is None or (lasted_s := lasted_to_success_s(held, ended)) is None:
            return
        self._on_success(held.job, held.done_s, own_count_s(held.job, held.gpus, held.done_s, lasted_s))

    async def _forget(self, run_id: str) -> None:
        try:
            await self._launcher.settle(run_id)
        except OSError as error:  # it is told again after a restart, and known then to be over
            log.warning("run not settled", extra={"action": "settle_failed", "run": run_id, "why": str(error)})

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
            self._chains.add(job_id, self._stop(job_id, held.attempt))

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
        end = ended.get(run_id)
        if run_id not in alive and (end is None or never_began(record, end)):
            reason = "its run was gone when the daemon came back" if end is None else end.problem
            return await self._durably(lambda store: write_loss(store, record, now_s, reason))
        claim = await self._durably(
            lambda store: store.take_over(
                job.id, standing.token, holder=self._holder, now_s=now_s, lease_s=self._lease_s
            )
        )
        if claim is None:
            return record
        if end is not None:
            started_at_s = end.started_at_s if standing.started_at_s is None else standing.started_at_s
            await self._told(held_by(job, claim, standing.region or "", standing.gpus, started_at_s), end)
            return await self._durably(lambda store: store.job(job.id))
        if standing.state is JobState.STARTING:  # the daemon died before it could say so
            started_at_s = alive[run_id].started_at_s
            record = await self._durably(lambda store: write_start(store, claim, started_at_s))
        self._hold(job, claim, standing.region or "", standing.gpus, record.standing.started_at_s)
        return record

    async def _stop_ownerless(self, recovered: Recovered) -> None:
        """Runs whose job was cancelled, or taken by another daemon, just before the end of the earlier life."""
        for run in recovered.running:
            held = self._held.get(run.job_id)
            if held is None or held.attempt != run.attempt:
                await self._asked(self._launcher.stop, run.run_id)

    def _hold(self, job: Job, claim: Claim, region: str, gpus: int | None, started_at_s: float | None = None) -> None:
        self._held[job.id] = held_by(job, claim, region, gpus, started_at_s)

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


def _log_end(job: Job, ended: RunEnded) -> None:
    """One line for each end of a run; one that costs somebody work is a warning."""
    costs_work = ended.ending is Ending.LOST or (ended.ending is Ending.EXITED and not ended.has_succeeded)
    fields = {"job": job.id, "label": job.label, "run": ended.run_id, "ending": str(ended.ending)}
    if ended.exit_code is not None:
        fields["exit_code"] = str(ended.exit_code)
    if ended.problem:
        fields["why"] = ended.problem
    log.log(logging.WARNING if costs_work else logging.INFO, "run has ended", extra={"action": "run_end", **fields})
