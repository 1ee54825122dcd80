"""One job on a recorded grid: Slacktide beside three public planners, on the same numbers.

    python -m benchmarks.peers

Regret is what a choice emits beyond the best of all choices, found by trying every minute: every start for a job in one
piece, the cheapest minutes for one that may pause. All choices are priced on the steps of the series. `--markdown`
prints the table of benchmarks/peers.md. A planner that is not installed is listed as not run. Exit code 1 when
Slacktide's own regret is not zero.

None of the peers is asked over the network: each is called as a library, with the series in memory.
"""

from __future__ import annotations

import asyncio
import importlib
import importlib.metadata
import importlib.util
import logging
import random
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np

from intensity_feeds.series import IntensitySeries
from intensity_feeds.trace import read_trace
from scheduler.planning.curve import curve
from scheduler.planning.one_job.preemptible import Work, cheapest_pieces
from scheduler.planning.one_job.window import cheapest_window
from tests.real_data import data_folder

TRACE = "carbon/marginal_2023-06_5min_caiso_north.csv.gz"
STEP_S, HORIZON_S, DAYS = 300.0, 48 * 3600.0, 14
DURATIONS_MIN = (60, 240, 255, 720)
NO_REGRET_RATIO = 1e-9
SEED = 1  # of the peer that draws lots

