"""What plans are chosen by, as settings and scenarios write it, in the words of a fleet's file. Reads no file.

Decides what the keys mean. What counts must be known of every region: a missing price is no price of 0.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Annotated, Protocol

from pydantic import Field
from pydantic.dataclasses import dataclass

from intensity_feeds.prices import PriceSeries
from scheduler.planning.planner import Planner
from scheduler.planning.weighed.planner import WeighedPlanner
from scheduler.planning.whole_fleet.objective import GRAMS, Site, Sites, Weights
from scheduler.setting_values import STRICT

_H_PER_YEAR = 8766.0

Weight = Annotated[float | None, Field(ge=0, allow_inf_nan=False)]


@dataclass(frozen=True, kw_only=True, config=STRICT)
class SiteSettings:
    """What a region charges beside its grid's carbon; for any region."""

    price_usd_per_kwh: Annotated[
        float | None,
        Field(allow_inf_nan=False, description="Price of electricity, instead of [price]; may be negative."),
    ] = None
    price_zone: Annotated[str, Field(description="Its name in the file of [price]; empty: its zone.")] = ""
    gpu_hour_usd: Annotated[
        float, Field(ge=0, allow_inf_nan=False, description="Hire of one GPU for an hour in which a job holds it.")
    ] = 0.0
    embodied_kgco2e_per_gpu: Annotated[
        float,
        Field(ge=0, allow_inf_nan=False, description="Making one GPU and its share of the server; 0: not counted."),
    ] = 0.0
    lifetime_years: Annotated[
        float, Field(gt=0, allow_inf_nan=False, description="Years over which that is spread.")
    ] = 4.0
    wue_l_per_kwh: Annotated[
        float | None, Field(ge=0, allow_inf_nan=False, description="Water on site for a kWh of IT energy.")
    ] = None
    source_l_per_kwh: Annotated[
        float, Field(ge=0, allow_inf_nan=False, description="Water in a kWh of electricity; 0: not counted.")
    ] = 0.0


@dataclass(frozen=True, kw_only=True, config=STRICT)
class PriceSettings:
    """[price]: recorded or day-ahead prices of electricity."""

    trace: Annotated[
        str, Field(description="File with timestamp, zone and price_usd_per_mwh or price_usd_per_kwh; empty: none.")
    ] = ""


@dataclass(frozen=True, kw_only=True, config=STRICT)
class ObjectiveSettings:
    """[objective]: what plans of jobs are chosen by; with nothing set, by grams. With any weight set, others are 0."""

    gco2e: Annotated[Weight, Field(description="What a gram adds, embodied carbon included.")] = None
    usd: Annotated[Weight, Field(description="What a dollar of electricity or hire adds.")] = None
    water_l: Annotated[Weight, Field(description="What a litre adds.")] = None
    waiting_kwh_h: Annotated[
        Weight, Field(description="What an hour adds by which a kWh of work is done later than at once.")
    ] = None
    carbon_usd_per_t: Annotated[
        Weight, Field(description="Dollars, with carbon at this price for a tonne; instead of gco2e and usd.")
    ] = None

    def __post_init__(self) -> None:
        if self.carbon_usd_per_t is not None and (self.gco2e is not None or self.usd is not None):
            raise ValueError("carbon_usd_per_t weighs grams and dollars itself: leave out gco2e and usd")
        given = [self.gco2e, self.usd, self.water_l, self.waiting_kwh_h, self.carbon_usd_per_t]
        if any(one is not None for one in given) and self.carbon_usd_per_t is None and not any(given):
            raise ValueError("every weight is 0: write, for instance, gco2e = 1")

    @property
    def weights(self) -> Weights:
        gco2e, usd = self.gco2e, self.usd
        if self.carbon_usd_per_t is not None:
            gco2e, usd = self.carbon_usd_per_t / 1e6, 1.0
        if gco2e is usd is self.water_l is self.waiting_kwh_h is None:
            return GRAMS
        return Weights(
            per_gco2e=gco2e or 0.0,
            per_usd=usd or 0.0,
            per_l=self.water_l or 0.0,
            per_waiting_kwh_h=self.waiting_kwh_h or 0.0,
        )


class PricedRegion(Protocol):
    """A region of the settings or of a scenario."""

    @property
    def name(self) -> str: ...
    @property
    def zone(self) -> str: ...
    @property
    def price_usd_per_kwh(self) -> float | None: ...
    @property
    def price_zone(self) -> str: ...
    @property
    def gpu_hour_usd(self) -> float: ...
    @property
    def embodied_kgco2e_per_gpu(self) -> float: ...
    @property
    def lifetime_years(self) -> float: ...
    @property
    def wue_l_per_kwh(self) -> float | None: ...
    @property
    def source_l_per_kwh(self) -> float: ...


def sites_of(regions: Iterable[PricedRegion], prices: Mapping[str, PriceSeries]) -> Sites:
    """What each region charges, by its name; `prices` by zone."""
    return {one.name: _site(one, prices.get(one.price_zone or one.zone)) for one in regions}


def price_zones(regions: Iterable[PricedRegion]) -> frozenset[str]:
    """The zones that the file of prices is asked for."""
    return frozenset(one.price_zone or one.zone for one in regions if one.price_usd_per_kwh is None)


def unpriced(
    regions: Sequence[PricedRegion], weights: Weights, *, has_trace: bool, counts_usd: bool = False
) -> Iterator[tuple[int, str, str]]:
    """Each region of which something that counts is not known: its place, what, and the remedy."""
    for place, one in enumerate(regions):
        if (weights.per_usd > 0 or counts_usd) and one.price_usd_per_kwh is None and not has_trace:
            yield place, f"dollars count and {one.name} has no price", "give price_usd_per_kwh, or [price] trace"
        if weights.per_l > 0 and one.wue_l_per_kwh is None:
            hint = "give wue_l_per_kwh; slacktide regions lists it for cloud regions"
            yield place, f"water counts and {one.name} has no wue_l_per_kwh", hint


def weighed(planner: Planner, weights: Weights, sites: Sites) -> Planner:
    """The planner by this objective; the planner itself where only the grid's grams count."""
    if weights == GRAMS and not any(site.gco2e_per_gpu_h for site in sites.values()):
        return planner
    return WeighedPlanner(inner=planner, weights=weights, sites=sites)


def _site(region: PricedRegion, price: PriceSeries | None) -> Site:
    return Site(
        usd_per_kwh=price if region.price_usd_per_kwh is None else region.price_usd_per_kwh,
        usd_per_gpu_h=region.gpu_hour_usd,
        gco2e_per_gpu_h=1000.0 * region.embodied_kgco2e_per_gpu / (region.lifetime_years * _H_PER_YEAR),
        wue_l_per_kwh=region.wue_l_per_kwh,
        source_l_per_kwh=region.source_l_per_kwh,
    )
