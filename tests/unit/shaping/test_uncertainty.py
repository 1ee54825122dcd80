"""Bands by error class, worked by hand."""

from __future__ import annotations

import math

import pytest

from shaping.deployment import ErrorClass
from shaping.uncertainty import SIGMA_RATIO, band, factors, worst


def test_independent_factors_add_their_variances() -> None:
    # sigma = sqrt(0.09 + 0.16) = 0.5; exp(1.28 * 0.5) = 1.8965.
    low, high = factors(0.3, 0.4)
    assert high == pytest.approx(1.8965, abs=1e-4)
    assert low * high == pytest.approx(1.0)


def test_an_amount_from_a_default_profile_spans_a_quarter_either_way() -> None:
    low, high = band(100.0, ErrorClass.DEFAULT)
    assert (low, high) == pytest.approx((100 * math.exp(-0.256), 100 * math.exp(0.256)))


def test_the_better_known_the_narrower() -> None:
    assert [SIGMA_RATIO[one] for one in ErrorClass] == [0.03, 0.06, 0.20, 0.35]
    widths = [band(1.0, one).high for one in ErrorClass]
    assert widths == sorted(widths)


def test_a_number_known_exactly_has_no_width() -> None:
    assert factors() == (1.0, 1.0)


def test_a_sum_is_known_as_well_as_its_worst_part() -> None:
    assert worst([ErrorClass.METERED, ErrorClass.DATASHEET, ErrorClass.DEFAULT]) is ErrorClass.DATASHEET
    assert worst([ErrorClass.METERED, None]) is None
    assert worst([]) is None
