"""A query on the caller's own device or in the cloud: joules on both sides and on the way, each on its own grid."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

_J_PER_KWH = 3.6e6


class Place(StrEnum):
    DEVICE = "device"
    CLOUD = "cloud"


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """One query. `is_simple`: the device's model answers it well enough."""

    is_simple: bool
    device_j: float
    cloud_j: float
    network_j: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Grids:
    """What the device and the data centre run on; the network is counted with the data centre."""

    device_gco2e_per_kwh: float
    cloud_gco2e_per_kwh: float
    cloud_pue: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Split:
    """What a stream of queries comes to."""

    device_share_ratio: float
    energy_j: float
    emitted_gco2e: float


def place(query: Query, grids: Grids) -> Place:
    """Where it emits less; a query too hard for the device goes to the cloud, and so does one that is equal."""
    if query.is_simple and emitted_gco2e(query, Place.DEVICE, grids) < emitted_gco2e(query, Place.CLOUD, grids):
        return Place.DEVICE
    return Place.CLOUD


def energy_j(query: Query, where: Place, grids: Grids) -> float:
    if where is Place.DEVICE:
        return query.device_j
    return query.cloud_j * grids.cloud_pue + query.network_j


def emitted_gco2e(query: Query, where: Place, grids: Grids) -> float:
    intensity = grids.device_gco2e_per_kwh if where is Place.DEVICE else grids.cloud_gco2e_per_kwh
    return energy_j(query, where, grids) / _J_PER_KWH * intensity


def split(queries: Sequence[Query], grids: Grids) -> Split:
    """Every query where it emits less."""
    places = [place(query, grids) for query in queries]
    pairs = list(zip(queries, places, strict=True))
    return Split(
        device_share_ratio=places.count(Place.DEVICE) / max(1, len(places)),
        energy_j=sum(energy_j(query, where, grids) for query, where in pairs),
        emitted_gco2e=sum(emitted_gco2e(query, where, grids) for query, where in pairs),
    )
