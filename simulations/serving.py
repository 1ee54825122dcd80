"""Requests in virtual time: one Shaper, the same as the gateway's, in front of a pool of virtual workers.

Feeds arrivals to the shaper, its groups to the least loaded workers, and finishes back to the shaper. Which request may
wait, and until when, is asked of the same rule as the daemon's. Knows no grid; intensity comes as a forecast.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from intensity_feeds.series import Floats, IntensitySeries
from scheduler.deferral import Release, release_at_s
from shaping.consolidation import Demand
from shaping.energy import Deployment, GpuState, idle_power_w, kv_capacity_tokens, step
from shaping.first_token import reading_tokens_per_s
from shaping.learning import LoadForecast
from shaping.policy import Holding, ShapingPolicy
from shaping.request import LatencyClass, PoolCapacity, Request
from shaping.shaper import Shaper
from shaping.sharing import LatestStarts
from simulations.followed import Followed
from simulations.loop import Loop, Priority
from simulations.power_trace import PowerTrace
from simulations.roster import Roster, SleepSpec
from simulations.shared_gpus import Seat, SharedGpus
from simulations.workers import PREFILL_CHUNK_TOKENS, StepCost, Work, Worker, WorkerLimits
from simulations.workloads import RequestTrace

# A held request's service is estimated as if it decoded in a batch of this size: mid-sized, for any load.
ESTIMATE_SEQUENCES = 32

# An interactive request is served before one that may wait.
FLEX_PRIORITY = 1

Booleans = NDArray[np.bool_]


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolSpec:
    """The workers of one model, all alike.

    `expected_output_tokens` is what the shaper believes of every output; None means that it knows each one's length.
    `prefix_block_tokens` is the block of the workers' prefix caches, 0 where they have none; `follows_prefixes` is
    whether requests line up with those that begin alike, and go to the worker that knows their prompt. Workers that
    `preempts` look after their KV memory themselves, and the shaper counts their sequences only. With `has_priorities`
    interactive requests go before deferred ones in a worker's own queue too, and are preempted last.
    """

    name: str
    region: str
    zone: str
    deployment: Deployment
    workers: int
    max_sequences: int
    sleep: SleepSpec | None = None
    expected_output_tokens: int | None = None
    prefix_block_tokens: int = 0
    step_tokens: int = PREFILL_CHUNK_TOKENS
    follows_prefixes: bool = True
    preempts: bool = False
    has_priorities: bool = False

    @property
    def limits(self) -> WorkerLimits:
        return WorkerLimits(
            sequences=self.max_sequences,
            kv_tokens=kv_capacity_tokens(self.deployment),
            prefix_block_tokens=self.prefix_block_tokens,
            step_tokens=self.step_tokens,
            preempts=self.preempts,
        )

    @property
    def capacity(self) -> PoolCapacity:
        return self.capacity_of(self.workers)

    def capacity_of(self, awake: int) -> PoolCapacity:
        """What so many of the workers hold. Nobody is too large for a pool just because all of it sleeps."""
        return PoolCapacity(
            sequences=awake * self.max_sequences,
            kv_tokens=None if self.preempts else max(1, awake) * kv_capacity_tokens(self.deployment),
            workers=max(1, awake),
        )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Traffic:
    """Requests on the calendar. `is_flex` (n,) marks those that may wait, until `flex_deadline_s` after arrival."""

    trace: RequestTrace
    start_at_s: float
    is_flex: Booleans
    flex_deadline_s: float
    flex_margin_s: float

    @property
    def deadline_at_s(self) -> Floats:
        """Shape (n,); infinite where there is none."""
        arrivals = self.start_at_s + self.trace.arrival_s
        return np.where(self.is_flex, arrivals + self.flex_deadline_s, np.inf)


@dataclass(slots=True, kw_only=True, eq=False)
class ServingRecord:
    """What happened to each request, all of shape (n,), NaN where it did not happen; and the pool's power.

    `first_span` and `last_span` say which spans of its worker's power trace a request took part in, since it was last
    preempted; `earlier_stays` (m, 3) has the request and the two spans of each time before, in that order.
    """

    released_at_s: Floats
    first_token_at_s: Floats
    finished_at_s: Floats
    worker: NDArray[np.int64]
    first_span: NDArray[np.int64]
    last_span: NDArray[np.int64]
    earlier_stays: NDArray[np.int64] = field(default_factory=lambda: stays_in_order([]))
    power: list[PowerTrace] = field(default_factory=list)

    @classmethod
    def empty(cls, count: int) -> ServingRecord:
        instants = (np.full(count, np.nan) for _ in range(3))
        places = (np.full(count, -1, dtype=np.int64) for _ in range(3))
        released, first_token, finished = instants
        worker, first_span, last_span = places
        return cls(
            released_at_s=released,
            first_token_at_s=first_token,
            finished_at_s=finished,
            worker=worker,
            first_span=first_span,
            last_span=last_span,
        )

    @property
    def is_dropped(self) -> Booleans:
        return np.isnan(self.finished_at_s)

    def stays_on(self, worker: int) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
        """Requests and spans of the stays on one worker that ended in preemption, each of shape (m,)."""
        rows = self.earlier_stays[self.worker[self.earlier_stays[:, 0]] == worker]
        return rows[:, 0], rows[:, 1], rows[:, 2]


def stays_in_order(rows: Sequence[tuple[int, int, int]] | NDArray[np.int64]) -> NDArray[np.int64]:
    """Requests and the spans of a stay that ended in preemption, shape (m, 3), by request and span."""
    found = np.array(rows, dtype=np.int64).reshape(-1, 3)
    return found[np.lexsort((found[:, 1], found[:, 0]))]


class DeploymentSteps:
    """The energy model's steps for one deployment, as a virtual worker asks for them."""

    def __init__(self, deployment: Deployment) -> None:
        self._deployment = deployment
        self.idle_power_w = deployment.gpus * idle_power_w(deployment.gpu, GpuState.CONTEXT_IDLE)

    def step(
        self, sequences: int, mean_context_tokens: float, prefill_tokens: float, prefill_squared_tokens: float
    ) -> StepCost:
        made = step(self._deployment, sequences, mean_context_tokens, prefill_tokens, prefill_squared_tokens)
        return StepCost(made.duration_s, made.energy_j)


