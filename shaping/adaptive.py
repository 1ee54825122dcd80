"""Holds a lane as long as waiting for one more request is expected to save more grams than the wait costs.

A group of n costs its workers a fixed part F (the steps that it runs, whoever takes part, times the power above idle)
and a part for each request that no policy can save. Held until n are there, at r arrivals a second and a price p for
each second that each of them waits, a request costs on average g(n) = F / n + p (n - 1) / 2r grams. The rule grows the
group to the size T at which one more would save less than it costs (p T (T + 1) = 2 r F), to what the budget of the
first of them lets arrive, or to what the pool holds, whichever is least. Going with n < T now forgoes (T - n) (g(T) -
p (n + T - 1) / 2r) grams. It is right when the workers run anyway and so F is mostly paid: only the time by which the
newcomers outlast them is new.

F comes in joules, times the grid's intensity: a dirty hour holds longer, a clean one less. The group leaves early
enough that its own service, slower than a lone request's, still ends in time. Where rate, service time, power or
intensity are not known, nothing is held: the first requests pass and teach.
"""

from __future__ import annotations

import math

from shaping.hold_arithmetic import Learnt, Line, adaptive
from shaping.holds import Verdict, verdict_of
from shaping.lazy_heap import LazyHeap
from shaping.learning import ArrivalRate, Occupancy, ServiceTime
from shaping.policy import ShapingPolicy
from shaping.request import LatencyClass, Request

# Who named a deadline has said that time is cheap, though not free; nobody waits for a batch.
PRICE_RATIOS = {LatencyClass.INTERACTIVE: 1.0, LatencyClass.FLEX: 0.1, LatencyClass.BATCH: 0.01}

_S_PER_H = 3600.0


class Adaptive:
    """The rule, with what it has learnt of its pool. `idle_power_w` is that of one worker that does nothing."""

    def __init__(self, policy: ShapingPolicy, idle_power_w: float | None) -> None:
        self._policy, self._idle_power_w = policy, idle_power_w
        self._rates = {one: ArrivalRate() for one in LatencyClass}
        self._service, self._occupancy = ServiceTime(), Occupancy()
        self._intensity_gco2e_per_kwh: float | None = None
        self._began: dict[str, tuple[float, float]] = {}  # of the running: when, and the occupancy until then
        self._clock_tokens = 0.0  # that a request running since the beginning would have by now
        self._ends = LazyHeap()  # running, by the end that is expected of them on that clock, last first
        self._workers = 1

    def hold_until_s(self, request: Request, since_s: float) -> float:
        return self._policy.budget_ends_at_s(request)

    # -- learning -----------------------------------------------------------------------------------------------------

    def offered(self, request: Request, now_s: float) -> None:
        self._rates[request.latency_class].arrived(now_s)

    def started(self, request: Request, now_s: float) -> None:
        self._pass_time(now_s)
        self._began[request.id] = (now_s, self._occupancy.request_s)
        self._ends.put(request.id, (-(self._clock_tokens + request.output_tokens), now_s, len(self._began)))

    def ended(self, request: Request, now_s: float, *, is_answered: bool) -> None:
        self._pass_time(now_s)
        began_at_s, before_request_s = self._began.pop(request.id)
        self._ends.discard(request.id)
        took_s = now_s - began_at_s
        if is_answered and took_s > 0.0:
            beside = (self._occupancy.request_s - before_request_s) / took_s - 1.0
            self._service.observe(took_s, request.output_tokens, max(0.0, beside))

    def used(self, energy_j: float) -> None:
        self._occupancy.used(energy_j)

    def see_grid(self, intensity_gco2e_per_kwh: float | None) -> None:
        self._intensity_gco2e_per_kwh = intensity_gco2e_per_kwh

    def _pass_time(self, now_s: float) -> None:
        running = len(self._began)
        s_per_token = self._service.s_per_token(running - 1.0)
        if s_per_token and running:
            self._clock_tokens += max(0.0, now_s - self._occupancy.since_s) / s_per_token
        self._occupancy.passed(now_s, running, min(running, self._workers))

    # -- deciding -----------------------------------------------------------------------------------------------------

    def verdict(self, latency_class: LatencyClass, line: Line, now_s: float) -> Verdict:
        self._workers = line.workers
        self._pass_time(now_s)
        return verdict_of(adaptive(line, self._learnt(latency_class, line, now_s), now_s))

    def _learnt(self, latency_class: LatencyClass, line: Line, now_s: float) -> Learnt:
        return Learnt(
            rate_per_s=_number(self._rates[latency_class].per_s(now_s)),
            price_gco2e_per_s=price_gco2e_per_s(self._policy, latency_class),
            alone_s_per_token=_number(self._service.s_per_token(0.0)),
            together_s_per_token=_number(self._service.s_per_token(min(line.held + line.running, line.sequences))),
            busy_w=_number(self._occupancy.busy_w),
            idle_w=_number(self._idle_power_w),
            intensity_gco2e_per_kwh=_number(self._intensity_gco2e_per_kwh),
            remaining_tokens=self._remaining_tokens,
        )

    @property
    def _remaining_tokens(self) -> float:
        last = self._ends.first()
        return 0.0 if last is None else -last[0][0] - self._clock_tokens


def price_gco2e_per_s(policy: ShapingPolicy, latency_class: LatencyClass) -> float:
    """What a second of waiting costs a request of that class."""
    return policy.latency_price_gco2e_per_h / _S_PER_H * PRICE_RATIOS[latency_class]


def _number(value: float | None) -> float:
    return math.nan if value is None else value
