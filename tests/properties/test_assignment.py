"""The budgeted assignment against every assignment there is, and against a linear program solved by HiGHS."""

from __future__ import annotations

import itertools

import highspy
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shaping.assignment import BudgetTooSmallError, assign
from shaping.assignment_proof import assign_optimally
from shaping.router_model import Vector

pytestmark = pytest.mark.slow


@st.composite
def tables(draw: st.DrawFn, most_queries: int = 5) -> tuple[Vector, Vector, float]:
    """Few distinct values, so that ties, dominated models and equal slopes are common."""
    queries, models = draw(st.integers(1, most_queries)), draw(st.integers(1, 4))
    cells = queries * models
    quality = draw(st.lists(st.integers(0, 20), min_size=cells, max_size=cells))
    energy = draw(st.lists(st.integers(0, 12), min_size=cells, max_size=cells))
    budget = draw(st.integers(0, 12 * queries))
    shape = (queries, models)
    return np.array(quality).reshape(shape) / 20.0, np.array(energy, dtype=float).reshape(shape), float(budget)


def best_of_all(quality: Vector, energy: Vector, budget_j: float) -> float | None:
    rows = range(len(quality))
    values = [
        sum(quality[row, pick[row]] for row in rows)
        for pick in itertools.product(range(quality.shape[1]), repeat=len(quality))
        if sum(energy[row, pick[row]] for row in rows) <= budget_j
    ]
    return max(values, default=None)


def best_by_highs(quality: Vector, energy: Vector, budget_j: float) -> float:
    return relaxed_by_highs(quality, energy, budget_j, is_whole=True)


def relaxed_by_highs(quality: Vector, energy: Vector, budget_j: float, *, is_whole: bool = False) -> float:
    solver = highspy.Highs()  # type: ignore[no-untyped-call]
    solver.setOptionValue("output_flag", False)
    solver.setOptionValue("mip_rel_gap", 0.0)
    kind = highspy.HighsVarType.kInteger if is_whole else highspy.HighsVarType.kContinuous
    shares = [[solver.addVariable(lb=0, ub=1, type=kind) for _ in row] for row in quality]
    for row in shares:
        solver.addConstr(sum(row) == 1)
    pairs = list(zip(itertools.chain(*shares), energy.ravel(), strict=True))
    solver.addConstr(sum(share * float(joules) for share, joules in pairs) <= budget_j)
    solver.maximize(
        sum(share * float(value) for share, value in zip(itertools.chain(*shares), quality.ravel(), strict=True))
    )
    return float(solver.getObjectiveValue())


@given(tables())
def test_the_budget_holds_and_the_bound_is_one(case: tuple[Vector, Vector, float]) -> None:
    quality, energy, budget_j = case
    best = best_of_all(quality, energy, budget_j)
    if best is None:
        with pytest.raises(BudgetTooSmallError):
            assign(quality, energy, budget_j)
        return
    found = assign(quality, energy, budget_j)

    rows = range(len(quality))
    assert found.energy_j == pytest.approx(sum(energy[row, found.models[row]] for row in rows))
    assert found.quality_ratio == pytest.approx(sum(quality[row, found.models[row]] for row in rows))
    assert found.energy_j <= budget_j
    assert found.quality_ratio <= best + 1e-9 <= found.bound_ratio + 2e-9
    # One query at most keeps a part of a step, so never more than one query's whole range is missing.
    assert best - found.quality_ratio <= np.ptp(quality, axis=1).max() + 1e-9


@given(tables(most_queries=4))
def test_the_bound_is_the_linear_programs(case: tuple[Vector, Vector, float]) -> None:
    quality, energy, budget_j = case
    if energy.min(axis=1).sum() <= budget_j:
        assert assign(quality, energy, budget_j).bound_ratio == pytest.approx(
            relaxed_by_highs(quality, energy, budget_j), abs=1e-7
        )


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("budget_share", [0.05, 0.3, 0.7])
def test_a_large_batch_is_within_a_thousandth_of_the_bound(seed: int, budget_share: float) -> None:
    rng = np.random.default_rng(seed)
    energy = np.sort(rng.lognormal(3, 1, size=(2048, 8)), axis=1)
    quality = np.sort(rng.random((2048, 8)), axis=1) * rng.random((2048, 1))
    least_j, most_j = energy.min(axis=1).sum(), energy.max(axis=1).sum()

    found = assign(quality, energy, least_j + budget_share * (most_j - least_j))

    assert found.gap_ratio < 0.001


def test_a_free_better_model_is_taken_without_a_budget() -> None:
    found = assign(np.array([[0.2, 0.9]]), np.array([[0.0, 0.0]]), 0.0)

    assert found.models.tolist() == [1]


def test_tables_that_do_not_match_are_refused() -> None:
    with pytest.raises(ValueError, match="must both be"):
        assign(np.zeros((2, 3)), np.zeros((3, 2)), 1.0)
    with pytest.raises(ValueError, match="finite"):
        assign(np.array([[np.nan]]), np.zeros((1, 1)), 1.0)


@given(tables())
def test_the_proven_assignment_is_the_best_of_all(case: tuple[Vector, Vector, float]) -> None:
    quality, energy, budget_j = case
    best = best_of_all(quality, energy, budget_j)
    if best is not None:
        found = assign_optimally(quality, energy, budget_j)

        assert found.is_optimal
        assert found.assignment.quality_ratio == pytest.approx(best, abs=1e-9)
        assert found.assignment.energy_j <= budget_j


@pytest.mark.parametrize("seed", range(4))
def test_a_batch_of_hundreds_is_proven_and_not_below_highs(seed: int) -> None:
    rng = np.random.default_rng(seed)
    energy = np.sort(rng.lognormal(3, 1, size=(300, 4)), axis=1)
    quality = np.sort(rng.random((300, 4)), axis=1)
    budget_j = float(energy.min(axis=1).sum() * 1.8)
    found = assign_optimally(quality, energy, budget_j)

    assert found.is_optimal
    assert found.assignment.quality_ratio == pytest.approx(best_by_highs(quality, energy, budget_j), abs=1e-6)


def test_a_search_that_grows_too_large_says_so_and_keeps_what_it_had() -> None:
    rng = np.random.default_rng(7)
    energy, quality = rng.random((200, 5)), rng.random((200, 5))
    begun = assign(quality, energy, 40.0)
    found = assign_optimally(quality, energy, 40.0, most_states=1)

    assert not found.is_optimal
    assert found.assignment.models.tolist() == begun.models.tolist()
