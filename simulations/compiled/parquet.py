"""Request traces in Parquet, read in chunks by a thread of its own while the loop serves the chunk before.

Columns `arrival_s, prompt_tokens, output_tokens`, in order of arrival. pyarrow is an extra and imported when asked for.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from simulations.trace_files import WorkloadError
from simulations.workloads import RequestTrace

CHUNK_REQUESTS = 1 << 18
_COLUMNS = ("arrival_s", "prompt_tokens", "output_tokens")


def read_request_chunks(path: Path) -> Iterator[RequestTrace]:
    """The trace in order, one chunk in advance. Raises WorkloadError."""
    batches = _batches(path)
    last_s = 0.0
    with ThreadPoolExecutor(1) as reader:
        coming = reader.submit(next, batches, None)
        while (chunk := coming.result()) is not None:
            coming = reader.submit(next, batches, None)
            _refuse_disorder(path, chunk, last_s)
            last_s = float(chunk.arrival_s[-1])
            yield chunk


def _batches(path: Path) -> Iterator[RequestTrace]:
    import pyarrow
    import pyarrow.parquet

    try:
        with pyarrow.parquet.ParquetFile(path) as file:
            missing = [name for name in _COLUMNS if name not in file.schema_arrow.names]
            if missing:
                raise WorkloadError(path, "no such column", column=missing[0])
            for batch in file.iter_batches(CHUNK_REQUESTS, columns=list(_COLUMNS)):
                if batch.num_rows:
                    yield _chunk(path, batch)
    except (OSError, pyarrow.ArrowException) as error:
        raise WorkloadError(path, f"cannot be read: {error}") from error


def _chunk(path: Path, batch: Any) -> RequestTrace:
    for name in _COLUMNS:
        if batch.column(name).null_count:
            raise WorkloadError(path, "has missing values", column=name)
    arrivals, prompts, outputs = (batch.column(name).to_numpy(zero_copy_only=False) for name in _COLUMNS)
    return RequestTrace(
        arrival_s=arrivals.astype(np.float64, copy=False),
        prompt_tokens=prompts.astype(np.int64, copy=False),
        output_tokens=outputs.astype(np.int64, copy=False),
    )


def _refuse_disorder(path: Path, chunk: RequestTrace, last_s: float) -> None:
    if not chunk.arrival_s[0] >= last_s or not (np.diff(chunk.arrival_s) >= 0.0).all():
        raise WorkloadError(path, "arrivals go backwards; sort the trace by arrival first", column="arrival_s")
    for name, tokens in (("prompt_tokens", chunk.prompt_tokens), ("output_tokens", chunk.output_tokens)):
        if tokens.min() < 1:
            raise WorkloadError(path, "a request has at least one token", column=name)
