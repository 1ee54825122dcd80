"""Measured kernel times of a serving stack: how long one iteration takes, by what is in its batch.

Decides only by looking up and interpolating, each axis on the grid that was measured under it. Knows no requests.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from intensity_feeds.series import Floats
from simulations.reproductions.tables import PackError, Row, number

# Layers of one block, at the tokens of the batch; a block has two norms.
_PER_BLOCK = {"qkv_proj": 1, "rotary_emb": 1, "o_proj": 1, "layernorm": 2}
_SOME_MODELS = {"qk_norm": 1}
_DENSE = {"gate_up_proj": 1, "act_fn": 1, "down_proj": 1}
_EXPERTS = "moe"
_ONCE = ("embedding", "final_layernorm")
_PER_SEQUENCE = ("lm_head", "sampler")
_US = 1e-6

# One number for each axis, each in the axis's own unit.
Point = tuple[float, ...]


class Batch(NamedTuple):
    """What one iteration computes. Contexts are means, in tokens."""

    chunk_tokens: int  # of prompts
    chunk_context_tokens: float  # already cached before the chunk
    decodes: int
    decode_context_tokens: float
    emitted: int  # sequences that get a token

    @property
    def tokens(self) -> int:
        return self.chunk_tokens + self.decodes


class _Axis:
    """A value at each measured point of one axis, linear between; beyond the ends, the end."""

    __slots__ = ("inner", "points")

    def __init__(self, values: Sequence[float], parts: Sequence[_Axis | float]) -> None:
        self.points, self.inner = values, parts

    def at(self, place: Point, depth: int = 0) -> float:
        points, sought = self.points, place[depth]
        high = bisect_right(points, sought)
        if high in (0, len(points)):
            return self._inner(max(0, high - 1), place, depth)
        low = high - 1
        weight = (sought - points[low]) / (points[high] - points[low])
        below = self._inner(low, place, depth)
        return below if weight == 0 else below + weight * (self._inner(high, place, depth) - below)

    def _inner(self, index: int, place: Point, depth: int) -> float:
        inner = self.inner[index]
        return inner.at(place, depth + 1) if isinstance(inner, _Axis) else inner


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class KernelTimes:
    """Times of a model on a GPU. The first three map a count to its time, by index.

    `experts_s` is of the layers of experts; zero for a model that has none.
    """

    by_tokens_s: Sequence[float]
    experts_s: Sequence[float]
    by_sequences_s: Sequence[float]
    attention_us: _Axis
    layers: int

    def iteration_s(self, batch: Batch) -> float:
        return self._own_s(batch) + self.experts_s[batch.tokens]

    def joint_s(self, batches: Sequence[Batch]) -> float:
        """An iteration of replicas that share their experts: the slowest one's own layers, and all one's experts.

        Each GPU has its part of the experts for the tokens of all, which is taken to cost as much as all experts would
        for its part of the tokens.
        """
        tokens = sum(batch.tokens for batch in batches)
        return max(map(self._own_s, batches)) + self.experts_s[-(-tokens // len(batches))]

    def _own_s(self, batch: Batch) -> float:
        place = (batch.chunk_tokens, batch.chunk_context_tokens, batch.decodes, batch.decode_context_tokens)
        attention_s = self.layers * self.attention_us.at(place) * _US
        return self.by_tokens_s[batch.tokens] + self.by_sequences_s[batch.emitted] + attention_s


def kernel_times(
    layer_rows: Sequence[Row], attention_rows: Sequence[Row], layers: int, most_tokens: int
) -> KernelTimes:
    """From the two profile tables of a pack. Raises PackError, CellError."""
    curves = _curves(layer_rows)
    counts = np.arange(most_tokens + 1, dtype=np.float64)
    has_experts = _EXPERTS in curves
    names = {**_PER_BLOCK, **({} if has_experts else _DENSE)}
    names |= {name: times for name, times in _SOME_MODELS.items() if name in curves}
    per_block = sum(times * _interpolated(curves, name, counts) for name, times in names.items())
    experts = _interpolated(curves, _EXPERTS, counts) if has_experts else np.zeros(len(counts))
    once = sum(_interpolated(curves, name, counts) for name in _ONCE)
    per_sequence = sum(_interpolated(curves, name, counts) for name in _PER_SEQUENCE)
    return KernelTimes(
        by_tokens_s=np.asarray((layers * per_block + once) * _US).tolist(),
        experts_s=np.where(counts > 0, layers * experts * _US, 0.0).tolist(),
        by_sequences_s=np.where(counts > 0, per_sequence * _US, 0.0).tolist(),
        attention_us=_attention(attention_rows),
        layers=layers,
    )


def _curves(rows: Sequence[Row]) -> Mapping[str, list[tuple[float, float]]]:
    curves: dict[str, list[tuple[float, float]]] = {}
    for row in rows:
        curves.setdefault(row["layer"], []).append((number(row, "count"), number(row, "time_us")))
    return curves


def _interpolated(curves: Mapping[str, list[tuple[float, float]]], name: str, at_tokens: Floats) -> Floats:
    if name not in curves:
        raise PackError(f"the profile has no layer {name}")
    points = sorted(curves[name])
    times_us = np.interp(at_tokens, [count for count, _ in points], [time_us for _, time_us in points])
    return np.asarray(times_us, dtype=np.float64)


def _attention(rows: Sequence[Row]) -> _Axis:
    columns = ("prefill_chunk", "kv_prefill", "n_decode", "kv_decode", "time_us")
    return _nested(sorted(tuple(number(row, name) for name in columns) for row in rows))


def _nested(points: Sequence[Point]) -> _Axis:
    """Sorted points, the last of each being the value, as axes within axes."""
    if not points:
        raise PackError("the profile of attention is empty")
    groups: dict[float, list[Point]] = {}
    for head, *tail in points:
        groups.setdefault(head, []).append(tuple(tail))
    inner = [group[0][0] if len(group[0]) == 1 else _nested(group) for group in groups.values()]
    return _Axis(list(groups), inner)
