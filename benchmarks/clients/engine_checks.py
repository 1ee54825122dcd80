"""The gateway in front of a real engine: what it reads of it, what it passes on, and whether hanging up stops it."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from typing import Any

import requests

from benchmarks.clients.checks import Check, compared
from benchmarks.clients.engines import Engine
from benchmarks.clients.stand import Stand, samples, until

_ASKED_S = 60.0
_LONG_TOKENS = 60_000
_PATIENCE_S = 1.0
_STOPS_WITHIN_S = 4.0
_LOAD_SEEN_WITHIN_S = 10.0
_SETTLED_S = 0.5
_PROBED_WITHIN_S = 12.0


def checks(engine: Engine, stand: Stand) -> Iterator[Check]:
    """All of them."""
    yield _models(stand)
    yield _completion(stand)
    yield _stream(stand)
    yield _deferred(stand)
    yield _load_of_others(engine, stand)
    yield _hang_up(engine, stand, streams=True)
    yield _hang_up(engine, stand, streams=False)


def _models(stand: Stand) -> Check:
    until(lambda: _gauge(stand, "slacktide_worker_up") == 1, _PROBED_WITHIN_S)
    up = _gauge(stand, "slacktide_worker_up")
    return compared(
        "health, models", f"up {up:.0f}, {stand.model_names()}", up=up == 1, listed=stand.model in stand.model_names()
    )


def _body(stand: Stand, **fields: Any) -> dict[str, Any]:
    return {"model": stand.model, "prompt": "The grid is", "max_tokens": 16, "ignore_eos": True, **fields}


def _completion(stand: Stand) -> Check:
    answer = requests.post(f"{stand.base_url}/completions", json=_body(stand), timeout=_ASKED_S)
    told = answer.json()
    record = stand.record(answer.headers["x-request-id"])
    usage = told["usage"]
    return compared(
        "completion",
        f"{usage['completion_tokens']} tokens, {told['choices'][0]['finish_reason']}",
        status=answer.status_code == 200,
        tokens=usage["completion_tokens"] == 16,
        finish_reason=told["choices"][0]["finish_reason"] == "length",
        usage_in_the_daemon=(record["prompt_tokens"], record["output_tokens"])
        == (usage["prompt_tokens"], usage["completion_tokens"]),
    )


def _stream(stand: Stand) -> Check:
    body = _body(stand, stream=True, stream_options={"include_usage": True})
    answer = requests.post(f"{stand.base_url}/completions", json=body, timeout=_ASKED_S)
    lines = [line for line in answer.text.splitlines() if line]
    events = [json.loads(line[6:]) for line in lines if line.startswith("data: {")]
    usage: dict[str, int] = next((one["usage"] for one in reversed(events) if one.get("usage")), {})
    record = stand.record(answer.headers["x-request-id"])
    return compared(
        "completion in a stream with usage",
        f"{len(events)} events, {usage.get('completion_tokens')} tokens",
        event_stream=answer.headers["content-type"].startswith("text/event-stream"),
        more_than_one_event=len(events) > 2,
        tokens=usage.get("completion_tokens") == 16,
        its_end="data: [DONE]" in lines,
        our_last_line=lines[-1].startswith(": slacktide "),
        usage_in_the_daemon=record["output_tokens"] == 16,
    )


def _deferred(stand: Stand) -> Check:
    """A request with slack; engines that keep priorities get one with it."""
    answer = requests.post(
        f"{stand.base_url}/completions",
        json=_body(stand, service_tier="flex"),
        headers={"x-slacktide-deadline": "20s"},
        timeout=_ASKED_S,
    )
    record = stand.record(answer.headers["x-request-id"])
    return compared(
        "a request that may wait",
        f"{answer.status_code}, {record['latency_class']}, tier {answer.json().get('service_tier')}",
        status=answer.status_code == 200,
        flex=record["latency_class"] == "flex",
        tier=answer.json().get("service_tier") == "flex",
    )


def _load_of_others(engine: Engine, stand: Stand) -> Check:
    """One that is asked behind the gateway's back is seen in what the engine reports."""
    body = _body(stand, max_tokens=_LONG_TOKENS, stream=True)
    with requests.post(f"{engine.url}/v1/completions", json=body, stream=True, timeout=_ASKED_S) as answer:
        reader = threading.Thread(target=_read, args=(answer,), daemon=True)
        reader.start()
        began_s = time.monotonic()
        is_seen = until(lambda: _reported(stand) >= 1, _LOAD_SEEN_WITHIN_S)
        took_s = time.monotonic() - began_s
    until(lambda: engine.running() == 0, _ASKED_S, every_s=engine.looked_at_every_s)
    return compared("load that others bring", f"seen after {took_s:.1f} s" if is_seen else "not seen", seen=is_seen)


def _read(answer: requests.Response) -> None:
    try:
        for _ in answer.iter_content(1024):
            pass
    except (requests.RequestException, AttributeError, ValueError):
        pass  # it is closed under our hands


def _hang_up(engine: Engine, stand: Stand, *, streams: bool) -> Check:
    """The client leaves in the middle of a long answer."""
    body = _body(stand, max_tokens=_LONG_TOKENS, stream=streams)
    before = engine.tokens()
    _ask_and_leave(stand, body)
    left_at_s = time.monotonic()
    is_idle = until(lambda: engine.running() == 0, _STOPS_WITHIN_S, every_s=engine.looked_at_every_s)
    took_s = time.monotonic() - left_at_s
    tokens = engine.tokens()
    time.sleep(_SETTLED_S)  # whether it goes on in secret
    return compared(
        f"client hangs up, {'stream' if streams else 'plain'}",
        f"engine idle after {took_s:.2f} s" if is_idle else "engine goes on",
        engine_idle=is_idle,
        no_token_after=engine.tokens() == tokens,
        in_the_middle=0 < tokens - before < _LONG_TOKENS,
    )


def _ask_and_leave(stand: Stand, body: dict[str, Any]) -> None:
    url = f"{stand.base_url}/completions"
    try:
        with requests.post(url, json=body, stream=True, timeout=(_ASKED_S, _PATIENCE_S)) as answer:
            for number, _ in enumerate(answer.iter_lines()):
                if number > 5:
                    return
    except requests.Timeout:
        return


def _gauge(stand: Stand, name: str, **wanted: str) -> float:
    page = requests.get(f"{stand.gateway_url}/metrics", timeout=_ASKED_S).text
    return sum(value for labels, value in samples(page, name) if wanted.items() <= dict(labels).items())


def _reported(stand: Stand) -> float:
    return _gauge(stand, "slacktide_worker_reported_requests", state="running")
