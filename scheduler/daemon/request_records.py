"""What became of the latest requests: held how long and why released, who answered, what it used.

Kept in memory, the oldest forgotten first; the ledger remembers the energy longer. Knows no socket and no grid.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Mapping
from enum import StrEnum

import msgspec

from scheduler.daemon.energy_use import UseSink
from scheduler.daemon.openai_api import Usage, tier_used
from scheduler.daemon.pools import Ticket
from scheduler.ledger import EnergyBasis, EnergyUse
from shaping.policy import ReleaseReason
from shaping.request import LatencyClass

# A record is about a kilobyte.
MAX_RECORDS = 10_000

# The first words of the explanation; the release reasons are the shaper's (shaping/policy.py).
_WHY_RELEASED: Mapping[ReleaseReason, str] = {
    ReleaseReason.PASS_THROUGH: "nothing is held here",
    ReleaseReason.DENSE: "with what ran already, enough went together",
    ReleaseReason.HOLD_OVER: "it had waited as long as it may",
    ReleaseReason.PLANNED: "its planned instant had come",
    ReleaseReason.LATEST_START: "its deadline allowed no more waiting",
    ReleaseReason.FULL: "as many were held as go together at most",
    ReleaseReason.PACED: "its turn in the regular stream had come",
    ReleaseReason.JOINED: "what ran would hardly run longer for it",
    ReleaseReason.NOT_WORTH_WAITING: "one more beside it would have saved less than the wait costs",
}


class Stage(StrEnum):
    """Where a request is."""

    HELD = "held"
    RUNNING = "running"
    ENDED = "ended"


class RequestRecord(msgspec.Struct, gc=False, kw_only=True):
    """One request, from its admission on; it grows while the request goes its way.

    Ten thousand are kept, and nothing in one leads back to it: looking through them for garbage would only cost time.

    `service_tier` is the one asked for until it is known which was used; None where none was named. A call that several
    models of a cascade were asked for shows the last of them; its times and uses are of all.
    """

    id: str
    tenant: str
    endpoint: str
    asked_model: str
    service_tier: str | None
    is_streaming: bool
    arrived_at_s: float
    model: str | None = None
    region: str | None = None
    latency_class: LatencyClass | None = None
    released_at_s: float | None = None
    released_because: ReleaseReason | None = None
    ended_at_s: float | None = None
    status: int | None = None
    prompt_tokens: int | None = None
    output_tokens: int | None = None
    route: str | None = None
    route_chance: str | None = None
    cascade: str | None = None
    joined: str | None = None  # the call that it was a retry of, which has the hold and the uses
    _use: EnergyUse | None = None  # nearly always the only one
    _more_uses: tuple[EnergyUse, ...] = ()
    _held_before_s: float = 0.0
    _ticket: Ticket | None = None

    @property
    def uses(self) -> list[EnergyUse]:
        """In the order of their booking."""
        return [] if self._use is None else [self._use, *self._more_uses]

    def used(self, use: EnergyUse) -> None:
        """A use of energy was booked for it."""
        if self._use is None:
            self._use = use
        else:
            self._more_uses = (*self._more_uses, use)

    def offered(self, ticket: Ticket) -> None:
        """It waits in a pool, or does not have to."""
        self._ticket = ticket
        self.model, self.latency_class = ticket.request.served_name, ticket.request.latency_class
        if self.service_tier is not None:
            self.service_tier = tier_used(self.service_tier, self.latency_class)

    def answered(self, region: str | None, usage: Usage | None) -> None:
        """By a worker of this region, with these tokens as the worker counted them."""
        self.region = region
        if usage is not None:
            self.prompt_tokens, self.output_tokens = usage.prompt_tokens, usage.completion_tokens

    def left(self, ticket: Ticket) -> None:
        """It is out of the pool."""
        self.released_at_s, self.released_because = ticket.released_at_s, ticket.released_because
        self._held_before_s += ticket.held_s
        self._ticket = None

    def ended(self, status: int, ended_at_s: float, headers: Mapping[str, str]) -> None:
        """It was answered with these headers; None of them where the client had left."""
        self.status, self.ended_at_s = status, ended_at_s
        self.route = headers.get("x-slacktide-route")
        self.route_chance = headers.get("x-slacktide-route-chance")
        self.cascade = headers.get("x-slacktide-cascade")

    @property
    def stage(self) -> Stage:
        if self.ended_at_s is not None:
            return Stage.ENDED
        return Stage.HELD if self._ticket is not None and self._ticket.released_at_s is None else Stage.RUNNING

    def held_s(self, now_s: float) -> float:
        """How long it was held, or has been by now."""
        if self._ticket is None:
            return self._held_before_s
        until_s = now_s if self._ticket.released_at_s is None else self._ticket.released_at_s
        return self._held_before_s + max(0.0, until_s - self._ticket.request.arrived_at_s)


def why_released(reason: ReleaseReason) -> str:
    """In words."""
    return _WHY_RELEASED[reason]


def basis_of(uses: Iterable[EnergyUse]) -> EnergyBasis | None:
    """How the energy of these uses together is known; None for no uses."""
    known = {use.basis for use in uses}
    return EnergyBasis.MIXED if len(known) > 1 else next(iter(known), None)


class RequestRecords:
    """The latest requests by id, and a sink that notes their uses on the way to the ledger."""

    def __init__(self, sink: UseSink, max_records: int = MAX_RECORDS) -> None:
        self._sink, self._max_records = sink, max_records
        self._records: OrderedDict[str, RequestRecord] = OrderedDict()

    def began(self, record: RequestRecord) -> RequestRecord:
        """Keep it, and forget the oldest when there are too many."""
        self._records[record.id] = record
        if len(self._records) > self._max_records:
            self._records.popitem(last=False)
        return record

    def of(self, request_id: str) -> RequestRecord | None:
        """None for one that never came, or is forgotten."""
        return self._records.get(request_id)

    def latest(self) -> Iterable[RequestRecord]:
        """All that are kept, the oldest first."""
        return self._records.values()

    def record(self, use: EnergyUse) -> None:
        """Note a use beside its request, and pass it on."""
        record = self._records.get(use.subject_id)
        if record is not None:
            record.used(use)
        self._sink.record(use)
