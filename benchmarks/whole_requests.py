"""Requests as a worker of a benchmark reads them: whole, one after another, told apart by the length they state."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod

_HEAD_ENDS = b"\r\n\r\n"
_LENGTH = b"content-length:"


class WholeRequests(asyncio.Protocol, ABC):
    """A server's end of a connection, which calls `answer` with the body of each request that is there as a whole."""

    def __init__(self) -> None:
        self._buffer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while (end := self._buffer.find(_HEAD_ENDS)) >= 0:
            begins = end + len(_HEAD_ENDS)
            whole = begins + content_length(self._buffer[:end])
            if len(self._buffer) < whole:
                return
            body, self._buffer = self._buffer[begins:whole], self._buffer[whole:]
            self.answer(body)

    @abstractmethod
    def answer(self, body: bytes) -> None:
        """Write the answer to the transport."""


def content_length(head: bytes) -> int:
    """0 where the head states none."""
    lowered = head.lower()
    start = lowered.find(_LENGTH)
    return int(lowered[start + len(_LENGTH) :].split(b"\r\n", 1)[0]) if start >= 0 else 0
