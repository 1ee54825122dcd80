"""Published logs of inference requests: Azure, BurstGPT, Mooncake, Vidur. Each function reads the lines of one file.

The columns are those of the origin at its release; each function names it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator

from simulations.imports.rows import Fields, Row, TraceFormatError, request_row, table

_MS_PER_S = 1000.0


def azure(lines: Iterable[str]) -> Iterator[Row]:
    """AzurePublicDataset, LLM inference traces of 2023 and 2024: TIMESTAMP, ContextTokens, GeneratedTokens."""
    for one in table(lines):
        yield request_row(one.instant_s("TIMESTAMP"), one.count("ContextTokens"), one.count("GeneratedTokens"))


def burstgpt(lines: Iterable[str]) -> Iterator[Row]:
    """HPMLL/BurstGPT: Timestamp in seconds, Request tokens, Response tokens; a failed request has no response."""
    for one in table(lines):
        yield request_row(one.number("Timestamp"), one.count("Request tokens"), one.count("Response tokens"))


def mooncake(lines: Iterable[str]) -> Iterator[Row]:
    """kvcache-ai/Mooncake, a JSON object a line: timestamp in milliseconds, input_length, output_length."""
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            values = json.loads(line)
        except ValueError as error:
            raise TraceFormatError(f"is no JSON: {error}", number) from None
        if not isinstance(values, dict):
            raise TraceFormatError("is no JSON object", number)
        one = Fields(number, values)
        arrival_s = one.number("timestamp") / _MS_PER_S
        yield request_row(arrival_s, one.count("input_length"), one.count("output_length"))


def vidur(lines: Iterable[str]) -> Iterator[Row]:
    """microsoft/vidur, traces with arrivals: arrived_at in seconds, num_prefill_tokens, num_decode_tokens."""
    for one in table(lines):
        yield request_row(one.number("arrived_at"), one.count("num_prefill_tokens"), one.count("num_decode_tokens"))
