"""Ways to weigh the widths of jobs, beside every set of jobs that fits at once."""

from __future__ import annotations

from itertools import product

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from scheduler.planning.whole_fleet.alone.packings import ways_to_weigh


@settings(deadline=None, derandomize=True)
@given(st.integers(1, 9), st.sets(st.integers(1, 9), min_size=1, max_size=4))
def test_no_jobs_that_fit_at_once_weigh_more_than_one(gpus: int, widths: set[int]) -> None:
    some = sorted(widths)
    ways = ways_to_weigh(gpus, some)
    for counts in product(*(range(gpus // width + 1) for width in some)):
        if np.dot(counts, some) <= gpus:
            assert (ways @ np.array(counts) <= 1.0 + 1e-12).all()


def test_two_jobs_of_more_than_half_are_more_than_a_region_holds() -> None:
    assert [1.0, 1.0] in ways_to_weigh(7, (4, 6)).tolist()


def test_on_five_gpus_a_job_of_four_is_all_and_one_of_two_is_half() -> None:
    assert ways_to_weigh(5, (1, 2, 4)).tolist() == [[0.2, 0.4, 0.8], [0.0, 0.5, 1.0]]
