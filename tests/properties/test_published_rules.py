"""The published rules on hours equal what their authors wrote down for single steps."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from simulations.policies.rules import cleanest_runs, lowest_of_each, runs_below

# Few values, so that ties are frequent.
HOURS = st.lists(st.integers(1, 4), min_size=1, max_size=8)
STEPS = 5


def ahead(hours: list[int]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Edges and values of the hours, and the values of their steps."""
    values = np.array(hours)
    return STEPS * np.arange(len(hours) + 1), values, np.repeat(values, STEPS)


def steps_of(runs: list[tuple[float, float]]) -> list[int]:
    return [step for begin, end in runs for step in range(int(begin), int(end))]


@given(hours=HOURS, share=st.floats(0, 1))
def test_the_cleanest_runs_are_the_first_steps_by_intensity(hours: list[int], share: float) -> None:
    edges, values, steps = ahead(hours)
    work = round(share * len(steps))
    assert steps_of(cleanest_runs(edges, values, work)) == sorted(np.argsort(steps, kind="stable")[:work].tolist())


@given(hours=HOURS, share=st.floats(0, 1), gate=st.integers(1, 5))
def test_suspend_resume_walks_as_the_authors_walk(hours: list[int], share: float, gate: int) -> None:
    edges, values, steps = ahead(hours)
    work = round(share * len(steps))
    patience = len(steps) - work
    walked: list[int] = []
    waited = 0
    for step, value in enumerate(steps.tolist()):
        if len(walked) == work:
            break
        if value < gate or waited == patience:
            walked.append(step)
        else:
            waited += 1
    runs = runs_below(edges, values, gate, work, patience)
    assert steps_of(runs) == walked
    assert sum(end - begin for begin, end in runs) == work


@given(groups=st.lists(st.lists(st.integers(0, 3), min_size=1, max_size=5), min_size=1, max_size=5))
def test_the_lowest_of_each_group_is_its_first_least(groups: list[list[int]]) -> None:
    firsts = np.cumsum([0, *(len(group) for group in groups)])[:-1]
    found = lowest_of_each(np.array([value for group in groups for value in group]), firsts)
    assert found.tolist() == [int(np.argmin(group)) for group in groups]