# What a planner chooses: stretches (from, to) in epoch seconds.
Choice = list[tuple[float, float]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A job of so many minutes, released with the first step and due with the last."""

    series: IntensitySeries
    duration_min: int

    @property
    def duration_s(self) -> float:
        return 60.0 * self.duration_min

    def integral(self, choice: Choice) -> float:
        return sum(self.series.integral_g_s_per_kwh(*stretch) for stretch in choice)

    def best_by_minutes(self, *, in_pieces: bool) -> float:
        """The least integral of all choices on whole minutes; no choice between two minutes is better here."""
        minutes = np.repeat(self.series.gco2e_per_kwh, int(STEP_S // 60)) * 60.0
        if in_pieces:
            return float(np.sort(minutes)[: self.duration_min].sum())
        sums = np.convolve(minutes, np.ones(self.duration_min), mode="valid")
        return float(sums.min())


@dataclass(frozen=True, slots=True, kw_only=True)
class Planner:
    """`module` must be importable for it to run; `prepare` gets the case and returns the call that is timed."""

    name: str
    module: str
    distribution: str
    in_pieces: bool
    prepare: Callable[[Case], Callable[[], Choice]]

    @property
    def is_installed(self) -> bool:
        return importlib.util.find_spec(self.module) is not None

    @property
    def version(self) -> str:
        try:
            return importlib.metadata.version(self.distribution)
        except importlib.metadata.PackageNotFoundError:
            return "of a checkout"


# -- the planners ----------------------------------------------------------------------------------------------------


def slacktide_window(case: Case) -> Callable[[], Choice]:
    def call() -> Choice:
        one = curve("here", case.series, 1.0, case.series.start_at_s, case.series.end_at_s)
        assert one is not None
        found = cheapest_window([one], case.duration_s, case.series.start_at_s, case.series.end_at_s)
        assert found is not None
        return [(found.start_at_s, found.end_at_s)]

    return call


def slacktide_pieces(case: Case) -> Callable[[], Choice]:
    work = Work(work_s=case.duration_s, earliest_s=case.series.start_at_s, deadline_s=case.series.end_at_s)

    def call() -> Choice:
        one = curve("here", case.series, 1.0, work.earliest_s, work.deadline_s)
        assert one is not None
        found = cheapest_pieces([one], work)
        assert found is not None
        return [(piece.start_at_s, piece.end_at_s) for piece in found.segments]

    return call


def cats_window(case: Case) -> Callable[[], Choice]:
    from cats.forecast import PointEstimate, WindowedForecast

    points = [PointEstimate(value=value, datetime=instant) for instant, value in _points(case)]

    def call() -> Choice:
        found = min(WindowedForecast(points, case.duration_min, start=points[0].datetime))
        return [(found.start.timestamp(), found.start.timestamp() + case.duration_s)]

    return call


def watttime_window(case: Case) -> Callable[[], Choice]:
    return _watttime(case, charge_per_segment=[case.duration_min], optimization_method="auto")


def watttime_pieces(case: Case) -> Callable[[], Choice]:
    return _watttime(case, charge_per_segment=None, optimization_method="auto")


def _watttime(case: Case, **options: Any) -> Callable[[], Choice]:
    pd = importlib.import_module("pandas")
    optimizer = importlib.import_module("watttime_optimizer.api_opt").WattTimeOptimizer("nobody", "nothing")
    frame = pd.DataFrame(
        {
            "point_time": [instant for instant, _ in _points(case)],
            "value": case.series.gco2e_per_kwh,
        }
    )
    start, end = (datetime.fromtimestamp(at_s, UTC) for at_s in (case.series.start_at_s, case.series.end_at_s))

    def call() -> Choice:
        plan = optimizer.get_optimal_usage_plan(
            region="CAISO_NORTH",
            usage_window_start=start,
            usage_window_end=end,
            usage_time_required_minutes=case.duration_min,
            usage_power_kw=1.0,
            moer_data_override=frame,
            verbose=False,
            **options,
        )
        used = plan[plan["usage"] > 0]
        return [
            (at.timestamp(), at.timestamp() + 60.0 * float(minutes))
            for at, minutes in zip(used.index, used["usage"], strict=True)
        ]

    return call


def tidegap_window(case: Case) -> Callable[[], Choice]:
    """It knows hours and starts, not durations: it gets hourly means, and the latest start as its deadline."""
    recommend = importlib.import_module("tidegap.recommend").recommend_window
    types, grid = importlib.import_module("tidegap.types"), importlib.import_module("tidegap.grid")
    hours = case.series.gco2e_per_kwh.reshape(-1, int(3600 // STEP_S)).mean(axis=1)
    start = datetime.fromtimestamp(case.series.start_at_s, UTC)
    entries = [
        types.GridForecastEntry(
            datetime=datetime.fromtimestamp(case.series.start_at_s + 3600.0 * hour, UTC).isoformat(),
            carbon_intensity_g_co2_per_kwh=float(value),
            band="medium",
        )
        for hour, value in enumerate(hours)
    ]

    feed: Any = grid.GridFeed

    class Recorded(feed):  # type: ignore[misc]
        source = "mock"

        async def fetch_forecast(self, region: str, hours: int) -> Any:
            return types.GridForecast(
                region=region, source="mock", generated_at=start.isoformat(), entries=entries[:hours]
            )

    draws = random.Random(SEED)
    latest = datetime.fromtimestamp(case.series.end_at_s - case.duration_s, UTC)
    loop = asyncio.new_event_loop()

    def call() -> Choice:
        found = loop.run_until_complete(
            recommend(deadline=latest, region="here", feed=Recorded(), now=lambda: start, rng=draws.random)
        )
        start_at_s = datetime.fromisoformat(found.scheduled_for).timestamp()
        return [(start_at_s, start_at_s + case.duration_s)]

    return call


def _points(case: Case) -> list[tuple[datetime, float]]:
    series = case.series
    return [
        (datetime.fromtimestamp(at_s, UTC), value)
        for at_s, value in zip(series.edges_at_s[:-1].tolist(), series.gco2e_per_kwh.tolist(), strict=True)
    ]


PLANNERS = (
    Planner(name="slacktide", module="scheduler", distribution="slacktide", in_pieces=False, prepare=slacktide_window),
    Planner(
        name="climate-aware-task-scheduler",
        module="cats",
        distribution="climate-aware-task-scheduler",
        in_pieces=False,
        prepare=cats_window,
    ),
    Planner(
        name="WattTime optimiser",
        module="watttime_optimizer",
        distribution="watttime_optimizer",
        in_pieces=False,
        prepare=watttime_window,
    ),
    Planner(name="tidegap", module="tidegap", distribution="tidegap", in_pieces=False, prepare=tidegap_window),
    Planner(name="slacktide", module="scheduler", distribution="slacktide", in_pieces=True, prepare=slacktide_pieces),
    Planner(
        name="WattTime optimiser",
        module="watttime_optimizer",
        distribution="watttime_optimizer",
        in_pieces=True,
        prepare=watttime_pieces,
    ),
)


# -- measuring -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A planner's regrets and times over all cases; empty where it was not run."""

    planner: Planner
    regret_ratios: tuple[float, ...] = ()
    times_s: tuple[float, ...] = ()


def cases() -> Iterator[Case]:
    series = next(iter(read_trace(data_folder() / TRACE).values()))
    for day in range(DAYS):
        start_at_s = series.start_at_s + 86400.0 * (2 * day + 1)
        if start_at_s + HORIZON_S > series.end_at_s:
            return
        for duration_min in DURATIONS_MIN:
            yield Case(series=series.between(start_at_s, start_at_s + HORIZON_S), duration_min=duration_min)


def measured(planner: Planner, tried: Sequence[Case]) -> Row:
    if not planner.is_installed:
        return Row(planner=planner)
    regret_ratios, times_s = [], []
    for case in tried:
        call = planner.prepare(case)
        call()  # imports and caches are not what is measured
        begun_s = time.process_time()
        choice = call()
        times_s.append(time.process_time() - begun_s)
        # A schedule in whole steps may hold more than the job: what it runs is what it emits.
        best = case.best_by_minutes(in_pieces=planner.in_pieces)
        regret_ratios.append(case.integral(choice) / best - 1.0)
    return Row(planner=planner, regret_ratios=tuple(regret_ratios), times_s=tuple(times_s))


HEADINGS = ("job", "planner", "version", "regret, median", "regret, worst", "time, median")


def cells(row: Row) -> tuple[str, ...]:
    job = "in pieces" if row.planner.in_pieces else "in one piece"
    if not row.regret_ratios:
        return (job, row.planner.name, "not installed", "not run", "not run", "not run")
    return (
        job,
        row.planner.name,
        "this one" if row.planner.name == "slacktide" else row.planner.version,
        f"{statistics.median(row.regret_ratios):.2%}",
        f"{max(row.regret_ratios):.2%}",
        f"{statistics.median(row.times_s) * 1e3:.2f} ms",
    )


def as_text(rows: Sequence[Row], *, markdown: bool) -> str:
    lines = [HEADINGS, *(cells(row) for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(HEADINGS))]
    text = [" | ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) for line in lines]
    if not markdown:
        return "\n".join(text)
    rule = " | ".join("-" * width for width in widths)
    return "\n".join(f"| {line} |" for line in (text[0], rule, *text[1:]))


def main() -> int:
    logging.disable(logging.WARNING)  # a peer warns at each call that it was given a name
    tried = list(cases())
    rows = [measured(planner, tried) for planner in PLANNERS]
    print(f"{len(tried)} jobs of {', '.join(map(str, DURATIONS_MIN))} minutes, 48 h at 5 minutes each, {TRACE}\n")
    print(as_text(rows, markdown="--markdown" in sys.argv))
    own = [ratio for row in rows if row.planner.name == "slacktide" for ratio in row.regret_ratios]
    return 0 if max(own) <= NO_REGRET_RATIO else 1


if __name__ == "__main__":
    sys.exit(main())
