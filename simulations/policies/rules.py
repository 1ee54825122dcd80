"""The rules by which published policies choose when work runs, each in one place.

Reproductions ask them on the steps of the original, scenarios on seconds: a step is any unit of time here. `edges`
(n + 1,), whole or not, go with `gco2e_per_kwh` (n,). Of equals the earliest is chosen, as published. Knows no job, no
deadline and no GPU; what may not be had is infinitely dirty.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from intensity_feeds.series import Floats

Whole = NDArray[np.int64]
Numbers = Floats | Whole

# A contiguous run: from, to.
Run = tuple[float, float]

# The cleanest share of the next day that the threshold policies call clean: the 30th percentile is their gate.
# Source: Hanafy et al., ASPLOS 2024, there for Ecovisor (Souza et al., ASPLOS 2023).
GATE_RATIO = 0.3


def lowest(values: Numbers) -> int:
    """The place of the least. Lowest-Slot asks it of intensities, Lowest-Window of sums over the expected run."""
    return int(lowest_of_each(values, np.zeros(1, dtype=np.int64))[0])


def lowest_of_each(values: Numbers, firsts: Whole) -> Whole:
    """The same in each of the groups that begin at `firsts`: places inside the groups, shape as `firsts`."""
    sizes = np.diff(firsts, append=len(values))
    offsets = np.arange(len(values)) - np.repeat(firsts, sizes)
    is_lowest = values == np.repeat(np.minimum.reduceat(values, firsts), sizes)
    return np.asarray(np.minimum.reduceat(np.where(is_lowest, offsets, len(values)), firsts), dtype=np.int64)


def most_saved_for_time(sums: Numbers, waits: Numbers, expected_steps: float) -> int:
    """Carbon-Time: what saves most per unit of time until the expected end, beside the sum of not waiting, the first.

    Source: Hanafy et al., ASPLOS 2024.
    """
    return int(((sums[0] - sums) / (waits + expected_steps)).argmax())


def gate_of(gco2e_per_kwh: Numbers, steps: Whole, clean_ratio: float = GATE_RATIO) -> float:
    """What is below it counts as clean, gCO2e/kWh: a percentile of the next day's steps, linear between two of them.

    `steps` (n,) tells how many of the equal steps have each intensity.
    """
    order = np.argsort(gco2e_per_kwh, kind="stable")
    counted = np.cumsum(steps[order])
    rank = clean_ratio * (int(counted[-1]) - 1)
    low = int(rank)
    places = np.searchsorted(counted, (low, min(low + 1, int(counted[-1]) - 1)), side="right")
    below, above = gco2e_per_kwh[order][places].tolist()
    return float(below + (above - below) * (rank - low))


def first_below(gco2e_per_kwh: Numbers, gate_gco2e_per_kwh: float) -> int | None:
    """The place of the first that is clean; None where none is."""
    clean = np.flatnonzero(gco2e_per_kwh < gate_gco2e_per_kwh)
    return int(clean[0]) if len(clean) else None


def cleanest_first(gco2e_per_kwh: Numbers) -> Whole:
    """Wait-Awhile, interruptible: the order in which steps are taken until the work is done; along the last axis.

    Source: Wiesner et al., Middleware 2021.
    """
    return np.argsort(gco2e_per_kwh, axis=-1, kind="stable")


def cleanest_runs(edges: Numbers, gco2e_per_kwh: Numbers, work_steps: float) -> list[Run]:
    """`work_steps` in the cleanest steps; one that is needed in part is needed from its begin."""
    lengths, order = np.diff(edges), cleanest_first(gco2e_per_kwh)
    taken = np.zeros_like(lengths)
    taken[order] = np.clip(work_steps - (np.cumsum(lengths[order]) - lengths[order]), 0, lengths[order])
    return _joined(edges[:-1], edges[:-1] + taken)


def runs_below(
    edges: Numbers, gco2e_per_kwh: Numbers, gate_gco2e_per_kwh: float, work_steps: float, patience_steps: float
) -> list[Run]:
    """Suspend-resume: runs while it is clean, and always once the patience is used up; `work_steps` in all.

    Source: Souza et al., ASPLOS 2023 (Ecovisor), with the wait of Hanafy et al., ASPLOS 2024.
    """
    lengths = np.diff(edges)
    is_clean = gco2e_per_kwh < gate_gco2e_per_kwh
    waits = np.where(is_clean, 0, lengths)
    forced = np.clip(np.cumsum(waits) - patience_steps, 0, waits)
    taken = np.where(is_clean, lengths, forced)
    begins = edges[1:] - taken
    kept = np.clip(work_steps - (np.cumsum(taken) - taken), 0, taken)
    return _joined(begins, begins + kept)


def _joined(begins: Numbers, ends: Numbers) -> list[Run]:
    """Growing stretches, those without length left out, as runs."""
    runs: list[Run] = []
    for begin, end in zip(begins.tolist(), ends.tolist(), strict=True):
        if end <= begin:
            continue
        if runs and runs[-1][1] == begin:
            runs[-1] = (runs[-1][0], end)
        else:
            runs.append((begin, end))
    return runs
