"""Logs of a real vLLM server, request by request, beside an iteration-level simulation of it.

Source: LLMServingSim 2.0, arXiv 2602.23036, and the logs it ships. Decides what is calibrated (one constant: the host's
time between two iterations, on every other request) and what is compared. Covers one engine on one GPU.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from intensity_feeds.series import Floats
from simulations.reproductions.iterations import Engine, EngineLimits, LoggedRequest
from simulations.reproductions.kernel_times import KernelTimes, kernel_times
from simulations.reproductions.tables import (
    CellError,
    Pack,
    PackError,
    PublishedTable,
    Reproduction,
    Row,
    Value,
    number,
    whole,
)

_MS = 1000.0
# Two guesses of the host's time, from which the root of the error is sought.
_GUESSES_S = (0.0, 0.002)
_SECANT_STEPS = 4
_CLOSE_RATIO = 1e-4


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Latencies:
    """Of each request, shape (n,)."""

    ttft_ms: Floats
    tpot_ms: Floats
    e2e_ms: Floats

    def of(self, metric: str) -> Floats:
        known = {"ttft_ms": self.ttft_ms, "tpot_ms": self.tpot_ms, "e2e_ms": self.e2e_ms}
        if metric not in known:
            raise CellError(f"{metric!r} is not one of {', '.join(known)}", "metric")
        return known[metric]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ServerLog:
    """A server's settings, its requests in order of arrival, and what was measured."""

    limits: EngineLimits
    times: KernelTimes
    requests: Sequence[LoggedRequest]
    request_ids: Sequence[str]
    real: Latencies


def simulate_log(log: ServerLog, host_s: float) -> Latencies:
    """Every request of the log once more, with `host_s` between two iterations."""
    requests = [replace(request) for request in log.requests]
    Engine(limits=log.limits, iteration_s=lambda batch: log.times.iteration_s(batch) + host_s).run(requests)
    columns = [(one.queued_at_s, one.first_token_at_s, one.finished_at_s, one.output_tokens) for one in requests]
    queued, first, finished, tokens = np.array(columns, dtype=np.float64).T
    between = np.maximum(tokens - 1, 1)
    return Latencies(
        ttft_ms=_MS * (first - queued), tpot_ms=_MS * (finished - first) / between, e2e_ms=_MS * (finished - queued)
    )


def calibrated_host_s(log: ServerLog) -> float:
    """The host's time at which the mean latency of every other request is the measured one; never negative."""
    real_ms = float(log.real.e2e_ms[::2].mean())

    def error_ratio(host_s: float) -> float:
        return float(simulate_log(log, host_s).e2e_ms[::2].mean()) / real_ms - 1

    (low_s, high_s), (low, high) = _GUESSES_S, tuple(map(error_ratio, _GUESSES_S))
    for _ in range(_SECANT_STEPS):
        if abs(high) < _CLOSE_RATIO or high == low:
            break
        next_s = max(0.0, high_s - high * (high_s - low_s) / (high - low))
        low_s, low, high_s, high = high_s, high, next_s, error_ratio(next_s)
    return high_s


# -- reading -----------------------------------------------------------------------------------------------------------


def server_log(pack: Pack, system: str) -> ServerLog:
    """A system of systems.csv with its requests and profile. Raises PackError for what is not covered."""
    settings = _settings(pack, system)
    for key in ("num_gpus", "tensor_parallel", "data_parallel"):
        if int(settings.get(key) or 1) > 1:
            raise PackError(
                f"{system}: {key} is {settings[key]}; one engine on one GPU is covered, nothing between GPUs"
            )
    rows = sorted(pack.table(f"requests_{system}"), key=lambda row: number(row, "queued_s"))
    batch_tokens, block_tokens = whole(settings, "max_num_batched_tokens", 1), whole(settings, "block_size", 1)
    layers, attention = (pack.table(f"profile_{part}_{system}") for part in ("layers", "attention"))
    return ServerLog(
        limits=EngineLimits(
            batch_tokens=batch_tokens,
            sequences=whole(settings, "max_num_seqs", 1),
            kv_blocks=whole(settings, "kv_tokens_per_replica", 1) // block_tokens,
            block_tokens=block_tokens,
        ),
        times=kernel_times(layers, attention, whole(settings, "layers", 1), batch_tokens),
        requests=[_request(row) for row in rows],
        request_ids=[row["request_id"] for row in rows],
        real=Latencies(**{name: _column(rows, name) for name in ("ttft_ms", "tpot_ms", "e2e_ms")}),
    )


