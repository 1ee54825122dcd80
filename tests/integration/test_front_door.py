"""Who may pass the front door, and what a refusal looks like."""

from __future__ import annotations

import asyncio
import hashlib
import json
from typing import Any

import pytest
from aiohttp import web

from scheduler.config import Server
from scheduler.daemon.env import Env
from scheduler.daemon.http import ExposedWithoutKeysError, MissingPolicyError, make_app
from scheduler.daemon.listener import Listener
from scheduler.daemon.metrics import Metrics
from tests.integration.gateway_stand import CHAT, MODEL, SOON_S, FakeWorker, Stand, a_chat, a_stand

KEY = "sk-a-key-of-the-test"
KEYED = Server(port=0, keys_sha256=(hashlib.sha256(b"another").hexdigest(), hashlib.sha256(KEY.encode()).hexdigest()))
JSON = {"Content-Type": "application/json"}


async def raw(stand: Stand, request: bytes) -> tuple[int, dict[str, str], bytes]:
    """The answer to bytes that no client library would send."""
    host, port = stand.base_url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(request)
    head, _, body = (await asyncio.wait_for(reader.read(), SOON_S)).partition(b"\r\n\r\n")
    writer.close()
    status_line, *lines = head.decode().split("\r\n")
    return int(status_line.split()[1]), dict(line.lower().split(": ", 1) for line in lines), body


@pytest.mark.parametrize(
    ("body", "param", "code"),
    [
        (b"", None, "empty_body"),
        (b"{", None, "invalid_json"),
        (b'{"model":"llama-3.1-8b","messages":[{"x":NaN}]}', None, "invalid_json"),
        (b'{"model":"llama-3.1-8b","messages":' + b"[" * 50_000, None, "invalid_json"),
        (b'{"model":"\xff","messages":[1]}', None, "invalid_json"),
        (b"[]", None, None),
        (b'{"messages":[1]}', "model", None),
        (b'{"model":3,"messages":[1]}', "model", None),
        (b'{"model":"llama-3.1-8b"}', "messages", None),
        (b'{"model":"llama-3.1-8b","messages":"hi"}', "messages", None),
        (b'{"model":"llama-3.1-8b","messages":[ ]}', "messages", None),
        (b'{"model":"llama-3.1-8b","messages":[1],"stream":"yes"}', "stream", None),
        (b'{"model":"llama-3.1-8b","messages":[1],"max_tokens":-1}', "max_tokens", None),
        (b'{"model":"llama-3.1-8b","messages":[1],"max_completion_tokens":0.5}', "max_completion_tokens", None),
        (b'{"model":"llama-3.1-8b","messages":[1],"service_tier":"cheap"}', "service_tier", None),
        (
            b'{"model":"llama-3.1-8b","messages":[1],"metadata":{"slacktide_deadline":6}}',
            "metadata.slacktide_deadline",
            None,
        ),
        (
            b'{"model":"llama-3.1-8b","messages":[1],"metadata":{"slacktide_deadline":"soon"}}',
            "metadata.slacktide_deadline",
            None,
        ),
    ],
)
async def test_a_bad_body_is_refused_with_the_field_named(body: bytes, param: str | None, code: str | None) -> None:
    worker = FakeWorker()
    async with a_stand(worker) as stand:
        reply = await stand.post(CHAT, data=body, headers=JSON)
    assert reply.status == 400
    assert set(reply.error) == {"message", "type", "param", "code"}
    assert (reply.error["type"], reply.error["param"], reply.error["code"]) == ("invalid_request_error", param, code)
    assert worker.requests == []


@pytest.mark.parametrize("deadline", ["soon", "6", "2020-01-01T00:00Z", "2030-01-01T00:00", "-1h"])
async def test_a_bad_deadline_names_its_header(deadline: str) -> None:
    async with a_stand(FakeWorker()) as stand:
        reply = await stand.chat({"x-slacktide-deadline": deadline})
    assert (reply.status, reply.error["param"]) == (400, "x-slacktide-deadline")


async def test_an_eco_header_that_says_neither_yes_nor_no_is_refused() -> None:
    async with a_stand(FakeWorker()) as stand:
        reply = await stand.chat({"x-slacktide-eco": "banana"})
        spoken = [(await stand.chat({"x-slacktide-eco": word})).status for word in ("1", "TRUE", "yes", "0", "off")]
    assert (reply.status, reply.error["param"]) == (400, "x-slacktide-eco")
    assert spoken == [200] * 5


async def test_an_unknown_model_is_openais_404() -> None:
    async with a_stand(FakeWorker()) as stand:
        reply = await stand.chat(model="gpt-17")
    assert (reply.status, reply.error["code"], reply.error["param"]) == (404, "model_not_found", "model")


