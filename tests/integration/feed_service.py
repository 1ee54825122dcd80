"""A scripted HTTP service on loopback: what it answers is a queue of functions, what it was asked is kept."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class Asked:
    path: str
    headers: dict[str, str]


@dataclass
class Service:
    """`answers` are used up in order; the last one repeats."""

    base_url: str
    answers: list[Callable[[BaseHTTPRequestHandler], None]] = field(default_factory=list)
    asked: list[Asked] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def will(self, *answers: Callable[[BaseHTTPRequestHandler], None]) -> None:
        with self.lock:
            self.answers[:] = answers
            self.asked.clear()

    def next_answer(self, asked: Asked) -> Callable[[BaseHTTPRequestHandler], None]:
        with self.lock:
            self.asked.append(asked)
            return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]


@contextmanager
def served() -> Iterator[Service]:
    service = Service("")

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            service.next_answer(Asked(self.path, dict(self.headers)))(self)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002  the base class's name
            """Silence."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    service.base_url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield service
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def says(payload: object, status: int = 200, **headers: str) -> Callable[[BaseHTTPRequestHandler], None]:
    return sends(json.dumps(payload).encode(), status, None, **headers)


def sends(
    body: bytes, status: int = 200, length: int | None = None, **headers: str
) -> Callable[[BaseHTTPRequestHandler], None]:
    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(status)
        for name, value in headers.items():
            handler.send_header(name.replace("_", "-"), value)
        handler.send_header("Content-Length", str(len(body) if length is None else length))
        handler.end_headers()
        handler.wfile.write(body)
        if length is not None:
            handler.close_connection = True

    return answer


def hangs(until: threading.Event) -> Callable[[BaseHTTPRequestHandler], None]:
    def answer(handler: BaseHTTPRequestHandler) -> None:
        until.wait(30)
        handler.close_connection = True

    return answer


def drips(until: threading.Event) -> Callable[[BaseHTTPRequestHandler], None]:
    """Sends a byte now and then, always before a read would time out."""

    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.send_header("Content-Length", "100000")
        handler.end_headers()
        while not until.wait(0.02):
            try:
                handler.wfile.write(b" ")
            except OSError:
                return

    return answer


def breaks(handler: BaseHTTPRequestHandler) -> None:
    """Closes the connection without a word."""
    handler.close_connection = True
