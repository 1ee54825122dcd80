"""How long a request may be held: what the caller allows, what its patience allows, what serving it still needs.

Pure rules; the planner says which instant inside that span is cleanest.
"""

from __future__ import annotations

from scheduler.daemon.api_errors import invalid
from scheduler.daemon.openai_api import FLEX, Call
from scheduler.quantities import QuantityError, parse_duration_s, parse_instant_s

DEADLINE_HEADER = "x-slacktide-deadline"
PATIENCE_HEADER = "x-stainless-read-timeout"

# Of the client's patience: what is left is for our answer to reach it.
_PATIENCE_RATIO = 0.95
# A long service estimate rises at once and falls by this much with each answer: being late costs more than being early.
_FADE = 0.98
_FIRST_GUESS_S = 2.0


class ServiceTime:
    """How long the workers of a pool take for one request, in real seconds: a maximum that fades."""

    __slots__ = ("expected_s",)

    def __init__(self) -> None:
        self.expected_s = _FIRST_GUESS_S

    def observe(self, took_s: float) -> None:
        self.expected_s = max(took_s, self.expected_s * _FADE)


def deadline_of(call: Call, header: str | None, now_s: float, default_s: float) -> float | None:
    """The instant by which a deferrable request must be answered; None for one that may not be deferred.

    The header wins over the metadata, both over the default of the flex tier. Raises ApiError.
    """
    if header is not None:
        return _instant_s(header, DEADLINE_HEADER, now_s)
    if call.deadline is not None:
        return _instant_s(call.deadline, "metadata.slacktide_deadline", now_s)
    return now_s + default_s if call.service_tier == FLEX else None


def _instant_s(text: str, param: str, now_s: float) -> float:
    """`6h` counts from now, `2026-03-01T12:00Z` is the instant itself."""
    is_instant = "T" in text or text.count("-") == 2
    try:
        deadline_at_s = parse_instant_s(text) if is_instant else now_s + parse_duration_s(text)
    except (QuantityError, OverflowError) as error:
        raise invalid(f"{param}: {error}", param=param) from None
    if not now_s < deadline_at_s < float("inf"):
        raise invalid(f"{param}: {text[:40]} is no instant to come", param=param)
    return deadline_at_s


def patience_of(header: str | None) -> float | None:
    """Real seconds of silence after which the client gives up; None where it does not say. Raises ApiError."""
    if header is None:
        return None
    try:
        patience_s = float(header)
    except ValueError:
        patience_s = float("nan")
    if patience_s == float("inf"):
        return None
    if not patience_s > 0:
        raise invalid(f"{PATIENCE_HEADER} must be a number of seconds above 0", param=PATIENCE_HEADER)
    return patience_s


def give_up_after_s(patience_s: float, margin_s: float) -> float:
    """When a plain call that found no room is answered so; never before the last release that `release_by` allows."""
    return max(patience_s * _PATIENCE_RATIO, patience_s - margin_s)


def release_by(
    *,
    arrived_at_s: float,
    deadline_at_s: float,
    patience_s: float | None,
    service_s: float,
    margin_s: float,
    speed_ratio: float,
) -> float:
    """The last instant to hand the request to a worker and still be in time; never before the arrival.

    Deadline and margin are in policy time; patience and service are real seconds, of which each lasts `speed_ratio` of
    the policy clock. The margin is kept free of both.
    """
    limit_at_s = deadline_at_s - service_s * speed_ratio - margin_s
    if patience_s is not None:
        limit_at_s = min(limit_at_s, arrived_at_s + (patience_s - service_s - margin_s) * speed_ratio)
    return max(arrived_at_s, limit_at_s)
