"""Whose joules a meter counted: what GPUs drew between two readings, over the requests that ran meanwhile.

Decides shares only, and that they sum to what was read: a window without requests, and the idle part of one with gaps,
belongs to nobody. While it runs every request of the batch gets one token a step, so its tokens in a window follow from
the time it was there; its prompt falls into the window in which it came. What each kind of token weighs is the energy
model's word at the window's mean batch; without a profile time alone counts. A request that ran through a window of
which nothing is known has no metered energy at all: a part would read as the whole. Source: energy_model 4.1 and 4.3.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from shaping.attribution import split_j, token_weights_j
from shaping.energy import Deployment, GpuState, idle_power_w, step


class Share:
    """One request at the metered worker. `energy_j` grows with each reading; None once a part of it is lost."""

    __slots__ = ("began_at_s", "context_tokens", "ended_at_s", "energy_j", "prompt_tokens")

    def __init__(self, began_at_s: float, prompt_tokens: int, context_tokens: float) -> None:
        self.began_at_s, self.ended_at_s = began_at_s, math.inf
        self.prompt_tokens, self.context_tokens = prompt_tokens, context_tokens
        self.energy_j: float | None = 0.0


class MeteredShares:
    """The requests of one worker between the readings of its meter. Instants are of one clock that never jumps."""

    def __init__(self, deployment: Deployment | None) -> None:
        """`deployment` is None where no profile of the worker is known."""
        self._deployment = deployment
        self._idle_w = 0.0
        if deployment is not None:
            self._idle_w = deployment.gpus * idle_power_w(deployment.gpu, GpuState.CONTEXT_IDLE)
        self._open: dict[Share, None] = {}
        self._ended: list[Share] = []  # since the last reading
        self._read_at_s: float | None = None
        self._counter_j: float | None = None
        self.nobodys_j = 0.0  # of all windows so far

    def began(self, at_s: float, prompt_tokens: int, output_tokens: int) -> Share:
        """A request went to the worker; its output is expected to be so long."""
        share = Share(at_s, prompt_tokens, prompt_tokens + output_tokens / 2)
        self._open[share] = None
        return share

    def ended(self, share: Share, at_s: float) -> None:
        """It has been answered or broken off; its energy is complete with the next reading."""
        if share in self._open:
            del self._open[share]
            share.ended_at_s = at_s
            self._ended.append(share)

    def read(self, at_s: float, counter_j: float | None, power_w: float | None) -> list[Share]:
        """The meter was read; the requests that had ended by then and know their energy, in the order of their ends.

        `at_s` may lie somewhat in the past: what began or ended after it is the next window's. `counter_j` counts since
        some start; where a GPU has no such counter, the power now stands for the window.
        """
        window_j = self._window_j(at_s, counter_j, power_w)
        running = [one for one in (*self._ended, *self._open) if one.began_at_s <= at_s]
        if window_j is None or self._read_at_s is None:
            for share in running:
                share.energy_j = None
        else:
            self._divide(window_j, running, self._read_at_s, at_s)
        self._read_at_s, self._counter_j = at_s, counter_j
        return self._taken(at_s)

    def lost(self) -> list[Share]:
        """The meter will not be read again: everybody who waits for it, without metered energy."""
        for share in [*self._ended, *self._open]:
            share.energy_j = None
        self._ended += self._open
        self._open.clear()
        return self._taken(math.inf)

    def _taken(self, until_s: float) -> list[Share]:
        taken = [one for one in self._ended if one.ended_at_s <= until_s]
        self._ended = [one for one in self._ended if one.ended_at_s > until_s]
        return taken

    def _window_j(self, at_s: float, counter_j: float | None, power_w: float | None) -> float | None:
        """None for the first reading, for none, and for a counter that began anew."""
        if self._read_at_s is None:
            return None
        if counter_j is not None and self._counter_j is not None:
            return counter_j - self._counter_j if counter_j >= self._counter_j else None
        if counter_j is not None or self._counter_j is not None or power_w is None:
            return None
        return power_w * (at_s - self._read_at_s)

    def _divide(self, window_j: float, running: Sequence[Share], from_s: float, to_s: float) -> None:
        spans_s = [(max(from_s, one.began_at_s), min(to_s, one.ended_at_s)) for one in running]
        idle_j = min(window_j, self._idle_w * max(0.0, (to_s - from_s) - _covered_s(spans_s)))
        if not running:
            idle_j = window_j
        self.nobodys_j += idle_j
        if not running:
            return
        present_s = [max(0.0, end_s - start_s) for start_s, end_s in spans_s]
        weights_j = self._weights_j(running, present_s, from_s, to_s)
        for share, part_j in zip(running, split_j(window_j - idle_j, weights_j), strict=True):
            if share.energy_j is not None:
                share.energy_j += part_j

    def _weights_j(
        self, running: Sequence[Share], present_s: Sequence[float], from_s: float, to_s: float
    ) -> Sequence[float]:
        there_s = math.fsum(present_s)
        if self._deployment is None or there_s <= 0.0 or to_s <= from_s:
            return present_s
        sequences = max(1.0, there_s / (to_s - from_s))
        mean_context_tokens = math.fsum(one.context_tokens for one in running) / len(running)
        prompt_j, output_j = token_weights_j(self._deployment, sequences, mean_context_tokens)
        step_s = step(self._deployment, sequences, mean_context_tokens).duration_s
        return [
            output_j * lasted_s / step_s + (prompt_j * one.prompt_tokens if one.began_at_s >= from_s else 0.0)
            for one, lasted_s in zip(running, present_s, strict=True)
        ]


def _covered_s(spans_s: Sequence[tuple[float, float]]) -> float:
    """The length of their union."""
    covered_s, reached_s = 0.0, -math.inf
    for start_s, end_s in sorted(spans_s):
        covered_s += max(0.0, end_s - max(start_s, reached_s))
        reached_s = max(reached_s, end_s)
    return covered_s
