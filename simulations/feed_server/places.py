"""Where the zones of a replayed trace lie and what the other services call them.

Approximate positions of each zone's main data-centre city, good to find the nearest zone of a trace and no more.
Source: public geography; WattTime's names as in the Green Software Foundation's real-time cloud table.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

# Beyond this a coordinate belongs to no zone of the trace: the open sea, or a country that was not recorded.
NEAREST_WITHIN_KM = 1200.0
EARTH_RADIUS_KM = 6371.0


@dataclass(frozen=True, slots=True)
class Place:
    """A zone for the catalogue of zones. `country` is empty for whole-country zones."""

    name: str
    country: str
    latitude_deg: float
    longitude_deg: float


PLACES: Mapping[str, Place] = {
    "AU-NSW": Place("New South Wales", "Australia", -33.87, 151.21),
    "AU-VIC": Place("Victoria", "Australia", -37.81, 144.96),
    "BE": Place("Belgium", "", 50.47, 3.86),
    "BR-CS": Place("Central Brazil", "Brazil", -23.56, -46.64),
    "CA-ON": Place("Ontario", "Canada", 43.65, -79.38),
    "CA-QC": Place("Quebec", "Canada", 45.50, -73.57),
    "CH": Place("Switzerland", "", 47.38, 8.54),
    "CL-SEN": Place("Sistema Electrico Nacional", "Chile", -33.36, -70.70),
    "DE": Place("Germany", "", 50.11, 8.68),
    "DK-DK2": Place("East Denmark", "Denmark", 55.68, 12.57),
    "ES": Place("Spain", "", 41.77, -0.82),
    "FI": Place("Finland", "", 60.54, 27.13),
    "FR": Place("France", "", 48.86, 2.35),
    "GB": Place("Great Britain", "", 51.51, -0.13),
    "IE": Place("Ireland", "", 53.35, -6.26),
    "IN-MH": Place("Maharashtra", "India", 18.52, 73.86),
    "IN-WE": Place("Western India", "India", 19.08, 72.88),
    "IT-NO": Place("North Italy", "Italy", 45.47, 9.18),
    "JP-TK": Place("Tokyo", "Japan", 35.68, 139.65),
    "KR": Place("South Korea", "", 37.55, 126.99),
    "NL": Place("Netherlands", "", 52.80, 5.04),
    "NO": Place("Norway", "", 59.91, 10.75),
    "NO-NO1": Place("Southeast Norway", "Norway", 59.91, 10.75),
    "PL": Place("Poland", "", 52.23, 21.01),
    "SE-SE3": Place("South Central Sweden", "Sweden", 59.33, 18.07),
    "SG": Place("Singapore", "", 1.35, 103.82),
    "TW": Place("Taiwan", "", 24.14, 120.43),
    "US-CAL-CISO": Place("CAISO", "USA", 37.35, -121.96),
    "US-CAR-SC": Place("South Carolina Public Service Authority", "USA", 33.11, -80.09),
    "US-MIDA-PJM": Place("PJM", "USA", 39.01, -77.43),
    "US-MIDW-MISO": Place("MISO", "USA", 41.59, -93.62),
    "US-NE-ISNE": Place("ISO New England", "USA", 42.36, -71.06),
    "US-NW-BPAT": Place("Bonneville Power Administration", "USA", 45.54, -122.65),
    "US-NW-NEVP": Place("Nevada Power Company", "USA", 36.17, -115.14),
    "US-NW-PACW": Place("PacifiCorp West", "USA", 45.84, -119.70),
    "US-NY-NYIS": Place("New York ISO", "USA", 40.71, -74.01),
    "US-SE-SOCO": Place("Southern Company Services", "USA", 33.75, -84.39),
    "US-TEX-ERCO": Place("ERCOT", "USA", 32.78, -96.80),
    "ZA": Place("South Africa", "", -33.92, 18.42),
}

# WattTime regions and the zone that stands behind them. A zone without a line here is a region under its own key with
# underscores for dashes.
WATTTIME_REGIONS: Mapping[str, str] = {
    "CAISO_NORTH": "US-CAL-CISO",
    "CAISO": "US-CAL-CISO",
    "PJM_DC": "US-MIDA-PJM",
    "PJM_NJ": "US-MIDA-PJM",
    "MISO_MASON_CITY": "US-MIDW-MISO",
    "ERCOT_NORTHCENTRAL": "US-TEX-ERCO",
    "BPA": "US-NW-BPAT",
    "NEVP": "US-NW-NEVP",
    "PACW": "US-NW-PACW",
    "SC": "US-CAR-SC",
    "IESO_NORTH": "CA-ON",
    "HQ": "CA-QC",
    "NEM_NSW": "AU-NSW",
    "NEM_VIC": "AU-VIC",
    "BRA": "BR-CS",
    "IND": "IN-WE",
    "IT": "IT-NO",
    "KOR": "KR",
    "SE": "SE-SE3",
    "SGP": "SG",
    "TWN": "TW",
    "UK": "GB",
    "ZAF": "ZA",
}


def nearest_zone(zones: Iterable[str], latitude_deg: float, longitude_deg: float) -> str | None:
    """The nearest of `zones` whose position is known, within NEAREST_WITHIN_KM; the first by name where two tie."""
    distances = [
        (_distance_km(PLACES[zone], latitude_deg, longitude_deg), zone) for zone in sorted(zones) if zone in PLACES
    ]
    reachable = [pair for pair in distances if pair[0] <= NEAREST_WITHIN_KM]
    return min(reachable)[1] if reachable else None


def degrees(text: str) -> float:
    """A latitude or longitude. Raises ValueError, also for what is not finite."""
    if not math.isfinite(angle_deg := float(text)):
        raise ValueError(text)
    return angle_deg


def regions_of(zones: Iterable[str], named: Mapping[str, str]) -> dict[str, str]:
    """WattTime region -> zone, for the zones at hand; `named` goes before the table."""
    at_hand = sorted(zones)
    regions = {region: zone for region, zone in WATTTIME_REGIONS.items() if zone in at_hand}
    covered = set(regions.values())
    regions |= {zone.replace("-", "_"): zone for zone in at_hand if zone not in covered}
    return regions | {region: zone for region, zone in named.items() if zone in at_hand}


def _distance_km(place: Place, latitude_deg: float, longitude_deg: float) -> float:
    """Great-circle distance, haversine."""
    here, there = math.radians(place.latitude_deg), math.radians(latitude_deg)
    half_north = (there - here) / 2
    half_east = math.radians(longitude_deg - place.longitude_deg) / 2
    chord = math.sin(half_north) ** 2 + math.cos(here) * math.cos(there) * math.sin(half_east) ** 2
    return 2 * EARTH_RADIUS_KM * math.asin(min(1.0, math.sqrt(chord)))
