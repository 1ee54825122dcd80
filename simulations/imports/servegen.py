"""ServeGen's published clients as requests: rates, gaps and lengths were measured, single requests are drawn.

Each client has windows of ten minutes with a rate and the shape of its gaps, and histograms of lengths some hours long.
Gaps are drawn from that shape and stretched to the window's rate; prompt and output are drawn apart, since how they
belong together was not published. Source: alibaba/ServeGen, data/CATEGORY/MODEL/chunk-N-{trace.csv,dataset.json}.
"""

from __future__ import annotations

import ast
import json
import math
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from simulations.imports.rows import RequestRow, TraceFormatError

WINDOW_S = 600.0
_FIELDS = 6
_SHAPES = ("Gamma", "Weibull")
Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """Ten minutes of one client; `form_ratio` is the shape parameter of the distribution of its gaps."""

    start_s: float
    rate_per_s: float
    is_weibull: bool
    form_ratio: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Lengths:
    """Tokens, and the share of requests with so many; of shape (n,) for prompts, (m,) for outputs."""

    start_s: float
    prompt_tokens: Floats
    prompt_ratio: Floats
    output_tokens: Floats
    output_ratio: Floats


@dataclass(frozen=True, slots=True, kw_only=True)
class Client:
    """One caller of the service; windows in which nothing came are left out."""

    windows: Sequence[Window]
    lengths: Sequence[Lengths]

    def lengths_at(self, at_s: float) -> Lengths:
        """Those of the histogram that holds then; the first one before it begins."""
        return self.lengths[max(0, bisect_right([one.start_s for one in self.lengths], at_s) - 1)]


def read_client(trace: Iterable[str], dataset: str) -> Client | None:
    """None for a client without a request or without lengths. Raises TraceFormatError."""
    windows = [window for number, line in enumerate(trace, 1) if (window := _window(line, number)) is not None]
    lengths = _lengths(dataset)
    return Client(windows=windows, lengths=lengths) if windows and lengths else None


def drawn(
    clients: Iterable[Client], *, from_s: float, to_s: float, kept_ratio: float, generator: Generator
) -> Iterator[RequestRow]:
    """The requests of [from_s, to_s), by client; each stays with the probability `kept_ratio`."""
    for client in clients:
        for window in client.windows:
            if from_s - WINDOW_S < window.start_s < to_s:
                rows = _of_window(window, client.lengths_at(window.start_s), kept_ratio, generator)
                yield from (row for row in rows if from_s <= row.arrival_s < to_s)


def _of_window(window: Window, lengths: Lengths, kept_ratio: float, generator: Generator) -> Iterator[RequestRow]:
    arrivals_s = window.start_s + _arrivals_s(window, generator)
    arrivals_s = arrivals_s[generator.random(len(arrivals_s)) < kept_ratio]
    prompts = generator.choice(lengths.prompt_tokens, len(arrivals_s), p=lengths.prompt_ratio)
    outputs = generator.choice(lengths.output_tokens, len(arrivals_s), p=lengths.output_ratio)
    for arrival_s, prompt, output in zip(arrivals_s.tolist(), prompts.tolist(), outputs.tolist(), strict=True):
        yield RequestRow(arrival_s=arrival_s, prompt_tokens=int(prompt), output_tokens=int(output))


def _arrivals_s(window: Window, generator: Generator) -> Floats:
    """Within the window, from 0: as many as a Poisson count of its rate, their gaps stretched to fill it."""
    count = int(generator.poisson(window.rate_per_s * WINDOW_S))
    gaps = (
        generator.weibull(window.form_ratio, count + 1)
        if window.is_weibull
        else generator.gamma(window.form_ratio, 1.0, count + 1)
    )
    ends: Floats = np.cumsum(gaps)
    if not ends[-1] > 0.0:  # gaps too small for a number
        return np.zeros(count)
    stretched: Floats = ends[:-1] * (WINDOW_S / ends[-1])
    return stretched


def _window(line: str, number: int) -> Window | None:
    cells = [cell.strip() for cell in line.split(",")]
    if cells == [""]:
        return None
    if len(cells) != _FIELDS:
        raise TraceFormatError(
            f"{len(cells)} fields; start, rate, CV, Gamma or Weibull, shape, scale are {_FIELDS}", number
        )
    try:
        start_s, rate_per_s, form_ratio = float(cells[0]), float(cells[1]), float(cells[4])
    except ValueError as error:
        raise TraceFormatError(str(error), number) from None
    if rate_per_s == 0.0:
        return None
    if cells[3] not in _SHAPES:
        raise TraceFormatError(f"{cells[3]!r} is neither {' nor '.join(_SHAPES)}", number)
    if not (math.isfinite(rate_per_s) and rate_per_s > 0.0 and math.isfinite(form_ratio) and form_ratio > 0.0):
        raise TraceFormatError("rate and shape must be above 0", number)
    return Window(start_s=start_s, rate_per_s=rate_per_s, is_weibull=cells[3] == "Weibull", form_ratio=form_ratio)


def _lengths(dataset: str) -> list[Lengths]:
    try:
        tables = json.loads(dataset)
        found = [_histograms(float(start), one) for start, one in tables.items() if one]
    except (ValueError, SyntaxError, TypeError, AttributeError, KeyError) as error:
        raise TraceFormatError(f"the dataset is no table of histograms by their start: {error}", 1) from None
    return sorted((one for one in found if one is not None), key=lambda one: one.start_s)


def _histograms(start_s: float, table: dict[str, str]) -> Lengths | None:
    """None where one of the two is empty. A request has at least one token of each."""
    prompts, outputs = (ast.literal_eval(table[name]) for name in ("input_tokens", "output_tokens"))
    prompt_tokens, prompt_ratio = _shares(prompts)
    output_tokens, output_ratio = _shares(outputs)
    if not len(prompt_tokens) or not len(output_tokens):
        return None
    return Lengths(
        start_s=start_s,
        prompt_tokens=prompt_tokens,
        prompt_ratio=prompt_ratio,
        output_tokens=output_tokens,
        output_ratio=output_ratio,
    )


def _shares(weight_ratio: dict[int, float]) -> tuple[Floats, Floats]:
    tokens = np.array(
        [length for length, weight in weight_ratio.items() if length > 0 and weight > 0], dtype=np.float64
    )
    weights = np.array([weight for length, weight in weight_ratio.items() if length > 0 and weight > 0])
    return tokens, weights / weights.sum() if len(weights) else weights
