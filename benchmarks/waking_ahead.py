"""What a habit is worth to workers that sleep: five working days, each of which begins at nine.

    python -m benchmarks.waking_ahead

Four H100 with the 8B model and 4 places each, 350 + 400 tokens, served on arrival. A request every two minutes by
night, four a second from 09:00 to 12:00, arrivals from Poisson's distribution; then a holiday, on which the night goes
on. One worker stays awake, the others wake in a minute. The first two days nothing is known of the time of day; from
the third on workers are woken before nine.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from benchmarks.arrival_runs import BARE_W, LOADING_W, OUTPUT_TOKENS, PASS_THROUGH, alike, answered
from benchmarks.arrival_shaping import cells, headed
from intensity_feeds.series import Floats
from shaping.consolidation import ConsolidationPolicy
from simulations.accounts import J_PER_KWH
from simulations.power_trace import PowerTrace
from simulations.roster import SleepSpec
from simulations.serving import Pool, Traffic

MONDAY_S = 1_641_168_000.0  # 2022-01-03
DAY_S, HOUR_S = 86_400.0, 3600.0
DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday, a holiday")
OPENS_S, CLOSES_S = 9 * HOUR_S, 12 * HOUR_S
NIGHT_PER_S, DAY_PER_S = 1.0 / 120.0, 4.0
FIRST_S = 600.0
WORKERS, PLACES, WAKES_IN_S = 4, 4, 60.0
SLEEP = SleepSpec(
    policy=ConsolidationPolicy(wake_s=WAKES_IN_S + 1.0, patience_s=120.0, min_awake=1),
    wakes_in_s=WAKES_IN_S,
    asleep_power_w=BARE_W,
    waking_power_w=LOADING_W,
)


def week(seed: int = 1) -> Floats:
    """Arrivals in seconds from Monday 00:00, of shape (n,)."""
    random = np.random.default_rng(seed)
    parts = []
    for day in range(len(DAYS)):
        is_open = day < len(DAYS) - 1
        for from_s, to_s, per_s in (
            (0.0, OPENS_S, NIGHT_PER_S),
            (OPENS_S, CLOSES_S, DAY_PER_S if is_open else NIGHT_PER_S),
            (CLOSES_S, DAY_S, NIGHT_PER_S),
        ):
            count = random.poisson((to_s - from_s) * per_s)
            parts.append(day * DAY_S + np.sort(random.uniform(from_s, to_s, count)))
    return np.concatenate(parts)


def served(arrivals_s: Floats) -> Pool:
    """The pool after its last answer."""
    traffic = Traffic(
        trace=alike(arrivals_s),
        start_at_s=MONDAY_S,
        is_flex=np.full(len(arrivals_s), False),
        flex_deadline_s=0.0,
        flex_margin_s=0.0,
    )
    return answered(
        traffic,
        PASS_THROUGH,
        sleep=SLEEP,
        expected_output_tokens=OUTPUT_TOKENS,
        workers=WORKERS,
        sequences=PLACES,
    )


def rows(pool: Pool, arrivals_s: Floats) -> Iterator[tuple[str, Floats, float]]:
    """A day's name, the latencies of the first ten minutes after nine, and the day's kWh."""
    latencies_s = pool.record.finished_at_s - (MONDAY_S + arrivals_s)
    for day, name in enumerate(DAYS):
        opens_s = day * DAY_S + OPENS_S
        is_first = (arrivals_s >= opens_s) & (arrivals_s < opens_s + FIRST_S)
        begin_s = MONDAY_S + day * DAY_S
        energy_j = sum(_energy_j(trace, begin_s, begin_s + DAY_S) for trace in pool.record.power)
        yield name, latencies_s[is_first], energy_j / J_PER_KWH


def _energy_j(trace: PowerTrace, from_s: float, to_s: float) -> float:
    """Spent in the interval: power is constant between edges."""
    spent_j = np.concatenate(([0.0], trace.energy_j.cumsum()))
    return float(np.diff(np.interp((from_s, to_s), trace.edges_at_s, spent_j))[0])


def main() -> None:
    arrivals_s = week()
    for line in headed("day", "requests 09:00 to 09:10", "p50 s", "p99 s", "longest s", "kWh of the day"):
        print(line)
    for name, latencies_s, kwh in rows(served(arrivals_s), arrivals_s):
        times_s = (f"{value_s:.1f}" for value_s in np.quantile(latencies_s, (0.5, 0.99, 1.0)))
        print(cells(name, len(latencies_s), *times_s, f"{kwh:.2f}"))


if __name__ == "__main__":
    main()