def estimated_service_s(steps: DeploymentSteps, prompt_tokens: int, output_tokens: int) -> float:
    """How long a held request will take once it goes, as far as one can say beforehand."""
    context_tokens = prompt_tokens + output_tokens / 2
    decode_s = steps.step(ESTIMATE_SEQUENCES, context_tokens, 0.0, 0.0).duration_s * output_tokens
    return decode_s + steps.step(0, 0.0, prompt_tokens, float(prompt_tokens**2)).duration_s


class Pool:
    """Puts its arrivals on the loop when made; after `loop.run()` its record says what became of each."""

    def __init__(
        self,
        loop: Loop,
        spec: PoolSpec,
        traffic: Traffic,
        policy: ShapingPolicy,
        *,
        forecast: Callable[[], IntensitySeries | None] | None,
        release: Release = release_at_s,
        progressed: Callable[[int], None] = lambda count: None,
        shared: SharedGpus | None = None,
    ) -> None:
        """`forecast` answers with the zone's forecast now; None for a policy that lets nothing wait.

        `release` tells when a request that may wait is sent. `shared` are the GPUs of its one worker, where pools take
        turns on them.
        """
        self._loop, self._traffic, self._forecast, self._release_at_s_of = loop, traffic, forecast, release
        self.spec = spec
        self._progressed = progressed
        self._steps = DeploymentSteps(spec.deployment)
        self._shaper = Shaper(
            spec.deployment.model.name,
            spec.capacity,
            policy,
            idle_power_w=self._steps.idle_power_w,
            reading_tokens_per_s=reading_tokens_per_s(spec.deployment, spec.step_tokens),
        )
        self._is_learning = policy.holding is Holding.ADAPTIVE
        self._metered_j = 0.0
        self._hold_s = policy.interactive_hold_s
        self._workers = [Worker(self._steps, spec.limits, loop.now_s) for _ in range(spec.workers)]
        self._forecast_load = LoadForecast()
        self._prefixes = traffic.trace.prefixes if spec.prefix_block_tokens else ()
        self._followed = Followed(spec.workers, spec.limits) if self._prefixes and spec.follows_prefixes else None
        self.roster: Roster | Seat | None = self._roster(spec.sleep) if spec.sleep is not None else None
        self._estimate_s = 0.0  # of the last request's service, for GPUs that are shared
        self._latest_starts = None if shared is None else LatestStarts(shared.policy)
        self._columns = tuple(column.tolist() for column in _columns(traffic))
        self._next = 0
        self._release_at_s = math.inf
        self.open_requests = len(traffic.trace)
        self.ended_at_s = loop.now_s
        self.record = ServingRecord.empty(len(traffic.trace))
        self._earlier_stays: list[tuple[int, int, int]] = []
        if shared is not None:
            worker, idle_w = self._workers[0], self._steps.idle_power_w
            self.roster = shared.seat(worker, idle_w, demand=self._demand, hasten=self._hasten, changed=self._on_roster)
            self._shaper.resize(spec.capacity_of(len(self.roster.awake)))
        self._await_arrival()

    def catch_up(self, until_s: float) -> None:
        """Nothing is left behind: what happens is on the loop."""

    def close(self, end_at_s: float) -> None:
        """Keep the workers warm until `end_at_s` and take down their power."""
        self.record.power = [worker.power_trace(end_at_s) for worker in self._workers]
        self.record.earlier_stays = stays_in_order(self._earlier_stays)

    @property
    def cached_tokens(self) -> int:
        """Prompt tokens that the workers' prefix caches spared so far."""
        return sum(worker.cached_tokens for worker in self._workers)

    # -- sleep ------------------------------------------------------------------------------------------------------

    def _roster(self, sleep: SleepSpec) -> Roster:
        return Roster(
            self._loop, sleep, self._workers, self.spec.max_sequences, self._steps.idle_power_w, self._on_roster
        )

    def _attend(self) -> None:
        if self.roster is not None:
            self.roster.attend(self._demand, self._attend)

    def _demand(self) -> Demand:
        now_s = self._loop.now_s
        return Demand(
            running=len(self._shaper.running),
            held=len(self._shaper.held),
            first_start_at_s=self._shaper.first_start_at_s,
            is_blocked=self._shaper.is_blocked,
            rate_per_s=self._forecast_load.rate_per_s(now_s),
            service_s=self._forecast_load.service_s,
            latest_start_at_s=None if self._latest_starts is None else self._latest_starts.first_at_s,
            drain_s=max(self._estimate_s, self._forecast_load.longest_s),
            usual=self._forecast_load.usual(now_s) if self._next < len(self._traffic.trace) else None,
        )

    def _slower_s(self, request: Request) -> float:
        """What answers take of late beyond the estimate that the request's latest start rests on."""
        self._estimate_s = estimated_service_s(self._steps, request.prompt_tokens, request.output_tokens)
        return max(0.0, self._forecast_load.longest_s - self._estimate_s)

    def _hasten(self, ahead_s: float) -> None:
        """The worker is about to be gone for so long: what cannot wait goes before."""
        now_s = self._loop.now_s
        requests = [request for group in self._shaper.release(now_s, ahead_s) for request in group.requests]
        if requests:
            self._dispatch(requests, now_s)

    def _on_roster(self) -> None:
        assert self.roster is not None
        self._shaper.resize(self.spec.capacity_of(len(self.roster.awake)))
        self._ask_release(self._loop.now_s)

    # -- arrivals ---------------------------------------------------------------------------------------------------

    def _await_arrival(self) -> None:
        if self._next < len(self._traffic.trace):
            self._loop.schedule(self._columns[0][self._next], Priority.ARRIVAL, self._arrive)

    def _arrive(self) -> None:
        index, now_s = self._next, self._loop.now_s
        self._next += 1
        _, prompt_tokens, output_tokens, is_flex = (column[index] for column in self._columns)
        if prompt_tokens + output_tokens > self.spec.limits.kv_tokens:
            self._end(1)  # no worker could ever hold it
        else:
            request = self._request(index, prompt_tokens, output_tokens, is_flex)
            self._forecast_load.arrived(now_s, request.latency_class)
            self._shaper.offer(request, now_s)
            if self._latest_starts is not None:
                self._latest_starts.held(request, self._slower_s(request))
            self._ask_release(now_s)
        self._await_arrival()

    def _request(self, index: int, prompt_tokens: int, output_tokens: int, is_flex: bool) -> Request:
        now_s = self._loop.now_s
        may_wait = is_flex and self._forecast is not None
        release_by_s, not_before_s = now_s + self._hold_s, 0.0
        if may_wait:
            service_s = estimated_service_s(self._steps, prompt_tokens, output_tokens)
            release_by_s = now_s + max(0.0, self._traffic.flex_deadline_s - self._traffic.flex_margin_s - service_s)
            series = self._forecast() if self._forecast else None
            not_before_s = self._release_at_s_of(series, now_s, service_s, release_by_s)
        return Request(
            id=str(index),
            model=self._shaper.model,
            arrived_at_s=now_s,
            release_by_s=release_by_s,
            prompt_tokens=prompt_tokens,
            output_tokens=self.spec.expected_output_tokens or output_tokens,
            latency_class=LatencyClass.FLEX if may_wait else LatencyClass.INTERACTIVE,
            not_before_s=not_before_s,
            priority=FLEX_PRIORITY if may_wait else 0,
            prefix=self._prefixes[index] if self._followed is not None else (),
        )

    # -- releases ---------------------------------------------------------------------------------------------------

    def _ask_release(self, at_s: float) -> None:
        """Ask the shaper at that instant, unless it will be asked earlier anyway."""
        if at_s < self._release_at_s:
            self._release_at_s = at_s
            self._loop.schedule(at_s, Priority.RELEASE, lambda: self._release(at_s))

    def _release(self, asked_at_s: float) -> None:
        if asked_at_s != self._release_at_s:
            return  # overtaken by an earlier one
        now_s, self._release_at_s = self._loop.now_s, math.inf
        if self._is_learning:
            self._shaper.see_grid(self._intensity_gco2e_per_kwh(now_s))
        requests = [request for group in self._shaper.release(now_s) for request in group.requests]
        if requests:
            self._dispatch(requests, now_s)
        wake_at_s = self._shaper.next_wakeup_at_s()
        if wake_at_s is not None:
            self._ask_release(max(wake_at_s, now_s))
        self._attend()

    def _intensity_gco2e_per_kwh(self, now_s: float) -> float | None:
        series = self._forecast() if self._forecast else None
        return series.at(now_s) if series is not None and series.covers(now_s, now_s + 1.0) else None

    def _dispatch(self, requests: Sequence[Request], now_s: float) -> None:
        """Each to the worker with the fewest requests, the first of equals, or one that knows its prompt."""
        loads = self._loads()
        given: dict[int, list[Work]] = {}
        for request in requests:
            index = int(request.id)
            if self._latest_starts is not None:
                self._latest_starts.gone(request.id)
            place = self._place(request, loads)
            loads[place] += 1
            given.setdefault(place, []).append(self._work(index, request))
            self.record.released_at_s[index], self.record.worker[index] = now_s, place
        for place, works in given.items():
            before_s = self._workers[place].next_change_at_s
            self._workers[place].accept(works, now_s)
            self._follow(place, before_s)

    def _work(self, index: int, request: Request) -> Work:
        return Work(
            index=index,
            prompt_tokens=request.prompt_tokens,
            output_tokens=self._columns[2][index],
            priority=request.priority if self.spec.has_priorities else 0,
            prefix=self._prefixes[index] if self._prefixes else (),
        )

    def _place(self, request: Request, loads_requests: Sequence[float]) -> int:
        if self._followed is None:
            return loads_requests.index(min(loads_requests))
        return self._followed.place(request.prefix, loads_requests)

    def _loads(self) -> list[float]:
        """Of each worker; of one that takes no requests infinite."""
        loads: list[float] = [worker.load for worker in self._workers]
        if self.roster is not None:
            awake = self.roster.awake
            loads = [load if place in awake else math.inf for place, load in enumerate(loads)]
        return loads

    # -- workers ----------------------------------------------------------------------------------------------------

    def _follow(self, place: int, before_s: float) -> None:
        """Schedule the worker's next change if it is not the one that is scheduled already."""
        at_s = self._workers[place].next_change_at_s
        if at_s != before_s and at_s < math.inf:
            self._loop.schedule(max(at_s, self._loop.now_s), Priority.FINISH, lambda: self._change(place, at_s))

    def _change(self, place: int, expected_at_s: float) -> None:
        worker, now_s = self._workers[place], self._loop.now_s
        if worker.next_change_at_s != expected_at_s:
            return  # its batch changed in between
        finished = worker.advance(now_s)
        for work in finished:
            self._finish(work, now_s)
        self._follow(place, math.nan)
        if finished:
            self._attend()
            if self._is_learning:
                self._meter()
            self._end(len(finished))
            if self._shaper.held:
                self._ask_release(now_s)

    def _finish(self, work: Work, now_s: float) -> None:
        record, index = self.record, work.index
        record.first_token_at_s[index], record.finished_at_s[index] = work.first_token_at_s, now_s
        record.first_span[index], record.last_span[index] = work.first_span, work.last_span
        self._earlier_stays += [(index, *stay) for stay in work.earlier_stays]
        self._shaper.finish(str(index), now_s)
        self._forecast_load.answered(now_s - float(record.released_at_s[index]))

    def _meter(self) -> None:
        """Read what the workers spent on requests, as the daemon reads it from their answers."""
        spent_j = 0.0
        for worker in self._workers:  # one by one: `sum` rounds differently from one Python to the next
            spent_j += worker.busy_energy_j
        self._shaper.used(spent_j - self._metered_j)
        self._metered_j = spent_j

    def _end(self, count: int) -> None:
        self.open_requests -= count
        self.ended_at_s = self._loop.now_s
        self._progressed(count)


def _columns(traffic: Traffic) -> tuple[NDArray[np.generic], ...]:
    """Arrival on the calendar, prompt, output and flex, in order of arrival."""
    trace = traffic.trace
    return traffic.start_at_s + trace.arrival_s, trace.prompt_tokens, trace.output_tokens, traffic.is_flex
