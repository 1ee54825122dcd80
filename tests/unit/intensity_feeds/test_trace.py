"""Trace files: what is read, what is refused and where, and the feed that replays them."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest

from intensity_feeds.feed import NoDataError, kind_of
from intensity_feeds.instants import parse_utc_s
from intensity_feeds.series import Basis, MixedSignalsError, Quality, Signal
from intensity_feeds.trace import TraceError, TraceFeed, read_forecast_trace, read_trace
from tests.real_data import real_data
from tests.unit.intensity_feeds.builders import HOUR_S, MIDNIGHT_S, a_series

HEADER = "timestamp,zone,gco2e_per_kwh\n"
TWO_HOURS = "2022-03-01T00:00:00Z,DE,100\n2022-03-01T01:00:00Z,DE,200\n"


def a_file(folder: Path, text: str, name: str = "trace.csv") -> Path:
    path = folder / name
    if name.endswith(".gz"):
        path.write_bytes(gzip.compress(text.encode()))
    else:
        path.write_text(text, "utf-8")
    return path


@pytest.mark.parametrize("name", ["trace.csv", "trace.csv.gz"])
def test_a_plain_and_a_gzipped_trace_read_the_same(tmp_path: Path, name: str) -> None:
    series = read_trace(a_file(tmp_path, HEADER + TWO_HOURS, name))["DE"]
    assert series.gco2e_per_kwh.tolist() == [100, 200]
    assert (series.start_at_s, series.end_at_s) == (MIDNIGHT_S, MIDNIGHT_S + 2 * HOUR_S)
    assert series.source == name


@pytest.mark.slow
def test_a_parquet_trace_reads_the_same(tmp_path: Path) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    from datetime import UTC, datetime

    table = pyarrow.table(
        {
            "timestamp": [datetime(2022, 3, 1, hour, tzinfo=UTC) for hour in range(3)],
            "zone": ["DE"] * 3,
            "gco2e_per_kwh": [100.0, None, 300.0],
        }
    )
    parquet.write_table(table, tmp_path / "trace.parquet")
    series = read_trace(tmp_path / "trace.parquet")["DE"]
    assert series.gco2e_per_kwh[[0, 2]].tolist() == [100, 300]
    assert series.has_gap


@pytest.mark.slow
def test_a_file_that_is_no_parquet_is_refused(tmp_path: Path) -> None:
    pytest.importorskip("pyarrow")
    with pytest.raises(TraceError, match="not a readable Parquet file"):
        read_trace(a_file(tmp_path, "hello", "trace.parquet"))


def test_an_empty_cell_is_a_gap_and_zero_a_value(tmp_path: Path) -> None:
    text = HEADER + TWO_HOURS + "2022-03-01T02:00:00Z,DE,\n2022-03-01T03:00:00Z,DE,0\n"
    series = read_trace(a_file(tmp_path, text))["DE"]
    assert np.isnan(series.gco2e_per_kwh[2])
    assert series.at(MIDNIGHT_S + 3 * HOUR_S) == 0


@pytest.mark.parametrize(
    ("column", "kind"),
    [
        ("gco2e_per_kwh", (Signal.AVERAGE, Basis.LIFECYCLE)),
        ("marginal_gco2e_per_kwh", (Signal.MARGINAL, Basis.DIRECT)),
        ("direct_gco2e_per_kwh", (Signal.AVERAGE, Basis.DIRECT)),
    ],
)
def test_the_column_says_which_question_the_numbers_answer(
    tmp_path: Path, column: str, kind: tuple[Signal, Basis]
) -> None:
    series = read_trace(a_file(tmp_path, f"timestamp,zone,{column}\n{TWO_HOURS}"))["DE"]
    assert (series.signal, series.basis) == kind


def test_a_column_can_be_asked_for_by_name(tmp_path: Path) -> None:
    text = "timestamp,zone,gco2e_per_kwh,direct_gco2e_per_kwh\n2022-03-01T00:00Z,DE,9,1\n2022-03-01T01:00Z,DE,9,2\n"
    path = a_file(tmp_path, text)
    assert read_trace(path, column="direct_gco2e_per_kwh")["DE"].gco2e_per_kwh.tolist() == [1, 2]
    with pytest.raises(TraceError, match="choose one of gco2e_per_kwh"):
        read_trace(path, column="price")


@pytest.mark.parametrize(
    ("text", "line", "column", "says"),
    [
        ("", 1, "timestamp", "the column is missing"),
        ("timestamp,zone,price\n" + TWO_HOURS, 1, "", "no column of intensities"),
        ("timestamp,gco2e_per_kwh\n", 1, "zone", "the header has: timestamp, gco2e_per_kwh"),
        (HEADER + TWO_HOURS + "2022-03-01T02:00:00Z,DE,abc\n", 4, "gco2e_per_kwh", "'abc' is no number"),
        (HEADER + TWO_HOURS + "2022-03-01T02:00:00Z,DE,-5\n", 4, "gco2e_per_kwh", "another unit"),
        (HEADER + TWO_HOURS + "2022-03-01T02:00:00Z,DE,inf\n", 4, "gco2e_per_kwh", "outside 0 to 3000"),
        (HEADER + "2022-03-01T00:00:00,DE,5\n", 2, "timestamp", "append Z"),
        (HEADER + "yesterday,DE,5\n", 2, "timestamp", "'yesterday' is no instant"),
        (HEADER + "2022-03-01T00:00:00Z,DE\n", 2, "", "2 cells, the header has 3"),
        (HEADER, None, "", "no data lines"),
        (HEADER + "2022-03-01T00:00:00Z,DE,5\n", None, "", "two points of each zone"),
    ],
)
def test_a_wrong_file_is_refused_with_line_column_and_remedy(
    tmp_path: Path, text: str, line: int | None, column: str, says: str
) -> None:
    with pytest.raises(TraceError, match=says) as caught:
        read_trace(a_file(tmp_path, text))
    assert (caught.value.line, caught.value.column) == (line, column)


def test_a_zone_that_is_not_there_is_refused_and_those_there_are_named(tmp_path: Path) -> None:
    with pytest.raises(TraceError, match="no line of FR; the file has DE"):
        read_trace(a_file(tmp_path, HEADER + TWO_HOURS), ["DE", "FR"])


def test_a_missing_and_a_cut_off_file_are_refused(tmp_path: Path) -> None:
    with pytest.raises(TraceError, match="no such file"):
        read_trace(tmp_path / "nowhere.csv")
    whole = gzip.compress((HEADER + TWO_HOURS * 2000).encode(), mtime=0)
    (tmp_path / "cut.csv.gz").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(TraceError, match="damaged or cut off"):
        read_trace(tmp_path / "cut.csv.gz")
    (tmp_path / "plain.csv.gz").write_text("no gzip at all")
    with pytest.raises(TraceError, match="gzipped if the name ends in"):
        read_trace(tmp_path / "plain.csv.gz")


def test_of_two_records_of_an_hour_the_one_scraped_last_holds_wherever_it_stands(tmp_path: Path) -> None:
    text = (
        "scraped_at,timestamp,zone,gco2e_per_kwh\n"
        "2022-03-01T03:00Z,2022-03-01T00:00Z,DE,111\n"
        "2022-03-01T01:00Z,2022-03-01T00:00Z,DE,100\n"
        "2022-03-01T02:00Z,2022-03-01T01:00Z,DE,200\n"
    )
    assert read_trace(a_file(tmp_path, text))["DE"].gco2e_per_kwh.tolist() == [111, 200]


@pytest.mark.slow
def test_the_messy_scrape_is_read_with_its_gaps_and_its_last_revisions() -> None:
    path = real_data("carbon/messy_live_scrape_2021_2022_3zones.csv.gz")
    series = read_trace(path)
    assert sorted(series) == ["DE", "FR", "US-CAL-CISO"]
    for zone, longest_gap_s in (("DE", 88 * HOUR_S), ("FR", 51 * HOUR_S), ("US-CAL-CISO", 289 * HOUR_S)):
        one = series[zone]
        gaps_s = np.diff(one.edges_at_s)[np.isnan(one.gco2e_per_kwh)]
        # The last value is carried for one step; what is longer is a gap.
        assert longest_gap_s - 2 * HOUR_S <= gaps_s.max() <= longest_gap_s + HOUR_S
    rows = [line.split(",") for line in gzip.decompress(path.read_bytes()).decode().splitlines()[1:]]
    last = {stamp: float(value) for _, stamp, zone, value in sorted(rows) if zone == "DE"}
    for stamp, value in list(last.items())[::97]:
        assert series["DE"].at(parse_utc_s(stamp)) == value


def test_the_british_outturn_keeps_its_empty_half_hours_as_a_gap() -> None:
    series = read_trace(real_data("forecasts/neso_gb_2023_01_08_30min.csv.gz"), ["GB"])["GB"]
    assert int(np.isnan(series.gco2e_per_kwh).sum()) == 5
    assert not series.covers(parse_utc_s("2023-01-26T13:30Z"), parse_utc_s("2023-01-26T16:00Z"))
    assert series.at(parse_utc_s("2023-01-31T01:00Z")) == 0
    assert series.basis is Basis.DIRECT


@pytest.mark.slow
def test_a_year_of_34_zones_is_whole() -> None:
    series = read_trace(real_data("carbon/avg_2022_hourly_34zones.csv.gz"))
    assert len(series) == 34
    assert all(len(one.gco2e_per_kwh) == 8760 and not one.has_gap for one in series.values())


FORECASTS = (
    "issued_at,timestamp,zone,forecast_gco2e_per_kwh\n"
    "2022-03-01T00:00Z,2022-03-01T00:00Z,DE,100\n"
    "2022-03-01T00:00Z,2022-03-01T01:00Z,DE,110\n"
    "2022-03-01T01:00Z,2022-03-01T01:00Z,DE,120\n"
    "2022-03-01T01:00Z,2022-03-01T02:00Z,DE,130\n"
)


def test_recorded_forecasts_are_kept_apart_by_their_time_of_issue(tmp_path: Path) -> None:
    first, second = read_forecast_trace(a_file(tmp_path, FORECASTS))["DE"]
    assert (first.issued_at_s, second.issued_at_s) == (MIDNIGHT_S, MIDNIGHT_S + HOUR_S)
    assert (first.gco2e_per_kwh.tolist(), second.gco2e_per_kwh.tolist()) == ([100, 110], [120, 130])
    assert first.quality is Quality.FORECAST


def test_forecasts_without_a_time_of_issue_are_refused(tmp_path: Path) -> None:
    with pytest.raises(TraceError, match="issued_at"):
        read_forecast_trace(a_file(tmp_path, "timestamp,zone,forecast_gco2e_per_kwh\n2022-03-01T00:00Z,DE,1\n"))


@pytest.mark.slow
def test_the_real_four_day_forecasts_are_read() -> None:
    forecasts = read_forecast_trace(real_data("forecasts/derived_ridge_96h_2021H2_8zones.csv.gz"), ["DE"])["DE"]
    assert len(forecasts) == 184
    assert forecasts[0].end_at_s - forecasts[0].start_at_s == 96 * HOUR_S


def test_a_replayed_trace_is_its_own_forecast_and_says_so() -> None:
    feed = TraceFeed({"DE": a_series((1.0, 2.0, 3.0))}, horizon_s=1.5 * HOUR_S)
    seen = feed.forecast("DE", MIDNIGHT_S + 0.5 * HOUR_S)
    assert (seen.start_at_s, seen.end_at_s) == (MIDNIGHT_S, MIDNIGHT_S + 2 * HOUR_S)
    assert (seen.quality, seen.issued_at_s) == (Quality.FORECAST, MIDNIGHT_S + 0.5 * HOUR_S)
    assert "perfect forecast" in seen.source


def test_a_replayed_forecast_is_the_last_one_issued_by_now(tmp_path: Path) -> None:
    feed = TraceFeed({"DE": a_series()}, read_forecast_trace(a_file(tmp_path, FORECASTS)))
    assert feed.forecast("DE", MIDNIGHT_S + HOUR_S - 1).gco2e_per_kwh.tolist() == [100, 110]
    assert feed.forecast("DE", MIDNIGHT_S + HOUR_S).gco2e_per_kwh.tolist() == [120, 130]
    for beyond_s in (-1.0, 3 * HOUR_S):
        with pytest.raises(NoDataError):
            feed.forecast("DE", MIDNIGHT_S + beyond_s)


def test_a_replayed_past_is_what_the_trace_holds_of_it() -> None:
    feed = TraceFeed({"DE": a_series()})
    assert feed.history("DE", MIDNIGHT_S - HOUR_S, MIDNIGHT_S + HOUR_S).gco2e_per_kwh.tolist() == [100]
    with pytest.raises(NoDataError):
        feed.history("DE", MIDNIGHT_S - 2 * HOUR_S, MIDNIGHT_S - HOUR_S)
    with pytest.raises(NoDataError, match="the trace has DE"):
        feed.history("FR", MIDNIGHT_S, MIDNIGHT_S + HOUR_S)
    with pytest.raises(NoDataError):
        feed.forecast("DE", MIDNIGHT_S + 3 * HOUR_S)


def test_a_feed_of_two_kinds_of_series_is_refused() -> None:
    marginal = a_series(zone="FR", signal=Signal.MARGINAL)
    with pytest.raises(MixedSignalsError):
        TraceFeed({"DE": a_series(), "FR": marginal})
    assert kind_of(TraceFeed({"FR": marginal})) == (Signal.MARGINAL, Basis.LIFECYCLE)
