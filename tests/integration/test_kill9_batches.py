"""kill -9 of the daemon in the middle of a batch: every line once in the output, and no answered line asked again."""

from __future__ import annotations

import json
import random
import signal
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import openai
import pytest

from scheduler.daemon.batch_lines import number_of
from tests.batch_files import CHAT, MODEL, a_line, as_file
from tests.integration.gateway_stand import CHAT_ANSWER
from tests.integration.test_kill9_daemon import PATIENCE_S, Lives, lives

KILLS = 4
LINES = 400
LINES_AT_ONCE = 8
ANSWER_S = 0.01
LONGEST_LIFE_S = 0.2
SEED = 20_261_122

SETTINGS = """
[server]
port = 0
state_dir = "{folder}/state"

[batches]
lines_at_once = 8

[[region]]
name = "here"
zone = "nowhere"

[[worker]]
url = "{url}"
models = ["llama-3.1-8b"]
region = "here"
"""


@dataclass
class Asked:
    """What the worker was asked, in order: the number of a line each time."""

    numbers: list[int] = field(default_factory=list)
    url: str = ""


@contextmanager
def a_worker() -> Iterator[Asked]:
    """A worker outside the daemon, so that it outlives it."""
    asked, clock = Asked(), threading.Event()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self._answer(b"{}")

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            asked.numbers.append(int(body["messages"][0]["content"]))
            clock.wait(ANSWER_S)
            self._answer(CHAT_ANSWER)

        def _answer(self, body: bytes) -> None:
            try:
                self.send_response(200)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)
            except OSError:  # the daemon that asked is dead
                self.close_connection = True

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002  named by the library
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    asked.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield asked
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def some_numbered_lines() -> bytes:
    def body(number: int) -> dict[str, object]:
        return {"model": MODEL, "messages": [{"role": "user", "content": str(number)}], "max_tokens": 5}

    return as_file(*(a_line(f"line-{number}", body=body(number)) for number in range(1, LINES + 1)))


def answered_in(state: Path, batch_id: str) -> set[int]:
    """The lines whose answer is whole in the folder of an open batch."""
    output = state / "batches" / batch_id / "output.jsonl"
    lines = output.read_bytes().splitlines(keepends=True) if output.exists() else []
    return {number for line in lines if (number := number_of(line)) is not None}


def until_more_than(lines: int, asked: Asked) -> None:
    """A life in which no line was answered could ask none again."""
    clock = threading.Event()
    for _ in range(int(PATIENCE_S / 0.005)):
        if len(asked.numbers) > min(lines, LINES - 1):
            return
        clock.wait(0.005)
    raise AssertionError("the daemon asks for no more lines")


def client_of(daemon: Lives) -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{daemon.address}/v1", api_key="unused")


@pytest.mark.slow
def test_kill_9_in_the_middle_of_a_batch_loses_no_line_and_asks_no_answered_one_again(tmp_path: Path) -> None:
    draw, clock = random.Random(SEED), threading.Event()
    with a_worker() as asked, lives(tmp_path, SETTINGS.replace("{url}", asked.url)) as daemon:
        daemon.begin()
        daemon.until_ready()
        with client_of(daemon) as client:
            file = client.files.create(file=("lines.jsonl", some_numbered_lines()), purpose="batch")
            batch = client.batches.create(input_file_id=file.id, endpoint=CHAT, completion_window="24h")
        kills: list[tuple[set[int], int]] = []  # the lines answered by then, and how many had been asked
        for _ in range(KILLS):
            until_more_than(len(asked.numbers) + LINES_AT_ONCE, asked)
            clock.wait(draw.uniform(0.02, LONGEST_LIFE_S))
            assert daemon.end(signal.SIGKILL) == -signal.SIGKILL, "".join(daemon.said)[-3000:]
            kills.append((answered_in(tmp_path / "state", batch.id), len(asked.numbers)))
            daemon.begin()
            daemon.until_ready()
        with client_of(daemon) as client:
            for _ in range(int(PATIENCE_S / 0.05)):
                if (batch := client.batches.retrieve(batch.id)).status == "completed":
                    break
                clock.wait(0.05)
            assert batch.output_file_id is not None, "".join(daemon.said)[-3000:]
            results = [json.loads(line) for line in client.files.content(batch.output_file_id).text.splitlines()]
        assert daemon.end(signal.SIGTERM) == 0, "".join(daemon.said)[-3000:]

    assert batch.request_counts is not None
    assert batch.request_counts.to_dict() == {"total": LINES, "completed": LINES, "failed": 0}
    assert Counter(one["custom_id"] for one in results) == {f"line-{number}": 1 for number in range(1, LINES + 1)}
    assert any(0 < len(answered) < LINES for answered, _ in kills), "no kill in the middle: nothing was tried"
    assert [answered & set(asked.numbers[known:]) for answered, known in kills] == [set()] * KILLS
    # Half-finished ones are: at most those on their way at a kill.
    assert LINES <= len(asked.numbers) <= LINES + KILLS * LINES_AT_ONCE
