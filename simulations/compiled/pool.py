"""A pool of virtual workers behind the shaper, in the fast loop: the same surface and the same results as `Pool`.

Catches up when it is asked, with the forecast that was in force until then. Decides nothing that is not in the loop.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from intensity_feeds.series import IntensitySeries
from scheduler.deferral import Release, release_at_s
from shaping.adaptive import price_gco2e_per_s
from shaping.energy import kv_capacity_tokens
from shaping.hold_arithmetic import UNLIMITED
from shaping.policy import Holding, ShapingPolicy
from shaping.request import LatencyClass
from simulations.compiled.layout import (
    ADAPTIVE_RULE,
    GROUP_RULE,
    PACED_RULE,
    PASS_THROUGH_RULE,
    WINDOW_RULE,
    Arrivals,
    KnownGrid,
    Settings,
    State,
    new_state,
    with_room,
)
from simulations.compiled.loop import FULL
from simulations.power_trace import PowerTrace
from simulations.serving import DeploymentSteps, PoolSpec, ServingRecord, Traffic, estimated_service_s, stays_in_order
from simulations.workers import PREFILL_CHUNK_TOKENS

Run = Callable[[State, Arrivals, KnownGrid, float], int]

_RULES = {
    Holding.PASS_THROUGH: PASS_THROUGH_RULE,
    Holding.GROUP: GROUP_RULE,
    Holding.WINDOW: WINDOW_RULE,
    Holding.PACED: PACED_RULE,
    Holding.ADAPTIVE: ADAPTIVE_RULE,
}
_SPANS = 1 << 14  # between two emptyings of the outputs: few enough to stay in the processor's caches
UNKNOWN_GRID = KnownGrid(np.zeros(0), np.zeros(0))


def covers(spec: PoolSpec, policy: ShapingPolicy) -> bool:
    """Whether the fast loop can run the pool: workers that stay awake, plain prompts, and no lanes by length."""
    reads_plainly = spec.prefix_block_tokens == 0 and spec.step_tokens == PREFILL_CHUNK_TOKENS
    lines_up_plainly = not policy.has_length_lanes and policy.first_token_budget_s is None
    return spec.sleep is None and reads_plainly and lines_up_plainly


def settings_of(spec: PoolSpec, policy: ShapingPolicy) -> Settings:
    return Settings(
        rule=_RULES[policy.holding],
        hold_s=float(policy.interactive_hold_s),
        min_group=policy.min_group,
        group_size=policy.max_group or UNLIMITED,
        max_delay_s=float(policy.max_delay_s),
        pace_gap_s=float(policy.pace_gap_s),
        interactive_price_gco2e_per_s=price_gco2e_per_s(policy, LatencyClass.INTERACTIVE),
        flex_price_gco2e_per_s=price_gco2e_per_s(policy, LatencyClass.FLEX),
        reserved_sequences=policy.reserved_sequences,
        workers=spec.workers,
        worker_sequences=spec.max_sequences,
        worker_kv_tokens=kv_capacity_tokens(spec.deployment),
        idle_power_w=DeploymentSteps(spec.deployment).idle_power_w,
        expected_output_tokens=spec.expected_output_tokens or 0,
        pool_kv_tokens=UNLIMITED if spec.capacity.kv_tokens is None else spec.capacity.kv_tokens,
        preempts=spec.preempts,
        has_priorities=spec.has_priorities,
    )


def pool_state(spec: PoolSpec, policy: ShapingPolicy, start_at_s: float) -> State:
    """The pool at rest at that instant."""
    spans, done = _SPANS + spec.workers, _SPANS // 4 + 2 * spec.max_sequences
    return new_state(settings_of(spec, policy), spec.deployment.rates, start_at_s, spans=spans, done=done)


def outputs(state: State) -> tuple[NDArray[np.void], NDArray[np.void]]:
    """What the loop has put out: finished requests and spans of power, as structured arrays."""
    done: Any = state.done
    spans: Any = state.spans
    return done[: state.pool[0].done], spans[: state.pool[0].spans]


def known_grid(series: IntensitySeries | None) -> KnownGrid:
    return UNKNOWN_GRID if series is None else KnownGrid(series.edges_at_s.copy(), series.gco2e_per_kwh.copy())


class CompiledPool:
    """`catch_up` runs everything before an instant; whoever asks for results says up to when first."""

    def __init__(
        self,
        run: Run,
        start_at_s: float,
        spec: PoolSpec,
        traffic: Traffic,
        policy: ShapingPolicy,
        *,
        forecast: Callable[[], IntensitySeries | None] | None,
        release: Release = release_at_s,
        progressed: Callable[[int], None] = lambda count: None,
    ) -> None:
        """`run` is `loop.run`, compiled or not; `forecast` and `release` as for `Pool`."""
        self.spec, self._run, self._traffic, self._policy = spec, run, traffic, policy
        self._forecast, self._release_at_s, self._progressed = forecast, release, progressed
        self._steps = DeploymentSteps(spec.deployment)
        self._state = pool_state(spec, policy, start_at_s)
        self._arrivals = self._all_arrivals()
        self._planned = self._told = 0
        self._stays: list[NDArray[np.int64]] = []
        self._traces = [_Trace(start_at_s) for _ in range(spec.workers)]
        self.record = ServingRecord.empty(len(traffic.trace))

    @property
    def open_requests(self) -> int:
        """Up to the instant to which it has caught up."""
        return len(self._traffic.trace) - self._state.pool[0].ended

    @property
    def ended_at_s(self) -> float:
        return float(self._state.pool[0].ended_at_s)

    def catch_up(self, until_s: float) -> None:
        """Everything before `until_s`, and what workers finish at that very instant."""
        if not self.open_requests:
            return
        coming = int(np.searchsorted(self._arrivals.at_s, until_s))
        self._plan_deferred(coming)
        self._state = with_room(self._state, coming - int(self._state.pool[0].next_arrival))
        grid = known_grid(self._forecast() if self._forecast else None)
        self._state.pool[0].grid_place = 0
        while self._run(self._state, self._arrivals, grid, until_s) == FULL:
            self._empty()
        self._empty()

    def close(self, end_at_s: float) -> None:
        """Keep the workers warm until `end_at_s` and take down their power."""
        self.record.power = [
            trace.finished(end_at_s, self._state.settings.idle_power_w, float(worker.carried_j))
            for trace, worker in zip(self._traces, self._state.workers, strict=True)
        ]
        self.record.earlier_stays = stays_in_order(np.concatenate([stays_in_order([]), *self._stays]))

    def _all_arrivals(self) -> Arrivals:
        traffic, trace = self._traffic, self._traffic.trace
        at_s = traffic.start_at_s + trace.arrival_s
        return Arrivals(
            first_index=0,
            at_s=at_s,
            prompt_tokens=trace.prompt_tokens.astype(np.int64),
            output_tokens=trace.output_tokens.astype(np.int64),
            is_flex=traffic.is_flex & (self._forecast is not None),
            release_by_s=at_s + self._policy.interactive_hold_s,
            not_before_s=np.zeros(len(trace)),
        )

    def _plan_deferred(self, coming: int) -> None:
        """The instants of the deferred requests among the next ones, by the policy's rule, one by one."""
        arrivals, traffic = self._arrivals, self._traffic
        series = self._forecast() if self._forecast else None
        for row in self._planned + np.flatnonzero(arrivals.is_flex[self._planned : coming]):
            now_s = float(arrivals.at_s[row])
            tokens = int(arrivals.prompt_tokens[row]), int(arrivals.output_tokens[row])
            service_s = estimated_service_s(self._steps, *tokens)
            release_by_s = now_s + max(0.0, traffic.flex_deadline_s - traffic.flex_margin_s - service_s)
            arrivals.release_by_s[row] = release_by_s
            arrivals.not_before_s[row] = self._release_at_s(series, now_s, service_s, release_by_s)
        self._planned = max(self._planned, coming)

    def _empty(self) -> None:
        """Take over what the loop has put out."""
        pool, record = self._state.pool[0], self.record
        done, spans = outputs(self._state)
        index = done["index"]
        for name in ("released_at_s", "first_token_at_s", "finished_at_s", "worker", "first_span", "last_span"):
            getattr(record, name)[index] = done[name]
        for place, trace in enumerate(self._traces):
            trace.add(spans[spans["worker"] == place])
        stays: Any = self._state.stays
        rows = stays[: pool.stays]
        self._stays.append(np.stack([rows[name] for name in ("index", "first_span", "last_span")], axis=1))
        pool.done = pool.spans = pool.stays = 0
        self._progressed(int(pool.ended) - self._told)
        self._told = int(pool.ended)


class _Trace:
    """The power trace of one worker as it is handed over, piece by piece."""

    def __init__(self, start_at_s: float) -> None:
        self._edges_at_s, self._energy_j, self._sequences = array("d", [start_at_s]), array("d"), array("q")

    def add(self, spans: NDArray[np.void]) -> None:
        self._edges_at_s.frombytes(np.ascontiguousarray(spans["end_at_s"]).tobytes())
        self._energy_j.frombytes(np.ascontiguousarray(spans["energy_j"]).tobytes())
        self._sequences.frombytes(np.ascontiguousarray(spans["sequences"]).tobytes())

    def finished(self, end_at_s: float, idle_power_w: float, carried_j: float) -> PowerTrace:
        """With the idling up to the end; `carried_j` was spent in no time and belongs to it."""
        idle_s = end_at_s - self._edges_at_s[-1]
        if idle_s > 0.0:
            self._edges_at_s.append(end_at_s)
            self._energy_j.append(idle_power_w * idle_s + carried_j)
            self._sequences.append(0)
        return PowerTrace(
            edges_at_s=np.array(self._edges_at_s),
            energy_j=np.array(self._energy_j),
            sequences=np.array(self._sequences, dtype=np.int64),
        )
