"""The page that the benchmark of scale writes, and the slope on it."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.daemon_scale import page_of, sections
from benchmarks.held_streams import unchunked
from benchmarks.long_day import slope_of


def test_a_part_that_is_measured_anew_leaves_the_others_as_they_were() -> None:
    page = page_of({"A day": "| a |\n\ntext.", "Streams held at once": "old"})
    found = sections(page)
    assert found == {"Streams held at once": "old", "A day": "| a |\n\ntext."}
    found["Streams held at once"] = "new"
    assert sections(page_of(found)) == {"Streams held at once": "new", "A day": "| a |\n\ntext."}


def test_a_steady_rise_is_growth_and_a_wandering_memory_is_none() -> None:
    hours = np.arange(0.0, 24.0, 0.125)
    rising = slope_of([(hour, 100.0 + 0.5 * hour + (0.1 if n % 2 else -0.1)) for n, hour in enumerate(hours)])
    assert rising.mb_per_hour == pytest.approx(0.5, abs=0.01)
    assert rising.is_growth
    # Steps up and down again: neighbours are alike, so that hardly any of the looks are independent.
    wandering = slope_of([(hour, 100.0 + 3.0 * np.sin(hour)) for hour in hours])
    assert not wandering.is_growth
    assert rising.is_known
    assert not wandering.is_known


def test_a_chunked_body_is_put_together_again() -> None:
    assert unchunked(b"3\r\nabc\r\n1\r\nd\r\n0\r\n\r\n") == b"abcd"
