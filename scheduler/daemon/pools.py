"""One model's place in the daemon: its workers, its shaper, who is held, and the task that wakes the shaper in time.

The shaper decides; this carries its word to the waiting handlers. A request that is released in the call that offers it
never waits, and costs no switch of tasks.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Never

from scheduler.daemon.api_errors import queue_full
from scheduler.daemon.env import Env
from scheduler.daemon.habits import Habits
from scheduler.daemon.holding import ServiceTime
from scheduler.daemon.metrics import Metrics
from scheduler.daemon.openai_api import Endpoint, prompt_prefix
from scheduler.daemon.workers import Worker, capacity_of
from shaping.consolidation import Demand
from shaping.learning import LoadForecast
from shaping.policy import Group, ReleaseReason, ShapingPolicy
from shaping.prefixes import Prefix
from shaping.request import LatencyClass, Request
from shaping.shaper import Shaper
from shaping.sharing import LatestStarts, SharingPolicy

# The wall clock may be set while we sleep, so look at it again after this long (real time).
_LONGEST_SLEEP_S = 60.0
# Should the shaper name an instant that is already over, the loop must still serve others.
_SHORTEST_SLEEP_S = 0.001
RETRY_AFTER_FULL_S = 2.0
# Who is sent away for whom: the first of these that is below the newcomer.
_LOWEST_FIRST = (LatencyClass.BATCH, LatencyClass.FLEX, LatencyClass.INTERACTIVE)


class Ticket:
    """One request's place in a pool, from its offer until it leaves."""

    __slots__ = ("_waiter", "held_s", "is_shed", "released_at_s", "released_because", "request")

    def __init__(self, request: Request) -> None:
        self.request = request
        self.is_shed = False  # sent away for others
        self.held_s = 0.0  # on the policy clock; 0 while it still is held
        self.released_at_s: float | None = None
        self.released_because: ReleaseReason | None = None
        self._waiter: asyncio.Future[None] | None = None

    def release(self, at_s: float, reason: ReleaseReason) -> None:
        self.released_at_s, self.released_because = at_s, reason
        self.held_s = at_s - self.request.arrived_at_s
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def shed(self) -> None:
        """Send it away: whoever waits for its release waits no longer."""
        self.is_shed = True
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def must_be_released(self) -> None:
        """Raises ApiError for one that was sent away instead."""
        if self.is_shed:
            raise queue_full(RETRY_AFTER_FULL_S)

    async def released_within(self, limit_s: float | None) -> bool:
        """Wait until it is released or sent away, at most `limit_s` real seconds; whether that came."""
        if self._is_settled:
            return True
        if self._waiter is None:
            self._waiter = asyncio.get_running_loop().create_future()
        # Waiting on the future itself: a task for each held request would double what it costs.
        await asyncio.wait((self._waiter,), timeout=limit_s)
        return self._is_settled

    @property
    def _is_settled(self) -> bool:
        return self.released_at_s is not None or self.is_shed


@dataclass(slots=True, kw_only=True)
class Released:
    """What was released together for one reason since the daemon started, and how long it was held in all."""

    groups: int = 0
    requests: int = 0
    held_s: float = 0.0

    def add(self, group: Group) -> None:
        self.groups += 1
        self.requests += len(group.requests)
        for request in group.requests:
            self.held_s += group.released_at_s - request.arrived_at_s


