"""Logs of a real vLLM server, request by request, beside an iteration-level simulation of it.

Source: LLMServingSim 2.0, arXiv 2602.23036, and the logs it ships. Decides what is read from its files and what is
compared. Covers one engine, layers that are cut over several GPUs, replicas, and experts spread over replicas.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from intensity_feeds.series import Floats
from simulations.reproductions.iterations import EngineLimits, LoggedRequest
from simulations.reproductions.kernel_times import kernel_times
from simulations.reproductions.logged_server import Latencies, ServerLog, calibrated, simulate_log
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

_METRICS = ("ttft_ms", "tpot_ms", "e2e_ms")
_EXCHANGES_PER_LAYER = 2  # after attention and after the layers behind it; or to the experts and back
_ACTIVATION_BYTES = 2


# -- reading -----------------------------------------------------------------------------------------------------------


def server_log(pack: Pack, system: str) -> ServerLog:
    """A system of systems.csv with its requests and profile. Raises PackError, CellError."""
    settings = _settings(pack, system)
    rows = sorted(pack.table(f"requests_{system}"), key=lambda row: number(row, "queued_s"))
    batch_tokens, block_tokens = whole(settings, "max_num_batched_tokens", 1), whole(settings, "block_size", 1)
    layers, attention = (pack.table(f"profile_{part}_{system}") for part in ("layers", "attention"))
    replicas, in_step = _several(settings, "data_parallel"), _several(settings, "expert_parallel", 0) > 0
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
        real=Latencies(**{name: _column(rows, name) for name in _METRICS}),
        replicas=replicas,
        in_step=in_step and replicas > 1,
        exchange_s_per_token=_exchange_s_per_token(settings, replicas if in_step else 1),
    )


def _several(settings: Row, key: str, least: int = 1) -> int:
    return whole(settings, key, least) if settings.get(key) else least


def _exchange_s_per_token(settings: Row, ranks: int) -> float:
    """What one token of a batch costs on the link, at its nominal rate, in all layers.

    GPUs that share each layer add up their parts in a ring; `ranks` that share experts send each token to all of them.
    """
    cut = _several(settings, "tensor_parallel")
    if cut == 1 and ranks == 1:
        return 0.0
    gpus = _several(settings, "num_gpus")
    if cut * _several(settings, "data_parallel") != gpus:
        raise PackError(f"{gpus} GPUs are not tensor_parallel {cut} times data_parallel: pipelines are not covered")
    sent = 2.0 * (cut - 1) / cut + (ranks - 1)
    token_bytes = whole(settings, "layers", 1) * whole(settings, "hidden_size", 1) * _ACTIVATION_BYTES
    return _EXCHANGES_PER_LAYER * sent * token_bytes / (1e9 * number(settings, "gpu_link_gb_per_s"))


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
    **{f"p{share}": _percentile(share) for share in range(1, 100)},
}
_EACH = "mean_abs_pct_error_per_request"


def _simulated(pack: Pack, cells: Sequence[Row]) -> dict[str, tuple[ServerLog, Latencies]]:
    found = {}
    for system in dict.fromkeys(_system(pack, row) for row in cells):
        log = server_log(pack, system)
        found[system] = (log, simulate_log(log, calibrated(log)))
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
        raise CellError(f"{statistic!r} is not mean, p1 to p99 or {_EACH}", "statistic")
    value, real = _STATISTICS[statistic](ours_ms), _STATISTICS[statistic](real_ms)
    return {"real": value, "reference_simulator": value, "error_pct": 100 * (value / real - 1)}


def _requests(pack: Pack, cells: Sequence[Row]) -> list[dict[str, Value]]:
    found = _simulated(pack, cells)
    return [_one_request(*found[_system(pack, row)], row["request_id"]) for row in cells]


def _one_request(log: ServerLog, ours: Latencies, request_id: str) -> dict[str, Value]:
    if request_id not in log.request_ids:
        raise CellError(f"{request_id!r} is not in the log", "request_id")
    place = log.request_ids.index(request_id)
    return {name: float(ours.of(name)[place]) for name in _METRICS}


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
            tolerances=dict.fromkeys(_METRICS, "inf"),
            parameters=("system_id",),
        ),
    ),
)
