"""What [objective], [price] and the costs of a region mean, and how a mistake in them is told."""

from __future__ import annotations

import pytest

from scheduler.config_text import SettingsError, parse_settings
from scheduler.objective_settings import ObjectiveSettings, price_zones, sites_of, weighed
from scheduler.planning.open_jobs.fleet import FleetPlanner
from scheduler.planning.weighed.planner import WeighedPlanner
from scheduler.planning.whole_fleet.objective import GRAMS, Weights

REGION = '[[region]]\nname = "here"\nzone = "DE"\ngpus = 4\n'


@pytest.mark.parametrize(
    ("objective", "weights"),
    [
        (ObjectiveSettings(), GRAMS),
        (ObjectiveSettings(usd=2.0), Weights(per_usd=2.0)),
        (ObjectiveSettings(carbon_usd_per_t=100.0), Weights(per_gco2e=1e-4, per_usd=1.0)),
        (ObjectiveSettings(gco2e=1.0, waiting_kwh_h=5.0), Weights(per_gco2e=1.0, per_waiting_kwh_h=5.0)),
    ],
)
def test_the_keys_mean_what_they_mean_in_a_fleets_file(objective: ObjectiveSettings, weights: Weights) -> None:
    assert objective.weights == weights


def test_what_a_region_charges_is_by_the_gpu_hour_and_the_kilowatt_hour() -> None:
    text = f"{REGION}price_usd_per_kwh = 0.2\ngpu_hour_usd = 2\nembodied_kgco2e_per_gpu = 8.766\nlifetime_years = 1\n"
    regions = parse_settings(text, "slacktide.toml", {}).region
    site = sites_of(regions, {})["here"]
    assert (site.usd_per_kwh, site.usd_per_gpu_h) == (0.2, 2)
    assert site.gco2e_per_gpu_h == pytest.approx(1.0)
    assert price_zones(regions) == frozenset()


def test_the_planner_of_grams_stays_itself_until_something_else_counts() -> None:
    regions = parse_settings(REGION, "slacktide.toml", {}).region
    planner = FleetPlanner()
    assert weighed(planner, GRAMS, sites_of(regions, {})) is planner
    assert isinstance(weighed(planner, Weights(per_usd=1.0), sites_of(regions, {})), WeighedPlanner)
    held = parse_settings(f"{REGION}embodied_kgco2e_per_gpu = 985\n", "slacktide.toml", {}).region
    assert isinstance(weighed(planner, GRAMS, sites_of(held, {})), WeighedPlanner)


@pytest.mark.parametrize(
    ("text", "what"),
    [
        (f"{REGION}[objective]\nusd = 1\n", "slacktide.toml:1:1: dollars count and here has no price"),
        (f"{REGION}[objective]\nwater_l = 1\n", "water counts and here has no wue_l_per_kwh"),
        (f"{REGION}[objective]\ncarbon_usd_per_t = 1\nusd = 1\n", "leave out gco2e and usd"),
        (f"{REGION}[objective]\nusd = 0\n", "every weight is 0"),
        (f"{REGION}[objective]\nuds = 1\n", "did you mean 'usd'?"),
        (f'{REGION}[[budget]]\ntenant = "red"\nusd = 1\n', "dollars count and here has no price"),
        (f'{REGION}[[budget]]\ntenant = "red"\n', "limits nothing: write gco2e, kwh or usd"),
        (f'{REGION}[[budget]]\ntenant = "red"\nkwh = 1\nper = "week"\n', "should be 'day' or 'month'"),
    ],
)
def test_a_mistake_is_told_with_the_remedy(text: str, what: str) -> None:
    with pytest.raises(SettingsError) as caught:
        parse_settings(text, "slacktide.toml", {})
    assert what in str(caught.value)
