"""The picture of a table: how far its lines reach."""

from __future__ import annotations

import pytest

pytest.importorskip("matplotlib")

from simulations.reproductions.figure import margin_of


def test_the_line_of_one_value_is_seen_even_where_ours_has_more_digits() -> None:
    assert margin_of(199.17586, 199.17586 + 2e-13) == 1.0
    assert margin_of(0.0, 0.0) == 1.0
    assert margin_of(10.0, 30.0) == pytest.approx(1.0)
    assert margin_of(0.68, 1.0) == pytest.approx(0.016)
