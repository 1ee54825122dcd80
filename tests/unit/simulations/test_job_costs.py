"""A simulated policy by dollars saves dollars, and both sides are billed on what really ran."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from intensity_feeds.prices import PriceSeries
from scheduler.objective_settings import ObjectiveSettings, PriceSettings
from simulations.results import results_of
from simulations.results_json import plain_results
from simulations.runs import Inputs, run_both
from simulations.scenario_file import ScenarioError, parse_scenario
from simulations.summary import side_rows
from tests.builders import HOUR_S
from tests.unit.simulations.scenarios import a_job_trace, some_inputs

VALUES = [500.0, 400, 100, 300, 300, 300, 300, 300, 300, 300, 300, 300]
PRICES = [0.3, 0.1, 0.5, 0.4, 0.4, 0.4, 0.4, 0.4, 0.4, 0.4, 0.4, 0.4]


def priced(objective: ObjectiveSettings, **region: Any) -> Inputs:
    """One job of two GPUs at 700 W each for an hour, with a day of slack but half a day of grid."""
    inputs = some_inputs(jobs=a_job_trace((0.0, HOUR_S, 2)), values=VALUES)
    settings = replace(inputs.scenario.region[0], **region)
    scenario = replace(inputs.scenario, region=(settings,), objective=objective, price=PriceSettings(trace="p.csv"))
    edges = HOUR_S * np.arange(len(PRICES) + 1, dtype=np.float64)
    prices = {"Z": PriceSeries(zone="Z", edges_at_s=edges, usd_per_kwh=np.array(PRICES))}
    return replace(inputs, scenario=scenario, prices=prices)


def test_dollars_are_saved_and_every_unit_is_told() -> None:
    plain = plain_results(results_of(run_both(priced(ObjectiveSettings(usd=1.0), gpu_hour_usd=1.0))))["job_costs"]
    # 1.4 kWh at 30 cents at once and at 10 in the second hour; two GPU-hours at a dollar on either side.
    assert [plain["baseline"]["usd"], plain["policy"]["usd"]] == pytest.approx([2.42, 2.14])
    assert plain["saved"]["usd"] == pytest.approx(0.28)
    assert plain["saved"]["gco2e"] == pytest.approx(1.4 * 100)
    assert plain["value_savings_ratio"] == pytest.approx(0.28 / 2.42)
    assert (plain["unit"], plain["policy"]["waiting_kwh_h"]) == ("USD", pytest.approx(1.4))
    assert plain["saved"]["water_l"] is None


def test_by_grams_the_dollars_are_told_all_the_same() -> None:
    results = results_of(run_both(priced(ObjectiveSettings())))
    plain = plain_results(results)["job_costs"]
    assert plain["unit"] == "gCO2e"
    assert plain["saved"]["usd"] == pytest.approx(1.4 * (0.3 - 0.5))
    assert ("jobs: electricity and hire", "0.42 USD", "0.70 USD") in side_rows(results)


def test_without_prices_and_objective_nothing_is_billed() -> None:
    inputs = some_inputs(jobs=a_job_trace((0.0, HOUR_S, 2)), values=VALUES)
    assert plain_results(results_of(run_both(inputs)))["job_costs"] is None


def test_dollars_that_count_need_a_price() -> None:
    text = (
        'name = "x"\nstart = "2022-03-01T00:00Z"\ngrid.archetypes = { Z = "solar" }\nobjective.usd = 1\n'
        '[[region]]\nname = "here"\nzone = "Z"\ngpus = 4\n[[jobs]]\nname = "j"\n'
    )
    with pytest.raises(ScenarioError, match="dollars count and here has no price"):
        parse_scenario(text, "x.toml")
