"""Recorded electricity prices: which columns of a file are a price, in which unit. Opens nothing itself."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

import numpy as np

from intensity_feeds.prices import PriceSeries
from intensity_feeds.series import MalformedSeriesError, from_points
from intensity_feeds.trace_rows import Columns, Limits, TraceError, gather, opened

# Column -> dollars per kWh in one unit of it. The first that a file has is read.
COLUMNS: dict[str, float] = {"price_usd_per_mwh": 1e-3, "price_usd_per_kwh": 1.0}
# Scarcity prices reach thousands of dollars per MWh on either side of zero; more is another unit.
_MOST_USD_PER_MWH = 100_000.0


def read_prices(path: Path | str, zones: Collection[str] | None = None) -> dict[str, PriceSeries]:
    """The prices of each zone in the file, or of `zones` as far as it has them. Raises TraceError.

    A missing point is bridged and a silence is a gap by the same rule as in a trace of intensities.
    """
    with opened(Path(path)) as rows:
        column = next((name for name in COLUMNS if name in rows.header), None)
        if column is None:
            raise TraceError(rows.path, 1, "", f"no column of prices; call it {' or '.join(COLUMNS)}")
        most = _MOST_USD_PER_MWH * 1e-3 / COLUMNS[column]
        limits = Limits(low=-most, high=most, unit=column.removeprefix("price_").replace("_per_", "/"))
        gathered = gather(rows, Columns(value=column, limits=limits), zones)
    found: dict[str, PriceSeries] = {}
    for (zone, _), points in sorted(gathered.items()):
        try:
            steps = from_points(zone, np.array(points.starts_at_s), COLUMNS[column] * np.array(points.array))
        except MalformedSeriesError as error:
            raise TraceError(Path(path), None, "", f"{error}; give two points of each zone") from None
        found[zone] = PriceSeries(zone=zone, edges_at_s=steps.edges_at_s, usd_per_kwh=steps.gco2e_per_kwh)
    return found
