"""What a training would come to, here and elsewhere: the facts of regions and GPUs put into the calculators.

Decides which fact stands in where a region's own is not published, and says so; what nothing stands in for stays
unknown. Knows no hours: intensity is the yearly average, which is for choosing a place, not an hour.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from intensity_feeds.static import CloudRegion
from shaping.calculators.placement import Option, Placed, placed, ranked
from shaping.calculators.training import TrainingRun
from shaping.deployment import ErrorClass, GpuProfile
from shaping.uncertainty import SIGMA_RATIO, Band, factors

# Company reports, as EcoLogits 0.11.3 uses them.
FLEET_PUE = {"gcp": 1.09, "aws": 1.15, "azure": 1.16}
FLEET_WUE_L_PER_KWH = {"gcp": 0.999, "aws": 0.13}
# Litres evaporated per kWh of electricity: country averages after the WRI method, as carried by EcoLogits 0.11.3.
# Reservoirs dominate hydro countries; that share is contested.
GRID_WATER_L_PER_KWH = {
    "US": 3.1321,
    "FR": 3.6737,
    "DE": 1.947,
    "GB": 2.329,
    "SE": 6.0315,
    "NO": 6.6633,
    "IN": 3.4368,
    "CN": 6.0065,
    "JP": 2.3063,
    "PL": 2.5135,
    "IE": 1.4769,
    "ES": 6.2088,
    "AU": 4.7293,
    "CA": 8.1662,
    "BR": 18.6033,
    "NL": 3.433,
    "FI": 4.5289,
}
# US dollars for an hour of an H100, by region: a textbook's example of a price list, and no offer. Contracts differ by
# more than regions do, so whoever knows his own price gives it.
EXAMPLE_PRICED_GPU = "h100-sxm"
EXAMPLE_GPU_HOUR_USD = {
    "aws:us-east-1": 3.06,
    "aws:us-west-2": 3.06,
    "aws:eu-north-1": 3.40,
    "aws:ca-central-1": 3.06,
    "aws:ap-south-1": 2.74,
    "gcp:europe-north1": 3.22,
    "gcp:us-central1": 3.22,
    "azure:swedencentral": 3.40,
}
# Of the logarithm. Source: energy_model 5.5: power and utilisation from a datasheet; a PUE that is published or
# stands in; a yearly average.
_ENERGY_SIGMA_RATIO = SIGMA_RATIO[ErrorClass.DATASHEET]
_PUE_SIGMA_RATIO = {True: 0.03, False: 0.10}
_INTENSITY_SIGMA_RATIO = 0.20


class FactOrigin(StrEnum):
    """Where a fact of a region comes from."""

    REGION = "region"
    FLEET = "fleet"  # the provider's average over all its regions
    UNKNOWN = "unknown"


class PriceOrigin(StrEnum):
    """Whose price of a GPU-hour it is."""

    GIVEN = "given"
    EXAMPLE = "example"  # a textbook's
    UNKNOWN = "unknown"


class UnestimableError(ValueError):
    """A region of which too little is known to estimate anything there."""

    def __init__(self, region: str, missing: str) -> None:
        self.region, self.missing = region, missing
        super().__init__(f"{missing} of {region} is not known")


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """What is trained, whatever the GPU. `mfu_ratio` is taken to be the same on every GPU."""

    active_params: float
    total_params: float
    tokens: float
    mfu_ratio: float

    def run_on(self, gpu: GpuProfile) -> TrainingRun:
        """The run at the GPU's 16-bit peak and its full power. Raises ImpossibleRunError."""
        return TrainingRun(
            active_params=self.active_params,
            total_params=self.total_params,
            tokens=self.tokens,
            peak_flops_per_s=gpu.peak_16bit_flops_per_s,
            mfu_ratio=self.mfu_ratio,
            power_w=gpu.limit_w,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """One GPU in one region."""

    gpu: str
    region: str
    placed: Placed
    pue_origin: FactOrigin
    water_origin: FactOrigin
    price_origin: PriceOrigin

    @property
    def energy_band_kwh(self) -> Band:
        return self._band(self.placed.energy_kwh, self._energy_sigmas())

    @property
    def emissions_band_kgco2e(self) -> Band:
        return self._band(self.placed.emitted_kgco2e, (*self._energy_sigmas(), _INTENSITY_SIGMA_RATIO))

    def _energy_sigmas(self) -> tuple[float, ...]:
        return _ENERGY_SIGMA_RATIO, _PUE_SIGMA_RATIO[self.pue_origin is FactOrigin.REGION]

    @staticmethod
    def _band(amount_factor: float, sigmas_ratio: Sequence[float]) -> Band:
        low, high = factors(*sigmas_ratio)
        return Band(amount_factor * low, amount_factor * high)


def estimate(work: Work, gpu: GpuProfile, region: CloudRegion, gpu_hour_usd: float | None = None) -> Estimate:
    """Raises UnestimableError, ImpossibleRunError."""
    pue, pue_origin = _stood_in(region.pue, FLEET_PUE.get(region.provider))
    site_water_l_per_kwh, water_origin = _stood_in(region.wue_l_per_kwh, FLEET_WUE_L_PER_KWH.get(region.provider))
    intensity_gco2e_per_kwh = region.yearly_average_gco2e_per_kwh
    if intensity_gco2e_per_kwh is None:
        raise UnestimableError(region.key, "the yearly average of the grid")
    if pue is None:
        raise UnestimableError(region.key, "the PUE")
    run = work.run_on(gpu)
    hour_usd, price_origin = _price(gpu, region, gpu_hour_usd)
    option = Option(
        name=f"{region.key} {gpu.name}",
        gpu_hours=run.gpu_hours,
        power_w=run.power_w,
        pue=pue,
        intensity_gco2e_per_kwh=intensity_gco2e_per_kwh,
        gpu_hour_usd=hour_usd,
        site_water_l_per_kwh=site_water_l_per_kwh,
        grid_water_l_per_kwh=GRID_WATER_L_PER_KWH.get(region.country),
    )
    return Estimate(
        gpu=gpu.name,
        region=region.key,
        placed=placed(option),
        pue_origin=pue_origin,
        water_origin=water_origin,
        price_origin=price_origin,
    )


def _price(gpu: GpuProfile, region: CloudRegion, given_usd: float | None) -> tuple[float | None, PriceOrigin]:
    if given_usd is not None:
        return given_usd, PriceOrigin.GIVEN
    if gpu.name == EXAMPLE_PRICED_GPU and region.key in EXAMPLE_GPU_HOUR_USD:
        return EXAMPLE_GPU_HOUR_USD[region.key], PriceOrigin.EXAMPLE
    return None, PriceOrigin.UNKNOWN


def _stood_in(*values: float | None) -> tuple[float | None, FactOrigin]:
    """The region's own value, else its fleet's; in whatever unit both are."""
    own, fleet = values
    if own is not None:
        return own, FactOrigin.REGION
    return fleet, FactOrigin.UNKNOWN if fleet is None else FactOrigin.FLEET


def alternatives(
    work: Work,
    asked: Estimate,
    *,
    gpus: Iterable[GpuProfile],
    regions: Iterable[CloudRegion],
    gpu_hour_usd: float | None,
    most_usd: float | None,
) -> list[Estimate]:
    """The asked GPU in every region that is known well enough, and every GPU in the asked region; best first.

    `gpu_hour_usd` is the price of the asked GPU, everywhere; another's is not known. A limit leaves out what has none.
    """
    everywhere = list(regions)
    home = [region for region in everywhere if region.key == asked.region]
    kinds = list(gpus)
    mine = [gpu for gpu in kinds if gpu.name == asked.gpu]
    found = {
        one.placed.option.name: one
        for gpu, region in [(gpu, region) for gpu in mine for region in everywhere]
        + [(gpu, region) for gpu in kinds for region in home if gpu.name != asked.gpu]
        if (one := _if_known(work, gpu, region, gpu_hour_usd if gpu.name == asked.gpu else None)) is not None
    }
    order = ranked((one.placed.option for one in found.values()), most_usd)
    return [found[one.option.name] for one in order]


def _if_known(work: Work, gpu: GpuProfile, region: CloudRegion, gpu_hour_usd: float | None) -> Estimate | None:
    try:
        return estimate(work, gpu, region, gpu_hour_usd)
    except UnestimableError:
        return None
