from __future__ import annotations

from typing import Any

import pytest

from scheduler.ledger import EnergyBasis, EnergyUse, Subject, settle
from tests.builders import HOUR_S, a_series

GRID = {"DE": a_series([400.0, 400.0, 100.0, 200.0])}


def a_use(**fields: Any) -> EnergyUse:
    """1 kWh in DE in hour 2, asked for in hour 0, PUE 1."""
    defaults: dict[str, Any] = {
        "subject": Subject.JOB,
        "subject_id": "job",
        "category": "final",
        "tenant": "default",
        "region": "here",
        "zone": "DE",
        "started_at_s": 2 * HOUR_S,
        "ended_at_s": 3 * HOUR_S,
        "energy_kwh": 1.0,
        "basis": EnergyBasis.MODELLED,
        "pue": 1.0,
        "at_once_at_s": 0.0,
        "at_once_zone": "DE",
        "at_once_pue": 1.0,
    }
    return EnergyUse(**{**defaults, **fields})


def test_waiting_for_the_clean_hour_is_a_saving_against_starting_at_once() -> None:
    account = settle([a_use()], GRID)

    assert (account.emissions_gco2e, account.at_once_emissions_gco2e) == (100.0, 400.0)
    assert account.savings_ratio == 0.75


def test_a_wait_that_made_it_dirtier_is_a_negative_saving() -> None:
    account = settle([a_use(started_at_s=0.0, ended_at_s=HOUR_S, at_once_at_s=2 * HOUR_S)], GRID)

    assert account.avoided_gco2e == -300.0


def test_energy_without_intensity_is_unpriced_and_never_zero_grams() -> None:
    account = settle([a_use(), a_use(zone="FR")], GRID)

    assert account.energy_kwh == 2.0
    assert account.unpriced_kwh == 1.0
    assert account.priced_ratio == 0.5
    assert account.emissions_gco2e == 100.0


def test_pue_counts_on_both_sides() -> None:
    account = settle([a_use(pue=1.5, at_once_pue=1.2)], GRID)

    assert (account.emissions_gco2e, account.at_once_emissions_gco2e) == pytest.approx((150.0, 480.0))


def test_categories_sum_to_the_total() -> None:
    uses = [a_use(), a_use(category="development", started_at_s=0.0, ended_at_s=HOUR_S)]

    account = settle(uses, GRID)

    assert sorted(account.by_category) == ["development", "final"]
    assert sum(part.emissions_gco2e for part in account.by_category.values()) == account.emissions_gco2e


def test_nothing_used_saves_nothing_and_divides_by_nothing() -> None:
    account = settle([], GRID)

    assert account.savings_ratio is None
    assert account.priced_ratio is None
