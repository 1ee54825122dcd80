"""The servers of the benchmark of scale, each a process of its own: workers, and a whole daemon.

    python -m benchmarks.scale_servers worker
    python -m benchmarks.scale_servers simulated --speed 240
    python -m benchmarks.scale_servers daemon --settings FILE.json --epoch 1640995200 --speed 1

Each prints its port and serves until its standard input closes. What `worker` says, at once, follows from the prompt
alone, so that whoever asked knows every byte that must come; `simulated` takes the time of the energy model.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import re
import sys
from collections.abc import Callable
from pathlib import Path

from benchmarks.whole_requests import WholeRequests
from scheduler.config import Settings, validate
from scheduler.daemon.app import Daemon
from scheduler.daemon.env import Env
from scheduler.daemon.garbage import look_seldom

MODEL = "llama-3.1-8b"
_NUMBER = re.compile(rb"tide ([0-9]+)")
_WORDS = 16
# A stream takes a moment, so that answers overlap as those of an engine do.
_HALF_AFTER_S = 0.02
_STREAM_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
_PLAIN_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"


def prompt(number: int) -> str:
    """What to ask for the answer of this number."""
    return f"tide {number}"


def streamed(number: int) -> list[bytes]:
    """The two halves of the event stream that answers a prompt."""
    event = b'data: {"id":"chatcmpl-%d","choices":[{"index":0,"delta":{"content":"word %d of %d "}}]}\n\n'
    words = [event % (number, word, number) for word in range(_WORDS)]
    usage = b'data: {"choices":[],"usage":{"prompt_tokens":4,"completion_tokens":%d}}\n\n' % _WORDS
    return [b"".join(words[: _WORDS // 2]), b"".join([*words[_WORDS // 2 :], usage, b"data: [DONE]\n\n"])]


def plain(number: int) -> bytes:
    """The whole answer to a prompt that asks for no stream."""
    return (
        b'{"id":"chatcmpl-%d","object":"chat.completion","choices":[{"index":0,"message":{"role":"assistant","content":'
        b'"the answer to %d"},"finish_reason":"stop"}],"usage":{"prompt_tokens":4,"completion_tokens":4}}'
    ) % (number, number)


class Worker(WholeRequests):
    """Answers at once, except for the second half of a stream."""

    def answer(self, body: bytes) -> None:
        found = _NUMBER.search(body)
        number = 0 if found is None else int(found[1])
        if b'"stream": true' not in body:
            said = plain(number)
            self.transport.write(_PLAIN_HEAD % len(said) + said)
            return
        first, second = streamed(number)
        self.transport.write(_STREAM_HEAD + _chunk(first))
        asyncio.get_running_loop().call_later(_HALF_AFTER_S, self.transport.write, _chunk(second) + _chunk(b""))


def _chunk(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


async def serve_worker() -> int:
    server = await asyncio.get_running_loop().create_server(Worker, "127.0.0.1", 0, backlog=1024)
    return int(server.sockets[0].getsockname()[1])


async def serve_simulated(speed: float) -> int:
    from simulations.worker_server import WorkerOptions, build_app, start

    _, port = await start(build_app(WorkerOptions(model=MODEL, speed=speed)))
    return port


async def serve_daemon(settings: Settings, epoch_s: float, speed: float) -> Daemon:
    daemon = Daemon(settings, Env(epoch_s=epoch_s, speed=speed), {})
    await daemon.start()
    look_seldom()  # as `slacktide serve` does
    return daemon


def fastest_loop() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """The one that `slacktide serve` takes."""
    try:
        import uvloop
    except ImportError:
        return None
    return uvloop.new_event_loop


async def main(chosen: argparse.Namespace, settings: Settings | None) -> None:
    until_closed = asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    if settings is None:
        print(await (serve_worker() if chosen.role == "worker" else serve_simulated(chosen.speed)), flush=True)
        await until_closed
        return
    daemon = await serve_daemon(settings, chosen.epoch, chosen.speed)
    print(daemon.listener.port, flush=True)
    await until_closed
    await daemon.stop()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("role", choices=["worker", "simulated", "daemon"])
    parser.add_argument("--settings", type=Path, help="settings of the daemon as JSON")
    parser.add_argument("--epoch", type=float, default=0.0, help="the instant at which its policy clock starts")
    parser.add_argument("--speed", type=float, default=1.0, help="how much faster than the real one its clock is")
    arguments = parser.parse_args()
    chosen = validate(json.loads(arguments.settings.read_text())) if arguments.role == "daemon" else None
    with asyncio.Runner(loop_factory=None if chosen is None else fastest_loop()) as runner:
        runner.run(main(arguments, chosen))