def _settings(pack: Pack, system: str) -> Row:
    """systems.csv has one column for each system; its first names the setting."""
    rows = pack.table("systems")
    if not rows or system not in rows[0]:
        known = ", ".join(name for name in (rows[0] if rows else ()) if name != "system_id")
        raise CellError(f"{system!r} is not in systems.csv, which has {known}", "system_id")
    return {row["system_id"]: row[system] for row in rows}


def _request(row: Row) -> LoggedRequest:
    return LoggedRequest(
        queued_at_s=number(row, "queued_s"),
        prompt_tokens=whole(row, "prompt_tokens", least=1),
        output_tokens=whole(row, "output_tokens", least=1),
        prefix=row.get("shared_prefix_blocks", "").split(),
    )


def _column(rows: Sequence[Row], name: str) -> Floats:
    return np.array([number(row, name) for row in rows])


# -- the tables --------------------------------------------------------------------------------------------------------


def _percentile(share_percent: float) -> Callable[[Floats], float]:
    return lambda latency_ms: float(np.percentile(latency_ms, share_percent))


_STATISTICS: Mapping[str, Callable[[Floats], float]] = {
    "mean": lambda latency_ms: float(latency_ms.mean()),
    **{f"p{share}": _percentile(share) for share in (50, 90, 95, 99)},
}
_EACH = "mean_abs_pct_error_per_request"


def _simulated(pack: Pack, cells: Sequence[Row]) -> dict[str, tuple[ServerLog, Latencies]]:
    found = {}
    for system in dict.fromkeys(_system(pack, row) for row in cells):
        log = server_log(pack, system)
        found[system] = (log, simulate_log(log, calibrated_host_s(log)))
    return found


def _system(pack: Pack, row: Row) -> str:
    if row.get("system_id"):
        return row["system_id"]
    known = [name for name in pack.table("systems")[0] if name != "system_id"]
    if len(known) != 1:
        raise CellError(f"say which one with --system: {', '.join(known)}", "system_id")
    return known[0]


def _statistics(pack: Pack, cells: Sequence[Row]) -> list[dict[str, Value]]:
    found = _simulated(pack, cells)
    return [_statistic(*found[_system(pack, row)], row) for row in cells]


def _statistic(log: ServerLog, ours: Latencies, row: Row) -> dict[str, Value]:
    metric, statistic = row["metric"], row["statistic"]
    if metric == "simulator_wall_s":
        return {"real": None, "reference_simulator": None, "error_pct": None}  # nothing here looks at a clock
    real_ms, ours_ms = log.real.of(metric), ours.of(metric)
    if statistic == _EACH:
        error_pct = float(np.mean(np.abs(ours_ms / real_ms - 1))) * 100
        return {"real": None, "reference_simulator": None, "error_pct": error_pct}
    if statistic not in _STATISTICS:
        raise CellError(f"{statistic!r} is not one of {', '.join(_STATISTICS)}, {_EACH}", "statistic")
    value, real = _STATISTICS[statistic](ours_ms), _STATISTICS[statistic](real_ms)
    return {"real": value, "reference_simulator": value, "error_pct": 100 * (value / real - 1)}


def _requests(pack: Pack, cells: Sequence[Row]) -> list[dict[str, Value]]:
    found = _simulated(pack, cells)
    return [_one_request(*found[_system(pack, row)], row["request_id"]) for row in cells]


def _one_request(log: ServerLog, ours: Latencies, request_id: str) -> dict[str, Value]:
    if request_id not in log.request_ids:
        raise CellError(f"{request_id!r} is not in the log", "request_id")
    place = log.request_ids.index(request_id)
    return {name: float(ours.of(name)[place]) for name in ("ttft_ms", "tpot_ms", "e2e_ms")}


REPRODUCTION = Reproduction(
    name="serving_logs",
    study="LLMServingSim 2.0 (2026): latencies of a real vLLM server, beside its simulator and ours",
    tables=(
        PublishedTable(
            expected="reference_simulator",
            keys=("metric", "statistic"),
            answer=_statistics,
            # A simulation is not the measurement: the means must be close, as tested; the rest is shown.
            tolerances=dict.fromkeys(("real", "reference_simulator", "error_pct"), "inf"),
            parameters=("system_id",),
        ),
        PublishedTable(
            expected="requests",
            keys=("request_id",),
            answer=_requests,
            tolerances=dict.fromkeys(("ttft_ms", "tpot_ms", "e2e_ms"), "inf"),
            parameters=("system_id",),
        ),
    ),
)
