"""Jobs in pieces on steps of unlike length, with gaps and intensities below zero, against every choice there is."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from intensity_feeds.series import IntensitySeries
from scheduler.jobs import Interruption
from scheduler.planning.curve import curve
from scheduler.planning.one_job.preemptible import Pieces, Work, cheapest_pieces
from tests.plan_cases import MIDNIGHT_S

pytestmark = pytest.mark.slow

SLOT_S = 60.0

# A rate, or None for a gap, and how many slots it holds for.
Steps = Sequence[tuple[float | None, int]]


@dataclass(frozen=True, kw_only=True)
class Rules:
    """In slots."""

    work: int
    shortest: int = 0
    checkpoint: int = 0
    restore: int = 0
    restores_first: bool = False
    per_pause: float = 0.0


def choices(slots: int, since: int = 0) -> Iterator[tuple[tuple[int, int], ...]]:
    """All ways to run in pieces, which may touch."""
    yield ()
    for start in range(since, slots):
        for end in range(start + 1, slots + 1):
            for rest in choices(slots, end):
                yield ((start, end), *rest)


def best_cost(steps: Steps, rules: Rules) -> float:
    rates = [math.nan if rate is None else rate for rate, length in steps for _ in range(length)]
    costs = [cost_of(rates, pieces, rules) for pieces in choices(len(rates)) if is_kept_by(pieces, rules)]
    return min((cost for cost in costs if not math.isnan(cost)), default=math.inf)


def is_kept_by(pieces: Sequence[tuple[int, int]], rules: Rules) -> bool:
    last, works = len(pieces) - 1, []
    for number, (start, end) in enumerate(pieces):
        before = rules.restore if number > 0 or rules.restores_first else 0
        works.append(end - start - before - (rules.checkpoint if number < last else 0))
    least = max(1, rules.shortest) if last > 0 else 1
    return sum(works) == rules.work and all(work >= least for work in works)


def cost_of(rates: Sequence[float], pieces: Sequence[tuple[int, int]], rules: Rules) -> float:
    return sum(sum(rates[start:end]) for start, end in pieces) + (len(pieces) - 1) * rules.per_pause


def planned(steps: Steps, rules: Rules) -> Pieces | None:
    edges = MIDNIGHT_S + SLOT_S * np.concatenate(([0], np.cumsum([length for _, length in steps])))
    rates = np.array([math.nan if rate is None else rate for rate, _ in steps])
    series = IntensitySeries(zone="DE", edges_at_s=edges, gco2e_per_kwh=rates)
    known = curve("DE", series, 1.0, series.start_at_s, series.end_at_s)
    pause = Interruption(
        checkpoint_s=rules.checkpoint * SLOT_S, restore_s=rules.restore * SLOT_S, min_run_s=rules.shortest * SLOT_S
    )
    work = Work(
        work_s=rules.work * SLOT_S,
        earliest_s=series.start_at_s,
        deadline_s=series.end_at_s,
        interruption=pause,
        interruption_g_s_per_kwh=rules.per_pause * SLOT_S,
        restores_first=rules.restores_first,
    )
    return None if known is None else cheapest_pieces([known], work)


def assert_no_choice_is_cheaper(steps: Steps, rules: Rules) -> None:
    pieces, best = planned(steps, rules), best_cost(steps, rules)
    if pieces is None:
        assert best == math.inf
        return
    assert pieces.is_exact
    assert pieces.integral_g_s_per_kwh / SLOT_S + rules.per_pause * pieces.pauses == pytest.approx(best, abs=1e-6)


rules = st.builds(
    Rules,
    work=st.integers(1, 9),
    shortest=st.integers(0, 10),
    checkpoint=st.integers(0, 2),
    restore=st.integers(0, 2),
    restores_first=st.booleans(),
    per_pause=st.sampled_from([0.0, 0.5, 10.0]),
)


def odd_steps(rates: st.SearchStrategy[float]) -> st.SearchStrategy[Steps]:
    """Of one to three slots; the first of one, so that nothing coarser divides all of them."""
    step = st.tuples(st.one_of(st.none(), rates, rates, rates), st.integers(1, 3))
    return st.tuples(rates, st.lists(step, max_size=4)).map(lambda drawn: _within((drawn[0], 1), drawn[1]))


def _within(first: tuple[float, int], rest: Steps) -> Steps:
    """As many steps as every choice of can be tried."""
    steps: list[tuple[float | None, int]] = [first]
    for rate, length in rest:
        if sum(one for _, one in steps) + length <= 9:
            steps.append((rate, length))
    return steps


@settings(max_examples=120, deadline=None)
@given(odd_steps(st.integers(0, 40).map(float)), rules)
def test_no_choice_is_cheaper_on_steps_of_unlike_length_with_gaps(steps: Steps, rules: Rules) -> None:
    assert_no_choice_is_cheaper(steps, rules)


@settings(max_examples=120, deadline=None)
@given(odd_steps(st.integers(-30, 30).map(float)), rules)
def test_no_choice_is_cheaper_where_intensity_falls_below_zero(steps: Steps, rules: Rules) -> None:
    assert_no_choice_is_cheaper(steps, rules)


@settings(max_examples=40, deadline=None)
@given(odd_steps(st.integers(-30, 30).map(float)), rules)
def test_without_slack_only_all_of_the_time_is_left(steps: Steps, rules: Rules) -> None:
    known = [(0.0 if rate is None else rate, length) for rate, length in steps]
    slots = sum(length for _, length in known)
    tight = Rules(work=slots, shortest=rules.shortest, checkpoint=rules.checkpoint, restore=rules.restore)
    pieces = planned(known, tight)
    assert pieces is not None
    assert sum(one.duration_s for one in pieces.segments) == pytest.approx(slots * SLOT_S)
    assert_no_choice_is_cheaper(known, tight)


def test_a_least_run_longer_than_the_window_leaves_one_piece() -> None:
    pieces = planned([(9.0, 1), (1.0, 2), (9.0, 3), (1.0, 2)], Rules(work=4, shortest=20, checkpoint=1, restore=1))
    assert pieces is not None
    assert pieces.pauses == 0
