"""Merged records say at every second what the newest answer with a number said, however the answers arrive."""

from __future__ import annotations

import math
from functools import reduce

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from intensity_feeds.records import Record, as_text, fetched, from_text, merged
from intensity_feeds.series import IntensitySeries

pytestmark = pytest.mark.slow

SPAN_S = 40


@st.composite
def answers(draw: st.DrawFn) -> list[Record]:
    """One to four records with distinct fetch times, of steps on whole seconds within a short span."""
    times = draw(st.lists(st.integers(1, 100), min_size=1, max_size=4, unique=True))
    records = []
    for fetched_at_s in times:
        edges = sorted(draw(st.sets(st.integers(0, SPAN_S), min_size=2, max_size=6)))
        value = st.one_of(st.integers(0, 900).map(float), st.just(math.nan))
        values = draw(st.lists(value, min_size=len(edges) - 1, max_size=len(edges) - 1))
        series = IntensitySeries(zone="DE", edges_at_s=np.array(edges, dtype=float), gco2e_per_kwh=np.array(values))
        records.append(fetched(series, float(fetched_at_s)))
    return records


def value_at(series: IntensitySeries, second: int) -> float:
    if not series.start_at_s <= second < series.end_at_s:
        return math.nan
    return float(series.gco2e_per_kwh[np.searchsorted(series.edges_at_s, second, side="right") - 1])


def newest_at(records: list[Record], second: int) -> float:
    said = [(record.fetched_at_s, value_at(record.series, second)) for record in records]
    return max(((at_s, value) for at_s, value in said if not math.isnan(value)), default=(0.0, math.nan))[1]


@given(answers())
def test_the_newest_number_holds_at_every_second(records: list[Record]) -> None:
    whole = reduce(lambda one, other: merged(one, other, keep_from_s=0.0), records)
    for second in range(SPAN_S + 1):
        assert np.array_equal(value_at(whole.series, second), newest_at(records, second), equal_nan=True)
    assert whole.fetched_at_s == max(record.fetched_at_s for record in records)


@given(answers(), st.integers(0, 200), st.sampled_from('0123456789,.:"{}[]nul '))
def test_a_record_survives_as_text_and_no_altered_byte_does(records: list[Record], place: int, letter: str) -> None:
    text = as_text(records[0])
    read = from_text(text)
    assert np.array_equal(read.series.gco2e_per_kwh, records[0].series.gco2e_per_kwh, equal_nan=True)
    altered = text[: place % len(text)] + letter + text[place % len(text) + 1 :]
    if altered.split() != text.split():
        with pytest.raises(ValueError, match="checksum"):
            from_text(altered)
