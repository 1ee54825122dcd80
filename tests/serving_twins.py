"""One trace through the plain pool and through the fast loop, and whether both did the very same."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from intensity_feeds.series import IntensitySeries
from shaping.policy import Holding, ShapingPolicy
from shaping.profiles import deployment
from simulations.compiled.pool import CompiledPool, Run
from simulations.loop import Loop, Priority
from simulations.serving import Pool, PoolSpec, ServingRecord, Traffic
from simulations.workloads import RequestTrace

START_S = 1_646_092_800.0
# Two hours of 400, a gap of one, then clean; the end of the series lies within reach of long traces.
GRID = IntensitySeries.regular("Z", START_S, 3600.0, [400.0, 400.0, np.nan, 50.0, 300.0])

COLUMNS = ("released_at_s", "first_token_at_s", "finished_at_s", "worker", "first_span", "last_span")


class Twins(NamedTuple):
    """The record of either, their power closed at the same instant."""

    plain: ServingRecord
    fast: ServingRecord


def a_spec(
    *,
    workers: int = 1,
    sequences: int = 256,
    expected_output_tokens: int | None = None,
    preempts: bool = False,
    has_priorities: bool = False,
) -> PoolSpec:
    """Workers whose KV memory holds 42,266 tokens."""
    return PoolSpec(
        name="chat",
        region="here",
        zone="Z",
        deployment=deployment(gpu="l4", model="llama-3.1-8b"),
        workers=workers,
        max_sequences=sequences,
        expected_output_tokens=expected_output_tokens,
        preempts=preempts,
        has_priorities=has_priorities,
    )


def a_policy(holding: Holding, **fields: float | None) -> ShapingPolicy:
    settings: dict[str, float | None] = {
        "interactive_hold_s": 10.0,
        "min_group": 6,
        "max_group": 5,
        "max_delay_s": 2.0,
        "pace_gap_s": 0.3,
        "latency_price_gco2e_per_h": 0.3,
    }
    return ShapingPolicy(holding=holding, **(settings | fields))  # type: ignore[arg-type]


def some_traffic(arrivals: list[tuple[float, int, int, bool]], flex_deadline_s: float = 60.0) -> Traffic:
    """Rows of arrival, prompt tokens, output tokens, and whether it may wait."""
    rows = sorted(arrivals, key=lambda row: row[0])
    trace = RequestTrace(
        arrival_s=np.array([row[0] for row in rows]),
        prompt_tokens=np.array([row[1] for row in rows], dtype=np.int64),
        output_tokens=np.array([row[2] for row in rows], dtype=np.int64),
    )
    is_flex = np.array([row[3] for row in rows], dtype=np.bool_)
    return Traffic(trace=trace, start_at_s=START_S, is_flex=is_flex, flex_deadline_s=flex_deadline_s, flex_margin_s=1.0)


def drawn_traffic(
    seed: int, count: int, rate_per_s: float, *, flex_ratio: float = 0.0, ticks_s: float = 0.0
) -> Traffic:
    """Poisson arrivals, on the ticks of a coarse clock where one is given; a few are too large for any worker."""
    drawn = np.random.default_rng(seed)
    at_s = np.cumsum(drawn.exponential(1.0 / rate_per_s, count))
    if ticks_s:
        at_s = np.floor(at_s / ticks_s) * ticks_s
    prompts = np.where(drawn.random(count) < 0.01, 60_000, drawn.integers(1, 6000, count))
    rows = zip(at_s.tolist(), prompts.tolist(), drawn.integers(1, 500, count).tolist(), strict=True)
    is_flex = (drawn.random(count) < flex_ratio).tolist()
    return some_traffic([(*row, flex) for row, flex in zip(rows, is_flex, strict=True)])


def served(
    run: Run,
    spec: PoolSpec,
    traffic: Traffic,
    policy: ShapingPolicy,
    *,
    renew_s: float = 1800.0,
    grid: IntensitySeries | None = GRID,
) -> Twins:
    """Both, with a new forecast of six hours ahead every `renew_s`; without a grid nothing may wait."""

    def issued(now_s: float) -> IntensitySeries | None:
        if grid is None or not grid.start_at_s <= now_s < grid.end_at_s:
            return None
        return grid.between(now_s, min(now_s + 6 * 3600.0, grid.end_at_s))

    current = issued(START_S)
    forecast: Callable[[], IntensitySeries | None] | None = (lambda: current) if grid is not None else None
    loop = Loop(START_S)
    plain = Pool(loop, spec, traffic, policy, forecast=forecast)

    def renew() -> None:
        nonlocal current
        if plain.open_requests:
            current = issued(loop.now_s)
            loop.schedule(loop.now_s + renew_s, Priority.FORECAST, renew)

    loop.schedule(START_S + renew_s, Priority.FORECAST, renew)
    loop.run()
    current = issued(START_S)
    fast = CompiledPool(run, START_S, spec, traffic, policy, forecast=forecast)
    now_s = START_S
    while fast.open_requests:
        now_s += renew_s
        fast.catch_up(now_s)
        current = issued(now_s)
    assert fast.ended_at_s == plain.ended_at_s
    assert plain.open_requests == 0
    for pool in (plain, fast):
        pool.close(plain.ended_at_s + 60.0)
    return Twins(plain.record, fast.record)


def assert_same(twins: Twins) -> None:
    """To the last bit: instants, places, and every span of power."""
    for name in COLUMNS:
        np.testing.assert_array_equal(getattr(twins.fast, name), getattr(twins.plain, name), err_msg=name)
    np.testing.assert_array_equal(twins.fast.earlier_stays, twins.plain.earlier_stays)
    for fast, plain in zip(twins.fast.power, twins.plain.power, strict=True):
        np.testing.assert_array_equal(fast.edges_at_s, plain.edges_at_s)
        np.testing.assert_array_equal(fast.energy_j, plain.energy_j)
        np.testing.assert_array_equal(fast.sequences, plain.sequences)