async def test_models_are_listed_and_shown() -> None:
    async with a_stand(FakeWorker(), FakeWorker(), models=(MODEL, "org/other")) as stand:
        listed = json.loads((await stand.get("/v1/models")).body)
        shown = json.loads((await stand.get("/v1/models/org/other")).body)
        missing = await stand.get("/v1/models/nothing")
    assert listed["object"] == "list"
    assert [model["id"] for model in listed["data"]] == [MODEL, "org/other"]
    assert shown == listed["data"][1]
    assert (missing.status, missing.error["code"]) == (404, "model_not_found")


# -- bodies ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "br", "zstd"])
async def test_a_compressed_body_is_refused_unread(encoding: str) -> None:
    async with a_stand(FakeWorker()) as stand:
        head = f"POST {CHAT} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        request = f"{head}Content-Encoding: {encoding}\r\nContent-Length: 4\r\n\r\n....".encode()
        status, _, body = await raw(stand, request)
    assert (status, json.loads(body)["error"]["param"]) == (415, "Content-Encoding")


@pytest.mark.parametrize("content_type", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data"])
async def test_what_a_web_page_could_post_unasked_is_refused(content_type: str) -> None:
    async with a_stand(FakeWorker()) as stand:
        reply = await stand.post(CHAT, data=json.dumps(a_chat()).encode(), headers={"Content-Type": content_type})
    assert (reply.status, reply.error["param"]) == (415, "Content-Type")


async def in_pieces(size: int) -> Any:
    for _ in range(size // 1024):
        yield b" " * 1024


@pytest.mark.parametrize("chunked", [False, True])
async def test_a_body_over_the_limit_is_refused_however_it_is_sent(chunked: bool) -> None:
    async with a_stand(FakeWorker(), server=Server(port=0, max_body_bytes=4096)) as stand:
        data = in_pieces(64 * 1024) if chunked else b" " * 5000
        reply = await stand.post(CHAT, data=data, headers=JSON)
    assert (reply.status, reply.error["code"]) == (413, "body_too_large")


async def test_a_body_that_comes_in_pieces_is_put_together() -> None:
    body = json.dumps(a_chat(user="x" * 3000)).encode()

    async def pieces() -> Any:
        for start in range(0, len(body), 1000):
            yield body[start : start + 1000]
            await asyncio.sleep(0)

    worker = FakeWorker()
    async with a_stand(worker) as stand:
        assert (await stand.post(CHAT, data=pieces(), headers=JSON)).status == 200
    assert worker.requests[0][1] == body


# -- keys, hosts and paths ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("authorization", [None, "Bearer", "Bearer wrong", f"Basic {KEY}", f"Bearer {KEY}x"])
async def test_without_a_known_key_nothing_but_the_probes_is_open(authorization: str | None) -> None:
    headers = {} if authorization is None else {"Authorization": authorization}
    async with a_stand(FakeWorker(), server=KEYED) as stand:
        for path in ("/v1/models", "/metrics", "/no/such/path"):
            reply = await stand.get(path, headers=headers)
            assert (reply.status, reply.error["code"]) == (401, "invalid_api_key")
            assert reply.headers["WWW-Authenticate"] == "Bearer"
        assert (await stand.get("/healthz", headers=headers)).status == 200
        assert (await stand.get("/readyz", headers=headers)).status == 200


async def test_a_known_key_opens_and_any_host_name_will_do() -> None:
    async with a_stand(FakeWorker(), server=KEYED) as stand:
        reply = await stand.chat({"Authorization": f"Bearer {KEY}", "Host": "gateway.example.com"})
    assert reply.status == 200


async def test_without_keys_a_page_whose_name_resolves_to_loopback_is_turned_away() -> None:
    async with a_stand(FakeWorker()) as stand:
        reply = await stand.get("/v1/models", headers={"Host": "evil.example.com"})
        assert (reply.status, reply.error["code"]) == (421, "bad_host")
        assert (await stand.get("/v1/models", headers={"Host": "[::1]:80"})).status == 200


@pytest.mark.parametrize("target", ["http://localhost/healthz", "//healthz", "/%2e%2e/healthz", "/x/%2E/healthz"])
async def test_a_target_that_others_may_read_differently_is_refused(target: str) -> None:
    async with a_stand(FakeWorker()) as stand:
        status, headers, body = await raw(stand, f"GET {target} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode() + CLOSE)
    assert status == 400
    assert "server" not in headers
    assert json.loads(body.split(b"\n")[0].split(b"HTTP/1.1")[0])["error"]["code"] == "bad_target"


CLOSE = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"


@pytest.mark.parametrize(
    "request_bytes", [b"\x16\x03\x01 not http\r\n\r\n", b"GET / HTTP/1.1\r\nHost: a\r\nbad\r\n\r\n"]
)
async def test_what_is_not_http_gets_the_same_error_shape_and_no_server_name(request_bytes: bytes) -> None:
    async with a_stand(FakeWorker()) as stand:
        status, headers, body = await raw(stand, request_bytes)
    assert status == 400
    assert "server" not in headers
    assert json.loads(body)["error"]["type"] == "invalid_request_error"


@pytest.mark.parametrize(("method", "path", "status"), [("GET", "/nothing", 404), ("DELETE", CHAT, 405)])
async def test_refusals_of_the_router_have_openais_shape(method: str, path: str, status: int) -> None:
    async with a_stand(FakeWorker()) as stand, stand.client.request(method, path) as response:
        assert response.status == status
        assert (await response.json())["error"]["type"] == "invalid_request_error"
        assert response.headers["x-request-id"].startswith("req-")


async def test_a_method_that_does_not_go_with_a_path_is_told_those_that_do() -> None:
    async with a_stand(FakeWorker()) as stand, stand.client.get(CHAT) as response:
        assert (response.status, response.headers["Allow"]) == (405, "POST")
        assert (await response.json())["error"]["message"] == "GET does not go with this path; it takes POST."


@pytest.mark.parametrize("target", ["/healthz", "/healthz?verbose=1", "/%68ealthz"])
async def test_a_path_is_found_however_it_is_spelled(target: str) -> None:
    async with a_stand(FakeWorker()) as stand:
        status, headers, body = await raw(stand, f"GET {target} HTTP/1.0\r\nHost: localhost\r\n\r\n".encode())
    assert (status, body) == (200, b'{"status":"alive"}')
    assert headers["x-request-id"].startswith("req-")


async def test_who_asks_whether_to_go_on_is_told_so_before_the_answer() -> None:
    async with a_stand(FakeWorker()) as stand:
        reply = await stand.post(CHAT, json=a_chat(), expect100=True)
    assert reply.status == 200


async def test_another_expectation_is_refused_in_the_shape_of_every_refusal() -> None:
    async with a_stand(FakeWorker()) as stand:
        reply = await stand.post(CHAT, json=a_chat(), headers={"Expect": "a-miracle"})
    assert (reply.status, reply.error["param"]) == (417, "Expect")


async def test_metrics_show_what_was_refused_and_served() -> None:
    async with a_stand(FakeWorker()) as stand:
        await stand.chat()
        await stand.chat(model="nothing")
        text = (await stand.get("/metrics")).body.decode()
    assert 'slacktide_refusals_total{code="model_not_found",status="404"} 1.0' in text
    assert f'model="{MODEL}",status="200"}} 1.0' in text
    assert "nothing" not in text


# -- the listener ------------------------------------------------------------------------------------------------------


def an_app(server: Server) -> web.Application:
    return make_app(server, env=Env(), metrics=Metrics(), problems=list, policies={})


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.1.2.3", "gateway.example.com"])
async def test_other_addresses_than_loopback_need_keys(host: str) -> None:
    open_server = Server(host=host, port=0)
    with pytest.raises(ExposedWithoutKeysError, match="keys_sha256"):
        Listener(an_app(open_server), open_server)
    keyed = Server(host=host, port=0, keys_sha256=KEYED.keys_sha256)
    Listener(an_app(keyed), keyed)


async def test_a_route_without_a_policy_keeps_the_daemon_from_starting() -> None:
    async def handle(_: web.Request) -> web.Response:
        return web.Response()

    server = Server(port=0)
    app = an_app(server)
    app.router.add_get("/forgotten", handle)
    with pytest.raises(MissingPolicyError, match=" /forgotten"):
        await Listener(app, server).start()


async def test_more_connections_than_allowed_are_closed_at_once() -> None:
    async with a_stand(FakeWorker(), server=Server(port=0, max_connections=2)) as stand:
        host, port = stand.base_url.removeprefix("http://").split(":")
        pairs = [await asyncio.open_connection(host, int(port)) for _ in range(3)]
        with pytest.raises(ConnectionResetError):
            if await asyncio.wait_for(pairs[2][0].read(), SOON_S) == b"":
                raise ConnectionResetError
        pairs[0][1].write(CLOSE)
        assert (await asyncio.wait_for(pairs[0][0].readline(), SOON_S)).startswith(b"HTTP/1.1 200")
        for _, writer in pairs:
            writer.close()
