"""Connections to workers, before one that sends what it is told to byte by byte. Clocks are moved, not waited for."""

from __future__ import annotations

import asyncio
import socket
import ssl
import struct
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from scheduler.daemon import upstream_pool
from scheduler.daemon.upstream_connection import BrokenOffError, Connection, NotConnectedError, Reply, SilentError
from scheduler.daemon.upstream_pool import ConnectionPool
from scheduler.daemon.upstream_target import Origin, Target
from tests.integration.gateway_stand import SOON_S, until

PATH = "/v1/chat/completions"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
STREAM = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
LONG_S = 1000.0


class MovedLoop(asyncio.SelectorEventLoop):
    """A loop whose clock a test moves ahead."""

    ahead_s = 0.0

    def time(self) -> float:
        return super().time() + self.ahead_s


def with_a_moved_clock(test: Callable[[MovedLoop], Coroutine[Any, Any, None]]) -> None:
    with asyncio.Runner(loop_factory=MovedLoop) as runner:
        loop = runner.get_loop()
        assert isinstance(loop, MovedLoop)
        runner.run(test(loop))


@dataclass
class Peer:
    """A worker's end of one connection."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def request(self) -> bytes:
        """The next whole request."""
        head = await self.reader.readuntil(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length:")[2].split(b"\r\n")[0])
        return head + await self.reader.readexactly(length)

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()


Behaviour = Callable[[Peer], Awaitable[None]]


@dataclass
class RawWorker:
    """`behave` has each connection in turn; the connection is closed when it returns."""

    behave: Behaviour
    origin: Origin = field(default_factory=lambda: Origin(host="", port=0, is_tls=False))
    connections: int = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            await self.behave(Peer(reader, writer))
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()


@asynccontextmanager
async def a_pool_before(behave: Behaviour) -> AsyncIterator[tuple[ConnectionPool, RawWorker]]:
    worker = RawWorker(behave)
    server = await asyncio.start_server(worker.serve, "127.0.0.1", 0)
    worker.origin = Origin(host="127.0.0.1", port=server.sockets[0].getsockname()[1], is_tls=False)
    pool = ConnectionPool(connect_s=SOON_S)
    try:
        async with asyncio.timeout(SOON_S + LONG_S):
            yield pool, worker
    finally:
        pool.close()
        server.close()


def answers(*pieces: bytes) -> Behaviour:
    """The same for each request of a connection, until the client hangs up."""

    async def behave(peer: Peer) -> None:
        while True:
            await peer.request()
            for piece in pieces:
                await peer.send(piece)

    return behave


def answers_once(*pieces: bytes) -> Behaviour:
    async def behave(peer: Peer) -> None:
        await peer.request()
        for piece in pieces:
            await peer.send(piece)

    return behave


async def ask(pool: ConnectionPool, worker: RawWorker, body: bytes = b"{}", silence_s: float = LONG_S) -> Reply:
    target = Target(f"http://{worker.origin.host}:{worker.origin.port}", [PATH])
    return await pool.ask(worker.origin, target.head(PATH, {}, len(body)) + body, silence_s)


async def whole(reply: Reply) -> bytes:
    pieces = [await reply.content.readany()]
    while not reply.content.at_eof():
        pieces.append(await reply.content.readany())
    return b"".join(pieces)


async def asked(pool: ConnectionPool, worker: RawWorker, body: bytes = b"{}") -> tuple[int, bytes]:
    reply = await ask(pool, worker, body)
    try:
        return reply.status, await whole(reply)
    finally:
        reply.close()


# -- answers that are whole --------------------------------------------------------------------------------------------


async def test_calls_one_after_another_share_a_connection() -> None:
    async with a_pool_before(answers(OK)) as (pool, worker):
        assert [await asked(pool, worker) for _ in range(3)] == [(200, b"ok")] * 3
        assert (worker.connections, len(pool)) == (1, 1)


async def test_calls_at_once_have_a_connection_each() -> None:
    async with a_pool_before(answers(OK)) as (pool, worker):
        first, second = await ask(pool, worker), await ask(pool, worker)
        assert [await whole(first), await whole(second)] == [b"ok", b"ok"]
        first.close()
        second.close()
        assert worker.connections == 2


@pytest.mark.parametrize(
    "pieces",
    [
        (STREAM, b"5\r\nfirst\r\n", b"6\r\nsecond\r\n", b"0\r\n\r\n"),
        tuple(bytes([one]) for one in STREAM + b"5;x=y\r\nfirst\r\n6\r\nsecond\r\n0\r\nTrailer: t\r\n\r\n"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 11\r\n\r\nfirst", b"second"),
        (b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 11\r\n\r\nfirstsecond"),
    ],
    ids=["chunked", "byte by byte", "of a known length", "after a word in between"],
)
async def test_a_body_is_passed_on_whole_however_it_comes(pieces: tuple[bytes, ...]) -> None:
    async with a_pool_before(answers(*pieces)) as (pool, worker):
        assert [await asked(pool, worker) for _ in range(2)] == [(200, b"firstsecond")] * 2
        assert worker.connections == 1


async def test_a_body_of_no_stated_length_ends_with_its_connection() -> None:
    async with a_pool_before(answers_once(b"HTTP/1.1 200 OK\r\n\r\nfirst", b"second")) as (pool, worker):
        assert await asked(pool, worker) == (200, b"firstsecond")
        assert len(pool) == 0


async def test_an_answer_without_a_body_leaves_the_connection_usable() -> None:
    async with a_pool_before(answers(b"HTTP/1.1 204 No Content\r\n\r\n")) as (pool, worker):
        assert [await asked(pool, worker) for _ in range(2)] == [(204, b"")] * 2
        assert worker.connections == 1


async def test_pieces_of_a_stream_come_before_its_end() -> None:
    goes_on = asyncio.Event()

    async def behave(peer: Peer) -> None:
        await peer.request()
        await peer.send(STREAM + b"5\r\nfirst\r\n")
        await goes_on.wait()
        await peer.send(b"6\r\nsecond\r\n0\r\n\r\n")

    async with a_pool_before(behave) as (pool, worker):
        reply = await ask(pool, worker)
        assert await reply.content.readany() == b"first"
        goes_on.set()
        assert await whole(reply) == b"second"
        reply.close()


# -- connections that are not used again -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "answer",
    [
        OK + b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nwrong",
        b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok",
        b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok",
    ],
    ids=["an answer too many", "a worker that says so", "HTTP/1.0"],
)
async def test_a_connection_ends_with_its_call_after(answer: bytes) -> None:
    async with a_pool_before(answers(answer)) as (pool, worker):
        assert [await asked(pool, worker) for _ in range(2)] == [(200, b"ok")] * 2
        assert (worker.connections, len(pool)) == (2, 0)


async def test_one_that_the_worker_closed_while_idle_is_replaced() -> None:
    closed = asyncio.Event()

    async def behave(peer: Peer) -> None:
        await peer.request()
        await peer.send(OK)
        peer.writer.close()
        await peer.writer.wait_closed()
        closed.set()

    async with a_pool_before(behave) as (pool, worker):
        await asked(pool, worker)
        await closed.wait()
        await until(lambda: len(pool) == 0)
        assert await asked(pool, worker) == (200, b"ok")
        assert worker.connections == 2


async def test_one_whose_request_was_not_read_is_closed() -> None:
    async def behave(peer: Peer) -> None:
        await peer.reader.readuntil(b"\r\n\r\n")
        await peer.send(b"HTTP/1.1 413 Content Too Large\r\nContent-Length: 0\r\n\r\n")
        await peer.reader.read()

    async with a_pool_before(behave) as (pool, worker):
        assert await asked(pool, worker, body=b"x" * 8 * 1024 * 1024) == (413, b"")
        assert len(pool) == 0


async def test_what_comes_unasked_closes_it() -> None:
    async def behave(peer: Peer) -> None:
        await peer.request()
        await peer.send(OK)
        await peer.send(OK)
        assert await peer.reader.read() == b""
        hung_up.set()

    hung_up = asyncio.Event()
    async with a_pool_before(behave) as (pool, worker):
        await asked(pool, worker)
        await hung_up.wait()


async def test_an_answer_that_is_left_is_broken_off() -> None:
    async def behave(peer: Peer) -> None:
        await peer.request()
        await peer.send(STREAM + b"5\r\nfirst\r\n")
        await peer.reader.read()
        hung_up.set()

    hung_up = asyncio.Event()
    async with a_pool_before(behave) as (pool, worker):
        reply = await ask(pool, worker)
        reply.close()
        await hung_up.wait()
        assert len(pool) == 0


async def test_a_call_that_is_cancelled_hangs_up() -> None:
    async def behave(peer: Peer) -> None:
        await peer.request()
        came.set()
        await peer.reader.read()
        hung_up.set()

    came, hung_up = asyncio.Event(), asyncio.Event()
    async with a_pool_before(behave) as (pool, worker):
        call = asyncio.create_task(ask(pool, worker))
        await came.wait()
        call.cancel()
        await hung_up.wait()
        assert len(pool) == 0


# -- answers that break off --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "head",
    [
        b"",
        b"HTTP/1.1 200 OK\r\nContent-",
        b"SSH-2.0-OpenSSH\r\n",
        b"HTTP/1.1 200 OK\r\nX: " + b"x" * 20_000 + b"\r\n\r\n",
    ],
    ids=["nothing", "half a head", "another protocol", "a line too long"],
)
async def test_an_answer_without_a_head_breaks_off(head: bytes) -> None:
    async with a_pool_before(answers_once(head)) as (pool, worker):
        with pytest.raises(BrokenOffError):
            await ask(pool, worker)
        assert len(pool) == 0


@pytest.mark.parametrize(
    "pieces",
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf",),
        (STREAM + b"5\r\nfirst\r\n",),
        (STREAM + b"5\r\nfir",),
        (STREAM, b"not a chunk\r\n"),
    ],
    ids=["of a known length", "without its last chunk", "in a chunk", "garbage for a chunk"],
)
async def test_half_an_answer_breaks_off(pieces: tuple[bytes, ...]) -> None:
    async with a_pool_before(answers_once(*pieces)) as (pool, worker):
        with pytest.raises(BrokenOffError):
            await asked(pool, worker)
        assert len(pool) == 0


async def test_a_body_of_no_stated_length_that_is_reset_is_not_whole() -> None:
    async def behave(peer: Peer) -> None:
        await peer.request()
        await peer.send(b"HTTP/1.1 200 OK\r\n\r\nfirst")
        await read.wait()
        lingers_not = struct.pack("ii", 1, 0)
        peer.writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, lingers_not)

    read = asyncio.Event()
    async with a_pool_before(behave) as (pool, worker):
        reply = await ask(pool, worker, b"x")
        assert await reply.content.readany() == b"first"
        read.set()
        with pytest.raises(BrokenOffError):
            await reply.content.readany()
        reply.close()


async def test_a_worker_that_hangs_up_at_once_breaks_off() -> None:
    async def behave(peer: Peer) -> None:
        peer.writer.transport.abort()

    async with a_pool_before(behave) as (pool, worker):
        for _ in range(20):  # before the request is sent, or after
            with pytest.raises(BrokenOffError):
                await ask(pool, worker)
        assert len(pool) == 0


async def test_a_connection_that_is_gone_is_not_asked() -> None:
    async with a_pool_before(answers(OK)) as (_, worker):
        loop = asyncio.get_running_loop()
        where = worker.origin.host, worker.origin.port
        transport, connection = await loop.create_connection(lambda: Connection(loop, lambda _: None), *where)
        transport.abort()
        await until(lambda: connection.transport is None)
        with pytest.raises(BrokenOffError):
            await connection.ask(b"", LONG_S)


@pytest.mark.parametrize("more", [b"", b"Upgrade: h2c\r\nConnection: upgrade\r\n", b"Content-Length: 2\r\n"])
async def test_another_protocol_is_no_answer(more: bytes) -> None:
    async with a_pool_before(answers(b"HTTP/1.1 101 Switching Protocols\r\n" + more + b"\r\n")) as (pool, worker):
        with pytest.raises(BrokenOffError, match="another protocol"):
            await ask(pool, worker)
        assert len(pool) == 0


async def test_whoever_reads_an_answer_hears_that_the_pool_is_closed() -> None:
    async with a_pool_before(answers(STREAM + b"5\r\nfirst\r\n")) as (pool, worker):
        read, between = await ask(pool, worker), await ask(pool, worker)
        for reply in (read, between):
            assert await reply.content.readany() == b"first"
        waiting = asyncio.create_task(read.content.readany())
        await asyncio.sleep(0)
        pool.close()
        with pytest.raises(BrokenOffError, match="closed here"):
            await asyncio.wait_for(waiting, SOON_S)
        with pytest.raises(BrokenOffError, match="closed here"):
            await between.content.readany()


async def test_nobody_there_is_no_connection() -> None:
    async with a_pool_before(answers(OK)) as (pool, worker):
        gone = await asyncio.start_server(worker.serve, "127.0.0.1", 0)
        port = gone.sockets[0].getsockname()[1]
        gone.close()
        with pytest.raises(NotConnectedError):
            await pool.ask(Origin(host="127.0.0.1", port=port, is_tls=False), b"", LONG_S)


def a_certificate(folder: Path) -> Path:
    """Of localhost, signed by itself, beside its key."""
    key, name = (
        ec.generate_private_key(ec.SECP256R1()),
        x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")]),
    )
    until_at = datetime.now(UTC) + timedelta(days=1)
    made = (
        x509.CertificateBuilder(issuer_name=name, subject_name=name, public_key=key.public_key(), serial_number=1)
        .not_valid_before(datetime.now(UTC) - timedelta(days=1))
        .not_valid_after(until_at)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, SHA256())
    )
    held = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    path = folder / "worker.pem"
    path.write_bytes(made.public_bytes(Encoding.PEM) + held)
    return path


async def test_an_encrypted_worker_has_to_show_whose_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    certificate = a_certificate(tmp_path)
    shown = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    shown.load_cert_chain(certificate)
    worker = RawWorker(answers(OK))
    server = await asyncio.start_server(worker.serve, "127.0.0.1", 0, ssl=shown)
    target = Target(f"https://localhost:{server.sockets[0].getsockname()[1]}", [PATH])
    strangers, friends = ConnectionPool(connect_s=SOON_S), ConnectionPool(connect_s=SOON_S)
    with pytest.raises(NotConnectedError, match="certificate verify failed"):
        await strangers.ask(target.origin, target.head(PATH, {}, 0), LONG_S)
    monkeypatch.setattr(upstream_pool, "_tls", lambda: ssl.create_default_context(cafile=certificate))
    for _ in range(2):
        reply = await friends.ask(target.origin, target.head(PATH, {}, 0), LONG_S)
        assert await whole(reply) == b"ok"
        reply.close()
    assert len(friends) == 1
    friends.close()
    server.close()


async def test_an_encrypted_one_whose_request_was_not_read_is_closed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def behave(peer: Peer) -> None:
        await peer.reader.readuntil(b"\r\n\r\n")
        await peer.send(b"HTTP/1.1 413 Content Too Large\r\nContent-Length: 0\r\n\r\n")
        await hung_up.wait()

    hung_up = asyncio.Event()
    certificate = a_certificate(tmp_path)
    shown = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    shown.load_cert_chain(certificate)
    monkeypatch.setattr(upstream_pool, "_tls", lambda: ssl.create_default_context(cafile=certificate))
    server = await asyncio.start_server(RawWorker(behave).serve, "127.0.0.1", 0, ssl=shown)
    target = Target(f"https://localhost:{server.sockets[0].getsockname()[1]}", [PATH])
    pool, body = ConnectionPool(connect_s=SOON_S), b"x" * 8 * 1024 * 1024
    reply = await pool.ask(target.origin, target.head(PATH, {}, len(body)) + body, LONG_S)
    assert (reply.status, await whole(reply)) == (413, b"")
    reply.close()
    assert len(pool) == 0
    hung_up.set()
    pool.close()
    server.close()


# -- time --------------------------------------------------------------------------------------------------------------


def test_a_silent_worker_is_given_up() -> None:
    async def test(loop: MovedLoop) -> None:
        async with a_pool_before(answers(STREAM + b"5\r\nfirst\r\n")) as (pool, worker):
            reply = await ask(pool, worker, silence_s=60.0)
            assert await reply.content.readany() == b"first"
            loop.ahead_s += 61.0
            with pytest.raises(SilentError, match="60 s"):
                await reply.content.readany()
            reply.close()

    with_a_moved_clock(test)


def test_a_worker_that_never_answers_is_given_up() -> None:
    async def test(loop: MovedLoop) -> None:
        came = asyncio.Event()

        async def behave(peer: Peer) -> None:
            await peer.request()
            came.set()
            await peer.reader.read()

        async with a_pool_before(behave) as (pool, worker):
            call = asyncio.create_task(ask(pool, worker, silence_s=60.0))
            await came.wait()
            loop.ahead_s += 61.0
            with pytest.raises(SilentError):
                await call

    with_a_moved_clock(test)


def test_a_name_that_nobody_can_look_up_now_keeps_its_addresses() -> None:
    async def test(loop: MovedLoop) -> None:
        async def fails(*_: object, **__: object) -> None:
            lookups.append(loop.time())
            raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")

        lookups: list[float] = []
        async with a_pool_before(answers_once(OK)) as (pool, worker):
            assert await asked(pool, worker) == (200, b"ok")
            setattr(loop, "getaddrinfo", fails)  # noqa: B010  mypy knows it for a method
            for _ in range(2):
                loop.ahead_s += 30.0
                assert await asked(pool, worker) == (200, b"ok")
        assert len(lookups) == 2

    with_a_moved_clock(test)


def test_a_slow_worker_is_not_silent() -> None:
    async def test(loop: MovedLoop) -> None:
        goes_on = asyncio.Event()

        async def behave(peer: Peer) -> None:
            await peer.request()
            await peer.send(STREAM)
            for _ in range(4):
                await goes_on.wait()
                goes_on.clear()
                await peer.send(b"1\r\nx\r\n")
            await peer.send(b"0\r\n\r\n")

        async with a_pool_before(behave) as (pool, worker):
            reply = await ask(pool, worker, silence_s=60.0)
            for _ in range(4):
                loop.ahead_s += 50.0  # 200 in all
                goes_on.set()
                assert await reply.content.readany() == b"x"
            assert await whole(reply) == b""
            reply.close()

    with_a_moved_clock(test)


def test_a_worker_that_waits_for_us_is_not_silent() -> None:
    length = 8 * 1024 * 1024

    async def test(loop: MovedLoop) -> None:
        async with a_pool_before(answers(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % length, b"x" * length)) as (
            pool,
            worker,
        ):
            reply = await ask(pool, worker, silence_s=60.0)
            first = await reply.content.readany()
            await until(lambda: reply.content.total_bytes > 512 * 1024)  # and reading stops
            loop.ahead_s += 61.0
            await asyncio.sleep(0.001)
            assert len(first) + len(await whole(reply)) == length
            reply.close()
            assert len(pool) == 1

    with_a_moved_clock(test)


def test_idle_connections_are_closed_in_the_end() -> None:
    async def test(loop: MovedLoop) -> None:
        async with a_pool_before(answers(OK)) as (pool, worker):
            await asked(pool, worker)
            assert len(pool) == 1
            loop.ahead_s += 31.0
            await until(lambda: len(pool) == 0)
            assert await asked(pool, worker) == (200, b"ok")
            assert worker.connections == 2

    with_a_moved_clock(test)


def test_a_connection_that_an_engine_may_be_closing_is_not_used() -> None:
    async def test(loop: MovedLoop) -> None:
        async with a_pool_before(answers(OK)) as (pool, worker):
            await asked(pool, worker)
            loop.ahead_s += 4.9  # uvicorn closes what was idle for 5 s
            assert await asked(pool, worker) == (200, b"ok")
            assert worker.connections == 2

    with_a_moved_clock(test)


async def test_a_closed_pool_leaves_no_call_under_way() -> None:
    async def behave(peer: Peer) -> None:
        await peer.request()
        came.set()
        await peer.reader.read()

    came = asyncio.Event()
    async with a_pool_before(behave) as (pool, worker):
        call = asyncio.create_task(ask(pool, worker))
        await came.wait()
        pool.close()
        with pytest.raises(BrokenOffError):
            await call
