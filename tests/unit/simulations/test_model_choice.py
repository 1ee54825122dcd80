"""The daemon's choice of a model in a what-if: good where the budget allows, cheap where not, and none is lost."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from shaping.profiles import deployment
from shaping.routing import Floors, RouteReason, Service
from shaping.shadow_price import PacedBudget
from simulations.model_choice import Candidate, Chosen, Intensities, Rules, choose_all, drawn_chances, merged, parted
from simulations.workloads import Floats
from tests.unit.simulations.scenarios import a_request_trace

HOUR_S = 3600.0
SMALL = Candidate(name="small", deployment=deployment(gpu="h100-sxm", model="llama-3.1-8b"))
LARGE = Candidate(name="large", deployment=deployment(gpu="h100-sxm", model="llama-3.1-70b", gpus=4))
STANDARD = Rules(service=Service.STANDARD, floors=Floors(standard_ratio=0.5, eco_ratio=0.3), batch_sequences=1)
REQUESTS = a_request_trace(*((60.0 * minute, 500, 200) for minute in range(240)))
CHANCES = np.tile([0.7, 0.85], (240, 1))


def everywhere(gco2e_per_kwh: float) -> Intensities:
    return lambda now_s: (gco2e_per_kwh, gco2e_per_kwh)


def choices(
    *,
    rules: Rules = STANDARD,
    budget_gco2e: float | None = None,
    intensities: Intensities | None = None,
    chances_ratio: Floats = CHANCES,
) -> Chosen:
    budget = None
    if budget_gco2e is not None:
        budget = PacedBudget(limit_cost=budget_gco2e, window_s=4 * HOUR_S, began_at_s=0.0)
    return choose_all(
        "auto",
        REQUESTS,
        chances_ratio,
        (SMALL, LARGE),
        rules,
        start_at_s=0.0,
        budget=budget,
        intensities=intensities or everywhere(500.0),
    )


def test_premium_gets_the_best_and_eco_the_cheapest_model() -> None:
    premium, eco = (choices(rules=replace(STANDARD, service=service)) for service in (Service.PREMIUM, Service.ECO))
    assert (premium.share_ratio("large"), eco.share_ratio("large")) == (1.0, 0.0)
    assert premium.answered_well_ratio == pytest.approx(0.85)
    assert eco.answered_well_ratio == pytest.approx(0.7)


def test_less_budget_is_less_quality_and_never_a_request_less() -> None:
    shares = []
    for budget_gco2e in (1e6, 100.0, 1e-3):
        found = choices(budget_gco2e=budget_gco2e)
        assert len(found.place) == len(REQUESTS)
        shares.append(found.share_ratio("large"))
    assert (shares[0] or 0.0) > 0.9  # a new budget begins careful
    assert (shares[0] or 0.0) > (shares[1] or 0.0) > (shares[2] or 0.0)


def test_where_nobody_knows_the_grid_the_cheapest_adequate_model_serves() -> None:
    found = choices(budget_gco2e=1e6, intensities=lambda now_s: None)
    assert dict(found.reasons) == {RouteReason.CHEAPEST_ADEQUATE: 240}


def test_the_same_budget_buys_more_of_the_large_model_on_a_cleaner_grid() -> None:
    dirty, clean = (
        choices(budget_gco2e=60.0, intensities=everywhere(gco2e_per_kwh)).share_ratio("large")
        for gco2e_per_kwh in (500.0, 50.0)
    )
    assert (clean or 0.0) > (dirty or 0.0)


def test_drawn_chances_have_the_accuracies_and_a_better_model_is_better_at_everything() -> None:
    chances = drawn_chances(np.random.default_rng(1), 5000, (0.694, 0.836), 1.5)
    assert chances.mean(axis=0) == pytest.approx([0.694, 0.836], abs=1e-9)
    assert np.all(chances[:, 1] > chances[:, 0])


def test_without_spread_every_request_is_as_hard() -> None:
    assert np.ptp(drawn_chances(np.random.default_rng(1), 10, (0.7,), 0.0)) == 0.0


def test_requests_are_merged_by_arrival_and_parted_without_loss() -> None:
    first, second = a_request_trace((0.0, 1, 1), (5.0, 2, 2)), a_request_trace((3.0, 3, 3))
    together = merged([first, second])
    assert together.prompt_tokens.tolist() == [1, 3, 2]
    parts = parted(together, np.array([1, 0, 1]), 3)
    assert [part.arrival_s.tolist() for part in parts] == [[3.0], [0.0, 5.0], []]
