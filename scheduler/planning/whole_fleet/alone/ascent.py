"""How far each price moves in a round: by its averaged slope beside the slope's usual size.

So each price has a step of its own, the longer the steadier its slope, and no ascent needs a plan to aim at. Knows no
job and no bound.
"""

from __future__ import annotations

import numpy as np

from intensity_feeds.series import Floats

# The last step beside the first; all steps shrink from round to round.
LAST_STEP_RATIO = 0.01
# How much of the slope, and of its square, is kept from round to round; measured in docs/decisions/0013 and 0016.
_KEPT_RATIO, _KEPT_SQUARE_RATIO = 0.8, 0.99
_FLAT_RATIO = 1e-2


class Slopes:
    """The slopes behind an ascent, as shares of capacity, each of a shape that goes with `shape`."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        self._slope_ratio: Floats = np.zeros(shape)
        self._square_ratio: Floats = np.zeros(shape)
        self._rounds = 0

    def aimed(self, slope_ratio: Floats) -> Floats:
        """The slope so far beside its usual size, both averaged; no more than about one."""
        keep, keep_square = _KEPT_RATIO, _KEPT_SQUARE_RATIO
        self._rounds += 1
        if self._slope_ratio.shape != slope_ratio.shape:
            self._slope_ratio = np.broadcast_to(self._slope_ratio, slope_ratio.shape).copy()
            self._square_ratio = np.broadcast_to(self._square_ratio, slope_ratio.shape).copy()
        self._slope_ratio *= keep
        self._slope_ratio += (1 - keep) * slope_ratio
        square = slope_ratio * slope_ratio
        square *= 1 - keep_square
        self._square_ratio *= keep_square
        self._square_ratio += square
        # From here on in one array, which large fleets are glad of.
        usual = np.divide(self._square_ratio, 1 - keep_square**self._rounds, out=square)
        usual += _FLAT_RATIO**2
        np.sqrt(usual, out=usual)
        aimed: Floats = self._slope_ratio / (1 - keep**self._rounds)
        aimed /= usual
        return aimed
