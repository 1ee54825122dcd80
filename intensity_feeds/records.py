"""What is kept of a zone between two calls, as data and as text: the newest forecast, and the history merged so far.

Decides which version of a point holds: the newer one; a gap never replaces a number. Knows no file.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import numpy as np

from intensity_feeds.series import Basis, Floats, IntensitySeries, Quality, SeriesError, Signal, refuse_mixture

T = TypeVar("T")

_FORMAT = 1
# Answers of two threads may cross by seconds; what lies further in the future was stamped by a wrong clock.
CLOCK_TOLERANCE_S = 3600.0


class DamagedRecordError(ValueError):
    """A text that is no whole record: cut off, altered, or of another version."""


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Record:
    """A series, when it was fetched, and per step when that step was (`versions_at_s`, shape as the values)."""

    series: IntensitySeries
    fetched_at_s: float
    versions_at_s: Floats


def fetched(series: IntensitySeries, fetched_at_s: float) -> Record:
    """A record of something that came in one piece."""
    versions = np.full(len(series.gco2e_per_kwh), fetched_at_s)
    return Record(series=series, fetched_at_s=fetched_at_s, versions_at_s=versions)


def merged(older: Record, newer: Record, keep_from_s: float) -> Record:
    """Both, cut to what lies after `keep_from_s`; where they overlap the newer version of each instant holds.

    Which is newer is told by the versions, not by the order of the arguments: answers may arrive out of order. Raises
    MixedSignalsError, and SeriesError when the zones differ.
    """
    refuse_mixture((older.series, newer.series))
    if older.series.zone != newer.series.zone:
        raise SeriesError(f"cannot merge {older.series.zone} with {newer.series.zone}")
    edges = np.union1d(older.series.edges_at_s, newer.series.edges_at_s)
    values_a, versions_a = _on(older, edges)
    values_b, versions_b = _on(newer, edges)
    b_holds = ~np.isnan(values_b) & (np.isnan(values_a) | (versions_b >= versions_a))
    values, versions = np.where(b_holds, values_b, values_a), np.where(b_holds, versions_b, versions_a)
    latest = newer if newer.fetched_at_s >= older.fetched_at_s else older
    return _cut(edges, values, versions, latest, keep_from_s)


def oldest_version_at_s(record: Record, start_at_s: float, end_at_s: float) -> float | None:
    """When the oldest part of what is known of the interval was fetched; None where not all of it is known."""
    if not record.series.covers(start_at_s, end_at_s) or end_at_s <= start_at_s:
        return None
    edges = record.series.edges_at_s
    first = int(np.searchsorted(edges, start_at_s, side="right")) - 1
    last = int(np.searchsorted(edges, end_at_s, side="left"))
    return float(record.versions_at_s[first:last].min())


def from_wrong_clock(record: Record, now_s: float) -> bool:
    """Whether the record was made well after `now_s`: the clock was wrong then, or has been set back since."""
    return record.fetched_at_s > now_s + CLOCK_TOLERANCE_S


def made_by(record: Record, now_s: float) -> Record:
    """The record as though nothing in it were newer than `now_s`."""
    versions = np.minimum(record.versions_at_s, now_s)
    return replace(record, fetched_at_s=min(record.fetched_at_s, now_s), versions_at_s=versions)


def as_text(record: Record) -> str:
    """One line of checksum, one of JSON. Missing values are null."""
    series = record.series
    body = json.dumps(
        {
            "format": _FORMAT,
            "zone": series.zone,
            "signal": series.signal,
            "basis": series.basis,
            "quality": series.quality,
            "issued_at_s": series.issued_at_s,
            "source": series.source,
            "fetched_at_s": record.fetched_at_s,
            "edges_at_s": series.edges_at_s.tolist(),
            "gco2e_per_kwh": [None if np.isnan(value) else value for value in series.gco2e_per_kwh.tolist()],
            "versions_at_s": record.versions_at_s.tolist(),
        },
        allow_nan=False,
        separators=(",", ":"),
    )
    return sealed(body)


def from_text(text: str) -> Record:
    """The record that `as_text` wrote. Raises DamagedRecordError."""
    return unsealed(text, _record)


def sealed(body: str) -> str:
    """One line of checksum, one with the body."""
    return f"{_checksum(body)}\n{body}\n"


def unsealed(text: str, read: Callable[[Mapping[str, Any]], T]) -> T:
    """What `read` makes of the JSON that was sealed. Raises DamagedRecordError."""
    checksum, _, body = text.partition("\n")
    body = body.rstrip("\n")
    if checksum != _checksum(body):
        raise DamagedRecordError("the checksum does not fit")
    try:
        return read(json.loads(body))
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise DamagedRecordError(f"not a record of format {_FORMAT}: {type(error).__name__}") from error


def _record(saved: Mapping[str, Any]) -> Record:
    if saved["format"] != _FORMAT:
        raise ValueError(saved["format"])
    series = IntensitySeries(
        zone=saved["zone"],
        edges_at_s=np.array(saved["edges_at_s"], dtype=np.float64),
        gco2e_per_kwh=np.array(saved["gco2e_per_kwh"], dtype=np.float64),
        signal=Signal(saved["signal"]),
        basis=Basis(saved["basis"]),
        quality=Quality(saved["quality"]),
        issued_at_s=saved["issued_at_s"],
        source=saved["source"],
    )
    versions = np.array(saved["versions_at_s"], dtype=np.float64)
    if versions.shape != series.gco2e_per_kwh.shape:
        raise ValueError("versions do not fit the values")
    return Record(series=series, fetched_at_s=float(saved["fetched_at_s"]), versions_at_s=versions)


def _checksum(body: str) -> str:
    return hashlib.sha256(body.encode()).hexdigest()


def _on(record: Record, edges_at_s: Floats) -> tuple[Floats, Floats]:
    """Values and versions on finer edges; NaN outside the record."""
    own = record.series.edges_at_s
    index = np.searchsorted(own, edges_at_s[:-1], side="right") - 1
    inside = (index >= 0) & (index < len(own) - 1)
    index = np.clip(index, 0, len(own) - 2)
    return (
        np.where(inside, record.series.gco2e_per_kwh[index], np.nan),
        np.where(inside, record.versions_at_s[index], np.nan),
    )


def _cut(
    edges_at_s: Floats, gco2e_per_kwh: Floats, versions_at_s: Floats, labels: Record, keep_from_s: float
) -> Record:
    first = min(int(np.searchsorted(edges_at_s, keep_from_s)), len(gco2e_per_kwh) - 1)
    versions = np.where(np.isnan(versions_at_s), labels.fetched_at_s, versions_at_s)[first:]
    series = replace(labels.series, edges_at_s=edges_at_s[first:], gco2e_per_kwh=gco2e_per_kwh[first:])
    return Record(series=series, fetched_at_s=labels.fetched_at_s, versions_at_s=versions)
