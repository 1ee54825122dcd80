from __future__ import annotations

import pytest

from scheduler.ledger import EnergyUse, settle
from shaping.deployment import ErrorClass
from tests.builders import HOUR_S
from tests.unit.scheduler.test_ledger import GRID, a_use

# 80% of a log-normal: exp(1.28 * sigma), with a sigma of 20% and of 3%.
DEFAULT_LOW, DEFAULT_HIGH = 0.7741, 1.2918
METERED_LOW, METERED_HIGH = 0.9623, 1.0392


def modelled(**fields: object) -> EnergyUse:
    return a_use(error_class=ErrorClass.DEFAULT, **fields)


def test_energy_grams_and_savings_of_one_class_are_known_as_well_as_its_profile() -> None:
    bands = settle([modelled(), modelled()], GRID).bands

    assert bands is not None
    assert (bands.of_energy_kwh, bands.of_emissions_gco2e, bands.of_avoided_gco2e) == (2.0, 200.0, 600.0)
    assert bands.energy_kwh == pytest.approx((2 * DEFAULT_LOW, 2 * DEFAULT_HIGH), rel=1e-3)
    assert bands.emissions_gco2e == pytest.approx((200 * DEFAULT_LOW, 200 * DEFAULT_HIGH), rel=1e-3)
    assert bands.avoided_gco2e == pytest.approx((600 * DEFAULT_LOW, 600 * DEFAULT_HIGH), rel=1e-3)


def test_the_lows_and_the_highs_of_several_classes_add_up() -> None:
    bands = settle([modelled(), a_use(energy_kwh=3.0, error_class=ErrorClass.METERED)], GRID).bands

    assert bands is not None
    assert bands.energy_kwh == pytest.approx((DEFAULT_LOW + 3 * METERED_LOW, DEFAULT_HIGH + 3 * METERED_HIGH), rel=1e-3)


def test_what_has_no_class_is_in_no_band_and_said_to_be_missing() -> None:
    account = settle([modelled(), a_use(energy_kwh=5.0)], GRID)

    assert (account.energy_kwh, account.unbanded_kwh) == (6.0, 5.0)
    assert account.bands is not None
    assert account.bands.of_energy_kwh == 1.0
    assert account.bands.of_emissions_gco2e == 100.0


def test_uses_without_any_class_have_no_band_at_all() -> None:
    account = settle([a_use()], GRID)

    assert (account.unbanded_kwh, account.bands) == (1.0, None)


def test_grams_that_nobody_knows_have_no_band_either() -> None:
    bands = settle([modelled(zone="FR")], GRID).bands

    assert bands is not None
    assert bands.of_energy_kwh == 1.0
    assert (bands.of_emissions_gco2e, bands.emissions_gco2e) == (None, None)
    assert (bands.of_avoided_gco2e, bands.avoided_gco2e) == (None, None)


def test_grams_are_of_what_is_priced() -> None:
    bands = settle([modelled(), modelled(zone="FR")], GRID).bands

    assert bands is not None
    assert (bands.of_energy_kwh, bands.of_emissions_gco2e) == (2.0, 100.0)


def test_a_loss_lies_between_its_ends_in_order() -> None:
    bands = settle([modelled(started_at_s=0.0, ended_at_s=HOUR_S, at_once_at_s=2 * HOUR_S)], GRID).bands

    assert bands is not None
    assert bands.avoided_gco2e == pytest.approx((-300 * DEFAULT_HIGH, -300 * DEFAULT_LOW), rel=1e-3)


def test_each_category_has_its_own() -> None:
    account = settle([modelled(category="flex"), a_use(category="final")], GRID)

    assert account.by_category["flex"].bands == account.bands
    assert account.by_category["final"].bands is None