class ModelPool:
    """The workers of one model behind one shaper."""

    def __init__(
        self,
        *,
        model: str,
        workers: Sequence[Worker],
        policy: ShapingPolicy,
        env: Env,
        metrics: Metrics,
        intensity_at: Callable[[float], float | None] = lambda _: None,
        idle_power_w: float | None = None,
        reading_tokens_per_s: float | None = None,
    ) -> None:
        """`intensity_at` answers with the grid's intensity now; the last two are of one worker, from its profile."""
        self.model, self.workers = model, workers
        self.home = workers[0].settings.region
        self.service = ServiceTime()
        self.running = 0
        self.held: dict[str, Ticket] = {}
        self._held_by_class: dict[LatencyClass, dict[str, Ticket]] = {one: {} for one in LatencyClass}
        self._env = env
        self._keeps_prefixes = any(worker.settings.prefix_cache_tokens for worker in workers)
        self._intensity_at = intensity_at
        self._shaper = Shaper(
            model,
            capacity_of(workers, env.monotonic_s()),
            policy,
            idle_power_w=idle_power_w,
            reading_tokens_per_s=None if reading_tokens_per_s is None else reading_tokens_per_s / env.speed,
        )
        self._load = LoadForecast()
        self._latest_starts: LatestStarts | None = None
        self._blocked = asyncio.Event()
        self._group_sizes = {reason: metrics.groups(model, reason) for reason in ReleaseReason}
        self.released = {reason: Released() for reason in ReleaseReason}
        self._changed = asyncio.Event()
        self._sleeps_until_s = float("-inf")
        metrics.held.labels(model).set_function(lambda: len(self.held))
        metrics.running.labels(model).set_function(lambda: self.running)

    def admit(self, request: Request, now_s: float) -> Ticket:
        """Offer a request; its ticket is already released when nothing keeps it."""
        ticket = Ticket(request)
        self._load.arrived(now_s, request.latency_class)
        group = self._shaper.offer_at_once(request, now_s)
        if group is not None:
            self._count(group)
            ticket.release(group.released_at_s, group.reason)
            return ticket
        self.held[request.id] = self._held_by_class[request.latency_class][request.id] = ticket
        if self._latest_starts is not None:
            self._latest_starts.held(request)
            self._blocked.set()  # whose turn it is may depend on it
        self._let_go(now_s)
        return ticket

    def leave(self, ticket: Ticket) -> None:
        """The request is over: answered, failed, sent away, or its client has left."""
        now_s = self._env.now_s()
        if ticket.is_shed:
            return
        if self._unheld(ticket.request.id) is None:
            self.running -= 1
            self._shaper.finish(ticket.request.id, now_s)
            if ticket.released_at_s is not None:
                self._load.answered(now_s - ticket.released_at_s)
        else:
            self._shaper.give_up(ticket.request.id, now_s)
            if self._latest_starts is not None:
                self._latest_starts.gone(ticket.request.id)
        if self._latest_starts is not None and self.running == 0:
            self._blocked.set()
        if self.held:
            self._let_go(now_s)

    def sheds(self, latency_class: LatencyClass) -> bool:
        """Send the newest held request of this class away: it has waited least; whether there was one."""
        held = self._held_by_class[latency_class]
        if held:
            self._shed(next(reversed(held.values())))
            return True
        return False

    def _shed(self, ticket: Ticket) -> None:
        self._unheld(ticket.request.id)
        self._shaper.give_up(ticket.request.id, self._env.now_s())
        if self._latest_starts is not None:
            self._latest_starts.gone(ticket.request.id)
        ticket.shed()

    def _unheld(self, request_id: str) -> Ticket | None:
        ticket = self.held.pop(request_id, None)
        if ticket is not None:
            del self._held_by_class[ticket.request.latency_class][request_id]
        return ticket

    def retime(self, ticket: Ticket, not_before_s: float) -> None:
        """A new forecast: another instant is the cleanest. Takes effect with `wake`."""
        self._shaper.retime(ticket.request.id, not_before_s)

    def serve_by(self, workers: Sequence[Worker]) -> None:
        """Other workers from now on; what the former ones have begun they finish."""
        self.workers = workers
        self.home = workers[0].settings.region
        self._keeps_prefixes = any(worker.settings.prefix_cache_tokens for worker in workers)
        self.resize()

    def let_all_go(self) -> None:
        """Hold nothing any longer: what is held goes as soon as there is room."""
        for ticket in list(self.held.values()):
            self.retime(ticket, self._env.now_s())
        self.wake()

    def resize(self) -> None:
        """Workers came or went: hold as many requests back as the others cannot take."""
        self._shaper.resize(capacity_of(self.workers, self._env.monotonic_s()))
        self.wake()

    def prefix_of(self, endpoint: Endpoint, body: bytes, name: str) -> Prefix:
        """What the prompt begins with, where a worker keeps such things for reuse: for a model or an adapter each."""
        return prompt_prefix(endpoint, body, name) if self._keeps_prefixes else ()

    def adapter_of(self, name: str) -> str:
        """The adapter that a caller names; empty for the model itself."""
        return "" if name == self.model else name

    @property
    def is_exclusive(self) -> bool:
        """Whether its workers serve no other model, which would have a say in their sleep."""
        return all(len(worker.settings.models) == 1 for worker in self.workers)

    @property
    def shares_gpu(self) -> str:
        """The GPUs that its worker shares with those of other pools; empty for GPUs of its own."""
        return self.workers[0].settings.shares_gpu

    @property
    def sequences(self) -> int:
        """Requests that the workers that are up hold at once."""
        return self._shaper.capacity.sequences

    @property
    def kv_tokens(self) -> int | None:
        """Tokens of KV cache of the whole pool, where all engines say."""
        return self._shaper.capacity.kv_tokens

    def wake(self) -> None:
        """Ask the shaper again now, with the grid as it is now."""
        now_s = self._env.now_s()
        self._shaper.see_grid(self._intensity_at(now_s))
        self._let_go(now_s)

    def used(self, energy_j: float) -> None:
        """A request was answered, at this energy."""
        self._shaper.used(energy_j)

    def recall(self, habits: Habits) -> None:
        """What an earlier life of the daemon knew of its load."""
        self._load.recall(habits.usual, habits.service_s)

    def demand(self) -> Demand:
        """What is asked of the workers, for whoever decides how many stay awake."""
        now_s = self._env.now_s()
        return Demand(
            running=self.running,
            held=len(self.held),
            first_start_at_s=self._shaper.first_start_at_s,
            is_blocked=self._shaper.is_blocked,
            rate_per_s=self._load.rate_per_s(now_s),
            service_s=self._load.service_s,
            latest_start_at_s=None if self._latest_starts is None else self._latest_starts.first_at_s,
            drain_s=self._load.longest_s,
            usual=self._load.usual(now_s),
        )

    def take_turns(self, policy: SharingPolicy, bell: asyncio.Event) -> None:
        """Its worker shares its GPUs with those of other pools: `bell` rings whenever that may matter to whose turn."""
        self._latest_starts, self._blocked = LatestStarts(policy), bell
        for ticket in self.held.values():
            self._latest_starts.held(ticket.request)

    def hasten(self, ahead_s: float) -> None:
        """The worker is about to be gone for so long: what cannot wait goes now."""
        self._let_go(self._env.now_s(), ahead_s)

    async def blocked_within(self, limit_s: float) -> None:
        """Wait until a request finds no room, at most `limit_s` real seconds."""
        self._blocked.clear()
        try:
            async with asyncio.timeout(limit_s):
                await self._blocked.wait()
        except TimeoutError:
            pass

    def _let_go(self, now_s: float, ahead_s: float = 0.0) -> None:
        for group in self._shaper.release(now_s, ahead_s):
            self._count(group)
            for request in group.requests:
                if self._latest_starts is not None:
                    self._latest_starts.gone(request.id)
                self.held[request.id].release(group.released_at_s, group.reason)
                self._unheld(request.id)
        if self._shaper.is_blocked:
            self._blocked.set()
        self._rouse(self._shaper.next_wakeup_at_s())

    def _count(self, group: Group) -> None:
        self._group_sizes[group.reason].observe(len(group.requests))
        self.released[group.reason].add(group)
        self.running += len(group.requests)

    def _rouse(self, wakeup_at_s: float | None) -> None:
        # Sleeping too short is harmless, so only an earlier instant is worth a switch of tasks.
        if wakeup_at_s is not None and wakeup_at_s < self._sleeps_until_s:
            self._changed.set()

    async def run(self) -> Never:
        """Wake the shaper whenever it asked to be."""
        while True:
            self._changed.clear()
            wakeup_at_s = self._shaper.next_wakeup_at_s()
            self._sleeps_until_s = float("inf") if wakeup_at_s is None else wakeup_at_s
            await self._sleep(self._sleeps_until_s)
            self._sleeps_until_s = float("-inf")
            self.wake()

    async def _sleep(self, until_s: float) -> None:
        left_s = self._env.real_s(until_s - self._env.now_s())
        try:
            async with asyncio.timeout(min(_LONGEST_SLEEP_S, max(_SHORTEST_SLEEP_S, left_s))):
                await self._changed.wait()
        except TimeoutError:
            pass


def least_of_all(pools: Iterable[ModelPool], above: LatencyClass) -> LatencyClass | None:
    """Send one request of the lowest class that any pool holds away; the class, None where all are as high."""
    held = list(pools)
    for lower in _LOWEST_FIRST[: _LOWEST_FIRST.index(above)]:
        for pool in held:
            if pool.sheds(lower):
                return lower
    return None
