"""The arithmetic of a token clock: steps of one batch, each of which takes a little more than the one before.

Sums over steps are closed forms, and so is how many fit into a time or into memory. Knows no request. The compiled
loop calls the functions as they stand here.
"""

from __future__ import annotations

import math
from typing import NamedTuple

# Steps are counted in floats; a finish point that is nearer than this has been reached.
STEP_TOLERANCE = 1e-6


def steps_in_room(room_tokens: float, sequences: int) -> float:
    """How many whole steps can be made: the memory of the next one is taken, each one after it takes a token each."""
    return math.floor(max(0.0, room_tokens) / sequences + STEP_TOLERANCE) + 1.0


def sum_of_steps(steps: float, first_cost: float, more_cost: float) -> float:
    """Of so many steps, each of which takes `more_cost` more than the one before, in seconds or joules."""
    return steps * (first_cost + more_cost * steps / 2.0)


def steps_in(elapsed_s: float, step_s: float, longer_s: float) -> float:
    """The inverse of `sum_of_steps`, in the form that survives longer_s = 0."""
    root_s = math.sqrt(step_s * step_s + 2.0 * longer_s * elapsed_s)
    return 2.0 * elapsed_s / (step_s + root_s)


class Span(NamedTuple):
    """Steps of one batch: step k (from 0) takes step_s + longer_s * k and step_j + more_j * k."""

    steps: float
    step_s: float
    longer_s: float
    step_j: float
    more_j: float

    def duration_s(self, steps: float) -> float:
        return sum_of_steps(steps, self.step_s, self.longer_s)

    def energy_j(self, steps: float) -> float:
        return sum_of_steps(steps, self.step_j, self.more_j)

    def steps_within(self, elapsed_s: float) -> float:
        return min(self.steps, steps_in(elapsed_s, self.step_s, self.longer_s))

    def after(self, steps: float) -> Span:
        return Span(
            self.steps - steps,
            self.step_s + self.longer_s * steps,
            self.longer_s,
            self.step_j + self.more_j * steps,
            self.more_j,
        )


IDLE = Span(0.0, 0.0, 0.0, 0.0, 0.0)
