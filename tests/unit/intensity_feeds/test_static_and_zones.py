"""What is known of cloud regions, and how they are found."""

from __future__ import annotations

import csv

import pytest

from intensity_feeds.series import Basis, Quality, Signal
from intensity_feeds.static import cloud_regions, yearly_average_gco2e_per_kwh, yearly_average_series
from intensity_feeds.zones import UnknownRegionError, known_zones, nearest_zones, region, regions_in
from tests.real_data import real_data


def test_there_are_135_regions_of_three_providers_under_distinct_keys() -> None:
    assert len({one.key for one in cloud_regions()}) == 135
    counts = {p: sum(one.provider == p for one in cloud_regions()) for p in ("aws", "gcp", "azure")}
    assert counts == {"aws": 37, "gcp": 43, "azure": 55}


def test_frankfurt_has_the_zones_of_each_provider() -> None:
    frankfurt = region("eu-central-1")
    assert (frankfurt.electricity_maps_zone, frankfurt.watttime_region, frankfurt.pue) == ("DE", "DE", 1.35)
    assert frankfurt.yearly_average_gco2e_per_kwh == 370.93
    assert region("aws:eu-central-1") is frankfurt
    assert region("azure:uksouth").uk_carbon_zone == "GB"


def test_what_is_unknown_stays_unknown() -> None:
    hong_kong = region("aws:ap-east-1")
    assert hong_kong.pue is None
    assert region("aws:me-south-1").yearly_average_gco2e_per_kwh is None
    assert region("gcp:me-central1").yearly_average_gco2e_per_kwh is None
    assert yearly_average_gco2e_per_kwh("XX") is None
    assert yearly_average_series("XX", 0.0, 1.0) is None


def test_a_region_whose_average_belongs_to_its_neighbour_says_so() -> None:
    oregon = region("us-west-2")
    assert (oregon.electricity_maps_zone, oregon.yearly_average_zone) == ("US-NW-PACW", "US-NW-BPAT")
    assert oregon.yearly_average_gco2e_per_kwh == 119.76
    assert yearly_average_gco2e_per_kwh("US-NW-PACW") is None


def test_a_yearly_average_is_labelled_as_one() -> None:
    series = yearly_average_series("FR", 0.0, 3600.0)
    assert series is not None
    assert series.at(0.0) == 52.87
    assert (series.signal, series.basis, series.quality) == (Signal.AVERAGE, Basis.LIFECYCLE, Quality.YEARLY_AVERAGE)


def test_a_misspelt_region_is_answered_with_the_nearest() -> None:
    with pytest.raises(UnknownRegionError, match="did you mean eu-central-1") as caught:
        region("eu-centrl-1")
    assert caught.value.nearest[0] == "eu-central-1"
    with pytest.raises(UnknownRegionError, match="slacktide regions"):
        region("qqqqqqqq")


def test_regions_are_found_by_any_name_of_their_grid() -> None:
    assert "gcp:europe-west10" in {one.key for one in regions_in("DE")}
    assert {one.watttime_region for one in regions_in("PJM_DC")} == {"PJM_DC"}
    assert regions_in("XX") == ()
    assert "DE" in known_zones()
    assert nearest_zones("US-CAL-CIS")[0] == "US-CAL-CISO"


def test_every_fact_is_the_one_in_the_table_it_was_taken_from() -> None:
    rows = list(csv.DictReader(real_data("cloud_regions.csv").open(encoding="utf-8")))
    assert {(row["provider"], row["region"]) for row in rows} == {(one.provider, one.name) for one in cloud_regions()}
    for row in rows:
        one = region(f"{row['provider']}:{row['region']}")
        assert one.electricity_maps_zone == row["electricity_maps_zone"]
        assert one.watttime_region == row["watttime_region"]
        assert one.pue == (float(row["pue"]) if row["pue"] else None)
        assert one.wue_l_per_kwh == (float(row["wue_l_per_kwh"]) if row["wue_l_per_kwh"] else None)
        if one.yearly_average_gco2e_per_kwh is not None:
            assert one.yearly_average_gco2e_per_kwh == float(row["annual_gco2e_per_kwh"])
