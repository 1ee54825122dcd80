"""Public clients, unchanged, against the emulators: the proof that the emulators are faithful."""

from __future__ import annotations

import asyncio
import logging
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest
from aioelectricitymaps import (
    CoordinatesRequest,
    ElectricityMaps,
    ElectricityMapsConnectionError,
    ElectricityMapsInvalidTokenError,
    ElectricityMapsNoDataError,
    ZoneRequest,
)
from aioelectricitymaps.const import ApiEndpoints
from aiohttp import ClientSession

from simulations.feed_server import ALWAYS, Credentials, Faults, Span
from tests.contracts.emulated_feeds import (
    DAY_S,
    HOUR_S,
    MONDAY_S,
    NOON_S,
    Clock,
    Emulator,
    a_real_series,
    a_served_trace,
    a_trace,
    at_s,
)

LB_PER_MWH = 1 / 0.45359237


# -- Electricity Maps: aioelectricitymaps -----------------------------------------------------------------------------


@pytest.fixture(params=["v3", "v4"])
def version(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def point_electricity_maps(monkeypatch: pytest.MonkeyPatch, version: str) -> Callable[[Emulator], None]:
    def point_at(server: Emulator) -> None:
        for name in (name for name in vars(ApiEndpoints) if name.isupper()):
            path = getattr(ApiEndpoints, name).partition("/v3")[2]
            monkeypatch.setattr(ApiEndpoints, name, f"{server.root}/{version}{path}")

    return point_at


PointAt = Callable[[Emulator], None]


async def test_aioelectricitymaps_reads_the_latest_intensity(point_electricity_maps: PointAt) -> None:
    async with a_served_trace() as server, ElectricityMaps(token="any") as client:
        point_electricity_maps(server)
        latest = await client.latest_carbon_intensity(ZoneRequest("DE"))
    assert (latest.zone, latest.carbon_intensity) == ("DE", 312)
    assert latest.timestamp == datetime(2022, 3, 17, 12, tzinfo=UTC)
    assert latest.is_estimated
    assert latest.emission_factor_type == "lifecycle"


async def test_aioelectricitymaps_finds_the_zone_of_coordinates(point_electricity_maps: PointAt) -> None:
    async with a_served_trace() as server, ElectricityMaps(token="any") as client:
        point_electricity_maps(server)
        latest = await client.latest_carbon_intensity(CoordinatesRequest(lat="52.5", lon="13.4"))
    assert latest.zone == "DE"


async def test_aioelectricitymaps_reads_a_day_of_history_the_last_two_hours_estimated(
    point_electricity_maps: PointAt,
) -> None:
    async with a_served_trace() as server, ElectricityMaps(token="any") as client:
        point_electricity_maps(server)
        history = (await client.carbon_intensity_history(ZoneRequest("DE"))).history
    assert [row.carbon_intensity for row in history] == [300 + hour % 24 for hour in range(13, 37)]
    assert history[-1].timestamp == datetime(2022, 3, 17, 12, tzinfo=UTC)
    assert [row.is_estimated for row in history] == [False] * 22 + [True] * 2


async def test_aioelectricitymaps_reads_a_power_breakdown_that_adds_up(point_electricity_maps: PointAt) -> None:
    async with a_served_trace() as server, ElectricityMaps(token="any") as client:
        point_electricity_maps(server)
        latest = await client.latest_power_breakdown(ZoneRequest("DE"))
        history = await client.power_breakdown_history(ZoneRequest("DE"))
    mix = latest.power_consumption_breakdown
    grams = (mix["gas"] or 0) * 490 + (mix["wind"] or 0) * 11 + (mix["coal"] or 0) * 820
    assert grams / latest.power_consumption_total == pytest.approx(312, abs=0.1)
    assert len(history.history) == 24


async def test_aioelectricitymaps_reads_what_home_assistant_shows(point_electricity_maps: PointAt) -> None:
    async with a_served_trace() as server, ElectricityMaps(token="any") as client:
        point_electricity_maps(server)
        shown = await client.carbon_intensity_for_home_assistant(ZoneRequest("DE"))
    assert (shown.country_code, shown.data.carbon_intensity) == ("DE", 312)
    assert shown.units.carbon_intensity == "gCO2eq/kWh"


async def test_aioelectricitymaps_lists_the_zones_without_a_token(point_electricity_maps: PointAt) -> None:
    async with a_served_trace() as server, ElectricityMaps(token="") as client:
        point_electricity_maps(server)
        zones = await client.zones()
    assert zones["DE"].zone_name == "Germany"
    assert zones["US-CAL-CISO"].country_name == "USA"


async def test_aioelectricitymaps_takes_a_wrong_token_for_invalid(point_electricity_maps: PointAt) -> None:
    wanted = Credentials(electricity_maps_token="right")
    async with a_served_trace(credentials=wanted) as server, ElectricityMaps(token="wrong") as client:
        point_electricity_maps(server)
        with pytest.raises(ElectricityMapsInvalidTokenError):
            await client.latest_carbon_intensity(ZoneRequest("DE"))


async def test_aioelectricitymaps_takes_a_plan_limit_for_an_invalid_token(point_electricity_maps: PointAt) -> None:
    faults = Faults(out_of_scope=Span(path="power-breakdown"))
    async with a_served_trace(faults=faults) as server, ElectricityMaps(token="any") as client:
        point_electricity_maps(server)
        await client.latest_carbon_intensity(ZoneRequest("DE"))
        with pytest.raises(ElectricityMapsInvalidTokenError):
            await client.latest_power_breakdown(ZoneRequest("DE"))


async def test_aioelectricitymaps_learns_that_there_is_no_data(point_electricity_maps: PointAt) -> None:
    async with a_served_trace(faults=Faults(no_points=ALWAYS)) as server, ElectricityMaps(token="any") as client:
        point_electricity_maps(server)
        with pytest.raises(ElectricityMapsNoDataError):
            await client.carbon_intensity_for_home_assistant(ZoneRequest("DE"))


@pytest.mark.parametrize(
    "faults", [Faults(server_error=ALWAYS), Faults(reset=ALWAYS), Faults(truncated=ALWAYS), Faults(rate_limited=ALWAYS)]
)
async def test_aioelectricitymaps_reports_a_broken_service(point_electricity_maps: PointAt, faults: Faults) -> None:
    async with a_served_trace(faults=faults) as server, ElectricityMaps(token="any") as client:
        point_electricity_maps(server)
        with pytest.raises(ElectricityMapsConnectionError):
            await client.latest_carbon_intensity(ZoneRequest("DE"))


@pytest.mark.slow
async def test_aioelectricitymaps_reads_a_real_year(point_electricity_maps: PointAt) -> None:
    series = a_real_series("carbon/avg_2022_hourly_34zones.csv.gz", "US-CAL-CISO")
    clock = Clock(at_s("2022-06-01T00:30:00+00:00"))
    async with a_served_trace({"US-CAL-CISO": series}, clock=clock) as server, ElectricityMaps(token="any") as client:
        point_electricity_maps(server)
        history = (await client.carbon_intensity_history(ZoneRequest("US-CAL-CISO"))).history
    assert [row.carbon_intensity for row in history] == [round(series.at(row.timestamp.timestamp())) for row in history]


# -- WattTime: the official SDK ---------------------------------------------------------------------------------------


@pytest.fixture
def watttime(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """The SDK's module. It sets up the root logger when imported; that is undone."""
    handlers, level = list(logging.root.handlers), logging.root.level
    module = pytest.importorskip("watttime", reason="the watttime SDK is not installed")
    logging.root.handlers[:] = handlers
    logging.root.setLevel(level)
    monkeypatch.setenv("WATTTIME_USER", "ada")
    monkeypatch.setenv("WATTTIME_PASSWORD", "secret-1815")
    yield module


@pytest.fixture
def sdk(watttime: Any, monkeypatch: pytest.MonkeyPatch) -> Callable[[Emulator, str], Any]:
    """A client of one of the SDK's classes, pointed at the server."""

    def client_of(server: Emulator, name: str) -> Any:
        monkeypatch.setattr(watttime.api.WattTimeBase, "url_base", server.root)
        return getattr(watttime, name)()

    return client_of


Sdk = Callable[[Emulator, str], Any]


@pytest.mark.slow
async def test_watttime_tables_what_the_account_may_read(sdk: Sdk) -> None:
    async with a_served_trace() as server:
        access = await asyncio.to_thread(sdk(server, "WattTimeMyAccess").get_access_pandas)
    marginal = access[access.signal_type == "co2_moer"]
    assert set(marginal.region) == {"CAISO", "CAISO_NORTH", "DE", "UK"}
    assert set(marginal.endpoint) == {"v3/forecast", "v3/historical"}
    assert set(access[access.signal_type == "co2_aoer"].region) == {"DE", "UK"}


@pytest.mark.slow
async def test_watttime_joins_73_days_of_history_in_three_chunks(sdk: Sdk) -> None:
    series = a_real_series("carbon/avg_2022_hourly_34zones.csv.gz", "US-CAL-CISO")
    clock = Clock(at_s("2022-12-01T00:00:00+00:00"))
    async with a_served_trace({"US-CAL-CISO": series}, clock=clock) as server:
        client = sdk(server, "WattTimeHistorical")
        arguments = ("2022-01-01", "2022-03-15", "CAISO_NORTH")
        responses = await asyncio.to_thread(client.get_historical_jsons, *arguments)
        table = await asyncio.to_thread(client.get_historical_pandas, *arguments)
    assert len(responses) == 3
    assert len(table) == 73 * 288 + 1
    assert table.point_time.is_unique
    expected = [series.at(moment.timestamp()) * LB_PER_MWH for moment in table.point_time]
    assert max(abs(table.value - expected)) <= 0.05 + 1e-6
    assert "REPLAY_STAND_IN" in str(client.raised_warnings)


@pytest.mark.slow
async def test_watttime_reads_real_five_minute_marginal_rates(sdk: Sdk) -> None:
    series = a_real_series("carbon/marginal_2023-06_5min_caiso_north.csv.gz", "US-CAL-CISO")
    clock = Clock(at_s("2023-06-20T00:02:00+00:00"))
    async with a_served_trace({"US-CAL-CISO": series}, clock=clock) as server:
        client = sdk(server, "WattTimeHistorical")
        table = await asyncio.to_thread(client.get_historical_pandas, "2023-06-19", "2023-06-21", "CAISO_NORTH")
    assert len(table) == 288, "a value appears when its five minutes are over"
    expected = [series.at(moment.timestamp()) * LB_PER_MWH for moment in table.point_time]
    assert max(abs(table.value - expected)) <= 0.05 + 1e-6
    assert client.raised_warnings == []


@pytest.mark.slow
@pytest.mark.parametrize(("horizon_h", "points"), [(0, 1), (24, 288), (72, 864)])
async def test_watttime_reads_a_forecast_from_the_running_five_minutes(sdk: Sdk, horizon_h: int, points: int) -> None:
    async with a_served_trace(clock=Clock(NOON_S + 130)) as server:
        client = sdk(server, "WattTimeForecast")
        payload = await asyncio.to_thread(client.get_forecast_json, "CAISO_NORTH", horizon_hours=horizon_h)
    assert len(payload["data"]) == points
    assert payload["data"][0] == {"point_time": "2022-03-17T12:40:00+00:00", "value": round(412 * LB_PER_MWH, 1)}
    assert payload["meta"]["generated_at"] == "2022-03-17T12:40:00+00:00"


@pytest.mark.slow
async def test_watttime_reads_288_past_forecasts_of_a_day(sdk: Sdk) -> None:
    async with a_served_trace() as server:
        client = sdk(server, "WattTimeForecast")
        first, last = await asyncio.to_thread(
            client.get_historical_forecast_json, "2022-03-10", "2022-03-11 12:00", "CAISO_NORTH", horizon_hours=1
        )
        table = await asyncio.to_thread(
            client.get_historical_forecast_pandas_list, [date(2022, 3, 10)], "CAISO_NORTH", horizon_hours=1
        )
    assert len(first["data"]) == 288
    assert len(last["data"]) == 145
    assert {len(issue["forecast"]) for issue in first["data"]} == {12}
    assert table.generated_at.nunique() == 288


@pytest.mark.slow
async def test_watttime_draws_the_map_and_looks_a_region_up(sdk: Sdk) -> None:
    async with a_served_trace() as server:
        client = sdk(server, "WattTimeMaps")
        drawn = await asyncio.to_thread(client.get_maps_json)
        found = await asyncio.to_thread(client.region_from_loc, 37.8, -122.3)
        with pytest.raises(RuntimeError, match="404"):
            await asyncio.to_thread(client.region_from_loc, 0, 0)
    assert "CAISO_NORTH" in [one["properties"]["region"] for one in drawn["features"]]
    assert found == {"region": "CAISO_NORTH", "region_full_name": "CAISO", "signal_type": "co2_moer"}


@pytest.mark.slow
@pytest.mark.parametrize("faults", [Faults(out_of_scope=ALWAYS), Faults(rate_limited_silently=Span(path="/v3/"))])
async def test_watttime_gives_up_on_a_refusal(sdk: Sdk, faults: Faults) -> None:
    async with a_served_trace(faults=faults) as server:
        client = sdk(server, "WattTimeForecast")
        with pytest.raises(RuntimeError, match=r"403|429"):
            await asyncio.to_thread(client.get_forecast_json, "CAISO_NORTH")


@pytest.mark.slow
async def test_watttime_does_not_repair_a_token_that_expires_in_mid_run(sdk: Sdk) -> None:
    async with a_served_trace(faults=Faults(expired_token=ALWAYS, token_calls=2)) as server:
        client = sdk(server, "WattTimeForecast")
        for _ in range(2):
            await asyncio.to_thread(client.get_forecast_json, "CAISO_NORTH")
        with pytest.raises(RuntimeError, match="401"):
            await asyncio.to_thread(client.get_forecast_json, "CAISO_NORTH")


@pytest.mark.slow
@pytest.mark.parametrize(
    "faults", [Faults(server_error=Span(requests=1)), Faults(rate_limited=Span(requests=1), retry_after_s=0)]
)
async def test_watttime_repeats_after_one_failure_or_when_told_to(sdk: Sdk, faults: Faults) -> None:
    async with a_served_trace(faults=faults) as server:
        client = sdk(server, "WattTimeForecast")
        payload = await asyncio.to_thread(client.get_forecast_json, "CAISO_NORTH")
    assert len(payload["data"]) == 288


@pytest.mark.slow
async def test_watttime_reads_its_address_from_the_environment(watttime: Any) -> None:
    """In a process of its own, where the module is imported after the variable was set."""
    script = "import watttime; print(len(watttime.WattTimeForecast().get_forecast_json('CAISO_NORTH')['data']))"
    async with a_served_trace() as server:
        environment = os.environ | {"WATTTIME_API_URL": server.root}
        command = [sys.executable, "-c", script]
        done = await asyncio.to_thread(
            subprocess.run, command, env=environment, capture_output=True, text=True, timeout=180, check=False
        )
    assert done.stdout.strip() == "288", done.stderr


# -- Great Britain: climate-aware-task-scheduler ----------------------------------------------------------------------


@pytest.fixture
def cats_provider(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    """The provider's class; its cache of answers lies in a folder of the test's own."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    module = pytest.importorskip("cats.providers.uk_carbonintensity", reason="climate-aware-task-scheduler is missing")
    return module.UKCarbonIntensityProvider


@pytest.mark.slow
async def test_cats_reads_48_hours_of_half_hours_for_a_postcode(cats_provider: Any) -> None:
    async with a_served_trace() as server:
        provider = cats_provider(base_url=server.root)
        timeseries = await asyncio.to_thread(provider.get_data, datetime(2022, 3, 17, 12, 40, tzinfo=UTC), "OX1")
    values = timeseries.values
    assert len(values) >= 96
    assert values[0].datetime == datetime(2022, 3, 17, 12, 30, tzinfo=UTC)
    assert [point.value for point in values[:4]] == [212, 213, 213, 214]


@pytest.mark.slow
async def test_cats_reads_a_real_two_days_of_great_britain(cats_provider: Any) -> None:
    series = a_real_series("carbon/avg_2022_hourly_34zones.csv.gz", "GB")
    start = datetime(2022, 5, 10, 6, tzinfo=UTC)
    async with a_served_trace({"GB": series}, clock=Clock(start.timestamp())) as server:
        provider = cats_provider(base_url=server.root)
        timeseries = await asyncio.to_thread(provider.get_data, start, "SW1A")
    assert [point.value for point in timeseries.values] == [
        round(series.at(point.datetime.timestamp())) for point in timeseries.values
    ]


# -- Great Britain: aioukcarbon ---------------------------------------------------------------------------------------


class _FrozenDatetime(datetime):
    """The client asks from its own clock; here its clock is the replay's."""

    @classmethod
    def now(cls, tz: Any = None) -> _FrozenDatetime:
        return cls.fromtimestamp(NOON_S, tz)


@pytest.fixture
def uk_carbon(monkeypatch: pytest.MonkeyPatch) -> Any:
    module = pytest.importorskip(
        "aioukcarbon",
        reason="aioukcarbon is missing: pip install --no-deps --ignore-requires-python aioukcarbon==0.2.0",
    )
    monkeypatch.setattr(module.client, "datetime", _FrozenDatetime)
    return module


@pytest.fixture
def point_uk_carbon(uk_carbon: Any, monkeypatch: pytest.MonkeyPatch) -> PointAt:
    return lambda server: monkeypatch.setattr(uk_carbon.client, "BASE_URL", server.root)


async def test_aioukcarbon_reads_the_national_intensity(uk_carbon: Any, point_uk_carbon: PointAt) -> None:
    async with a_served_trace() as server, uk_carbon.CarbonIntensityClient() as client:
        point_uk_carbon(server)
        national = await client.get_national_intensity()
    assert national.from_time == datetime(2022, 3, 17, 12, 30, tzinfo=UTC)
    assert (national.intensity.forecast, national.intensity.actual) == (212, None)
    assert national.intensity.index == "moderate"


async def test_aioukcarbon_reads_one_region_now_and_ahead(uk_carbon: Any, point_uk_carbon: PointAt) -> None:
    async with a_served_trace() as server, uk_carbon.CarbonIntensityClient() as client:
        point_uk_carbon(server)
        now = await client.get_regional_intensity("SW1")
        ahead = await client.get_regional_forecast("RG41", hours=48)
    assert (now.regionid, now.shortname, now.postcode, len(now.periods)) == (13, "London", "SW1", 1)
    assert (ahead.regionid, ahead.periods[0].from_time) == (12, datetime(2022, 3, 17, 12, 30, tzinfo=UTC))
    assert len(ahead.periods) == 97
    assert {period.intensity.actual for period in ahead.periods} == {None}


async def test_aioukcarbon_reads_a_mix_that_adds_up(uk_carbon: Any, point_uk_carbon: PointAt) -> None:
    async with a_served_trace() as server, uk_carbon.CarbonIntensityClient() as client:
        point_uk_carbon(server)
        mix = (await client.get_generation_mix()).generationmix
    assert sum(fuel.perc for fuel in mix) == pytest.approx(100, abs=0.2)
    assert next(fuel.perc for fuel in mix if fuel.fuel == "gas") == pytest.approx(100 * 212 / 394, abs=0.06)


async def test_aioukcarbon_reads_all_regions(uk_carbon: Any, point_uk_carbon: PointAt) -> None:
    async with a_served_trace() as server, uk_carbon.CarbonIntensityClient() as client:
        point_uk_carbon(server)
        now = await client.get_all_regions_current()
        ahead = await client.get_all_regions_forecast(hours=24)
    assert [region.regionid for region in now.periods[0].regions] == list(range(1, 18))
    assert len(ahead.periods) == 49


async def test_aioukcarbon_learns_of_faults(uk_carbon: Any, point_uk_carbon: PointAt) -> None:
    async with (
        a_served_trace(faults=Faults(server_error=ALWAYS)) as server,
        uk_carbon.CarbonIntensityClient() as client,
    ):
        point_uk_carbon(server)
        with pytest.raises(uk_carbon.CarbonIntensityError, match="500"):
            await client.get_national_intensity()
        server.feeds.set_faults(Faults(reset=ALWAYS))
        with pytest.raises(uk_carbon.CarbonIntensityConnectionError):
            await client.get_national_intensity()
        server.feeds.set_faults(Faults(no_points=ALWAYS))
        with pytest.raises(uk_carbon.CarbonIntensityNoDataError):
            await client.get_regional_forecast("SW1")


# -- clients that are not installed here: the requests they are known to send -----------------------------------------


async def test_codecarbon_finds_the_intensity_at_top_level_and_the_error_text() -> None:
    async with a_served_trace() as server, ClientSession(headers={"auth-token": "any"}) as session:
        root = f"{server.root}/v3/carbon-intensity/latest"
        async with session.get(root, params={"countryCode": "DE"}) as by_country:
            assert (await by_country.json())["carbonIntensity"] == 312
        async with session.get(root, params={"lat": "51.5", "lon": "-0.1"}) as by_place:
            assert (await by_place.json())["zone"] == "GB"
        async with session.get(root, params={"countryCode": "XX"}) as unknown:
            assert unknown.status == 404
            assert "XX" in (await unknown.json())["error"]


async def test_carbontracker_reads_the_region_and_then_the_nation() -> None:
    async with a_served_trace() as server, ClientSession() as session:
        async with session.get(f"{server.root}/regional/postcode/OX1") as regional:
            data = (await regional.json())["data"]
            assert data[0]["data"][0]["intensity"]["forecast"] == 212
        async with session.get(
            f"{server.root}/regional/intensity/2022-03-17T12:31Z/2022-03-17T14:01Z/postcode/OX1"
        ) as ahead:
            assert len((await ahead.json())["data"]["data"]) == 4
        async with session.get(f"{server.root}/intensity/2022-03-16T12:01Z/2022-03-16T14:01Z") as national:
            slots = (await national.json())["data"]
            assert [slot["intensity"]["actual"] for slot in slots] == [212, 212, 213, 213, 214]


def test_the_built_trace_tells_its_hours_apart() -> None:
    assert a_trace()["DE"].at(MONDAY_S + DAY_S + 5 * HOUR_S) == 305
