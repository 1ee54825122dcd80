"""Arrival shaping: what one GPU spends on a request under seven ways of sending ten thousand of them.

Source: Delavande et al., arXiv 2601.22362, and the results printed beside its scripts. There is no table to match: the
measurements come from another serving stack, and most of them are of an overloaded client or of another GPU. Decides
when a request is sent and what counts as served. The worker is the simulator's own, with the energy model as it ships:
nothing here is fitted to these measurements.
"""

from __future__ import annotations

import math
import re
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from intensity_feeds.series import Floats
from shaping.deployment import Deployment
from shaping.energy import kv_capacity_tokens
from simulations.reproductions.tables import CellError, Pack, PublishedTable, Reproduction, Row, Value, number, whole
from simulations.serving import DeploymentSteps
from simulations.workers import Work, Worker, WorkerLimits

REQUESTS = 10_000
SEED = 0
SERVER_SEQUENCES = 128  # the server's own limit; the client never holds more open than 100
MOST_OUTPUT_TOKENS = 256

# Sums of fewer uniform draws than this are drawn one by one, of more as the normal variate they are close to.
_DRAWN_ONE_BY_ONE = 64
_SPREADS = 8.0  # how many standard deviations from the end the latest send can lie
_J_PER_WH = 3600.0
# A regime is named after its gaps, from the least to the most.
_GAPS_IN_NAME = re.compile(r"(?:fixed|random)_(?P<least>[\d.]+)(?:_(?P<most>[\d.]+))?")
_MEASURED = ("duration_s", "gpu_kwh", "gpu_wh_per_issued_request", "mean_gpu_power_w")


@dataclass(frozen=True, slots=True, kw_only=True)
class Regime:
    """Gaps between sends are drawn from `gap_min_s` to `gap_max_s`; a fixed one where they are equal."""

    gap_min_s: float
    gap_max_s: float
    requests: int = REQUESTS

    @property
    def mean_gap_s(self) -> float:
        return (self.gap_min_s + self.gap_max_s) / 2

    @property
    def gap_spread_s(self) -> float:
        """The standard deviation of one gap."""
        return (self.gap_max_s - self.gap_min_s) / math.sqrt(12)

    @property
    def fixed(self) -> Regime:
        """As many requests a second, regularly."""
        return Regime(gap_min_s=self.mean_gap_s, gap_max_s=self.mean_gap_s, requests=self.requests)


@dataclass(frozen=True, slots=True, kw_only=True)
class Client:
    """The original's client gives up after `timeout_s`, counted from its own send, and opens few connections."""

    connections: int = 100
    timeout_s: float = 30.0


PATIENT = Client(connections=10**9, timeout_s=math.inf)


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenStatistic:
    """Moments of one column of the conversations, from which lengths are drawn log-normally."""

    mean_tokens: float
    std_tokens: float
    min_tokens: float
    max_tokens: float

    def draw(self, count: int, generator: np.random.Generator) -> NDArray[np.int64]:
        variance = math.log1p((self.std_tokens / self.mean_tokens) ** 2)
        drawn = generator.lognormal(math.log(self.mean_tokens) - variance / 2, math.sqrt(variance), count)
        return np.rint(np.clip(drawn, self.min_tokens, self.max_tokens)).astype(np.int64)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Sent:
    """Requests in order of their sending, each of shape (n,)."""

    sent_at_s: Floats
    prompt_tokens: NDArray[np.int64]
    output_tokens: NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Served:
    """What became of them: `latency_s` has shape (n,), NaN where the client gave up."""

    duration_s: float
    energy_j: float
    latency_s: Floats

    @property
    def successes(self) -> int:
        return int(np.isfinite(self.latency_s).sum())


# -- sending -----------------------------------------------------------------------------------------------------------


def sends_at_s(regime: Regime, generator: np.random.Generator) -> Floats:
    """Request k at the sum of k gaps, drawn afresh for every k, as in the original; sorted, shape (n,).

    Soon out of order, the stream is practically Poisson, and not a regular one with jitter.
    """
    counts = np.arange(regime.requests)
    sends = counts * regime.mean_gap_s
    if regime.gap_spread_s > 0:
        sends += np.sqrt(counts) * regime.gap_spread_s * generator.standard_normal(len(counts))
        for count in counts[:_DRAWN_ONE_BY_ONE]:
            sends[count] = generator.uniform(regime.gap_min_s, regime.gap_max_s, count).sum()
    return np.sort(np.maximum(sends, 0.0))


