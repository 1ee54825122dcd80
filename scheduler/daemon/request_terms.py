"""On which terms a call is offered to its pool: its class, from when on it may go, and until when it has to.

Decides by what the caller says of its patience and deadline, and by the clean hours where it can wait. Knows no
account and no answer.
"""

from __future__ import annotations

from typing import Protocol

from aiohttp import web

from scheduler.daemon.env import Env
from scheduler.daemon.holding import DEADLINE_HEADER, deadline_of, release_by
from scheduler.daemon.http import REQUEST_ID
from scheduler.daemon.openai_api import Call
from scheduler.daemon.pools import ModelPool
from scheduler.jobs import Job
from scheduler.shaping_settings import ShapingSettings
from shaping.prefixes import Prefix
from shaping.request import LatencyClass, Request


class CleanHours(Protocol):
    """What the planner knows of the grid: when a request should go, and what the grid emits now."""

    def release_at_s(self, region: str, now_s: float, duration_s: float, release_by_s: float) -> float:
        """The earliest clean instant not after `release_by_s`."""
        ...

    def intensity_gco2e_per_kwh(self, region: str, now_s: float) -> float | None:
        """None where nobody knows it."""
        ...


class Terms:
    """Those of every call; `shaping` are the settings as they are by now."""

    def __init__(self, shaping: ShapingSettings, clean_hours: CleanHours, env: Env) -> None:
        self.shaping, self._clean_hours, self._env = shaping, clean_hours, env

    def request(
        self,
        http: web.Request,
        call: Call,
        pool: ModelPool,
        patience_s: float | None,
        now_s: float,
        batch: Job | None,
        prefix: Prefix,
    ) -> Request:
        """What the pool's shaper is told of the call."""
        shaping = self.shaping
        deadline_at_s = deadline_of(call, http.headers.get(DEADLINE_HEADER), now_s, shaping.flex_deadline_s)
        prompt_tokens, output_tokens = within(pool.kv_tokens, call.prompt_tokens, call.output_tokens)
        if batch is not None:  # its hour was planned with the job: it goes when there is room beside the others
            latency_class, not_before_s = LatencyClass.BATCH, now_s
            release_by_s = self._release_by_s(call, pool, patience_s, now_s, batch.deadline_at_s)
        elif deadline_at_s is None:
            latency_class, not_before_s = LatencyClass.INTERACTIVE, now_s
            release_by_s = now_s + shaping.interactive_hold_s
            if patience_s is not None and release_by_s > now_s:
                release_by_s = min(release_by_s, self._release_by_s(call, pool, patience_s, now_s, float("inf")))
        else:
            latency_class = LatencyClass.FLEX
            release_by_s = self._release_by_s(call, pool, patience_s, now_s, deadline_at_s)
            not_before_s = self.clean_at_s(pool, now_s, release_by_s)
        return Request(
            id=http[REQUEST_ID],
            model=pool.model,
            arrived_at_s=now_s,
            release_by_s=release_by_s,
            prompt_tokens=prompt_tokens,
            output_tokens=output_tokens,
            latency_class=latency_class,
            not_before_s=not_before_s,
            is_streaming=call.is_streaming,
            prefix=prefix,
            adapter=pool.adapter_of(call.model),
        )

    def _release_by_s(
        self, call: Call, pool: ModelPool, patience_s: float | None, now_s: float, deadline_at_s: float
    ) -> float:
        shaping = self.shaping
        # A stream is kept alive by comments; a plain call whose client says nothing gets the configured patience.
        silent_s = None if call.is_streaming else (shaping.flex_deadline_s if patience_s is None else patience_s)
        return release_by(
            arrived_at_s=now_s,
            deadline_at_s=deadline_at_s,
            patience_s=silent_s,
            service_s=pool.service.expected_s,
            margin_s=shaping.flex_margin_s,
            speed_ratio=self._env.speed,
        )

    def clean_at_s(self, pool: ModelPool, now_s: float, release_by_s: float) -> float:
        """The cleanest instant known for one request of the pool, none after `release_by_s`."""
        duration_s = pool.service.expected_s * self._env.speed
        return min(release_by_s, self._clean_hours.release_at_s(pool.home, now_s, duration_s, release_by_s))


def within(kv_tokens: int | None, prompt_tokens: int, output_tokens: int) -> tuple[int, int]:
    """Estimates that the pool can hold: whether a prompt is really too long is for the worker to say."""
    if kv_tokens is None:
        return prompt_tokens, output_tokens
    output_tokens = min(output_tokens, kv_tokens)
    return min(prompt_tokens, kv_tokens - output_tokens), output_tokens
