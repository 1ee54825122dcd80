"""`slacktide estimate`: what a training would take, here and elsewhere. Reads facts and prints; decides no number."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from slacktide.columns import UNKNOWN, aligned
from slacktide.terminal import JSON_OPTION, UsageProblem, print_json, say

if TYPE_CHECKING:
    from intensity_feeds.static import CloudRegion
    from scheduler.estimates import Estimate, Work
    from shaping.deployment import GpuProfile

_HEAD = ("", "GPU", "REGION", "GPU HOURS", "MWh", "t CO2e", "LOW", "HIGH", "WATER m3", "USD")
# What people call the most usual variant of a GPU.
_SHORT_NAMES = {
    "h100": "h100-sxm",
    "h200": "h200-sxm",
    "b200": "b200-sxm",
    "a100": "a100-sxm-80gb",
    "v100": "v100-sxm2",
}


def estimate(
    params: Annotated[float, typer.Option(help="Parameters of the model, such as 70e9.")],
    tokens: Annotated[float, typer.Option(help="Training tokens, such as 2e12.")],
    gpu: Annotated[str, typer.Option(help="GPU, see `slacktide profiles list`; H100 means h100-sxm.")] = "h100-sxm",
    region: Annotated[str, typer.Option(help="Cloud region, see `slacktide regions`.")] = "europe-north1",
    active_params: Annotated[
        float | None, typer.Option(help="Parameters active per token, for a mixture of experts.")
    ] = None,
    mfu_ratio: Annotated[float, typer.Option("--mfu", help="Achieved share of the GPU's 16-bit peak, 0 to 1.")] = 0.40,
    gpu_hour_usd: Annotated[
        float | None, typer.Option(help="What an hour of that GPU costs you; else, of an H100, an example's price.")
    ] = None,
    most_usd: Annotated[float | None, typer.Option(help="Show only alternatives that cost at most this.")] = None,
    top: Annotated[int, typer.Option(min=0, help="How many alternatives to show; --json has all.")] = 10,
    as_json: Annotated[bool, JSON_OPTION] = False,
) -> None:
    """Estimate energy, emissions, water and cost of a training, and of the same elsewhere, best first.

    Example: slacktide estimate --params 70e9 --tokens 2e12 --gpu H100 --region europe-north1

    Six operations per parameter and token, at full power of the GPUs; grids by their yearly average of 2023.
    """
    if most_usd is not None and gpu_hour_usd is None:
        raise UsageProblem("--most-usd needs a price", "add --gpu-hour-usd, what an hour of that GPU costs you")
    for name, given in (("--gpu-hour-usd", gpu_hour_usd), ("--most-usd", most_usd)):
        if given is not None and not 0 <= given < float("inf"):
            raise UsageProblem(f"{name} {given:g} is no price", "write a number of dollars")
    asked, others, work = _estimated(
        _work(params, active_params, tokens, mfu_ratio), _gpu(gpu), _region(region), gpu_hour_usd, most_usd
    )
    if as_json:
        print_json({"asked": _document(asked), "alternatives": [_document(one) for one in others]})
        return
    others = [one for one in others if (one.gpu, one.region) != (asked.gpu, asked.region)]
    print(aligned([_HEAD, _row(asked, "asked"), *(_row(one, "") for one in others[:top])], right=range(3, 10)))
    say(f"modelled at {mfu_ratio:.0%} of the peak on any GPU; low and high span 80%; {UNKNOWN} is unknown")
    if asked.price_origin == "example":
        say("USD at a textbook's example prices where it has one; --gpu-hour-usd takes your own")
    if work.total_params > work.active_params:
        say(f"memory for all {work.total_params / 1e9:g}e9 parameters is still held")


def _estimated(
    work: Work, gpu: GpuProfile, region: CloudRegion, gpu_hour_usd: float | None, most_usd: float | None
) -> tuple[Estimate, list[Estimate], Work]:
    from intensity_feeds.static import cloud_regions
    from scheduler.estimates import UnestimableError, alternatives
    from scheduler.estimates import estimate as estimate_at
    from shaping.calculators.training import ImpossibleRunError
    from shaping.profiles import gpu_profile, names

    try:
        asked = estimate_at(work, gpu, region, gpu_hour_usd)
    except UnestimableError as error:
        raise UsageProblem(str(error), "name another region; `slacktide regions` shows what is known") from None
    except ImpossibleRunError as error:
        raise UsageProblem(f"no training has this: {error}", "see slacktide estimate --help") from None
    others = alternatives(
        work,
        asked,
        gpus=[gpu_profile(name) for name in names()["gpus"]],
        regions=cloud_regions(),
        gpu_hour_usd=gpu_hour_usd,
        most_usd=most_usd,
    )
    return asked, others, work


def _work(params: float, active_params: float | None, tokens: float, mfu_ratio: float) -> Work:
    from scheduler.estimates import Work

    return Work(active_params=active_params or params, total_params=params, tokens=tokens, mfu_ratio=mfu_ratio)


def _gpu(name: str) -> GpuProfile:
    from shaping.deployment import ProfileError
    from shaping.profiles import gpu_profile

    try:
        return gpu_profile(_SHORT_NAMES.get(name.strip().lower(), name))
    except ProfileError as error:
        raise UsageProblem(error.what, error.remedy) from None


def _region(name: str) -> CloudRegion:
    from intensity_feeds.zones import UnknownRegionError
    from intensity_feeds.zones import region as region_called

    try:
        return region_called(name)
    except UnknownRegionError as error:
        hint = f"did you mean {' or '.join(error.nearest)}?" if error.nearest else "`slacktide regions` lists them"
        raise UsageProblem(f"no cloud region is called {name!r}", hint) from None


def _row(one: Estimate, mark: str) -> tuple[str, ...]:
    found, band = one.placed, one.emissions_band_kgco2e
    return (
        mark,
        one.gpu,
        one.region,
        f"{found.option.gpu_hours:,.0f}",
        f"{found.energy_kwh / 1000:,.1f}",
        f"{found.emitted_kgco2e / 1000:,.2f}",
        f"{band.low / 1000:,.2f}",
        f"{band.high / 1000:,.2f}",
        UNKNOWN if found.water_l is None else f"{found.water_l / 1000:,.0f}",
        UNKNOWN if found.cost_usd is None else f"{found.cost_usd:,.0f}",
    )


def _document(one: Estimate) -> dict[str, Any]:
    found, option = one.placed, one.placed.option
    return {
        "gpu": one.gpu,
        "region": one.region,
        "gpu_hours": option.gpu_hours,
        "energy_kwh": found.energy_kwh,
        "energy_band_kwh": list(one.energy_band_kwh),
        "emissions_kgco2e": found.emitted_kgco2e,
        "emissions_band_kgco2e": list(one.emissions_band_kgco2e),
        "water_l": found.water_l,
        "cost_usd": found.cost_usd,
        "gpu_hour_usd": option.gpu_hour_usd,
        "price_origin": one.price_origin.value,
        "power_w": option.power_w,
        "pue": option.pue,
        "pue_origin": one.pue_origin.value,
        "intensity_gco2e_per_kwh": option.intensity_gco2e_per_kwh,
        "site_water_origin": one.water_origin.value,
        "basis": "modelled",
    }
