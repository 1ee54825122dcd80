"""The runs behind the table of the simulator: which trace, which pool, in which process, and what it took."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np

from intensity_feeds.series import IntensitySeries
from shaping.policy import Holding, ShapingPolicy
from shaping.profiles import deployment
from simulations.compiled.build import CACHE_VARIABLE, compiled_fold, compiled_run
from simulations.compiled.parquet import CHUNK_REQUESTS, read_request_chunks
from simulations.compiled.pool import CompiledPool
from simulations.compiled.stream import StreamTotals, stream
from simulations.loop import Loop
from simulations.serving import Pool, PoolSpec, Traffic
from simulations.trace_files import read_request_trace
from simulations.workloads import TOKENS_SIGMA, RequestTrace
from tests.real_data import data_folder

START_S = 1_646_092_800.0
RATE_PER_S = 10.0
PROMPT_TOKENS, OUTPUT_TOKENS = 350, 200  # medians
DAYS = {
    "ServeGen day": ("servegen_m-large_day2_regenerated", 86_400.0),
    "Azure 2023 conversation hour": ("azure_2023_conv_1h", 3_600.0),
    "Azure 2023 code hour": ("azure_2023_code_1h", 3_600.0),
}
POISSON = "Poisson, 10/s"

ADAPTIVE = ShapingPolicy(interactive_hold_s=10.0, min_group=1, holding=Holding.ADAPTIVE, latency_price_gco2e_per_h=0.3)
PASS_THROUGH = ShapingPolicy(interactive_hold_s=0.0, min_group=1, holding=Holding.PASS_THROUGH)


@dataclass(frozen=True, slots=True, kw_only=True)
class Took:
    """`peak_bytes` is the most memory of the process, its libraries included."""

    requests: int
    wall_s: float
    cpu_s: float
    peak_bytes: int = 0

    @property
    def wall_per_s(self) -> float:
        return self.requests / self.wall_s

    @property
    def cpu_per_s(self) -> float:
        return self.requests / self.cpu_s


class Watch:
    """Wall and processor time since it was made; the processor's does not count what else the machine does."""

    def __init__(self) -> None:
        self._wall_s, self._cpu_s = time.perf_counter(), time.process_time()

    def took(self, requests: int) -> Took:
        wall_s, cpu_s = time.perf_counter() - self._wall_s, time.process_time() - self._cpu_s
        peak_bytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        return Took(requests=requests, wall_s=wall_s, cpu_s=cpu_s, peak_bytes=peak_bytes)


# -- traces ------------------------------------------------------------------------------------------------------------


def poisson_chunks(requests: int) -> Iterator[RequestTrace]:
    drawn, last_s = np.random.default_rng(1), 0.0
    for first in range(0, requests, CHUNK_REQUESTS):
        count = min(CHUNK_REQUESTS, requests - first)
        arrivals_s = last_s + np.cumsum(drawn.exponential(1.0 / RATE_PER_S, count))
        last_s = float(arrivals_s[-1])
        prompts, outputs = (
            np.maximum(1, np.round(median * np.exp(TOKENS_SIGMA * drawn.standard_normal(count)))).astype(np.int64)
            for median in (PROMPT_TOKENS, OUTPUT_TOKENS)
        )
        yield RequestTrace(arrival_s=arrivals_s, prompt_tokens=prompts, output_tokens=outputs)


