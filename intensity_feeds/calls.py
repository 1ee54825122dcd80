"""One call to a provider and what came back, as data: what the pure halves of the clients make and read."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from intensity_feeds.feed import FeedAnswerError


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """A GET of `path` below the service's address; `query` is encoded when it is sent."""

    path: str
    query: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """Status and body of an answer."""

    status: int
    body: str

    @property
    def is_good(self) -> bool:
        return 200 <= self.status < 300

    def message(self) -> str:
        """What the body says went wrong, on one short line; empty when it says nothing readable."""
        try:
            said = json.loads(self.body)
        except (ValueError, RecursionError):
            return "" if "<" in self.body else " ".join(self.body.split())[:200]
        return " ".join(_texts(said))[:300]


def decoded(reply: Reply, feed: str, zone: str) -> Any:
    """The JSON document of a good answer. Raises FeedAnswerError for an empty body, HTML or broken JSON."""
    if not reply.body.strip():
        raise FeedAnswerError(feed, zone, f"HTTP {reply.status} with an empty body")
    try:
        return json.loads(reply.body)
    except (ValueError, RecursionError):
        start = " ".join(reply.body.split())[:60]
        raise FeedAnswerError(feed, zone, f"HTTP {reply.status} with a body that is not JSON: {start!r}") from None


def _texts(said: object) -> list[str]:
    """The texts under `error`, `message`, `msg` and `detail`; the error may be a text or an object of its own."""
    if isinstance(said, str):
        return [" ".join(said.split())]
    if isinstance(said, list):
        return [text for part in said[:3] for text in _texts(part)]
    if not isinstance(said, dict):
        return []
    return [text for key in ("error", "message", "msg", "detail") for text in _texts(said.get(key))]
