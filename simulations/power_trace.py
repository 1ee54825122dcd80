"""What a virtual worker draws, interval by interval. Decides nothing."""

from __future__ import annotations

from array import array
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PowerTrace:
    """Piecewise constant: energy_j[i] (n,) is spent evenly over [edges_at_s[i], edges_at_s[i + 1]) (n + 1,).

    `sequences` (n,) says how many shared it; 0 is an idle worker.
    """

    edges_at_s: Floats
    energy_j: Floats
    sequences: Integers

    @property
    def power_w(self) -> Floats:
        return self.energy_j / np.diff(self.edges_at_s)


class Recorder:
    """The power trace as it grows. A span too short for the clock's resolution adds its energy to the next one."""

    def __init__(self, start_at_s: float) -> None:
        self._edges_at_s = array("d", [start_at_s])
        self._energy_j = array("d")
        self._sequences = array("l")
        self._carried_j = 0.0
        self.end_at_s = start_at_s

    @property
    def spans(self) -> int:
        return len(self._energy_j)

    def add(self, end_at_s: float, energy_j: float, sequences: int) -> None:
        if end_at_s <= self.end_at_s:
            self._carried_j += energy_j
            return
        self._edges_at_s.append(end_at_s)
        self._energy_j.append(energy_j + self._carried_j)
        self._sequences.append(sequences)
        self.end_at_s, self._carried_j = end_at_s, 0.0

    def finished(self) -> PowerTrace:
        return PowerTrace(
            edges_at_s=np.array(self._edges_at_s),
            energy_j=np.array(self._energy_j),
            sequences=np.array(self._sequences, dtype=np.int64),
        )
