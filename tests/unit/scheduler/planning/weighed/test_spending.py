"""What the ledger says a tenant has spent, hour by hour, in each unit."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from intensity_feeds.prices import PriceSeries
from scheduler.ledger import EnergyBasis, EnergyUse, Subject
from scheduler.planning.weighed.spending import Spending
from scheduler.planning.whole_fleet.objective import Site
from scheduler.planning.whole_fleet.rules.budgets import Spent
from tests.builders import DAY_S, HOUR_S, a_series

GRID = {"DE": a_series([100, 200, 300])}
PRICE = PriceSeries(
    zone="DE", edges_at_s=HOUR_S * np.arange(4, dtype=np.float64), usd_per_kwh=np.array([0.1, 0.2, 0.3])
)
SITES = {"here": Site(usd_per_kwh=PRICE, usd_per_gpu_h=2.0, gco2e_per_gpu_h=10.0)}


def a_use(**fields: Any) -> EnergyUse:
    """One kilowatt-hour of IT energy with a PUE of 1.5, half an hour in each of the first two hours."""
    defaults: dict[str, Any] = {
        "subject": Subject.JOB,
        "subject_id": "job",
        "category": "final",
        "tenant": "red",
        "region": "here",
        "zone": "DE",
        "started_at_s": 0.5 * HOUR_S,
        "ended_at_s": 1.5 * HOUR_S,
        "energy_kwh": 1.0,
        "basis": EnergyBasis.MODELLED,
        "pue": 1.5,
        "at_once_at_s": 0.0,
        "at_once_zone": "DE",
        "at_once_pue": 1.5,
    }
    return EnergyUse(**{**defaults, **fields})


def spent(spending: Spending, what: Spent, from_s: float = 0.0, to_s: float = DAY_S, tenant: str = "red") -> float:
    return spending.spent_cost(tenant, what, from_s, to_s, GRID, SITES)


def test_a_job_pays_for_energy_and_for_the_gpus_that_it_held() -> None:
    spending = Spending()
    spending.add(a_use(), gpus=2)
    assert spent(spending, Spent.KWH) == 1.5
    assert spent(spending, Spent.GCO2E) == pytest.approx(1.5 * 150 + 2 * 10)
    assert spent(spending, Spent.USD) == pytest.approx(1.5 * 0.15 + 2 * 2)


def test_a_request_pays_for_its_energy_alone_and_others_for_nothing() -> None:
    spending = Spending()
    spending.add(a_use(subject=Subject.REQUEST))
    assert spent(spending, Spent.GCO2E) == pytest.approx(225)
    assert spent(spending, Spent.KWH, tenant="blue") == 0


def test_a_use_is_cut_where_a_period_ends() -> None:
    spending = Spending()
    spending.add(a_use())
    parts = [spent(spending, Spent.KWH, 0.0, HOUR_S), spent(spending, Spent.KWH, HOUR_S, DAY_S)]
    assert parts == pytest.approx([0.75, 0.75])


def test_what_is_not_known_is_infinite_and_never_nothing() -> None:
    spending = Spending()
    spending.add(a_use(started_at_s=5 * HOUR_S, ended_at_s=6 * HOUR_S))
    assert spent(spending, Spent.KWH) == 1.5
    assert math.isinf(spent(spending, Spent.GCO2E))
    assert math.isinf(spent(spending, Spent.USD))
    assert math.isinf(spending.spent_cost("red", Spent.USD, 0, DAY_S, GRID, {"here": Site()}))


def test_periods_that_are_over_are_forgotten() -> None:
    spending = Spending()
    spending.add(a_use())
    spending.add(replace(a_use(), started_at_s=DAY_S, ended_at_s=DAY_S + 60))
    spending.forget_before(DAY_S)
    assert spent(spending, Spent.KWH, 0.0, 2 * DAY_S) == pytest.approx(1.5)