def expected_last_send_s(regime: Regime) -> float:
    """The mean of the latest of all sends: the integral of the chance that one is later still."""
    counts = np.arange(1, regime.requests)
    means, spreads = counts * regime.mean_gap_s, np.sqrt(counts) * regime.gap_spread_s
    if len(counts) == 0 or regime.gap_spread_s == 0:
        return float(means[-1]) if len(counts) else 0.0
    reach_s = _SPREADS * float(spreads[-1])
    late = means + _SPREADS * spreads > means[-1] - reach_s
    grid = np.linspace(float(means[-1]) - reach_s, float(means[-1]) + reach_s, 400)
    chances = [1 - math.prod(_below(at, means[late], spreads[late])) for at in grid.tolist()]
    return float(grid[0] + sum((a + b) / 2 for a, b in pairwise(chances)) * (grid[1] - grid[0]))


def _below(at_s: float, means_s: Floats, spreads_s: Floats) -> Iterator[float]:
    scaled = (at_s - means_s) / spreads_s / math.sqrt(2)
    return (0.5 * (1 + math.erf(one)) for one in scaled.tolist())


def requests_of(regime: Regime, prompt: TokenStatistic, output: TokenStatistic) -> Sent:
    """The same prompts in every regime."""
    generator = np.random.default_rng(SEED)
    prompts, outputs = prompt.draw(regime.requests, generator), output.draw(regime.requests, generator)
    outputs = np.minimum(outputs, MOST_OUTPUT_TOKENS)
    return Sent(sent_at_s=sends_at_s(regime, generator), prompt_tokens=prompts, output_tokens=outputs)


# -- serving -----------------------------------------------------------------------------------------------------------


@dataclass(slots=True, kw_only=True)
class _Run:
    """One client in front of one worker. The worker goes on with a request that its client has given up."""

    sent: Sent
    client: Client
    worker: Worker
    latency_s: Floats
    queued: deque[int] = field(default_factory=deque)  # no connection yet
    opened: deque[int] = field(default_factory=deque)  # in order of sending; answered ones leave when they come first
    answered: set[int] = field(default_factory=set)
    open_connections: int = 0
    ended_at_s: float = 0.0

    def serve(self) -> None:
        sends, following = self.sent.sent_at_s.tolist(), 0
        while following < len(sends) or self.queued or self.open_connections or self.worker.load:
            next_send_s = sends[following] if following < len(sends) else math.inf
            now_s = min(next_send_s, self.worker.next_change_at_s, self._gives_up_at_s())
            if now_s == self.worker.next_change_at_s:
                self._finish(self.worker.advance(now_s), now_s)
            elif now_s == next_send_s:
                self.queued.append(following)
                following += 1
            self._give_up(now_s)
            self._open(now_s)
            self.ended_at_s = now_s

    def _gives_up_at_s(self) -> float:
        while self.opened and self.opened[0] in self.answered:
            self.opened.popleft()
        first = self.opened[0] if self.opened else self.queued[0] if self.queued else None
        return math.inf if first is None else float(self.sent.sent_at_s[first]) + self.client.timeout_s

    def _finish(self, works: Sequence[Work], now_s: float) -> None:
        for work in works:
            if work.index not in self.answered:
                self._answer(work.index)
                self.latency_s[work.index] = now_s - self.sent.sent_at_s[work.index]

    def _give_up(self, now_s: float) -> None:
        while now_s >= self._gives_up_at_s():
            if self.opened:
                self._answer(self.opened[0])
            else:
                self.queued.popleft()

    def _answer(self, index: int) -> None:
        self.answered.add(index)
        self.open_connections -= 1

    def _open(self, now_s: float) -> None:
        works = []
        while self.queued and self.open_connections < self.client.connections:
            index = self.queued.popleft()
            prompt_tokens, output_tokens = int(self.sent.prompt_tokens[index]), int(self.sent.output_tokens[index])
            works.append(Work(index=index, prompt_tokens=prompt_tokens, output_tokens=output_tokens))
            self.opened.append(index)
            self.open_connections += 1
        if works:
            self.worker.accept(works, now_s)


def serve(sent: Sent, deployment: Deployment, client: Client) -> Served:
    """Sends everything to one worker and meters its GPU from the first send until the worker has nothing left."""
    limits = WorkerLimits(sequences=SERVER_SEQUENCES, kv_tokens=kv_capacity_tokens(deployment))
    worker = Worker(DeploymentSteps(deployment), limits, 0.0)
    run = _Run(sent=sent, client=client, worker=worker, latency_s=np.full(len(sent.sent_at_s), np.nan))
    run.serve()
    power = worker.power_trace(run.ended_at_s)
    return Served(duration_s=run.ended_at_s, energy_j=float(power.energy_j.sum()), latency_s=run.latency_s)


