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

from shaping.holds import Line, Verdict
from shaping.lazy_heap import LazyHeap
from shaping.learning import ArrivalRate, Occupancy, ServiceTime
from shaping.policy import ReleaseReason, ShapingPolicy
from shaping.request import LatencyClass, Request

# Who named a deadline has said that time is cheap, though not free; nobody waits for a batch.
PRICE_RATIOS = {LatencyClass.INTERACTIVE: 1.0, LatencyClass.FLEX: 0.1, LatencyClass.BATCH: 0.01}

_S_PER_H = 3600.0
_J_PER_KWH = 3.6e6
# Expectations shift while nothing happens, so look again after a gap between arrivals, but neither more often than
# these parts of the time left and of a lone request's service, nor less often than this part of the time left.
_OFTEN_RATIO, _RARELY_RATIO = 1 / 32, 1 / 8
_SHORTEST_LOOK_S = 1e-3  # far above what a clock of epoch seconds tells apart: a shorter wait would be no wait


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

    def verdict(self, line: Line, now_s: float) -> Verdict:
        self._workers = line.workers
        self._pass_time(now_s)
        rate_per_s = self._rates[line.latency_class].per_s(now_s)
        fixed_gco2e = self._fixed_gco2e(line)
        if rate_per_s is None or fixed_gco2e is None:
            return Verdict(line.held, ReleaseReason.PASS_THROUGH)
        left_s = line.ends_at_s - self._slower_s(line) - now_s
        if left_s <= _SHORTEST_LOOK_S:
            return Verdict(line.held, ReleaseReason.HOLD_OVER)
        price_gco2e_per_s = self._policy.latency_price_gco2e_per_h / _S_PER_H * PRICE_RATIOS[line.latency_class]
        forgone_gco2e = _forgone_gco2e(line, rate_per_s, fixed_gco2e, price_gco2e_per_s, left_s)
        if forgone_gco2e <= 0.0:
            return Verdict(line.held, ReleaseReason.NOT_WORTH_WAITING)
        if fixed_gco2e * (1.0 - self._outlasting_ratio(line)) >= forgone_gco2e:
            return Verdict(line.held, ReleaseReason.JOINED)
        return Verdict(0, ReleaseReason.HOLD_OVER, now_s + min(left_s, self._look_again_s(line, left_s, rate_per_s)))

    def _look_again_s(self, line: Line, left_s: float, rate_per_s: float) -> float:
        often_s = _OFTEN_RATIO * max(left_s, self._service_s(line.longest_tokens, 0.0) or 0.0)
        return max(_SHORTEST_LOOK_S, often_s, min(_RARELY_RATIO * left_s, 1.0 / rate_per_s))

    def _service_s(self, output_tokens: float, beside_requests: float) -> float | None:
        s_per_token = self._service.s_per_token(beside_requests)
        return None if s_per_token is None else s_per_token * max(1.0, output_tokens)

    def _fixed_gco2e(self, line: Line) -> float | None:
        """F: what a group costs however few take part. None while something it depends on is not known."""
        busy_w, alone_s = self._occupancy.busy_w, self._service_s(line.longest_tokens, 0.0)
        if busy_w is None or alone_s is None or self._idle_power_w is None or self._intensity_gco2e_per_kwh is None:
            return None
        above_idle_w = max(0.0, busy_w - self._idle_power_w)
        workers = min(line.workers, line.held)
        return above_idle_w * alone_s * workers * self._intensity_gco2e_per_kwh / _J_PER_KWH

    def _slower_s(self, line: Line) -> float:
        """How much longer than a lone request's the group's service is, its wait for places included."""
        together = line.held + line.running
        alone_s, dense_s = (
            self._service_s(line.longest_tokens, 0.0),
            self._service_s(line.longest_tokens, min(together, line.sequences)),
        )
        if alone_s is None or dense_s is None:
            return 0.0
        beyond = max(0, together - line.sequences)
        return dense_s - alone_s + beyond / max(1, line.sequences) * dense_s

    def _outlasting_ratio(self, line: Line) -> float:
        """The part of their service by which newcomers would outlast what runs: 1 when nothing runs."""
        last = self._ends.first()
        if last is None:
            return 1.0
        remaining_tokens = -last[0][0] - self._clock_tokens
        return min(1.0, max(0.0, 1.0 - remaining_tokens / max(1, line.longest_tokens)))


def _forgone_gco2e(line: Line, rate_per_s: float, fixed_gco2e: float, price_gco2e_per_s: float, left_s: float) -> float:
    """What letting the lane go now costs beside waiting for the group that pays best; zero or less when it is full."""
    worth = math.inf
    if price_gco2e_per_s > 0.0:
        worth = math.sqrt(2.0 * rate_per_s * fixed_gco2e / price_gco2e_per_s)
    target = min(worth, line.held + rate_per_s * left_s, float(line.sequences))
    if target <= line.held:
        return 0.0
    wait_gco2e = price_gco2e_per_s / (2.0 * rate_per_s)  # of one request, for half a gap
    mean_gco2e = fixed_gco2e / target + wait_gco2e * (target - 1.0)
    return (target - line.held) * (mean_gco2e - wait_gco2e * (line.held + target - 1.0))
