"""Judged queries from which a router learns something plain: long ones need the strong model."""

from __future__ import annotations

import numpy as np

from shaping.router_training import Judged

SHORT, LONG = "What is a cat?", "Compute " + "the long chain of sums " * 20


def judged(repeats: int = 40) -> Judged:
    """Long queries need the strong model: it alone answers nine of ten of them; four subjects."""
    queries = [SHORT, LONG] * repeats
    weak = np.array([True, False] * repeats)
    weak[::20] = False
    strong = np.ones(len(queries), dtype=bool)
    strong[1::20] = False
    return Judged(
        queries=queries,
        subjects=[f"subject-{row // 20}" for row in range(len(queries))],
        is_right={"weak": weak, "strong": strong},
    )