# -- the tables --------------------------------------------------------------------------------------------------------


def _schedules(_: Pack, cells: Sequence[Row]) -> list[dict[str, Value]]:
    return [_schedule(_regime(row)) for row in cells]


def _schedule(regime: Regime) -> dict[str, Value]:
    gap_s = regime.mean_gap_s
    return {
        "mean_gap_s": gap_s,
        "mean_rate_per_s": 1 / gap_s if gap_s else None,
        "expected_last_send_s": expected_last_send_s(regime),
    }


def _regime(row: Row) -> Regime:
    regime = Regime(
        gap_min_s=number(row, "gap_min_s"),
        gap_max_s=number(row, "gap_max_s"),
        requests=whole(row, "requests", least=1) if row.get("requests") else REQUESTS,
    )
    if not 0 <= regime.gap_min_s <= regime.gap_max_s < math.inf:
        raise CellError(f"{row['gap_min_s']} to {row['gap_max_s']} is not a span of gaps", "gap_min_s")
    return regime


def _regime_named(pack: Pack, row: Row) -> Regime:
    if row.get("gap_min_s") and row.get("gap_max_s"):
        return _regime(row)
    for known in pack.tables.get("regimes", ()):
        if known["regime"] == row["regime"]:
            return _regime(known)
    if found := _GAPS_IN_NAME.fullmatch(row["regime"]):
        return _regime({**row, "gap_min_s": found["least"], "gap_max_s": found["most"] or found["least"]})
    raise CellError(f"{row['regime']!r} is not in regimes.csv, and the row has no gap_min_s and gap_max_s", "regime")


def _statistic(pack: Pack, quantity: str) -> TokenStatistic:
    for row in pack.table("token_statistics"):
        if row["quantity"] == quantity:
            columns = ("mean", "std", "min", "max")
            return TokenStatistic(**{f"{name}_tokens": number(row, name) for name in columns})
    raise CellError(f"{quantity!r} is not in token_statistics.csv", "quantity")


def _measured(deployment: Deployment, pack: Pack, cells: Sequence[Row]) -> list[dict[str, Value]]:
    prompt, output = _statistic(pack, "prompt_tokens"), _statistic(pack, "output_tokens")
    found: list[dict[str, Value]] = []
    for row in cells:
        regime = _regime_named(pack, row)
        own, regular = (serve(requests_of(one, prompt, output), deployment, Client()) for one in (regime, regime.fixed))
        found.append(_energy(own, deployment) | {"gpu_wh_at_fixed_gaps": _wh_per_success(regular)})
    return found


def _energy(served: Served, deployment: Deployment) -> dict[str, Value]:
    """Of the GPU alone; energy by issued request, as the study prints it, and by the requests that were served."""
    issued = len(served.latency_s)
    idle_j = DeploymentSteps(deployment).idle_power_w * served.duration_s
    return {
        "duration_s": served.duration_s,
        "gpu_kwh": served.energy_j / _J_PER_WH / 1000,
        "gpu_wh_per_issued_request": served.energy_j / _J_PER_WH / issued,
        "mean_gpu_power_w": served.energy_j / served.duration_s,
        "success_ratio": served.successes / issued,
        "gpu_wh_per_successful_request": _wh_per_success(served),
        "idle_wh_per_issued_request": idle_j / _J_PER_WH / issued,
        "mean_latency_s": float(np.nanmean(served.latency_s)) if served.successes else None,
    }


def _wh_per_success(served: Served) -> float | None:
    return served.energy_j / _J_PER_WH / served.successes if served.successes else None


def reproduction(deployment: Deployment) -> Reproduction:
    """The study on one deployment; its own is Llama-3.1-8B on one H100."""
    return Reproduction(
        name="arrival_shaping",
        study="Arrival shaping (2026): one GPU's energy per request under seven arrival regimes",
        tables=(
            PublishedTable(
                expected="regimes",
                keys=("regime", "gap_min_s", "gap_max_s"),
                answer=_schedules,
                parameters=("kind", "requests"),
                tolerances={"mean_gap_s": "1e-9", "mean_rate_per_s": "1e-4", "expected_last_send_s": "0.2"},
            ),
            PublishedTable(
                expected="measured_llama31_8b",
                keys=("regime",),
                answer=partial(_measured, deployment),
                parameters=("kind", "gap_min_s", "gap_max_s", "requests"),
                # Of another stack, and mostly of overload: only the factor between two runs can be compared.
                tolerances=dict.fromkeys(_MEASURED, "inf"),
            ),
        ),
    )
