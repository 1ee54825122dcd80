"""Both sides of the event-loop benchmark serve one queue as it is defined."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest

from benchmarks.event_loop import on_our_loop, on_simpy


@pytest.mark.parametrize("side", [on_our_loop, on_simpy])
def test_customers_are_served_one_by_one_in_the_order_they_come(
    side: Callable[[Sequence[float], Sequence[float]], list[float]],
) -> None:
    # They come at 1, 2, 3 and 10; the second waits until 4, the third until 4.5, the last for nobody.
    assert side([1.0, 1.0, 1.0, 7.0], [3.0, 0.5, 2.0, 1.0]) == [4.0, 4.5, 6.5, 11.0]
