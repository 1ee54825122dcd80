"""Which faults an emulator shows, and when.

A fault is a field of `Faults` holding the span in which it shows; `None` is well-behaved. Decides whether a fault
holds for a request; refuses to know how a fault looks on the wire (app.py) or in the numbers (grid_view.py).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from simulations.feed_server.instants import UnreadableInstantError, instant_s


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """The requests for which a fault shows; all of them unless narrowed.

    Counted are the requests whose path contains `path` inside [from_at_s, until_at_s) of emulated time: the first
    `skip` are spared, the next `requests` are hit, later ones are spared again.
    """

    skip: int = 0
    requests: int | None = None
    from_at_s: float | None = None
    until_at_s: float | None = None
    path: str = ""

    def concerns(self, path: str, now_s: float) -> bool:
        """Whether the request is one of those counted."""
        begun = self.from_at_s is None or now_s >= self.from_at_s
        over = self.until_at_s is not None and now_s >= self.until_at_s
        return begun and not over and self.path in path

    def hits(self, earlier: int) -> bool:
        """Whether it is hit, after `earlier` counted ones."""
        return earlier >= self.skip and (self.requests is None or earlier < self.skip + self.requests)


ALWAYS = Span()


def _fault(what: str, amount: str = "") -> Span | None:
    """A fault that is off; `what` is its line in the documentation, `amount` the field that scales it."""
    default: Span | None = field(default=None, metadata={"what": what, "amount": amount})
    return default


@dataclass(frozen=True, slots=True, kw_only=True)
class Faults:
    """What goes wrong and when; the fields below the faults say how much."""

    expired_token: Span | None = _fault("WattTime tokens die after `token_calls` data calls: HTML 401", "token_calls")
    expired_token_403: Span | None = _fault("the same, answered with the front end's HTML 403", "token_calls")
    unauthorized: Span | None = _fault("401 in each service's own words, whatever the token; login fails with HTML 403")
    out_of_scope: Span | None = _fault("the plan does not include it: Electricity Maps 401, WattTime JSON 403")
    rate_limited: Span | None = _fault("429 with `Retry-After: retry_after_s`", "retry_after_s")
    rate_limited_silently: Span | None = _fault("429 without `Retry-After`")
    server_error: Span | None = _fault("`server_status`, by default 500, with a JSON body", "server_status")
    html: Span | None = _fault("200 with an HTML page of a front end instead of JSON")
    slow: Span | None = _fault("the answer begins `delay_s` wall seconds late", "delay_s")
    truncated: Span | None = _fault("the connection closes in the middle of the body")
    cut_json: Span | None = _fault("a complete answer that holds the first half of the JSON")
    empty_body: Span | None = _fault("200 with no body at all")
    no_points: Span | None = _fault("200 in the right envelope with an empty list of points")
    reset: Span | None = _fault("the connection is reset before an answer")
    frozen_latest: Span | None = _fault("everything but forecasts stands still at the instant of the first hit")
    gaps: Span | None = _fault("every third point is missing")
    hole: Span | None = _fault("the points from 03:00 to 07:00 UTC of every day are missing")
    nulls: Span | None = _fault("every third value is null")
    not_a_number: Span | None = _fault("every third value is the bare word NaN, which is no JSON")
    negative: Span | None = _fault("every third value is negative")
    absurd: Span | None = _fault("every third value is ten million times too large")
    text_values: Span | None = _fault('every third value is the text "n/a"')
    revised: Span | None = _fault("values of the last `revised_h` hours read a quarter high, until older", "revised_h")
    sandbox: Span | None = _fault("Electricity Maps: made-up numbers of a sandbox token, with its marker")
    wrong_zone: Span | None = _fault("another zone's data under that zone's name")
    caller_lookup: Span | None = _fault("Electricity Maps: an unknown place becomes the caller's, unless switched off")
    late_forecast: Span | None = _fault("the forecast starts one step late")
    clock_skew: Span | None = _fault("the service's clock runs `skew_s` ahead", "skew_s")
    last_complete_slot: Span | None = _fault("GB: /intensity is the last complete half hour, not the running one")

    token_calls: int = 1
    retry_after_s: float = 2.0
    server_status: int = 500
    delay_s: float = 5.0
    revised_h: float = 3.0
    skew_s: float = 600.0


NO_FAULTS = Faults()
FAULT_TEXTS: Mapping[str, str] = {one.name: one.metadata["what"] for one in fields(Faults) if "what" in one.metadata}
_AMOUNTS: Mapping[str, str] = {one.name: one.metadata["amount"] for one in fields(Faults) if one.metadata.get("amount")}


@dataclass(slots=True)
class FaultCounter:
    """Counts requests for each fault of `faults`, which may be exchanged while the server runs."""

    faults: Faults
    seen: dict[str, int] = field(default_factory=dict)
    began_at_s: dict[str, float] = field(default_factory=dict)

    def holding(self, path: str, now_s: float) -> frozenset[str]:
        """The names of the faults that hit this request, which is hereby counted."""
        return frozenset(name for name in FAULT_TEXTS if self._hits(name, path, now_s))

    def _hits(self, name: str, path: str, now_s: float) -> bool:
        span: Span | None = getattr(self.faults, name)
        if span is None or not span.concerns(path, now_s):
            self.began_at_s.pop(name, None) if span is None else None
            return False
        earlier = self.seen.get(name, 0)
        self.seen[name] = earlier + 1
        if span.hits(earlier):
            self.began_at_s.setdefault(name, now_s)
            return True
        return False


class UnknownFaultError(ValueError):
    """A fault text that cannot be read. `text` is what came, `hint` what would do."""

    def __init__(self, text: str, hint: str) -> None:
        self.text, self.hint = text, hint
        super().__init__(f"cannot read the fault {text!r}: {hint}")


def faults_from(texts: list[str]) -> Faults:
    """Faults from `NAME[=AMOUNT][@SPAN]` texts, names with dashes.

    SPAN is a number of requests (`@5`), two of them (`@10+5`: spare ten, hit five), or emulated instants
    (`@2022-03-01T00:00Z/2022-03-01T01:00Z`). Raises UnknownFaultError.
    """
    settings: dict[str, Any] = {}
    for text in texts:
        settings |= _setting(text)
    return Faults(**settings)


def _setting(text: str) -> dict[str, Any]:
    head, _, span = text.partition("@")
    dashed, _, amount = head.partition("=")
    name = dashed.strip().replace("-", "_")
    if name not in FAULT_TEXTS:
        raise UnknownFaultError(text, "known are " + ", ".join(one.replace("_", "-") for one in FAULT_TEXTS))
    setting: dict[str, Any] = {name: _span(text, span)}
    return setting | ({_amount_field(text, name): _amount(text, name, amount)} if amount else {})


def _amount_field(text: str, name: str) -> str:
    if name not in _AMOUNTS:
        raise UnknownFaultError(text, "this fault has no amount; leave out what follows the =")
    return _AMOUNTS[name]


def _amount(text: str, name: str, amount: str) -> float | int:
    whole = _AMOUNTS[name] in ("token_calls", "server_status")
    try:
        return int(amount) if whole else float(amount)
    except ValueError:
        raise UnknownFaultError(text, f"{_AMOUNTS[name]} must be a number, e.g. {name.replace('_', '-')}=3") from None


def _span(text: str, span: str) -> Span:
    try:
        if not span:
            return ALWAYS
        if "/" in span:
            begin, _, end = span.partition("/")
            return Span(
                from_at_s=instant_s(begin) if begin else None,
                until_at_s=instant_s(end) if end else None,
            )
        skip, plus, requests = span.rpartition("+")
        return Span(skip=int(skip) if plus else 0, requests=int(requests))
    except (ValueError, UnreadableInstantError):
        raise UnknownFaultError(text, "a span is @5, @10+5 or @2022-03-01T00:00Z/2022-03-01T01:00Z") from None
