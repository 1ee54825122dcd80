"""A view of a built grid, as the handlers see it."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from intensity_feeds.series import IntensitySeries
from simulations.feed_server.faults import Faults
from simulations.feed_server.grid_view import GridView
from simulations.feed_server.places import regions_of
from simulations.feed_server.replies import RefusedError, Reply
from simulations.feed_server.routes import Handler

HOUR_S = 3600.0
DAY_S = 24 * HOUR_S
START_S = datetime.fromisoformat("2022-03-07T00:00:00+00:00").timestamp()
# The fourth day, 12:40.
NOW_S = START_S + 3 * DAY_S + 12 * HOUR_S + 2400.0


def a_series(
    zone: str = "DE", *, level_gco2e_per_kwh: float = 300.0, days: int = 8, **labels: object
) -> IntensitySeries:
    """Hourly: the level plus the hour of the day."""
    values = [level_gco2e_per_kwh + hour % 24 for hour in range(days * 24)]
    return IntensitySeries.regular(zone, START_S, HOUR_S, values, **labels)


def a_view(
    *series: IntensitySeries,
    marginal: IntensitySeries | None = None,
    now_s: float = NOW_S,
    holding: frozenset[str] | set[str] = frozenset(),
    faults: Faults | None = None,
) -> GridView:
    trace = {one.zone: one for one in series or (a_series(), a_series("GB", level_gco2e_per_kwh=200.0))}
    beside = {} if marginal is None else {marginal.zone: marginal}
    view = GridView(
        trace=trace, marginal=beside, now_s=now_s, data_now_s=now_s, regions=regions_of({**trace, **beside}, {})
    )
    return replace(view, holding=frozenset(holding), faults=faults or Faults())


def refused(handler: Handler, view: GridView, query: dict[str, str]) -> Reply:
    """The refusal that a handler must raise."""
    try:
        handler(view, query)
    except RefusedError as error:
        return error.reply
    raise AssertionError("the handler answered")