def tiled_chunks(name: str, requests: int) -> Iterator[RequestTrace]:
    """The real trace again and again, one period after another."""
    file, period_s = DAYS[name]
    whole = read_request_trace(data_folder() / f"llm_requests/{file}.csv.gz")
    for tile in range(-(-requests // len(whole))):
        count = min(len(whole), requests - tile * len(whole))
        yield RequestTrace(
            arrival_s=whole.arrival_s[:count] + tile * period_s,
            prompt_tokens=whole.prompt_tokens[:count],
            output_tokens=whole.output_tokens[:count],
        )


def chunks_of(name: str, requests: int) -> Iterator[RequestTrace]:
    return poisson_chunks(requests) if name == POISSON else tiled_chunks(name, requests)


def joined(chunks: Iterator[RequestTrace]) -> RequestTrace:
    parts = list(chunks)
    return RequestTrace(
        arrival_s=np.concatenate([part.arrival_s for part in parts]),
        prompt_tokens=np.concatenate([part.prompt_tokens for part in parts]),
        output_tokens=np.concatenate([part.output_tokens for part in parts]),
    )


def write_parquet(path: Path, name: str, requests: int) -> None:
    import pyarrow
    import pyarrow.parquet

    schema = pyarrow.schema(
        [("arrival_s", pyarrow.float64()), ("prompt_tokens", pyarrow.int32()), ("output_tokens", pyarrow.int32())]
    )
    with pyarrow.parquet.ParquetWriter(path, schema) as writer:
        for chunk in chunks_of(name, requests):
            columns = [chunk.arrival_s, chunk.prompt_tokens.astype(np.int32), chunk.output_tokens.astype(np.int32)]
            writer.write_table(pyarrow.table(columns, schema=schema))


# -- pools -------------------------------------------------------------------------------------------------------------


def a_pool(workers: int = 1) -> PoolSpec:
    """H100s with an 8B model, 256 sequences each."""
    return PoolSpec(
        name="chat",
        region="here",
        zone="Z",
        deployment=deployment(gpu="h100-sxm", model="llama-3.1-8b"),
        workers=workers,
        max_sequences=256,
    )


def a_grid() -> IntensitySeries:
    """Ten years of hours between 200 and 560 g/kWh, with a day's swing."""
    hours = np.arange(10 * 8766)
    return IntensitySeries.regular("Z", START_S, 3600.0, 380.0 + 180.0 * np.cos(2 * np.pi * hours / 24.0))


def streamed(chunks: Iterator[RequestTrace], policy: ShapingPolicy, workers: int = 1) -> StreamTotals:
    run, fold = compiled_run(), compiled_fold()
    return stream(chunks, a_pool(workers), policy, start_at_s=START_S, grid=a_grid(), run=run, fold=fold)


def _traffic(trace: RequestTrace) -> Traffic:
    nobody = np.zeros(len(trace), dtype=np.bool_)
    return Traffic(trace=trace, start_at_s=START_S, is_flex=nobody, flex_deadline_s=60.0, flex_margin_s=1.0)


def warm(name: str, policy: ShapingPolicy, workers: int, requests: int, rounds: int = 3) -> Took:
    """The best of some rounds over a trace in memory, compiled."""
    chunks = list(chunks_of(name, requests))
    streamed(iter(chunks[:1]), policy, workers)
    found = []
    for _ in range(rounds):
        watch = Watch()
        assert streamed(iter(chunks), policy, workers).arrived == requests
        found.append(watch.took(requests))
    return min(found, key=lambda took: took.cpu_s)


def short_of_memory(workers: int, preempts: bool, requests: int) -> tuple[Took, StreamTotals]:
    """The Poisson trace on L4s, whose memory holds 42,000 tokens, compiled."""
    spec = replace(a_pool(workers), deployment=deployment(gpu="l4", model="llama-3.1-8b"), preempts=preempts)
    chunks, grid, run, fold = list(poisson_chunks(requests)), a_grid(), compiled_run(), compiled_fold()
    watch = Watch()
    found = stream(iter(chunks), spec, PASS_THROUGH, start_at_s=START_S, grid=grid, run=run, fold=fold)
    return watch.took(requests), found


def plain(name: str, policy: ShapingPolicy, workers: int, requests: int) -> Took:
    """The same in plain Python."""
    grid, loop = a_grid(), Loop(START_S)
    traffic = _traffic(joined(chunks_of(name, requests)))
    watch = Watch()
    Pool(loop, a_pool(workers), traffic, policy, forecast=lambda: grid)
    loop.run()
    return watch.took(requests)


# -- in a process of their own -----------------------------------------------------------------------------------------


def kept(count: str) -> Took:
    """A trace in memory, every request's record and every span of power kept."""
    requests = int(count)
    trace, grid = joined(poisson_chunks(requests)), a_grid()
    _warm_up()
    watch = Watch()
    pool = CompiledPool(compiled_run(), START_S, a_pool(), _traffic(trace), ADAPTIVE, forecast=lambda: grid)
    pool.catch_up(np.inf)
    pool.close(pool.ended_at_s)
    return watch.took(requests)


def from_parquet(path: str) -> Took:
    """A file streamed into sums."""
    import pyarrow.parquet  # noqa: F401  half a second that is not the loop's

    _warm_up()
    watch = Watch()
    found = streamed(read_request_chunks(Path(path)), ADAPTIVE)
    assert found.arrived == found.finished + found.dropped
    return watch.took(found.arrived)


def first_start(_: str = "") -> Took:
    """From nothing to the first answer: import, then compile or load."""
    watch = Watch()
    _warm_up()
    return watch.took(1000)


def _warm_up() -> None:
    streamed(poisson_chunks(1000), ADAPTIVE)


RUNS: dict[str, Callable[[str], Took]] = {"kept": kept, "parquet": from_parquet, "start": first_start}


def alone(kind: str, text: str, cache: str | None = None) -> Took:
    """One of RUNS in a fresh process; `cache` is another folder for compiled code."""
    environment = {**os.environ, **({CACHE_VARIABLE: cache} if cache else {})}
    command = [sys.executable, "-m", "benchmarks.simulator_runs", kind, text]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=1800, check=False)
    if done.returncode:
        raise SystemExit(done.stderr)
    return Took(**json.loads(done.stdout))


if __name__ == "__main__":
    print(json.dumps(asdict(RUNS[sys.argv[1]](sys.argv[2]))))
