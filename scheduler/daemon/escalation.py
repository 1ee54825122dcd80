"""One call along a cascade of models: ask the small one, go on while its answer is not sure, answer with the last.

Decides nothing about who is sure enough (shaping/routing.py) or what an answer says of itself (answer_confidence.py).
An answer that is there is never lost: where the next model fails, the one before it stands.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from aiohttp import web

from scheduler.daemon.answer_confidence import (
    Confidence,
    asks_for_logprobs,
    confidence,
    has_limit,
    with_logprobs,
    without_logprobs,
)
from scheduler.daemon.api_errors import ApiError
from scheduler.daemon.energy_use import Used, energy_headers
from scheduler.daemon.openai_api import Endpoint
from scheduler.daemon.query_text import with_model
from shaping.deployment import ErrorClass
from shaping.routing import Cascade, RouteReason
from shaping.uncertainty import worst

CASCADE_HEADER = "x-slacktide-cascade"
_NOTHING = Used(energy_j=0.0, emissions_gco2e=0.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """One model's answer: as it may be sent, with what it used."""

    response: web.Response
    used: Used | None
    error_class: ErrorClass | None


Ask = Callable[[str, bytes], Awaitable[Asked]]  # the model, and the body for it


@dataclass(frozen=True, slots=True, kw_only=True)
class Escalated:
    """The answer that stands, whose it is, and why."""

    response: web.Response
    model: str
    reason: RouteReason


@dataclass(slots=True)
class _Spent:
    """All models asked for one call, in order."""

    used: Used | None = _NOTHING
    classes: list[ErrorClass | None] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)
    held_ms: float = 0.0

    def add(self, model: str, one: Asked, said: Confidence | None) -> None:
        """An answered call; what failed was not booked."""
        self.asked.append(model if said is None or said.ratio is None else f"{model}={said.ratio:.3f}")
        self.held_ms += float(one.response.headers.get("x-slacktide-held-ms", 0.0))
        self.used = None if self.used is None else self.used.and_more(one.used)
        self.classes.append(one.error_class)

    def headers(self) -> dict[str, str]:
        """Of all of them together; the band is that of the profile known worst."""
        told = {CASCADE_HEADER: ", ".join(self.asked), "x-slacktide-held-ms": f"{self.held_ms:.0f}"}
        if self.used is not None and self.classes:
            told.update(energy_headers(self.used, worst(self.classes)))
        return told


async def escalate(cascade: Cascade, endpoint: Endpoint, body: bytes, ask: Ask) -> Escalated:
    """The answer that stands and why it is that model's. Raises ApiError where no model answered at all."""
    run = _Run(cascade, endpoint, body)
    for model in cascade.models:
        try:
            one = await ask(model, run.body_for(model))
        except ApiError as error:
            if model == cascade.models[-1] and run.standing is None:
                raise
            run.failed(model, str(error.status))
            continue
        if run.stands(model, one):
            break
    return run.answer()


class _Run:
    """One call on its way along the models."""

    def __init__(self, cascade: Cascade, endpoint: Endpoint, body: bytes) -> None:
        self._cascade, self._endpoint, self._body = cascade, endpoint, body
        self._is_limited, self._keeps_logprobs = has_limit(body), asks_for_logprobs(body)
        self._spent = _Spent()
        self._why_next = RouteReason.SURE  # why the model that is asked next is asked
        self._reason = RouteReason.SURE
        self._served_by = ""
        self.standing: web.Response | None = None

    def body_for(self, model: str) -> bytes:
        """The last model's answer stands whatever it says, and need not say how sure it is."""
        sent = with_model(self._body, model)
        is_last = model == self._cascade.models[-1]
        return sent if is_last or self._keeps_logprobs else with_logprobs(self._endpoint, sent)

    def failed(self, model: str, what: str) -> None:
        """No answer of this model, or none that is one: the next one is asked, or what there was before stands."""
        self._spent.asked.append(f"{model}: {what}")
        self._why_next = RouteReason.FAILED
        if model == self._cascade.models[-1]:
            self._reason = RouteReason.ESCALATION_FAILED

    def stands(self, model: str, one: Asked) -> bool:
        """Whether it is the answer. One that is not is kept until there is a better one."""
        if one.response.status != 200:
            if self.standing is None or self.standing.status != 200:
                self._take(model, one)
            self.failed(model, str(one.response.status))
            return False
        is_last = model == self._cascade.models[-1]
        said = None if is_last else confidence(_bytes(one.response), has_limit=self._is_limited)
        self._spent.add(model, one, said)
        self._take(model, one)
        if not (is_last or self._keeps_logprobs):
            one.response.body = without_logprobs(_bytes(one.response))
        self._why_next = RouteReason.UNSURE if said is None or said.flaw is None else said.flaw
        return said is None or self._cascade.after(model, said.ratio) is None

    def _take(self, model: str, one: Asked) -> None:
        self.standing, self._served_by, self._reason = one.response, model, self._why_next

    def answer(self) -> Escalated:
        assert self.standing is not None, "a call that nobody answered raised what went wrong"
        self.standing.headers.update(self._spent.headers())
        self.standing.headers["x-slacktide-route"] = self._reason
        return Escalated(response=self.standing, model=self._served_by, reason=self._reason)


def _bytes(response: web.Response) -> bytes:
    assert isinstance(response.body, bytes)
    return response.body
