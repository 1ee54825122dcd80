"""A daemon holds its feed's forecasts against what came, and says how wrong they were."""

from __future__ import annotations

from pathlib import Path

import pytest

from intensity_feeds.instants import format_utc
from tests.builders import YEAR_2022_AT_S
from tests.daemons import a_daemon, got, until

pytestmark = pytest.mark.slow

HOUR_S = 3600.0


def a_trace_file(folder: Path) -> Path:
    """Four days of 100 and 200 g by turns, from a day before the daemon's first instant."""
    path = folder / "grid.csv"
    hours = range(-24, 72)
    rows = [f"{format_utc(YEAR_2022_AT_S + hour * HOUR_S)},DE,{100 + 100 * (hour % 2)}" for hour in hours]
    path.write_text("\n".join(["timestamp,zone,gco2e_per_kwh", *rows]) + "\n", "utf-8")
    return path


async def test_errors_of_forecasts_are_metrics_and_outlive_the_daemon(tmp_path: Path) -> None:
    tables = {
        "region": [{"name": "here", "zone": "DE", "gpus": 2}],
        "feed": [{"kind": "trace", "zones": ["DE"], "file": str(a_trace_file(tmp_path)), "poll_s": 600}],
    }
    scored = 'slacktide_forecast_error_mae_gco2e_per_kwh{feed="trace",horizon="0-6h",zone="DE"} 0.0'
    async with a_daemon(tmp_path, tables) as (daemon, client):
        await until(lambda: scored in daemon.metrics.exposition().decode())
        _, answer = await got(client, "/api/v1/intensity?zone=DE")
        assert answer["zones"][0]["points"][0]["expected"] is None  # a few hours tell nothing of a tail
    async with a_daemon(tmp_path, tables, epoch_s=YEAR_2022_AT_S + 12 * HOUR_S) as (daemon, _):
        assert scored in daemon.metrics.exposition().decode()
