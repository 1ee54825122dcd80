"""The budgeted assignment of 2,048 queries to 8 models: its time, and how far it is from the best there can be.

    python -m benchmarks.assignment

Made-up qualities and energies of a fixed seed. Times are of the processor, best of five. Exit code 1 when it takes
50 ms or more, or is more than 0.1% below the bound of the linear program.
"""

from __future__ import annotations

import sys
import time
import timeit
from functools import partial

import numpy as np

from shaping.assignment import assign
from shaping.assignment_proof import assign_optimally

QUERIES, MODELS, SEED = 2048, 8, 1
BUDGET_SHARES = (0.01, 0.1, 0.3, 0.6, 0.9)
MOST_S, MOST_GAP_RATIO = 0.050, 0.001


def main() -> int:
    rng = np.random.default_rng(SEED)
    energy = np.sort(rng.lognormal(3, 1, size=(QUERIES, MODELS)), axis=1)
    quality = np.sort(rng.random((QUERIES, MODELS)), axis=1) * rng.random((QUERIES, 1))
    least_j, most_j = float(energy.min(axis=1).sum()), float(energy.max(axis=1).sum())
    is_met = True
    print("| budget over the least | ms | quality | bound | gap | optimum | s to prove it |")
    print("| ---: | ---: | ---: | ---: | ---: | ---: | ---: |")
    for share in BUDGET_SHARES:
        work = partial(assign, quality, energy, least_j + share * (most_j - least_j))
        found = work()
        took_s = min(timeit.repeat(work, timer=time.process_time, number=3, repeat=5)) / 3
        is_met &= took_s < MOST_S and found.gap_ratio <= MOST_GAP_RATIO
        began_s = time.process_time()
        proven = assign_optimally(quality, energy, least_j + share * (most_j - least_j))
        proof_s = time.process_time() - began_s
        best = f"{proven.assignment.quality_ratio:.3f}" if proven.is_optimal else "not proven"
        print(
            f"| {share:.0%} | {took_s * 1000:.1f} | {found.quality_ratio:.3f} | {found.bound_ratio:.3f} "
            f"| {found.gap_ratio:.6%} | {best} | {proof_s:.2f} |"
        )
    return 0 if is_met else 1


if __name__ == "__main__":
    sys.exit(main())
