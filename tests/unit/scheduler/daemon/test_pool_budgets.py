"""What model pools have spent outlives the daemon."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from scheduler.daemon.env import Env
from scheduler.daemon.pool_budgets import PoolBudgets
from scheduler.worker_settings import ModelPoolSettings
from shaping.shadow_price import PacedBudget

MONTH_S, NOON_S = 30 * 86400.0, 1_700_000_000.0


def a_pool(
    budget_gco2e: float | None = 500.0, budget_kwh: float | None = None, window_s: float = MONTH_S
) -> ModelPoolSettings:
    return ModelPoolSettings(
        name="auto",
        candidates=("small", "large"),
        router="router.json",
        budget_gco2e=budget_gco2e,
        budget_kwh=budget_kwh,
        budget_window_s=window_s,
    )


def a_life(folder: Path, now_s: float, settings: ModelPoolSettings) -> tuple[PoolBudgets, PacedBudget]:
    """One daemon that starts then."""
    budgets = PoolBudgets(folder / "model_pools.json", Env(epoch_s=now_s, seed=1))
    found = budgets.budget(settings)
    assert found is not None
    return budgets, found


async def after_spending(folder: Path, cost: float) -> None:
    budgets, budget = a_life(folder, NOON_S, a_pool())
    budget.spend(cost, NOON_S)
    budgets.save()


async def test_a_restart_goes_on_in_the_same_window(tmp_path: Path) -> None:
    await after_spending(tmp_path, 120.0)
    _, budget = a_life(tmp_path, NOON_S + 86400.0, a_pool())
    assert budget.left_cost(NOON_S + 86400.0) == 380.0
    assert budget.left_cost(NOON_S + MONTH_S - 1.0) == 380.0
    assert budget.left_cost(NOON_S + MONTH_S + 1.0) == 500.0


async def test_another_amount_goes_on_in_it_as_well(tmp_path: Path) -> None:
    await after_spending(tmp_path, 120.0)
    _, budget = a_life(tmp_path, NOON_S + 60.0, a_pool(budget_gco2e=200.0))
    assert budget.left_cost(NOON_S + 60.0) == 80.0


async def test_a_daemon_that_was_down_for_longer_has_a_whole_budget(tmp_path: Path) -> None:
    await after_spending(tmp_path, 120.0)
    _, budget = a_life(tmp_path, NOON_S + 2.5 * MONTH_S, a_pool())
    began_at_s, spent_cost = budget.spent(NOON_S + 2.5 * MONTH_S)
    assert began_at_s == pytest.approx(NOON_S + 2 * MONTH_S, abs=1.0)
    assert spent_cost == 0.0


@pytest.mark.parametrize(
    ("settings", "limit_cost"),
    [(a_pool(budget_gco2e=None, budget_kwh=1.0), 3.6e6), (a_pool(window_s=86400.0), 500.0)],
)
async def test_another_unit_or_length_begins_anew(
    tmp_path: Path, settings: ModelPoolSettings, limit_cost: float
) -> None:
    await after_spending(tmp_path, 120.0)
    _, budget = a_life(tmp_path, NOON_S + 60.0, settings)
    assert budget.left_cost(NOON_S + 60.0) == limit_cost


async def test_a_window_of_a_clock_that_was_ahead_begins_now_with_what_it_spent(tmp_path: Path) -> None:
    await after_spending(tmp_path, 120.0)
    _, budget = a_life(tmp_path, NOON_S - 60.0, a_pool())
    began_at_s, spent_cost = budget.spent(NOON_S - 59.0)
    assert began_at_s == pytest.approx(NOON_S - 60.0, abs=1.0)
    assert spent_cost == 120.0


@pytest.mark.parametrize("text", ["", "[]", '{"auto": {"unit": "gco2e"}}', '{"auto": {"spent_cost": "much"}}'])
async def test_a_damaged_file_costs_a_line_in_the_log(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, text: str
) -> None:
    (tmp_path / "model_pools.json").write_text(text)
    with caplog.at_level(logging.WARNING):
        _, budget = a_life(tmp_path, NOON_S, a_pool())
    assert budget.left_cost(NOON_S) == 500.0
    assert [vars(one)["action"] for one in caplog.records] == ["pool_budgets_ignored"]


async def test_a_disk_that_takes_nothing_costs_a_line_in_the_log(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    budgets, budget = a_life(tmp_path / "nowhere", NOON_S, a_pool())
    budget.spend(1.0, NOON_S)
    budgets.save()
    assert [vars(one)["action"] for one in caplog.records] == ["pool_budgets_not_written"]


async def test_without_budgets_or_a_path_nothing_is_written(tmp_path: Path) -> None:
    without = PoolBudgets(tmp_path / "model_pools.json", Env(epoch_s=NOON_S, seed=1))
    assert without.budget(a_pool(budget_gco2e=None)) is None
    without.save()
    in_memory = PoolBudgets(None, Env(epoch_s=NOON_S, seed=1))
    assert in_memory.budget(a_pool()) is not None
    in_memory.save()
    assert not (tmp_path / "model_pools.json").exists()
