"""Whether what a worker draws is metered, and why it is not: in words, with the way out.

Decides the order of reasons: what the settings leave out comes before what a meter says.
"""

from __future__ import annotations

from typing import Any

from scheduler.daemon.workers import Worker
from scheduler.gpu_report import Unmetered, not_booked, not_named
from scheduler.quantities import format_instant

_NOT_YET = Unmetered(what="its meter has not been read yet", remedy="ask again in a few seconds")


def describe_metering(worker: Worker, *, books_metered: bool) -> dict[str, Any]:
    """`since` is when metering ended; null for what has been so since the start, or was never known."""
    sight = worker.meter
    why = why_unmetered(worker, books_metered=books_metered)
    since_at_s = None if sight is None else sight.since_at_s
    return {
        "worker": worker.name,
        "is_metered": why is None,
        "source": None if sight is None else sight.source,
        "since": None if since_at_s is None else format_instant(since_at_s),
        "problem": None if why is None else why.what,
        "fix": None if why is None else why.remedy,
    }


def why_unmetered(worker: Worker, *, books_metered: bool) -> Unmetered | None:
    """None while what it draws is known and booked."""
    if not worker.settings.devices:
        return not_named()
    if worker.meter is not None and worker.meter.what:
        return Unmetered(what=worker.meter.what, remedy=worker.meter.remedy)
    if not books_metered:
        return not_booked()
    return None if worker.is_metered else _NOT_YET
