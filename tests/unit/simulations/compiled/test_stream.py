"""A trace in chunks: the same sums whatever the chunks, and nothing lost on the way."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from shaping.policy import Holding
from simulations.compiled.loop import run
from simulations.compiled.parquet import read_request_chunks
from simulations.compiled.stream import BIN_S, StreamTotals, stream
from simulations.compiled.totals import fold
from simulations.trace_files import WorkloadError
from simulations.workloads import RequestTrace
from tests.serving_twins import GRID, START_S, a_policy, a_spec, drawn_traffic, served

TRAFFIC = drawn_traffic(5, 150, 0.5, ticks_s=1.0)
POLICY = a_policy(Holding.ADAPTIVE)
SPEC = a_spec(workers=2, sequences=24)


def chunks(size: int) -> Iterator[RequestTrace]:
    trace = TRAFFIC.trace
    for first in range(0, len(trace), size):
        part = slice(first, first + size)
        yield RequestTrace(
            arrival_s=trace.arrival_s[part],
            prompt_tokens=trace.prompt_tokens[part],
            output_tokens=trace.output_tokens[part],
        )


def totals(size: int) -> StreamTotals:
    return stream(chunks(size), SPEC, POLICY, start_at_s=START_S, grid=GRID, run=run, fold=fold)


@pytest.mark.slow
def test_the_length_of_a_chunk_changes_nothing() -> None:
    whole, pieces = totals(1000), totals(7)
    assert (whole.finished, whole.dropped, whole.spans) == (pieces.finished, pieces.dropped, pieces.spans)
    assert whole.latency == pieces.latency
    np.testing.assert_array_equal(whole.busy_j, pieces.busy_j)


@pytest.mark.slow
def test_the_sums_are_those_of_the_requests_and_of_the_power_one_by_one() -> None:
    found = totals(40)
    record = served(run, SPEC, TRAFFIC, POLICY, renew_s=1e9).plain
    latencies_s = (record.finished_at_s - (START_S + TRAFFIC.trace.arrival_s))[~record.is_dropped]
    assert found.latency.mean_s == pytest.approx(latencies_s.mean(), rel=1e-9)
    assert found.latency.max_s == latencies_s.max()
    assert found.latency.p50_s == pytest.approx(np.quantile(latencies_s, 0.5, method="inverted_cdf"), rel=0.012)
    busy_j = sum(float(power.energy_j[power.sequences > 0].sum()) for power in record.power)
    assert found.busy_j.sum() == pytest.approx(busy_j, rel=1e-9)


@pytest.mark.slow
def test_requests_and_tokens_that_come_in_go_out_or_are_dropped() -> None:
    found, trace = totals(64), TRAFFIC.trace
    fits = trace.prompt_tokens + trace.output_tokens <= SPEC.limits.kv_tokens
    assert found.arrived == len(trace) == found.finished + found.dropped
    assert found.dropped == (~fits).sum() > 0
    assert found.prompt_tokens == trace.prompt_tokens[fits].sum()
    assert found.output_tokens == trace.output_tokens[fits].sum()


@pytest.mark.slow
def test_energy_by_hour_is_the_integral_of_the_power_trace_idling_included() -> None:
    found = totals(64)
    power = served(run, SPEC, TRAFFIC, POLICY, renew_s=1e9).fast.power
    edges_s = found.start_at_s + BIN_S * np.arange(len(found.busy_j) + 1)
    expected = np.zeros(len(found.busy_j))
    for trace in power:
        at_s = np.minimum(trace.edges_at_s, found.ended_at_s)
        spent_j = np.concatenate(([0.0], np.cumsum(trace.power_w * np.diff(at_s))))
        expected += np.diff(np.interp(edges_s, at_s, spent_j))
    np.testing.assert_allclose(found.busy_j + found.idle_j, expected, rtol=1e-9)


def test_an_empty_trace_has_no_requests_and_no_latency() -> None:
    found = stream([], SPEC, POLICY, start_at_s=START_S, grid=None, run=run, fold=fold)
    assert (found.arrived, found.finished, found.energy_j) == (0, 0, 0.0)
    assert np.isnan(found.latency.p50_s)


def written(path: Path, arrivals_s: list[float | None], prompt_tokens: int = 10) -> Path:
    pyarrow = pytest.importorskip("pyarrow", reason="Parquet needs pyarrow, the extra `parquet`")
    parquet = pytest.importorskip("pyarrow.parquet")
    count = len(arrivals_s)
    columns = {"arrival_s": arrivals_s, "prompt_tokens": [prompt_tokens] * count, "output_tokens": [5] * count}
    parquet.write_table(pyarrow.table(columns), path)
    return path


def test_a_parquet_trace_comes_back_in_order(tmp_path: Path) -> None:
    (chunk,) = read_request_chunks(written(tmp_path / "trace.parquet", [0.0, 0.5, 0.5, 9.0]))
    assert chunk.arrival_s.tolist() == [0.0, 0.5, 0.5, 9.0]
    assert chunk.prompt_tokens.tolist() == [10] * 4


@pytest.mark.parametrize(
    ("arrivals_s", "prompt_tokens", "what"),
    [([1.0, 0.5], 10, "go backwards"), ([0.0], 0, "at least one token"), ([0.0, None], 10, "missing values")],
)
def test_a_trace_that_cannot_be_served_says_why(
    tmp_path: Path, arrivals_s: list[float | None], prompt_tokens: int, what: str
) -> None:
    with pytest.raises(WorkloadError, match=what):
        list(read_request_chunks(written(tmp_path / "trace.parquet", arrivals_s, prompt_tokens)))
