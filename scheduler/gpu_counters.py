"""One GPU's joules as a sum that only rises, out of what its driver tells from one reading to the next.

Decides whether the driver's energy counter or the integral of power is believed, and where a sum ends: a counter that
fell, a stretch that nobody read. What follows counts under another name, so nobody subtracts across the break. Knows no
driver and no clock: instants are of one that never jumps. Source: energy_model 4.1.
"""

from __future__ import annotations

from enum import StrEnum

# Power says nothing of what lay between two readings so far apart.
LONGEST_POWER_GAP_S = 5.0
# A counter that is silent for so long is given up for power, where that is known.
PATIENCE_S = 30.0
# Some boards' counters are far off: for so long both are watched, before the counter alone is. Power lags by up to a
# second, so a load that begins late in an idle stretch looks like disagreement; twice in a row it is not that.
CHECK_S = 30.0
CHECKS = 2
MOST_DISAGREEMENT_RATIO = 0.1
# No board draws as much: a counter that rises faster has been written over.
_MOST_W = 10_000.0
_SLACK_J = 1_000.0  # a counter is renewed in steps


class EnergyFrom(StrEnum):
    """Which of the driver's two readings the joules are from."""

    COUNTER = "counter"
    POWER = "power"


class GpuCounter:
    """Joules of one GPU since its sum began; None while they are not known."""

    def __init__(self, name: str) -> None:
        """`name` is this GPU's in this life of the process."""
        self._name, self._epoch = name, 0
        self.energy_from: EnergyFrom | None = None
        self.energy_j: float | None = None
        self.disagreement_ratio: float | None = None  # of the counter from power, where it was given up for that
        self._sum_j = 0.0
        self._at_s = self._heard_at_s = 0.0  # of the last reading, and of the last one that told
        self._counter_j: float | None = None
        self._power_w: float | None = None
        self._watched_s = self._watched_counter_j = self._watched_power_j = 0.0
        self._failed_checks = 0

    @property
    def counter_id(self) -> str:
        """Joules may be subtracted from others of the same name only."""
        return f"{self._name}/{self._epoch}"

    def read(self, at_s: float, counter_j: float | None, power_w: float | None) -> None:
        """What the driver said at that instant; None for what it did not tell."""
        if self.energy_from is None:
            self._begin(at_s, counter_j, power_w)
        elif self.energy_from is EnergyFrom.COUNTER:
            self._count(at_s, counter_j, power_w)
        else:
            self._integrate(at_s, power_w)
        self._at_s = at_s
        self._power_w = power_w

    def _begin(self, at_s: float, counter_j: float | None, power_w: float | None) -> None:
        """Sum from here on, from nothing, by the better of what is told."""
        is_counted = counter_j is not None and self.disagreement_ratio is None
        self._epoch += self.energy_from is not None
        self._sum_j = 0.0
        self.energy_from = None
        self.energy_j = None
        self._watched_s = self._watched_counter_j = self._watched_power_j = 0.0
        self._failed_checks = 0
        if is_counted:
            self.energy_from = EnergyFrom.COUNTER
        elif power_w is not None:
            self.energy_from = EnergyFrom.POWER
        if self.energy_from is not None:
            self.energy_j, self._heard_at_s, self._counter_j = 0.0, at_s, counter_j

    def _count(self, at_s: float, counter_j: float | None, power_w: float | None) -> None:
        if counter_j is None:  # the next one covers what is missed now
            self.energy_j = None
            if at_s - self._heard_at_s > PATIENCE_S and power_w is not None:
                self._begin(at_s, None, power_w)
            return
        assert self._counter_j is not None
        risen_j = counter_j - self._counter_j
        if not 0.0 <= risen_j <= _MOST_W * (at_s - self._heard_at_s) + _SLACK_J:
            self._begin(at_s, counter_j, power_w)
            return
        if self._watches(at_s, risen_j, power_w):
            self._begin(at_s, counter_j, power_w)
            return
        self._sum_j += risen_j
        self.energy_j, self._counter_j, self._heard_at_s = self._sum_j, counter_j, at_s

    def _watches(self, at_s: float, risen_j: float, power_w: float | None) -> bool:
        """Whether the counter has been beside power for long enough, and is far from it time and again."""
        step_s = at_s - self._at_s
        if self._watched_s >= CHECK_S or power_w is None or self._power_w is None or step_s > LONGEST_POWER_GAP_S:
            return False
        self._watched_s += step_s
        self._watched_counter_j += risen_j
        self._watched_power_j += 0.5 * (power_w + self._power_w) * step_s
        if self._watched_s < CHECK_S or self._watched_power_j <= 0.0:
            return False
        off_ratio = self._watched_counter_j / self._watched_power_j - 1.0
        if abs(off_ratio) <= MOST_DISAGREEMENT_RATIO:
            return False
        self._failed_checks += 1
        if self._failed_checks < CHECKS:
            self._watched_s = self._watched_counter_j = self._watched_power_j = 0.0
            return False
        self.disagreement_ratio = off_ratio
        return True

    def _integrate(self, at_s: float, power_w: float | None) -> None:
        if power_w is None:
            self.energy_j = None
            return
        step_s = at_s - self._heard_at_s
        if step_s > LONGEST_POWER_GAP_S or self._power_w is None:
            self._begin(at_s, None, power_w)
            return
        self._sum_j += 0.5 * (power_w + self._power_w) * step_s
        self.energy_j, self._heard_at_s = self._sum_j, at_s
