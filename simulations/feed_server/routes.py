"""Which path of which service is answered by which pure handler.

One port serves Electricity Maps (/v3, /v4), WattTime (/v3) and the GB Carbon Intensity API; their paths do not collide.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from functools import partial

from simulations.feed_server import electricity_maps, electricity_maps_rows, uk_carbon, watttime
from simulations.feed_server.grid_view import GridView
from simulations.feed_server.replies import Reply

Query = Mapping[str, str]
Handler = Callable[[GridView, Query], Reply]


class Service(StrEnum):
    ELECTRICITY_MAPS = "electricity_maps"
    WATTTIME = "watttime"
    UK_CARBON = "uk_carbon"


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """One path of one service. An `is_open` route needs no credentials; `fixed` joins the path's parts in the query."""

    path: str
    service: Service
    handler: Handler
    is_open: bool = False
    scope: tuple[str, str] = ("", "")
    fixed: Query = field(default_factory=dict)


def routes() -> list[Route]:
    """Every GET route, fixed parts before variable ones."""
    return [*_electricity_maps_routes("/v3"), *_electricity_maps_routes("/v4"), *_watttime_routes(), *_uk_routes()]


def _electricity_maps_routes(root: str) -> list[Route]:
    route = partial(Route, service=Service.ELECTRICITY_MAPS)
    zones = electricity_maps.zones_v4 if root == "/v4" else electricity_maps.zones
    others: dict[str, Handler] = {
        "home-assistant": electricity_maps.home_assistant,
        "zone": electricity_maps.zone_at,
        "carbon-intensity-level/latest": electricity_maps.level,
        "data-centers": electricity_maps.data_centers,
        "updated-since": electricity_maps.updated_since,
    }
    return [
        route(path=f"{root}/zones", handler=zones, is_open=True),
        *(
            route(path=f"{root}/{path}", handler=handler, scope=(path.partition("/")[0], "latest"))
            for path, handler in others.items()
        ),
        *(
            route(path=f"{root}/{signal}/{temporality}", handler=partial(handler, signal), scope=(signal, temporality))
            for signal in electricity_maps_rows.SIGNALS
            for temporality, handler in electricity_maps.TEMPORALITIES.items()
        ),
    ]


def _watttime_routes() -> list[Route]:
    route = partial(Route, service=Service.WATTTIME)
    paths: dict[str, Handler] = {
        "/v3/my-access": watttime.my_access,
        "/v3/region-from-loc": watttime.region_from_loc,
        "/v3/signal-index": watttime.signal_index,
        "/v3/forecast/historical": watttime.past_forecasts,
        "/v3/forecast": watttime.forecast,
        "/v3/historical": watttime.historical,
        "/v3/maps": watttime.maps,
        "/v3/fuel-mix": watttime.fuel_mix,
    }
    password = route(path="/password", handler=watttime.password, is_open=True)
    return [password, *(route(path=path, handler=handler) for path, handler in paths.items())]


def _uk_routes() -> list[Route]:
    route = partial(Route, service=Service.UK_CARBON, is_open=True)
    paths: dict[str, Handler] = {
        "/intensity": uk_carbon.intensity,
        "/intensity/factors": uk_carbon.factors,
        "/intensity/date": uk_carbon.intensity_date,
        "/intensity/date/{date}": uk_carbon.intensity_date,
        "/intensity/date/{date}/{period}": uk_carbon.intensity_date,
        "/intensity/stats/{from}/{to}": uk_carbon.statistics,
        "/intensity/stats/{from}/{to}/{block}": uk_carbon.statistics,
        "/intensity/{from}": uk_carbon.intensity_at,
        "/intensity/{from}/{to}": uk_carbon.intensity_range,
        "/generation": uk_carbon.generation,
        "/generation/{from}/{to}": uk_carbon.generation_range,
        "/regional": uk_carbon.regional,
        "/regional/postcode/{postcode}": uk_carbon.regional_one,
        "/regional/regionid/{regionid}": uk_carbon.regional_one,
        "/regional/intensity/{from}/{to}": uk_carbon.regional_range,
        "/regional/intensity/{from}/{to}/postcode/{postcode}": uk_carbon.regional_range,
        "/regional/intensity/{from}/{to}/regionid/{regionid}": uk_carbon.regional_range,
    }
    countries = [
        route(path=f"/regional/{country}", handler=uk_carbon.regional_one, fixed={"country": country})
        for country in uk_carbon.COUNTRIES
    ]
    return [*countries, *(route(path=path, handler=handler) for path, handler in paths.items())]
