"""Bands of a simulation's energy: which items err, and by how much."""

from __future__ import annotations

import numpy as np
import pytest

from shaping.deployment import ErrorClass
from shaping.profiles import deployment
from shaping.uncertainty import class_factors
from simulations.accounts import Accounts, Items, PoolAccounts
from simulations.bands import band_of, in_words, item_factors, plain_pools

KNOWN = deployment(gpu="h100-sxm", model="llama-3.1-8b")
ASSUMED = deployment(gpu="l40s", model="llama-3.1-8b")


def items(*energy_kwh: float) -> Items:
    amounts = np.array(energy_kwh)
    return Items(energy_kwh=amounts, facility_kwh=amounts, emissions_gco2e=amounts)


def a_pool(*requests_kwh: float) -> PoolAccounts:
    return PoolAccounts(requests=items(*requests_kwh), idle=items(1.0))


def test_jobs_by_stated_power_have_no_error_of_ours_and_pools_that_of_their_class() -> None:
    accounts = Accounts(jobs=items(10.0), pools=[a_pool(2.0, 3.0), a_pool(4.0)])
    factors = item_factors(accounts, [KNOWN, ASSUMED])
    low, high = band_of(np.array([10.0, 2.0, 3.0, 1.0, 4.0, 1.0]), factors)
    known, assumed = class_factors(ErrorClass.DEFAULT), class_factors(ErrorClass.DATASHEET)
    assert low == pytest.approx(10 + 6 * known.low + 5 * assumed.low)
    assert high == pytest.approx(10 + 6 * known.high + 5 * assumed.high)


def test_a_day_of_jobs_alone_has_no_band_and_nothing_to_say_of_one() -> None:
    factors = item_factors(Accounts(jobs=items(1.0, 2.0), pools=[]), [])
    assert band_of(np.array([1.0, 2.0]), factors) == (3.0, 3.0)
    assert in_words([]) == ""
    assert plain_pools([]) == []


def test_a_report_names_each_class_once_with_its_band() -> None:
    said = in_words([KNOWN, KNOWN, ASSUMED])
    assert said == "Error class of the profiles, with the 80% band: default (-23% to +29%), datasheet (-36% to +57%)."
