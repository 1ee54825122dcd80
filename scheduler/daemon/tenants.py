"""What tenants have spent and planned beside their budgets: keeps the numbers, and asks admission.py.

The ledger is the memory: the periods under way are read from it once at start, and every use after that is counted as
it is booked. Uses are priced on what is known of the grid by now: realised as far as a feed tells, forecast after that.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

from intensity_feeds.series import IntensitySeries, SeriesError
from scheduler.daemon.accounts import Accounts
from scheduler.daemon.env import Env
from scheduler.daemon.metrics import Metrics
from scheduler.daemon.poller import Poller
from scheduler.daemon.runner import Runner
from scheduler.jobs import Job, JobKind
from scheduler.ledger import EnergyUse, Subject, realised_then_expected
from scheduler.planning.plan import Cause, Placement, Refusal, Segment
from scheduler.planning.planner import OpenJob, Planner
from scheduler.planning.reasons.nearest_change import Change, nearest_changes
from scheduler.planning.reasons.suggestions import TIME_TO_ANSWER_S
from scheduler.planning.run_phases import in_phases
from scheduler.planning.weighed.admission import (
    Admitted,
    Bill,
    BudgetStanding,
    Overdrawn,
    Place,
    admitted,
    overdrawn,
    planned,
)
from scheduler.planning.weighed.kept_budgets import BudgetedPlanner
from scheduler.planning.weighed.spending import Spending
from scheduler.planning.whole_fleet.fleet_case import FleetCase
from scheduler.planning.whole_fleet.objective import Components, Sites, components
from scheduler.planning.whole_fleet.rules.budgets import EVERYBODY, Budget, Per
from scheduler.store.contract import Reads, UnknownJobError
from scheduler.store.uses_contract import every_use

# A run that began so long before a period may reach into it.
_LONGEST_RUN_S = 7 * 86_400.0

# A job and the segments that it is charged for.
Placed = tuple[Job, Sequence[Segment]]


class TenantBudgets:
    """Nothing is asked of it where no budget is set. `sites` may be replaced when prices have changed."""

    def __init__(
        self, env: Env, budgets: Sequence[Budget], sites: Sites, runner: Runner, poller: Poller, metrics: Metrics
    ) -> None:
        self._env, self._budgets = env, tuple(budgets)
        self.sites = sites
        self._runner, self._poller, self._metrics = runner, poller, metrics
        self._tenants = {one.tenant for one in budgets}
        self._spending = Spending()
        self._known: dict[str, IntensitySeries] = {}
        # Accepted a moment ago: durable, but the engine has not heard of them yet.
        self._promised: dict[str, Admitted] = {}
        self._has_read = not budgets
        # What is booked while the ledger is read for other budgets; None while nobody reads.
        self._meanwhile: list[tuple[EnergyUse, int]] | None = None

    @property
    def known(self) -> Mapping[str, IntensitySeries]:
        """What is known of each zone by now: realised as far as a feed tells, expected after that."""
        return self._known

    def limits(self, tenant: str) -> bool:
        """Whether this tenant has a budget."""
        return tenant in self._tenants or EVERYBODY in self._tenants

    # -- what was spent -----------------------------------------------------------------------------------------------

    async def read(self, reads: Reads) -> None:
        """The periods under way, from the ledger."""
        if self._budgets:
            now_s = self._env.now_s()
            begin_s = _begin_s(self._budgets, now_s)
            self._spending = await self._env.in_thread(_spent, _booked(reads, self._budgets, begin_s, now_s))
            self._has_read = True
            await self.refresh()

    async def spent_for(self, budgets: Sequence[Budget], accounts: Accounts, reads: Reads) -> Spending:
        """What other budgets have to know of the periods under way; for `take_up`, which has to follow in one turn.

        Uses are counted when they are booked and written later, or the other way round: what is booked while the
        ledger is read, or is not written yet, is counted unless it was read. Raises StoreBusyError.
        """
        booked: list[tuple[EnergyUse, int]] = []
        self._meanwhile = booked
        begin_s = _begin_s(budgets, self._env.now_s())
        try:
            await accounts.settle_writes()
            found = await self._env.in_thread(list, _booked(reads, budgets, begin_s, self._env.now_s()))
        finally:
            self._meanwhile = None
        gpus = {**dict.fromkeys(accounts.unwritten, 0), **dict(booked)}
        since_s = min((use.ended_at_s for use in gpus), default=float("inf"))
        spending, read = _spent(found), {use for use, _ in found if use.ended_at_s >= since_s}
        tenants = {one.tenant for one in budgets}
        for use in gpus:
            if use not in read and (use.tenant in tenants or EVERYBODY in tenants):
                spending.add(use, gpus[use])
        return spending

    def take_up(self, budgets: Sequence[Budget], spending: Spending) -> None:
        """Other budgets from now on. Whoever was accepted stays accepted, and is charged to them."""
        for gone in set(self._budgets) - set(budgets):
            self._metrics.budget_gone(gone.tenant, gone.what, gone.per)
        self._budgets, self._tenants = tuple(budgets), {one.tenant for one in budgets}
        self._spending, self._has_read = spending, True

    def count(self, use: EnergyUse) -> None:
        """A use has been booked; that of a job while the engine still knows it. Before `read` the ledger has it."""
        if not self._has_read or not (self._meanwhile is not None or self.limits(use.tenant)):
            return
        gpus = self._runner.engine.gpus_held(use.subject_id) if use.subject is Subject.JOB else None
        if self._meanwhile is not None:
            self._meanwhile.append((use, gpus or 0))
        if self.limits(use.tenant):
            self._spending.add(use, gpus or 0)

    def on_forecast_changed(self) -> None:
        """Keep what was last expected of hours that nobody measures."""
        for zone, series in self._poller.forecasts().items():
            before = self._known.get(zone)
            try:
                self._known[zone] = series if before is None else before.followed_by(series)
            except SeriesError:  # marginal after average: what was known answers another question
                self._known[zone] = series

    async def refresh(self) -> None:
        """Ask what the grid really emitted in the periods under way, and show what is left."""
        if not self._budgets:
            return
        now_s = self._env.now_s()
        begin_s = _begin_s(self._budgets, now_s)
        self._spending.forget_before(begin_s)
        for zone in sorted({region.zone for region in self._runner.engine.regions}):
            history = await self._poller.history(zone, begin_s, now_s)
            known = realised_then_expected(history, self._known.get(zone))
            if known is not None:
                self._known[zone] = known
        self.standings(now_s)

    def standings(self, now_s: float) -> list[BudgetStanding]:
        """Every budget as it stands now, shown in the metrics too."""
        bill, places = self.bill(), self._places(now_s)
        found = [self._standing(budget, now_s, places, bill) for budget in self._budgets]
        for one in found:
            self._metrics.budget_left(one.budget.tenant, one.budget.what, one.budget.per, one.left_cost)
        return found

    def settled(self, now_s: float) -> list[BudgetStanding]:
        """Every budget with what is spent, and planned for jobs that the engine has not heard of yet."""
        bill, promised = self.bill(), [(one.job, one.placement.segments) for one in self._unheard()]
        return [self._standing(budget, now_s, promised, bill) for budget in self._budgets]

    def kept_by(self, planner: Planner) -> Planner:
        """The planner within these budgets; itself where there are none."""
        return BudgetedPlanner(inner=planner, purse=self) if self._budgets else planner

    # -- what may be spent --------------------------------------------------------------------------------------------

    def admitted(self, job: Job, place: Place, now_s: float) -> Admitted | Overdrawn | Refusal:
        """The job in the first period in which its tenant can pay for it, or why there is none."""
        standings = self.standings(now_s) if self.limits(job.tenant) else []
        return admitted(job, place, standings, self.bill())

    def let_go(self, job_id: str, now_s: float) -> Overdrawn | None:
        """Promise what the rest of a job on hold will cost, or say which budget cannot pay for it.

        A job on hold reserves nothing, so others may have what it would have cost.
        """
        job, segments = self._runner.engine.job(job_id), self._runner.engine.appraise_held(job_id, now_s)
        if job is None or segments is None or not self.limits(job.tenant):
            return None
        standings = [one for one in self.standings(now_s) if one.budget.covers(job.tenant)]
        over = overdrawn(job, segments, standings, self.bill())
        if over is None and segments:
            placement = Placement(job_id=job_id, segments=tuple(segments), cause=Cause.CLEANEST)
            self._promised[job_id] = Admitted(job=job, placement=placement)
        return over

    def promise(self, accepted: Admitted) -> None:
        """It is being made durable: whoever asks next finds its cost planned."""
        if self.limits(accepted.job.tenant):
            self._promised[accepted.job.id] = accepted

    def take_back(self, job_id: str) -> None:
        """The engine knows of it, or it was not accepted after all."""
        self._promised.pop(job_id, None)

    def suggesting(self, job: Job, now_s: float) -> Callable[[], list[Change]]:
        """Finds the changes with which the job has a place that its tenant can pay for. Slow: for a thread."""
        engine, from_s = self._runner.engine, now_s + TIME_TO_ANSWER_S
        planner, standings, bill = engine.planner, self.standings(now_s), self.bill()
        others, regions, forecasts = engine.open_jobs(now_s), engine.regions, dict(engine.forecasts)

        def place(changed: Job) -> Placement | Refusal:
            return planner.place(OpenJob(job=changed), others, regions, forecasts, from_s)

        def is_feasible(changed: Job) -> bool:
            return isinstance(admitted(changed, place, standings, bill), Admitted)

        return lambda: nearest_changes(job, regions, is_feasible, not_before_s=from_s)

    # -- inside -------------------------------------------------------------------------------------------------------

    def _standing(self, budget: Budget, now_s: float, places: Sequence[Placed], bill: Bill) -> BudgetStanding:
        begin = budget.per.begin(now_s)
        from_s, to_s = begin.timestamp(), budget.per.end(begin).timestamp()
        spent_cost = self._spending.spent_cost(budget.tenant, budget.what, from_s, to_s, self._known, self.sites)
        return BudgetStanding(
            budget=budget, begin=begin, settled_cost=spent_cost, planned=planned(budget, places, bill)
        )

    def _places(self, now_s: float) -> list[Placed]:
        """The places of all open jobs, and of those that the engine has not heard of yet."""
        engine = self._runner.engine
        known = [(one.job, _uncounted(one, now_s)) for one in engine.open_jobs(now_s)]
        return [*known, *((one.job, one.placement.segments) for one in self._unheard())]

    def _unheard(self) -> list[Admitted]:
        engine = self._runner.engine
        self._promised = {
            name: one for name, one in self._promised.items() if engine.job(name) is None or engine.is_on_hold(name)
        }
        return list(self._promised.values())

    def bill(self) -> Bill:
        """What segments cost on what is known now; to be asked on any thread."""
        regions, forecasts = self._runner.engine.regions, {**self._runner.engine.forecasts, **self._known}

        def bill(job: Job, segments: Sequence[Segment]) -> Components:
            case = FleetCase(jobs=[job], regions=regions, forecasts=forecasts)
            return components(case, self.sites, job, in_phases(job, segments))

        return bill


def _booked(reads: Reads, budgets: Sequence[Budget], begin_s: float, now_s: float) -> Iterator[tuple[EnergyUse, int]]:
    """What the tenants that these budgets limit have used, and on how many GPUs. Blocks, a page at a time."""
    gpus: dict[str, int] = {}
    tenants = {one.tenant for one in budgets}
    # What everybody spends holds what each tenant does.
    for tenant in [None] if EVERYBODY in tenants else sorted(tenants):
        for use in every_use(reads, begin_s - _LONGEST_RUN_S, now_s, tenant=tenant):
            if use.subject is Subject.JOB and use.subject_id not in gpus:
                gpus[use.subject_id] = _gpus_of(reads, use.subject_id)
            yield use, gpus.get(use.subject_id, 0)


def _spent(booked: Iterable[tuple[EnergyUse, int]]) -> Spending:
    found = Spending()
    for use, gpus in booked:
        found.add(use, gpus)
    return found


def _begin_s(budgets: Sequence[Budget], now_s: float) -> float:
    """When the longest of the periods under way began."""
    per = Per.MONTH if any(one.per is Per.MONTH for one in budgets) else Per.DAY
    return per.begin(now_s).timestamp()


def _uncounted(one: OpenJob, now_s: float) -> Sequence[Segment]:
    """What of a job's place is not in the ledger: a batch is booked request by request, others when a piece ends."""
    segments = () if one.planned is None else one.planned.segments
    if one.job.kind is not JobKind.INFERENCE_BATCH:
        return segments
    return [replace(piece, start_at_s=max(piece.start_at_s, now_s)) for piece in segments if piece.end_at_s > now_s]


def _gpus_of(reads: Reads, job_id: str) -> int:
    try:
        record = reads.job(job_id)
        return record.job.gpus if record.standing.gpus is None else record.standing.gpus
    except UnknownJobError:
        return 0
