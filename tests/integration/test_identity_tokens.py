"""Tokens of an identity provider over real sockets: a provider of our own, its keys, and everything that goes wrong."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import jwt
import pytest
from aiohttp import ClientSession, web
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from scheduler.config import Server
from scheduler.daemon.env import Env
from scheduler.daemon.guard import Guard, caller_of
from scheduler.daemon.http import Scope, make_app
from scheduler.daemon.identity_tokens import SHORTEST_GAP_S, IdentityTokens
from scheduler.daemon.listener import Listener
from scheduler.daemon.metrics import Metrics
from scheduler.identity_settings import OidcSettings
from scheduler.keys import Keyring

ISSUER, AUDIENCE = "https://id.example/", "slacktide"


class Provider:
    """Shows the public halves of its keys at an address of this machine."""

    def __init__(self) -> None:
        self.keys = {"one": ec.generate_private_key(ec.SECP256R1())}
        self.asked, self.status, self.url = 0, 200, ""

    async def handle(self, _: web.Request) -> web.Response:
        self.asked += 1
        shown = [
            {**json.loads(jwt.algorithms.ECAlgorithm.to_jwk(key.public_key())), "kid": name, "alg": "ES256"}
            for name, key in self.keys.items()
        ]
        return web.json_response({"keys": shown}, status=self.status)

    def token(self, env: Env, *, kid: str = "one", key: Any = None, **changed: Any) -> str:
        usual = {"iss": ISSUER, "aud": AUDIENCE, "exp": int(env.now_s()) + 600, "sub": "alice", "tenant": "red"}
        claims = {**usual, "scope": "read", **changed}
        return jwt.encode(claims, key or self.keys[kid], algorithm="ES256", headers={"kid": kid})


class SteadyEnv(Env):
    """A real environment whose clock for latencies can be put forward."""

    ahead_s = 0.0

    def __init__(self) -> None:
        super().__init__()
        self.monotonic_s = lambda: self._loop.time() + self.ahead_s


@asynccontextmanager
async def a_front() -> AsyncIterator[tuple[Provider, SteadyEnv, Any]]:
    """A door with one route behind it that says who came in."""
    provider, env, server = Provider(), SteadyEnv(), Server(port=0)
    shown = web.Application()
    shown.router.add_get("/keys", provider.handle)
    runner = web.AppRunner(shown, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    url = f"http://127.0.0.1:{runner.addresses[0][1]}/keys"
    identity = IdentityTokens(env, OidcSettings(issuer=ISSUER, audience=AUDIENCE, jwks_url=url, timeout_s=2.0))

    async def who(request: web.Request) -> web.Response:
        caller = caller_of(request)
        return web.json_response({"key": caller.key_id, "tenant": caller.tenant})

    guard = Guard(env, Keyring(), identity)
    app = make_app(server, env=env, metrics=Metrics(), problems=list, policies={"GET /who": Scope.READ}, guard=guard)
    app.router.add_get("/who", who, allow_head=False)
    listener = Listener(app, server, has_keys=guard.asks_for_keys)
    await listener.start()

    async with ClientSession(listener.base_url) as client:

        async def ask(token: str) -> tuple[int, Any]:
            async with client.get("/who", headers={"Authorization": f"Bearer {token}"}) as response:
                return response.status, await response.json()

        yield provider, env, ask
    await listener.stop()
    await runner.cleanup()


async def test_a_good_token_opens_for_its_tenant_and_the_provider_is_asked_once() -> None:
    async with a_front() as (provider, env, ask):
        for _ in range(3):
            assert await ask(provider.token(env)) == (200, {"key": "oidc:alice", "tenant": "red"})
        status, refused = await ask(provider.token(env, scope="inference"))
        assert (status, refused["error"]["code"]) == (403, "missing_scope")
        status, refused = await ask(provider.token(env, exp=1))
        assert (status, refused["error"]["code"]) == (401, "expired_api_key")
        assert provider.asked == 1


def unsigned(claims_of: str, header: dict[str, str], secret: bytes | None) -> str:
    """A token whose header was made up: no signature, or one made with the public key as the secret."""
    parts = claims_of.split(".")
    head = base64.urlsafe_b64encode(json.dumps(header).encode()).rstrip(b"=").decode()
    body = f"{head}.{parts[1]}"
    mark = b"" if secret is None else hmac.new(secret, body.encode(), hashlib.sha256).digest()
    return f"{body}.{base64.urlsafe_b64encode(mark).rstrip(b'=').decode()}"


async def test_forged_tokens_are_unknown() -> None:
    async with a_front() as (provider, env, ask):
        good = provider.token(env)
        public = provider.keys["one"].public_key()
        pem = public.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
        head, body, signature = good.split(".")
        other = provider.token(env, tenant="blue").split(".")[1]
        forged = [
            provider.token(env, key=ec.generate_private_key(ec.SECP256R1())),
            unsigned(good, {"alg": "none", "typ": "JWT", "kid": "one"}, None),
            unsigned(good, {"alg": "HS256", "typ": "JWT", "kid": "one"}, pem),
            f"{head}.{other}.{signature}",
            f"{head}.{body}.",
            f"{head}.{body}.{signature[:-4]}",
            "eyJhbGciOiJFUzI1NiJ9.e30.x",
            "eyJ..",
            provider.token(env, iss="https://evil.example/"),
            provider.token(env, aud="others"),
        ]
        assert (await ask(good))[0] == 200
        for token in forged:
            status, refused = await ask(token)
            assert (status, refused["error"]["code"]) == (401, "invalid_api_key"), token


async def test_a_new_key_of_the_provider_is_fetched_and_strangers_cannot_make_us_ask() -> None:
    async with a_front() as (provider, env, ask):
        assert (await ask(provider.token(env)))[0] == 200
        provider.keys["two"] = ec.generate_private_key(ec.SECP256R1())
        for _ in range(5):
            assert (await ask(provider.token(env, kid="two")))[0] == 401
        assert provider.asked == 1
        env.ahead_s += SHORTEST_GAP_S
        assert (await ask(provider.token(env, kid="two")))[0] == 200
        assert provider.asked == 2


@pytest.mark.parametrize("status", [500, 301])
async def test_a_provider_that_does_not_answer_is_waited_for_an_hour(status: int) -> None:
    async with a_front() as (provider, env, ask):
        provider.status = status
        code = (await ask(provider.token(env)))[1]["error"]["code"]
        assert code == "identity_unavailable"
        provider.status, env.ahead_s = 200, SHORTEST_GAP_S
        assert (await ask(provider.token(env)))[0] == 200
        provider.status = status
        env.ahead_s += 1800.0
        assert (await ask(provider.token(env)))[0] == 200
        env.ahead_s += 1801.0
        assert (await ask(provider.token(env)))[0] == 503
